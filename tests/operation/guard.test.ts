import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "../../lib/directory.ts";
import { namedTemporaryFile } from "../../lib/file/named.ts";
import { temporaryFile, temporaryFileSync } from "../../lib/file/unnamed.ts";
import { fallback, guardOf, setDevice } from "../../lib/operation/devices.ts";
import { Guard } from "../../lib/operation/guard.ts";
import { asyncIo, INLINE_MAX } from "../../lib/operation/io.ts";
import { writeFileAtomic } from "../../lib/persist/write_file_atomic.ts";
import {
  type Handle,
  type Primitives,
  runtime,
  type Status,
  substituteRuntime,
} from "../../lib/runtime/mod.ts";
import { configure } from "../../lib/settings.ts";
import { isWindows } from "../support/platform.ts";
import { type Scratch, scratch } from "../support/scratch.ts";
import { heldLease } from "../support/substitute.ts";

/** A primitive, and where it was called. */
type Way = `${"inline" | "pool"} ${keyof Primitives}`;

/** Devices are distinguished by their numbers; each test uses new ones. */
let numbers = 1_000_000;

interface Device extends Scratch {
  /** Milliseconds that each call on the calling thread takes. */
  cost: number;
}

/** A scratch directory that is on a device of its own. */
function device(): Device & { number: number } {
  return Object.assign(scratch(), { cost: 0, number: ++numbers });
}

/** Shared by all tests, as is what the library knows of devices. */
const clock = { now: runtime.now() };

/** A runtime that records where each call is made; its clock advances only by the cost of inline calls. */
function observed(...devices: ReturnType<typeof device>[]) {
  configure({ reclaim: false });
  const held = heldLease();
  const ways: Way[] = [];
  const deviceOf = (path: unknown) => devices.find((device) => String(path).startsWith(device.path));
  const handles = new Map<unknown, ReturnType<typeof device>>();
  const locate = (result: unknown, path: unknown): unknown => {
    const device = deviceOf(path);
    if (device === undefined) return result;
    if (typeof result === "object" && "inode" in (result as Status)) {
      return { ...result as Status, device: device.number };
    }
    if (result !== undefined && typeof result !== "string") handles.set(result, device);
    return result;
  };
  const wrap = <F extends object>(way: "inline" | "pool", variant: F): F =>
    Object.fromEntries(
      Object.entries(variant).map(([name, call]) => [name, (...args: unknown[]) => {
        ways.push(`${way} ${name as keyof Primitives}`);
        const device = handles.get(args[0]) ?? deviceOf(args[0]);
        if (way === "inline") clock.now += device?.cost ?? 0;
        const result = call(...args);
        return way === "inline" ? locate(result, args[0]) : result.then((r: unknown) => locate(r, args[0]));
      }]),
    ) as F;
  const undo = substituteRuntime({
    ...runtime,
    now: () => clock.now,
    sync: wrap("inline", runtime.sync),
    pooled: wrap("pool", runtime.pooled),
  });
  return {
    ways,
    /** Returns and clears what was recorded. */
    taken: () => ways.splice(0),
    [Symbol.dispose]() {
      undo();
      held[Symbol.dispose]();
      configure({ reclaim: undefined });
    },
  };
}

const isInline = (way: Way): boolean => way.startsWith("inline");

/** Writes one byte, which must take one call, and returns where it was made. */
async function way(file: { write(data: string): Promise<number> }, seen: ReturnType<typeof observed>) {
  seen.taken();
  await file.write("x");
  assert.equal(seen.ways.length, 1);
  return seen.taken()[0].split(" ")[0];
}

