/**
 * Runs a scenario under strace, where the k-th call of the library fails or kills the process.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";
import { moduleUrl, runtimeCommand, unprivileged } from "../support/child.ts";
import { root as project } from "../support/platform.ts";
import { type Scratch, scratch } from "../support/scratch.ts";
import { elsewhere, noElsewhere } from "../support/places.ts";
import {
  type Call,
  callsIn,
  type Fault,
  filters,
  hitIndex,
  isEngines,
  keptBy,
  refusedIn,
  textOf,
} from "./calls.ts";
import { pathsBelow } from "./paths.ts";
import type { Scenario } from "./scenarios.ts";

/** How a call is made. */
export type Way = "sync" | "async";

/** What the process reports at the end. */
export interface Report {
  error:
    | { name: string; code?: string; path?: string; message: string; stack: string; isOurs: boolean }
    | undefined;
  warnings: string[];
  /** Open files and directories, by descriptor. */
  open: [descriptor: number, path: string][];
  called: string[];
}

/** The result of a run. */
export interface Run {
  label: string;
  scenario: Scenario;
  /** The directories that stand for `/` and `/other`. */
  root: string;
  other: string;
  calls: Call[];
  /** The call that the fault hit; -1 if none. */
  hit: number;
  /** The descriptor that a refused close left open. */
  kept: number | undefined;
  before: Set<string>;
  mine: Set<string>;
  /** What a dead process had left before it started. */
  inherited: Set<string>;
  report: Report | undefined;
  ending: string;
}

/**
 * Milliseconds after which a run counts as hung; long, since machines can be busy, but several must fit into the time of
 * a test.
 */
const HANGS = 20_000;

/** A process that reports things, one per line. */
class Traced {
  readonly #child: ChildProcess;
  readonly ended: Promise<string>;
  hung = false;
  stderr = "";
  #text = "";
  #wake = (): void => {};
  #isOver = false;

  constructor(command: readonly string[], env: { [name: string]: string | undefined }) {
    const child = spawn(command[0], command.slice(1), { env, stdio: ["pipe", "pipe", "pipe"] });
    this.#child = child;
    child.stdout!.setEncoding("utf8").on("data", (text: string) => {
      this.#text += text;
      this.#wake();
    });
    child.stderr!.setEncoding("utf8").on("data", (text: string) => this.stderr += text);
    child.stdin!.on("error", () => {});
    const timer = setTimeout(() => {
      this.hung = true;
      child.kill("SIGKILL");
    }, HANGS);
    this.ended = new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (status, signal) => {
        clearTimeout(timer);
        this.#isOver = true;
        this.#wake();
        resolve(signal ?? String(status));
      });
    });
  }

  /** Everything reported so far. */
  // deno-lint-ignore no-explicit-any -- as the child says it
  get said(): any[] {
    return this.#text.split("\n").filter((line) => line.startsWith("{") && line.endsWith("}")).map((line) =>
      JSON.parse(line)
    );
  }

  /** Returns the thread that waits; undefined if there will be none. */
  async thread(): Promise<string | undefined> {
    for (;;) {
      const { thread } = this.said.find((one) => "thread" in one) ?? {};
      if (thread !== undefined || this.#isOver) return thread;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  go(): void {
    this.#child.stdin!.write("\n");
  }
}

/** Starts strace; resolves when it is attached, and tells when it has ended. */
function attach(args: readonly string[]): Promise<{ ended: Promise<void> }> {
  const tracer = spawn("strace", args, { stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise<void>((resolve) => tracer.on("close", () => resolve()));
  return new Promise((resolve, reject) => {
    let text = "";
    tracer.on("error", reject);
    tracer.stderr.setEncoding("utf8").on("data", (part: string) => {
      text += part;
      if (text.includes("attached")) resolve({ ended });
    });
    tracer.on("close", () => reject(new Error(`strace: ${text}`)));
  });
}

/** Runs scenarios, each in a world of its own. */
export class Tracer implements Disposable {
  readonly #place: Scratch = scratch();
  readonly #other: Scratch = scratch(noElsewhere ? undefined : elsewhere);
  readonly #script: string;
  #runs = 0;

  constructor() {
    this.#script = join(this.#place.path, "traced.mjs");
    writeFileSync(this.#script, bundle());
  }

  [Symbol.dispose](): void {
    this.#place[Symbol.dispose]();
    this.#other[Symbol.dispose]();
  }

  /** Runs one scenario, with a fault if one is given. */
  async run(name: string, scenario: Scenario, way: Way, fault?: Fault): Promise<Run> {
    const number = String(this.#runs++);
    const root = join(this.#place.path, number), other = join(this.#other.path, number);
    for (const path of ["tmp", "home/user"]) mkdirSync(join(root, path), { recursive: true });
    mkdirSync(other);
    const start = (...role: string[]): Traced =>
      new Traced([...unprivileged, ...runtimeCommand(this.#script), name, way, root, other, ...role], {
        ...process.env,
        TMPDIR: join(root, "tmp"),
        NO_COLOR: "1",
        DENO_NO_UPDATE_CHECK: "1",
        UV_THREADPOOL_SIZE: "1",
        // Node exits if the file of its own cache cannot be closed.
        NODE_COMPILE_CACHE: undefined,
      });
    const dead = scenario.dead === undefined ? undefined : start("dead");
    await dead?.ended;
    const inherited = dead === undefined ? [] : [root, other].flatMap(pathsBelow);
    const traced = start();
    const thread = await traced.thread();
    if (thread === undefined) {
      throw new Error(`${name}: ${await traced.ended} before it began: ${traced.stderr}`);
    }
    const log = join(this.#place.path, `${number}.log`);
    const tracer = await attach(["-y", "-s", "200", "-o", log, "-p", thread, ...filters(fault)]);
    traced.go();
    const ended = await traced.ended;
    await tracer.ended;
    const said = [...dead?.said ?? [], ...traced.said];
    const text = readFileSync(log, "latin1");
    const calls = callsIn(text), refused = refusedIn(text);
    // strace refuses a close() without making it. If that is libuv's end of a pipe, as when flock(1) is started, the
    // engine waits for ever for it to be closed.
    const ending = traced.hung && !(refused && isEngines(refused)) ? "hung" : ended;
    const hit = fault === undefined ? -1 : hitIndex(fault, calls);
    const report: Report | undefined = said.find((one) => "end" in one)?.end;
    const outcome = report === undefined ? "" : report.error?.message ?? "success";
    return {
      label: [
        `${name}, ${way}`,
        fault?.what,
        textOf(refused ?? calls[hit] ?? fault?.call),
        ending,
        outcome,
        traced.stderr,
      ].join(": "),
      scenario,
      root,
      other,
      calls,
      hit,
      kept: keptBy(fault, calls[hit]),
      before: new Set(said.find((one) => "before" in one)?.before),
      mine: new Set(said.flatMap(({ mine }) => mine ?? [])),
      inherited: new Set(inherited),
      report,
      ending,
    };
  }
}

/** Bundles the program of the traced process, with the library as users have it. */
function bundle(): string {
  const { outputFiles } = buildSync({
    entryPoints: [fileURLToPath(new URL("./traced.ts", import.meta.url))],
    bundle: true,
    format: "esm",
    platform: "node",
    external: ["#mod"],
    write: false,
    logLevel: "error",
    absWorkingDir: project,
  });
  return outputFiles[0].text.replaceAll(`"#mod"`, JSON.stringify(moduleUrl));
}
