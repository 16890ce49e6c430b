/**
 * What the public functions are used for, each once with typical options: written as asynchronous code, and run on the
 * blocking face too.
 *
 * @module
 */
import { contentsOf, ROOT } from "../support/fake_disk.ts";
import type { Library } from "../support/library.ts";
import { type FakeMachine, type FakeProcess, type MachineOptions, UID } from "../support/faulty_runtime.ts";

// deno-lint-ignore no-explicit-any -- every name leads to the one of its face
export type Facing = any;

/** What a scenario is given beside the library. */
export interface World {
  machine: FakeMachine;
  process: FakeProcess;
  /** Disposes of a handle at the end, as `using` does. */
  use<T>(handle: T): T;
  /** Says that what is at a path is, or may be, the caller's to keep. */
  mine(path: string): string;
}

/** Has a process of its own do something and then die. */
export type Died = (run: (m: Library) => void) => void;

/** One use. */
export interface Scenario {
  machine?: MachineOptions;
  /** Only where the blocking face has no such call. */
  asyncOnly?: true;
  /** Whether the process has done nothing before: then it looks for its temporary directory and makes its lease. */
  cold?: true;
  /** Whether a death may leave something that nobody reclaims, since it is the caller's from the start. */
  callers?: true;
  /** What there is before. */
  prepare?(machine: FakeMachine, died: Died): void;
  run(m: Facing, world: World): Promise<unknown>;
  /** What must be at a path whatever happens: one of these texts, or nothing for undefined. */
  either?: { [path: string]: readonly (string | undefined)[] };
}

/** Makes a file of the user's. */
export function plant({ disk }: FakeMachine, path: string, text = "", mode = 0o644): void {
  const inode = disk.makeFile(ROOT, path, mode);
  inode.uid = UID;
  inode.bytes = new TextEncoder().encode(text);
  inode.size = inode.bytes.length;
}

/** Makes a directory of the user's. */
export function plantDirectory({ disk }: FakeMachine, path: string, mode = 0o755): void {
  disk.makeDirectory(ROOT, path, mode).uid = UID;
}

/** The text of a file; undefined if there is none. */
export function textAt({ disk }: FakeMachine, path: string): string | undefined {
  try {
    return new TextDecoder().decode(contentsOf(disk.find(ROOT, path, false)));
  } catch {
    return undefined;
  }
}

const OLD = "the old contents", NEW = "the new contents, ".repeat(40);
const TARGET = "/home/user/target";

/** More than a file gathers before a call. */
const LONG_TEXT = "0123456789abcdef".repeat(5000);

/** What makes a rename or link to copying, and what is large enough to be linked. */
const ACROSS = { dir: "/other" }, LARGE = 4 * 1024 ** 2;

const withTarget = (machine: FakeMachine): void => plant(machine, TARGET, OLD);
const replaced = { prepare: withTarget, either: { [TARGET]: [OLD, NEW] } };
const created = { either: { [TARGET]: [undefined, NEW] } };

/** Puts something into a directory: files, links, and a directory that forbids to be read. */
async function fill(m: Facing, path: string, { machine }: World, locked = 0): Promise<void> {
  // More than a listing gives at once.
  for (const name of ["one", "two", "three", "four"]) plant(machine, `${path}/${name}`, "text");
  plantDirectory(machine, `${path}/inner`);
  plant(machine, `${path}/inner/file`, "text");
  machine.disk.makeLink(ROOT, "/home/user", `${path}/link`);
  plantDirectory(machine, `${path}/locked`);
  plant(machine, `${path}/locked/file`, "text");
  machine.disk.find(ROOT, `${path}/locked`, false).mode = locked;
  await m.usage();
}

/** Deeper than the walk goes down at once. */
function dig({ machine }: World, path: string): void {
  for (let depth = 0, at = path; depth < 12; depth++, at += "/d") plantDirectory(machine, at);
}

async function* chunks(): AsyncGenerator<string> {
  for (let at = 0; at < NEW.length; at += 300) {
    await Promise.resolve();
    yield NEW.slice(at, at + 300);
  }
}

