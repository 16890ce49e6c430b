/**
 * The file primitives Mayfly stands on, and what else it needs to know of the runtime below.
 *
 * One adapter per runtime implements {@linkcode Runtime}; nothing outside this folder mentions a runtime.
 *
 * @module
 */

/** A path. Bytes where a name in it is not valid UTF-8. */
export type Path = string | Uint8Array;

/** An open file or directory: an OS descriptor, or the runtime's own object where it exposes no descriptor. */
export type Handle = number | object;

/** What a path or a handle is. */
export type Kind = "file" | "directory" | "link" | "other";

/** The status of a file, as far as Mayfly uses it. */
export interface Status {
  kind: Kind;
  /** Bytes. */
  size: number;
  /** Permission bits (`0o7777`). */
  mode: number;
  device: number;
  inode: number;
  links: number;
  /** User id of the owner; 0 on Windows. */
  uid: number;
  /** Group id; 0 on Windows. */
  gid: number;
  /** Milliseconds since the epoch; 0 where the file system has none. Tells a reused inode number from the file that had it before. */
  birth: number;
  /** Milliseconds since the epoch. */
  modified: number;
}

/** One name in a directory. */
export interface DirectoryEntry {
  name: Path;
  /** What the listing said; it may have changed since, so never trust it for a safety decision. */
  directory: boolean;
}

/** A directory being listed, in batches. */
export interface Listing {
  /** The next names, an empty array at the end. */
  next(): DirectoryEntry[] | Promise<DirectoryEntry[]>;
  /** Never throws: nothing can be lost. */
  close(): void;
}

/** Space of a file system. */
export interface FileSystemStatus {
  /** Type number of the file system (Linux magic), 0 where unknown. */
  type: number;
  blockSize: number;
  blocks: number;
  freeBlocks: number;
  availableBlocks: number;
  inodes: number;
  freeInodes: number;
}

/** What a link leads to, as the runtimes call it. */
export type LinkTarget = "file" | "dir";

/**
 * The primitives. Each is one system call (or as near as the runtime comes to one), throws the runtime's own error with
 * a POSIX `code`, and never follows a symbolic link in the last component unless it says so.
 */
export interface Primitives {
  /** Creates a file that must not exist; read and write, mode in the creating call. */
  createFile(path: Path, mode: number): Handle;
  /** As `createFile`, always with a number a child process can inherit. */
  createDescriptor(path: string, mode: number): number;
  /** Creates a file without a name in `directory` (`O_TMPFILE`). */
  createUnnamed(directory: string, mode: number): number;
  /** Opens an existing file. What is written to one that is open to `append` goes to its end, wherever that is by then. */
  openFile(path: Path, access: "read" | "write" | "append"): Handle;
  /** As `openFile`, always with a number a child process can inherit; follows links, for `/proc/self/fd/N`. */
  openDescriptor(path: string, access: "read" | "write"): number;
  /** Opens a directory for listing, never through a link. */
  openDirectory(path: Path): number;
  /** Opens a directory that may forbid being listed, only to name it (`O_PATH`). */
  locateDirectory(path: Path): number;
  close(handle: Handle): void;
  makeDirectory(path: Path, mode: number): void;
  /** Removes a name that is not a directory. */
  unlink(path: Path): void;
  /** Removes an empty directory. */
  removeDirectory(path: Path): void;
  rename(from: Path, to: Path): void;
  /** Gives the file at `from` a second name that must not exist. */
  link(from: string, to: string): void;
  /** Makes a link at `path` that says `target`. Windows has two kinds, each of which leads only to what it is for. */
  symbolicLink(target: Path, path: Path, to: LinkTarget): void;
  /** The absolute path without any link. */
  realPath(path: string): string;
  readLink(path: Path): Path;
  status(path: Path): Status;
  /** Follows a link. */
  statusOfTarget(path: string): Status;
  statusOf(handle: Handle): Status;
  /** Changes permission bits through the handle. */
  changeMode(handle: Handle, mode: number): void;
  /** Changes permission bits of what an anchor names. */
  changeModeAt(anchor: string, mode: number): void;
  /** Changes the owner through the handle. */
  changeOwner(handle: Handle, uid: number, gid: number): void;
  /** Sets both times, in milliseconds since the epoch. */
  touch(path: string, time: number): void;
  truncate(handle: Handle, size: number): void;
  /** Reads at an offset, returns bytes read, 0 at the end. */
  read(handle: Handle, into: Uint8Array, at: number): number;
  /** Writes at an offset, returns bytes written, which may be fewer than asked. */
  write(handle: Handle, data: Uint8Array, at: number): number;
  /** Waits until the contents are on the disk. */
  synchronize(handle: Handle): void;
  /** Waits until the names in a directory are on the disk. Follows a link. */
  synchronizeDirectory(path: Path): void;
  list(path: Path): Listing;
  /** A whole small file that the system provides (`/proc`), as text. */
  readSystemFile(path: string): string;
  fileSystem(path: string): FileSystemStatus;
}

