import { rawSync } from "../harness/raw.mjs";
import { awaited, blocking } from "../harness/sample.mjs";

const RAW = "O_TMPFILE and close, blocking";

export default {
  name: "unnamed",
  title: "An unnamed file: create, close",
  reference: RAW,
  traced: true,
  external: [
    { name: "C loop", program: "c", what: "unnamed" },
    { name: "Python TemporaryFile", program: "python", what: "unnamed" },
  ],
  goals: [
    { ours: "temporaryFile", to: RAW, atMost: 1.25 },
    { ours: "temporaryFileSync", to: RAW, atMost: 1.25 },
  ],
  contenders({ m, dir, fs, kind }) {
    let number = 0;
    const path = () => `${dir}/own${number++}`;
    return [
      { name: RAW, run: blocking(rawSync(dir, fs, kind).unnamed) },
      {
        name: "temporaryFile",
        ours: true,
        run: awaited(async () => await (await m.temporaryFile())[Symbol.asyncDispose]()),
      },
      { name: "temporaryFileSync", ours: true, run: blocking(() => m.temporaryFileSync()[Symbol.dispose]()) },
      { name: "create and unlink, blocking", run: blocking(() => createAndUnlink(fs, path())) },
      { name: "fs.promises, create and unlink", run: awaited(() => createAndUnlinkAsync(fs, path())) },
    ];
  },
};

/** The way of those who do not use O_TMPFILE. */
function createAndUnlink(fs, path) {
  const fd = fs.openSync(path, "wx+", 0o600);
  fs.unlinkSync(path);
  fs.closeSync(fd);
}

async function createAndUnlinkAsync(fs, path) {
  const handle = await fs.promises.open(path, "wx+", 0o600);
  await fs.promises.unlink(path);
  await handle.close();
}
