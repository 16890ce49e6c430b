/**
 * The adapter for Deno, over `Deno.*`.
 *
 * `node:fs` is loaded only for what Deno alone cannot do: descriptor numbers and files without a name. Loading it takes
 * tens of milliseconds, as much as the start of a script.
 *
 * @module
 */
import { hurry } from "./collector.ts";
import { linkByHelper } from "./link_descriptor.ts";
import type { NodeChildProcess } from "./locks.ts";
import { startWatcher } from "./watcher.ts";
import { type NodeFs, nodePrimitives } from "./node_fs.ts";
import { anchors, attempt, once, platformOf, sleep } from "./node_like.ts";
import { END_SIGNALS, SIGNAL_NUMBERS } from "./signals.ts";
import type {
  DirectoryEntry,
  EndSignal,
  Handle,
  Kind,
  Listing,
  Path,
  Pooled,
  Primitives,
  Runtime,
  Signals,
  Status,
} from "./types.ts";

/** Bytes handed out for which the collector is hurried: 50 MiB gather at 3 GiB a second, where it would be 120 without. */
const HURRY_EVERY = 4 * 1024 * 1024;

interface DenoFileInfo {
  isFile: boolean;
  isDirectory: boolean;
  isSymlink: boolean;
  size: number;
  mode: number | null;
  dev: number;
  ino: number | null;
  nlink: number | null;
  uid: number | null;
  gid: number | null;
  birthtime: Date | null;
  mtime: Date | null;
}

interface DenoFsFile {
  readSync(into: Uint8Array): number | null;
  read(into: Uint8Array): Promise<number | null>;
  writeSync(data: Uint8Array): number;
  write(data: Uint8Array): Promise<number>;
  seekSync(offset: number, whence: number): number;
  seek(offset: number, whence: number): Promise<number>;
  truncateSync(size: number): void;
  truncate(size: number): Promise<void>;
  syncSync(): void;
  sync(): Promise<void>;
  tryLock(exclusive: boolean): Promise<boolean>;
  statSync(): DenoFileInfo;
  stat(): Promise<DenoFileInfo>;
  close(): void;
}

interface DenoOpenOptions {
  read?: boolean;
  write?: boolean;
  createNew?: boolean;
  mode?: number;
}

interface DenoDirEntry {
  name: string;
  isDirectory: boolean;
}

/** The part of the namespace `Deno` in use. */
export interface DenoNamespace {
  pid: number;
  build: { os: string };
  uid(): number | null;
  hostname(): string;
  env: { get(name: string): string | undefined };
  permissions: { querySync(descriptor: { name: string; [key: string]: string }): { state: string } };
  openSync(path: string, options: DenoOpenOptions): DenoFsFile;
  open(path: string, options: DenoOpenOptions): Promise<DenoFsFile>;
  mkdirSync(path: string, options: { mode: number }): void;
  mkdir(path: string, options: { mode: number }): Promise<void>;
  removeSync(path: string, options?: { recursive: boolean }): void;
  remove(path: string, options?: { recursive: boolean }): Promise<void>;
  renameSync(from: string, to: string): void;
  rename(from: string, to: string): Promise<void>;
  linkSync(from: string, to: string): void;
  link(from: string, to: string): Promise<void>;
  symlinkSync(target: string, path: string): void;
  symlink(target: string, path: string): Promise<void>;
  realPathSync(path: string): string;
  realPath(path: string): Promise<string>;
  readLinkSync(path: string): string;
  readLink(path: string): Promise<string>;
  lstatSync(path: string): DenoFileInfo;
  lstat(path: string): Promise<DenoFileInfo>;
  statSync(path: string): DenoFileInfo;
  stat(path: string): Promise<DenoFileInfo>;
  chmodSync(path: string, mode: number): void;
  chmod(path: string, mode: number): Promise<void>;
  utimeSync(path: string, accessed: Date, modified: Date): void;
  utime(path: string, accessed: Date, modified: Date): Promise<void>;
  readDirSync(path: string): Iterable<DenoDirEntry>;
  readDir(path: string): AsyncIterable<DenoDirEntry>;
  readTextFileSync(path: string): string;
  readTextFile(path: string): Promise<string>;
  makeTempDirSync(): string;
  addSignalListener(name: string, listener: () => void): void;
  removeSignalListener(name: string, listener: () => void): void;
  kill(pid: number, signal: string): void;
  exit(status: number): never;
}

