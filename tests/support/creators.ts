/**
 * Every public function that creates something with a random name, called in a uniform way.
 *
 * @module
 */
import { closeSync, rmdirSync, unlinkSync } from "node:fs";

// deno-lint-ignore no-explicit-any -- the module as a test or a child has it, source or built
type Mayfly = any;

/** What a creator has created. */
export interface Made {
  /** Undefined if it has no name. */
  path?: string;
  /** Defined if the descriptor is available. */
  fd?: number;
  remove(): void | Promise<void>;
}

/** A function that creates something. */
export interface Creator {
  kind: "file" | "directory";
  /** Whether the name carries the session, so that leftovers of a crash can be recognised. */
  reclaimable: boolean;
  /** Whether it never has a visible name. */
  unnamed: boolean;
  sync: boolean;
  make(m: Mayfly, options?: object): Made | Promise<Made>;
}

const stemp = ({ path, fd }: { path: string; fd: number }): Made => ({
  path,
  fd,
  remove: () => (closeSync(fd), unlinkSync(path)),
});

const dtemp = (path: string): Made => ({ path, remove: () => rmdirSync(path) });

// deno-lint-ignore no-explicit-any
const file = (made: any): Made => ({ path: made.path, remove: () => made.closeSync() });

// deno-lint-ignore no-explicit-any
const unnamed = (made: any): Made => ({ fd: made.fd, remove: () => made.closeSync() });

// deno-lint-ignore no-explicit-any
const directory = (made: any): Made => ({ path: made.path, remove: () => void made.removeSync() });

/** A spooled file is created by what exceeds its memory. */
async function spilled(m: Mayfly, options?: object): Promise<Made> {
  const made = m.spooledTemporaryFile({ maxMemory: 0, bufferSize: 0, ...options });
  await made.write("x");
  await made.flush();
  return { remove: () => made.closeSync() };
}

function spilledSync(m: Mayfly, options?: object): Made {
  const made = m.spooledTemporaryFile({ maxMemory: 0, bufferSize: 0, ...options });
  made.writeSync("x");
  made.flushSync();
  return { remove: () => made.closeSync() };
}

const FILE = { kind: "file", reclaimable: false, unnamed: false } as const;
const DIRECTORY = { kind: "directory", reclaimable: false, unnamed: false } as const;

/** By the name of the export; text after a space distinguishes variants of one function. */
export const creators: { readonly [name: string]: Creator } = {
  "mkstemp": { ...FILE, sync: false, make: async (m, options) => stemp(await m.mkstemp(options)) },
  "mkstempSync": { ...FILE, sync: true, make: (m, options) => stemp(m.mkstempSync(options)) },
  "mkdtemp": { ...DIRECTORY, sync: false, make: async (m, options) => dtemp(await m.mkdtemp(options)) },
  "mkdtempSync": { ...DIRECTORY, sync: true, make: (m, options) => dtemp(m.mkdtempSync(options)) },
  "temporaryFile": {
    ...FILE,
    unnamed: true,
    sync: false,
    make: async (m, options) => unnamed(await m.temporaryFile(options)),
  },
  "temporaryFileSync": {
    ...FILE,
    unnamed: true,
    sync: true,
    make: (m, options) => unnamed(m.temporaryFileSync(options)),
  },
  "namedTemporaryFile": {
    ...FILE,
    reclaimable: true,
    sync: false,
    make: async (m, options) => file(await m.namedTemporaryFile(options)),
  },
  "namedTemporaryFileSync": {
    ...FILE,
    reclaimable: true,
    sync: true,
    make: (m, options) => file(m.namedTemporaryFileSync(options)),
  },
  "temporaryDirectory": {
    ...DIRECTORY,
    reclaimable: true,
    sync: false,
    make: async (m, options) => directory(await m.temporaryDirectory(options)),
  },
  "temporaryDirectorySync": {
    ...DIRECTORY,
    reclaimable: true,
    sync: true,
    make: (m, options) => directory(m.temporaryDirectorySync(options)),
  },
  "spooledTemporaryFile": { ...FILE, unnamed: true, sync: false, make: spilled },
  "spooledTemporaryFile writeSync": { ...FILE, unnamed: true, sync: true, make: spilledSync },
};

/** Exported functions that create nothing: they take over, inspect, remove or set. */
export const notCreators: readonly string[] = [
  "adoptDirectory",
  "adoptDirectorySync",
  "adoptFile",
  "adoptFileSync",
  "configure",
  "diskSpace",
  "diskSpaceSync",
  "findTmpdir",
  "findTmpdirSync",
  "fromDescriptor",
  "sweep",
  "sweepSync",
  "tmpdir",
  "usage",
  "usageSync",
  "watchSpace",
];

/** Exported functions whose results have the mode that their target should have. */
export const replacers: readonly string[] = ["writeFileAtomic", "writeFileAtomicSync"];

const isClass = (value: unknown): boolean => /^class\b/.test(Function.prototype.toString.call(value));

/** Returns the functions that a module exports, without its classes. */
export function functionsOf(m: Mayfly): string[] {
  return Object.keys(m).filter((name) => typeof m[name] === "function" && !isClass(m[name])).sort();
}

/** Returns the creators that a module has. */
export function creatorsOf(m: Mayfly): [string, Creator][] {
  return Object.entries(creators).filter(([name]) => typeof m[name.split(" ")[0]] === "function");
}
