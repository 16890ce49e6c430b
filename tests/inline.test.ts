import assert from "node:assert/strict";
import { test } from "node:test";
import { temporaryFile } from "../lib/file/unnamed.ts";
import { runtime, substituteRuntime } from "../lib/runtime/mod.ts";

/** Counts which way writes take; the clock is the test's. */
function observed() {
  const ways: string[] = [];
  const clock = { now: runtime.now() + 1_000_000, cost: 0 };
  const { sync, pooled } = runtime;
  const undo = substituteRuntime({
    ...runtime,
    now: () => clock.now,
    sync: {
      ...sync,
      write: (handle, data, at) => {
        ways.push("inline");
        clock.now += clock.cost;
        return sync.write(handle, data, at);
      },
    },
    pooled: {
      ...pooled,
      write: (handle, data, at) => {
        ways.push("pool");
        return pooled.write(handle, data, at);
      },
    },
  });
  return { ways, clock, [Symbol.dispose]: undo };
}

test("short calls are made on the calling thread, a second of them through the pool after one that was not short", async () => {
  using seen = observed();
  await using file = await temporaryFile({ bufferSize: 0 });
  const { ways, clock } = seen;
  ways.length = 0;
  await file.write("a");
  await file.write("b");
  assert.deepEqual(ways, ["inline", "inline"]);
  clock.cost = 200;
  await file.write("c");
  clock.cost = 0;
  await file.write("d");
  await file.write("e".repeat(300_000));
  assert.deepEqual(ways, ["inline", "inline", "inline", "pool", "pool", "pool"]);
  clock.now += 2000;
  await file.write("f");
  assert.equal(ways.at(-1), "inline");
  assert.equal(await file.text(), `abcd${"e".repeat(300_000)}f`);
});

test("calls that together take longer than a turn may wait for the next one, each with its own result", async () => {
  using seen = observed();
  await using file = await temporaryFile({ bufferSize: 0 });
  seen.ways.length = 0;
  seen.clock.cost = 0.6;
  let turns = 0;
  const count = (): void => void (turns++, turns < 100 && setImmediate(count));
  setImmediate(count);
  for (let i = 0; i < 20; i++) await file.write(String(i % 10));
  assert.equal(seen.ways.length, 20);
  assert.ok(turns >= 9, `the event loop had ${turns} turns`);
  assert.equal(await file.text(), "01234567890123456789");
});
