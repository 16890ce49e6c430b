import { Buffer } from "node:buffer";
import { blocking } from "../harness/sample.mjs";

const RAW = "doubling buffer";
const CHUNKS = 100_000, SIZE = 100;

export default {
  name: "spool",
  title: "100,000 writes of 100 bytes in memory, and the whole as one array",
  reference: RAW,
  places: ["tmpfs"],
  rounds: 11,
  goals: [
    {
      ours: "spooledTemporaryFile, writeSync",
      to: [RAW, "Buffer.concat"],
      called: "the better of a doubling buffer and Buffer.concat",
      atMost: 1,
    },
  ],
  contenders({ m }) {
    const chunks = split(new Uint8Array(CHUNKS * SIZE).fill(7));
    return [
      { name: RAW, run: blocking(() => doubling(chunks)) },
      { name: "Buffer.concat", run: blocking(() => concat(chunks)) },
      { name: "spooledTemporaryFile, writeSync", ours: true, run: blocking(() => spoolSync(m, chunks)) },
      {
        name: "spooledTemporaryFile, await write",
        ours: true,
        count: 1,
        run: () => spool(m, chunks),
      },
    ];
  },
};

/** Each chunk has its own memory, like chunks that arrive one by one. */
const split = (all) =>
  Array.from({ length: CHUNKS }, (_, index) => all.subarray(index * SIZE, (index + 1) * SIZE));

function check(bytes) {
  if (bytes.length !== CHUNKS * SIZE || bytes.at(-1) !== 7) throw new Error("Not what was written");
}

function doubling(chunks) {
  let buffer = new Uint8Array(1024), length = 0;
  for (const chunk of chunks) {
    if (length + chunk.length > buffer.length) {
      const larger = new Uint8Array(buffer.length * 2);
      larger.set(buffer);
      buffer = larger;
    }
    buffer.set(chunk, length);
    length += chunk.length;
  }
  check(buffer.subarray(0, length));
}

function concat(chunks) {
  const list = [];
  for (const chunk of chunks) list.push(chunk);
  check(Buffer.concat(list));
}

const options = { maxMemory: 2 * CHUNKS * SIZE };

function spoolSync(m, chunks) {
  const file = m.spooledTemporaryFile(options);
  for (const chunk of chunks) file.writeSync(chunk);
  check(file.bytesSync());
  file[Symbol.dispose]();
}

async function spool(m, chunks) {
  const file = m.spooledTemporaryFile(options);
  for (const chunk of chunks) await file.write(chunk);
  check(await file.bytes());
  await file[Symbol.asyncDispose]();
}
