/**
 * The primitives over the `node:fs` interface, which Node and Bun have natively and Deno on request.
 *
 * @module
 */
import type {
  DirectoryEntry,
  FileSystemStatus,
  Kind,
  LinkTarget,
  Listing,
  Path,
  Pooled,
  Primitives,
  Status,
} from "./types.ts";
import { attempt } from "./attempt.ts";
import { andThen, twins } from "./twins.ts";

type Done<T = void> = (error: Error | null, value: T) => void;

/** The result of `stat`. */
export interface NodeStats {
  dev: number;
  ino: number;
  mode: number;
  nlink: number;
  uid: number;
  gid: number;
  size: number;
  birthtimeMs: number;
  mtimeMs: number;
}

interface NodeStatFs {
  type: number;
  bsize: number;
  blocks: number;
  bfree: number;
  bavail: number;
  files: number;
  ffree: number;
}

export interface NodeDirent {
  name: string;
  isDirectory(): boolean;
}

interface NodeDir {
  readSync(): NodeDirent | null;
  closeSync(): void;
}

/** The calls of `fs` in use. It has each of them twice: `…Sync`, which blocks, and one that takes a callback. */
interface Calls {
  open(path: Path, flags: number, mode?: number): number;
  close(fd: number): void;
  mkdir(path: Path, options: { mode: number }): void;
  unlink(path: Path): void;
  rmdir(path: Path): void;
  rename(from: Path, to: Path): void;
  link(from: string, to: string): void;
  symlink(target: Path, path: Path, to: LinkTarget): void;
  readlink(path: Path, encoding: "buffer"): Uint8Array;
  lstat(path: Path): NodeStats;
  stat(path: Path): NodeStats;
  fstat(fd: number): NodeStats;
  fchmod(fd: number, mode: number): void;
  chmod(path: string, mode: number): void;
  fchown(fd: number, uid: number, gid: number): void;
  utimes(path: string, accessed: number, modified: number): void;
  ftruncate(fd: number, size: number): void;
  read(fd: number, into: Uint8Array, offset: number, length: number, at: number): number;
  write(fd: number, data: Uint8Array, offset: number, length: number, at: number): number;
  fsync(fd: number): void;
  readFile(path: string, encoding: "latin1"): string;
  statfs(path: string): NodeStatFs;
}

type Name = keyof Calls;

/** The calls under the names of the blocking ones. */
type Blocking = { [N in Name as `${N}Sync`]: Calls[N] };

type WithCallback = {
  [N in Name]: (...args: [...Parameters<Calls[N]>, Done<ReturnType<Calls[N]>>]) => void;
};

/** The part of `node:fs` in use. */
export interface NodeFs extends Blocking, WithCallback {
  constants: { [name: string]: number | undefined };
  realpath: { native(path: string, done: Done<string>): void };
  realpathSync: { (path: string): string; native(path: string): string };
  readlinkSync(path: Path, encoding: "buffer"): Uint8Array;
  readlinkSync(path: string, encoding: "latin1"): string;
  opendirSync(path: Path, options: { bufferSize: number }): NodeDir;
  readdirSync(path: Path, encoding: "buffer"): Uint8Array[];
}

const FORMAT = 0o170000;
const KINDS: { [format: number]: Kind } = { 0o100000: "file", 0o040000: "directory", 0o120000: "link" };

/** Translates the result of `stat`. */
export function toStatus(stats: NodeStats): Status {
  return {
    kind: KINDS[stats.mode & FORMAT] ?? "other",
    size: stats.size,
    mode: stats.mode & 0o7777,
    device: stats.dev,
    inode: stats.ino,
    links: stats.nlink,
    uid: stats.uid,
    gid: stats.gid,
    birth: stats.birthtimeMs,
    modified: stats.mtimeMs,
  };
}

