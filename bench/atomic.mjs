/**
 * Replacing a file atomically, beside two of the most widely used packages for it:
 *
 *     npm install --prefix bench
 *     node bench/atomic.mjs [speed|full]... [directory]     (bun, deno run -A)
 *
 * `speed`: writes 1 KB and 1 MB onto an existing file in the directory (by default the current one). The contenders take
 * turns, and each is compared with ours in the same round. Prints medians, the spread (the middle half of the rounds,
 * relative to the median), and the ratio to ours: above 1 we are faster. The others sync the file but not its directory,
 * so their new name can be lost in a power cut. "As they are" leaves it at that; "same durability" adds that sync to
 * theirs; "not durable" syncs nothing anywhere.
 *
 * `full`: writes 1 MB onto a file on a disk of 64 KiB (as root, on Linux), and prints what is there afterwards.
 */
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { writeFileAtomic, writeFileAtomicSync } from "../mod.ts";

const require = createRequire(import.meta.url);
const peers = load();

function load() {
  try {
    return { wfa: require("write-file-atomic"), atomically: require("atomically") };
  } catch (error) {
    console.error(`${error.message.split("\n")[0]}\nFirst: npm install --prefix bench`);
    process.exit(1);
  }
}

const runtime = process.versions.bun ? "bun" : process.versions.deno ? "deno" : "node";
const version = process.versions.bun ?? process.versions.deno ?? process.versions.node;

/** Returns the median, and the middle half relative to it. */
function summary(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const at = (part) => sorted[Math.floor((sorted.length - 1) * part)];
  return { median: at(0.5), spread: (at(0.75) - at(0.25)) / at(0.5) };
}

async function syncDirectory(directory) {
  const handle = await fs.promises.open(directory, "r");
  await handle.sync();
  await handle.close();
}

function syncDirectorySync(directory) {
  const fd = fs.openSync(directory, "r");
  fs.fsyncSync(fd);
  fs.closeSync(fd);
}

/** The comparisons by title: `[name, call]`, ours first. */
function comparisons(directory) {
  const { wfa, atomically } = peers;
  const both = (path, fsync, after, afterSync) => ({
    async: [
      ["write-file-atomic", async (data) => (await wfa(path("w"), data, { fsync }), await after())],
      ["atomically", async (data) => (await atomically.writeFile(path("a"), data, { fsync }), await after())],
    ],
    sync: [
      ["write-file-atomic", (data) => (wfa.sync(path("w"), data, { fsync }), afterSync())],
      ["atomically", (data) => (atomically.writeFileSync(path("a"), data, { fsync }), afterSync())],
    ],
  });
  const nothing = () => {};
  const path = (name) => join(directory, name);
  const asTheyAre = both(path, true, nothing, nothing);
  const same = both(path, true, () => syncDirectory(directory), () => syncDirectorySync(directory));
  const not = both(path, false, nothing, nothing);
  const ours = (durable) => ({
    async: ["mayfly", (data) => writeFileAtomic(path("m"), data, { durable })],
    sync: ["mayfly", (data) => writeFileAtomicSync(path("m"), data, { durable })],
  });
  return Object.entries({
    "as they are": [ours(true), asTheyAre],
    "same durability": [ours(true), same],
    "not durable": [ours(false), not],
  }).flatMap(([title, [own, theirs]]) =>
    ["async", "sync"].map((face) => [`${face}, ${title}`, [own[face], ...theirs[face]]])
  );
}

async function time(call, data, times) {
  const start = performance.now();
  for (let i = 0; i < times; i++) await call(data);
  return (performance.now() - start) / times;
}

/** Calls of each before the first that counts. */
const WARM_UP = 100;

const ROUNDS = Number(process.env.ROUNDS ?? 25);

