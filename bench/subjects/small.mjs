import { createReadStream, createWriteStream } from "node:fs";
import { Readable, Writable } from "node:stream";
import { rawSync } from "../harness/raw.mjs";
import { awaited, blocking } from "../harness/sample.mjs";

const RAW = "O_TMPFILE, write, read, close, blocking";
const TO_WEB = "Writable.toWeb, Readable.toWeb";

export default {
  name: "small",
  title: "1 KiB written to a new unnamed file, and read back",
  reference: RAW,
  external: [
    { name: "C loop", program: "c", what: "small" },
    { name: "Python TemporaryFile", program: "python", what: "small" },
  ],
  goals: [
    { ours: "temporaryFile", to: RAW, atMost: 1.5 },
    { ours: "temporaryFileSync", to: RAW, atMost: 1.5 },
    { ours: "temporaryFile, web streams", to: TO_WEB, speed: 4 },
  ],
  contenders({ m, dir, fs, kind }) {
    const data = new Uint8Array(1024).fill(7), into = new Uint8Array(1024);
    const { openUnnamed } = rawSync(dir, fs, kind);
    let number = 0;
    const path = () => `${dir}/own${number++}`;
    return [
      { name: RAW, run: blocking(() => bare(fs, openUnnamed(), data, into)) },
      { name: "temporaryFile", ours: true, run: awaited(() => ours(m, data)) },
      { name: "temporaryFileSync", ours: true, run: blocking(() => oursSync(m, data)) },
      { name: "temporaryFile, web streams", ours: true, run: awaited(() => ourStreams(m, data)) },
      { name: TO_WEB, run: awaited(() => toWeb(fs, path(), data)) },
      { name: "fs.promises", run: awaited(() => promises(fs, path(), data, into)) },
    ];
  },
};

/** A comparison is void if a contender loses the data. */
function check(length) {
  if (length !== 1024) throw new Error(`Read ${length} bytes in place of 1024`);
}

function bare(fs, fd, data, into) {
  fs.writeSync(fd, data, 0, data.length, 0);
  check(fs.readSync(fd, into, 0, into.length, 0));
  fs.closeSync(fd);
}

function oursSync(m, data) {
  const file = m.temporaryFileSync();
  file.writeSync(data);
  check(file.bytesSync().length);
  file[Symbol.dispose]();
}

async function ours(m, data) {
  const file = await m.temporaryFile();
  await file.write(data);
  check((await file.bytes()).length);
  await file[Symbol.asyncDispose]();
}

async function ourStreams(m, data) {
  const file = await m.temporaryFile();
  await writeInto(file.writable, data);
  await file.seek(0);
  check(await lengthOf(file.readable));
  await file[Symbol.asyncDispose]();
}

async function toWeb(fs, path, data) {
  await writeInto(Writable.toWeb(createWriteStream(path, { flags: "wx", mode: 0o600 })), data);
  check(await lengthOf(Readable.toWeb(createReadStream(path))));
  await fs.promises.unlink(path);
}

async function writeInto(stream, data) {
  const writer = stream.getWriter();
  await writer.write(data);
  await writer.close();
}

async function lengthOf(stream) {
  let length = 0;
  for await (const chunk of stream) length += chunk.length;
  return length;
}

async function promises(fs, path, data, into) {
  const handle = await fs.promises.open(path, "wx+", 0o600);
  await handle.write(data, 0, data.length, 0);
  check((await handle.read(into, 0, into.length, 0)).bytesRead);
  await handle.close();
  await fs.promises.unlink(path);
}