function toFileSystem(answer: NodeStatFs): FileSystemStatus {
  return {
    type: answer.type,
    blockSize: answer.bsize,
    blocks: answer.blocks,
    freeBlocks: answer.bfree,
    availableBlocks: answer.bavail,
    inodes: answer.files,
    freeInodes: answer.ffree,
  };
}

/** Names per batch: enough to make the overhead negligible, few enough not to hold the event loop for a millisecond. */
const BATCH = 256;

const toEntry = (entry: NodeDirent): DirectoryEntry => ({ name: entry.name, directory: entry.isDirectory() });

/** A replacement character in a decoded name may stand for other bytes. */
const isLossy = (name: string): boolean => name.includes("\uFFFD");

/** Returns text if decoding loses nothing, else the bytes. */
function toPath(bytes: Uint8Array): Path {
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  return isLossy(text) ? bytes : text;
}

/** Returns the names in a directory that are not valid UTF-8, without kinds, which Bun does not report with bytes. */
function namesInBytes(fs: NodeFs, path: Path): DirectoryEntry[] {
  const decoder = new TextDecoder();
  return fs.readdirSync(path, "buffer").filter((name) => isLossy(decoder.decode(name)))
    .map((name) => ({ name, directory: false }));
}

/**
 * Lists an open directory. Text names come first, so that a name that is not valid UTF-8, which anybody may create, does
 * not keep the caller from the others.
 */
export function listing(fs: NodeFs, path: Path, directory: NodeDir): Listing {
  let inBytes: DirectoryEntry[] | undefined;
  const batch = (): DirectoryEntry[] => {
    const entries: DirectoryEntry[] = [];
    for (let entry; entries.length < BATCH && (entry = directory.readSync()) !== null;) {
      if (isLossy(entry.name)) inBytes ??= namesInBytes(fs, path);
      else entries.push(toEntry(entry));
    }
    return entries;
  };
  return {
    next() {
      const entries = batch();
      return entries.length > 0 ? entries : inBytes?.splice(0, BATCH) ?? [];
    },
    // The descriptor is released whatever the system answers, and nothing can be lost.
    close: () => attempt(() => directory.closeSync()),
  };
}

/** Turns a call with a callback into a promise. */
const promisify = <T>(start: (done: Done<T>) => void): Promise<T> =>
  new Promise((resolve, reject) => start((error, value) => error ? reject(error) : resolve(value)));

type Call = (...args: unknown[]) => void;

/** The calls on the thread pool, under the names of the blocking ones. */
const onPool = (fs: NodeFs): Blocking =>
  twins((name, args) => promisify((done) => (fs[name as Name] as Call)(...args, done)));

/**
 * The flags in use, as numbers of this platform. A flag that it lacks is 0, and the protection it gives is not promised
 * there.
 */
function openFlags({ constants }: NodeFs) {
  const { O_RDWR = 0, O_CREAT = 0, O_EXCL = 0, O_APPEND = 0, O_NONBLOCK = 0 } = constants;
  const { O_NOFOLLOW = 0, O_DIRECTORY = 0 } = constants;
  // Not among the constants of any runtime; the values are the same on every architecture that the runtimes are built
  // for.
  const O_TMPFILE = 0o20000000 | O_DIRECTORY, O_PATH = 0o10000000;
  // Reading only needs no flag: O_RDONLY is 0 on every platform.
  const read = O_NOFOLLOW | O_NONBLOCK;
  return {
    create: O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW,
    unnamed: O_RDWR | O_TMPFILE,
    read,
    write: O_RDWR | read,
    append: O_RDWR | read | O_APPEND,
    readTarget: 0,
    writeTarget: O_RDWR,
    directory: O_DIRECTORY | O_NOFOLLOW,
    directoryTarget: O_DIRECTORY,
    locate: O_PATH | O_DIRECTORY | O_NOFOLLOW,
  };
}

