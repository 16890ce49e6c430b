/**
 * The benchmarks report what was measured.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { onceInAll } from "../support/once.ts";
import { root } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";

/** The command starts the runtimes itself, so one run is enough. */
const skip: string | false = process.platform === "linux"
  ? onceInAll
  : "measures in a tmpfs, which Linux has";

/** A subject whose second contender does fifty times the work of the first. */
const SLOWED = `
const work = (times) => (count) => {
  for (let i = 0, sum = 0; i < count * times * 100; i++) sum += Math.sqrt(i);
};
export default {
  name: "slowed",
  title: "Slowed",
  reference: "as it is",
  places: ["tmpfs"],
  goals: [
    { ours: "fifty times", to: "as it is", atMost: 1.5 },
    { ours: "fifty times", to: ["as it is", "fifty times"], called: "the best", speed: 0.5 },
    { ours: "fifty times", metric: "pieces", below: 2 },
    { ours: "fifty times", metric: "pieces", below: 3 },
  ],
  metrics: [
    { key: "time", title: "time", unit: "µs", shows: "ratio" },
    { key: "pieces", title: "pieces", unit: "pieces" },
  ],
  contenders: () => [
    { name: "as it is", run: work(1) },
    { name: "fifty times", ours: true, run: (count) => (work(50)(count), { pieces: 3 }) },
    { name: "broken", run: () => { throw new Error("never was any good"); } },
  ],
};`;

/** Runs the command, and returns its table as rows of cells. */
function bench(place: string, ...args: string[]): { status: number | null; text: string; rows: string[][] } {
  const output = join(place, "results.md");
  const all = [
    "bench/run.mjs",
    "--quick",
    "--dist",
    "--only",
    "node24",
    "--place",
    "tmpfs",
    "--output",
    output,
  ];
  const { status, stderr } = spawnSync(process.execPath, [...all, ...args], { cwd: root, encoding: "utf8" });
  assert.equal(stderr, "");
  const text = readFileSync(output, "utf8");
  const lines = text.split("\n").filter((line) => line.startsWith("| "));
  return { status, text, rows: lines.map((line) => line.slice(2, -2).split(" | ")) };
}

test("bench: the quick table of one subject has a finite ratio for each contender (once, on Node 24)", {
  skip,
}, () => {
  using place = scratch();
  const { status, text, rows } = bench(place.path, "--subject", "unnamed");
  assert.equal(status, 0, text);
  const cells = rows.filter(([what]) => /^(temporaryFile(Sync)?|create and unlink, blocking)$/.test(what));
  const ratios = cells.map((row) => Number(/^([\d.]+) \([\d.]+–[\d.]+\)$/.exec(row[1])?.[1]));
  assert.equal(ratios.length, 3, text);
  for (const ratio of ratios) assert.ok(ratio > 0.5 && Number.isFinite(ratio), text);
});

test(
  "bench: a contender that does fifty times the work is shown as slower, and a missed goal as missed (once, on Node 24)",
  {
    skip,
  },
  () => {
    using place = scratch();
    const subject = join(place.path, "slowed.mjs");
    writeFileSync(subject, SLOWED);
    const { status, text, rows } = bench(place.path, "--subject", subject);
    assert.equal(status, 0, text);
    const find = (...cells: string[]) =>
      rows.find((row) => cells.every((cell, index) => row[index] === cell));
    // A wide range around fifty: the machine may have other work.
    const ratio = parseFloat(find("fifty times")?.[1] ?? "");
    assert.ok(ratio > 5 && ratio < 500, text);
    assert.match(find("fifty times ≤ 1.5 × as it is")?.[2] ?? "", /^[\d.]+ \(.*\) \*\*missed\*\*$/);
    assert.match(find("fifty times ≥ 0.5 × the speed of the best")?.[2] ?? "", /, as it is \*\*missed\*\*$/);
    assert.match(find("fifty times, pieces ≤ 2 pieces")?.[2] ?? "", /^3.00 .*\*\*missed\*\*$/);
    assert.match(find("fifty times, pieces ≤ 3 pieces")?.[2] ?? "", /^3.00 .* met$/);
    assert.match(text, /^1 met, 3 missed\.$/m);
    assert.equal(find("slowed", "tmpfs", "node24", "broken")?.[4], "never was any good");
  },
);

test("bench: the command fails if a contender of the library throws (once, on Node 24)", { skip }, () => {
  using place = scratch();
  const subject = join(place.path, "broken.mjs");
  writeFileSync(subject, SLOWED.replace('"broken", run', '"broken", ours: true, run'));
  const { status, text } = bench(place.path, "--subject", subject);
  assert.equal(status, 1, text);
});
