/**
 * Fake namespaces for the adapters of other runtimes: files are real, through `node:fs`; what concerns the process is
 * recorded.
 *
 * @module
 */
import * as childProcess from "node:child_process";
import * as crypto from "node:crypto";
import fs from "node:fs";
import * as os from "node:os";
import { tmpdir } from "node:os";
import * as timers from "node:timers";
import * as workers from "node:worker_threads";
import type { DenoNamespace, DenoScope } from "../../lib/runtime/deno_namespace.ts";
import type { NodeProcess } from "../../lib/runtime/node_like.ts";

const MODULES: { readonly [name: string]: unknown } = {
  "node:child_process": childProcess,
  "node:crypto": crypto,
  "node:fs": fs,
  "node:os": os,
  "node:timers": timers,
  "node:worker_threads": workers,
};

/** What was done to a fake: the name of the method and its arguments. */
export type Done = [name: string, ...args: unknown[]];

type Listener = ((...args: never[]) => void) & { mayfly?: boolean };

/** Listeners by event, as in `process`. */
function emitter(done: Done[]) {
  const listeners = new Map<string, Listener[]>();
  const of = (event: string): Listener[] => listeners.get(event) ?? [];
  return {
    on: (
      event: string,
      listener: Listener,
    ) => (done.push(["on", event]), listeners.set(event, [...of(event), listener])),
    prependListener: (
      event: string,
      listener: Listener,
    ) => (done.push(["prependListener", event]), listeners.set(event, [listener, ...of(event)])),
    off: (
      event: string,
      listener: Listener,
    ) => (done.push(["off", event]), listeners.set(event, of(event).filter((one) => one !== listener))),
    listeners: of,
    listenerCount: (event: string) => of(event).length,
    // Not an event of Node's: here it stands for an exception capture callback.
    hasUncaughtExceptionCaptureCallback: () => of("captured").length > 0,
    emit: (event: string): void => of(event).forEach((listener) => listener()),
  };
}

/** A fake process, with what was done to it. */
export interface FakeProcess {
  process: NodeProcess;
  done: Done[];
  /** Calls the listeners of an event. */
  emit(event: string): void;
}

/** Creates a `process` of Node or Bun. */
export function fakeProcess(
  own: Partial<NodeProcess> = {},
  modules: { [name: string]: unknown } = {},
): FakeProcess {
  const done: Done[] = [];
  const { emit, ...events } = emitter(done);
  const process: NodeProcess = {
    pid: 4711,
    cwd: () => "/here",
    platform: "linux",
    versions: { node: "24.0.0" },
    execArgv: [],
    env: { HOME: "/home/mayfly", TMPDIR: "/somewhere" },
    geteuid: () => 1234,
    getBuiltinModule(name) {
      done.push(["getBuiltinModule", name]);
      return modules[name] ?? MODULES[name];
    },
    emitWarning: (...args) => void done.push(["emitWarning", ...args]),
    hrtime: () => [3, 500_000],
    kill: (...args) => void done.push(["kill", ...args]),
    exit: (status) => void done.push(["exit", status]),
    ...events,
    ...own,
  };
  return { process, done, emit };
}

/** Returns Deno's description of a file. */
function toInfo(stats: fs.Stats) {
  return {
    isFile: stats.isFile(),
    isDirectory: stats.isDirectory(),
    isSymlink: stats.isSymbolicLink(),
    size: stats.size,
    mode: stats.mode,
    dev: stats.dev,
    ino: stats.ino,
    nlink: stats.nlink,
    uid: stats.uid,
    gid: stats.gid,
    birthtime: stats.birthtime,
    mtime: stats.mtime,
  };
}

/** A file as Deno opens it: it has a cursor and no descriptor number. */
function fakeFile(fd: number, done: Done[]) {
  let cursor = 0;
  const sync = {
    readSync(into: Uint8Array) {
      const count = fs.readSync(fd, into, 0, into.byteLength, cursor);
      cursor += count;
      return count === 0 ? null : count;
    },
    writeSync(data: Uint8Array) {
      const count = fs.writeSync(fd, data, 0, data.byteLength, cursor);
      cursor += count;
      return count;
    },
    seekSync(offset: number) {
      done.push(["seek", offset]);
      return cursor = offset;
    },
    truncateSync: (size: number) => fs.ftruncateSync(fd, size),
    syncSync: () => fs.fsyncSync(fd),
    statSync: () => toInfo(fs.fstatSync(fd)),
  };
  return {
    ...sync,
    read: async (into: Uint8Array) => await sync.readSync(into),
    write: async (data: Uint8Array) => await sync.writeSync(data),
    seek: async (offset: number) => await sync.seekSync(offset),
    truncate: async (size: number) => await sync.truncateSync(size),
    sync: async () => await sync.syncSync(),
    stat: async () => await sync.statSync(),
    tryLock: () => Promise.resolve(true),
    close: () => fs.closeSync(fd),
  };
}

function remove(path: string, options?: { recursive: boolean }): void {
  if (options?.recursive) fs.rmSync(path, { recursive: true });
  else if (fs.lstatSync(path).isDirectory()) fs.rmdirSync(path);
  else fs.unlinkSync(path);
}

