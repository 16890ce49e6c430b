/**
 * A file system in memory that behaves like a kernel's: links, permissions, mounts, open files whose name is gone.
 *
 * @module
 */
import type { FileSystemStatus, Kind, Path, Status } from "../../lib/runtime/mod.ts";
import { systemError } from "./substitute.ts";

/** A file, directory or link, whatever its names are. */
export class Inode {
  readonly kind: Kind;
  readonly device: number;
  readonly number: number;
  readonly birth: number;
  mode: number;
  uid: number;
  gid = 0;
  modified: number;
  /** The number of names that lead to it. A directory has one, and none once it is removed. */
  links = 1;
  /** A file's contents; between their end and `size` there are zeros. */
  bytes: Uint8Array = new Uint8Array(0);
  size = 0;
  /** The contents of a directory. */
  readonly entries: Map<string, Inode> = new Map();
  parent: Inode | undefined;
  /** What is mounted on a directory. */
  mounted: Inode | undefined;
  /** The target of a link. */
  target = "";
  /** Neither removable nor renamable, as root can make it. */
  immutable = false;
  /** The open files that have locked it, and whether they share the lock. */
  readonly locks: Map<OpenInode, boolean> = new Map();

  constructor(kind: Kind, device: number, number: number, { mode, uid }: { mode: number; uid: number }) {
    this.kind = kind;
    this.device = device;
    this.number = number;
    this.mode = mode;
    this.uid = uid;
    this.modified = this.birth = EPOCH + number;
  }
}

/** Everything was created a while ago, each inode a millisecond after the previous one. */
const EPOCH = Date.now() - 10_000_000;

/** An open file description. */
export interface OpenInode {
  readonly inode: Inode;
  readonly access: "read" | "write" | "append" | "path";
}

/** The process that makes a call. */
export interface Caller {
  readonly pid: number;
  readonly uid: number;
  umask: number;
  readonly descriptors: Map<number, OpenInode>;
}

/** What a path leads to. */
interface Place {
  /** Undefined for a path through a descriptor. */
  parent: Inode | undefined;
  name: string;
  inode: Inode | undefined;
}

const READ = 4, WRITE = 2, SEARCH = 1;

/** The number of links followed before the kernel gives up, and the bytes of the longest name and path. */
const LINKS = 40, LONGEST_NAME = 255, LONGEST_PATH = 4095;

const decoder = new TextDecoder(), encoder = new TextEncoder();

/** Whether a text has more bytes than that. Each of its units has three at most, so that most need not be encoded. */
const isLonger = (text: string, bytes: number): boolean =>
  text.length > bytes / 3 && encoder.encode(text).length > bytes;

const asText = (path: Path): string => typeof path === "string" ? path : decoder.decode(path);

/** The disk, and the processes that `/proc` shows. */
export class FakeDisk {
  readonly root: Inode;
  readonly callers: Map<number, Caller> = new Map();
  /** Whether what is created is as young as it is; otherwise it is old at once. */
  young = false;
  #inodes = 1;
  /** Mount points, by device. */
  readonly #mounts = new Map<number, string>([[1, "/"]]);

