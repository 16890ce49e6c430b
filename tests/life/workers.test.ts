/**
 * The ends of worker threads, which remove what is theirs.
 *
 * @module
 */
import assert from "node:assert/strict";
import { runChild } from "../support/child.ts";
import { NAMES_THERE } from "../support/endings.ts";
import { packageTest as test } from "../support/once.ts";
import { isWindows, namesLinger } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";

/**
 * Ends worker threads of one process in some ways, one after the other. Returns the number of names before and after each
 * end, among them one of the main thread's, whether the process itself removed the rest, and what is left in the end.
 */
async function workersEnding(
  endings: string[],
): Promise<{ counts: [number, number][]; own: boolean; atEnd: string[]; stderr: string }> {
  using place = scratch();
  const cases = endings.map((code) => `async () => { ${code} }`);
  const program = `${NAMES_THERE}
    const { isMainThread, parentPort, Worker, workerData } = await import("node:worker_threads");
    if (isMainThread) {
      globalThis.kept = m.namedTemporaryFileSync();
      for (let at = 0; at < ${endings.length}; at++) {
        let before;
        const worker = new Worker(new URL(import.meta.url), { workerData: at });
        worker.on("error", () => {});
        worker.on("message", (had) => { before = had; if (args[0] === "terminate") worker.terminate(); });
        await new Promise((resolve) => worker.on("exit", resolve));
        say([before, names(m).length]);
      }
    } else {
      globalThis.made = [m.namedTemporaryFileSync(), await m.namedTemporaryFile(), m.temporaryDirectorySync(), m.temporaryFileSync()];
      fs.writeFileSync(made[2].join("file"), "x");
      parentPort.postMessage(names(m).length);
      await [${cases}][workerData]();
    }`;
  const terminates = endings.includes(TERMINATE);
  const args = terminates ? ["terminate"] : [];
  const { said, stderr } = await runChild(program, { args, env: { TMPDIR: place.path } });
  const own = place.names().length === 0;
  // At its end a process spends little time on what its threads left.
  if (terminates) await runChild(`await m.sweep();`, { env: { TMPDIR: place.path } });
  return { counts: said as [number, number][], own, atEnd: place.names(), stderr };
}

/** The number of names then. On Windows unnamed files have a name until they are closed. */
const IN_WORKER = isWindows ? 5 : 4;

const TERMINATE = `setInterval(() => {}, 1000);`;

test(
  "C258 a worker thread that returns, throws or calls process.exit() removes its own files and not the main thread's",
  {
    skip: namesLinger,
  },
  async () => {
    const { counts, atEnd, stderr } = await workersEnding([
      ``,
      `setTimeout(() => { throw new Error("thrown"); }, 20);`,
      `setTimeout(() => process.exit(0), 20);`,
    ]);
    assert.deepEqual({ counts, atEnd }, { counts: Array(3).fill([IN_WORKER, 1]), atEnd: [] }, stderr);
  },
);

test(
  "C254 C258 what a worker thread creates while the process exits is removed by the next process, as its lease stays",
  {
    skip: namesLinger,
  },
  async () => {
    using place = scratch();
    const code = `
    const { isMainThread, parentPort, Worker, workerData } = await import("node:worker_threads");
    if (isMainThread) {
      const cell = new Int32Array(new SharedArrayBuffer(8));
      globalThis.held = m.namedTemporaryFileSync();
      const worker = new Worker(new URL(import.meta.url), { workerData: cell });
      await new Promise((resolve) => worker.once("message", resolve));
      // Called after the removal: it was added later.
      const late = () => {
        Atomics.store(cell, 0, 1);
        Atomics.notify(cell, 0);
        Atomics.wait(cell, 1, 0, 10_000);
        say(fs.readdirSync(m.tmpdir()).filter((name) => !name.startsWith(".")).length);
      };
      if ("Deno" in globalThis) addEventListener("unload", late);
      else process.on("exit", late);
      process.exit(0);
    } else {
      m.namedTemporaryFileSync();
      parentPort.postMessage("ready");
      await new Promise((resolve) => setTimeout(resolve, 20));
      Atomics.wait(workerData, 0, 0);
      m.namedTemporaryFileSync();
      Atomics.store(workerData, 1, 1);
      Atomics.notify(workerData, 1);
      Atomics.wait(workerData, 0, 1);
    }`;
    const { said, status, stderr } = await runChild(code, { env: { TMPDIR: place.path } });
    assert.deepEqual({ said, status }, { said: [1], status: 0 }, stderr);
    assert.equal(place.names().length, 1);
    await runChild("await m.sweep();", { env: { TMPDIR: place.path } });
    assert.deepEqual(place.names(), []);
  },
);

test("C258 the files of a terminated worker thread stay until process exit removes them, or at the latest the next process", async () => {
  let alone = false;
  // On a busy machine the process may not have the time, but not every time.
  for (let tries = 0; tries < 3 && !alone; tries++) {
    const { counts, own, atEnd } = await workersEnding([TERMINATE]);
    assert.deepEqual({ counts, atEnd }, { counts: [[IN_WORKER, IN_WORKER]], atEnd: [] });
    alone = own;
  }
  assert.ok(alone);
});