for (const [cost, calls] of [[5, 2], [50, 1], [500, 1]]) {
  test(`a device whose calls take ${cost} ms gets ${calls} of them inline, then all in the thread pool`, async () => {
    using slow = device();
    using seen = observed(slow);
    await using file = await temporaryFile({ dir: slow.path, bufferSize: 0 });
    assert.equal(await way(file, seen), "inline");
    slow.cost = cost;
    const ways = [];
    for (let i = 0; i < 10; i++) ways.push(await way(file, seen));
    assert.deepEqual(ways, [...Array(calls).fill("inline"), ...Array(10 - calls).fill("pool")]);
    assert.equal(await file.text(), "x".repeat(11));
  });

  test(`concurrent calls of ${cost} ms: ${calls} inline, the others in the thread pool, and all succeed`, async () => {
    using slow = device();
    using seen = observed(slow);
    const { path: dir } = slow;
    await (await namedTemporaryFile({ dir })).close();
    slow.cost = cost;
    seen.taken();
    const files = await Promise.all(Array.from({ length: 50 }, () => namedTemporaryFile({ dir })));
    assert.equal(seen.taken().filter(isInline).length, calls);
    assert.equal(new Set(files.map(({ path }) => path)).size, 50);
    await Promise.all(files.map((file) => file.close()));
    assert.equal(seen.taken().filter(isInline).length, 0);
  });
}

test("a slow device gets one inline trial after 20 times its last call, then after pauses that double up to 60 s", async () => {
  using slow = device();
  using seen = observed(slow);
  await using file = await temporaryFile({ dir: slow.path, bufferSize: 0 });
  slow.cost = 50;
  assert.equal(await way(file, seen), "inline");
  for (const pause of [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]) {
    clock.now += pause - 1;
    assert.equal(await way(file, seen), "pool", `${pause - 1} ms after the last trial`);
    clock.now += 1;
    assert.equal(await way(file, seen), "inline", `${pause} ms after the last trial`);
    assert.equal(await way(file, seen), "pool");
  }
});

test("a device that is slow again only long after its last pause is paused for 20 times the call, as at first", async () => {
  using slow = device();
  using seen = observed(slow);
  await using file = await temporaryFile({ dir: slow.path, bufferSize: 0 });
  for (let time = 0; time < 2; time++) {
    slow.cost = 50;
    assert.equal(await way(file, seen), "inline");
    assert.equal(await way(file, seen), "pool");
    clock.now += 1000;
    slow.cost = 0;
    assert.equal(await way(file, seen), "inline");
    clock.now += 60_000;
  }
});

test("a device that is fast in a trial gets inline calls again, until one slow call soon after", async () => {
  using slow = device();
  using seen = observed(slow);
  await using file = await temporaryFile({ dir: slow.path, bufferSize: 0 });
  slow.cost = 50;
  await file.write("x");
  slow.cost = 0;
  clock.now += 1000;
  for (let i = 0; i < 5; i++) assert.equal(await way(file, seen), "inline");
  slow.cost = 5;
  assert.equal(await way(file, seen), "inline");
  assert.equal(await way(file, seen), "pool");
  // The pause is twice the last one, since the device was slow again within twice the last pause.
  clock.now += 1999;
  assert.equal(await way(file, seen), "pool");
  clock.now += 1;
  assert.equal(await way(file, seen), "inline");
});

test("isolated calls of 20 ms, as when another process has the processor, keep a device inline", async () => {
  using busy = device();
  using seen = observed(busy);
  await using file = await temporaryFile({ dir: busy.path, bufferSize: 0 });
  for (let i = 0; i < 100; i++) {
    busy.cost = i % 20 === 0 ? 20 : 0;
    assert.equal(await way(file, seen), "inline", `call ${i}`);
  }
});

test("a slow device moves its own calls in all its directories to the thread pool, not those of other devices", async () => {
  using slow = device();
  using quick = device();
  using seen = observed(slow, quick);
  mkdirSync(join(slow.path, "other"));
  await using first = await temporaryFile({ dir: slow.path, bufferSize: 0 });
  await using second = await temporaryFile({ dir: join(slow.path, "other"), bufferSize: 0 });
  await using third = await temporaryFile({ dir: quick.path, bufferSize: 0 });
  await using elsewhere = await temporaryFile({ bufferSize: 0 });
  await using directory = await temporaryDirectory({ dir: slow.path });
  slow.cost = 50;
  assert.equal(await way(first, seen), "inline");
  assert.equal(await way(second, seen), "pool");
  assert.equal(await way(third, seen), "inline");
  assert.equal(await way(elsewhere, seen), "inline");
  seen.taken();
  await using inside = await directory.namedTemporaryFile();
  assert.deepEqual(seen.taken().filter(isInline), []);
  await inside.write("x");
  await writeFileAtomic(join(quick.path, "target"), "x", { durable: false });
  await (await namedTemporaryFile({ dir: quick.path })).close();
  assert.ok(seen.taken().some((way) => way === "inline unlink"));
});

