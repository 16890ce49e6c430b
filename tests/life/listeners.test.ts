/**
 * The listeners for the end of a process: only while entries exist, and shared by all copies of the module.
 *
 * @module
 */
import assert from "node:assert/strict";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { runtime } from "../../lib/runtime/mod.ts";
import { runChild, startChild } from "../support/child.ts";
import { NAMES_THERE, send, WAIT } from "../support/endings.ts";
import { readLeases } from "../support/leases.ts";
import { type Library, loadLibrary } from "../support/library.ts";
import { LISTENERS } from "../support/listeners.ts";
import { packageTest as test } from "../support/once.ts";
import { isWindows, noSignals, root } from "../support/platform.ts";
import { type Scratch, scratch } from "../support/scratch.ts";

/** Creates two copies of the built module, as in two packages that bundle it. */
function twoCopies(): Scratch & { urls: string[] } {
  const place = scratch();
  const urls = ["one", "other"].map((name) => {
    cpSync(join(root, "dist"), join(place.path, name), { recursive: true });
    return pathToFileURL(join(place.path, name, "mod.js")).href;
  });
  return { ...place, urls };
}

const COPIES = `${NAMES_THERE}
const [one, other] = await Promise.all(args.slice(0, 2).map((url) => import(url)));
say(one.namedTemporaryFileSync !== other.namedTemporaryFileSync);
`;

/** Runs code that makes `count` entries with two copies, `one` and `other`, and asserts that SIGTERM removes all. */
async function assertTerminated(code: string, count: number): Promise<void> {
  using copies = twoCopies();
  using place = scratch();
  const { child, result } = startChild(`${COPIES} ${code} say(names(one).length); ${WAIT}`, {
    bare: true,
    args: copies.urls,
    env: { TMPDIR: place.path },
  });
  send("SIGTERM")(child);
  const { signal, said } = await result;
  assert.deepEqual({ signal, said }, { signal: "SIGTERM", said: [true, count, "ready"] });
  assert.deepEqual(place.names(), []);
}

test("C250 C251 with two copies of the module, a signal removes the files of both and ends the process", {
  skip: noSignals,
}, async () => {
  const code = `one.configure({ signals: true }); other.configure({ signals: true });
    globalThis.made = [one.namedTemporaryFileSync(), other.namedTemporaryFileSync(), one.temporaryDirectorySync(), other.temporaryDirectorySync()];`;
  await assertTerminated(code, 4);
});

test(
  "C250 C251 with two copies of the module, signals are handled if only the one that listens second was asked to",
  { skip: noSignals, onOneNode: true },
  async () => {
    const code = `other.configure({ signals: true });
      globalThis.made = [one.namedTemporaryFileSync(), other.namedTemporaryFileSync(), one.temporaryDirectorySync()];`;
    await assertTerminated(code, 3);
  },
);

test(
  "C250 C251 with two copies and two registries, as in two node:vm contexts, a signal removes the files of both and ends the process",
  { skip: noSignals, onOneNode: true },
  async () => {
    const code = `globalThis.made = [one, other].map((copy) => {
        copy.configure({ signals: true });
        const made = [copy.namedTemporaryFileSync(), copy.temporaryDirectorySync()];
        delete globalThis[Symbol.for("mayfly.registry")];
        return made;
      });`;
    await assertTerminated(code, 4);
  },
);

test(
  "C250 with two copies of the module, signals are no longer handled once either is told to leave them alone",
  {
    skip: noSignals,
    onOneNode: true,
  },
  async () => {
    using copies = twoCopies();
    using place = scratch();
    const code = `${COPIES}
    one.configure({ signals: true });
    const file = one.namedTemporaryFileSync();
    other.configure({ signals: false });
    ${WAIT}`;
    const { child, result } = startChild(code, {
      bare: true,
      args: copies.urls,
      env: { TMPDIR: place.path },
    });
    send("SIGTERM")(child);
    const { signal, said } = await result;
    assert.deepEqual({ signal, said }, { signal: "SIGTERM", said: [true, "ready"] });
    assert.equal(place.names().length, 1);
  },
);

test("C249 with two copies of the module, the files of both are removed at exit, even if one copy has none left", async () => {
  using copies = twoCopies();
  using place = scratch();
  const code = `${COPIES}
    const [a, b] = [one.namedTemporaryFileSync(), other.namedTemporaryFileSync()];
    a.closeSync();
    await new Promise((resolve) => setTimeout(resolve, 400));
    say([a, b].map(({ path }) => fs.existsSync(path)));
    process.exit(4);`;
  const { status, said } = await runChild(code, {
    bare: true,
    args: copies.urls,
    env: { TMPDIR: place.path },
  });
  assert.deepEqual({ status, said }, { status: 4, said: [true, [false, true]] });
  assert.deepEqual(place.names(), []);
});

/** `count()` reports the number of the library's listeners. */
const COUNT = `${LISTENERS}
const at = listeners();
const count = () => say(listeners() - at);
`;

