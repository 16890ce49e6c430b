import { promisify } from "node:util";
import { rawSync } from "../harness/raw.mjs";
import { awaited, blocking } from "../harness/sample.mjs";

const RAW = "mkdir and rmdir, blocking";

export default {
  name: "directory",
  title: "An empty directory: create, remove",
  reference: RAW,
  peers: ["tmp", "tmp-promise", "tempy", "temp", "fs-temp"],
  traced: true,
  external: [
    { name: "C loop", program: "c", what: "directory" },
    { name: "Python TemporaryDirectory", program: "python", what: "directory" },
  ],
  goals: [
    { ours: "temporaryDirectory", to: RAW, atMost: 1.5 },
    { ours: "temporaryDirectorySync", to: RAW, atMost: 1.5 },
  ],
  async contenders({ m, dir, fs, peer, kind }) {
    return [
      { name: RAW, run: blocking(rawSync(dir, fs, kind).directory) },
      {
        name: "temporaryDirectory",
        ours: true,
        run: awaited(async () => await (await m.temporaryDirectory())[Symbol.asyncDispose]()),
      },
      {
        name: "temporaryDirectorySync",
        ours: true,
        run: blocking(() => m.temporaryDirectorySync()[Symbol.dispose]()),
      },
      ...ofRuntime(dir, fs, kind),
      ...await packages(fs, peer),
    ];
  },
};

function ofRuntime(dir, fs, kind) {
  const prefix = `${dir}/own`;
  const { mkdtemp, mkdtempDisposable, rmdir } = fs.promises;
  const makeTempDir = async () => await globalThis.Deno.remove(await globalThis.Deno.makeTempDir());
  return [
    { name: "mkdtempSync, rmdirSync", run: blocking(() => fs.rmdirSync(fs.mkdtempSync(prefix))) },
    { name: "fs.promises, mkdtemp and rmdir", run: awaited(async () => await rmdir(await mkdtemp(prefix))) },
    ...mkdtempDisposable
      ? [{
        name: "fs.promises.mkdtempDisposable",
        run: awaited(async () => await (await mkdtempDisposable(prefix)).remove()),
      }]
      : [],
    ...kind === "deno" ? [{ name: "Deno.makeTempDir", run: awaited(makeTempDir) }] : [],
  ];
}

async function packages(fs, peer) {
  const [tmp, tmpPromise, tempy, temp, fsTemp] = await Promise.all(
    ["tmp", "tmp-promise", "tempy", "temp", "fs-temp"].map(peer),
  );
  const tmpDir = promisify((done) => tmp.dir((error, _path, remove) => error ? done(error) : remove(done)));
  const makeTemp = promisify(temp.mkdir), makeFsTemp = promisify(fsTemp.mkdir), { rmdir } = fs.promises;
  return [
    { name: "tmp", run: awaited(() => tmpDir()) },
    { name: "tmp-promise", run: awaited(async () => await (await tmpPromise.dir()).cleanup()) },
    { name: "tempy", run: awaited(() => tempy.temporaryDirectoryTask(() => {})) },
    { name: "temp", run: awaited(async () => await rmdir(await makeTemp("bench"))) },
    { name: "fs-temp", run: awaited(async () => await rmdir(await makeFsTemp())) },
  ];
}