  constructor() {
    this.root = new Inode("directory", 1, this.#inodes++, { mode: 0o755, uid: 0 });
  }

  // Lookup

  /** Returns the inode at a path. */
  find(who: Caller, path: Path, follow: boolean): Inode {
    const { inode } = this.#resolve(who, path, follow);
    if (inode === undefined) throw systemError("ENOENT");
    return inode;
  }

  status(who: Caller, path: Path, follow: boolean): Status {
    return statusOf(this.find(who, path, follow));
  }

  /** Returns the names in a directory. */
  list(who: Caller, path: Path): { name: string; directory: boolean }[] {
    const open = this.#namesOfProc(asText(path));
    if (open !== undefined) return open.map((number) => ({ name: String(number), directory: false }));
    const { entries } = this.#directory(who, path, READ);
    return Array.from(entries, ([name, { kind }]) => ({ name, directory: kind === "directory" }));
  }

  readLink(who: Caller, path: Path): string {
    if (path === "/proc/self") return String(who.pid);
    const { kind, target } = this.find(who, path, false);
    if (kind !== "link") throw systemError("EINVAL");
    return target;
  }

  realPath(who: Caller, path: string): string {
    const { parent, name, inode } = this.#resolve(who, path, true);
    if (inode === undefined) throw systemError("ENOENT");
    if (inode.kind === "directory") return this.pathOf(inode);
    return joined(this.pathOf(parent!), name);
  }

  /** Returns the path of a directory. */
  pathOf(directory: Inode): string {
    const { parent } = directory;
    if (parent === undefined) return "/";
    const [name] = [...parent.entries].find(([, inode]) => (inode.mounted ?? inode) === directory) ?? ["?"];
    return joined(this.pathOf(parent), name);
  }

  /** Returns a file that the kernel provides, or any other, as text. */
  readSystemFile(who: Caller, path: string): string {
    if (path === "/proc/self/mountinfo") return this.#mountTable();
    const [, number] = /^\/proc\/self\/fdinfo\/(\d+)$/.exec(path) ?? [];
    if (number !== undefined) return `mnt_id:\t${opened(who, Number(number)).inode.device}\n`;
    return decoder.decode(contentsOf(this.#readable(who, path)));
  }

  #readable(who: Caller, path: string): Inode {
    const inode = this.find(who, path, true);
    permit(who, inode, READ);
    return inode;
  }

  #mountTable(): string {
    return Array.from(this.#mounts, ([device, path]) => `${device} 0 0:${device} / ${path} rw - fake\n`).join(
      "",
    );
  }

  fileSystem(who: Caller, path: string): FileSystemStatus {
    const { device } = this.find(who, path, true);
    const type = device === 1 ? 0xef53 : 0x01021994;
    const blocks = { blocks: 1_000_000, freeBlocks: 600_000, availableBlocks: 500_000 };
    return { type, blockSize: 4096, ...blocks, inodes: 1_000_000, freeInodes: 900_000 };
  }

  // Creation and removal

  makeFile(who: Caller, path: Path, mode: number): Inode {
    return this.#add(who, path, "file", mode);
  }

  /** Creates a file that is in no directory. */
  makeUnnamed(who: Caller, directory: string, mode: number): Inode {
    const { device } = this.#directory(who, directory, WRITE | SEARCH);
    const inode = this.#inode("file", device, { mode: mode & ~who.umask, uid: who.uid });
    inode.links = 0;
    return inode;
  }

  makeDirectory(who: Caller, path: Path, mode: number): Inode {
    return this.#add(who, path, "directory", mode);
  }

  makeLink(who: Caller, target: Path, path: Path): void {
    this.#add(who, path, "link", 0o777).target = asText(target);
  }

  #add(who: Caller, path: Path, kind: Kind, mode: number): Inode {
    const { parent, name } = this.#free(who, path);
    const bits = kind === "link" ? mode : mode & ~who.umask;
    const inode = this.#inode(kind, parent.device, { mode: bits, uid: who.uid });
    inode.parent = kind === "directory" ? parent : undefined;
    parent.entries.set(name, inode);
    touched(parent);
    return inode;
  }

  /** Gives an inode a name that must not exist. */
  link(who: Caller, inode: Inode, path: string): void {
    if (inode.kind === "directory") throw systemError("EPERM");
    const { parent, name } = this.#free(who, path);
    if (parent.device !== inode.device) throw systemError("EXDEV");
    parent.entries.set(name, inode);
    inode.links++;
  }

  unlink(who: Caller, path: Path): void {
    const { parent, name, inode } = this.#removable(who, path);
    if (inode.kind === "directory") throw systemError("EISDIR");
    parent.entries.delete(name);
    touched(parent);
    inode.links--;
  }

  removeDirectory(who: Caller, path: Path): void {
    const { parent, name, inode } = this.#removable(who, path);
    if (inode.kind !== "directory") throw systemError("ENOTDIR");
    if (inode.mounted !== undefined) throw systemError("EBUSY");
    if (inode.entries.size > 0) throw systemError("ENOTEMPTY");
    parent.entries.delete(name);
    touched(parent);
    inode.links = 0;
  }