test("C261 listeners exist only while named files or directories do, not after import or for unnamed files", async () => {
  const code = `${COUNT}
    const m = await import(moduleUrl);
    count();
    const unnamed = m.temporaryFileSync();
    count();
    const named = m.namedTemporaryFileSync();
    count();
    const directory = await m.temporaryDirectory();
    count();
    named.closeSync();
    unnamed.closeSync();
    await new Promise((resolve) => setTimeout(resolve, 400));
    count();
    await directory.remove();
    for (let waits = 0; listeners() !== at && waits < 100; waits++) await new Promise((resolve) => setTimeout(resolve, 20));
    count();
    const again = m.namedTemporaryFileSync();
    count();
    again.keep();
    for (let waits = 0; listeners() !== at && waits < 100; waits++) await new Promise((resolve) => setTimeout(resolve, 20));
    count();
    fs.unlinkSync(again.path);`;
  const { said: [imported, unnamed, ...rest], stderr } = await runChild(code, { bare: true });
  const some = rest[0];
  assert.ok(some >= 3);
  // On Windows unnamed files have a name until they are closed.
  assert.deepEqual([imported, unnamed], [0, isWindows ? some : 0], stderr);
  assert.deepEqual(rest, [some, some, some, 0, some, 0]);
});

interface Watched {
  library: Library;
  /** Makes time pass. Returns whether the process is listened to at the end. */
  advance(milliseconds: number): Promise<boolean>;
  /** Returns how often listening has begun. */
  begun(): number;
}

/** A copy of the library that thinks it alone makes time pass. */
function watched(place: Scratch, signals?: true): Watched {
  let clock = 0, listening = 0, begun = 0;
  const timers = new Set<{ due: number; call: () => void }>();
  const library = loadLibrary({
    ...runtime,
    later(milliseconds, call) {
      const timer = { due: clock + milliseconds, call };
      timers.add(timer);
      return () => void timers.delete(timer);
    },
    signals: { ...runtime.signals, names: () => [] },
    onEnd() {
      listening++;
      begun++;
      return () => void listening--;
    },
  });
  library.configure({ tmpdir: place.path, signals, reclaim: false });
  const advance = async (milliseconds: number): Promise<boolean> => {
    for (const end = clock + milliseconds; clock < end;) {
      clock += 10;
      for (const timer of [...timers].filter(({ due }) => due <= clock)) {
        timers.delete(timer);
        timer.call();
        await runtime.nextTurn();
      }
    }
    return listening > 0;
  };
  return { library, advance, begun: () => begun };
}

/** Makes files and time pass, and asserts when a process with this setting is listened to. */
async function assertListening(signals: true | undefined): Promise<void> {
  using place = scratch();
  const { library, advance, begun } = watched(place, signals);
  library.namedTemporaryFileSync().closeSync();
  await advance(200);
  library.namedTemporaryFileSync().closeSync();
  assert.deepEqual([await advance(100), await advance(500)], [true, false]);
  library.namedTemporaryFileSync().closeSync();
  const held = library.namedTemporaryFileSync(), other = library.namedTemporaryFileSync();
  assert.equal(await advance(2000), true);
  other.closeSync();
  await advance(200);
  held.closeSync();
  assert.equal(await advance(100), true);
  assert.deepEqual([await advance(1000), begun()], [false, 2]);
}

test("C261 the process is listened to while files follow one another or one is held, and until a moment after", async () => {
  await assertListening(true);
  await assertListening(undefined);
});

test("C261 a process that makes a file from time to time is soon listened to all the time, but not long after the last", async () => {
  using place = scratch();
  const { library, advance, begun } = watched(place);
  const seen = new Set<string>();
  const leases = (): string[] => Object.keys(readLeases(place.path));
  for (let n = 0; n < 20; n++) {
    library.namedTemporaryFileSync().closeSync();
    for (const lease of leases()) seen.add(lease);
    await advance(1500);
  }
  // First for 250 ms, then for 500, 1000 and 2000.
  assert.deepEqual([begun(), seen.size], [4, 4]);
  assert.deepEqual([await advance(4000), leases()], [false, []]);
  library.namedTemporaryFileSync().closeSync();
  assert.deepEqual([await advance(4000), begun(), leases()], [false, 5, []]);
});

test("C261 C251 two copies of the module share one set of listeners for as long as either needs it", async () => {
  using copies = twoCopies();
  const code = `${COUNT} ${COPIES}
    const wait = async (most) => { for (let waits = 0; listeners() !== at && waits < most; waits++) await new Promise((resolve) => setTimeout(resolve, 20)); };
    const a = one.namedTemporaryFileSync();
    count();
    const b = other.namedTemporaryFileSync();
    count();
    a.closeSync();
    await wait(25);
    count();
    b.closeSync();
    await wait(500);
    count();`;
  const { said: [, first, ...rest], stderr } = await runChild(code, { bare: true, args: copies.urls });
  assert.ok(first >= 3, stderr);
  assert.deepEqual(rest, [first, first, 0]);
});
