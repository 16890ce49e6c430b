import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { inRoot, root } from "../../tools/paths.mjs";
import { prioritised } from "./priority.mjs";

/** Returns the command that runs a script in a runtime. */
export function scriptCommand({ kind, bin }, script, ...args) {
  return kind === "deno"
    ? [bin, "run", "-A", "--no-check", "--no-remote", script, ...args]
    : [bin, script, ...args];
}

/** Returns the command of the measured process. */
export const taskCommand = (runtime, task) =>
  scriptCommand(runtime, inRoot("bench/harness/child.mjs"), JSON.stringify(task));

/** Milliseconds after which an unresponsive process is killed: with its priority it would stop all others. */
const TIMEOUT = 120_000;

/** The process in which one library is measured on one subject. */
export class Session {
  #child;
  #messages;
  #errors = "";
  #gone;

  constructor(runtime, task) {
    const [program, ...args] = prioritised(taskCommand(runtime, task));
    this.#child = spawn(program, args, {
      cwd: root,
      env: environment(task.dir),
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#child.stderr.setEncoding("utf8").on("data", (text) => this.#errors += text);
    // A process that is gone shows by the lack of an answer.
    this.#child.stdin.on("error", () => {});
    this.#gone = new Promise((resolve) => this.#child.on("exit", resolve));
    this.#messages = messages(this.#child.stdout);
  }

  /** Returns its next message. If it exited instead, or has become unresponsive, throws its error output as an error. */
  async next() {
    const timer = setTimeout(() => this.kill(), TIMEOUT);
    const { done, value } = await this.#messages.next();
    clearTimeout(timer);
    if (done) throw new Error(`The measured process ended: ${this.#errors.trim().slice(-2000)}`);
    return value;
  }

  async round() {
    this.#child.stdin.write("round\n");
    return (await this.next()).samples;
  }

  async end() {
    this.#child.stdin.end("end\n");
    return await this.next();
  }

  kill() {
    this.#child.kill("SIGKILL");
  }

  /** Waits until it has cleaned up. */
  async gone() {
    const timer = setTimeout(() => this.kill(), TIMEOUT);
    await this.#gone;
    clearTimeout(timer);
  }
}

async function* messages(stream) {
  for await (const line of createInterface({ input: stream })) {
    if (line.startsWith("\u0001")) yield JSON.parse(line.slice(1));
  }
}

/** Every contender asks the environment where temporary files go. */
export function environment(dir) {
  const { NODE_OPTIONS: _options, TMP: _tmp, TEMP: _temp, ...inherited } = process.env;
  return { ...inherited, TMPDIR: dir, NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", DO_NOT_TRACK: "1" };
}
