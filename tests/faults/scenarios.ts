/**
 * Uses of the public functions, each once with typical options: written as asynchronous code, and also run on the
 * synchronous functions; on a disk in memory, and on a real one.
 *
 * @module
 */
import type { Primitives } from "../../lib/runtime/mod.ts";
import type { MachineOptions } from "../support/faulty_runtime.ts";
import type { Library } from "../support/library.ts";

// deno-lint-ignore no-explicit-any -- every name resolves to the function of the chosen variant
export type AnyVariant = any;

/** What is on a disk besides the library's files. Every function with a path takes the real one, except `at`. */
export interface Place {
  /**
   * Returns the real path for a path of the scenario: one below `/home/user`, `/tmp` or `/other`, which is another
   * device.
   */
  at(path: string): string;
  /** Creates a file of the user's. */
  plant(path: string, text: string): void;
  /** Creates a directory of the user's. */
  plantDirectory(path: string): void;
  plantLink(target: string, path: string): void;
  changeMode(path: string, mode: number): void;
}

/** What a scenario receives besides the library. */
export interface World extends Place {
  /** Disposes of a handle at the end, as `using` does. */
  use<T>(handle: T): T;
  /** Declares that what is at a path belongs, or may belong, to the caller. */
  mine(path: string): string;
  setUmask(mask: number): void;
  /** Returns another number for the same open file, as another process has it. */
  duplicate(descriptor: number): number;
  /** Closes a descriptor that belongs to the caller. */
  close(descriptor: number): void;
  /** Lets time pass, and runs the timers that are due. */
  elapse(milliseconds: number): Promise<void>;
  /** Bare system calls, for programs without the library. */
  readonly system: System;
}

type System = Pick<
  Primitives,
  "createFile" | "openFile" | "close" | "write" | "truncate" | "rename" | "unlink"
>;

/** One use. */
export interface Scenario {
  /** The properties of the machine, if it is one that exists only in memory. */
  machine?: MachineOptions;
  /** Set if there are no such synchronous functions. */
  asyncOnly?: true;
  /** Whether the process is new: it then looks for its temporary directory and creates its lease. */
  cold?: true;
  /** Whether a death may leave something that nobody reclaims, since it belongs to the caller from the start. */
  callers?: true;
  /** Creates what exists beforehand. */
  prepare?(place: Place): void;
  /** What another process did that has died since. */
  dead?(m: Library, place: Place): void;
  run(m: AnyVariant, world: World): Promise<unknown>;
  /** What must be at a path whatever happens: one of these texts, or nothing for undefined; the last if all is well. */
  either?: { [path: string]: readonly (string | undefined)[] };
}

const OLD = "the old contents", NEW = "the new contents, ".repeat(40);
const TARGET = "/home/user/target";

/** More than a file buffers before a call. */
const LONG_TEXT = "0123456789abcdef".repeat(5000);

/** A directory that turns a rename or link into a copy, and a size large enough to be linked. */
const ACROSS = "/other", LARGE = 4 * 1024 ** 2;

const withTarget = ({ at, plant }: Place): void => plant(at(TARGET), OLD);
const replaced = { prepare: withTarget, either: { [TARGET]: [OLD, NEW] } };
const created = { either: { [TARGET]: [undefined, NEW] } };

/** Fills a directory: with files, links, and a directory that forbids reading. */
async function fill(m: AnyVariant, path: string, place: Place, locked = 0): Promise<void> {
  // More than a listing returns at once.
  for (const name of ["one", "two", "three", "four"]) place.plant(`${path}/${name}`, "text");
  place.plantDirectory(`${path}/inner`);
  place.plant(`${path}/inner/file`, "text");
  place.plantLink(place.at("/home/user"), `${path}/link`);
  place.plantDirectory(`${path}/locked`);
  place.plant(`${path}/locked/file`, "text");
  place.changeMode(`${path}/locked`, locked);
  await m.usage();
}