/** The primitives that are one call: each returns a promise if the call does. */
function fromCalls(fs: Blocking, flags: ReturnType<typeof openFlags>) {
  return {
    createFile: (path, mode) => fs.openSync(path, flags.create, mode),
    createDescriptor: (path, mode) => fs.openSync(path, flags.create, mode),
    createUnnamed: (directory, mode) => fs.openSync(directory, flags.unnamed, mode),
    openFile: (path, access) => fs.openSync(path, flags[access]),
    openDescriptor: (path, access) => fs.openSync(path, flags[`${access}Target`]),
    openDirectory: (path) => fs.openSync(path, flags.directory),
    locateDirectory: (path) => fs.openSync(path, flags.locate),
    close: (fd: number) => fs.closeSync(fd),
    makeDirectory: (path, mode) => fs.mkdirSync(path, { mode }),
    unlink: (path) => fs.unlinkSync(path),
    removeDirectory: (path) => fs.rmdirSync(path),
    rename: (from, to) => fs.renameSync(from, to),
    link: (from, to) => fs.linkSync(from, to),
    symbolicLink: (target, path, to) => fs.symlinkSync(target, path, to),
    readLink: (path) => andThen(fs.readlinkSync(path, "buffer"), toPath),
    status: (path) => andThen(fs.lstatSync(path), toStatus),
    statusOfTarget: (path) => andThen(fs.statSync(path), toStatus),
    statusOf: (fd: number) => andThen(fs.fstatSync(fd), toStatus),
    changeMode: (fd: number, mode) => fs.fchmodSync(fd, mode),
    changeModeAt: (anchor, mode) => fs.chmodSync(anchor, mode),
    changeOwner: (fd: number, uid, gid) => fs.fchownSync(fd, uid, gid),
    touch: (path, time) => fs.utimesSync(path, time / 1000, time / 1000),
    truncate: (fd: number, size) => fs.ftruncateSync(fd, size),
    read: (fd: number, into, at) => fs.readSync(fd, into, 0, into.length, at),
    write: (fd: number, data, at) => fs.writeSync(fd, data, 0, data.length, at),
    synchronize: (fd: number) => fs.fsyncSync(fd),
    readSystemFile: (path) => fs.readFileSync(path, "latin1"),
    fileSystem: (path) => andThen(fs.statfsSync(path), toFileSystem),
  } satisfies Partial<Primitives>;
}

/** The primitives of `fs`, on the calling thread and on its thread pool. */
export function nodePrimitives(fs: NodeFs): { sync: Primitives; pooled: Pooled<Primitives> } {
  const flags = openFlags(fs);
  // On a RAM disk or a WinFsp mount, Windows fails to resolve paths, with codes that realpath(3) never returns. So rare
  // that one fallback, which blocks, serves both.
  const byLinks = (path: string) => (error: unknown): string => {
    if (/EISDIR|UNKNOWN/.test((error as { code: string }).code)) return fs.realpathSync(path);
    throw error;
  };
  const sync: Primitives = {
    ...fromCalls(fs, flags),
    realPath(path) {
      try {
        return fs.realpathSync.native(path);
      } catch (error) {
        return byLinks(path)(error);
      }
    },
    synchronizeDirectory(path) {
      const directory = fs.openSync(path, flags.directoryTarget);
      try {
        fs.fsyncSync(directory);
      } finally {
        fs.closeSync(directory);
      }
    },
    list: (path) => listing(fs, path, fs.opendirSync(path, { bufferSize: BATCH })),
  };
  const pool = onPool(fs);
  const pooled: Pooled<Primitives> = {
    ...fromCalls(pool, flags) as unknown as Pooled<Primitives>,
    realPath: (path) => promisify<string>((done) => fs.realpath.native(path, done)).catch(byLinks(path)),
    async synchronizeDirectory(path) {
      const directory = await pool.openSync(path, flags.directoryTarget);
      try {
        await pool.fsyncSync(directory);
      } finally {
        fs.closeSync(directory);
      }
    },
    list: (path) => Promise.resolve(path).then(sync.list),
  };
  return { sync, pooled };
}