/** A file, a directory with something in it, and one that stays. */
function leaveThings(died: Died): void {
  died((m) => {
    m.namedTemporaryFileSync();
    m.temporaryDirectorySync().namedTemporaryFileSync();
    m.temporaryDirectorySync({ dir: "/home/user" });
  });
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
    prepare: (_machine, died) => leaveThings(died),
    async run(m, { use, process }) {
      use(await m.namedTemporaryFile());
      process.elapse(10_000);
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
    async run(m, { use, process }) {
      const file = use(await m.namedTemporaryFile());
      const { fd } = file;
      const other = use(await m.temporaryFile());
      // As another process has it: a number of its own.
      const number = process.take(process.descriptors.get(other.fd)!);
      try {
        await use(m.fromDescriptor(number)).write("text");
      } catch (error) {
        // Only what was taken over is closed by its handle.
        if (process.calls.at(-1) === "statusOf") process.release(number);
        throw error;
      }
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
    async run(m, { use, process }) {
      process.umask = 0o777;
      use(await m.namedTemporaryFile({ mode: 0o640 }));
      process.umask = 0o022;
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
    async run(m, { use, process }) {
      process.umask = 0o777;
      const directory = use(await m.temporaryDirectory());
      process.umask = 0o022;
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
    async run(m, { use, mine }) {
      const directory = use(await m.temporaryDirectory({ dir: "/home/user" }));
      use(await directory.namedTemporaryFile({ delete: false }));
      await directory.persist(mine("/home/user/result"), { overwrite: false });
    },
  },
  "a directory copied into place": {
    async run(m, world) {
      const directory = world.use(await m.temporaryDirectory(ACROSS));
      await fill(m, directory.path, world, 0o500);
      await directory.persist(world.mine("/home/user/result"));
    },
  },
  "what the caller removes": {
    async run(m, { process, mine }) {
      const { path, fd } = await m.mkstemp({ mode: 0o644 });
      mine(path);
      process.release(fd);
      mine(await m.mkdtemp());
    },
    callers: true,
  },
  "a file and a directory that are adopted": {
    prepare(machine) {
      plantDirectory(machine, "/home/user/project");
      plant(machine, "/home/user/project/file", "text");
      plantDirectory(machine, "/home/user/project/directory");
      plant(machine, "/home/user/project/directory/inside", "text");
    },
    async run(m, { use, mine }) {
      for (const path of ["", "/file", "/directory", "/directory/inside"]) mine(`/home/user/project${path}`);
      const file = use(await m.adoptFile("/home/user/project/file"));
      await file.text();
      use(await m.adoptDirectory("/home/user/project/directory"));
    },
  },
  "a named file renamed into place": {
    ...replaced,
    async run(m, { use }) {
      const file = use(await m.namedTemporaryFile({ dir: "/home/user" }));
      await file.write(NEW);
      await file.persist(TARGET);
    },
  },
  "a named file linked into place": {
    ...created,
    async run(m, { use }) {
      const file = use(await m.namedTemporaryFile({ dir: "/home/user" }));
      await file.write(NEW);
      await file.persist(TARGET, { overwrite: false, mode: "umask" });
    },
  },
  "a named file copied into place": {
    ...replaced,
    async run(m, { use }) {
      const file = use(await m.namedTemporaryFile(ACROSS));
      await file.write(NEW);
      await file.persist(TARGET);
    },
  },
  "an unnamed file copied into place": {
    ...replaced,
    async run(m, { use }) {
      const file = use(await m.temporaryFile({ dir: "/home/user" }));
      await file.write(NEW);
      await file.persist(TARGET);
    },
  },
  "a large unnamed file linked into place": {
    prepare: withTarget,
    async run(m, { use, mine }) {
      const file = use(await m.temporaryFile({ dir: "/home/user" }));
      await file.truncate(LARGE);
      await file.persist(mine(TARGET), { durable: false });
    },
  },
  "a spool put in place": {
    ...replaced,
    async run(m, { use }) {
      const file = use(m.spooledTemporaryFile());
      await file.write(NEW);
      await file.persist(TARGET, { mode: "private" });
    },
  },
  "a file replaced": {
    ...replaced,
    run: (m) => m.writeFileAtomic(TARGET, NEW),
  },
  "a file replaced from a stream": {
    ...replaced,
    asyncOnly: true,
    run: (m) => m.writeFileAtomic(TARGET, chunks(), { mode: 0o777 }),
  },
  "a file created": {
    ...created,
    run: (m) => m.writeFileAtomic(TARGET, NEW, { overwrite: false, mode: 0o666 }),
  },
  "a file replaced through a link": {
    ...replaced,
    prepare(machine) {
      withTarget(machine);
      machine.disk.makeLink(ROOT, TARGET, "/home/user/link");
    },
    run: (m) => m.writeFileAtomic("/home/user/link", NEW, { links: "follow", durable: false }),
  },
  "where there is room": {
    cold: true,
    async run(m) {
      m.configure({ tmpdir: undefined });
      m.tmpdir();
      await m.findTmpdir({ exec: true, minFree: 1, sameDeviceAs: "/home/user" });
      await m.diskSpace();
    },
  },
  "a floor under the room": {
    async run(m, { use, process }) {
      let low = 0;
      use(m.watchSpace({ minFree: 1e12, interval: 1000 }, () => low++));
      for (let look = 0; look < 3; look++) {
        process.elapse(1000);
        await process.runtime.nextTurn();
      }
      return low;
    },
  },
  "daemons kept away": {
    async run(m, { use, process }) {
      m.configure({ keepAlive: true });
      use(await m.temporaryDirectory());
      use(await m.namedTemporaryFile());
      await process.runtime.nextTurn();
      process.elapse(31 * 60_000);
    },
  },
  "a sweep, by age too": {
    prepare(machine, died) {
      plant(machine, "/tmp/old-file", "text");
      plantDirectory(machine, "/tmp/old-directory");
      plant(machine, "/tmp/old-directory/file", "text");
      leaveThings(died);
    },
    async run(m, { mine }) {
      for (const path of ["file", "directory", "directory/file"]) mine(`/tmp/old-${path}`);
      await m.sweep({ dryRun: true });
      await m.sweep({ olderThan: 0, prefix: "old-" });
    },
  },
};
