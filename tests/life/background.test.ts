import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectorySync } from "../../lib/directory.ts";
import { namedTemporaryFileSync } from "../../lib/file/named.ts";
import { startReclaiming } from "../../lib/life/background.ts";
import { type Listing, runtime } from "../../lib/runtime/mod.ts";
import { configure } from "../../lib/settings.ts";
import { runChild } from "../support/child.ts";
import { leasesIn, plant, readLeases, withoutLease } from "../support/leases.ts";
import { loadLibrary } from "../support/library.ts";
import { packageTest as test } from "../support/once.ts";
import { namesLinger } from "../support/platform.ts";
import { type Scratch, scratch } from "../support/scratch.ts";
import { type Changes, substitute, systemError } from "../support/substitute.ts";

/** Plants leftovers of a dead process. */
function plantOrphans(place: Scratch, count: number): void {
  const dead = plant(place.path);
  for (let n = 0; n < count; n++) writeFileSync(join(place.path, dead.name()), "");
}

/** Creates a named file, and waits a limited time until nothing else is there. */
const live = (before = "", after = ""): string => `
${before}
const file = m.namedTemporaryFileSync();
${after}
const others = () => fs.readdirSync(m.tmpdir()).filter((name) => !name.startsWith(".") && !file.path.endsWith(name)).length;
for (let tries = 0; others() > 0 && tries < Number(args[0]); tries++) await new Promise((resolve) => setTimeout(resolve, 20));
say(others());
file.closeSync();`;

test("C254 C265 a process that creates a named file removes the leftovers of dead processes in the background", async () => {
  using place = scratch();
  plantOrphans(place, 20);
  let left = 20;
  // On a busy machine, the time that a process spends on it may end before much is done.
  for (let tries = 0; left > 0; tries++) {
    assert.ok(tries < 10, `${left} are left`);
    const { said, stderr } = await runChild(live(), { args: ["200"], env: { TMPDIR: place.path } });
    assert.equal(stderr, "");
    left = said[0];
  }
  assert.deepEqual([place.names(), readLeases(place.path)], [[], {}]);
});

test("C254 C265 a program that ends at once removes the leftovers of dead processes at exit", async () => {
  using place = scratch();
  plantOrphans(place, 5);
  for (let tries = 0; place.names().length > 0; tries++) {
    assert.ok(tries < 10, `${place.names()} are left`);
    const { status, stderr } = await runChild(`globalThis.file = m.namedTemporaryFileSync();`, {
      env: { TMPDIR: place.path },
    });
    assert.deepEqual([status, stderr], [0, ""]);
  }
  assert.deepEqual(readLeases(place.path), {});
});

test("configure({ reclaim: false }) removes no leftovers of dead processes, even at exit or if reclaiming has begun", async () => {
  using place = scratch();
  plantOrphans(place, 5);
  const off = "m.configure({ reclaim: false });";
  for (const code of [live(off), live("", off)]) {
    const { said, stderr } = await runChild(code, { args: ["10"], env: { TMPDIR: place.path } });
    assert.deepEqual([said, stderr], [[5], ""], code);
    assert.equal(place.names().length, 5);
  }
  // It has begun, and what it does first is still to come.
  const code = `m.namedTemporaryFileSync().closeSync(); ${off} await undefined; process.exit();`;
  await runChild(code, { env: { TMPDIR: place.path } });
  assert.equal(place.names().length, 5);
});

/** Waits until the look for leftovers has begun: not in the call that asks for it, but right after that. */
const begun = (): Promise<void> => runtime.nextTurn();

/** A runtime whose clock advances at every reading, with timers and a process exit that the test triggers. */
class ManualRuntime {
  /** Each begins long after the others. */
  static #begin: number = runtime.now();
  clock: number = ManualRuntime.#begin += 1_000_000_000;
  readonly timers: { milliseconds: number; call: () => void }[] = [];
  /** Milliseconds that each reading of the clock takes. */
  readonly step: number;
  exit: () => void = () => assert.fail("there is no exit listener");
  pid: number = runtime.pid();
  /** Milliseconds that the thread was blocked. */
  slept = 0;

  constructor(step = 0.5) {
    this.step = step;
  }

  /** Runs all timers, also those that they set. */
  async runTimers(): Promise<void> {
    while (this.timers.length > 0) {
      for (let timer = this.timers.shift(); timer !== undefined; timer = this.timers.shift()) timer.call();
      await begun();
    }
  }

  enter(primitives: Changes["primitives"] = {}, own: Changes["runtime"] = {}): AsyncDisposable {
    const substituted = this.#substitute(primitives, own);
    return {
      [Symbol.asyncDispose]: async () => {
        // One of them removes the exit listener, a turn later.
        await this.runTimers();
        substituted[Symbol.dispose]();
      },
    };
  }

