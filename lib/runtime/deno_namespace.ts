/**
 * The parts of Deno's namespace and of its global scope that are in use. Types alone, which cost a program nothing.
 *
 * @module
 */

/** What `stat` answers. */
export interface DenoFileInfo {
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

/** An open file. */
export interface DenoFsFile {
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

/** One name in a directory. */
export interface DenoDirEntry {
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
  symlinkSync(target: string, path: string, options: { type: "file" | "dir" }): void;
  symlink(target: string, path: string, options: { type: "file" | "dir" }): Promise<void>;
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

/** What tells of an end. */
export interface EndEvent {
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
    kill(pid: number, signal: string | 0): unknown;
    emitWarning(message: string, options: { type: string; code: string; detail?: string }): void;
  };
}
