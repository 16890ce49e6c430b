import { createReadStream, createWriteStream } from "node:fs";
import { Readable, Writable } from "node:stream";
import { rawSync } from "../harness/raw.mjs";
import { peak } from "../harness/memory.mjs";

const MiB = 1024 ** 2;
const RAW_WRITE = "write: writeSync", RAW_READ = "read: readSync";

export default {
  name: "gigabyte",
  title: "1 GiB in chunks of 1 MiB through an unnamed file",
  note: "In memory only, so that no disk is measured. With `--quick` 64 MiB.",
  reference: RAW_WRITE,
  places: ["tmpfs"],
  count: 1,
  cold: true,
  rounds: 3,
  runtimes: ["node24", "deno", "bun"],
  metrics: [
    { key: "time", title: "time", unit: "µs", shows: "ratio" },
    { key: "peak", title: "memory above what there was", unit: "MiB" },
  ],
  goals: [
    { ours: "write: file.write(stream)", to: RAW_WRITE, speed: 0.9 },
    { ours: "write: await file.write(chunk)", to: RAW_WRITE, speed: 0.9 },
    { ours: "write: stream piped to file.writable", to: RAW_WRITE, speed: 0.9 },
    { ours: "read: file.stream(), BYOB", to: RAW_READ, speed: 0.9 },
    { ours: "write: file.write(stream)", metric: "peak", below: 64 },
    { ours: "read: file.stream()", metric: "peak", below: 64 },
  ],
  contenders({ m, dir, fs, kind, quick }) {
    const count = quick ? 64 : 1024;
    return [...writers({ m, dir, fs, kind, count }), ...readers({ m, dir, fs, kind, count })];
  },
};

function writers({ m, dir, fs, kind, count }) {
  const chunk = new Uint8Array(MiB).fill(7);
  const raw = rawSync(dir, fs, kind);
  const ours = (name, write) => ({
    name: `write: ${name}`,
    ours: true,
    prepare: () => m.temporaryFileSync(),
    run: async (_count, file) => ({ peak: await peak(() => write(file)) }),
    after: (file) => file.closeSync(),
  });
  return [
    {
      name: RAW_WRITE,
      prepare: raw.openUnnamed,
      run: (_count, fd) => writeAll(fs, fd, chunk, count),
      after: (fd) => fs.closeSync(fd),
    },
    ours("await file.write(chunk)", async (file) => {
      for (let i = 0; i < count; i++) await file.write(chunk);
    }),
    ours("file.write(stream)", (file) => file.write(streamOf(chunk, count))),
    ours("stream piped to file.writable", (file) => streamOf(chunk, count).pipeTo(file.writable)),
    {
      name: "write: stream piped to Writable.toWeb",
      prepare: () => `${dir}/toweb`,
      run: async (_count, path) => ({
        peak: await peak(() => streamOf(chunk, count).pipeTo(Writable.toWeb(createWriteStream(path)))),
      }),
      after: (path) => fs.unlinkSync(path),
    },
  ];
}

/** All of them read the same file. */
function readers({ m, fs, count }) {
  const into = new Uint8Array(MiB);
  let file;
  const prepare = () => file ??= filled(m, count);
  const ours = (name, read) => ({
    name: `read: ${name}`,
    ours: true,
    prepare,
    run: async () => ({ peak: await peak(() => read(file)) }),
  });
  const opened = () => createReadStream("", { fd: file.fd, start: 0, autoClose: false });
  return [
    {
      name: RAW_READ,
      prepare: () => prepare().fd,
      run: (_count, fd) => {
        for (let i = 0; i < count; i++) fs.readSync(fd, into, 0, MiB, i * MiB);
      },
    },
    ours("file.stream(), BYOB", readInPlace),
    ours("file.stream()", (file) => drain(file.stream())),
    {
      name: "read: Readable.toWeb",
      prepare,
      run: async () => ({ peak: await peak(() => drain(Readable.toWeb(opened()))) }),
    },
  ];
}

function writeAll(fs, fd, chunk, count) {
  for (let i = 0; i < count; i++) fs.writeSync(fd, chunk, 0, MiB, i * MiB);
}

function filled(m, count) {
  const file = m.temporaryFileSync(), chunk = new Uint8Array(MiB).fill(7);
  for (let i = 0; i < count; i++) file.writeSync(chunk);
  return file;
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

async function drain(stream) {
  for await (const _chunk of stream);
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
