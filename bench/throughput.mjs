/**
 * What the handle costs over the runtime's own calls, on one file system:
 *
 *     node bench/throughput.mjs [directory] [part…]     (bun, deno run -A)
 *
 * The directory should be on a tmpfs (default: /dev/shm). Parts: chunks, small, memory; by default all of them. The
 * contenders take turns, each compared with a loop of `writeSync` or `readSync` on a descriptor in the same round. Prints
 * the median of the ratios: 1 is as fast as the loop.
 */
import fs from "node:fs";
import process from "node:process";
import { temporaryFileSync } from "../mod.ts";

const [dir = "/dev/shm", ...parts] = process.argv.slice(2);
const wants = (part) => parts.length === 0 || parts.includes(part);

const MiB = 1024 * 1024;
const ROUNDS = 9;

const runtime = process.versions.bun ? "bun" : process.versions.deno ? "deno" : "node";
const version = process.versions.bun ?? process.versions.deno ?? process.versions.node;
console.log(`${runtime} ${version}, ${dir}`);

const median = (numbers) => numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

async function milliseconds(action) {
  const start = performance.now();
  await action();
  return performance.now() - start;
}

/** Runs each contender once per round, in turn, and prints its time as a ratio to the first. */
async function compare(title, unit, contenders, rounds = ROUNDS) {
  const times = contenders.map(() => []);
  for (let round = 0; round <= rounds; round++) {
    for (const [index, [, prepare]] of contenders.entries()) {
      const { run, end } = prepare();
      const time = await milliseconds(run);
      end();
      // The first round is for the compiler.
      if (round > 0) times[index].push(time);
    }
  }
  console.log(`\n${title}`);
  for (const [index, [name]] of contenders.entries()) {
    const speeds = times[index].map((time, round) => times[0][round] / time);
    console.log(
      `  ${name.padEnd(34)} ${unit(median([...times[index]])).padStart(14)}   ${median(speeds).toFixed(2)}`,
    );
  }
}

function rawFile() {
  const path = `${dir}/mayfly-bench-${process.pid}`;
  const fd = fs.openSync(path, "wx+", 0o600);
  fs.unlinkSync(path);
  return fd;
}

const open = (options) => temporaryFileSync({ dir, ...options });

async function chunks() {
  const chunk = new Uint8Array(MiB).fill(7);
  const into = new Uint8Array(MiB);
  const count = 256;
  const speed = (time) => `${Math.round(count / time * 1000)} MiB/s`;
  const raw = (loop) => () => {
    const fd = rawFile();
    return { run: () => loop(fd), end: () => fs.closeSync(fd) };
  };
  const ours = (loop) => () => {
    const file = open();
    return { run: () => loop(file), end: () => file.closeSync() };
  };
  await compare(`Write ${count} chunks of 1 MiB to a new file`, speed, [
    [
      "writeSync on a descriptor",
      raw((fd) => {
        for (let i = 0; i < count; i++) fs.writeSync(fd, chunk, 0, MiB, i * MiB);
      }),
    ],
    [
      "file.writeSync",
      ours((file) => {
        for (let i = 0; i < count; i++) file.writeSync(chunk);
      }),
    ],
    [
      "await file.write",
      ours(async (file) => {
        for (let i = 0; i < count; i++) await file.write(chunk);
      }),
    ],
    ["file.write(stream)", ours((file) => file.write(streamOf(chunk, count)))],
  ]);
  const fd = rawFile();
  const file = open();
  for (let i = 0; i < count; i++) {
    fs.writeSync(fd, chunk, 0, MiB, i * MiB);
    file.writeSync(chunk);
  }
  const on = (run) => () => (file.seekSync(0), { run, end() {} });
  await compare(`Read ${count} chunks of 1 MiB`, speed, [
    [
      "readSync on a descriptor",
      on(() => {
        for (let i = 0; i < count; i++) fs.readSync(fd, into, 0, MiB, i * MiB);
      }),
    ],
    [
      "file.readIntoSync",
      on(() => {
        for (let i = 0; i < count; i++) file.readIntoSync(into);
      }),
    ],
    [
      "await file.readInto",
      on(async () => {
        for (let i = 0; i < count; i++) await file.readInto(into);
      }),
    ],
    [
      "readSync into a new array each",
      on(() => {
        for (let i = 0; i < count; i++) fs.readSync(fd, new Uint8Array(MiB), 0, MiB, i * MiB);
      }),
    ],
    [
      "file.readSync (a new array each)",
      on(() => {
        for (let i = 0; i < count; i++) file.readSync(MiB);
      }),
    ],
    [
      "await file.read (a new array each)",
      on(async () => {
        for (let i = 0; i < count; i++) await file.read(MiB);
      }),
    ],
    ["file.stream()", on(() => readChunks(file))],
    ["file.stream(), BYOB", on(() => readInPlace(file))],
  ]);
  fs.closeSync(fd);
  file.closeSync();
}