/** A call on the calling thread, and the same on the thread pool. */
export interface Both<F extends (...args: never[]) => unknown> {
  sync: F;
  pooled: (...args: Parameters<F>) => Promise<ReturnType<F>>;
}

/** The primitives as the runtime's thread pool runs them. */
export type Pooled<P> = {
  [K in keyof P]: P[K] extends (...args: infer A) => infer R ? (...args: A) => Promise<R> : never;
};

/** The signals that ask a process to end. */
export type EndSignal = "SIGINT" | "SIGTERM" | "SIGHUP" | "SIGBREAK";

/** Listening to signals without taking them from anybody. */
export interface Signals {
  /**
   * The signals that would end this process: none where it is the first of a container, and not those that its parent had it
   * ignore, where the adapter can tell.
   */
  names(): readonly EndSignal[];
  /** Whether others' listeners can be counted; where not, signals are handled only when the application asks for it. */
  countable: boolean;
  /** Calls `listener` before all others where they are countable, so that none of them is gone when it counts. */
  listen(name: EndSignal, listener: () => void): () => void;
  /**
   * How many listeners there are but those that are known to act only when alone, as ours do. Where there are some, the
   * signal that one of them raises once it has stepped back still arrives, also if nothing else is left to do.
   */
  others(name: EndSignal): number;
  /** Sends the signal to this process. */
  raise(name: EndSignal): void;
}

/** Locks that exclude other programs. A lock belongs to a handle of its own: closing that is what releases it. */
export interface Locks {
  /** Takes the lock if nobody has one that excludes it. */
  tryAcquire(path: string, shared: boolean): Promise<Handle | undefined>;
  /** Waits for the lock without blocking a thread; undefined where the runtime can only try. */
  acquire: ((path: string, shared: boolean, signal: AbortSignal) => Promise<Handle>) | undefined;
}

/** A runtime's own removal of trees. */
export interface RemoveTree {
  sync: (path: string) => void;
  /** Undefined where only the blocking one is safe from renames. */
  pooled: ((path: string) => Promise<void>) | undefined;
}

/** Blobs of a runtime's own, which read a file when they are read. If it has changed by then they fail, or read what is there. */
export interface FileBlobs {
  /** Of the file that has a name then. */
  named(path: string): Promise<Blob>;
  /** Of the file behind a descriptor, never of another one that has the number later. Undefined where there is no such blob. */
  unnamed(descriptor: number): Promise<Blob> | undefined;
}

