import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { namedTemporaryFile } from "../../lib/file/named.ts";
import { spooledTemporaryFile } from "../../lib/file/spooled.ts";
import type { TemporaryFile } from "../../lib/file/file.ts";
import { temporaryFile } from "../../lib/file/unnamed.ts";
import { writeFileAtomic, writeFileAtomicSync } from "../../lib/persist/write_file_atomic.ts";
import { type Primitives, runtime } from "../../lib/runtime/mod.ts";
import { everyOther, isCampaign, seed } from "../faults/campaign.ts";
import { type ChildResult, startChild } from "../support/child.ts";
import { pattern, sameBytes } from "../support/kinds.ts";
import { onceInAll, oncePerKind } from "../support/once.ts";
import { elsewhere, noElsewhere } from "../support/places.ts";
import { isWindows } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";
import { noStrace } from "../support/strace.ts";
import { type Stub, substitute, systemError } from "../support/substitute.ts";

const OLD = "the old contents\n".repeat(1000);

/** Large enough for several writes as a stream, and large enough to be linked rather than copied. */
const NEW = pattern(300_000), BIG = pattern(5 * 1024 ** 2);

type Call = (...args: never[]) => unknown;

/** Makes a range of calls of primitives fail. While it is armed, it counts the calls, from 1. */
class Faults {
  number = 0;
  failed: string | undefined;
  #first = Infinity;
  #last = Infinity;
  #code = "";