  rename(who: Caller, from: Path, to: Path): void {
    const old = this.#removable(who, from);
    const place = this.#resolve(who, to, false);
    const parent = writable(who, place.parent);
    if (parent.device !== old.parent.device) throw systemError("EXDEV");
    if (old.inode.mounted !== undefined) throw systemError("EBUSY");
    if (old.inode.kind === "directory") requireOutside(old.inode, parent);
    if (place.inode === old.inode) return;
    if (place.inode !== undefined) this.#giveWay(who, parent, place.inode, old.inode);
    old.parent.entries.delete(old.name);
    parent.entries.set(place.name, old.inode);
    if (old.inode.kind === "directory") old.inode.parent = parent;
    touched(parent);
  }

  /** Makes way for a rename that replaces something. */
  #giveWay(who: Caller, parent: Inode, there: Inode, comes: Inode): void {
    permitRemoval(who, parent, there);
    if (there.kind === "directory" && comes.kind !== "directory") throw systemError("EISDIR");
    if (there.kind !== "directory" && comes.kind === "directory") throw systemError("ENOTDIR");
    if (there.entries.size > 0) throw systemError("ENOTEMPTY");
    there.links--;
  }

  /** Mounts a new file system, of another device, on a directory, as root does. */
  mount(path: string): Inode {
    const covered = this.find(ROOT, path, true);
    const device = this.#mounts.size + 1;
    const top = new Inode("directory", device, this.#inodes++, { mode: covered.mode, uid: covered.uid });
    top.parent = covered.parent;
    covered.mounted = top;
    this.#mounts.set(device, path);
    return top;
  }

  #inode(kind: Kind, device: number, rights: { mode: number; uid: number }): Inode {
    const inode = new Inode(kind, device, this.#inodes++, rights);
    if (this.young) touched(inode);
    return inode;
  }

  // Path resolution

  #directory(who: Caller, path: Path, rights: number): Inode {
    const inode = this.find(who, path, true);
    if (inode.kind !== "directory") throw systemError("ENOTDIR");
    permit(who, inode, rights);
    return inode;
  }

  /** Returns a free place where something can be created. */
  #free(who: Caller, path: Path): { parent: Inode; name: string } {
    const { parent, name, inode } = this.#resolve(who, path, false);
    if (inode !== undefined) throw systemError("EEXIST");
    return { parent: writable(who, parent), name };
  }

  /** Returns what the caller may remove from its directory. */
  #removable(who: Caller, path: Path): { parent: Inode; name: string; inode: Inode } {
    const { parent, name, inode } = this.#resolve(who, path, false);
    if (inode === undefined) throw systemError("ENOENT");
    if (name === "." || name === "") throw systemError("EINVAL");
    permitRemoval(who, writable(who, parent), inode);
    // The inode that has the name, not what is mounted on it.
    return { parent: parent!, name, inode: parent!.entries.get(name)! };
  }

  #resolve(who: Caller, given: Path, follow: boolean): Place {
    const path = asText(given);
    if (isLonger(path, LONGEST_PATH)) throw systemError("ENAMETOOLONG");
    const [magic, pid, number, rest = ""] = /^\/proc\/(self|\d+)\/fd\/(\d+)(\/.*)?$/.exec(path) ?? [];
    if (magic === undefined) return this.#walk(who, this.root, path, follow);
    const owner = pid === "self" ? who : this.callers.get(Number(pid));
    const inode = owner?.descriptors.get(Number(number))?.inode;
    if (inode === undefined) throw systemError("ENOENT");
    if (rest === "") return { parent: undefined, name: "", inode };
    return this.#walk(who, inode, rest, follow);
  }

  #walk(who: Caller, start: Inode, path: string, follow: boolean): Place {
    let at = start, links = 0;
    const names = path.split("/").filter((name) => name !== "");
    const asDirectory = path.endsWith("/");
    for (let name = names.shift(); name !== undefined; name = names.shift()) {
      if (at.kind !== "directory") throw systemError("ENOTDIR");
      permit(who, at, SEARCH);
      if (isLonger(name, LONGEST_NAME)) throw systemError("ENAMETOOLONG");
      if (name === ".") continue;
      const found = name === ".." ? at.parent ?? at : at.entries.get(name);
      const inode = found?.mounted ?? found;
      const last = names.length === 0;
      if (inode?.kind === "link" && (!last || follow || asDirectory)) {
        if (++links > LINKS) throw systemError("ELOOP");
        names.unshift(...inode.target.split("/").filter((part) => part !== ""));
        if (inode.target.startsWith("/")) at = this.root;
        continue;
      }
      if (last && name !== "..") return requireKind({ parent: at, name, inode }, asDirectory);
      if (inode === undefined) throw systemError("ENOENT");
      at = inode;
    }
    return { parent: at.parent, name: ".", inode: at };
  }

  /** Returns the descriptors of a process if the path names its directory of descriptors. */
  #namesOfProc(path: string): number[] | undefined {
    const [, pid] = /^\/proc\/(\d+)\/fd$/.exec(path) ?? [];
    if (pid === undefined) return undefined;
    const caller = this.callers.get(Number(pid));
    if (caller === undefined) throw systemError("ENOENT");
    return [...caller.descriptors.keys()];
  }
}