/** A runtime: its primitives and its process. */
export interface Runtime {
  readonly name: "deno" | "bun" | "node";
  readonly platform: "linux" | "darwin" | "windows" | "other";
  /** The primitives, on the calling thread. */
  readonly sync: Primitives;
  /** The primitives, on the thread pool. */
  readonly pooled: Pooled<Primitives>;
  /** Whether a file without a name costs no more than one with a name: nothing is loaded for it. */
  readonly lightUnnamed: boolean;
  readonly signals: Signals;
  /** Gives the file behind a descriptor a name; undefined where that cannot be done. Fails if the name is taken. */
  readonly linkDescriptor: Both<(descriptor: number, path: string) => void> | undefined;
  /** Undefined where the platform has no such locks. */
  readonly locks: Locks | undefined;
  /** Environment variables; undefined where unset or not permitted, never a prompt. */
  env(name: string): string | undefined;
  pid(): number;
  /** The current directory; undefined where it is gone. */
  cwd(): string | undefined;
  /** Whether a path may be looked at; asking never prompts. */
  mayRead(path: string): boolean;
  /** Whether a path may be created, changed or removed; asking never prompts. */
  mayWrite(path: string): boolean;
  /** The flags that permit to read and write files; undefined where that needs no permission. */
  readonly fileFlags: string | undefined;
  /** Whether there is a process with a number; undefined where that cannot be asked. */
  processExists(pid: number): boolean | undefined;
  /** The namespace in which process numbers count (Linux); undefined where unknown. */
  processNamespace(): string | undefined;
  /** The name of the machine; undefined where unknown. */
  hostName(): string | undefined;
  /** Whether this is the thread whose end is the end of the process. */
  isMainThread(): boolean;
  /** User id, undefined where the platform has none or does not permit to ask. */
  uid(): number | undefined;
  /** The directory the runtime itself would use for temporary files, undefined where asking costs a permission. */
  temporaryDirectory(): string | undefined;
  /** Fills with bytes from a cryptographically secure source. */
  random(bytes: Uint8Array<ArrayBuffer>): void;
  /** Milliseconds of a steady clock. */
  now(): number;
  /** What the runtime's own code reads of a `Blob`; undefined where it goes by the methods of a `Blob`, as everybody. */
  readonly fileBlobs: FileBlobs | undefined;
  /** Is told of bytes handed out in a new array, which will soon be garbage; undefined where none of that gathers. */
  readonly handedOut: ((bytes: number) => void) | undefined;
  /** Resolves on the next turn of the event loop. */
  nextTurn(): Promise<void>;
  /** Runs once after at least `milliseconds`; does not keep the process alive. Returns how to cancel. */
  later(milliseconds: number, call: () => void): () => void;
  /** As `later`, for what is waited for: keeps the process alive until then. */
  after(milliseconds: number, call: () => void): () => void;
  /** Blocks the calling thread. */
  sleep(milliseconds: number): void;
  /**
   * A path that names what the descriptor holds, whatever happens to its name (`/proc/self/fd/N`); undefined where the
   * platform, or a permission that is lacking, does not allow that.
   */
  anchor(descriptor: number): string | undefined;
  /** A number for the handle that a child process can inherit; undefined where one must be opened anew. */
  descriptor(handle: Handle): number | undefined;
  /** Takes over a descriptor that another process gave us. */
  fromDescriptor(descriptor: number): Handle;
  /**
   * Calls `listener` synchronously when the process ends in a way that runs user code: return, exit, uncaught error,
   * unhandled rejection. Returns how to stop that.
   */
  onEnd(listener: () => void): () => void;
  /**
   * Starts a program whose standard input ends with this process, and which keeps it from ending no longer. Calls
   * `onFailure`, at once or later, if it cannot be started. Returns what ends that input earlier.
   */
  startWatcher(command: string, args: string[], onFailure: (reason: Error) => void): () => void;
  /** Emits a process warning of type `TempfileWarning`. */
  warn(message: string, code: string, detail?: string): void;
  /**
   * Removes a whole tree by a walk of the runtime's own that no racing rename can lead outside; undefined where the
   * runtime has no such walk. It empties what is mounted inside, and how deep it can go is not known.
   */
  readonly removeTree: RemoveTree | undefined;
}
