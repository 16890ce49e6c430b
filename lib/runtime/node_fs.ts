/**
 * The primitives over the `node:fs` interface, which Node and Bun have by nature and Deno on request.
 *
 * @module
 */
import type {
  DirectoryEntry,
  FileSystemStatus,
  Handle,
  Kind,
  LinkTarget,
  Listing,
  Path,
  Pooled,
  Primitives,
  Status,
} from "./types.ts";

type Done<T = void> = (error: Error | null, value: T) => void;

/** What `stat` answers. */
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

interface NodeDirent {
  name: string;
  isDirectory(): boolean;
}

interface NodeDir {
  readSync(): NodeDirent | null;
  closeSync(): void;
}

/** The part of `node:fs` in use. */
export interface NodeFs {
  constants: { [name: string]: number | undefined };
  openSync(path: Path, flags: number, mode?: number): number;
  open(path: Path, flags: number, mode: number, done: Done<number>): void;
  closeSync(fd: number): void;
  close(fd: number, done: Done): void;
  mkdirSync(path: Path, options: { mode: number }): unknown;
  mkdir(path: Path, options: { mode: number }, done: Done): void;
  unlinkSync(path: Path): void;
  unlink(path: Path, done: Done): void;
  rmdirSync(path: Path): void;
  rmdir(path: Path, done: Done): void;
  renameSync(from: Path, to: Path): void;
  rename(from: Path, to: Path, done: Done): void;
  linkSync(from: string, to: string): void;
  link(from: string, to: string, done: Done): void;
  symlinkSync(target: Path, path: Path, to: LinkTarget): void;
  symlink(target: Path, path: Path, to: LinkTarget, done: Done): void;
  realpathSync: { native(path: string): string };
  realpath: { native(path: string, done: Done<string>): void };
  readlinkSync(path: Path, encoding: "buffer"): Uint8Array;
  readlinkSync(path: string, encoding: "latin1"): string;
  readlink(path: Path, encoding: "buffer", done: Done<Uint8Array>): void;
  lstatSync(path: Path): NodeStats;
  lstat(path: Path, done: Done<NodeStats>): void;
  statSync(path: Path): NodeStats;
  stat(path: Path, done: Done<NodeStats>): void;
  fstatSync(fd: number): NodeStats;
  fstat(fd: number, done: Done<NodeStats>): void;
  fchmodSync(fd: number, mode: number): void;
  fchmod(fd: number, mode: number, done: Done): void;
  chmodSync(path: string, mode: number): void;
  chmod(path: string, mode: number, done: Done): void;
  fchownSync(fd: number, uid: number, gid: number): void;
  fchown(fd: number, uid: number, gid: number, done: Done): void;
  utimesSync(path: string, accessed: number, modified: number): void;
  utimes(path: string, accessed: number, modified: number, done: Done): void;
  ftruncateSync(fd: number, size: number): void;
  ftruncate(fd: number, size: number, done: Done): void;
  readSync(fd: number, into: Uint8Array, offset: number, length: number, at: number): number;
  read(fd: number, into: Uint8Array, offset: number, length: number, at: number, done: Done<number>): void;
  writeSync(fd: number, data: Uint8Array, offset: number, length: number, at: number): number;
  write(fd: number, data: Uint8Array, offset: number, length: number, at: number, done: Done<number>): void;
  fsyncSync(fd: number): void;
  fsync(fd: number, done: Done): void;
  opendirSync(path: Path, options: { bufferSize: number }): NodeDir;
  readdirSync(path: Path, encoding: "buffer"): Uint8Array[];
  readFileSync(path: string, encoding: "latin1"): string;
  readFile(path: string, encoding: "latin1", done: Done<string>): void;
  statfsSync(path: string): NodeStatFs;
  statfs(path: string, done: Done<NodeStatFs>): void;
}

const FORMAT = 0o170000;
const KINDS: { [format: number]: Kind } = { 0o100000: "file", 0o040000: "directory", 0o120000: "link" };

/** Translates what `stat` answers. */
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

/** Names per batch: large enough to cost nothing, small enough not to hold the event loop for a millisecond. */
const BATCH = 256;

