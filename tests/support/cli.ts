/**
 * The command line under test, on the runtime under test.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { moduleUrl, runtimeCommand } from "./child.ts";
import { isWindows, root } from "./platform.ts";
import { onTerminal } from "./terminal.ts";

/** How to run it. */
export interface CliOptions {
  /** Added to this process's environment. */
  env?: { [name: string]: string | undefined };
  /** A descriptor for its standard input, which is empty without. */
  stdin?: number;
  /** A descriptor for its standard output, instead of a pipe. */
  stdout?: number;
}

/** Its result. */
export interface CliResult {
  status: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
}

/** The program that the package installs, source or built. */
export const entry: string = fileURLToPath(moduleUrl.replace(/mod\.(ts|js)$/, "cli.$1"));

/** Returns the command line of `mayfly` with some arguments. */
export const cliCommand = (...args: string[]): string[] => [...runtimeCommand(entry), ...args];

const ENVIRONMENT = {
  TEMP: undefined,
  TMP: undefined,
  NO_COLOR: "1",
  DENO_NO_UPDATE_CHECK: "1",
  // Otherwise each start would strip the types of a hundred modules, which takes Node a quarter of a second.
  NODE_COMPILE_CACHE: join(root, ".runtimes/compiled"),
};

/** A started program. The end of the scope kills it with its children, as a test that fails must leave none running. */
export interface Program extends Disposable {
  child: ChildProcess;
  result: Promise<CliResult>;
}

/** Starts a program in a session of its own, so that a terminal from which the tests run does not affect its signals. */
export function startProgram(
  [file, ...args]: string[],
  { env, stdin, stdout }: CliOptions = {},
): Program {
  const child = spawn(file, args, {
    env: { ...process.env, ...ENVIRONMENT, ...env },
    stdio: [stdin ?? "ignore", stdout ?? "pipe", "pipe"],
    detached: true,
  });
  let closed = false;
  child.once("close", () => closed = true);
  return { child, result: collect(child), [Symbol.dispose]: () => void (closed || killGroup(child)) };
}

/** Kills a program and its children: one that outlives it keeps its output open, and so its result from arriving. */
function killGroup(child: ChildProcess): void {
  try {
    if (isWindows) child.kill("SIGKILL");
    else process.kill(-child.pid!, "SIGKILL");
  } catch {
    // All have ended.
  }
}

/** Runs `mayfly` until it exits. */
export function mayfly(args: string[], options?: CliOptions): Promise<CliResult> {
  return startProgram(cliCommand(...args), options).result;
}

function collect(child: ChildProcess): Promise<CliResult> {
  return new Promise((resolve, reject) => {
    let stdout = "", stderr = "";
    const timer = setTimeout(killGroup, 60_000, child);
    child.stdout?.setEncoding("utf8").on("data", (text) => stdout += text);
    child.stderr!.setEncoding("utf8").on("data", (text) => stderr += text);
    child.on("error", reject);
    child.on("close", (status, signal) => {
      clearTimeout(timer);
      resolve({ status, signal, stdout, stderr });
    });
  });
}

/** Resolves when the program has printed some text; rejects if it ends without that. */
export function printed(child: ChildProcess, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let all = "";
    child.once(
      "close",
      () => reject(new Error(`It ended without printing ${JSON.stringify(text)}: "${all}"`)),
    );
    child.stdout!.on("data", (chunk) => {
      all += chunk;
      if (all.includes(text)) resolve(all);
    });
  });
}

/** Runs `mayfly` on a terminal of 80 columns. `stdout` has what it prints there on both streams. */
export function mayflyOnTerminal(args: string[], keys: string, options?: CliOptions): Promise<CliResult> {
  return startProgram([...onTerminal(80, keys), ...cliCommand(...args)], options).result;
}