  arm(first: number, last: number, code: string): void {
    Object.assign(this, { number: 0, failed: undefined });
    [this.#first, this.#last, this.#code] = [first, last, code];
  }

  disarm(): void {
    this.#first = Infinity;
  }

  /** Makes a call, or throws in place of it if it is in the range. */
  call(name: string, real: () => unknown): unknown {
    this.number++;
    if (this.number < this.#first || this.number > this.#last) return real();
    this.failed = name;
    // The system frees the descriptor even if close() fails.
    if (name === "close") real();
    throw systemError(this.#code);
  }

  /** Substitutes every primitive, and the function that links a descriptor. */
  substitute(extra: { [name in keyof Primitives]?: Stub } = {}): Disposable {
    const names = Object.keys(runtime.sync) as (keyof Primitives)[];
    const stubs = names.map((name) => [name, (real: Call, ...args: never[]) => {
      const stub = extra[name];
      return this.call(name, () => stub === undefined ? real(...args) : stub(real as never, ...args));
    }]);
    const { linkDescriptor } = runtime;
    return substitute({
      primitives: Object.fromEntries(stubs),
      runtime: {
        linkDescriptor: linkDescriptor && {
          sync: (...args) => void this.call("linkDescriptor", () => linkDescriptor.sync(...args)),
          pooled: async (...args) =>
            await this.call("linkDescriptor", () => linkDescriptor.pooled(...args)) as void,
        },
      },
    });
  }
}

/** A way to put a file in place. */
interface Scenario {
  /** Whether an existing file is replaced. */
  replaces: boolean;
  contents: Uint8Array;
  /** Opens the file to persist, if there is one. */
  open?: (dir: string) => TemporaryFile | Promise<TemporaryFile>;
  put(target: string, file: TemporaryFile): unknown;
  stubs?: { [name in keyof Primitives]?: Stub };
}

/** Renames only staged files, as between two file systems. */
const crossDevice: Stub = (real, from: string, to: string) => {
  if (!from.includes(".mayfly-")) throw systemError("EXDEV");
  return real(from, to);
};

async function* streamed(): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < NEW.length; at += 100_000) {
    await Promise.resolve();
    yield NEW.subarray(at, at + 100_000);
  }
}

const writes = { replaces: true, contents: NEW };

const SCENARIOS: { readonly [name: string]: Scenario } = {
  "write": { ...writes, put: (target) => writeFileAtomic(target, NEW) },
  "write, sync": { ...writes, put: (target) => writeFileAtomicSync(target, NEW) },
  "write a stream": { ...writes, put: (target) => writeFileAtomic(target, streamed()) },
  "write with a mode": { ...writes, put: (target) => writeFileAtomicSync(target, NEW, { mode: 0o777 }) },
  "write a new file": {
    ...writes,
    replaces: false,
    put: (target) => writeFileAtomicSync(target, NEW, { overwrite: false }),
  },
  "rename": {
    ...writes,
    open: (dir) => namedTemporaryFile({ dir }),
    put: (target, file) => file.persist(target),
  },
  "rename, sync": {
    ...writes,
    open: (dir) => namedTemporaryFile({ dir }),
    put: (target, file) => file.persistSync(target),
  },
  "link": {
    ...writes,
    replaces: false,
    open: (dir) => namedTemporaryFile({ dir }),
    put: (target, file) => file.persistSync(target, { overwrite: false }),
  },
  "copy a named file": {
    ...writes,
    open: (dir) => namedTemporaryFile({ dir }),
    put: (target, file) => file.persistSync(target),
    stubs: { rename: crossDevice },
  },
  "copy an unnamed file": {
    ...writes,
    open: (dir) => temporaryFile({ dir }),
    put: (target, file) => file.persist(target),
  },
  "copy a spool": {
    ...writes,
    open: (dir) => spooledTemporaryFile({ dir }),
    put: (target, file) => file.persistSync(target),
  },
  "name an unnamed file": {
    replaces: true,
    contents: BIG,
    open: (dir) => temporaryFile({ dir }),
    put: (target, file) => file.persistSync(target),
  },
};

/** The result of one attempt with faults. */
interface Attempt {
  /** The number of calls of primitives. */
  calls: number;
  failed: string | undefined;
}

async function attempt(
  scenario: Scenario,
  faults: Faults,
  [first, last, code]: [number, number, string],
): Promise<Attempt> {
  const { replaces, contents, open, put, stubs } = scenario;
  // In memory if possible, where syncing costs nothing.
  using place = scratch(noElsewhere ? undefined : elsewhere);
  const dir = join(place.path, "temporary"),
    results = join(place.path, "results"),
    target = join(results, "target");
  mkdirSync(dir);
  mkdirSync(results);
  // Warms up what is done once per directory and process, which is not part of the attempt.
  writeFileAtomicSync(target, OLD);
  if (!replaces) writeFileSync(join(results, "other"), ""), unlinkSync(target);
  const file = await open?.(dir);
  await file?.write(contents);
  using _ = faults.substitute(stubs);
  faults.arm(first, last, code);
  let error: Error & { code?: string } | undefined;
  try {
    await put(target, file!);
  } catch (thrown) {
    error = thrown as Error;
  }
  faults.disarm();
  const { number: calls, failed } = faults;
  const label = `${failed} failed with ${code} (calls ${first} to ${last}): ${error?.message}`;
  const inPlace = error === undefined || / is in place, but /.test(error.message);
  const found = readIfThere(target);
  if (inPlace) {
    assert.ok(found !== undefined && sameBytes(found, contents), `the new file is there: ${label}`);
  } else assert.equal(found?.toString(), replaces ? OLD : undefined, `the old state is there: ${label}`);
  if (first === last && failed !== "unlink") {
    const beside = readdirSync(results).filter((name) => !["target", "other"].includes(name));
    assert.deepEqual(beside, [], `nothing beside the target: ${label}`);
  }
  if (error !== undefined) assert.equal(error.code, code, label);
  if (file !== undefined) await assertUsable(file, inPlace, scenario, target, label);
  return { calls, failed };
}

/** Asserts that a file that was not put in place is still open and whole, and can be persisted. */
async function assertUsable(
  file: TemporaryFile,
  inPlace: boolean,
  { contents }: Scenario,
  target: string,
  label: string,
): Promise<void> {
  assert.equal(file.closed, inPlace, label);
  if (inPlace) return;
  assert.ok(sameBytes(await file.bytes(), contents), `the temporary file is whole: ${label}`);
  await file.persist(target);
  assert.ok(sameBytes(readFileSync(target), contents), `it can still be persisted: ${label}`);
}

function readIfThere(path: string): ReturnType<typeof readFileSync> & Uint8Array | undefined {
  return existsSync(path) ? readFileSync(path) as never : undefined;
}

/** Makes each call of each scenario fail in turn; returns the number of attempts, and the names of the failed calls. */
async function failEveryCall(
  codes: string[],
  lastOf: (first: number) => number,
): Promise<{ points: number; failed: Set<string> }> {
  const failed = new Set<string>();
  let points = 0;
  for (const scenario of Object.values(SCENARIOS)) {
    const faults = new Faults();
    const { calls } = await attempt(scenario, faults, [Infinity, Infinity, ""]);
    assert.ok(calls >= 5, "the calls are counted");
    for (let first = 1; first <= calls; first++) {
      for (const code of codes) {
        const result = await attempt(scenario, faults, [first, lastOf(first), code]);
        failed.add(result.failed!);
        points++;
      }
    }
  }
  return { points, failed };
}

test(
  "persist() and writeFileAtomic() leave the old file or the whole new one, and report which, if any one call fails (once on Node, Deno and Bun)",
  {
    skip: oncePerKind,
  },
  async () => {
    const { points, failed } = await failEveryCall(["EIO", "ENOSPC"], (first) => first);
    console.log(`${points} points of failure tried on ${runtime.name}`);
    assert.ok(points > 200);
    for (
      const name of [
        "createFile",
        "write",
        "synchronize",
        // Windows cannot sync directories.
        ...isWindows ? [] : ["synchronizeDirectory"],
        "close",
        "rename",
        "link",
        "unlink",
        "read",
      ]
    ) {
      assert.ok(failed.has(name), `${name} was among the failed calls`);
    }
  },
);

test(
  "persist() and writeFileAtomic() leave the old file or the whole new one, and report which, if all calls from any one on fail (once on Node, Deno and Bun)",
  {
    skip: oncePerKind,
  },
  async () => {
    const { points } = await failEveryCall(["EIO"], () => Infinity);
    console.log(`${points} points of lasting failure tried on ${runtime.name}`);
    assert.ok(points > 100);
  },
);

/** Large enough for several writes by an asynchronous function. */
const TRACED_LENGTH = 1_300_000;

/**
 * Repeats one operation, each time on command, and reports how it ended. What is done once per process is done before
 * the first. It does not check the result itself, since its own calls would count for the injection.
 */
const TRACED_PROGRAM = `
const [scenario, dir, results] = args;
const target = path.join(results, "target");
const old = "old ".repeat(1000);
const bytes = new Uint8Array(scenario === "large" ? ${BIG.length} : ${TRACED_LENGTH}).fill(66);
const run = {
  "write, sync": () => m.writeFileAtomicSync(target, bytes),
  "write": () => m.writeFileAtomic(target, bytes),
  "create": () => m.writeFileAtomicSync(target, bytes, { overwrite: false }),
  "rename": (file) => file.persistSync(target),
  "copy": (file) => file.persistSync(target),
  "large": (file) => file.persistSync(target),
}[scenario];
const make = async () => {
  if (/write|create/.test(scenario)) return undefined;
  const file = scenario === "large" ? await m.temporaryFile({ dir }) : await m.namedTemporaryFile({ dir });
  await file.write(bytes);
  await file.flush();
  return file;
};
const parent = process.ppid;
const waitFor = (name) => {
  while (!fs.existsSync(path.join(results, name))) {
    if (process.ppid !== parent) process.exit();
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
  }
};
m.configure({ reclaim: false });
// The clock stands still: otherwise a call delayed by strace would count as slow, and the next run on another thread.
process.hrtime = () => [0, 0];
// While a file is held, the lease is not created again.
const held = await m.namedTemporaryFile();
await run(await make());
for (let turn = 0;; turn++) {
  const file = await make();
  scenario === "create" ? fs.rmSync(target, { force: true }) : fs.writeFileSync(target, old);
  say("ready");
  waitFor("go " + turn);
  let outcome = "done";
  try { await run(file); } catch (error) { outcome = error.message; }
  say(outcome);
  waitFor("next " + turn);
  file?.[Symbol.dispose]();
}
`;

/** Milliseconds that a child may run, and that it may take for one operation: long, since machines can be busy. */
const CHILD_TIMEOUT = 300_000, TURN_TIMEOUT = 30_000;

/** What makes a call: the main thread, a thread of the pool, or a program started for it. */
type Maker = "main" | "pool" | "program";

/** A system call in the log of strace. */
interface Traced {
  thread: number;
  name: string;
  /** Whether it concerns a file or directory of the scenario. */
  ours: boolean;
}

/** A child that repeats one operation. */
class Worker implements AsyncDisposable {
  #turn = 0;
  #text = "";
  #wake = (): void => {};
  readonly #scenario: string;
  readonly #child: ChildProcess;
  readonly #result: Promise<ChildResult>;
  readonly #place = scratch();
  readonly #other = scratch(elsewhere);
  /** A directory of its own, since no later process would remove the leftovers of a killed child. */
  readonly #temporary = scratch();
  readonly #results = join(this.#place.path, "results");

