import assert from "node:assert/strict";
import { runChild } from "../support/child.ts";
import { gcFlags } from "../support/gc.ts";
import { LISTENERS } from "../support/listeners.ts";
import { packageTest as test } from "../support/once.ts";
import { underWine } from "../support/platform.ts";
import { memory, scratch } from "../support/scratch.ts";

/** How many files and directories are created and disposed of. A million, which takes half a minute, is on request only. */
const CYCLES = Number(process.env.MAYFLY_CYCLES ?? 120_000);

/** `round(n)` creates and disposes of `n` files and directories, each way in turn, and returns what the process has afterwards. */
const ROUND = `${LISTENERS}
const collect = () => globalThis.Bun ? Bun.gc(true) : gc();
const registered = () => {
  const { entries, contents, leases } = globalThis[Symbol.for("mayfly.registry")];
  return entries.size + contents.size + leases.size;
};
// Undefined where the system does not list them.
const descriptors = () => fs.existsSync("/proc/self/fd") ? fs.readdirSync("/proc/self/fd").length : undefined;
const WAYS = [
  () => m.namedTemporaryFileSync().closeSync(),
  () => m.namedTemporaryFileSync()[Symbol.dispose](),
  () => m.namedTemporaryFileSync().closeSync(),
  () => m.temporaryFileSync().closeSync(),
  () => m.temporaryDirectorySync().removeSync(),
  async () => await (await m.namedTemporaryFile()).close(),
];
const round = async (count) => {
  for (let i = 0; i < count; i++) {
    const done = WAYS[i % WAYS.length]();
    if (done !== undefined) await done;
  }
  for (let settled = 0; settled < 5; settled++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { heap: process.memoryUsage().heapUsed, descriptors: descriptors(), registered: registered(), listeners: listeners() };
};
`;

/** Bytes by which the heap grows in a round if one of the six ways leaks a slot of eight bytes, the smallest leak possible. */
const LEAST_LEAK = CYCLES / 6 / 6 * 8;

/** Bytes by which the heap may grow in a round. Node 20 itself grows by 35 kB in most rounds. */
const ALLOWED = LEAST_LEAK * 0.95;

/**
 * Returns the growth of the heap per round: the second smallest of the steps between five rounds, since Node 20 has a table
 * of a quarter of a megabyte in some rounds and not in others.
 */
function growth(heaps: number[]): number {
  const steps = heaps.slice(1).map((heap, i) => heap - heaps[i]);
  return steps.sort((one, other) => one - other)[1];
}

test(
  "C260 C261 many cycles of creation and disposal do not grow heap, descriptors, listeners or registry",
  {
    skip: underWine("a creation takes milliseconds"),
    onOneNode: true,
  },
  async () => {
    using place = scratch(memory);
    const code = `${ROUND}
    const [total] = args.map(Number), at = listeners();
    // Keeps the lease and the listeners, for which each round would have to wait.
    const held = m.namedTemporaryFileSync();
    // Warm-up: the initial growth of the runtime itself is not counted.
    await round(total / 6);
    const states = [];
    for (let i = 0; i < 5; i++) states.push(await round(total / 6));
    held.closeSync();
    for (let waits = 0; registered() > 0 && waits < 1500; waits++) await new Promise((resolve) => setTimeout(resolve, 20));
    say(states); say([registered(), listeners() - at]);`;
    const env = { TMPDIR: place.path };
    const { said: [states, left], stderr } = await runChild(code, {
      flags: gcFlags,
      args: [String(CYCLES)],
      env,
      timeout: 140_000,
    });
    assert.equal(stderr, "");
    const [first, last] = [states[0], states.at(-1)];
    const heaps = states.map(({ heap }: { heap: number }) => heap);
    assert.deepEqual(states.map(({ registered }: { registered: number }) => registered), [2, 2, 2, 2, 2]);
    assert.deepEqual([last.descriptors, last.listeners], [first.descriptors, first.listeners]);
    assert.deepEqual(left, [0, 0]);
    assert.ok(growth(heaps) < ALLOWED, `the heap grew to ${heaps} bytes`);
    assert.deepEqual(place.names(), []);
  },
);

test("C260 control: growth() detects a leaked slot per cycle of one way, and ignores memory that comes and goes", () => {
  const leaking = [0, 1, 2, 3, 4].map((round) => round * LEAST_LEAK);
  assert.ok(growth(leaking) >= ALLOWED);
  assert.ok(growth(leaking.map((heap, i) => heap + (i === 2 ? 240_000 : 0))) >= ALLOWED);
  assert.ok(growth([0, 240_000, 1000, 240_000, 240_000]) < ALLOWED);
});

test(
  "C260 control: keeping the handle of each cycle makes heap, descriptors and registry grow",
  { onOneNode: true },
  async () => {
    using place = scratch(memory);
    const code = `${ROUND}
    await round(60);
    const before = { heap: process.memoryUsage().heapUsed, descriptors: descriptors() };
    globalThis.kept = Array.from({ length: 500 }, () => m.namedTemporaryFileSync());
    collect();
    say([process.memoryUsage().heapUsed - before.heap > 25_000, registered() >= 500]);
    say(descriptors() === undefined || descriptors() - before.descriptors >= 500);`;
    const { said, stderr } = await runChild(code, { flags: gcFlags, env: { TMPDIR: place.path } });
    assert.deepEqual(said, [[true, true], true], stderr);
  },
);
