import { appendFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { build } from "./build.mjs";
import { inRoot } from "./paths.mjs";
import { ending, run, stopChildrenOnSignals } from "./process.mjs";
import { lower, lowered } from "./testing/lower.mjs";
import { leftovers } from "./testing/workplace.mjs";

const stripsTypes = parseInt(process.versions.node) >= 24;
/** Small enough that the sample needs many temporary files. */
const memory = "4M";
const work = mkdtempSync(join(tmpdir(), "mayfly-demo-"));
// On every exit: the build, for one, exits the process if it fails.
process.on("exit", () => rmSync(work, { recursive: true, force: true }));
stopChildrenOnSignals();
try {
  await demonstrate();
} catch (error) {
  console.error(`✗ ${error.message}`);
  process.exitCode = 1;
}

async function demonstrate() {
  console.log("Building");
  await build();
  if (!stripsTypes) await lower();
  const input = process.argv[2] === undefined ? sampleInput() : resolve(process.argv[2]);
  const temporary = join(work, "tmp"), output = join(work, "sorted"), expected = join(work, "expected");
  mkdirSync(temporary);
  console.log(`Sorting ${input} (${megabytes(statSync(input).size)}) with ${memory} of memory`);
  await must(process.execPath, [example(), input, output, "--memory", memory], { TMPDIR: temporary });
  const left = [...leftovers(temporary), ...readdirSync(work).filter((name) => name.startsWith("."))];
  check(left.length === 0, `Nothing is left in the temporary directory${left.map((name) => `: ${name}`)}`);
  console.log("Sorting the same input with sort(1)");
  await must("sort", ["-o", expected, input], { LC_ALL: "C", TMPDIR: work });
  check(await haveSameBytes(output, expected), "Both results are identical");
}

function example() {
  return stripsTypes ? inRoot("examples/external_sort.ts") : join(lowered, "examples/external_sort.js");
}

/** Creates an input of some size that every checkout has: all type declarations of the installed packages. */
function sampleInput() {
  const path = join(work, "input.txt");
  for (const name of readdirSync(inRoot("node_modules"), { recursive: true }).sort()) {
    if (/\.d\.[cm]?ts$/.test(name)) appendFileSync(path, readFileSync(inRoot("node_modules", name)));
  }
  return path;
}

async function must(command, args, env) {
  const end = await run(command, args, { env: { ...process.env, ...env } });
  if (end.code !== 0) throw new Error(`${command} ${ending(end)}`);
}

function check(isTrue, claim) {
  if (!isTrue) throw new Error(`False: ${claim}`);
  console.log(`✓ ${claim}`);
}

async function haveSameBytes(one, other) {
  const files = [await open(one), await open(other)];
  try {
    const chunks = files.map(() => Buffer.alloc(1024 ** 2));
    for (let at = 0;;) {
      const [here, there] = await Promise.all(files.map((file, index) => readFully(file, chunks[index], at)));
      if (!here.equals(there)) return false;
      if (here.length === 0) return true;
      at += here.length;
    }
  } finally {
    for (const file of files) await file.close();
  }
}

async function readFully(file, buffer, position) {
  let done = 0;
  for (let count = 1; count > 0 && done < buffer.length; done += count) {
    count = (await file.read(buffer, done, buffer.length - done, position + done)).bytesRead;
  }
  return buffer.subarray(0, done);
}

function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
