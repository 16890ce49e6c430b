/**
 * The traced process: runs one scenario on a real disk, between calls that mark which part is the library's. Bundled, and
 * started anew for each fault. Its arguments are the scenario, the variant, the directory that stands for `/`, the one that
 * stands for `/other`, and its role.
 *
 * @module
 */
import fs from "node:fs";
import process from "node:process";
import * as m from "#mod";
import { CARELESS } from "./careless.ts";
import { Variant } from "./variants.ts";
import { pathsBelow } from "./paths.ts";
import { type Place, type Scenario, SCENARIOS, type World } from "./scenarios.ts";

const [name, way, root, other, role] = process.argv.slice(2);
const scenario: Scenario = { ...SCENARIOS, ...CARELESS }[name];

/** Reports something to the driver immediately: the next call may be the last. */
function say(value: object): void {
  fs.writeSync(1, `${JSON.stringify(value)}\n`);
}

/** A call that finds nothing, but appears in the trace. */
const mark = (text: "on" | "off"): void => void fs.existsSync(`/mayfly/${text}`);

/** Does what is not part of the library. */
function aside<T>(act: () => T): T {
  mark("off");
  try {
    return act();
  } finally {
    mark("on");
  }
}

// The clock stands still: otherwise a call delayed by strace would count as slow, and the next one would run on another
// thread.
let clock = 1000;
Object.assign(process, { hrtime: () => [Math.floor(clock / 1000), (clock % 1000) * 1e6] });
performance.now = () => clock;

// Calls are selected by their number, which must not depend on other processes that come and go.
const { opendirSync } = fs, { readdir } = fs.promises;
const isOther = ({ name }: fs.Dirent): boolean => /^\d+$/.test(name) && name !== String(process.pid);
Object.assign(fs, {
  opendirSync(path: string, options: fs.OpenDirOptions) {
    const directory = opendirSync(path, options);
    if (path !== "/proc") return directory;
    const readSync = (): fs.Dirent | null => {
      const entry = directory.readSync();
      return entry !== null && isOther(entry) ? readSync() : entry;
    };
    return { readSync, closeSync: () => directory.closeSync() };
  },
});
// Bun's.
Object.assign(fs.promises, {
  async readdir(path: string, options: { withFileTypes: true }) {
    const entries = await readdir(path, options);
    return path === "/proc" ? entries.filter((entry) => !isOther(entry)) : entries;
  },
});

/** Milliseconds from which a timer waits for the clock; shorter ones are pauses between attempts, or no delay at all. */
const LONG = 1000;

/** The same for a timer that does not keep the process alive: it waits for an idle moment. */
const IDLE = 50;

interface Timer {
  at: number;
  call: () => void;
  /** The handle that the library holds. */
  handle: unknown;
}

const soon = globalThis.setTimeout, cancel = globalThis.clearTimeout;
let timers: Timer[] = [];

function later(call: () => void, milliseconds: number): unknown {
  const at = clock + milliseconds;
  if (milliseconds >= LONG) {
    const handle = { unref() {} };
    timers.push({ at, call, handle });
    return handle;
  }
  const handle = soon(call, milliseconds);
  if (milliseconds < IDLE || typeof handle === "number") return handle;
  const unref = (): void => {
    cancel(handle);
    timers.push({ at, call, handle });
  };
  return Object.assign(handle, { unref });
}

Object.assign(globalThis, {
  setTimeout: later,
  clearTimeout(timer: unknown) {
    const { length } = timers;
    timers = timers.filter(({ handle }) => handle !== timer);
    if (timers.length === length) cancel(timer as undefined);
  },
});

/** Turns of the event loop, in which everything that is due runs. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 4; turn++) await new Promise<void>((resolve) => soon(resolve, 1));
}

async function elapse(milliseconds: number): Promise<void> {
  await turns();
  clock += milliseconds;
  const due = timers.filter(({ at }) => at <= clock);
  timers = timers.filter(({ at }) => at > clock);
  for (const { call } of due) call();
  await turns();
}

/** Returns the real path for a path of the scenario. */
const at = (path: string): string => path.startsWith("/other") ? other + path.slice(6) : root + path;

const place: Place = {
  at,
  plant: (path, text) => aside(() => fs.writeFileSync(path, text)),
  plantDirectory: (path) => aside(() => fs.mkdirSync(path)),
  plantLink: (target, path) => aside(() => fs.symlinkSync(target, path)),
  changeMode: (path, mode) => aside(() => fs.chmodSync(path, mode)),
};

