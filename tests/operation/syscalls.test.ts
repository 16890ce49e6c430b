import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runChild } from "../support/child.ts";
import { oncePerRuntime } from "../support/once.ts";
import { isNode } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";

/** The other runtimes make system calls of their own at unpredictable times. */
const canTrace = process.platform === "linux" && spawnSync("strace", ["-V"]).status === 0;
const skip = !isNode || !canTrace;

const CYCLES = 200;

/**
 * Returns the system calls of one cycle: those between two marks, divided by the number of cycles. Calls that are made
 * only once happen in a warm-up before, and do not count.
 */
async function callsPerCycle(cycle: string): Promise<{ [name: string]: number }> {
  using place = scratch();
  const trace = join(place.path, "trace");
  const code = `
    // The clock stands still: otherwise a call delayed by a busy machine would count as slow, and use the thread pool.
    process.hrtime = () => [0, 0];
    const cycle = async () => { ${cycle} };
    const mark = (name) => { try { fs.rmdirSync("/mark/" + name); } catch {} };
    // Keeps the lease and the listeners.
    const held = m.namedTemporaryFileSync();
    for (let i = 0; i < ${CYCLES}; i++) await cycle();
    // Long enough for the calls made once, soon after the first file.
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
    if (name === undefined || isOfRuntime(name, pid === thread)) continue;
    counts[name] = (counts[name] ?? 0) + 1 / CYCLES;
  }
  return counts;
}

/** Whether the runtime makes a call for itself: memory, threads, event loop; on other threads, all but calls on files. */
function isOfRuntime(name: string, isMainThread: boolean): boolean {
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

/** The calls of a cycle; those that fewer than one cycle in 20 makes have another cause. */
async function regularCalls(cycle: string): Promise<{ [name: string]: number }> {
  const counts = Object.entries(await callsPerCycle(cycle)).filter(([, count]) => count >= 0.05);
  return Object.fromEntries(counts.map(([name, count]) => [name, Math.round(count * 20) / 20]));
}

test(
  "a named file takes three system calls from creation to removal, synchronous or not (Node with strace; once a runtime)",
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
  "an unnamed file takes two system calls from creation to removal, synchronous or not (Node with strace; once a runtime)",
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
  "writing and reading an unnamed file takes two more calls, and none for its size (Node with strace; once a runtime)",
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
  "an empty directory takes a mkdir, two statx and an rmdir (Node with strace; once a runtime)",
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
  "a spooled file that stays in memory makes no system call (Node with strace; once a runtime)",
  { skip: skip || oncePerRuntime },
  async () => {
    const cycle =
      `const file = m.spooledTemporaryFile(); file.writeSync("x"); file.textSync(); file.closeSync();`;
    await assertCalls(cycle, {});
  },
);

test(
  "control: Node's asynchronous functions take more than three calls for a named file (Node with strace; once a runtime)",
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
