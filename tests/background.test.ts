import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectorySync } from "../lib/directory.ts";
import { namedTemporaryFileSync } from "../lib/file/named.ts";
import { startReclaiming } from "../lib/life/background.ts";
import { type Listing, runtime } from "../lib/runtime/mod.ts";
import { configure } from "../lib/settings.ts";
import { runChild } from "./support/child.ts";
import { plant, readLeases, withoutLease } from "./support/leases.ts";
import { packageTest as test } from "./support/once.ts";
import { namesLinger } from "./support/platform.ts";
import { type Scratch, scratch } from "./support/scratch.ts";
import { type Changes, substitute, systemError } from "./support/substitute.ts";

/** Plants what a dead process left. */
function plantOrphans(place: Scratch, count: number): void {
  const dead = plant(place.path);
  for (let n = 0; n < count; n++) writeFileSync(join(place.path, dead.name()), "");
}

/** Makes something named, and waits until nothing else is there, but not for ever. */
const live = (before = "", after = ""): string => `
${before}
const file = m.namedTemporaryFileSync();
${after}
const others = () => fs.readdirSync(m.tmpdir()).filter((name) => !name.startsWith(".") && !file.path.endsWith(name)).length;
for (let tries = 0; others() > 0 && tries < Number(args[0]); tries++) await new Promise((resolve) => setTimeout(resolve, 20));
say(others());
file.closeSync();`;

test("C254 C265 whoever makes something named removes beside its work what the dead left", async () => {
  using place = scratch();
  plantOrphans(place, 20);
  let left = 20;
  // On a busy machine the time that a process gives to it is over before much is done.
  for (let tries = 0; left > 0; tries++) {
    assert.ok(tries < 10, `${left} are left`);
    const { said, stderr } = await runChild(live(), { args: ["200"], env: { TMPDIR: place.path } });
    assert.equal(stderr, "");
    left = said[0];
  }
  assert.deepEqual([place.names(), readLeases(place.path)], [[], {}]);
});

