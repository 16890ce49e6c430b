/**
 * SIGKILL at random moments, while the threads of a process create and remove.
 *
 * @module
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { moduleUrl, runChild, runtimeCommand } from "./support/child.ts";
import { leasesIn } from "./support/leases.ts";
import { oncePerKind } from "./support/once.ts";
import { noReaper } from "./support/platform.ts";
import { memory, type Scratch, scratch } from "./support/scratch.ts";

/** A quarter of a second of processor time each. */
const KILLS = Number(process.env.MAYFLY_KILLS ?? 30);

/** Kills of processes that have a reaper. */
const REAPED = KILLS / 5;

/** Processes that live at the same time. */
const AT_ONCE = 5;

const WORKERS = 4;

/** What a thread does until it is killed. What it keeps it says, in one write, when that is kept for certain. */
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

/** The same as most programs do it: make a name, remove it in the end. */
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

/** A program whose threads run some code. Web workers where the runtime has them, else Node's. */
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

/** Starts a victim and kills it some time after so many of its threads have begun. Returns what it has kept. */
async function startAndKill(script: string, directory: string, begun: number): Promise<string[]> {
  const [file, ...args] = runtimeCommand(script);
  const env = { ...process.env, TMPDIR: directory, NO_COLOR: "1" };
  const child = spawn(file, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  const said = await killedAt(child, begun);
  return said.filter((line) => line.startsWith("kept ")).map((line) => line.slice(5));
}

function killedAt(child: ChildProcess, begun: number): Promise<string[]> {
  return new Promise((resolve, reject) => {
    let text = "", errors = "", doomed = false;
    child.stderr!.setEncoding("utf8").on("data", (chunk) => errors += chunk);
    child.stdout!.setEncoding("utf8").on("data", (chunk) => {
      text += chunk;
      if (doomed || text.split("begun\n").length <= begun) return;
      doomed = true;
      setTimeout(() => child.kill("SIGKILL"), Math.random() * 30);
    });
    child.on("close", (status, signal) => {
      if (signal !== "SIGKILL") reject(new Error(`the victim ended with ${status ?? signal}: ${errors}`));
      // A line that was cut off was not said.
      else resolve(text.split("\n").slice(0, -1));
    });
  });
}

/** Kills victims, several at once. Some die when their first thread has just begun, some when all are at work. */
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

/** Names as ours are, or almost, that are nobody's to remove. */
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

/** Names there, but for the folder of leases, and what a look for a usable directory left that was killed. */
const namesIn = (place: Scratch): string[] => place.names().filter((name) => !/^tmp[a-z2-9]{13}$/.test(name));

const ours = (place: Scratch, neighbours: string[]): string[] =>
  namesIn(place).filter((name) => name.startsWith("storm-") && !neighbours.includes(name));

const leases = (place: Scratch): string[] => readdirSync(leasesIn(place.path));

/** A process that makes one thing, and lives until what others left is gone, or ten seconds. */
const LATER = `
  {
    const file = m.namedTemporaryFileSync();
    const neighbours = new Set(args);
    const left = () => fs.readdirSync(m.tmpdir()).some((name) => name.startsWith("storm-") && !neighbours.has(name));
    for (let waits = 0; left() && waits < 500; waits++) await new Promise((resolve) => setTimeout(resolve, 20));
    // On a busy machine the work beside the program's own gives up before it is done; then it is asked for.
    if (left()) await m.sweep();
    file.closeSync();
  }`;

test(
  "C254 C265 C268 C276 SIGKILL at random moments, dozens of times, while four threads create and remove (once on Node, Deno and Bun): one later process removes all that is left, and nothing else",
  { skip: oncePerKind },
  async () => {
    using place = scratch(memory);
    using scripts = scratch();
    const neighbours = plantNeighbours(place.path);
    const kept = await storm(writeVictim(scripts, "victim", CHURN), place.path, KILLS);
    const left = ours(place, neighbours).length;
    console.log(
      `${KILLS} kills left ${left} entries and ${leases(place).length} leases, and kept ${kept.length}`,
    );
    // Else nothing was interrupted.
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
  "C254 SIGKILL while four threads create and remove, each with a reaper (once on Node, Deno and Bun): nothing is left, without another process",
  { skip: oncePerKind || noReaper },
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
  "C254 control: the same storm leaves what a naive program made, and no later process removes it (once on Node, Deno and Bun)",
  {
    skip: oncePerKind,
  },
  async () => {
    using place = scratch(memory);
    using scripts = scratch();
    await storm(writeVictim(scripts, "naive", NAIVE), place.path, 5);
    const left = ours(place, []).length;
    assert.ok(left > 0);
    await runChild(`await m.sweep();`, { env: { TMPDIR: place.path } });
    assert.equal(ours(place, []).length, left);
  },
);