test("the device of a directory is looked up once, not for each file", async () => {
  using quick = device();
  using seen = observed(quick);
  for (let i = 0; i < 10; i++) await (await namedTemporaryFile({ dir: quick.path })).close();
  assert.equal(seen.ways.filter((way) => way === "inline status").length, 1);
});

test("a large transfer is made inline, in calls of at most 1 MiB", async () => {
  using quick = device();
  using seen = observed(quick);
  await using file = await temporaryFile({ dir: quick.path, bufferSize: 0 });
  seen.taken();
  await file.write(new Uint8Array(2.5 * INLINE_MAX));
  assert.deepEqual(seen.taken(), Array(3).fill("inline write"));
  assert.equal((await file.bytes()).byteLength, 2.5 * INLINE_MAX);
});

test("calls beyond the time budget of a turn wait for the next turn of the event loop, and keep their results", async () => {
  using quick = device();
  using seen = observed(quick);
  await using file = await temporaryFile({ dir: quick.path, bufferSize: 0 });
  seen.taken();
  quick.cost = 0.6;
  let turns = 0;
  const count = (): void => void (turns++, turns < 100 && setImmediate(count));
  setImmediate(count);
  for (let i = 0; i < 20; i++) await file.write(String(i % 10));
  assert.equal(seen.ways.filter(isInline).length, 20);
  assert.ok(turns >= 9, `the event loop had ${turns} turns`);
  assert.equal(await file.text(), "01234567890123456789");
});

test("calls beyond the time budget of a turn fail with the error of the system", async () => {
  using quick = device();
  using seen = observed(quick);
  quick.cost = 0.6;
  const dir = join(quick.path, "missing");
  const ends = await Promise.allSettled(Array.from({ length: 20 }, () => namedTemporaryFile({ dir })));
  assert.deepEqual(seen.ways.filter((way) => !isInline(way)), []);
  assert.deepEqual(ends.map((end) => end.status === "rejected" && end.reason.code), Array(20).fill("ENOENT"));
});

test("of calls that each use up the budget of a turn, all that wait are made, also the last", async () => {
  using quick = device();
  using seen = observed(quick);
  const files = Array.from({ length: 3 }, () => temporaryFileSync({ dir: quick.path, bufferSize: 0 }));
  await files[0].size();
  seen.taken();
  quick.cost = 1.2;
  await Promise.all(files.map((file) => file.write("x")));
  assert.deepEqual(seen.taken(), Array(3).fill("inline write"));
  quick.cost = 0;
  for (const file of files) file.closeSync();
});

test("concurrent inline calls take no more than the 1 ms budget of each turn, and are served in order", async () => {
  using quick = device();
  using _seen = observed(quick);
  const { path: dir } = quick;
  await (await namedTemporaryFile({ dir })).close();
  quick.cost = 0.3;
  const done: number[] = [];
  const spans: number[] = [];
  let last = clock.now, running = true;
  const look = (): void => {
    spans.push(clock.now - last);
    last = clock.now;
    if (running) setImmediate(look);
  };
  setImmediate(look);
  const all = Array.from({ length: 100 }, async (_, i) => {
    const file = await namedTemporaryFile({ dir });
    done.push(i);
    return file;
  });
  const files = await Promise.all(all);
  running = false;
  assert.deepEqual(done, Array.from(all, (_, i) => i));
  // The budget is exceeded by one call at most, and two turns of the library can fall between two measurements.
  assert.ok(Math.max(...spans) < 2.9, `a turn took ${Math.max(...spans)} ms`);
  assert.ok(spans.length > 10, `all was done in ${spans.length} turns`);
  quick.cost = 0;
  await Promise.all(files.map((file) => file.close()));
});

test("a caller goes on within its turn: of 60 files created and closed at once, many are closed before the last is created", async () => {
  using quick = device();
  using seen = observed(quick);
  const { path: dir } = quick;
  await (await namedTemporaryFile({ dir })).close();
  quick.cost = 0.1;
  const events: string[] = [];
  await Promise.all(Array.from({ length: 60 }, async (_, i) => {
    const file = await namedTemporaryFile({ dir });
    events.push(`made ${i}`);
    await file.close();
    events.push(`closed ${i}`);
  }));
  assert.ok(seen.ways.every(isInline));
  const before = events.slice(0, events.indexOf("made 59"));
  assert.ok(before.filter((event) => event.startsWith("closed")).length >= 10, events.join());
});