const toEntry = (entry: NodeDirent): DirectoryEntry => ({ name: entry.name, directory: entry.isDirectory() });

/** A decoded name with a replacement character may stand for other bytes. */
const isLossy = (name: string): boolean => name.includes("\uFFFD");

/** Text where that says the same. */
function toPath(bytes: Uint8Array): Path {
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  return isLossy(text) ? bytes : text;
}

/** The names in a directory that are no text. Without kinds, which Bun does not give beside bytes. */
function namesInBytes(fs: NodeFs, path: Path): DirectoryEntry[] {
  const decoder = new TextDecoder();
  return fs.readdirSync(path, "buffer").filter((name) => isLossy(decoder.decode(name)))
    .map((name) => ({ name, directory: false }));
}

/** Names that are text come first, so that one that is none, which anybody may put there, keeps nobody from those. */
function listing(fs: NodeFs, path: Path): Listing {
  const directory = fs.opendirSync(path, { bufferSize: BATCH });
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
    close() {
      try {
        directory.closeSync();
      } catch {
        // The descriptor is given back whatever the system says, and nothing can be lost.
      }
    },
  };
}

/** Turns a call with a callback into a promise. */
function promised<T>(start: (done: Done<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => start((error, value) => error ? reject(error) : resolve(value)));
}

/** The flags in use, as numbers of this platform. Those it lacks are 0, and what they secure is then not promised there. */
function openFlags(fs: NodeFs) {
  const flag = (name: string): number => fs.constants[name] ?? 0;
  const directory = flag("O_DIRECTORY");
  return {
    create: flag("O_RDWR") | flag("O_CREAT") | flag("O_EXCL") | flag("O_NOFOLLOW"),
    // Not among the constants of any runtime; the same number on every architecture that the runtimes are built for.
    unnamed: flag("O_RDWR") | 0o20000000 | directory,
    read: flag("O_RDONLY") | flag("O_NOFOLLOW") | flag("O_NONBLOCK"),
    write: flag("O_RDWR") | flag("O_NOFOLLOW") | flag("O_NONBLOCK"),
    readTarget: flag("O_RDONLY"),
    writeTarget: flag("O_RDWR"),
    directory: flag("O_RDONLY") | directory | flag("O_NOFOLLOW"),
    directoryTarget: flag("O_RDONLY") | directory,
    locate: 0o10000000 | directory | flag("O_NOFOLLOW"),
  };
}

