/**
 * SIGKILL at random moments, while the threads of a process create and remove.
 *
 * @module
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { moduleUrl, runChild, runtimeCommand } from "../support/child.ts";
import { leasesIn } from "../support/leases.ts";
import { packageTest as test } from "../support/once.ts";
import { noReaper } from "../support/platform.ts";
import { memory, type Scratch, scratch } from "../support/scratch.ts";

/** Each takes most of a second of processor time. Two hundred are on request. */
const KILLS = Number(process.env.MAYFLY_KILLS ?? 10);

/** The number of kills of processes with a reaper. */
const REAPED = KILLS / 5;

/** The number of processes at a time. */
const AT_ONCE = 5;

const WORKERS = 4;

/** Creates and removes until the process is killed. A kept path is printed, in one write, after keep() has returned. */
const CHURN = `
  const fs = await import("node:fs");
  const fill = (directory) => {
    fs.writeFileSync(directory.join("file"), "contents");
    fs.mkdirSync(directory.join("sub"));
    fs.writeFileSync(directory.join("sub", "file"), "contents");
  };
  for (let i = 0;; i++) {
    const file = m.namedTemporaryFileSync({ prefix: "storm-" });
    const directory = m.temporaryDirectorySync({ prefix: "storm-" });
    file.writeSync("contents");
    fill(directory);
    if (i % 40 === 0) fs.writeSync(1, "kept " + m.namedTemporaryFileSync({ prefix: "kept-" }).keep() + "\\n");
    if (i === 0) fs.writeSync(1, "begun\\n");
    file.closeSync();
    directory.removeSync();
    const other = await m.temporaryDirectory({ prefix: "storm-" });
    await (await other.namedTemporaryFile()).write("contents");
    await other.remove();
  }`;

/** The same as most programs do it: create a directory, and remove it in a `finally` block. */
const NAIVE = `
  const fs = await import("node:fs");
  for (let i = 0;; i++) {
    const directory = fs.mkdtempSync(process.env.TMPDIR + "/storm-");
    try {
      fs.writeFileSync(directory + "/file", "contents");
      if (i === 0) fs.writeSync(1, "begun\\n");
    } finally {
      fs.rmSync(directory, { recursive: true });
    }
  }`;

/** Writes a program whose threads run some code: web workers where the runtime has them, else worker threads. */
function writeVictim(scripts: Scratch, name: string, code: string, settings = "{}"): string {
  const library = `import process from "node:process"; const m = await import(${JSON.stringify(moduleUrl)});
    m.configure(${settings});`;
  writeFileSync(join(scripts.path, `${name}-worker.mjs`), library + code);
  const script = join(scripts.path, `${name}.mjs`);
  writeFileSync(
    script,
    `const Thread = globalThis.Worker ?? (await import("node:worker_threads")).Worker;
    for (let i = 0; i < ${WORKERS}; i++) new Thread(new URL("./${name}-worker.mjs", import.meta.url), { type: "module" });
    setInterval(() => {}, 1000);`,
  );
  return script;
}

