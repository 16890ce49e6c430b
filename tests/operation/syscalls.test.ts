import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { runChild } from "../support/child.ts";
import { packageTest as test } from "../support/once.ts";
import { isNode } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";

/** The other runtimes make system calls of their own at unpredictable times. */
const canTrace = process.platform === "linux" && spawnSync("strace", ["-V"]).status === 0;
const skip = !isNode || !canTrace;

const CYCLES = 200;

/**
 * Returns the system calls of each cycle, which one child makes in turn: those between two marks, divided by the number
 * of cycles. Calls that are made only once happen in a warm-up before, and do not count.
 */
async function callsPerCycle(cycles: string[]): Promise<{ [name: string]: number }[]> {
  using place = scratch();
  const trace = join(place.path, "trace");
  const code = `
    // The clock stands still: otherwise a call delayed by a busy machine would count as slow, and use the thread pool.
    process.hrtime = () => [0, 0];
    const cycles = [${cycles.map((cycle) => `async () => { ${cycle} }`)}];
    const mark = (name) => { try { fs.rmdirSync("/mark/" + name); } catch {} };
    // Keeps the lease and the listeners.
    const held = m.namedTemporaryFileSync();
    for (const cycle of cycles) for (let i = 0; i < 50; i++) await cycle();
    // Long enough for the calls made once, soon after the first file.
    await new Promise((resolve) => setTimeout(resolve, 300));
    for (const [n, cycle] of cycles.entries()) {
      mark("start" + n);
      for (let i = 0; i < ${CYCLES}; i++) await cycle();
      mark("end" + n);
    }
    held.closeSync();`;
  const all = `trace=!${[...ENGINE].map((name) => `?${name}`).join()}`;
  const under = ["strace", "-f", "--seccomp-bpf", "-qq", "-e", all, "-o", trace];
  const { status, stderr } = await runChild(code, { env: { TMPDIR: place.path }, under });
  assert.equal(status, 0, stderr);
  const lines = readFileSync(trace, "utf8").split("\n");
  return cycles.map((_, n) => callsBetween(lines, `start${n}`, `end${n}`));
}

function callsBetween(lines: string[], from: string, to: string): { [name: string]: number } {
  const [start, end] = [from, to].map((name) => lines.findIndex((line) => line.includes(`"/mark/${name}"`)));
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

async function assertCalls(wanted: { [name: string]: number }, ...cycles: string[]): Promise<void> {
  assert.deepEqual(await regularCalls(...cycles), cycles.map(() => wanted));
}

/** The calls of each cycle; those that fewer than one cycle in 20 makes have another cause. */
async function regularCalls(...cycles: string[]): Promise<{ [name: string]: number }[]> {
  return (await callsPerCycle(cycles)).map((calls) => {
    const counts = Object.entries(calls).filter(([, count]) => count >= 0.05);
    return Object.fromEntries(counts.map(([name, count]) => [name, Math.round(count * 20) / 20]));
  });
}

test(
  "a named file takes three system calls from creation to removal, synchronous or not (Node with strace)",
  {
    skip,
  },
  async () => {
    const three = { openat: 1, close: 1, unlink: 1 };
    await assertCalls(
      three,
      `m.namedTemporaryFileSync().closeSync();`,
      `await (await m.namedTemporaryFile()).close();`,
    );
  },
);

test(
  "an unnamed file takes two system calls from creation to removal, synchronous or not (Node with strace)",
  {
    skip,
  },
  async () => {
    const two = { openat: 1, close: 1 };
    await assertCalls(
      two,
      `m.temporaryFileSync().closeSync();`,
      `await (await m.temporaryFile()).close();`,
    );
  },
);

test(
  "writing and reading an unnamed file takes two more calls, and none for its size (Node with strace)",
  { skip },
  async () => {
    const four = { openat: 1, pwrite64: 1, pread64: 1, close: 1 };
    await assertCalls(
      four,
      `const file = m.temporaryFileSync(); file.writeSync("x"); file.bytesSync(); file.closeSync();`,
      `const file = await m.temporaryFile(); await file.write("x"); await file.bytes(); await file.close();`,
    );
  },
);

test(
  "an empty directory takes a mkdir, two statx and an rmdir (Node with strace)",
  {
    skip,
  },
  async () => {
    const four = { mkdir: 1, statx: 2, rmdir: 1 };
    await assertCalls(
      four,
      `m.temporaryDirectorySync().removeSync();`,
      `await (await m.temporaryDirectory()).remove();`,
    );
  },
);

test(
  "a spooled file that stays in memory makes no system call (Node with strace)",
  { skip },
  async () => {
    const cycle =
      `const file = m.spooledTemporaryFile(); file.writeSync("x"); file.textSync(); file.closeSync();`;
    await assertCalls({}, cycle);
  },
);

test(
  "control: Node's asynchronous functions take more than three calls for a named file (Node with strace)",
  {
    skip,
  },
  async () => {
    const cycle = `const file = m.tmpdir() + "/" + Math.random();
    const handle = await fs.promises.open(file, "wx");
    await handle.close();
    await fs.promises.rm(file);`;
    const [counts] = await regularCalls(cycle);
    assert.ok(Object.values(counts).reduce((sum, count) => sum + count, 0) > 3.5, JSON.stringify(counts));
  },
);
