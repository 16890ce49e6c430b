/**
 * Workers of `node:cluster`, which share the environment of their primary, and end in various ways.
 *
 * @module
 */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import process from "node:process";
import { runChild, startChild } from "../support/child.ts";
import { packageTest as test } from "../support/once.ts";
import { type Scratch, scratch } from "../support/scratch.ts";

/** The code that the primary and its workers share. Each name begins with its creator. */
const COMMON = `
  const cluster = (await import("node:cluster")).default;
  // Leftovers must not be removed before they are counted.
  m.configure({ reclaim: false });
  if (process.versions.deno !== undefined) m.configure({ signals: true });
  const make = (who) => {
    const made = [m.namedTemporaryFileSync({ prefix: who + "-" }), m.temporaryDirectorySync({ prefix: who + "-" })];
    made[0].writeSync("contents");
    fs.writeFileSync(made[1].join("inside"), "x");
    return made;
  };
  const listeners = () => ["SIGINT", "SIGTERM", "SIGHUP", "exit"].map((name) => process.listenerCount(name));
  const churn = () => {
    for (let n = 0; n < 20; n++) m.namedTemporaryFileSync().closeSync(), m.temporaryDirectorySync().removeSync();
  };
  const nextMessage = (from) => new Promise((resolve) => from.once("message", resolve));
`;

/** A worker creates its entries, reports how many listeners it has, and ends as it is told. */
const WORKER = `
  const before = listeners();
  globalThis.held = make(process.env.WHO);
  const holding = listeners();
  churn();
  const still = listeners();
  // This listener also keeps it alive.
  process.on("message", (order) => {
    if (order === "exit") process.exit(7);
    if (order === "throw") throw new Error("thrown");
  });
  process.send({ added: holding.map((count, at) => count - before[at]), piled: still.map((count, at) => count - holding[at]) });
`;

/** The ways to end a worker, with the status or signal that results. */
const ENDS = { exit: 7, throw: 1, disconnect: 0, SIGTERM: "SIGTERM", SIGKILL: "SIGKILL" } as const;
type Way = keyof typeof ENDS;
const WAYS = Object.keys(ENDS) as Way[];

/** The listeners that each runtime has while something is held: to SIGINT, SIGTERM, SIGHUP and exit. */
const LISTENERS = process.versions.deno === undefined ? [1, 1, 1, 1] : [0, 0, 0, 0];

/** Starts all workers, and ends one after the other. */
const ENDING = `${COMMON}
  if (cluster.isWorker) {
    ${WORKER}
  } else {
    const names = (who) => fs.readdirSync(m.tmpdir()).filter((name) => name.startsWith(who + "-")).length;
    globalThis.held = make("primary");
    const holding = listeners();
    const ways = JSON.parse(args[0]);
    const workers = {};
    for (const way of ways) workers[way] = cluster.fork({ WHO: way });
    const reports = await Promise.all(ways.map((way) => nextMessage(workers[way])));
    for (const [at, way] of ways.entries()) {
      const worker = workers[way];
      const had = names(way);
      const ended = new Promise((resolve) => worker.once("exit", (code, signal) => resolve(signal ?? code)));
      if (way === "disconnect") worker.disconnect();
      else if (way.startsWith("SIG")) process.kill(worker.process.pid, way);
      else worker.send(way);
      say({ way, end: await ended, had, left: names(way), ...reports[at] });
      churn();
    }
    say({ piled: listeners().map((count, at) => count - holding[at]) });
    say(globalThis.held.map(({ path }) => fs.existsSync(path)));
    say(globalThis.held[0].textSync() + fs.readFileSync(globalThis.held[1].join("inside"), "utf8"));
    for (const one of globalThis.held) one[Symbol.dispose]();
  }`;

/** A process that creates a file, and lives until the leftovers of others are gone, ten seconds at most. */
const LATER = `
  const file = m.namedTemporaryFileSync();
  const left = () => fs.readdirSync(m.tmpdir()).some((name) => !args.includes(name) && name !== path.basename(file.path));
  for (let waits = 0; left() && waits < 500; waits++) await new Promise((resolve) => setTimeout(resolve, 20));
  // On a busy machine the background reclaim may stop before it is done.
  if (left()) await m.sweep();
  file.closeSync();`;

/** Runs the next process, which must leave entries that are not ours. */
async function runNext(place: Scratch): Promise<void> {
  const foreign = join(place.path, "SIGKILL-foreign");
  writeFileSync(foreign, "foreign");
  const args = [basename(foreign), `.mayfly-${process.getuid!()}`];
  const { status, stderr } = await runChild(LATER, { args, env: { TMPDIR: place.path } });
  assert.deepEqual({ status, stderr, names: place.names() }, {
    status: 0,
    stderr: "",
    names: [basename(foreign)],
  });
}

test(
  "C250 C254 C257 cluster workers, however they end, leave nothing after the next run and do not affect the primary",
  { skip: process.platform === "win32" && "signals of POSIX" },
  async () => {
    using place = scratch();
    const { said, status, stderr } = await runChild(ENDING, {
      args: [JSON.stringify(WAYS)],
      env: { TMPDIR: place.path },
    });
    assert.equal(status, 0, stderr);
    const none = [0, 0, 0, 0];
    const ended = WAYS.map((way) => ({
      way,
      end: ENDS[way],
      had: 2,
      // Also shows that leftovers are counted at all.
      left: way === "SIGKILL" ? 2 : 0,
      added: LISTENERS,
      piled: none,
    }));
    assert.deepEqual(said, [...ended, { piled: none }, [true, true], "contentsx"], stderr);
    assert.deepEqual(place.names().map((name) => name.split("-")[0]), ["SIGKILL", "SIGKILL"]);
    await runNext(place);
  },
);

/** A primary to be killed: its workers end when they lose their channel. */
const ORPHANS = `${COMMON}
  if (cluster.isWorker) {
    ${WORKER}
  } else {
    globalThis.held = make("primary");
    const workers = ["first", "second"].map((WHO) => cluster.fork({ WHO }));
    await Promise.all(workers.map(nextMessage));
    say(workers.map(({ process }) => process.pid));
  }`;

/** Whether a process is running; a zombie is not. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\s*[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "latin1"));
  } catch {
    return false;
  }
}

test(
  "C254 C257 if a cluster's primary is killed, its workers end without leftovers; the next run removes the primary's (Linux)",
  { skip: process.platform !== "linux" && "processes are looked up in /proc" },
  async () => {
    using place = scratch();
    const { child, result } = startChild(ORPHANS, { env: { TMPDIR: place.path } });
    child.stdout!.once("data", () => process.kill(child.pid!, "SIGKILL"));
    const { said: [pids], signal, stderr } = await result;
    assert.equal(signal, "SIGKILL", stderr);
    for (let waits = 0; pids.some(isRunning) && waits < 3000; waits++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.deepEqual(pids.filter(isRunning), []);
    assert.deepEqual(place.names().map((name) => name.split("-")[0]), ["primary", "primary"]);
    await runNext(place);
  },
);