/** The primitives of `fs`, on the calling thread and on its thread pool. */
export function nodePrimitives(fs: NodeFs): { sync: Primitives; pooled: Pooled<Primitives> } {
  const flags = openFlags(fs);
  const fd = (handle: Handle): number => handle as number;
  const sync: Primitives = {
    createFile: (path, mode) => fs.openSync(path, flags.create, mode),
    createDescriptor: (path, mode) => fs.openSync(path, flags.create, mode),
    createUnnamed: (directory, mode) => fs.openSync(directory, flags.unnamed, mode),
    openFile: (path, access) => fs.openSync(path, flags[access]),
    openDescriptor: (path, access) =>
      fs.openSync(path, access === "read" ? flags.readTarget : flags.writeTarget),
    openDirectory: (path) => fs.openSync(path, flags.directory),
    locateDirectory: (path) => fs.openSync(path, flags.locate),
    close: (handle) => fs.closeSync(fd(handle)),
    makeDirectory: (path, mode) => void fs.mkdirSync(path, { mode }),
    unlink: (path) => fs.unlinkSync(path),
    removeDirectory: (path) => fs.rmdirSync(path),
    rename: (from, to) => fs.renameSync(from, to),
    link: (from, to) => fs.linkSync(from, to),
    symbolicLink: (target, path, to) => fs.symlinkSync(target, path, to),
    realPath: (path) => fs.realpathSync.native(path),
    readLink: (path) => toPath(fs.readlinkSync(path, "buffer")),
    status: (path) => toStatus(fs.lstatSync(path)),
    statusOfTarget: (path) => toStatus(fs.statSync(path)),
    statusOf: (handle) => toStatus(fs.fstatSync(fd(handle))),
    changeMode: (handle, mode) => fs.fchmodSync(fd(handle), mode),
    changeModeAt: (anchor, mode) => fs.chmodSync(anchor, mode),
    changeOwner: (handle, uid, gid) => fs.fchownSync(fd(handle), uid, gid),
    touch: (path, time) => fs.utimesSync(path, time / 1000, time / 1000),
    truncate: (handle, size) => fs.ftruncateSync(fd(handle), size),
    read: (handle, into, at) => fs.readSync(fd(handle), into, 0, into.byteLength, at),
    write: (handle, data, at) => fs.writeSync(fd(handle), data, 0, data.byteLength, at),
    synchronize: (handle) => fs.fsyncSync(fd(handle)),
    synchronizeDirectory: (path) => {
      const directory = fs.openSync(path, flags.directoryTarget);
      try {
        fs.fsyncSync(directory);
      } finally {
        fs.closeSync(directory);
      }
    },
    list: (path) => listing(fs, path),
    readSystemFile: (path) => fs.readFileSync(path, "latin1"),
    fileSystem: (path) => toFileSystem(fs.statfsSync(path)),
  };
  const open = (path: Path, flag: number, mode = 0): Promise<number> =>
    promised((done) => fs.open(path, flag, mode, done));
  const pooled: Pooled<Primitives> = {
    createFile: (path, mode) => open(path, flags.create, mode),
    createDescriptor: (path, mode) => open(path, flags.create, mode),
    createUnnamed: (directory, mode) => open(directory, flags.unnamed, mode),
    openFile: (path, access) => open(path, flags[access]),
    openDescriptor: (path, access) => open(path, access === "read" ? flags.readTarget : flags.writeTarget),
    openDirectory: (path) => open(path, flags.directory),
    locateDirectory: (path) => open(path, flags.locate),
    close: (handle) => promised((done) => fs.close(fd(handle), done)),
    makeDirectory: (path, mode) => promised((done) => fs.mkdir(path, { mode }, done)),
    unlink: (path) => promised((done) => fs.unlink(path, done)),
    removeDirectory: (path) => promised((done) => fs.rmdir(path, done)),
    rename: (from, to) => promised((done) => fs.rename(from, to, done)),
    link: (from, to) => promised((done) => fs.link(from, to, done)),
    symbolicLink: (target, path, to) => promised((done) => fs.symlink(target, path, to, done)),
    realPath: (path) => promised((done) => fs.realpath.native(path, done)),
    readLink: (path) => promised<Uint8Array>((done) => fs.readlink(path, "buffer", done)).then(toPath),
    status: (path) => promised<NodeStats>((done) => fs.lstat(path, done)).then(toStatus),
    statusOfTarget: (path) => promised<NodeStats>((done) => fs.stat(path, done)).then(toStatus),
    statusOf: (handle) => promised<NodeStats>((done) => fs.fstat(fd(handle), done)).then(toStatus),
    changeMode: (handle, mode) => promised((done) => fs.fchmod(fd(handle), mode, done)),
    changeModeAt: (anchor, mode) => promised((done) => fs.chmod(anchor, mode, done)),
    changeOwner: (handle, uid, gid) => promised((done) => fs.fchown(fd(handle), uid, gid, done)),
    touch: (path, time) => promised((done) => fs.utimes(path, time / 1000, time / 1000, done)),
    truncate: (handle, size) => promised((done) => fs.ftruncate(fd(handle), size, done)),
    read: (handle, into, at) => promised((done) => fs.read(fd(handle), into, 0, into.byteLength, at, done)),
    write: (handle, data, at) => promised((done) => fs.write(fd(handle), data, 0, data.byteLength, at, done)),
    synchronize: (handle) => promised((done) => fs.fsync(fd(handle), done)),
    synchronizeDirectory: async (path) => {
      const directory = await open(path, flags.directoryTarget);
      try {
        await promised((done) => fs.fsync(directory, done));
      } finally {
        fs.closeSync(directory);
      }
    },
    list: (path) => Promise.resolve(path).then(sync.list),
    readSystemFile: (path) => promised((done) => fs.readFile(path, "latin1", done)),
    fileSystem: (path) => promised<NodeStatFs>((done) => fs.statfs(path, done)).then(toFileSystem),
  };
  return { sync, pooled };
}
