/**
 * A runtime whose disk is in memory, and in which the k-th call fails, is delayed, or kills the process.
 *
 * @module
 */
import { setImmediate } from "node:timers";
import type { Handle, Listing, Locks, Path, Pooled, Primitives, Runtime } from "../../lib/runtime/mod.ts";
import {
  type Caller,
  FakeDisk,
  type Inode,
  opened,
  type OpenInode,
  permitOpen,
  readAt,
  ROOT,
  setSize,
  statusOf,
  writeAt,
} from "./fake_disk.ts";
import { systemError } from "./substitute.ts";

/** How a machine differs from Linux under Node. */
export interface MachineOptions {
  platform?: Runtime["platform"];
  /** Whether `createFile` and `openFile` return numbers; if not, objects, as on Deno. */
  numbers?: boolean;
  /** Whether files without names are supported. */
  unnamed?: boolean;
}

/** The user of all processes. */
export const UID = 1000;

/** A machine: a disk, and the processes that share it. */
export class FakeMachine {
  readonly disk: FakeDisk = new FakeDisk();
  readonly options: Required<MachineOptions>;
  #pids = 100;

  constructor({ platform = "linux", numbers = true, unnamed = true }: MachineOptions = {}) {
    this.options = { platform, numbers, unnamed };
    for (const path of ["/home", "/tmp", "/home/user", "/other"]) this.disk.makeDirectory(ROOT, path, 0o755);
    for (const path of ["/tmp", "/other"]) this.disk.find(ROOT, path, false).mode = 0o1777;
    this.disk.find(ROOT, "/home/user", false).uid = UID;
    this.disk.mount("/other");
  }

  /** Starts a process. */
  start(): FakeProcess {
    return new FakeProcess(this, this.#pids++);
  }
}

/** The fault injected into a call. */
type Fault = { code: string } | { delay: number } | { dies: true } | { short: true };

/** The answer to a call of a dead process. */
class Killed extends Error {
  override readonly name = "Killed";
}

/** Number of calls after which a process counts as hung. */
const ENDLESS = 50_000;

/** A descriptor as an object, for a runtime that exposes no number. */
interface Opaque {
  readonly number: number;
}

/** The limit of open descriptors per process. */
const DESCRIPTORS = 256;

/** A process: a runtime, and what it has open. */
export class FakeProcess implements Caller {
  readonly pid: number;
  readonly uid = UID;
  umask = 0o022;
  readonly descriptors: Map<number, OpenInode> = new Map();
  readonly runtime: Runtime;
  /** The names of the calls that could have failed, in order. */
  readonly calls: string[] = [];
  /** The codes of the warnings, in order. */
  readonly warnings: string[] = [];
  /** What no program may do, such as closing what is not open. */
  readonly defects: string[] = [];
  /** Called before each call that could fail, so that other processes can act in between, or kill this one. */
  beforeCall: ((name: string) => void) | undefined;
  dead = false;
  readonly machine: FakeMachine;
  readonly #faults = new Map<number, Fault>();
  readonly #endListeners = new Set<() => void>();
  #timers: { at: number; call: () => void }[] = [];
  #skew = 0;

  constructor(machine: FakeMachine, pid: number) {
    this.machine = machine;
    this.pid = pid;
    if (machine.options.platform === "linux") this.disk.callers.set(pid, this);
    this.runtime = runtimeOf(this);
  }

  get disk(): FakeDisk {
    return this.machine.disk;
  }

  /** Makes the call with this number, counted from 1, fail. */
  failAt(number: number, code: string): void {
    this.#faults.set(number, { code });
  }

  /** Delays a call by some milliseconds. */
  delayAt(number: number, delay: number): void {
    this.#faults.set(number, { delay });
  }

  /** Makes a read or write transfer half of what was requested. */
  shortenAt(number: number): void {
    this.#faults.set(number, { short: true });
  }

