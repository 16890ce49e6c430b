import { promisify } from "node:util";
import { rawSync } from "../harness/raw.mjs";
import { awaited, blocking } from "../harness/sample.mjs";

const RAW = "bare calls, blocking";
const ASYNC_PEERS = [
  "tmp",
  "tmp-promise",
  "tempy",
  "temp",
  "fs-temp",
  "Deno.makeTempFile",
  "Bun.write, delete",
];

export default {
  name: "named",
  title: "A named file: create, close, remove",
  reference: RAW,
  peers: ["tmp", "tmp-promise", "tempy", "temp", "fs-temp"],
  traced: true,
  external: [
    { name: "C loop", program: "c", what: "named" },
    { name: "Python NamedTemporaryFile", program: "python", what: "named" },
  ],
  goals: [
    { ours: "namedTemporaryFile", to: RAW, atMost: 1.6, place: "tmpfs" },
    { ours: "namedTemporaryFile", to: RAW, atMost: 1.3, place: "disk" },
    { ours: "namedTemporaryFile", to: "tmp", speed: 10 },
    { ours: "namedTemporaryFile", to: ASYNC_PEERS, called: "the best asynchronous peer", speed: 5 },
    { ours: "namedTemporaryFileSync", to: RAW, atMost: 1.25 },
  ],
  async contenders({ m, dir, fs, peer, kind }) {
    return [
      { name: RAW, run: blocking(rawSync(dir, fs, kind).named) },
      {
        name: "namedTemporaryFile",
        ours: true,
        run: awaited(async () => await (await m.namedTemporaryFile())[Symbol.asyncDispose]()),
      },
      {
        name: "namedTemporaryFileSync",
        ours: true,
        run: blocking(() => m.namedTemporaryFileSync()[Symbol.dispose]()),
      },
      ...ofRuntime(dir, fs, kind),
      ...await packages(fs, peer),
    ];
  },
};

/** What each runtime offers besides blocking calls. */
function ofRuntime(dir, fs, kind) {
  let number = 0;
  const path = () => `${dir}/own${number++}`;
  const promises = async (name = path()) => {
    const handle = await fs.promises.open(name, "wx+", 0o600);
    await handle.close();
    await fs.promises.unlink(name);
  };
  const open = promisify(fs.open), close = promisify(fs.close), unlink = promisify(fs.unlink);
  const callbacks = async (name = path()) => {
    await close(await open(name, "wx+", 0o600));
    await unlink(name);
  };
  return [
    { name: "fs callbacks", run: awaited(() => callbacks()) },
    { name: "fs.promises", run: awaited(() => promises()) },
    ...kind === "deno" ? makeTempFile() : [],
    ...kind === "bun" ? [{ name: "Bun.write, delete", run: awaited(() => writeAndDelete(path())) }] : [],
  ];
}

function makeTempFile() {
  const { Deno } = globalThis;
  return [
    { name: "Deno.makeTempFile", run: awaited(async () => await Deno.remove(await Deno.makeTempFile())) },
    { name: "Deno.makeTempFileSync", run: blocking(() => Deno.removeSync(Deno.makeTempFileSync())) },
  ];
}

async function writeAndDelete(path) {
  const { Bun } = globalThis;
  await Bun.write(path, "");
  await Bun.file(path).delete();
}

async function packages(fs, peer) {
  const [tmp, tmpPromise, tempy, temp, fsTemp] = await Promise.all(
    ["tmp", "tmp-promise", "tempy", "temp", "fs-temp"].map(peer),
  );
  const close = promisify(fs.close), unlink = promisify(fs.unlink);
  const tmpFile = () =>
    new Promise((resolve, reject) =>
      tmp.file((error, _path, _fd, remove) =>
        error ? reject(error) : remove((failed) => failed ? reject(failed) : resolve())
      )
    );
  const opened = async ({ path, fd }) => {
    await close(fd);
    await unlink(path);
  };
  const openTemp = promisify(temp.open), openFsTemp = promisify((done) => fsTemp.open("w+", done));
  return [
    { name: "tmp", run: awaited(tmpFile) },
    { name: "tmp, fileSync", run: blocking(() => tmp.fileSync().removeCallback()) },
    { name: "tmp-promise", run: awaited(async () => await (await tmpPromise.file()).cleanup()) },
    { name: "tempy", run: awaited(() => tempy.temporaryWriteTask("", () => {})) },
    { name: "temp", run: awaited(async () => await opened(await openTemp("bench"))) },
    { name: "fs-temp", run: awaited(async () => await opened(await openFsTemp())) },
  ];
}
