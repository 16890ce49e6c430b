/**
 * Code that needs a process of its own: its umask, directory, environment, signals or death.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { scratch } from "./scratch.ts";

const runtime = process.env.MAYFLY_TEST_RUNTIME ?? (process.versions.bun ? "bun" : "node");
const dist = process.env.MAYFLY_TEST_MODE === "dist";

/** How to run a child. */
export interface ChildOptions {
  /** Arguments, available to the code as `args`. */
  args?: string[];
  /** Added to this process's environment; undefined removes a variable. */
  env?: { [name: string]: string | undefined };
  cwd?: string;
  /** Permission bits as octal text. */
  umask?: string;
  /** `true`: without root's power to ignore permission bits (no effect if this process is not root). */
  unprivileged?: boolean;
  /** Flags for the runtime, instead of those that permit everything. */
  flags?: string[];
  /** `true`: without `m`; the code imports the library from `moduleUrl` when it needs it. */
  bare?: boolean;
  /** A program to run it under, such as `["strace", "-f"]`. */
  under?: string[];
  /** Milliseconds until it is killed. */
  timeout?: number;
}

/** The result of a child. */
export interface ChildResult {
  status: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
  /** The values passed to `say`, in order. */
  // deno-lint-ignore no-explicit-any -- a test knows what its child says
  said: any[];
}

/** Returns the command that runs a script on the runtime of this process. */
export function runtimeCommand(script: string, flags?: string[]): string[] {
  const conditions = dist ? ["--conditions=dist"] : [];
  if (runtime === "deno") {
    return [process.execPath, "run", ...flags ?? ["-A"], "--no-check", "--no-remote", ...conditions, script];
  }
  return [process.execPath, ...flags ?? [], ...conditions, script];
}

/** The URL of the library under test. */
export const moduleUrl: string = import.meta.resolve("#mod");

/** Whether other users may enter every directory on the path to the library and the runtime. */
export function othersMayEnter(): boolean {
  const mayEnter = (path: string): boolean => {
    const parent = dirname(path);
    return (statSync(parent).mode & 1) !== 0 && (parent === path || mayEnter(parent));
  };
  return mayEnter(fileURLToPath(moduleUrl)) && mayEnter(realpathSync(process.execPath));
}

const PRELUDE = `
const args = process.argv.slice(2);
const say = (value) => process.stdout.write("\\u0001" + JSON.stringify(value ?? null) + "\\n");
`;

const IMPORTS = `import process from "node:process"; import fs from "node:fs"; import path from "node:path";`;
const LIBRARY = `import * as m from ${JSON.stringify(moduleUrl)};`;
const BARE = `const moduleUrl = ${JSON.stringify(moduleUrl)};`;

/**
 * Starts a child that runs `code`: plain JavaScript (no types, no \`using\`) at the top level of a module, with \`m\`
 * (the library), \`fs\`, \`path\`, \`process\`, \`args\` and \`say(value)\`, which reports a value to the test.
 */
export function startChild(
  code: string,
  options: ChildOptions = {},
): { child: ChildProcess; result: Promise<ChildResult> } {
  const place = scratch();
  const script = join(place.path, "child.mjs");
  writeFileSync(script, `${IMPORTS}${options.bare ? BARE : LIBRARY}${PRELUDE}${code}`);
  const command = [...wrappers(options), ...runtimeCommand(script, options.flags), ...options.args ?? []];
  const env = { ...process.env, DENO_NO_UPDATE_CHECK: "1", NO_COLOR: "1", ...options.env };
  const child = spawn(command[0], command.slice(1), {
    cwd: options.cwd,
    env,
    stdio: ["pipe", "pipe", "pipe"],
  });
  const result = collect(child, options.timeout ?? 60_000).finally(() => {
    rmSync(script, { force: true });
    place[Symbol.dispose]();
  });
  return { child, result };
}

/**
 * Writes a program into a directory, with `fs`, `path` and `process`, but without the library, and returns the command
 * that runs it. For what no program on every platform can do.
 */
export function programIn(directory: string, code: string): string[] {
  const script = join(directory, `program-${programs++}.mjs`);
  writeFileSync(script, IMPORTS + code);
  return runtimeCommand(script);
}

let programs = 0;

/** Runs a child until it exits. */
export function runChild(code: string, options?: ChildOptions): Promise<ChildResult> {
  return startChild(code, options).result;
}

/**
 * Waits for the first output of a child. A child that exits without any fails the test, which would otherwise wait for
 * ever.
 */
export function firstOutput(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let stderr = "";
    child.stderr?.on("data", (text) => stderr += text);
    child.stdout!.once("data", () => resolve());
    child.once("error", reject);
    child.once("close", () => reject(new Error(`The child ended without a word: ${stderr}`)));
  });
}

/** Runs children whose code starts at the same moment: when the last of them is ready. */
export async function runTogether(code: string, args: string[][]): Promise<ChildResult[]> {
  using place = scratch();
  const start = join(place.path, "start");
  const wait = `say("ready");
    while (!fs.existsSync(${JSON.stringify(start)})) await new Promise((resolve) => setTimeout(resolve, 1));`;
  const children = args.map((args) => startChild(wait + code, { args }));
  const ready = children.map(({ child }) => new Promise((resolve) => child.stdout!.once("data", resolve)));
  const results = Promise.all(children.map(({ result }) => result));
  await Promise.race([results, Promise.all(ready)]);
  writeFileSync(start, "");
  return (await results).map((result) => ({ ...result, said: result.said.slice(1) }));
}

/** The command that takes root's power to ignore permission bits from a program. */
export const unprivileged: readonly string[] = process.getuid?.() === 0
  ? ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
  : [];

function wrappers({ umask, unprivileged: isUnprivileged, under }: ChildOptions): string[] {
  return [
    ...umask === undefined ? [] : ["sh", "-c", `umask ${umask} && exec "$@"`, "sh"],
    ...isUnprivileged ? unprivileged : [],
    ...under ?? [],
  ];
}

function collect(child: ChildProcess, timeout: number): Promise<ChildResult> {
  return new Promise((resolve, reject) => {
    let stdout = "", stderr = "";
    const timer = setTimeout(() => process.kill(child.pid!, "SIGKILL"), timeout);
    child.stdout!.setEncoding("utf8").on("data", (text) => stdout += text);
    child.stderr!.setEncoding("utf8").on("data", (text) => stderr += text);
    child.on("error", reject);
    child.on("close", (status, signal) => {
      clearTimeout(timer);
      const lines = stdout.split("\n");
      const said = lines.filter((line) => line.startsWith("\u0001")).map((line) => JSON.parse(line.slice(1)));
      stdout = lines.filter((line) => !line.startsWith("\u0001")).join("\n");
      resolve({ status, signal, stdout, stderr, said });
    });
  });
}