test("what waits for a disk by nature is never called inline: synchronizing, and listing a directory", async () => {
  using quick = device();
  using seen = observed(quick);
  const { path: dir } = quick;
  await using directory = await temporaryDirectory({ dir });
  seen.taken();
  await directory.usage();
  await writeFileAtomic(join(dir, "target"), "x");
  const waits = seen.taken().filter((way) => /list|synchronize/.test(way));
  const expected = new Set(["pool list", "pool synchronize", "pool synchronizeDirectory"]);
  if (isWindows) expected.delete("pool synchronizeDirectory");
  assert.deepEqual(new Set(waits), expected);
});

test("with inline: false, asynchronous functions call only in the thread pool, synchronous ones still inline", async () => {
  using quick = device();
  using seen = observed(quick);
  const { path: dir } = quick;
  const held = await namedTemporaryFile({ dir });
  const work = async (): Promise<void> => {
    await using file = await temporaryFile({ dir, bufferSize: 0 });
    await file.write("x");
    assert.equal(await file.text(), "x");
    await using named = await namedTemporaryFile({ dir });
    await named.size();
    await using directory = await temporaryDirectory({ dir });
    await using _inside = await directory.namedTemporaryFile();
    await writeFileAtomic(join(dir, "target"), "x");
  };
  // What is looked up once per directory is looked up now.
  await work();
  assert.ok(seen.taken().some(isInline));
  configure({ inline: false });
  try {
    await work();
    assert.ok(seen.ways.length > 10);
    assert.deepEqual(seen.taken().filter(isInline), []);
    held.closeSync();
    assert.deepEqual(seen.taken(), ["inline close", "inline unlink"]);
  } finally {
    configure({ inline: undefined });
  }
  await (await namedTemporaryFile({ dir })).close();
  assert.deepEqual(seen.taken().filter((way) => !isInline(way)), []);
});

test("configure() throws a TypeError if inline is not a boolean", () => {
  assert.throws(
    () => configure({ inline: "no" as unknown as boolean }),
    { name: "TypeError", code: "ERR_INVALID_OPTION", message: /inline/ },
  );
});

test("reads and writes of more than 1 MiB are made in the thread pool, others inline", async () => {
  using place = device();
  using seen = observed(place);
  const path = join(place.path, "file");
  const io = asyncIo(new Guard());
  const handle: Handle = await io.createFile(path, 0o600);
  for (const length of [INLINE_MAX, INLINE_MAX + 1]) {
    const bytes = new Uint8Array(length);
    seen.taken();
    await io.write(handle, bytes, 0);
    await io.read(handle, bytes, 0);
    const way = length > INLINE_MAX ? "pool" : "inline";
    assert.deepEqual(seen.taken(), [`${way} write`, `${way} read`]);
  }
  await io.close(handle);
});

test("a device inherits what calls on unknown devices have shown before: the first slow one, and the pause after the second", () => {
  using _ = observed();
  const directories = ["/first", "/second", "/third"];
  const slow = (guard: Guard): void => guard.note(clock.now, clock.now += 5);
  const closed = (directory: string): boolean => {
    setDevice(directory, ++numbers);
    return guardOf(directory).isClosed;
  };
  for (let call = 0; call < 20; call++) fallback.note(clock.now, clock.now);
  // Control: one slow call is no evidence.
  const states = [closed(directories[0])];
  slow(guardOf(directories[0]));
  states.push(guardOf(directories[0]).isClosed);
  slow(fallback);
  states.push(closed(directories[1]));
  slow(guardOf(directories[1]));
  states.push(guardOf(directories[1]).isClosed);
  slow(fallback);
  states.push(closed(directories[2]));
  assert.deepEqual(states, [false, false, false, true, true]);
  // For the tests after this one, unknown devices are fast again.
  clock.now += 60_000;
  assert.equal(fallback.isClosed, false);
  for (let call = 0; call < 20; call++) fallback.note(clock.now, clock.now);
});