  constructor(scenario: string) {
    this.#scenario = scenario;
    mkdirSync(this.#results);
    const dir = scenario === "copy" ? this.#other.path : this.#place.path;
    const { child, result } = startChild(TRACED_PROGRAM, {
      args: [scenario, dir, this.#results],
      // A pool of one thread, so that its calls have a fixed order.
      env: { UV_THREADPOOL_SIZE: "1", TMPDIR: this.#temporary.path },
      timeout: CHILD_TIMEOUT,
    });
    this.#child = child;
    this.#result = result.finally(() => this.#wake());
    child.stdout!.on("data", (part: string) => {
      this.#text += part;
      this.#wake();
    });
  }

  get ended(): boolean {
    return this.#child.signalCode !== null || this.#child.exitCode !== null;
  }

  /** Returns the next line of its output; undefined if it has ended. */
  async #line(): Promise<string | undefined> {
    while (!this.#text.includes("\n")) {
      if (this.ended) return undefined;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    const end = this.#text.indexOf("\n");
    const line = this.#text.slice(1, end);
    this.#text = this.#text.slice(end + 1);
    return line;
  }

  /** Waits until it is ready for the next operation. */
  async ready(): Promise<void> {
    if (await this.#line() !== '"ready"') assert.fail((await this.#result).stderr);
  }

  /** Returns the id of its main thread, or of the thread of its pool. */
  thread(maker: Maker): number {
    const main = this.#child.pid!;
    if (maker !== "pool") return main;
    const threads = readdirSync(`/proc/${main}/task`);
    const nameOf = (thread: string) => readFileSync(`/proc/${main}/task/${thread}/comm`, "latin1").trim();
    return Number(threads.find((thread) => nameOf(thread) === "libuv-worker"));
  }

  /** Runs the operation once under strace; returns its outcome, undefined if the child died or hung, and its calls. */
  async once(args: string[]): Promise<{ outcome: string | undefined; calls: Traced[] }> {
    using place = scratch();
    const log = join(place.path, "log");
    let line: string | undefined;
    {
      await using _tracer = await attached(["-y", "-o", log, ...args]);
      const timer = setTimeout(() => this.#child.kill("SIGKILL"), TURN_TIMEOUT);
      writeFileSync(join(this.#results, `go ${this.#turn}`), "");
      line = await this.#line();
      clearTimeout(timer);
    }
    return {
      outcome: line === undefined ? undefined : JSON.parse(line),
      calls: this.#parse(readFileSync(log, "latin1")),
    };
  }

  #parse(log: string): Traced[] {
    const isOurs = (text: string) => text.includes(this.#place.path) || text.includes(this.#other.path);
    return [...log.matchAll(/^(?:(\d+) +)?(\w+)\((.*)/gm)].map(([, thread, name, text]) => {
      return { thread: Number(thread), name, ours: isOurs(text) };
    });
  }

  /** Lets it prepare the next operation. */
  async next(): Promise<void> {
    writeFileSync(join(this.#results, `next ${this.#turn++}`), "");
    await this.ready();
  }

  /** Returns what is at the target. */
  state(): "old" | "new" | "half a file" {
    const target = join(this.#results, "target");
    if (this.#scenario === "create" && !existsSync(target)) return "old";
    const found = readFileSync(target);
    if (found.toString() === "old ".repeat(1000)) return "old";
    const length = this.#scenario === "large" ? BIG.length : TRACED_LENGTH;
    return sameBytes(found, new Uint8Array(length).fill(66)) ? "new" : "half a file";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#result;
    this.#place[Symbol.dispose]();
    this.#other[Symbol.dispose]();
    this.#temporary[Symbol.dispose]();
  }
}

/** Runs strace until the end of the scope; resolves when it is attached. */
function attached(args: string[]): Promise<AsyncDisposable> {
  const tracer = spawn("strace", args, { stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise<void>((resolve) => tracer.on("close", () => resolve()));
  const tracing: AsyncDisposable = {
    async [Symbol.asyncDispose]() {
      tracer.kill("SIGINT");
      await ended;
    },
  };
  return new Promise((resolve, reject) => {
    let text = "";
    tracer.stderr.setEncoding("utf8").on("data", (part: string) => {
      text += part;
      if (text.includes("attached")) resolve(tracing);
    });
    tracer.on("close", () => reject(new Error(text)));
  });
}

/** The system calls to fail, which put a file in place, and their error codes. */
const INJECTED: { readonly [name: string]: readonly string[] } = {
  openat: ["ENOSPC", "EINTR"],
  pwrite64: ["ENOSPC", "EIO", "EINTR"],
  fsync: ["EIO", "ENOSPC", "EINTR"],
  close: ["EIO", "EINTR"],
  rename: ["EIO", "EINTR"],
  link: ["EIO", "EINTR"],
  unlink: ["EIO", "EINTR"],
  linkat: ["EIO"],
};

/** A call to fail or to be killed in. */
interface Point {
  maker: Maker;
  name: string;
  /** Counts the thread's calls of this name on files of the scenario, from 0. */
  index: number;
  /** Counts all its calls of this name, from 1. */
  number: number;
}

const TRACED_CALLS = Object.keys(INJECTED).join(",");

/** Returns the calls on files of the scenario. */
async function pointsOf(worker: Worker): Promise<Point[]> {
  const args = ["-f", "-p", String(worker.thread("main")), "-e", `trace=${TRACED_CALLS},execve`];
  const { outcome, calls } = await worker.once(args);
  assert.deepEqual([outcome, worker.state()], ["done", "new"]);
  await worker.next();
  const programs = new Set(calls.filter(({ name }) => name === "execve").map(({ thread }) => thread));
  const makerOf = (thread: number): Maker =>
    programs.has(thread) ? "program" : thread === worker.thread("main") ? "main" : "pool";
  const points: Point[] = [];
  for (const [at, { thread, name, ours }] of calls.entries()) {
    if (name === "execve" || !ours) continue;
    const alike = calls.slice(0, at).filter((call) => call.thread === thread && call.name === name);
    const index = alike.filter((call) => call.ours).length;
    points.push({ maker: makerOf(thread), name, index, number: alike.length + 1 });
  }
  return points;
}

/** Attempts to hit a call. */
const MAX_TRIES = 10;

/** Workers for one scenario, one at a time: a new one replaces one that died. */
class Workers implements AsyncDisposable {
  /** How often the fault hit another call than the intended one. */
  missed = 0;
  #worker: Worker | undefined;
  readonly #scenario: string;

  constructor(scenario: string) {
    this.#scenario = scenario;
  }

  async current(): Promise<Worker> {
    if (this.#worker?.ended) await this[Symbol.asyncDispose]();
    if (this.#worker !== undefined) return this.#worker;
    this.#worker = new Worker(this.#scenario);
    await this.#worker.ready();
    return this.#worker;
  }

  /**
   * Injects a fault into a call. strace selects calls by their number, and now and then the runtime or the C library makes
   * one of its own, whose failure may even end the process. The trace shows which call was hit; if it was another one, the
   * attempt is inconclusive, and repeated.
   */
  async meet(
    { maker, name, index, number }: Point,
    what: string,
  ): Promise<{ worker: Worker; outcome: string | undefined }> {
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const worker = await this.current();
      const follow = maker === "program" ? ["-f"] : [];
      const thread = String(worker.thread(maker));
      const injection = `inject=${name}:${what}:when=${number}`;
      const { outcome, calls } = await worker.once([
        ...follow,
        "-p",
        thread,
        "-e",
        `trace=${name}`,
        "-e",
        injection,
      ]);
      const wanted = calls.flatMap(({ ours }, at) => ours ? [at + 1] : [])[index];
      if (wanted === number) return { worker, outcome };
      this.missed++;
      number = wanted ?? number;
      if (!worker.ended) await worker.next();
    }
    throw new Error(
      `${this.#scenario}: ${maker}'s ${name} number ${index + 1} was not hit in ${MAX_TRIES} tries`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker?.[Symbol.asyncDispose]();
    this.#worker = undefined;
  }
}

test(
  "persist() and writeFileAtomic() leave the old file or the whole new one if the kernel fails, or kills the process in, any open, write, fsync, close, rename, link or unlink (once in all; every other scenario, all with npm run faults)",
  {
    skip: onceInAll || noStrace || noElsewhere,
  },
  async () => {
    let refused = 0, killed = 0, missed = 0;
    const tryScenario = async (scenario: string): Promise<void> => {
      await using workers = new Workers(scenario);
      for (const point of await pointsOf(await workers.current())) {
        const labelled = (what: string) => `${scenario}: ${what} at ${JSON.stringify(point)}`;
        for (const error of INJECTED[point.name]) {
          const { worker, outcome } = await workers.meet(point, `error=${error}`);
          const isNew = outcome === "done" || outcome?.includes("is in place, but");
          assert.equal(worker.state(), isNew ? "new" : "old", labelled(`${error}: ${outcome}`));
          assert.notEqual(outcome, undefined, labelled(`died of ${error}`));
          await worker.next();
          refused++;
        }
        const { worker, outcome } = await workers.meet(point, "signal=KILL");
        assert.match(worker.state(), /^(old|new)$/, labelled("killed"));
        // If a program makes the call, that program is killed, and the function fails.
        if (point.maker === "program") await worker.next();
        else assert.equal(outcome, undefined, labelled("survived SIGKILL"));
        killed++;
      }
      missed += workers.missed;
    };
    const scenarios = everyOther(["write, sync", "create", "write", "rename", "copy", "large"]);
    const next = scenarios.values();
    const work = async (): Promise<void> => {
      for (const scenario of next) await tryScenario(scenario);
    };
    await Promise.all([work(), work()]);
    console.log(
      `${refused} points refused by the kernel, ${killed} killed in, ${missed} tried again: ` +
        `${scenarios.join("; ")}; MAYFLY_SEED=${seed}`,
    );
    assert.ok(refused >= (isCampaign ? 90 : 40), `${refused} refused; MAYFLY_SEED=${seed}`);
    assert.ok(killed >= (isCampaign ? 35 : 15), `${killed} killed; MAYFLY_SEED=${seed}`);
  },
);