async function compare(title, contenders, data, times) {
  const results = contenders.map(() => []);
  for (let round = -2; round < ROUNDS; round++) {
    // Each starts equally often: a call after a slow one waits for its disk.
    for (let turn = 0; turn < contenders.length; turn++) {
      const index = (turn + round + 2) % contenders.length;
      const result = await time(contenders[index][1], data, times);
      if (round >= 0) results[index].push(result);
    }
  }
  console.log(`\n${title}`);
  for (const [index, [name]] of contenders.entries()) {
    const { median, spread } = summary(results[index]);
    const ratio = summary(results[index].map((result, round) => result / results[0][round]));
    const columns = [
      name.padEnd(20),
      `${(median * 1000).toFixed(0)} µs`.padStart(10),
      `± ${(spread * 50).toFixed(0)} %`.padStart(8),
      index === 0 ? "" : `${ratio.median.toFixed(2)} ± ${(ratio.spread * 50).toFixed(0)} %`.padStart(14),
    ];
    console.log(`  ${columns.join("  ")}`);
  }
}

async function speed(parent) {
  const directory = fs.mkdtempSync(join(parent, "mayfly-bench-"));
  try {
    // Warms up the compiler.
    for (const [, contenders] of comparisons(directory)) {
      for (const [, call] of contenders) await time(call, new Uint8Array(1000), WARM_UP);
    }
    for (const [size, times] of [[1000, 20], [1_000_000, 4]]) {
      const data = new Uint8Array(size).fill(120);
      for (const [title, contenders] of comparisons(directory)) {
        for (const [, call] of contenders) await call(data);
        await compare(`${size / 1000} KB, ${title}`, contenders, data, times);
      }
    }
  } finally {
    fs.rmSync(directory, { recursive: true });
  }
}

const MOUNT = 'mount -t tmpfs -o size=64k tmpfs "$1" && shift && exec "$@"';

/** Runs this file again with a small disk mounted over a directory. */
function full() {
  const directory = fs.mkdtempSync(join(tmpdir(), "mayfly-bench-"));
  const script = fileURLToPath(import.meta.url);
  const command = [
    process.execPath,
    ...runtime === "deno" ? ["run", "-A", "--no-check"] : [],
    script,
    "on",
    directory,
  ];
  const { status } = spawnSync("unshare", ["-m", "sh", "-c", MOUNT, "sh", directory, ...command], {
    stdio: "inherit",
  });
  fs.rmdirSync(directory);
  if (status !== 0) throw new Error("needs root, and the right to mount");
}

async function onFullDisk(directory) {
  const data = new Uint8Array(1_000_000).fill(120);
  const target = join(directory, "target");
  const old = "the old contents\n".repeat(100);
  const { wfa, atomically } = peers;
  const contenders = {
    "mayfly": () => writeFileAtomic(target, data),
    "mayfly, sync": () => writeFileAtomicSync(target, data),
    "write-file-atomic": () => wfa(target, data),
    "write-file-atomic, sync": () => wfa.sync(target, data),
    "atomically": () => atomically.writeFile(target, data),
    "atomically, sync": () => atomically.writeFileSync(target, data),
  };
  console.log("\n1 MB onto a file of 1.7 KB on a disk of 64 KiB");
  for (const [name, call] of Object.entries(contenders)) {
    for (const left of fs.readdirSync(directory)) fs.unlinkSync(join(directory, left));
    fs.writeFileSync(target, old);
    let end = "says that it is done";
    try {
      await call();
    } catch (error) {
      end = error.code ?? error.message;
    }
    const found = fs.readFileSync(target);
    const state = found.toString() === old ? "the old file" : `${found.length} of 1000000 bytes`;
    const others = fs.readdirSync(directory).length - 1;
    console.log(`  ${name.padEnd(24)}  ${end.padEnd(20)}  ${state.padEnd(24)}  ${others} beside it`);
  }
}

const parts = process.argv.slice(2);
if (parts[0] === "on") await onFullDisk(parts[1]);
else {
  console.log(`${runtime} ${version}`);
  const directory = parts.find((part) => !["speed", "full"].includes(part)) ?? ".";
  const all = !parts.includes("speed") && !parts.includes("full");
  if (all || parts.includes("speed")) await speed(directory);
  if (all || parts.includes("full")) full();
}
