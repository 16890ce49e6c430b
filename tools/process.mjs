import { spawn } from "node:child_process";
import { root } from "./paths.mjs";

const running = new Set();

/**
 * Runs a program in its own process group, so that a timeout or Ctrl-C also ends its children.
 * Resolves with `{ code, signal, timedOut, seconds }`; never rejects.
 */
export function run(command, args, { cwd = root, env = process.env, stdio = "inherit", timeout } = {}) {
  return new Promise((resolve) => {
    const started = performance.now();
    const child = spawn(command, args, { cwd, env, stdio, detached: true });
    running.add(child);
    let timedOut = false;
    const timer = timeout && setTimeout(() => {
      timedOut = true;
      killGroup(child);
    }, timeout);
    const finish = (code, signal, error) => {
      clearTimeout(timer);
      running.delete(child);
      killGroup(child);
      resolve({ code, signal, timedOut, error, seconds: (performance.now() - started) / 1000 });
    };
    child.on("error", (error) => finish(null, null, error));
    // Not "close": a grandchild that still holds our pipes open must not block us.
    child.on("exit", (code, signal) => finish(code, signal));
  });
}

/** Runs a program and returns its output as text. */
export async function capture(command, args, options = {}) {
  const chunks = [];
  const result = await new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, ...options, stdio: ["ignore", "pipe", "pipe"] });
    child.stdout.on("data", (chunk) => chunks.push(chunk));
    child.stderr.on("data", (chunk) => chunks.push(chunk));
    child.on("error", (error) => resolve({ code: null, error }));
    child.on("close", (code, signal) => resolve({ code, signal }));
  });
  return { ...result, output: Buffer.concat(chunks).toString() };
}

/** Describes how a process ended. */
export function ending({ code, signal, timedOut, error }) {
  if (error) return error.message;
  if (timedOut) return "timed out";
  return signal ? `ended by ${signal}` : `ended with status ${code}`;
}

function killGroup(child) {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    // The group is empty.
  }
}

/** Kills everything that still runs when we are told to stop; `afterwards` cleans up. */
export function stopChildrenOnSignals(afterwards = () => {}) {
  for (const [signal, status] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]]) {
    process.once(signal, () => {
      for (const child of running) killGroup(child);
      afterwards();
      process.exit(status);
    });
  }
}