  #substitute(primitives: Changes["primitives"], own: Changes["runtime"]): Disposable {
    return substitute({
      primitives,
      runtime: {
        now: () => this.clock += this.step,
        later: (milliseconds, call) => {
          const timer = { milliseconds, call };
          this.timers.push(timer);
          return () => void (timer.call = () => {});
        },
        onEnd: (listener) => {
          this.exit = listener;
          return () => {};
        },
        pid: () => this.pid,
        sleep: (milliseconds) => void (this.slept += milliseconds),
        signals: { ...runtime.signals, names: () => [] },
        ...own,
      },
    });
  }
}

test(
  "background reclaiming runs in slices of a millisecond, for two seconds in all, and again after a minute",
  { onOneNode: true },
  async () => {
    using place = scratch();
    // Two leases: without one of this process, the first would be taken for its own, and nothing begun at once.
    plantOrphans(place, 1500);
    plantOrphans(place, 1500);
    const manual = new ManualRuntime();
    configure({ tmpdir: place.path });
    await using _ = manual.enter();
    try {
      startReclaiming();
      const start = manual.clock;
      await begun();
      let slices = 0, longest = 0;
      for (let timer = manual.timers.shift(); timer !== undefined; timer = manual.timers.shift()) {
        assert.equal(timer.milliseconds, slices === 0 ? 0 : 10);
        const before = manual.clock;
        timer.call();
        longest = Math.max(longest, manual.clock - before);
        slices++;
      }
      // Each look at the clock takes some time here, and a removal has two.
      assert.ok(longest < 4, `a slice took ${longest} ms`);
      assert.ok(manual.clock - start < 3000, `all took ${manual.clock - start} ms`);
      assert.ok(slices > 500, `${slices} slices`);
      const left = place.names().length;
      assert.ok(left > 0 && left < 3000, `${left} are left`);

      startReclaiming();
      await begun();
      assert.equal(manual.timers.length, 0, "not so soon");
      manual.clock += 60_000;
      startReclaiming();
      await begun();
      assert.equal(manual.timers.length, 1);
      manual.clock += 60_000;
      startReclaiming();
      await begun();
      assert.equal(manual.timers.length, 1, "the one before has not ended");
      await manual.runTimers();
      assert.ok(place.names().length < left);
    } finally {
      configure({ tmpdir: undefined });
    }
  },
);

/** Tracks open handles, and counts removals. */
class OpenHandles {
  readonly open: Set<unknown> = new Set();
  removed = 0;

  readonly primitives: Changes["primitives"] = {
    openFile: (real, ...args: unknown[]) => this.#opened(real(...args)),
    openDirectory: (real, ...args: unknown[]) => this.#opened(real(...args)),
    locateDirectory: (real, ...args: unknown[]) => this.#opened(real(...args)),
    close: (real, handle: unknown) => (this.open.delete(handle), real(handle)),
    list: (real, path: string) => {
      const listing = real(path) as Listing;
      this.open.add(listing);
      return { next: () => listing.next(), close: () => (this.open.delete(listing), listing.close()) };
    },
    unlink: (real, path: string) => (this.removed++, real(path)),
    removeDirectory: (real, path: string) => (this.removed++, real(path)),
  };

  #opened(handle: unknown): unknown {
    this.open.add(handle);
    return handle;
  }
}

/** Plants leftovers of a dead process in a new directory: a file, and a tree. */
function plantTree(directory: string): void {
  mkdirSync(directory);
  const dead = plant(directory), tree = join(directory, dead.name());
  mkdirSync(join(tree, "sub", "below"), { recursive: true });
  for (const path of [join(tree, "file"), join(tree, "sub", "file"), join(directory, dead.name())]) {
    writeFileSync(path, "");
  }
}

test(
  "background reclaiming that is turned off after any of its calls leaves no open handle and removes nothing more",
  { onOneNode: true },
  async () => {
    using place = scratch();
    let timesOpen = 0, isDone = false;
    for (let calls = 1; !isDone; calls++) {
      const directory = join(place.path, String(calls));
      plantTree(directory);
      // A second lease, so that it begins at once: without a lease of this process, one would be taken for its own.
      plant(directory);
      const manual = new ManualRuntime(2), handles = new OpenHandles();
      configure({ tmpdir: directory });
      await using _ = manual.enter(handles.primitives);
      try {
        startReclaiming();
        await begun();
        // Reading the clock takes longer than a slice: each makes one call.
        for (let made = 0; made < calls; made++) manual.timers.shift()?.call();
        isDone = manual.timers.length === 0;
        if (handles.open.size > 0) timesOpen++;
        const { removed } = handles;
        configure({ reclaim: false });
        await manual.runTimers();
        assert.deepEqual([...handles.open], [], `after ${calls} calls`);
        assert.equal(handles.removed, removed);
        manual.clock += 60_000;
        startReclaiming();
        await begun();
        assert.deepEqual(manual.timers, [], "it begins again although it is off");
      } finally {
        configure({ tmpdir: undefined, reclaim: undefined });
      }
    }
    assert.ok(timesOpen > 0);
  },
);