interface OpenFlags {
  write?: boolean;
  append?: boolean;
  createNew?: boolean;
}

const flagsOf = ({ write, append, createNew }: OpenFlags): string =>
  createNew ? "wx+" : write ? "r+" : append ? "a+" : "r";

/** What a fake of Deno permits: everything, or what a function decides. */
export type Permits = (name: string, detail: { [key: string]: string }) => boolean;

/** A fake namespace, with what was done to it. */
export interface FakeDeno {
  deno: DenoNamespace;
  scope: DenoScope;
  done: Done[];
  /** Calls the listeners of a web event. */
  dispatch(type: string, defaultPrevented?: boolean): void;
  /** The events that have listeners. */
  listening(): string[];
}

/** Creates a namespace `Deno` and its global scope. */
export function fakeDeno(platform = "linux", permits: Permits = () => true): FakeDeno {
  const done: Done[] = [];
  const { emit: _, ...events } = emitter(done);
  const web = new Map<string, Set<(event: { type: string; defaultPrevented: boolean }) => void>>();
  const open = (path: string, options: OpenFlags & { mode?: number }) => {
    done.push(["open", path, options]);
    return fakeFile(fs.openSync(path, flagsOf(options), options.mode), done);
  };
  const sync = {
    openSync: open,
    mkdirSync: (path: string, options: { mode: number }) => void fs.mkdirSync(path, options),
    removeSync: (
      path: string,
      options?: { recursive: boolean },
    ) => (done.push(["remove", path]), remove(path, options)),
    renameSync: fs.renameSync,
    linkSync: fs.linkSync,
    symlinkSync: (target: string, path: string, { type }: { type: "file" | "dir" }) =>
      fs.symlinkSync(target, path, type),
    realPathSync: (path: string) => fs.realpathSync(path),
    readLinkSync: (path: string) => fs.readlinkSync(path),
    lstatSync: (path: string) => toInfo(fs.lstatSync(path)),
    statSync: (path: string) => toInfo(fs.statSync(path)),
    chmodSync: fs.chmodSync,
    utimeSync: fs.utimesSync,
    readDirSync: (path: string) =>
      fs.readdirSync(path, { withFileTypes: true }).map((entry) => ({
        name: entry.name,
        isDirectory: entry.isDirectory(),
      })),
    readTextFileSync: (path: string) => fs.readFileSync(path, "utf8"),
  };
  // deno-lint-ignore no-explicit-any -- each with the arguments of its blocking twin
  const later = (call: (...args: any[]) => unknown) => async (...args: unknown[]) => await call(...args);
  const twins = Object.entries(sync).map(([name, call]) => [name.slice(0, -"Sync".length), later(call)]);
  const deno = {
    ...sync,
    ...Object.fromEntries(twins),
    async *readDir(path: string) {
      yield* await Promise.resolve(sync.readDirSync(path));
    },
    pid: 4711,
    cwd: () => "/here",
    build: { os: platform },
    uid: () => 1234,
    hostname: () => "ephemeral",
    env: { get: (name: string) => (done.push(["env", name]), `value of ${name}`) },
    permissions: {
      querySync: ({ name, ...detail }: { name: string; [key: string]: string }) => ({
        state: permits(name, detail) ? "granted" : "prompt",
      }),
    },
    makeTempDirSync: () => fs.mkdtempSync(`${fs.realpathSync(tmpdir())}/fake-`),
    addSignalListener: (...args: unknown[]) => void done.push(["addSignalListener", ...args]),
    removeSignalListener: (...args: unknown[]) => void done.push(["removeSignalListener", ...args]),
    kill: (...args: unknown[]) => void done.push(["kill", ...args]),
    exit: (status: number) => void done.push(["exit", status]),
  };
  const scope = {
    self: {},
    addEventListener: (type: string, listener: never) =>
      void web.set(type, (web.get(type) ?? new Set()).add(listener)),
    removeEventListener: (type: string, listener: never) => void web.get(type)?.delete(listener),
    process: {
      ...events,
      emitWarning: (...args: unknown[]) => void done.push(["emitWarning", ...args]),
      kill: (...args: unknown[]) => void done.push(["process.kill", ...args]),
      getBuiltinModule(name: string) {
        done.push(["getBuiltinModule", name]);
        return MODULES[name];
      },
    },
  };
  return {
    deno: deno as unknown as DenoNamespace,
    scope: scope as unknown as DenoScope,
    done,
    dispatch: (type, defaultPrevented = false) =>
      web.get(type)?.forEach((listener) => listener({ type, defaultPrevented })),
    listening: () => [...web].filter(([, listeners]) => listeners.size > 0).map(([type]) => type).sort(),
  };
}

/** Node's file functions with some of them replaced. */
// deno-lint-ignore no-explicit-any -- any of them
export const fsWith = (own: { [name: string]: (...args: any[]) => unknown }): object => ({ ...fs, ...own });

/** A function that fails with a code. */
export const fail = (code: string) => (): never => {
  throw Object.assign(new Error(code), { code });
};
