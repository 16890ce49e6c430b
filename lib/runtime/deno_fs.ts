/**
 * The primitives over `Deno.*`.
 *
 * `node:fs` is loaded only for what Deno alone cannot do: descriptor numbers and files without a name. Loading it takes
 * tens of milliseconds, as long as a script takes to start.
 *
 * @module
 */
import { attempt } from "./attempt.ts";
import { coded } from "./codes.ts";
import type {
  BlockingCalls,
  BlockingFile,
  DenoDirEntry,
  DenoFileInfo,
  DenoFsFile,
  DenoNamespace,
} from "./deno_namespace.ts";
import { requireGranted } from "./deno_permissions.ts";
import { andThen, twins } from "./twins.ts";
import type { DirectoryEntry, Handle, Kind, Listing, Pooled, Primitives, Status } from "./types.ts";

/**
 * A file opened by Deno: it has no descriptor number, and one cursor, which is moved only when it is not at the offset
 * yet.
 */
export class DenoFile {
  readonly file: DenoFsFile;
  readonly path: string;
  #cursor = 0;

  constructor(file: DenoFsFile, path: string) {
    this.file = file;
    this.path = path;
  }

  /** @param calls Those of `file`, or their asynchronous twins. */
  transfer(calls: BlockingFile, name: "readSync" | "writeSync", bytes: Uint8Array, at: number): number {
    const move = (from: number): number => {
      this.#cursor = from;
      return andThen(calls[name](bytes), (count) => {
        this.#cursor += count ?? 0;
        return count ?? 0;
      });
    };
    return at === this.#cursor ? move(at) : andThen(calls.seekSync(at, 0), move);
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

/**
 * Deno decodes names lossily and takes no paths in bytes. The contents of a directory with such names are left to
 * `removeTree`.
 */
function listingSync(deno: DenoNamespace, path: string): Listing {
  const entries = Array.from(deno.readDirSync(path), toEntry);
  return { next: () => entries.splice(-BATCH), close() {} };
}

async function listingAsync(deno: DenoNamespace, path: string): Promise<Listing> {
  const entries = deno.readDir(path)[Symbol.asyncIterator]();
  // The first step opens the directory. If that fails, closing would fail too.
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
const ACCESS = {
  read: { read: true },
  write: { read: true, write: true },
  append: { read: true, append: true },
};

/** The primitives, blocking and pooled. */
export type AllPrimitives = { sync: Primitives; pooled: Pooled<Primitives> };

/** Deno's files cannot change their mode or owner. A descriptor of the same file can, opened without following a link. */
function viaDescriptor(node: Primitives, handle: Handle, change: (descriptor: Handle) => void): void {
  if (!(handle instanceof DenoFile)) return change(handle);
  const descriptor = node.openFile(handle.path, "read");
  try {
    if (node.statusOf(descriptor).inode !== handle.file.statSync().ino) {
      throw coded("ERR_REPLACED", "another file has taken its place");
    }
    change(descriptor);
  } finally {
    node.close(descriptor);
  }
}

/**
 * An umask can leave a file that not even its owner may open. This falls back to the file that this process already has
 * open.
 */
function changeMode(deno: DenoNamespace, node: Primitives, handle: Handle, mode: number): void {
  try {
    viaDescriptor(node, handle, (descriptor) => node.changeMode(descriptor, mode));
  } catch (error) {
    const denied = handle instanceof DenoFile && (error as { code?: string }).code === "EACCES";
    const anchor = denied ? attempt(() => anchorOf(deno, handle)) : undefined;
    if (anchor === undefined) throw error;
    deno.chmodSync(anchor, mode);
  }
}

/** Returns the kernel's path for the descriptor behind a file of Deno's, on Linux and with all permissions. */
function anchorOf(deno: DenoNamespace, { file }: DenoFile): string | undefined {
  requireGranted(deno, "read", { path: "/proc/self/fd" });
  const { dev, ino } = file.statSync();
  const anchors = Array.from(deno.readDirSync("/proc/self/fd"), ({ name }) => `/proc/self/fd/${name}`);
  return anchors.find((anchor) => {
    // The descriptor that listed them is closed by now.
    const found = attempt(() => deno.statSync(anchor));
    return found?.dev === dev && found.ino === ino;
  });
}

/** Adds the code that Deno omits for a link whose target is not valid UTF-8. */
function throwCoded(error: Error): never {
  throw error.name === "InvalidData" ? Object.assign(error, { code: "EILSEQ" }) : error;
}

/** Deno removes whatever has the name. A trailing separator makes the system refuse anything but a directory. */
const asDirectory = (deno: DenoNamespace, path: string): string =>
  deno.build.os === "windows" ? path : `${path}/`;

/** Stands in for the blocking calls, and returns the promises of their asynchronous twins. */
const promisified = <C extends object>(calls: C): C =>
  twins((name, args) => (calls[name as keyof C] as (...args: unknown[]) => unknown)(...args));

/**
 * The primitives that are one call: each returns a promise if the call does. Their paths are text: Deno has no other
 * names, and paths of bytes exist only below listings that it never returns.
 *
 * @param callsOf The calls of a file of Deno's own. Any other handle is a number of Node's layer.
 * @param node The primitives of Node's layer, for what Deno itself cannot do.
 */
function fromCalls(
  deno: DenoNamespace,
  calls: BlockingCalls,
  callsOf: (file: DenoFsFile) => BlockingFile,
  node: () => Primitives,
) {
  const open = (path: string, options: Parameters<BlockingCalls["openSync"]>[1]): Handle =>
    andThen(calls.openSync(path, options), (file) => new DenoFile(file, path));
  return {
    createFile: (path: string, mode) => open(path, { ...CREATE, mode }),
    createDescriptor: (path, mode) => node().createDescriptor(path, mode),
    createUnnamed: (directory, mode) => node().createUnnamed(directory, mode),
    openFile: (path: string, access) => open(path, ACCESS[access]),
    openDescriptor: (path, access) => node().openDescriptor(path, access),
    openDirectory: (path) => node().openDirectory(path),
    locateDirectory: (path) => node().locateDirectory(path),
    close: (handle) => handle instanceof DenoFile ? handle.file.close() : node().close(handle),
    makeDirectory: (path: string, mode) => calls.mkdirSync(path, { mode }),
    unlink: (path: string) => calls.removeSync(path),
    removeDirectory: (path: string) => calls.removeSync(asDirectory(deno, path)),
    rename: (from: string, to: string) => calls.renameSync(from, to),
    link: (from, to) => calls.linkSync(from, to),
    symbolicLink(target: string, path: string, to) {
      // Links could lead out of the paths that are permitted.
      for (const name of ["read", "write"]) requireGranted(deno, name);
      return calls.symlinkSync(target, path, { type: to });
    },
    realPath: (path) => calls.realPathSync(path),
    status: (path: string) => andThen(calls.lstatSync(path), toStatus),
    statusOfTarget: (path) => andThen(calls.statSync(path), toStatus),
    statusOf: (handle) =>
      handle instanceof DenoFile
        ? andThen(callsOf(handle.file).statSync(), toStatus)
        : node().statusOf(handle),
    changeModeAt: (anchor, mode) => calls.chmodSync(anchor, mode),
    touch: (path, time) => calls.utimeSync(path, new Date(time), new Date(time)),
    truncate: (handle, size) =>
      handle instanceof DenoFile ? callsOf(handle.file).truncateSync(size) : node().truncate(handle, size),
    read: (handle, into, at) =>
      handle instanceof DenoFile
        ? handle.transfer(callsOf(handle.file), "readSync", into, at)
        : node().read(handle, into, at),
    write: (handle, data, at) =>
      handle instanceof DenoFile
        ? handle.transfer(callsOf(handle.file), "writeSync", data, at)
        : node().write(handle, data, at),
    synchronize: (handle) =>
      handle instanceof DenoFile ? callsOf(handle.file).syncSync() : node().synchronize(handle),
    // With the permission, Deno may still refuse what is in `/proc`, but without a prompt.
    readSystemFile: (path) => (requireGranted(deno, "read", { path }), calls.readTextFileSync(path)),
    fileSystem: (path) => (requireGranted(deno, "sys", { kind: "statfs" }), node().fileSystem(path)),
  } satisfies Partial<Primitives>;
}

/**
 * Creates the primitives of Deno.
 *
 * @param node Those of Node's layer, which the first call loads.
 */
export function denoPrimitives(deno: DenoNamespace, node: () => AllPrimitives): AllPrimitives {
  const sync: Primitives = {
    ...fromCalls(deno, deno, (file) => file, () => node().sync),
    changeMode: (handle, mode) => changeMode(deno, node().sync, handle, mode),
    changeOwner: (handle, uid, gid) =>
      viaDescriptor(node().sync, handle, (fd) => node().sync.changeOwner(fd, uid, gid)),
    readLink(path: string) {
      try {
        return deno.readLinkSync(path);
      } catch (error) {
        return throwCoded(error as Error);
      }
    },
    synchronizeDirectory(path: string) {
      const directory = deno.openSync(path, ACCESS.read);
      try {
        directory.syncSync();
      } finally {
        directory.close();
      }
    },
    list: (path: string) => listingSync(deno, path),
  };
  const calls = fromCalls(
    deno,
    promisified<BlockingCalls>(deno),
    promisified,
    () => node().pooled as unknown as Primitives,
  ) as unknown as Pooled<Primitives>;
  const pooled: Pooled<Primitives> = {
    ...calls,
    // `async`, like those below, so that a synchronous throw becomes a rejection.
    close: async (handle) => await calls.close(handle),
    changeMode: async (handle, mode) => await sync.changeMode(handle, mode),
    changeOwner: async (handle, uid, gid) => await sync.changeOwner(handle, uid, gid),
    readLink: (path) => deno.readLink(path as string).catch(throwCoded),
    async synchronizeDirectory(path) {
      const directory = await deno.open(path as string, ACCESS.read);
      await directory.sync().finally(() => directory.close());
    },
    list: (path) => listingAsync(deno, path as string),
    symbolicLink: async (target, path, to) => await calls.symbolicLink(target, path, to),
    readSystemFile: async (path) => await calls.readSystemFile(path),
    fileSystem: async (path) => await calls.fileSystem(path),
  };
  return { sync, pooled };
}

/**
 * Returns a handle for a descriptor. Deno's Node layer knows only descriptors inherited from a parent that runs Deno.
 * Others are opened a second time, by their path in `/proc`, which Deno permits only with `--allow-all`. The first stays
 * open: Deno cannot close it.
 */
export function handleOfDescriptor(deno: DenoNamespace, node: Primitives, descriptor: number): Handle {
  try {
    node.statusOf(descriptor);
    return descriptor;
  } catch (unknown) {
    if ((unknown as { code?: unknown }).code !== "EBADF") throw unknown;
    const path = `/proc/self/fd/${descriptor}`;
    if (isFile(deno, path, unknown)) return node.openDescriptor(path, "write");
    throw coded("EINVAL", "it is not a regular file");
  }
}

function isFile(deno: DenoNamespace, path: string, unknown: unknown): boolean {
  try {
    return deno.statSync(path).isFile;
  } catch (error) {
    throw (error as Error).name === "NotFound" ? unknown : error;
  }
}
