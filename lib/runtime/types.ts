/**
 * The file primitives Mayfly is built on, and everything else it needs of the runtime.
 *
 * One adapter per runtime implements {@linkcode Runtime}; nothing outside this folder mentions a runtime.
 *
 * @module
 */

/** A path. Bytes if a name in it is not valid UTF-8. */
export type Path = string | Uint8Array;

/** An open file or directory: an OS descriptor, or the runtime's own object if it exposes no descriptor. */
export type Handle = number | object;

/** The kind of a path or a handle. */
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
  /**
   * Milliseconds since the epoch; 0 if the file system records none. Distinguishes a file from an earlier one with the
   * same inode number.
   */
  birth: number;
  /** Milliseconds since the epoch. */
  modified: number;
}

/** One name in a directory. */
export interface DirectoryEntry {
  name: Path;
  /** As reported by the listing. It may have changed since, so never rely on it for a safety decision. */
  directory: boolean;
}

/** A directory being listed, in batches. */
export interface Listing {
  /** Returns the next names; an empty array at the end. */
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

/** What a symbolic link leads to, in the runtimes' terms. */
export type LinkTarget = "file" | "dir";

/**
 * The primitives. Each is one system call (or as near as the runtime comes to one), throws the runtime's own error with a
 * POSIX `code`, and never follows a symbolic link in the last component unless it says so.
 */
export interface Primitives {
  /** Creates a file that must not exist, open for reading and writing, with its mode set by the creating call. */
  createFile(path: Path, mode: number): Handle;
  /** Like `createFile`, but always returns a descriptor that a child process can inherit. */
  createDescriptor(path: string, mode: number): number;
  /** Creates a file without a name in `directory` (`O_TMPFILE`). */
  createUnnamed(directory: string, mode: number): number;
  /** Opens an existing file. With `append`, every write goes to the end of the file as it is at that moment. */
  openFile(path: Path, access: "read" | "write" | "append"): Handle;
  /**
   * Like `openFile`, but always returns a descriptor that a child process can inherit; follows links, for
   * `/proc/self/fd/N`.
   */
  openDescriptor(path: string, access: "read" | "write"): number;
  /** Opens a directory for listing. Does not follow a link. */
  openDirectory(path: Path): number;
  /** Opens a directory that may not be listable, only to refer to it (`O_PATH`). */
  locateDirectory(path: Path): number;
  close(handle: Handle): void;
  makeDirectory(path: Path, mode: number): void;
  /** Removes the name of anything but a directory. */
  unlink(path: Path): void;
  /** Removes an empty directory. */
  removeDirectory(path: Path): void;
  rename(from: Path, to: Path): void;
  /** Gives the file at `from` a second name that must not exist. */
  link(from: string, to: string): void;
  /**
   * Creates a link at `path` to `target`. Windows has two kinds of link, each of which works only for its kind of target.
   */
  symbolicLink(target: Path, path: Path, to: LinkTarget): void;
  /** Returns the absolute path with all links resolved. */
  realPath(path: string): string;
  readLink(path: Path): Path;
  status(path: Path): Status;
  /** Follows a link. */
  statusOfTarget(path: string): Status;
  statusOf(handle: Handle): Status;
  /** Changes permission bits through the handle. */
  changeMode(handle: Handle, mode: number): void;
  /** Changes permission bits of what an anchor refers to. */
  changeModeAt(anchor: string, mode: number): void;
  /** Changes the owner through the handle. */
  changeOwner(handle: Handle, uid: number, gid: number): void;
  /** Sets both the access and the modification time, in milliseconds since the epoch. */
  touch(path: string, time: number): void;
  truncate(handle: Handle, size: number): void;
  /** Reads at an offset. Returns the number of bytes read, 0 at the end. */
  read(handle: Handle, into: Uint8Array, at: number): number;
  /** Writes at an offset. Returns the number of bytes written, which may be fewer than given. */
  write(handle: Handle, data: Uint8Array, at: number): number;
  /** Waits until the contents are on the disk. */
  synchronize(handle: Handle): void;
  /** Waits until the names in a directory are on the disk. Follows a link. */
  synchronizeDirectory(path: Path): void;
  list(path: Path): Listing;
  /** Returns the whole text of a small file that the kernel provides (`/proc`). */
  readSystemFile(path: string): string;
  fileSystem(path: string): FileSystemStatus;
}

/** A call on the calling thread, and its twin on the thread pool. */
export interface SyncAndPooled<F extends (...args: never[]) => unknown> {
  sync: F;
  pooled: (...args: Parameters<F>) => Promise<ReturnType<F>>;
}

/** The primitives, run on the runtime's thread pool. */
export type Pooled<P> = {
  [K in keyof P]: P[K] extends (...args: infer A) => infer R ? (...args: A) => Promise<R> : never;
};

/** The signals that ask a process to end. */
export type EndSignal = "SIGINT" | "SIGTERM" | "SIGHUP" | "SIGBREAK";

/** Listening to signals without taking them away from other listeners. */
export interface Signals {
  /**
   * The signals that would end this process: none if it is the first process of a container, and, where the adapter can
   * tell, none that its parent had set to be ignored.
   */
  names(): readonly EndSignal[];
  /** Whether other listeners can be counted. If not, signals are handled only when the application asks for it. */
  countable: boolean;
  /** Calls `listener` before all others if they are countable, so that none of them is gone when it counts. */
  listen(name: EndSignal, listener: () => void): () => void;
  /**
   * Returns the number of listeners other than ours and others known to act only when alone. If there are any, a signal
   * that one of them raises again still arrives, even if nothing else is left to do.
   */
  others(name: EndSignal): number;
  /** Sends a signal to this process. */
  raise(name: EndSignal): void;
}

/** Locks that exclude other programs. Each lock belongs to a handle of its own, and closing that releases it. */
export interface Locks {
  /** Takes the lock, unless somebody has one that excludes it. */
  tryAcquire(path: string, shared: boolean): Promise<Handle | undefined>;
  /** Waits for the lock without blocking a thread; undefined if the runtime can only try. */
  acquire: ((path: string, shared: boolean, signal: AbortSignal) => Promise<Handle>) | undefined;
}

/** A runtime's own removal of trees. */
export interface RemoveTree {
  sync: (path: string) => void;
  /** Undefined if only the blocking one is safe from renames. */
  pooled: ((path: string) => Promise<void>) | undefined;
}

/**
 * Blobs of a runtime's own, which read the file when they are read. If it has changed by then, they fail or read what is
 * there.
 */
export interface FileBlobs {
  /** A blob of the file that has the name at that time. */
  named(path: string): Promise<Blob>;
  /**
   * A blob of the file behind a descriptor, never of a later file with the same number. Undefined if there is no such
   * blob.
   */
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
  /** Whether a file without a name costs no more than a named one: nothing is loaded for it. */
  readonly lightUnnamed: boolean;
  readonly signals: Signals;
  /** Gives a name to the file behind a descriptor; undefined if that is impossible. Fails if the name is taken. */
  readonly linkDescriptor: SyncAndPooled<(descriptor: number, path: string) => void> | undefined;
  /** Loads what takes locks; undefined if the platform has no such locks. */
  readonly locks: (() => Promise<Locks>) | undefined;
  /** Returns an environment variable; undefined if unset or not permitted. Never prompts. */
  env(name: string): string | undefined;
  pid(): number;
  /** The working directory; undefined if it has been removed. */
  cwd(): string | undefined;
  /** Whether a path may be read. Never prompts. */
  mayRead(path: string): boolean;
  /** Whether a path may be created, changed or removed. Never prompts. */
  mayWrite(path: string): boolean;
  /** The flags that permit reading and writing files; undefined if that needs no permission. */
  readonly fileFlags: string | undefined;
  /** Whether a process with this PID exists; undefined if that cannot be determined. */
  processExists(pid: number): boolean | undefined;
  /** The PID namespace (Linux); undefined if unknown. */
  processNamespace(): string | undefined;
  /** The host name; undefined if unknown. */
  hostName(): string | undefined;
  /** Whether this is the main thread, whose end is the end of the process. */
  isMainThread(): boolean;
  /** The user ID that creates files (the effective one, except on Deno); undefined if unknown. */
  uid(): number | undefined;
  /** The directory that the runtime itself would use for temporary files; undefined if asking needs a permission. */
  temporaryDirectory(): string | undefined;
  /** Fills an array from a cryptographically secure source. */
  random(bytes: Uint8Array<ArrayBuffer>): void;
  /** Milliseconds of a monotonic clock. */
  now(): number;
  /** Creates what the runtime's own code reads of a `Blob`; undefined if it uses the methods of `Blob`, like any caller. */
  readonly fileBlobs: FileBlobs | undefined;
  /**
   * Is told of bytes allocated in a new array for the caller, which will soon be garbage; undefined if such garbage does
   * not accumulate.
   */
  readonly allocated: ((bytes: number) => void) | undefined;
  /** Resolves on the next turn of the event loop. */
  nextTurn(): Promise<void>;
  /** Calls `call` once after at least `milliseconds`, without keeping the process alive. Returns how to cancel. */
  later(milliseconds: number, call: () => void): () => void;
  /** Like `later`, but keeps the process alive until then. */
  after(milliseconds: number, call: () => void): () => void;
  /** Blocks the calling thread. */
  sleep(milliseconds: number): void;
  /**
   * Returns a path that refers to what the descriptor holds, whatever happens to its name (`/proc/self/fd/N`); undefined
   * if the platform, or a missing permission, does not allow that.
   */
  anchor(descriptor: number): string | undefined;
  /** Returns the descriptor of a handle, which a child process can inherit; undefined if one must be opened anew. */
  descriptor(handle: Handle): number | undefined;
  /** Takes over a descriptor that another process passed to us. */
  fromDescriptor(descriptor: number): Handle;
  /**
   * Calls `listener` synchronously when the process ends in a way that runs user code: return, exit, uncaught error,
   * unhandled rejection. Returns how to stop that.
   */
  onEnd(listener: () => void): () => void;
  /**
   * Starts a program whose standard input is closed when this process ends, without keeping the process alive. Calls
   * `onFailure`, at once or later, if it cannot be started. Returns how to close that input earlier.
   */
  startWatcher(command: string, args: string[], onFailure: (reason: Error) => void): () => void;
  /** Emits a process warning of type `TempfileWarning`. */
  warn(message: string, code: string, detail?: string): void;
  /**
   * Removes a whole tree by the runtime's own walk, which no racing rename can lead outside; undefined if the runtime has
   * no such walk. It empties what is mounted inside, and how deep it can go is not known.
   */
  readonly removeTree: RemoveTree | undefined;
}
