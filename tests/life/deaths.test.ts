/**
 * What is left when a process ends, by the way it ends and by what it held; printed as a table.
 *
 * @module
 */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { moduleUrl, runChild, startChild } from "../support/child.ts";
import { packageTest as test } from "../support/once.ts";
import { isWindows } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";

const onDeno = process.versions.deno !== undefined;

/** What a process held. The last two must never be removed. */
const KINDS = ["named", "directory", "unnamed", "spooled", "kept", "persisted"] as const;

type Kind = (typeof KINDS)[number];

/** Creates one of each, with names that tell the deaths apart, in the thread that runs it. */
const make = (death: number): string => `
  if (${onDeno}) m.configure({ signals: true });
  const named = m.namedTemporaryFileSync({ prefix: "named-${death}-" });
  const directory = m.temporaryDirectorySync({ prefix: "directory-${death}-" });
  fs.writeFileSync(directory.join("inside"), "x");
  const unnamed = m.temporaryFileSync({ prefix: "unnamed-${death}-" });
  const spooled = m.spooledTemporaryFile({ prefix: "spooled-${death}-", maxMemory: 0 });
  for (const file of [named, unnamed, spooled]) file.writeSync("contents"), file.flushSync();
  const kept = m.namedTemporaryFileSync({ prefix: "kept-${death}-" });
  kept.keep();
  m.namedTemporaryFileSync().persistSync(path.join(process.env.TMPDIR, "persisted-${death}-" + Math.random()));
  globalThis.held = [named, directory, unnamed, spooled, kept];
`;

const makeInWorker = (death: number): string => `
  import { Worker } from "node:worker_threads";
  const script = path.join(process.env.MAYFLY_TEST_SCRIPTS, "worker.mjs");
  const code = "import process from 'node:process'; import fs from 'node:fs'; import path from 'node:path';" +
    "import { parentPort } from 'node:worker_threads'; const m = await import(" + JSON.stringify(args[0]) + ");" +
    ${JSON.stringify(make(death))} + "; parentPort.postMessage('made'); setInterval(() => {}, 1000);";
  fs.writeFileSync(script, code);
  const worker = new Worker(script);
  await new Promise((resolve, reject) => { worker.on("message", resolve); worker.on("error", reject); });
`;

/** A way in which a process ends. */
interface Way {
  name: string;
  /** The code that the child runs when it has created everything. */
  code: string;
  /** The signal it is sent. */
  signal?: NodeJS.Signals;
  /** The status or signal it must end with; undefined where that depends on the runtime. */
  end: number | NodeJS.Signals | undefined;
  /** Whether the library's code can run at this end. */
  mayAct: boolean;
  /** Whether a worker thread creates one of each as well. */
  worker?: boolean;
}

const STAY = "setInterval(() => {}, 1000);";

const POSIX_WAYS: readonly Way[] = [
  { name: "return", code: "", end: 0, mayAct: true },
  { name: "throw", code: "setTimeout(() => { throw new Error('thrown'); }, 1);", end: 1, mayAct: true },
  { name: "rejection", code: "Promise.reject(new Error('rejected'));", end: 1, mayAct: true },
  { name: "process.exit", code: "process.exit(7);", end: 7, mayAct: true },
  ...onDeno ? [{ name: "Deno.exit", code: "Deno.exit(8);", end: 8, mayAct: true }] : [],
  { name: "SIGINT", code: STAY, signal: "SIGINT", end: "SIGINT", mayAct: true },
  { name: "SIGTERM", code: STAY, signal: "SIGTERM", end: "SIGTERM", mayAct: true },
  { name: "SIGHUP", code: STAY, signal: "SIGHUP", end: "SIGHUP", mayAct: true },
  {
    name: "own handler",
    // Deno cannot count handlers: an application with its own must turn ours off.
    code: `m.configure({ signals: ${onDeno ? "false" : "undefined"} });
      process.on("SIGTERM", () => { setTimeout(() => process.exit(9), 20); });${STAY}`,
    signal: "SIGTERM",
    end: 9,
    mayAct: true,
  },
  { name: "abort", code: "process.abort();", end: "SIGABRT", mayAct: false },
  { name: "SIGKILL", code: STAY, signal: "SIGKILL", end: "SIGKILL", mayAct: false },
  // In a loop, since Deno survives the first: Rust takes it for an overflow of its stack, and lets the next one through.
  {
    name: "SIGSEGV",
    code: 'for (;;) process.kill(process.pid, "SIGSEGV");',
    end: "SIGSEGV",
    mayAct: false,
  },
  { name: "worker.terminate", code: "await worker.terminate();", end: 0, mayAct: true, worker: true },
  { name: "exit, live worker", code: "process.exit(5);", end: 5, mayAct: true, worker: true },
];

