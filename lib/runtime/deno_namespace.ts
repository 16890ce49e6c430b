/**
 * The parts of Deno's namespace and of its global scope that are in use. Types only, which cost a program nothing.
 *
 * @module
 */

/** The result of `stat`. */
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

/** Calls under the names of the blocking ones. */
type Blocking<Calls> = { [N in keyof Calls & string as `${N}Sync`]: Calls[N] };

/** Their twins, which return promises. */
type Promisified<Calls> = {
  [N in keyof Calls]: Calls[N] extends (...args: infer A) => infer R ? (...args: A) => Promise<R> : never;
};

interface FileCalls {
  read(into: Uint8Array): number | null;
  write(data: Uint8Array): number;
  seek(offset: number, whence: number): number;
  truncate(size: number): void;
  sync(): void;
  stat(): DenoFileInfo;
}

/** The blocking calls of an open file. */
export type BlockingFile = Blocking<FileCalls>;

/** An open file. */
export interface DenoFsFile extends BlockingFile, Promisified<FileCalls> {
  tryLock(exclusive: boolean): Promise<boolean>;
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

interface Calls {
  mkdir(path: string, options: { mode: number }): void;
  remove(path: string, options?: { recursive: boolean }): void;
  rename(from: string, to: string): void;
  link(from: string, to: string): void;
  symlink(target: string, path: string, options: { type: "file" | "dir" }): void;
  open(path: string, options: DenoOpenOptions): DenoFsFile;
  realPath(path: string): string;
  readLink(path: string): string;
  lstat(path: string): DenoFileInfo;
  stat(path: string): DenoFileInfo;
  chmod(path: string, mode: number): void;
  utime(path: string, accessed: Date, modified: Date): void;
  readTextFile(path: string): string;
}

/** The blocking calls. */
export type BlockingCalls = Blocking<Calls>;

/** The part of the namespace `Deno` in use. */
export interface DenoNamespace extends BlockingCalls, Promisified<Calls> {
  pid: number;
  build: { os: string };
  cwd(): string;
  uid(): number | null;
  hostname(): string;
  env: { get(name: string): string | undefined };
  permissions: { querySync(descriptor: { name: string; [key: string]: string }): { state: string } };
  readDirSync(path: string): Iterable<DenoDirEntry>;
  readDir(path: string): AsyncIterable<DenoDirEntry>;
  makeTempDirSync(): string;
  addSignalListener(name: string, listener: () => void): void;
  removeSignalListener(name: string, listener: () => void): void;
  kill(pid: number, signal: string): void;
  exit(status: number): never;
}

/** An event that announces an end. */
export interface EndEvent {
  type: string;
  defaultPrevented: boolean;
}

/** The part of Deno's global scope in use. */
export interface DenoScope {
  addEventListener(type: string, listener: (event: EndEvent) => void): void;
  removeEventListener(type: string, listener: (event: EndEvent) => void): void;
  /** Node's layer, which Deno loads on first use. */
  readonly process: {
    getBuiltinModule(name: string): unknown;
    listenerCount(event: string): number;
    hasUncaughtExceptionCaptureCallback?: (() => boolean) | undefined;
    on(event: string, listener: () => void): unknown;
    off(event: string, listener: () => void): unknown;
    kill(pid: number, signal: string | 0): unknown;
    emitWarning(message: string, options: { type: string; code: string; detail?: string }): void;
  };
}