  /** Kills the process in a call, before the call has any effect. */
  dieAt(number: number): void {
    this.#faults.set(number, { dies: true });
  }

  /** Milliseconds of a clock that moves only by injected delays. */
  now(): number {
    return this.#skew;
  }

  pass(milliseconds: number): void {
    this.#skew += milliseconds;
  }

  later(milliseconds: number, call: () => void): () => void {
    const timer = { at: this.#skew + milliseconds, call };
    this.#timers.push(timer);
    return () => this.#timers = this.#timers.filter((other) => other !== timer);
  }

  /** Lets time pass, and runs the timers that are due. */
  elapse(milliseconds: number): void {
    const end = this.#skew + milliseconds;
    for (;;) {
      const [next] = this.#timers.filter(({ at }) => at <= end).sort((one, other) => one.at - other.at);
      if (next === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#skew = Math.max(this.#skew, next.at);
      next.call();
    }
    this.#skew = Math.max(this.#skew, end);
  }

  onEnd(listener: () => void): () => void {
    this.#endListeners.add(listener);
    return () => void this.#endListeners.delete(listener);
  }

  /** Ends the process as a return from its main function does. */
  end(): void {
    if (this.dead) return;
    for (const listener of this.#endListeners) listener();
    this.kill();
  }

  /** Ends the process immediately. */
  kill(): void {
    this.dead = true;
    this.#timers = [];
    for (const number of [...this.descriptors.keys()]) this.release(number);
    this.disk.callers.delete(this.pid);
  }

  /** Calls a primitive, unless a fault is injected. */
  call<T>(name: string, real: (short: boolean) => T): T {
    if (this.dead) throw new Killed("the process is dead");
    this.calls.push(name);
    if (this.calls.length > ENDLESS) throw new Error(`endless: ${this.calls.slice(-10)}`);
    this.beforeCall?.(name);
    if (this.dead) throw new Killed(name);
    const fault = this.#faults.get(this.calls.length);
    if (fault === undefined) return real(false);
    if ("delay" in fault) this.pass(fault.delay);
    if ("dies" in fault) {
      this.kill();
      throw new Killed(name);
    }
    if (!("code" in fault)) return real("short" in fault);
    // The system releases the descriptor whatever it answers.
    if (name === "close") real(false);
    throw systemError(fault.code);
  }

  /** Opens something under the lowest free number. */
  open(inode: Inode, access: OpenInode["access"]): number {
    permitOpen(this, inode, access);
    return this.take({ inode, access });
  }

  take(open: OpenInode): number {
    let number = 3;
    while (this.descriptors.has(number)) number++;
    if (number >= DESCRIPTORS) throw systemError("EMFILE");
    this.descriptors.set(number, open);
    return number;
  }

  release(number: number): void {
    const open = this.descriptors.get(number);
    if (open === undefined) {
      this.defects.push(`closed ${number}, which is not open`);
      throw systemError("EBADF");
    }
    this.descriptors.delete(number);
    open.inode.locks.delete(open);
  }
}

const numberOf = (handle: Handle): number => typeof handle === "number" ? handle : (handle as Opaque).number;

/** Returns the inode behind a handle, for a call that needs some access to it. */
function behind(process: FakeProcess, handle: Handle, access?: "read" | "write"): Inode {
  const open = opened(process, numberOf(handle));
  const permitted = access === undefined || (access === "read" && open.access !== "path") ||
    open.access === access || (access === "write" && open.access === "append");
  if (!permitted) throw systemError("EBADF");
  return open.inode;
}

function requireOwner(process: FakeProcess, inode: Inode): void {
  if (inode.uid !== process.uid) throw systemError("EPERM");
}

/** Opens what is at a path, but no link. */
function openPath(process: FakeProcess, path: Path, access: OpenInode["access"], follow = false): number {
  const inode = process.disk.find(process, path, follow);
  if (inode.kind === "link") throw systemError("ELOOP");
  if (inode.kind === "directory" && access !== "read") throw systemError("EISDIR");
  return process.open(inode, access);
}

function openDirectory(process: FakeProcess, path: Path, access: "read" | "path"): number {
  const inode = process.disk.find(process, path, false);
  if (inode.kind !== "directory") throw systemError("ENOTDIR");
  return process.open(inode, access);
}

/** Names per batch: few, so that there is more than one batch. */
const BATCH = 3;

function listing(process: FakeProcess, path: Path): Listing {
  const entries = process.disk.list(process, path);
  const number = process.take({ inode: process.disk.root, access: "read" });
  return {
    next: () => process.call("next", () => entries.splice(-BATCH)),
    close() {
      if (!process.dead) process.release(number);
    },
  };
}

/** The primitives, without faults. */
function primitivesOf(process: FakeProcess): Primitives {
  const { disk, machine: { options } } = process;
  const handle = (number: number): Handle => options.numbers ? number : { number } satisfies Opaque;
  const create = (path: Path, mode: number): number =>
    process.take({ inode: disk.makeFile(process, path, mode), access: "write" });
  return {
    createFile: (path, mode) => handle(create(path, mode)),
    createDescriptor: create,
    createUnnamed(directory, mode) {
      if (!options.unnamed) throw systemError("EOPNOTSUPP");
      return process.take({ inode: disk.makeUnnamed(process, directory, mode), access: "write" });
    },
    openFile: (path, access) => handle(openPath(process, path, access)),
    openDescriptor: (path, access) => openPath(process, path, access, true),
    openDirectory: (path) => openDirectory(process, path, "read"),
    locateDirectory: (path) => openDirectory(process, path, "path"),
    close: (file) => process.release(numberOf(file)),
    makeDirectory: (path, mode) => void disk.makeDirectory(process, path, mode),
    unlink: (path) => disk.unlink(process, path),
    removeDirectory: (path) => disk.removeDirectory(process, path),
    rename: (from, to) => disk.rename(process, from, to),
    link: (from, to) => disk.link(process, disk.find(process, from, false), to),
    symbolicLink: (target, path) => disk.makeLink(process, target, path),
    realPath: (path) => disk.realPath(process, path),
    readLink: (path) => disk.readLink(process, path),
    status: (path) => disk.status(process, path, false),
    statusOfTarget: (path) => disk.status(process, path, true),
    statusOf: (file) => statusOf(behind(process, file)),
    changeMode(file, mode) {
      const inode = behind(process, file, "read");
      requireOwner(process, inode);
      inode.mode = mode;
    },
    changeModeAt(anchor, mode) {
      const inode = disk.find(process, anchor, true);
      requireOwner(process, inode);
      inode.mode = mode;
    },
    changeOwner(file, uid, gid) {
      const inode = behind(process, file, "read");
      if (uid !== inode.uid || gid !== inode.gid) throw systemError("EPERM");
    },
    touch(path, time) {
      const inode = disk.find(process, path, true);
      requireOwner(process, inode);
      inode.modified = time;
    },
    truncate: (file, size) => setSize(behind(process, file, "write"), size),
    read: (file, into, at) => readAt(behind(process, file, "read"), into, at),
    write(file, data, at) {
      const inode = behind(process, file, "write"), { access } = opened(process, numberOf(file));
      return writeAt(inode, data, access === "append" ? statusOf(inode).size : at);
    },
    synchronize: (file) => void behind(process, file, "read"),
    synchronizeDirectory: (path) => process.release(openDirectory(process, path, "read")),
    list: (path) => listing(process, path),
    readSystemFile: (path) => disk.readSystemFile(process, path),
    fileSystem: (path) => disk.fileSystem(process, path),
  };
}

type Call = (...args: unknown[]) => unknown;

/** Halves what a read or write transfers, to at least one byte. */
function halved(name: string, args: unknown[]): unknown[] {
  if (name !== "read" && name !== "write") return args;
  const [file, bytes, at] = args as [Handle, Uint8Array, number];
  return [file, bytes.subarray(0, Math.ceil(bytes.byteLength / 2)), at];
}

/** The primitives, with their faults. */
function faulty(process: FakeProcess): Primitives {
  const real = Object.entries(primitivesOf(process)) as [string, Call][];
  return Object.fromEntries(real.map(([name, call]) => [
    name,
    (...args: unknown[]) => process.call(name, (short) => call(...(short ? halved(name, args) : args))),
  ])) as unknown as Primitives;
}

/** The same on the thread pool: done after others had their turn, and later if a call is delayed. */
function pooled(process: FakeProcess, sync: Primitives): Pooled<Primitives> {
  const later = (call: Call): Call => async (...args) => {
    await Promise.resolve();
    const before = process.now();
    const answer = call(...args);
    if (process.now() > before) await process.runtime.nextTurn();
    return answer;
  };
  return Object.fromEntries(
    Object.entries(sync).map(([name, call]) => [name, later(call as Call)]),
  ) as unknown as Pooled<Primitives>;
}

function locksOf(process: FakeProcess): Locks {
  const tryAcquire = (path: string, shared: boolean): Handle | undefined => {
    const inode = process.disk.find(process, path, true);
    const others = [...inode.locks.values()];
    if (others.length > 0 && (!shared || others.includes(false))) return undefined;
    const open: OpenInode = { inode, access: "read" };
    permitOpen(process, inode, "read");
    const number = process.take(open);
    inode.locks.set(open, shared);
    return number;
  };
  return {
    tryAcquire: async (path, shared) => await process.call("tryAcquire", () => tryAcquire(path, shared)),
    acquire: undefined,
  };
}

function linkDescriptorOf(process: FakeProcess): Runtime["linkDescriptor"] {
  const link = (descriptor: number, path: string): void =>
    process.call("linkDescriptor", () => process.disk.link(process, behind(process, descriptor), path));
  return { sync: link, pooled: async (descriptor, path) => await link(descriptor, path) };
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function runtimeOf(process: FakeProcess): Runtime {
  const { platform } = process.machine.options;
  const onLinux = platform === "linux";
  const sync = faulty(process);
  return {
    name: "node",
    platform,
    sync,
    pooled: pooled(process, sync),
    lightUnnamed: true,
    signals: { names: () => [], countable: false, listen: () => () => {}, others: () => 0, raise: () => {} },
    linkDescriptor: onLinux ? linkDescriptorOf(process) : undefined,
    locks: () => Promise.resolve(locksOf(process)),
    env: (name) => ({ TMPDIR: "/tmp", HOME: "/home/user" })[name],
    pid: () => process.pid,
    cwd: () => undefined,
    mayRead: () => true,
    mayWrite: () => true,
    fileFlags: undefined,
    processExists: (pid) => process.pid === pid,
    processNamespace: () => onLinux ? "pid:[1]" : undefined,
    hostName: () => "ephemeral",
    isMainThread: () => true,
    uid: () => process.uid,
    temporaryDirectory: () => undefined,
    random: (bytes) => void crypto.getRandomValues(bytes),
    now: () => process.now(),
    nextTurn,
    fileBlobs: undefined,
    allocated: undefined,
    later: (milliseconds, call) => process.later(milliseconds, call),
    after(milliseconds, call) {
      const timer = setTimeout(call, milliseconds);
      return () => clearTimeout(timer);
    },
    sleep: (milliseconds) => process.pass(milliseconds),
    anchor: (descriptor) => onLinux ? `/proc/self/fd/${descriptor}` : undefined,
    descriptor: (handle) => typeof handle === "number" ? handle : undefined,
    fromDescriptor(descriptor) {
      opened(process, descriptor);
      return descriptor;
    },
    onEnd: (listener) => process.onEnd(listener),
    startWatcher: () => () => {},
    warn: (_message, code) => void process.warnings.push(code),
    removeTree: undefined,
  };
}
