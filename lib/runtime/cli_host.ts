/**
 * What the command line needs of the runtime beyond what the library needs: arguments, terminals, child programs, the
 * exit status. Only the entry of the command line imports this module, so the library never loads it.
 *
 * @module
 */
import { attempt } from "./attempt.ts";
import { granted, requireGranted } from "./deno_permissions.ts";
import { detect, type Globals } from "./detect.ts";

/** One argument, as Node's `parseArgs` reports it. */
export interface Token {
  kind: "option" | "positional" | "option-terminator";
  /** The name of an option, without its dashes. */
  name?: string;
  /** The option as the user wrote it. */
  rawName?: string;
  value?: string;
  inlineValue?: boolean;
}

/** The description of an option for `parseArgs`. */
export interface OptionType {
  type: "string" | "boolean";
  short?: string;
}

/** A running program. */
export interface Child {
  kill(signal: string): void;
  /** The exit status, as a shell reports it. Rejects with the system's code if the program could not be started. */
  readonly ended: Promise<number>;
}

/** The state of one permission. */
export interface Permission {
  granted: boolean;
  /** The flag that grants it. */
  flag: string;
  /** What Mayfly uses it for. */
  purpose: string;
}

/** The runtime, as a command sees it. */
export interface Host {
  /** The name and version of the runtime. */
  readonly runtime: string;
  /** The operating system and the processor architecture. */
  readonly machine: string;
  readonly args: readonly string[];
  /** Width of standard output in columns; undefined if it is not a terminal. */
  readonly columns: number | undefined;
  /** Whether standard error is a terminal. */
  readonly stderrIsTty: boolean;
  parseArgs(args: readonly string[], options: { [name: string]: OptionType }): Token[];
  /** Writes to standard output. Rejects if the text cannot have reached anybody. */
  write(text: string): Promise<void>;
  /** Writes to standard error. Never rejects: if nobody can read it, the exit status must report the failure. */
  writeError(text: string): Promise<void>;
  setStatus(status: number): void;
  /** Starts a program with our standard streams, and with variables added to our environment. */
  start(command: string, args: readonly string[], env: { [name: string]: string }): Child;
  /** Calls `listener` for signals, in place of their default action. Returns how to stop that. */
  onSignals(names: readonly string[], listener: (name: string) => void): () => void;
  /**
   * Whether the keys of a terminal send signals to this process, and so to its children. On Windows, all signals come
   * that way.
   */
  isForeground(): boolean;
  /** The permissions that matter to Mayfly for a directory; empty if everything is permitted. */
  permissions(directory: string): Permission[];
}

interface Stream {
  isTTY?: boolean;
  columns?: number;
  write(text: string, done: (error?: Error | null) => void): unknown;
  on(event: "error", listener: () => void): unknown;
}

interface NodeChild {
  pid?: number;
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "exit", listener: (status: number | null, signal: string | null) => void): unknown;
}

/** The part of `process` in use, which Deno also has. */
interface CliProcess {
  argv: string[];
  env: { [name: string]: string | undefined };
  platform: string;
  arch: string;
  versions: { [name: string]: string | undefined };
  stdin: Stream;
  stdout: Stream;
  stderr: Stream;
  exitCode?: number | string | null | undefined;
  permission?: { has(scope: string, reference?: string): boolean };
  getBuiltinModule(name: string): unknown;
  on(event: string, listener: () => void): unknown;
  off(event: string, listener: () => void): unknown;
  kill(pid: number, signal: string): unknown;
}

interface DenoPermissions {
  permissions: {
    querySync(descriptor: { name: string; [key: string]: string }): { state: string; partial?: boolean };
  };
}

interface Modules {
  "node:child_process": {
    spawn(command: string, args: readonly string[], options: object): NodeChild;
  };
  "node:fs": { readFileSync(path: string, encoding: "latin1"): string };
  "node:os": { constants: { signals: { [name: string]: number } } };
  "node:util": { parseArgs(config: object): { tokens: Token[] } };
}

/** Creates the host from the global scope. */
export function cliHost(scope: object): Host {
  const { process, Deno: given } = scope as { process: CliProcess; Deno?: DenoPermissions };
  const name = detect(scope as Globals);
  const deno = name === "deno" ? given : undefined;
  /** Refuses what Deno would prompt for. */
  const need = (permission: string, detail?: { [key: string]: string }): void => {
    if (deno !== undefined) requireGranted(deno, permission, detail);
  };
  const load = <N extends keyof Modules>(module: N): Modules[N] =>
    process.getBuiltinModule(module) as Modules[N];
  const statusOf = (signal: string): number => 128 + (load("node:os").constants.signals[signal] ?? 0);
  return {
    runtime: `${name} ${process.versions[name]}`,
    machine: `${process.platform} ${process.arch}`,
    args: process.argv.slice(2),
    get columns() {
      return process.stdout.isTTY === true ? process.stdout.columns : undefined;
    },
    get stderrIsTty() {
      return process.stderr.isTTY === true;
    },
    parseArgs: (args, options) =>
      load("node:util").parseArgs({ args, options, strict: false, allowPositionals: true, tokens: true })
        .tokens,
    write: (text) => writeTo(process.stdout, text),
    writeError: (text) => writeTo(process.stderr, text).catch(() => {}),
    setStatus(status) {
      process.exitCode = status;
    },
    start: (command, args, env) =>
      start(
        () => {
          need("env");
          const options = { stdio: "inherit", env: { ...process.env, ...env } };
          return load("node:child_process").spawn(command, args, options);
        },
        (pid, signal) => (need("run"), process.kill(pid, signal)),
        statusOf,
      ),
    onSignals: (names, listener) => onSignals(process, names, listener),
    isForeground: () =>
      attempt(() => {
        need("read", { path: STAT });
        return ownsTerminal(load("node:fs").readFileSync(STAT, "latin1"));
      }) ?? (process.platform === "win32" || process.stdin.isTTY === true),
    permissions: (directory) =>
      deno === undefined ? nodePermissions(process, directory) : denoPermissions(deno, directory),
  };
}

