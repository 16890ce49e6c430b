import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runChild } from "./support/child.ts";
import { oncePerRuntime } from "./support/once.ts";
import { scratch } from "./support/scratch.ts";

/** The other runtimes make system calls of their own at moments of their own. */
const isNode = !("Deno" in globalThis) && process.versions.bun === undefined;
const canTrace = process.platform === "linux" && spawnSync("strace", ["-V"]).status === 0;
const skip = !isNode || !canTrace;

const CYCLES = 200;

/**
 * The system calls of one cycle: those between two marks, divided by the number of cycles. The warm-up before, with
 * everything that is done once, does not count.
 */
async function callsPerCycle(cycle: string): Promise<{ [name: string]: number }> {
  using place = scratch();
  const trace = join(place.path, "trace");
  const code = `
    // The clock stands still: a call that a busy machine held up would count as slow, and go through the pool.
    process.hrtime = () => [0, 0];
    const cycle = async () => { ${cycle} };
    const mark = (name) => { try { fs.rmdirSync("/mark/" + name); } catch {} };
    // Something named stays, so that the lease and the listeners stay as well.
    const held = m.namedTemporaryFileSync();
    for (let i = 0; i < ${CYCLES}; i++) await cycle();
    // Long enough for what is done once, soon after the first name.
    await new Promise((resolve) => setTimeout(resolve, 300));
    mark("start");
    for (let i = 0; i < ${CYCLES}; i++) await cycle();
    mark("end");
    held.closeSync();`;
  const under = ["strace", "-f", "-qq", "-o", trace];
  const { status, stderr } = await runChild(code, { env: { TMPDIR: place.path }, under });
  assert.equal(status, 0, stderr);
  const lines = readFileSync(trace, "utf8").split("\n");
  const [start, end] = ["start", "end"].map((name) =>
    lines.findIndex((line) => line.includes(`"/mark/${name}"`))
  );
  assert.ok(start > 0 && end > start, "the marks are not in the trace");
  const thread = lines[start].split(" ")[0];
  const counts: { [name: string]: number } = {};
  for (const line of lines.slice(start + 1, end)) {
    const [, pid, name] = /^(\d+) +(\w+)\(/.exec(line) ?? [];
    if (name === undefined || isRuntimes(name, pid === thread)) continue;
    counts[name] = (counts[name] ?? 0) + 1 / CYCLES;
  }
  return counts;
}

/** What the engine does by itself: memory, threads and the event loop, and on threads of its own whatever is not a file. */
function isRuntimes(name: string, isMainThread: boolean): boolean {
  return isMainThread ? ENGINE.has(name) : !FILES.has(name);
}

const ENGINE = new Set(["mmap", "munmap", "mprotect", "madvise", "brk", "futex", "getpid", "epoll_pwait"]);
const FILES = new Set([
  "openat",
  "close",
  "unlink",
  "mkdir",
  "rmdir",
  "statx",
  "fstat",
  "newfstatat",
  "unlinkat",
  "pread64",
  "pwrite64",
]);

async function assertCalls(cycle: string, wanted: { [name: string]: number }): Promise<void> {
  assert.deepEqual(await regularCalls(cycle), wanted);
}

/** The calls that a cycle makes; what comes in fewer than one of twenty is not the cycle's. */
async function regularCalls(cycle: string): Promise<{ [name: string]: number }> {
  const counts = Object.entries(await callsPerCycle(cycle)).filter(([, count]) => count >= 0.05);
  return Object.fromEntries(counts.map(([name, count]) => [name, Math.round(count * 20) / 20]));
}

test(
  "a named file: three system calls from creation to removal, blocking or not (skipped but on Node with strace; once a runtime)",
  {
    skip: skip || oncePerRuntime,
  },
  async () => {
    const three = { openat: 1, close: 1, unlink: 1 };
    await assertCalls(`m.namedTemporaryFileSync().closeSync();`, three);
    await assertCalls(`await (await m.namedTemporaryFile()).close();`, three);
  },
);

test(
  "an unnamed file: two system calls from creation to removal, blocking or not (skipped but on Node with strace; once a runtime)",
  {
    skip: skip || oncePerRuntime,
  },
  async () => {
    const two = { openat: 1, close: 1 };
    await assertCalls(`m.temporaryFileSync().closeSync();`, two);
    await assertCalls(`await (await m.temporaryFile()).close();`, two);
  },
);

test(
  "an unnamed file written and read back whole: two calls more, since nobody else can have changed its size (skipped but on Node with strace; once a runtime)",
  { skip: skip || oncePerRuntime },
  async () => {
    const four = { openat: 1, pwrite64: 1, pread64: 1, close: 1 };
    await assertCalls(
      `const file = m.temporaryFileSync(); file.writeSync("x"); file.bytesSync(); file.closeSync();`,
      four,
    );
    await assertCalls(
      `const file = await m.temporaryFile(); await file.write("x"); await file.bytes(); await file.close();`,
      four,
    );
  },
);

test(
  "an empty directory: made, looked at once, looked at and removed (skipped but on Node with strace; once a runtime)",
  {
    skip: skip || oncePerRuntime,
  },
  async () => {
    const four = { mkdir: 1, statx: 2, rmdir: 1 };
    await assertCalls(`m.temporaryDirectorySync().removeSync();`, four);
    await assertCalls(`await (await m.temporaryDirectory()).remove();`, four);
  },
);

test(
  "a spooled file that stays in memory makes no system call (skipped but on Node with strace; once a runtime)",
  { skip: skip || oncePerRuntime },
  async () => {
    const cycle =
      `const file = m.spooledTemporaryFile(); file.writeSync("x"); file.textSync(); file.closeSync();`;
    await assertCalls(cycle, {});
  },
);

test(
  "control: names made by the runtime's own functions take more system calls (skipped but on Node with strace; once a runtime)",
  {
    skip: skip || oncePerRuntime,
  },
  async () => {
    const cycle = `const file = m.tmpdir() + "/" + Math.random();
    const handle = await fs.promises.open(file, "wx");
    await handle.close();
    await fs.promises.rm(file);`;
    const counts = await regularCalls(cycle);
    assert.ok(Object.values(counts).reduce((sum, count) => sum + count, 0) > 3.5, JSON.stringify(counts));
  },
);