const handles: Disposable[] = [];

const world: World = {
  ...place,
  elapse,
  use(handle) {
    handles.push(handle as Disposable);
    return handle;
  },
  mine(path) {
    aside(() => say({ mine: path }));
    return path;
  },
  setUmask: (mask) => void process.umask(mask),
  duplicate: (descriptor) => aside(() => fs.openSync(`/proc/self/fd/${descriptor}`, "r+")),
  close: (descriptor) => aside(() => fs.closeSync(descriptor)),
  system: {
    createFile: (path, mode) => fs.openSync(path as string, "wx+", mode),
    openFile: (path) => fs.openSync(path as string, "r+"),
    close: (file) => fs.closeSync(file as number),
    write: (file, data, at) => fs.writeSync(file as number, data, 0, data.byteLength, at),
    truncate: (file, size) => fs.ftruncateSync(file as number, size),
    rename: (from, to) => fs.renameSync(from as string, to as string),
    unlink: (path) => fs.unlinkSync(path as string),
  },
};

const isLease = (path: string): boolean => /\/\.mayfly-\d+\/[^/]+\.lease( \(deleted\))?$/.test(path);

/** Returns the open files and directories, without leases. */
function openPaths(): [descriptor: number, path: string][] {
  const open = fs.readdirSync("/proc/self/fd").flatMap((number): [number, string][] => {
    try {
      return [[Number(number), fs.readlinkSync(`/proc/self/fd/${number}`)]];
    } catch {
      return [];
    }
  });
  return open.filter(([, path]) => (path.startsWith(root) || path.startsWith(other)) && !isLease(path));
}

/** Milliseconds in which what is about to be closed is closed, however busy the machine is. */
const CLOSES = 2000;

/**
 * Returns what stays open. A program that the library started, such as flock(1), may still be running, and keeps a
 * descriptor open until it ends. Like the marks, the look at each descriptor is a call that does not count.
 */
async function keptOpen(): Promise<[descriptor: number, path: string][]> {
  let open = openPaths();
  const end = Date.now() + CLOSES;
  while (open.length > 0 && Date.now() < end) {
    await new Promise<void>((resolve) => soon(resolve, 10));
    open = open.filter(([descriptor]) => fs.existsSync(`/proc/self/fd/${descriptor}`));
  }
  return open;
}

/** Waits until the driver has attached its tracer. */
function wait(): void {
  const byte = new Uint8Array(1);
  for (;;) {
    try {
      if (fs.readSync(0, byte, 0, 1, null) === 0) process.exit(3);
      return;
    } catch (error) {
      if ((error as { code?: string }).code !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

async function disposeAll(variant: Variant): Promise<void> {
  for (const handle of handles.reverse()) {
    if (handle === null) continue;
    const one = variant.of(handle);
    await (Symbol.asyncDispose in handle ? one[Symbol.asyncDispose]() : one[Symbol.dispose]());
  }
}

const warnings: unknown[] = [];
const called = new Set<string>();

function describe(thrown: unknown): object {
  const { name, code, path, message, stack } = thrown as Error & { code?: string; path?: string };
  return { name, code, path, message, stack, isOurs: thrown instanceof m.TempfileError };
}

/** Runs the scenario; reports how it ended, and what is open then. */
async function perform(): Promise<void> {
  const variant = new Variant(m, way === "sync", called);
  let thrown: unknown;
  mark("on");
  try {
    await scenario.run(variant.of(m), world);
  } catch (error) {
    thrown = error;
  }
  await disposeAll(variant).catch((error) => thrown ??= error);
  mark("off");
  await turns();
  const error = thrown === undefined ? undefined : describe(thrown);
  say({ end: { error, warnings, open: await keptOpen(), called: [...called] } });
  // What happens at the end of the process is the library's again.
  mark("on");
}

/** Does what is done once per process, so that it is not part of the scenario. */
async function warmUp(): Promise<void> {
  m.namedTemporaryFileSync().closeSync();
  await elapse(1);
}

process.on("warning", ({ code }: Error & { code?: string }) => void warnings.push(code));
if (role === "dead" || scenario.dead === undefined) {
  scenario.prepare?.(place);
  say({ before: [root, other].flatMap(pathsBelow) });
}
if (role === "dead") {
  scenario.dead!(m, place);
  process.kill(process.pid, "SIGKILL");
} else {
  if (!scenario.cold) await warmUp();
  say({ thread: fs.readlinkSync("/proc/thread-self").split("/").at(-1) });
  wait();
  await perform();
}