/** On Windows a signal from another process ends this one before any code runs, and shows only as a status; few exist. */
const WINDOWS_WAYS: readonly Way[] = [
  ...POSIX_WAYS.filter(({ signal, name }) => signal === undefined && !["abort", "SIGSEGV"].includes(name)),
  { name: "abort", code: "process.abort();", end: undefined, mayAct: false },
  { name: "SIGKILL", code: STAY, signal: "SIGKILL", end: 1, mayAct: false },
];

const WAYS = isWindows ? WINDOWS_WAYS : POSIX_WAYS;

/** A later process, which lives until it has removed all leftovers, ten seconds at most: a busy machine takes long. */
const NEXT = `
  const file = m.namedTemporaryFileSync();
  const left = () => fs.readdirSync(m.tmpdir()).some((name) => /^(named|directory|unnamed|spooled)-/.test(name));
  for (let waits = 0; left() && waits < 500; waits++) await new Promise((resolve) => setTimeout(resolve, 20));
  file.closeSync();`;

async function runNext(env: { TMPDIR: string }): Promise<void> {
  const { status, stderr } = await runChild(NEXT, { env });
  assert.equal(status, 0, stderr);
}

type Counts = { [K in Kind]: number };

/** Returns how many entries of each kind a directory has from one death. */
function count(directory: string, death: number): Counts {
  const names = readdirSync(directory);
  return Object.fromEntries(
    KINDS.map((kind) => [kind, names.filter((name) => name.startsWith(`${kind}-${death}-`)).length]),
  ) as Counts;
}

interface Death {
  end: number | string | null;
  atOnce: Counts;
}

async function die(way: Way, death: number, directory: string): Promise<Death> {
  using scripts = scratch();
  const said = 'say("made");';
  const end = way.signal === undefined ? said + way.code : way.code + said;
  const code = make(death) + (way.worker ? makeInWorker(death) : "") + end;
  const env = { TMPDIR: directory, MAYFLY_TEST_SCRIPTS: scripts.path };
  const { child, result } = startChild(code, { env, args: [moduleUrl] });
  // Not with `child.kill`, after which Deno reports that signal however the child ended.
  if (way.signal !== undefined) child.stdout!.once("data", () => process.kill(child.pid!, way.signal));
  const { status, signal, stderr, said: output } = await result;
  assert.deepEqual(output, ["made"], stderr);
  return { end: signal ?? status, atOnce: count(directory, death) };
}

function row(way: Way, { end, atOnce }: Death, afterNext: Counts): string {
  const cells = KINDS.map((kind) => `${atOnce[kind]}→${afterNext[kind]}`.padStart(10));
  return `${way.name.padEnd(18)}${String(end).padStart(8)}${cells.join("")}`;
}

test(
  "C249 C250 C251 C254 C255 C258 leftovers go at process exit if code can run, else with the next run; kept ones stay",
  async () => {
    const rows = [
      `${"left at once→after the next run".padEnd(26)}${KINDS.map((kind) => kind.padStart(10)).join("")}`,
    ];
    const failures: string[] = [];
    using place = scratch();
    const deaths: Death[] = [];
    for (const [index, way] of WAYS.entries()) deaths.push(await die(way, index, place.path));
    await runNext({ TMPDIR: place.path });
    for (const [index, way] of WAYS.entries()) {
      const death = deaths[index], afterNext = count(place.path, index);
      rows.push(row(way, death, afterNext));
      const makers = way.worker ? 2 : 1;
      const left = { named: 0, directory: 0, unnamed: 0, spooled: 0, kept: makers, persisted: makers };
      // On Windows unnamed files have a name until they are closed.
      const nameless = isWindows ? 1 : 0;
      const atOnce = way.mayAct
        ? left
        : { ...left, named: 1, directory: 1, unnamed: nameless, spooled: nameless };
      try {
        if (way.end !== undefined) assert.equal(death.end, way.end);
        assert.deepEqual(death.atOnce, atOnce);
        assert.deepEqual(afterNext, left);
      } catch (error) {
        failures.push(`${way.name}: ${(error as Error).message}`);
      }
    }
    console.log(rows.join("\n"));
    assert.deepEqual(failures, []);
  },
);

test(
  "C256 a program that replaces the process removes nothing of it; the next process that uses the library does (skipped without execve())",
  { skip: (isWindows || !("execve" in process)) && "needs process.execve()" },
  async () => {
    using place = scratch();
    const env = { TMPDIR: place.path };
    const { status, signal, said, stderr } = await runChild(
      `${make(0)} say("made"); process.execve("/bin/sh", ["sh", "-c", 'exit 4']);`,
      { env },
    );
    assert.deepEqual({ status, signal, said }, { status: 4, signal: null, said: ["made"] }, stderr);
    const left = { named: 1, directory: 1, unnamed: 0, spooled: 0, kept: 1, persisted: 1 };
    assert.deepEqual(count(place.path, 0), left);
    await runNext(env);
    assert.deepEqual(count(place.path, 0), { ...left, named: 0, directory: 0 });
  },
);