/** Streams that already have a listener: progress writes many lines, and the runtime warns at the eleventh listener. */
const withListener = new WeakSet<Stream>();

/** A stream reports a failure to the call, and also by an event that would end the process if nobody listened. */
function writeTo(stream: Stream, text: string): Promise<void> {
  if (!withListener.has(stream)) stream.on("error", () => {});
  withListener.add(stream);
  return new Promise((resolve, reject) => {
    stream.write(text, (error) => error ? reject(error) : resolve());
  });
}

/** If a program cannot be started, some runtimes emit an event, others throw. */
function start(
  spawn: () => NodeChild,
  send: (pid: number, signal: string) => unknown,
  statusOf: (signal: string) => number,
): Child {
  let child: NodeChild;
  try {
    child = spawn();
  } catch (error) {
    return { kill() {}, ended: Promise.reject(error) };
  }
  let running = true;
  const ended = new Promise<number>((resolve, reject) => {
    child.on("error", (error) => reject(withCode(error)));
    child.on("exit", (status, signal) => {
      running = false;
      resolve(signal === null ? status! : statusOf(signal));
    });
  });
  // On Deno, the child's own method sends no second signal.
  const kill = (signal: string): unknown => running && attempt(() => send(child.pid!, signal));
  return { kill, ended };
}

/** On Windows, Deno reports a missing program only in the text of the message. */
function withCode(error: Error & { code?: string }): Error {
  const isMissing = error.code === undefined && /File not found|no path to search/.test(error.message);
  return isMissing ? Object.assign(error, { code: "ENOENT" }) : error;
}

function onSignals(
  process: CliProcess,
  names: readonly string[],
  listener: (name: string) => void,
): () => void {
  const listeners = names.map((name) => [name, () => listener(name)] as const);
  // Not every system has every signal.
  for (const [name, call] of listeners) attempt(() => process.on(name, call));
  return () => {
    for (const [name, call] of listeners) attempt(() => process.off(name, call));
  };
}

/** The kernel's description of this process. */
const STAT = "/proc/self/stat";

/** Indices of its fields, counted from the one after the name of the program. */
const GROUP = 2;
const TERMINAL = 4;
const FOREGROUND_GROUP = 5;

/** Whether a process belongs to the foreground group of its terminal, which receives the signals of the keys. */
function ownsTerminal(stat: string): boolean {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields[TERMINAL] !== "0" && fields[FOREGROUND_GROUP] === fields[GROUP];
}

function denoPermissions({ permissions }: DenoPermissions, path: string): Permission[] {
  const may = (name: string, detail?: { [key: string]: string }): boolean =>
    granted({ permissions }, name, detail);
  const sys = (kind: string, purpose: string): Permission => ({
    granted: may("sys", { kind }),
    flag: `--allow-sys=${kind}`,
    purpose,
  });
  const all = ["read", "write", "env", "sys", "run", "ffi", "net"].every((name) =>
    may(name) && permissions.querySync({ name }).partial !== true
  );
  return [
    { granted: may("read", { path }), flag: `--allow-read=${path}`, purpose: "read files" },
    { granted: may("write", { path }), flag: `--allow-write=${path}`, purpose: "create files" },
    {
      granted: ["TMPDIR", "TEMP", "TMP"].every((variable) => may("env", { variable })),
      flag: "--allow-env=TMPDIR,TEMP,TMP",
      purpose: "use these variables",
    },
    sys("uid", "write a lease, so that others can remove what a crash leaves behind"),
    sys("hostname", "check whether the process of a lease still runs"),
    sys("statfs", "query free space"),
    {
      granted: may("run") && may("env"),
      flag: "--allow-run --allow-env",
      purpose:
        "start the reaper, put large unnamed files in place without a copy, and, except on Linux, check whether other processes still run",
    },
    {
      granted: all,
      flag: "--allow-all",
      purpose: "use /proc, to remove trees by descriptor and to check whether other processes still run",
    },
  ];
}

function nodePermissions({ permission }: CliProcess, directory: string): Permission[] {
  if (permission === undefined) return [];
  const flags = [
    ["fs.read", directory, `--allow-fs-read=${directory}`, "read files"],
    ["fs.write", directory, `--allow-fs-write=${directory}`, "create files"],
    ["fs.read", "/proc", "--allow-fs-read=/proc", "check whether other processes still run"],
    ["child", undefined, "--allow-child-process", "lock files and start the reaper"],
  ] as const;
  return flags.map(([scope, reference, flag, purpose]) => ({
    granted: permission.has(scope, reference),
    flag,
    purpose,
  }));
}