/** The superuser. */
export const ROOT: Caller = { pid: 0, uid: 0, umask: 0, descriptors: new Map() };

const joined = (directory: string, name: string): string =>
  directory === "/" ? `/${name}` : `${directory}/${name}`;

/** A trailing separator requires a directory. */
function requireKind(place: Place, asDirectory: boolean): Place {
  if (asDirectory && place.inode !== undefined && place.inode.kind !== "directory") {
    throw systemError("ENOTDIR");
  }
  return place;
}

function requireOutside(moved: Inode, target: Inode): void {
  for (let at: Inode | undefined = target; at !== undefined; at = at.parent) {
    if (at === moved) throw systemError("EINVAL");
  }
}

function permit({ uid }: Caller, inode: Inode, rights: number): void {
  const granted = uid === 0 ? 7 : uid === inode.uid ? inode.mode >> 6 : inode.mode;
  if ((granted & rights) !== rights) throw systemError("EACCES");
}

function writable(who: Caller, directory: Inode | undefined): Inode {
  if (directory === undefined || directory.links === 0) throw systemError("ENOENT");
  permit(who, directory, WRITE | SEARCH);
  return directory;
}

const STICKY = 0o1000;

function permitRemoval({ uid }: Caller, parent: Inode, inode: Inode): void {
  const others = uid !== 0 && uid !== inode.uid && uid !== parent.uid;
  if (inode.immutable || (others && (parent.mode & STICKY) !== 0)) throw systemError("EPERM");
}

const touched = (inode: Inode): void => void (inode.modified = Date.now());

/** Returns what the caller has open under a number. */
export function opened({ descriptors }: Caller, number: number): OpenInode {
  const open = descriptors.get(number);
  if (open === undefined) throw systemError("EBADF");
  return open;
}

/** Checks the permissions for opening something. */
export function permitOpen(who: Caller, inode: Inode, access: OpenInode["access"]): void {
  if (access !== "path") permit(who, inode, access === "read" ? READ : READ | WRITE);
}

/** Returns the result of `stat`. */
export function statusOf(inode: Inode): Status {
  const { kind, mode, device, number, links, uid, gid, birth, modified } = inode;
  const size = kind === "link" ? inode.target.length : inode.size;
  return { kind, size, mode, device, inode: number, links, uid, gid, birth, modified };
}

/** Returns all bytes of a file. */
export function contentsOf(inode: Inode): Uint8Array {
  const whole = new Uint8Array(inode.size);
  whole.set(inode.bytes.subarray(0, inode.size));
  return whole;
}

/** Reads, up to the end. */
export function readAt({ bytes, size }: Inode, into: Uint8Array, at: number): number {
  const count = Math.max(0, Math.min(into.byteLength, size - at));
  const there = bytes.subarray(at, at + count);
  into.set(there);
  into.fill(0, there.byteLength, count);
  return count;
}

/** Writes, filling any gap with zeros. */
export function writeAt(inode: Inode, data: Uint8Array, at: number): number {
  const end = at + data.byteLength;
  if (end > inode.bytes.byteLength) {
    const larger = new Uint8Array(Math.max(end, inode.bytes.byteLength * 2));
    larger.set(inode.bytes.subarray(0, inode.size));
    inode.bytes = larger;
  }
  inode.bytes.set(data, at);
  inode.size = Math.max(inode.size, end);
  touched(inode);
  return data.byteLength;
}

/** Truncates or extends. */
export function setSize(inode: Inode, size: number): void {
  if (size < inode.size) inode.bytes = inode.bytes.slice(0, size);
  inode.size = size;
  touched(inode);
}