/** Starts a victim and kills it at a random moment after `begun` of its threads have begun. Returns the paths it has kept. */
async function startAndKill(script: string, directory: string, begun: number): Promise<string[]> {
  const [file, ...args] = runtimeCommand(script);
  const env = { ...process.env, TMPDIR: directory, NO_COLOR: "1" };
  const child = spawn(file, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  const lines = await killedAt(child, begun);
  return lines.filter((line) => line.startsWith("kept ")).map((line) => line.slice(5));
}

function killedAt(child: ChildProcess, begun: number): Promise<string[]> {
  return new Promise((resolve, reject) => {
    let text = "", errors = "", isKilled = false;
    child.stderr!.setEncoding("utf8").on("data", (chunk) => errors += chunk);
    child.stdout!.setEncoding("utf8").on("data", (chunk) => {
      text += chunk;
      if (isKilled || text.split("begun\n").length <= begun) return;
      isKilled = true;
      setTimeout(() => child.kill("SIGKILL"), Math.random() * 30);
    });
    child.on("close", (status, signal) => {
      if (signal !== "SIGKILL") reject(new Error(`the victim ended with ${status ?? signal}: ${errors}`));
      // A line that was cut off does not count.
      else resolve(text.split("\n").slice(0, -1));
    });
  });
}

/** Kills victims, several at a time: some when their first thread has just begun, some when all have. */
async function storm(script: string, directory: string, kills: number): Promise<string[]> {
  const kept: string[] = [];
  let started = 0;
  const one = async (): Promise<void> => {
    while (started < kills) {
      kept.push(...await startAndKill(script, directory, started++ % WORKERS + 1));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
  return kept;
}

/** Creates entries with names like ours that must not be removed. */
function plantNeighbours(directory: string): string[] {
  const names = [
    "storm-abcdefghabcdefghijkmn",
    "storm-",
    "storm-abcdefgh",
    "tmpabcdefghabcdefghijkmn",
    "kept-abcdefghabcdefghijkmn",
    ".mayfly-notes",
  ];
  for (const name of names) writeFileSync(join(directory, name), "precious");
  const tree = "storm-abcdefghabcdefghijkmm";
  mkdirSync(join(directory, tree, "sub"), { recursive: true });
  writeFileSync(join(directory, tree, "sub", "file"), "precious");
  return [...names, tree].sort();
}

/** The names in a directory, without the directory of leases and files of killed processes that probed whether it is usable. */
const namesIn = (place: Scratch): string[] => place.names().filter((name) => !/^tmp[a-z2-9]{13}$/.test(name));

const ours = (place: Scratch, neighbours: string[]): string[] =>
  namesIn(place).filter((name) => name.startsWith("storm-") && !neighbours.includes(name));

const leases = (place: Scratch): string[] => readdirSync(leasesIn(place.path));

/** A process that creates a file, and lives until the leftovers of others are gone, ten seconds at most. */
const LATER = `
  {
    const file = m.namedTemporaryFileSync();
    const neighbours = new Set(args);
    const left = () => fs.readdirSync(m.tmpdir()).some((name) => name.startsWith("storm-") && !neighbours.has(name));
    for (let waits = 0; left() && waits < 500; waits++) await new Promise((resolve) => setTimeout(resolve, 20));
    // On a busy machine the background reclaim may stop before it is done.
    if (left()) await m.sweep();
    file.closeSync();
  }`;

test(
  "C254 C265 C268 C276 after many SIGKILLs at random moments, one later process removes exactly the leftovers",
  { onOneNode: true },
  async () => {
    using place = scratch(memory);
    using scripts = scratch();
    const neighbours = plantNeighbours(place.path);
    const kept = await storm(writeVictim(scripts, "victim", CHURN), place.path, KILLS);
    const left = ours(place, neighbours).length;
    console.log(
      `${KILLS} kills left ${left} entries and ${leases(place).length} leases, and kept ${kept.length}`,
    );
    // Otherwise nothing was interrupted.
    assert.ok(left > 0);
    assert.ok(kept.length >= KILLS / 2);
    const { status, stderr } = await runChild(LATER, { args: neighbours, env: { TMPDIR: place.path } });
    assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
    const there = namesIn(place);
    assert.deepEqual(
      there.filter((name) => !name.startsWith("kept-")),
      neighbours.filter((name) => !name.startsWith("kept-")),
    );
    assert.deepEqual(kept.filter((path) => !existsSync(path)), []);
    assert.deepEqual(readdirSync(join(place.path, "storm-abcdefghabcdefghijkmm", "sub")), ["file"]);
  },
);

test(
  "C254 reapers alone remove all leftovers of processes killed while four threads create and remove",
  { skip: noReaper, onOneNode: true },
  async () => {
    using place = scratch(memory);
    using scripts = scratch();
    const neighbours = plantNeighbours(place.path);
    const script = writeVictim(scripts, "victim", CHURN, "{ reaper: true, reclaim: false }");
    const kept = await storm(script, place.path, REAPED);
    const start = performance.now();
    const left = (): string[] => ours(place, neighbours);
    for (let waits = 0; left().length > 0 && waits < 3000; waits++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    console.log(
      `all was gone ${Math.round(performance.now() - start)} ms after the last of ${REAPED} deaths`,
    );
    assert.deepEqual(left(), []);
    assert.deepEqual(kept.filter((path) => !existsSync(path)), []);
    assert.deepEqual(neighbours.filter((name) => !existsSync(join(place.path, name))), []);
  },
);

test(
  "C254 control: leftovers of a naive program killed in the same way are not removed by a later process",
  { onOneNode: true },
  async () => {
    using place = scratch(memory);
    using scripts = scratch();
    const script = writeVictim(scripts, "naive", NAIVE);
    for (let tries = 0; tries < 10 && ours(place, []).length === 0; tries++) {
      await storm(script, place.path, 1);
    }
    const left = ours(place, []).length;
    assert.ok(left > 0);
    await runChild(`await m.sweep();`, { env: { TMPDIR: place.path } });
    assert.equal(ours(place, []).length, left);
  },
);