/** Deeper than the walk descends at once. */
function dig({ plantDirectory }: World, path: string): void {
  for (let depth = 0, at = path; depth < 12; depth++, at += "/d") plantDirectory(at);
}

async function* chunks(): AsyncGenerator<string> {
  for (let at = 0; at < NEW.length; at += 300) {
    await Promise.resolve();
    yield NEW.slice(at, at + 300);
  }
}

/** A handle closes only what it took over. */
function takeOver(m: AnyVariant, descriptor: number, close: World["close"]): AnyVariant {
  try {
    return m.fromDescriptor(descriptor);
  } catch (error) {
    close(descriptor);
    throw error;
  }
}

/** Creates a file, a directory with something in it, and one elsewhere. */
function leaveThings(m: Library, { at }: Place): void {
  m.namedTemporaryFileSync();
  m.temporaryDirectorySync().namedTemporaryFileSync();
  m.temporaryDirectorySync({ dir: at("/home/user") });
}

export const SCENARIOS: { readonly [name: string]: Scenario } = {
  "the first file of a process": {
    cold: true,
    async run(m, { use }) {
      const file = use(await m.namedTemporaryFile());
      await file.write("text");
    },
  },
  "a process after one that died": {
    cold: true,
    dead: leaveThings,
    async run(m, { use, elapse }) {
      use(await m.namedTemporaryFile());
      await elapse(10_000);
    },
  },
  "an unnamed file, written, read and measured": {
    async run(m, { use }) {
      const file = use(await m.temporaryFile({ mode: 0o640, minFree: 1 }));
      await file.write(LONG_TEXT);
      await file.seek(0);
      await file.read(10);
      await file.readText(10);
      await file.readInto(new Uint8Array(20));
      await file.text();
      await file.bytes();
      await file.truncate(100);
      await file.write("x", { at: 200 });
      await file.size();
      await file.flush();
      await file.sync();
      await file.close();
      return [file.closed, file.position];
    },
  },
  "an unnamed file where every file has a name first": {
    machine: { unnamed: false },
    async run(m, { use }) {
      const file = use(await m.temporaryFile());
      await file.write(LONG_TEXT);
      await file.close();
    },
  },
  "a file read by lines, chunks, streams and as JSON": {
    asyncOnly: true,
    async run(m, { use }) {
      const file = use(await m.temporaryFile());
      await file.write(chunks());
      await file.writable.getWriter().write("one\ntwo\n");
      for await (const _ of file.lines({ at: 0 }));
      for await (const _ of file);
      for await (const _ of file.stream({ at: 0 }));
      await file.seek(0);
      for await (const _ of file.readable);
      await (await file.blob()).text();
      await file.truncate(0);
      await file.write("[1]", { at: 0 });
      await file.json();
    },
  },
  "JSON": {
    async run(m, { use }) {
      const file = use(await m.temporaryFile());
      await file.write("[1]");
      await file.json();
    },
  },
  "the descriptor of a file, handed on": {
    machine: { numbers: false },
    async run(m, { use, duplicate, close }) {
      const file = use(await m.namedTemporaryFile());
      const { fd } = file;
      const number = duplicate(use(await m.temporaryFile()).fd);
      await use(takeOver(m, number, close)).write("text");
      return fd;
    },
  },
  "a named file, gathered, opened again and closed": {
    async run(m, { use }) {
      const file = use(await m.namedTemporaryFile({ prefix: "job-", suffix: ".txt", bufferSize: 100 }));
      await file.write("text");
      const again = use(await file.reopen());
      await again.text();
      await again.close();
      await file.write("last");
      await file.close();
      return [file.path, file.toString()];
    },
  },
  "a named file with a mode that the umask takes": {
    async run(m, { use, setUmask }) {
      setUmask(0o777);
      use(await m.namedTemporaryFile({ mode: 0o640 }));
      setUmask(0o022);
    },
  },
  "a named file that outlives its handle": {
    async run(m, { use, mine }) {
      const file = use(await m.namedTemporaryFile({ deleteOnClose: false }));
      await file.close();
      mine((use(await m.namedTemporaryFile({ delete: false }))).path);
      const kept = use(await m.namedTemporaryFile());
      mine(kept.path);
      kept.keep();
      await kept.write("text");
    },
    callers: true,
  },
  "a spool that grows": {
    async run(m, { use }) {
      const file = use(m.spooledTemporaryFile({ maxMemory: 1000 }));
      await file.write("text");
      await file.write(LONG_TEXT);
      await file.text();
      const other = use(m.spooledTemporaryFile());
      await other.write("text");
      await other.rollover();
      return [file.rolled, other.rolled];
    },
  },
  "locks": {
    asyncOnly: true,
    async run(m, { use }) {
      const file = use(await m.namedTemporaryFile());
      const lock = use(await file.lock({ timeout: 5000 }));
      const none = await (use(await file.reopen())).tryLock();
      lock[Symbol.dispose]();
      lock.release();
      use(await file.tryLock({ shared: true }));
      return [none, lock.released, lock.shared];
    },
  },
  "a directory, filled and removed": {
    async run(m, world) {
      const directory = world.use(await m.temporaryDirectory());
      await fill(m, directory.path, world);
      dig(world, directory.join("deep"));
      await directory.usage();
      await directory.remove();
      return directory.removed;
    },
  },
  "a directory, filled and removed by paths": {
    machine: { platform: "darwin" },
    async run(m, world) {
      const directory = world.use(await m.temporaryDirectory());
      await fill(m, directory.path, world, 0o700);
      await directory.remove();
    },
  },
  "directories and files inside each other": {
    async run(m, { use }) {
      const directory = use(await m.temporaryDirectory({ mode: 0o750, ignoreCleanupErrors: true }));
      const inner = use(await directory.temporaryDirectory());
      const file = use(await inner.namedTemporaryFile());
      await file.write("text");
      await m.usage();
      return directory.toString();
    },
  },
  "a directory whose mode the umask takes": {
    async run(m, { use, setUmask }) {
      setUmask(0o777);
      const directory = use(await m.temporaryDirectory());
      setUmask(0o022);
      await directory.remove();
    },
  },
  "a directory whose mode the umask takes, where nothing leads to a descriptor": {
    machine: { platform: "darwin" },
    async run(m, { use }) {
      const directory = use(await m.temporaryDirectory({ mode: 0o775 }));
      await directory.remove();
    },
  },
  "a directory that is kept": {
    async run(m, { use, mine }) {
      const directory = use(await m.temporaryDirectory());
      mine(directory.path);
      directory.keep();
      mine((use(await m.temporaryDirectory({ delete: false }))).path);
    },
    callers: true,
  },
  "a directory put in place": {
    async run(m, { at, use, mine }) {
      const directory = use(await m.temporaryDirectory({ dir: at("/home/user") }));
      use(await directory.namedTemporaryFile({ delete: false }));
      await directory.persist(mine(at("/home/user/result")), { overwrite: false });
    },
  },
  "a directory copied into place": {
    async run(m, world) {
      const directory = world.use(await m.temporaryDirectory({ dir: world.at(ACROSS) }));
      await fill(m, directory.path, world, 0o500);
      await directory.persist(world.mine(world.at("/home/user/result")));
    },
  },
  "what the caller removes": {
    async run(m, { close, mine }) {
      const { path, fd } = await m.mkstemp({ mode: 0o644 });
      mine(path);
      close(fd);
      mine(await m.mkdtemp());
    },
    callers: true,
  },
  "a file and a directory that are adopted": {
    prepare({ at, plant, plantDirectory }) {
      plantDirectory(at("/home/user/project"));
      plant(at("/home/user/project/file"), "text");
      plantDirectory(at("/home/user/project/directory"));
      plant(at("/home/user/project/directory/inside"), "text");
    },
    async run(m, { at, use }) {
      const file = use(await m.adoptFile(at("/home/user/project/file")));
      await file.text();
      use(await m.adoptDirectory(at("/home/user/project/directory")));
    },
  },
  "a named file renamed into place": {
    ...replaced,
    async run(m, { at, use }) {
      const file = use(await m.namedTemporaryFile({ dir: at("/home/user") }));
      await file.write(NEW);
      await file.persist(at(TARGET));
    },
  },
  "a named file linked into place": {
    ...created,
    async run(m, { at, use }) {
      const file = use(await m.namedTemporaryFile({ dir: at("/home/user") }));
      await file.write(NEW);
      await file.persist(at(TARGET), { overwrite: false, mode: "umask" });
    },
  },
  "a named file copied into place": {
    ...replaced,
    async run(m, { at, use }) {
      const file = use(await m.namedTemporaryFile({ dir: at(ACROSS) }));
      await file.write(NEW);
      await file.persist(at(TARGET));
    },
  },
  "an unnamed file copied into place": {
    ...replaced,
    async run(m, { at, use }) {
      const file = use(await m.temporaryFile({ dir: at("/home/user") }));
      await file.write(NEW);
      await file.persist(at(TARGET));
    },
  },
  "a large unnamed file linked into place": {
    prepare: withTarget,
    async run(m, { at, use, mine }) {
      const file = use(await m.temporaryFile({ dir: at("/home/user") }));
      await file.truncate(LARGE);
      await file.persist(mine(at(TARGET)), { durable: false });
    },
  },
  "a spool put in place": {
    ...replaced,
    async run(m, { at, use }) {
      const file = use(m.spooledTemporaryFile());
      await file.write(NEW);
      await file.persist(at(TARGET), { mode: "private" });
    },
  },
  "a file replaced": {
    ...replaced,
    run: (m, { at }) => m.writeFileAtomic(at(TARGET), NEW),
  },
  "a file replaced from a stream": {
    ...replaced,
    asyncOnly: true,
    run: (m, { at }) => m.writeFileAtomic(at(TARGET), chunks(), { mode: 0o777 }),
  },
  "a file created": {
    ...created,
    run: (m, { at }) => m.writeFileAtomic(at(TARGET), NEW, { overwrite: false, mode: 0o666 }),
  },
  "a file replaced through a link": {
    ...replaced,
    prepare(place) {
      withTarget(place);
      place.plantLink(place.at(TARGET), place.at("/home/user/link"));
    },
    run: (m, { at }) => m.writeFileAtomic(at("/home/user/link"), NEW, { links: "follow", durable: false }),
  },
  "where there is room": {
    cold: true,
    async run(m, { at }) {
      m.configure({ tmpdir: undefined });
      m.tmpdir();
      await m.findTmpdir({ exec: true, minFree: 1, sameDeviceAs: at("/home/user") });
      await m.diskSpace();
    },
  },
  "a floor under the room": {
    async run(m, { use, elapse }) {
      let low = 0;
      use(m.watchSpace({ minFree: 1e12, interval: 1000 }, () => low++));
      for (let look = 0; look < 3; look++) await elapse(1000);
      return low;
    },
  },
  "daemons kept away": {
    async run(m, { use, elapse }) {
      m.configure({ keepAlive: true });
      use(await m.temporaryDirectory());
      use(await m.namedTemporaryFile());
      await elapse(31 * 60_000);
    },
  },
  "a sweep": {
    // A process that has created something has already looked for leftovers.
    cold: true,
    dead: leaveThings,
    async run(m) {
      await m.sweep({ dryRun: true });
      await m.sweep();
    },
  },
  "a sweep by age": {
    prepare({ at, plant, plantDirectory }) {
      plant(at("/tmp/old-file"), "text");
      plantDirectory(at("/tmp/old-directory"));
      plant(at("/tmp/old-directory/file"), "text");
    },
    run: (m) => m.sweep({ olderThan: 0, prefix: "old-" }),
  },
};