test("background reclaiming does not wait for entries that are in use: it leaves them and removes the rest", async () => {
  using place = scratch();
  const dead = plant(place.path), tree = dead.name();
  mkdirSync(join(place.path, tree));
  for (const path of [dead.name(), join(tree, "held"), join(tree, "other")]) {
    writeFileSync(join(place.path, path), "");
  }
  // A second lease, so that it begins at once.
  plant(place.path);
  const manual = new ManualRuntime();
  configure({ tmpdir: place.path });
  await using _ = manual.enter({
    unlink(real, path: string) {
      if (path.endsWith("held")) throw systemError("EBUSY");
      return real(path);
    },
    // A runtime's own recursive removal would not go through the substitute.
  }, { removeTree: undefined });
  try {
    startReclaiming();
    await begun();
    await manual.runTimers();
    assert.deepEqual([place.names(), readdirSync(join(place.path, tree)), manual.slept], [
      [tree],
      ["held"],
      0,
    ]);
  } finally {
    configure({ tmpdir: undefined });
  }
});

test("a look for leftovers whose directory of leases is gone by then does not begin, and the program goes on", async () => {
  const manual = new ManualRuntime();
  let listed = 0;
  await using _ = manual.enter({
    list() {
      listed++;
      throw systemError("ENOENT");
    },
  });
  startReclaiming();
  await begun();
  assert.deepEqual([listed, manual.timers], [1, []]);
});

test("C258 at process exit, the removal of what an ended thread left is retried if it is in use", async () => {
  await withoutLease();
  using place = scratch();
  const ended = plant(place.path, { pid: runtime.pid() }), tree = ended.name();
  mkdirSync(join(place.path, tree));
  writeFileSync(join(place.path, tree, "held"), "");
  const manual = new ManualRuntime();
  configure({ tmpdir: place.path });
  await using _ = manual.enter({
    unlink(real, path: string) {
      if (path.endsWith("held") && manual.slept === 0) throw systemError("EBUSY");
      return real(path);
    },
  }, { removeTree: undefined });
  try {
    // With its removal at exit the listening ends, as it would not with that of an open file.
    temporaryDirectorySync();
    await begun();
    await manual.runTimers();
    // In the background it was not.
    assert.deepEqual([place.names().includes(tree), manual.slept], [true, 0]);
    manual.exit();
    assert.deepEqual(place.names(), []);
    assert.ok(manual.slept > 0);
  } finally {
    configure({ tmpdir: undefined });
  }
});

test(
  "a program that ends at once beside no other lease looks at the directory of leases once, and not again at exit",
  {
    skip: namesLinger,
  },
  async () => {
    using place = scratch();
    const listed: unknown[] = [];
    let exit = (): void => assert.fail("there is no exit listener");
    const library = loadLibrary({
      ...runtime,
      later: () => () => {},
      onEnd(listener) {
        exit = listener;
        return () => {};
      },
      signals: { ...runtime.signals, names: () => [] },
      sync: {
        ...runtime.sync,
        list: (path) => (listed.push(path), runtime.sync.list(path)),
      },
    });
    library.configure({ tmpdir: place.path });
    const file = library.namedTemporaryFileSync();
    await begun();
    exit();
    assert.ok(!existsSync(file.path));
    assert.deepEqual(listed, [leasesIn(place.path)]);
  },
);

test("process exit is delayed by reclaiming for two tenths of a second at most", {
  skip: namesLinger,
  onOneNode: true,
}, async () => {
  await withoutLease();
  using place = scratch();
  plantOrphans(place, 1000);
  const manual = new ManualRuntime(), handles = new OpenHandles();
  configure({ tmpdir: place.path });
  await using _ = manual.enter(handles.primitives);
  try {
    const file = namedTemporaryFileSync(), directory = temporaryDirectorySync();
    await begun();
    assert.equal(manual.timers.at(-1)?.milliseconds, 0, "the first slice is still to come");
    const before = manual.clock;
    manual.exit();
    assert.deepEqual([existsSync(file.path), existsSync(directory.path)], [false, false]);
    const left = place.names().length;
    assert.ok(left > 0 && left < 1000, `${left} are left`);
    assert.ok(manual.clock - before < 250, `it took ${manual.clock - before} ms`);
    assert.deepEqual([...handles.open], []);
    file.closeSync();
  } finally {
    configure({ tmpdir: undefined });
  }
});

test(
  "C271 exit in a process with another PID than the creator's removes nothing; the creator's does, and a second one is harmless",
  {
    skip: namesLinger,
  },
  async () => {
    await withoutLease();
    using place = scratch();
    const manual = new ManualRuntime();
    configure({ tmpdir: place.path, reclaim: false });
    await using _ = manual.enter();
    try {
      const file = namedTemporaryFileSync(), directory = temporaryDirectorySync();
      const there = (): boolean[] => [existsSync(file.path), existsSync(directory.path)];
      manual.pid++;
      manual.exit();
      assert.deepEqual([there(), Object.keys(readLeases(place.path)).length], [[true, true], 1]);
      manual.pid--;
      manual.exit();
      assert.deepEqual([there(), readLeases(place.path)], [[false, false], {}]);
      manual.exit();
      file.closeSync();
      directory.removeSync();
    } finally {
      configure({ tmpdir: undefined, reclaim: undefined });
    }
  },
);
