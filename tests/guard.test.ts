import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Guard } from "../lib/guard.ts";
import { asyncIo, INLINE_MAX } from "../lib/io.ts";
import { writeFileAtomic } from "../lib/persist/write_file_atomic.ts";
import { namedTemporaryFile } from "../lib/file/named.ts";
import { temporaryFile } from "../lib/file/unnamed.ts";
import { temporaryDirectory } from "../lib/directory.ts";
import { type Handle, type Primitives, runtime, type Status, substituteRuntime } from "../lib/runtime/mod.ts";
import { configure } from "../lib/settings.ts";
import { heldLease } from "./support/substitute.ts";
import { type Scratch, scratch } from "./support/scratch.ts";

/** One call of a primitive, and which way it went. */
type Way = `${"inline" | "pool"} ${keyof Primitives}`;

/** Devices are told apart by their numbers; each test has some that nobody else has. */
let numbers = 1_000_000;

interface Device extends Scratch {
  /** Milliseconds that each call on the calling thread takes. */
  cost: number;
}

/** A scratch directory that is on a device of its own. */
function device(): Device & { number: number } {
  return Object.assign(scratch(), { cost: 0, number: ++numbers });
}

/** Goes on from test to test, as what is known of devices does. */
const clock = { now: runtime.now() };

/** A runtime that tells the way of each call; its clock stands still but for what inline calls cost. */
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
  const wrap = <F extends object>(way: "inline" | "pool", face: F): F =>
    Object.fromEntries(
      Object.entries(face).map(([name, call]) => [name, (...args: unknown[]) => {
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
    /** The ways since the last time. */
    taken: () => ways.splice(0),
    [Symbol.dispose]() {
      undo();
      held[Symbol.dispose]();
      configure({ reclaim: undefined });
    },
  };
}

const isInline = (way: Way): boolean => way.startsWith("inline");

/** Writes one byte, the way of which is the only one taken. */
async function way(file: { write(data: string): Promise<number> }, seen: ReturnType<typeof observed>) {
  seen.taken();
  await file.write("x");
  assert.equal(seen.ways.length, 1);
  return seen.taken()[0].split(" ")[0];
}

for (const [cost, calls] of [[5, 2], [50, 1], [500, 1]]) {
  test(`a device whose calls take ${cost} ms has ${calls} of them made inline, then all through the pool`, async () => {
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

  test(`calls of ${cost} ms made at once are not made inline ${calls + 1} times, and all do what they are to do`, async () => {
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

test("a slow device is tried again with one call after a pause of 20 times its last one, and then of twice the pause", async () => {
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

test("a device that is quick when it is tried again is trusted, but one slow call soon after is enough to end that", async () => {
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
  // The pause is twice the last one, since the device was slow again before that was over twice.
  clock.now += 1999;
  assert.equal(await way(file, seen), "pool");
  clock.now += 1;
  assert.equal(await way(file, seen), "inline");
});

test("a call that took 20 ms among quick ones, as where another process had the processor, changes nothing", async () => {
  using busy = device();
  using seen = observed(busy);
  await using file = await temporaryFile({ dir: busy.path, bufferSize: 0 });
  for (let i = 0; i < 100; i++) {
    busy.cost = i % 20 === 0 ? 20 : 0;
    assert.equal(await way(file, seen), "inline", `call ${i}`);
  }
});

test("what is on another device than the slow one is done inline as before, whatever directory it is in", async () => {
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

test("the device of a directory is asked for once, not for each file", async () => {
  using quick = device();
  using seen = observed(quick);
  for (let i = 0; i < 10; i++) await (await namedTemporaryFile({ dir: quick.path })).close();
  assert.equal(seen.ways.filter((way) => way === "inline status").length, 1);
});

test("a large transfer goes through the pool whatever the device", async () => {
  using quick = device();
  using seen = observed(quick);
  await using file = await temporaryFile({ dir: quick.path, bufferSize: 0 });
  seen.taken();
  await file.write("x".repeat(300_000));
  await file.write("x".repeat(200_000));
  assert.ok(seen.taken().every((way) => way === "pool write" || way === "inline write"));
  assert.equal((await file.bytes()).byteLength, 500_000);
});

test("calls that together take longer than a turn may wait for the next one, each with its own result", async () => {
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

test("of many calls made at once no turn takes more than its millisecond, and the first to come is the first served", async () => {
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
  // A budget is overdrawn by one call at most, and two turns of ours can lie between two looks.
  assert.ok(Math.max(...spans) < 2.9, `a turn took ${Math.max(...spans)} ms`);
  assert.ok(spans.length > 10, `all was done in ${spans.length} turns`);
  quick.cost = 0;
  await Promise.all(files.map((file) => file.close()));
});

test("who was served goes on while there is time: of files made and closed at once many are gone before the last is there", async () => {
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

test("with inline: false no asynchronous function makes a call on the calling thread, synchronous ones do", async () => {
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
  // What is noted once of each directory is noted now.
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

test("configure() refuses a value of inline that is no boolean, and changes nothing", () => {
  assert.throws(
    () => configure({ inline: "no" as unknown as boolean }),
    { name: "TypeError", code: "ERR_INVALID_OPTION", message: /inline/ },
  );
});

test("what is larger than a mebibyte is read and written through the pool, the rest inline", async () => {
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
