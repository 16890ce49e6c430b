// One process of the soak, from its start to the signal that ends it.
import { spawn } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { inRoot } from "../paths.mjs";

/** The signals that end a process: mostly the hardest one. */
const SIGNALS = ["SIGKILL", "SIGKILL", "SIGKILL", "SIGTERM"];

/** Milliseconds without a new turn, or without exiting after the signal, that count as a hang. */
const HANG_TIMEOUT = 30_000;

/** Milliseconds between checks. */
const CHECK_INTERVAL = 5000;

const living = new Set();
process.on("exit", () => living.forEach((child) => child.kill("SIGKILL")));

/**
 * Lets a process work for some time and ends it.
 *
 * @returns How many turns it began, and what was wrong with it, if anything.
 */
export async function live({ kind, bin }, args, env, milliseconds) {
  const flags = kind === "deno" ? ["run", "-A", "--no-check", "--no-remote"] : [];
  const command = [...flags, inRoot("tools/soak/worker.mjs"), ...args];
  const child = spawn(bin, command, { env, stdio: ["ignore", "pipe", "pipe"] });
  living.add(child);
  const turns = new Turns(child.stdout), errors = gather(child.stderr);
  const troubles = [];
  let sent;
  const send = (signal) => {
    sent ??= signal;
    turns.touch();
    child.kill(signal);
  };
  const hangs = () => {
    if (turns.silence() < HANG_TIMEOUT) return;
    troubles.push(
      `${kind} ${child.pid} hangs in ${turns.last} (${sent ?? "not signalled"}): ${look(child.pid)}`,
    );
    send("SIGKILL");
  };
  // Its output must be read before it is judged: this process may have been delayed, too.
  const timer = setInterval(() => setImmediate(hangs), CHECK_INTERVAL);
  const doom = setTimeout(() => send(SIGNALS[Math.floor(Math.random() * SIGNALS.length)]), milliseconds);
  const [code, signal] = await new Promise((resolve) => child.on("close", (...end) => resolve(end)));
  clearInterval(timer);
  clearTimeout(doom);
  living.delete(child);
  // A process that exits by itself, or by a signal that nobody sent, has crashed.
  if (signal === null || signal !== sent || /error/i.test(errors.text)) {
    troubles.push(
      `${kind} ${child.pid} ended by ${signal ?? code} in ${turns.last}, sent ${sent}: ${errors.text}`,
    );
  }
  return { turns: turns.count, troubles };
}

/** The turns of a process, each of which it announces with a line. */
class Turns {
  count = 0;
  last = "its start";
  #line = "";
  #at = performance.now();

  constructor(output) {
    output.setEncoding("latin1").on("data", (text) => {
      const lines = (this.#line + text).split("\n");
      this.#line = lines.pop();
      this.count += lines.length;
      this.last = lines.at(-1) ?? this.last;
      this.touch();
    });
  }

  touch() {
    this.#at = performance.now();
  }

  silence() {
    return performance.now() - this.#at;
  }
}

function gather(output) {
  const gathered = { text: "" };
  output.setEncoding("utf8").on("data", (text) => gathered.text += text);
  return gathered;
}

/** Returns what the system reports of a process that hangs: where it waits, for whom, and what it has open. */
function look(pid) {
  const at = (name) => attempt(() => readFileSync(`/proc/${pid}/${name}`, "latin1").trim());
  const state = /^State:.*$/m.exec(at("status") ?? "")?.[0];
  const open = attempt(() =>
    readdirSync(`/proc/${pid}/fd`).map((fd) => attempt(() => readlinkSync(`/proc/${pid}/fd/${fd}`)))
  );
  return JSON.stringify({ state, wchan: at("wchan"), children: at(`task/${pid}/children`), open });
}

function attempt(ask) {
  try {
    return ask();
  } catch {
    return undefined;
  }
}