interface EndEvent {
  type: string;
  defaultPrevented: boolean;
}

/** The part of Deno's global scope in use. */
export interface DenoScope {
  addEventListener(type: string, listener: (event: EndEvent) => void): void;
  removeEventListener(type: string, listener: (event: EndEvent) => void): void;
  /** Node's layer, which Deno loads at its first use. */
  readonly process: {
    getBuiltinModule(name: string): unknown;
    listenerCount(event: string): number;
    on(event: string, listener: () => void): unknown;
    off(event: string, listener: () => void): unknown;
    emitWarning(message: string, options: { type: string; code: string; detail?: string }): void;
  };
}

/** A file of Deno's own: no number, one cursor, which is moved only when it is not already where it should be. */
class DenoFile {
  readonly file: DenoFsFile;
  readonly path: string;
  #cursor = 0;

  constructor(file: DenoFsFile, path: string) {
    this.file = file;
    this.path = path;
  }

  readSync(into: Uint8Array, at: number): number {
    if (at !== this.#cursor) this.#cursor = this.file.seekSync(at, 0);
    return this.#advance(this.file.readSync(into) ?? 0);
  }

  async read(into: Uint8Array, at: number): Promise<number> {
    if (at !== this.#cursor) this.#cursor = await this.file.seek(at, 0);
    return this.#advance(await this.file.read(into) ?? 0);
  }

  writeSync(data: Uint8Array, at: number): number {
    if (at !== this.#cursor) this.#cursor = this.file.seekSync(at, 0);
    return this.#advance(this.file.writeSync(data));
  }

  async write(data: Uint8Array, at: number): Promise<number> {
    if (at !== this.#cursor) this.#cursor = await this.file.seek(at, 0);
    return this.#advance(await this.file.write(data));
  }

  #advance(count: number): number {
    this.#cursor += count;
    return count;
  }
}

function kindOf(info: DenoFileInfo): Kind {
  if (info.isFile) return "file";
  if (info.isDirectory) return "directory";
  return info.isSymlink ? "link" : "other";
}

function toStatus(info: DenoFileInfo): Status {
  return {
    kind: kindOf(info),
    size: info.size,
    mode: (info.mode ?? 0o666) & 0o7777,
    device: info.dev,
    inode: info.ino ?? 0,
    links: info.nlink ?? 1,
    uid: info.uid ?? 0,
    gid: info.gid ?? 0,
    birth: info.birthtime?.getTime() ?? 0,
    modified: info.mtime?.getTime() ?? 0,
  };
}

const toEntry = (entry: DenoDirEntry): DirectoryEntry => ({ name: entry.name, directory: entry.isDirectory });

/** Names per batch of a listing. */
const BATCH = 256;

/** Deno decodes names lossily and has no way to say one in bytes: what such a directory holds goes by `removeTree`. */
function listingSync(deno: DenoNamespace, path: string): Listing {
  const entries = Array.from(deno.readDirSync(path), toEntry);
  return { next: () => entries.splice(-BATCH), close() {} };
}

async function listingAsync(deno: DenoNamespace, path: string): Promise<Listing> {
  const entries = deno.readDir(path)[Symbol.asyncIterator]();
  // The directory is opened by the first step. Where that fails, closing would fail too.
  let step = await entries.next();
  return {
    async next() {
      const batch: DirectoryEntry[] = [];
      for (; !step.done && batch.length < BATCH; step = await entries.next()) batch.push(toEntry(step.value));
      return batch;
    },
    close: () => void entries.return?.(),
  };
}

const CREATE = { read: true, write: true, createNew: true };
const ACCESS = { read: { read: true }, write: { read: true, write: true } };

type Faces = { sync: Primitives; pooled: Pooled<Primitives> };

/** The primitives that Deno itself cannot offer. */
const NODE_ONLY = [
  "createDescriptor",
  "createUnnamed",
  "openDescriptor",
  "openDirectory",
  "locateDirectory",
] as const;

/** The primitives whose first argument is a handle, which may be Deno's own or a number. */
type OnHandle = "close" | "statusOf" | "truncate" | "read" | "write" | "synchronize";

/** The same calls with a file of Deno's in place of the handle. */
type OnFile<P extends { [K in OnHandle]: (handle: Handle, ...rest: never[]) => unknown }> = {
  [K in OnHandle]: P[K] extends (handle: Handle, ...rest: infer A) => infer R
    ? (file: DenoFile, ...rest: A) => R
    : never;
};

const FILE_SYNC: OnFile<Primitives> = {
  close: (file) => file.file.close(),
  statusOf: (file) => toStatus(file.file.statSync()),
  truncate: (file, size) => file.file.truncateSync(size),
  read: (file, into, at) => file.readSync(into, at),
  write: (file, data, at) => file.writeSync(data, at),
  synchronize: (file) => file.file.syncSync(),
};

const FILE_POOLED: OnFile<Pooled<Primitives>> = {
  close: (file) => Promise.resolve(file.file.close()),
  statusOf: (file) => file.file.stat().then(toStatus),
  truncate: (file, size) => file.file.truncate(size),
  read: (file, into, at) => file.read(into, at),
  write: (file, data, at) => file.write(data, at),
  synchronize: (file) => file.file.sync(),
};

type Call = (...args: unknown[]) => unknown;

/** Sends the calls named by `NODE_ONLY` to Node's layer, which is loaded by the first of them. */
function throughNode<P>(face: () => P): Pick<P, (typeof NODE_ONLY)[number] & keyof P> {
  const send = (name: keyof P): Call => (...args) => (face()[name] as Call)(...args);
  return Object.fromEntries(NODE_ONLY.map((name) => [name, send(name as keyof P)])) as never;
}

/** Sends a call on a handle to where the handle comes from. */
function byHandle<P>(table: { [K in OnHandle]: unknown }, face: () => P): Pick<P, OnHandle & keyof P> {
  const send = (name: OnHandle): Call => {
    const own = table[name] as Call;
    return (handle, first, second) =>
      handle instanceof DenoFile
        ? own(handle, first, second)
        : (face()[name as unknown as keyof P] as Call)(handle, first, second);
  };
  return Object.fromEntries(Object.keys(table).map((name) => [name, send(name as OnHandle)])) as never;
}

/** Deno's files cannot change their mode or owner: a descriptor of the same file does, opened without following a link. */
function onDescriptor(node: Primitives, handle: Handle, change: (descriptor: Handle) => void): void {
  if (!(handle instanceof DenoFile)) return change(handle);
  const descriptor = node.openFile(handle.path, "read");
  try {
    if (node.statusOf(descriptor).inode !== handle.file.statSync().ino) {
      throw Object.assign(new Error("another file has taken its place"), { code: "ERR_REPLACED" });
    }
    change(descriptor);
  } finally {
    node.close(descriptor);
  }
}

/** An umask can leave a file that not even its owner may open: then by what this process has open already. */
function changeMode(deno: DenoNamespace, node: Primitives, handle: Handle, mode: number): void {
  try {
    onDescriptor(node, handle, (descriptor) => node.changeMode(descriptor, mode));
  } catch (error) {
    const denied = handle instanceof DenoFile && (error as { code?: string }).code === "EACCES";
    const anchor = denied ? attempt(() => anchorOf(deno, handle)) : undefined;
    if (anchor === undefined) throw error;
    deno.chmodSync(anchor, mode);
  }
}

/** Where the kernel names the descriptor behind a file of Deno's, on Linux and with all permissions. */
function anchorOf(deno: DenoNamespace, { file }: DenoFile): string | undefined {
  const { dev, ino } = file.statSync();
  const anchors = Array.from(deno.readDirSync("/proc/self/fd"), ({ name }) => `/proc/self/fd/${name}`);
  return anchors.find((anchor) => {
    // What listed them is closed by now.
    const found = attempt(() => deno.statSync(anchor));
    return found?.dev === dev && found.ino === ino;
  });
}

/** Deno has names as text only; paths of bytes exist only below listings that it never gives. */
const text = (path: Path): string => path as string;

/** That a link leads to bytes that are no text, Deno says without a code. */
function refuseBytes(error: Error): never {
  throw error.name === "InvalidData" ? Object.assign(error, { code: "EILSEQ" }) : error;
}

/** Deno removes whatever has the name. A separator at its end lets the system refuse what is not a directory. */
const asDirectory = (deno: DenoNamespace, path: Path): string =>
  deno.build.os === "windows" ? text(path) : `${text(path)}/`;

function primitives(deno: DenoNamespace, node: () => Faces): Faces {
  const sync: Primitives = {
    ...throughNode(() => node().sync),
    ...byHandle(FILE_SYNC, () => node().sync),
    createFile: (path, mode) => new DenoFile(deno.openSync(text(path), { ...CREATE, mode }), text(path)),
    openFile: (path, access) => new DenoFile(deno.openSync(text(path), ACCESS[access]), text(path)),
    changeMode: (handle, mode) => changeMode(deno, node().sync, handle, mode),
    changeOwner: (handle, uid, gid) =>
      onDescriptor(node().sync, handle, (fd) => node().sync.changeOwner(fd, uid, gid)),
    makeDirectory: (path, mode) => deno.mkdirSync(text(path), { mode }),
    unlink: (path) => deno.removeSync(text(path)),
    removeDirectory: (path) => deno.removeSync(asDirectory(deno, path)),
    rename: (from, to) => deno.renameSync(text(from), text(to)),
    link: (from, to) => deno.linkSync(from, to),
    symbolicLink: (target, path) => deno.symlinkSync(text(target), text(path)),
    realPath: (path) => deno.realPathSync(path),
    readLink: (path) => {
      try {
        return deno.readLinkSync(text(path));
      } catch (error) {
        return refuseBytes(error as Error);
      }
    },
    status: (path) => toStatus(deno.lstatSync(text(path))),
    statusOfTarget: (path) => toStatus(deno.statSync(path)),
    changeModeAt: (anchor, mode) => deno.chmodSync(anchor, mode),
    touch: (path, time) => deno.utimeSync(path, new Date(time), new Date(time)),
    synchronizeDirectory: (path) => {
      const directory = deno.openSync(text(path), ACCESS.read);
      try {
        directory.syncSync();
      } finally {
        directory.close();
      }
    },
    list: (path) => listingSync(deno, text(path)),
    readSystemFile: (path) => (requireSystem(deno, path), deno.readTextFileSync(path)),
    fileSystem: (path) => (requireStatfs(deno), node().sync.fileSystem(path)),
  };
  const pooled: Pooled<Primitives> = {
    ...throughNode(() => node().pooled),
    ...byHandle(FILE_POOLED, () => node().pooled),
    createFile: async (path, mode) =>
      new DenoFile(await deno.open(text(path), { ...CREATE, mode }), text(path)),
    openFile: async (path, access) => new DenoFile(await deno.open(text(path), ACCESS[access]), text(path)),
    changeMode: async (handle, mode) => await sync.changeMode(handle, mode),
    changeOwner: async (handle, uid, gid) => await sync.changeOwner(handle, uid, gid),
    makeDirectory: (path, mode) => deno.mkdir(text(path), { mode }),
    unlink: (path) => deno.remove(text(path)),
    removeDirectory: (path) => deno.remove(asDirectory(deno, path)),
    rename: (from, to) => deno.rename(text(from), text(to)),
    link: (from, to) => deno.link(from, to),
    symbolicLink: (target, path) => deno.symlink(text(target), text(path)),
    realPath: (path) => deno.realPath(path),
    readLink: (path) => deno.readLink(text(path)).catch(refuseBytes),
    status: (path) => deno.lstat(text(path)).then(toStatus),
    statusOfTarget: (path) => deno.stat(path).then(toStatus),
    changeModeAt: (anchor, mode) => deno.chmod(anchor, mode),
    touch: (path, time) => deno.utime(path, new Date(time), new Date(time)),
    synchronizeDirectory: async (path) => {
      const directory = await deno.open(text(path), ACCESS.read);
      await directory.sync().finally(() => directory.close());
    },
    list: (path) => listingAsync(deno, text(path)),
    // Asynchronous, so that what is refused rejects.
    readSystemFile: async (path) => (requireSystem(deno, path), await deno.readTextFile(path)),
    fileSystem: async (path) => (requireStatfs(deno), await node().pooled.fileSystem(path)),
  };
  return { sync, pooled };
}

/** The permissions that together are `--allow-all`, without which Deno refuses every path below `/proc`. */
const ALL = ["read", "write", "run", "env", "net", "sys", "ffi"];

/** Whether a permission is granted; asking this way never prompts. */
function granted(deno: DenoNamespace, name: string, detail: { [key: string]: string } = {}): boolean {
  return deno.permissions.querySync({ name, ...detail }).state === "granted";
}

/** Refuses what Deno would ask the user about: nobody has heard of a file that only we want to look at. */
function refuse(flag: string): never {
  throw Object.assign(new Error(`it needs ${flag}`), { code: "ERR_ACCESS_DENIED" });
}

function requireSystem(deno: DenoNamespace, path: string): void {
  if (path.startsWith("/proc/") && !ALL.every((name) => granted(deno, name))) refuse("--allow-all");
  if (!granted(deno, "read", { path })) refuse(`--allow-read=${path}`);
}

function requireStatfs(deno: DenoNamespace): void {
  if (!granted(deno, "sys", { kind: "statfs" })) refuse("--allow-sys=statfs");
}

function signalsOf(deno: DenoNamespace, windows: boolean): Signals {
  return {
    // Also those that the parent had ignored: listening to one, Deno catches them all.
    names: () => windows ? ["SIGINT"] : END_SIGNALS,
    countable: false,
    listen(name, listener) {
      deno.addSignalListener(name, listener);
      return () => deno.removeSignalListener(name, listener);
    },
    count: () => 1,
    raise: (name) => raise(deno, name),
  };
}

/** Milliseconds that a raised signal is given to end the process. */
const SIGNAL_DELAY = 100;

/**
 * Without `--allow-run` a process may not signal even itself; then the exit status says what a shell would say.
 *
 * Deno ends the process from another thread. Until it has, this one must not go on creating what nobody removes.
 */
function raise(deno: DenoNamespace, name: EndSignal): void {
  try {
    deno.kill(deno.pid, name);
  } catch {
    deno.exit(128 + SIGNAL_NUMBERS[name]);
  }
  sleep(SIGNAL_DELAY);
}

/** What tells of an end, and the events of Node's that keep it from being one. */
const PREVENTERS: { readonly [type: string]: readonly string[] } = {
  unload: [],
  error: ["uncaughtException"],
  unhandledrejection: ["uncaughtException", "unhandledRejection"],
};

/**
 * The ends of a process that Deno announces: `unload` for return and exit, `error` and `unhandledrejection` for the
 * others, unless a listener before us has prevented that end, or one of Node's kind is going to. Node's layer is asked
 * only when there has been an error.
 */
function onEnd(scope: DenoScope, listener: () => void): () => void {
  const unlessPrevented = ({ type, defaultPrevented }: EndEvent): void => {
    if (!defaultPrevented && !PREVENTERS[type].some((name) => scope.process.listenerCount(name) > 0)) {
      listener();
    }
  };
  const types = Object.keys(PREVENTERS);
  for (const type of types) scope.addEventListener(type, unlessPrevented);
  // A worker of Node's kind, which has no `self`, announces its return by Node's event alone.
  const nodeWorker = !("self" in scope);
  if (nodeWorker) scope.process.on("exit", listener);
  return () => {
    for (const type of types) scope.removeEventListener(type, unlessPrevented);
    if (nodeWorker) scope.process.off("exit", listener);
  };
}

/**
 * Deno's Node layer knows only descriptors that a parent on Deno handed on. Others are opened a second time, by the name
 * that the system gives them, which Deno permits only with `--allow-all`. The first stays open: Deno cannot close it.
 */
function fromDescriptor(deno: DenoNamespace, node: Primitives, descriptor: number): Handle {
  try {
    node.statusOf(descriptor);
    return descriptor;
  } catch (unknown) {
    if ((unknown as { code?: unknown }).code !== "EBADF") throw unknown;
    const path = `/proc/self/fd/${descriptor}`;
    if (isFile(deno, path, unknown)) return node.openDescriptor(path, "write");
    throw Object.assign(new Error("it is no regular file"), { code: "EINVAL" });
  }
}

function isFile(deno: DenoNamespace, path: string, unknown: unknown): boolean {
  try {
    return deno.statSync(path).isFile;
  } catch (error) {
    throw (error as Error).name === "NotFound" ? unknown : error;
  }
}

/** Deno can also wait for a lock, but on a thread that nothing can call back. */
async function tryLock(deno: DenoNamespace, path: string, shared: boolean): Promise<Handle | undefined> {
  const file = await deno.open(path, ACCESS.write).catch(() => deno.open(path, ACCESS.read));
  try {
    if (await file.tryLock(!shared)) return new DenoFile(file, path);
  } catch (error) {
    file.close();
    throw error;
  }
  file.close();
  return undefined;
}

/** Where Deno itself puts temporary files: it reads the environment without asking for that permission. */
function temporaryDirectory(deno: DenoNamespace): string | undefined {
  if (!granted(deno, "write") || granted(deno, "env")) return undefined;
  try {
    const probe = deno.makeTempDirSync();
    deno.removeSync(probe);
    return probe.slice(0, Math.max(probe.lastIndexOf("/"), probe.lastIndexOf("\\")));
  } catch {
    // What the environment names cannot be used; others can.
    return undefined;
  }
}

declare function setImmediate(call: () => void): unknown;

/** Part of the language since 2024. */
interface WaitAsync {
  waitAsync(
    cell: Int32Array,
    index: number,
    value: number,
    milliseconds: number,
  ): { value: Promise<"timed-out" | "ok"> };
}

/**
 * Waits for a change of memory that only cancelling brings about. Such a wait keeps no process alive, is no leak to
 * `deno test`, and loads nothing, where the first timer loads the part of Node's layer that has them: four milliseconds.
 */
function later(milliseconds: number, call: () => void): () => void {
  const cell = new Int32Array(new SharedArrayBuffer(4));
  // A wait of 0 would be over at once, with no promise.
  const { value } = (Atomics as unknown as WaitAsync).waitAsync(cell, 0, 0, Math.max(1, milliseconds));
  value.then((outcome) => outcome === "timed-out" && call());
  return () => void Atomics.notify(cell, 0);
}

/** Makes the adapter over the namespace `Deno` and its global scope. */
export function denoRuntime(deno: DenoNamespace, scope: DenoScope): Runtime {
  let loaded: Faces | undefined;
  const node = (): Faces => loaded ??= nodePrimitives(scope.process.getBuiltinModule("node:fs") as NodeFs);
  const platform = platformOf(deno.build.os === "windows" ? "win32" : deno.build.os);
  const windows = platform === "windows";
  const childProcess = () => scope.process.getBuiltinModule("node:child_process") as NodeChildProcess;
  const procIsOpen = (): boolean => platform === "linux" && ALL.every((name) => granted(deno, name));
  const env = (name: string): string | undefined =>
    granted(deno, "env", { variable: name }) ? deno.env.get(name) : undefined;
  return {
    name: "deno",
    platform,
    ...primitives(deno, node),
    // Only Node's layer can ask for one.
    lightUnnamed: false,
    get linkDescriptor() {
      return platform === "linux" && granted(deno, "run") ? linkByHelper(childProcess) : undefined;
    },
    signals: signalsOf(deno, windows),
    locks: { tryAcquire: (path, shared) => tryLock(deno, path, shared), acquire: undefined },
    env,
    pid: () => deno.pid,
    mayRead: (path) => granted(deno, "read", { path }),
    mayWrite: (path) => granted(deno, "write", { path }),
    fileFlags: "--allow-read and --allow-write",
    processExists: () => undefined,
    processNamespace: once(() =>
      procIsOpen() ? attempt(() => deno.readLinkSync("/proc/self/ns/pid")) : undefined
    ),
    hostName: once(() => granted(deno, "sys", { kind: "hostname" }) ? deno.hostname() : undefined),
    // In both kinds of workers; those of Node's layer lack `WorkerGlobalScope`.
    isMainThread: () => !("DedicatedWorkerGlobalScope" in scope),
    uid: () => granted(deno, "sys", { kind: "uid" }) ? deno.uid() ?? undefined : undefined,
    home: () => env("HOME") ?? env("USERPROFILE"),
    temporaryDirectory: () => temporaryDirectory(deno),
    random: (bytes) => void crypto.getRandomValues(bytes),
    now: () => performance.now(),
    handedOut: hurry(HURRY_EVERY),
    nextTurn: () => new Promise((resolve) => setImmediate(() => resolve())),
    later,
    sleep,
    anchor: anchors(procIsOpen),
    descriptor: (handle) => typeof handle === "number" ? handle : undefined,
    fromDescriptor: (descriptor) => fromDescriptor(deno, node().sync, descriptor),
    onEnd: (listener) => onEnd(scope, listener),
    startWatcher(command, args, onFailure) {
      // Asked first, since trying would make Deno ask the user.
      if (granted(deno, "run")) return startWatcher(childProcess(), command, args, onFailure);
      onFailure(new Error("it needs --allow-run"));
      return () => {};
    },
    warn: (message, code, detail) =>
      scope.process.emitWarning(message, { type: "TempfileWarning", code, detail }),
    // Deno walks by descriptors (`openat` with `O_NOFOLLOW`).
    removeTree: {
      sync: (path) => deno.removeSync(path, { recursive: true }),
      pooled: (path) => deno.remove(path, { recursive: true }),
    },
  };
}