function streamOf(chunk, count) {
  let left = count;
  return new ReadableStream({
    pull(controller) {
      if (left-- > 0) controller.enqueue(chunk);
      else controller.close();
    },
  });
}

async function small() {
  const count = 1_000_000;
  const data = new Uint8Array(64).fill(65);
  const text = "x".repeat(64);
  const each = (time) => `${Math.round(time / count * 1e6)} ns each`;
  const ours = (options, loop) => () => {
    const file = open(options);
    return { run: () => loop(file), end: () => file.closeSync() };
  };
  const sync = (data) => (file) => {
    for (let i = 0; i < count; i++) file.writeSync(data);
  };
  const awaited = (data) => async (file) => {
    for (let i = 0; i < count; i++) await file.write(data);
  };
  await compare(`${count} writes of 64 bytes, file.writeSync`, each, [
    ["unbuffered", ours({ bufferSize: 0 }, sync(data))],
    ["buffered", ours({}, sync(data))],
    ["buffered, text", ours({}, sync(text))],
  ], 5);
  await compare(`${count} writes of 64 bytes, await file.write`, each, [
    ["unbuffered", ours({ bufferSize: 0 }, awaited(data))],
    ["buffered", ours({}, awaited(data))],
    ["buffered, text", ours({}, awaited(text))],
  ], 5);
}

/** Into the reader's own buffer, which takes no new memory. */
async function readInPlace(file) {
  const reader = file.stream().getReader({ mode: "byob" });
  for (let buffer = new ArrayBuffer(MiB);;) {
    const { done, value } = await reader.read(new Uint8Array(buffer));
    if (done) return;
    buffer = value.buffer;
  }
}

async function readChunks(file) {
  for await (const _chunk of file.stream());
}

/** What the runtime's collector leaves uncollected even without our code in the loop. */
async function readWithoutUs(file) {
  const length = MiB / 4;
  for (let at = 0; at < 4096 * MiB; at += length) {
    fs.readSync(file.fd, new Uint8Array(length), 0, length, at);
    if (at % (8 * MiB) === 0) await new Promise((resolve) => setImmediate(resolve));
  }
}

async function memory() {
  const chunk = new Uint8Array(MiB).fill(9);
  const file = open();
  console.log("\n4 GiB through a file");
  const steps = {
    "file.write(stream)": () => file.write(streamOf(chunk, 4096)),
    "file.stream(), BYOB": () => readInPlace(file),
    // Our own first: what a collector has not yet returned is in the base of the next step, and flatters that.
    "file.stream()": () => readChunks(file),
    "readSync into new arrays, without us": () => readWithoutUs(file),
  };
  for (const [name, step] of Object.entries(steps)) {
    const base = process.memoryUsage.rss();
    let peak = base;
    const timer = setInterval(() => peak = Math.max(peak, process.memoryUsage.rss()), 5);
    const time = await milliseconds(step);
    clearInterval(timer);
    const speed = `${Math.round(4096 / time * 1000)} MiB/s`;
    console.log(
      `  ${name.padEnd(38)} ${speed.padStart(12)}   peak ${Math.round((peak - base) / MiB)} MiB above base`,
    );
  }
  file.closeSync();
}

if (wants("chunks")) await chunks();
if (wants("small")) await small();
if (wants("memory")) await memory();