test("C254 C265 a program that ends at once does it at its end", async () => {
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

test("configure({ reclaim: false }) leaves what the dead left, also at the end, and where it had begun", async () => {
  using place = scratch();
  plantOrphans(place, 5);
  const off = "m.configure({ reclaim: false });";
  for (const code of [live(off), live("", off)]) {
    const { said, stderr } = await runChild(code, { args: ["10"], env: { TMPDIR: place.path } });
    assert.deepEqual([said, stderr], [[5], ""], code);
    assert.equal(place.names().length, 5);
  }
});

/**
 * Waits until what was begun before has had its turn, the loading of what reclaims among it: the library looks for others
 * in a microtask, so our import is asked for after its own, and answered after it.
 */
async function loading(): Promise<void> {
  await Promise.resolve();
  await import("../lib/life/reclaim.ts");
  await runtime.nextTurn();
}

/** A clock on which every question takes half a millisecond, or what is said, timers that run when they are told to, and an end. */
class Stage {
  /** Each begins when the others are long over. */
  static #begin: number = runtime.now();
  clock: number = Stage.#begin += 1_000_000_000;
  readonly timers: { milliseconds: number; call: () => void }[] = [];
  readonly question: number;
  end: () => void = () => assert.fail("nobody listens");
  pid: number = runtime.pid();
  /** Milliseconds that it was held up. */
  slept = 0;

  constructor(question = 0.5) {
    this.question = question;
  }

  /** Runs the timers, also those that they set, at once or when something is loaded. */
  async play(): Promise<void> {
    while (this.timers.length > 0) {
      for (let timer = this.timers.shift(); timer !== undefined; timer = this.timers.shift()) timer.call();
      await loading();
    }
  }

  enter(primitives: Changes["primitives"] = {}, own: Changes["runtime"] = {}): AsyncDisposable {
    const substituted = this.#substitute(primitives, own);
    return {
      [Symbol.asyncDispose]: async () => {
        // Among them is the one that ends listening to the end of the process, a turn later.
        await this.play();
        substituted[Symbol.dispose]();
      },
    };
  }

  #substitute(primitives: Changes["primitives"], own: Changes["runtime"]): Disposable {
    return substitute({
      primitives,
      runtime: {
        now: () => this.clock += this.question,
        later: (milliseconds, call) => {
          const timer = { milliseconds, call };
          this.timers.push(timer);
          return () => void (timer.call = () => {});
        },
        onEnd: (listener) => {
          this.end = listener;
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
  "reclaiming takes a millisecond at a time, two seconds in all, and begins again after a minute",
  async () => {
    using place = scratch();
    // Of two, so that it is loaded at once: without a lease of our own, one would be taken for it.
    plantOrphans(place, 1500);
    plantOrphans(place, 1500);
    const stage = new Stage();
    configure({ tmpdir: place.path });
    await using _ = stage.enter();
    try {
      startReclaiming();
      const start = stage.clock;
      await loading();
      let slices = 0, longest = 0;
      for (let timer = stage.timers.shift(); timer !== undefined; timer = stage.timers.shift()) {
        assert.equal(timer.milliseconds, slices === 0 ? 0 : 10);
        const before = stage.clock;
        timer.call();
        longest = Math.max(longest, stage.clock - before);
        slices++;
      }
      assert.ok(longest < 3, `a slice took ${longest} ms`);
      assert.ok(stage.clock - start < 3000, `all took ${stage.clock - start} ms`);
      assert.ok(slices > 500, `${slices} slices`);
      const left = place.names().length;
      assert.ok(left > 0 && left < 3000, `${left} are left`);

      startReclaiming();
      await loading();
      assert.equal(stage.timers.length, 0, "not so soon");
      stage.clock += 60_000;
      startReclaiming();
      await loading();
      assert.equal(stage.timers.length, 1);
      await stage.play();
      assert.ok(place.names().length < left);
    } finally {
      configure({ tmpdir: undefined });
    }
  },
);

/** Counts what is open, and what is removed. */
class Held {
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

/** What a dead process left in a directory: a file, and a tree. */
function plantTree(directory: string): void {
  mkdirSync(directory);
  const dead = plant(directory), tree = join(directory, dead.name());
  mkdirSync(join(tree, "sub", "below"), { recursive: true });
  for (const path of [join(tree, "file"), join(tree, "sub", "file"), join(directory, dead.name())]) {
    writeFileSync(path, "");
  }
}

test(
  "reclaiming that is given up after any of its calls leaves nothing open, and removes nothing more",
  async () => {
    using place = scratch();
    let heldSome = 0, isDone = false;
    for (let calls = 1; !isDone; calls++) {
      const directory = join(place.path, String(calls));
      plantTree(directory);
      // So that it begins at once: without a lease of our own, one would be taken for it.
      plant(directory);
      const stage = new Stage(2), held = new Held();
      configure({ tmpdir: directory });
      await using _ = stage.enter(held.primitives);
      try {
        startReclaiming();
        await loading();
        // A question takes longer than a slice has: each makes one call.
        for (let made = 0; made < calls; made++) stage.timers.shift()?.call();
        isDone = stage.timers.length === 0;
        if (held.open.size > 0) heldSome++;
        const { removed } = held;
        configure({ reclaim: false });
        await stage.play();
        assert.deepEqual([...held.open], [], `after ${calls} calls`);
        assert.equal(held.removed, removed);
      } finally {
        configure({ tmpdir: undefined, reclaim: undefined });
      }
    }
    assert.ok(heldSome > 0);
  },
);

test("reclaiming does not hold up the program until what is in use is let go of: that is for the next process, and the rest goes", async () => {
  using place = scratch();
  const dead = plant(place.path), tree = dead.name();
  mkdirSync(join(place.path, tree));
  for (const path of [dead.name(), join(tree, "held"), join(tree, "other")]) {
    writeFileSync(join(place.path, path), "");
  }
  // So that it begins at once.
  plant(place.path);
  const stage = new Stage();
  configure({ tmpdir: place.path });
  await using _ = stage.enter({
    unlink(real, path: string) {
      if (path.endsWith("held")) throw systemError("EBUSY");
      return real(path);
    },
    // By its own walk a runtime would pass the refusal by.
  }, { removeTree: undefined });
  try {
    startReclaiming();
    await loading();
    await stage.play();
    assert.deepEqual([place.names(), readdirSync(join(place.path, tree)), stage.slept], [
      [tree],
      ["held"],
      0,
    ]);
  } finally {
    configure({ tmpdir: undefined });
  }
});

test("the end of the process is held up for two tenths of a second by what the dead left", {
  skip: namesLinger,
}, async () => {
  await withoutLease();
  using place = scratch();
  plantOrphans(place, 1000);
  const stage = new Stage();
  configure({ tmpdir: place.path });
  await using _ = stage.enter();
  try {
    const file = namedTemporaryFileSync(), directory = temporaryDirectorySync();
    await loading();
    assert.equal(stage.timers.at(-1)?.milliseconds, 0, "the first slice is still to come");
    const before = stage.clock;
    stage.end();
    assert.deepEqual([existsSync(file.path), existsSync(directory.path)], [false, false]);
    const left = place.names().length;
    assert.ok(left > 0 && left < 1000, `${left} are left`);
    assert.ok(stage.clock - before < 250, `it took ${stage.clock - before} ms`);
    file.closeSync();
  } finally {
    configure({ tmpdir: undefined });
  }
});

test(
  "C271 the end of a process with another number than the maker's removes nothing; the maker's does, and again without harm",
  {
    skip: namesLinger,
  },
  async () => {
    await withoutLease();
    using place = scratch();
    const stage = new Stage();
    configure({ tmpdir: place.path, reclaim: false });
    await using _ = stage.enter();
    try {
      const file = namedTemporaryFileSync(), directory = temporaryDirectorySync();
      const there = (): boolean[] => [existsSync(file.path), existsSync(directory.path)];
      stage.pid++;
      stage.end();
      assert.deepEqual([there(), Object.keys(readLeases(place.path)).length], [[true, true], 1]);
      stage.pid--;
      stage.end();
      assert.deepEqual([there(), readLeases(place.path)], [[false, false], {}]);
      stage.end();
      file.closeSync();
      directory.removeSync();
    } finally {
      configure({ tmpdir: undefined, reclaim: undefined });
    }
  },
);
