import { spawnSync } from "node:child_process";
import { worstGap } from "../harness/gaps.mjs";

const RAW = "rmSync";
const FASTEST = ["rm -rf", RAW, "rimraf", "rimraf, sync"];

export default {
  name: "tree",
  title: "A tree of 10,000 files in 100 directories: remove",
  note: "Only the removal is timed. On the disk, 2,000 files in 20 directories; with `--quick`, 1,000 in 10.",
  reference: RAW,
  peers: ["rimraf"],
  count: 1,
  cold: true,
  rounds: 5,
  disk: { rounds: 2, runtimes: ["node24", "deno", "bun"] },
  metrics: [
    { key: "time", title: "time", unit: "µs", shows: "ratio" },
    { key: "gap", title: "longest gap in the event loop", unit: "ms" },
  ],
  goals: [
    { ours: "remove", to: FASTEST, called: "the fastest of rm -rf, rmSync and rimraf", atMost: 1.15 },
    { ours: "removeSync", to: FASTEST, called: "the fastest of rm -rf, rmSync and rimraf", atMost: 1.15 },
    { ours: "remove", metric: "gap", below: 6 },
  ],
  async contenders({ m, dir, fs, peer, quick, place }) {
    const rimraf = await peer("rimraf");
    const fill = (path) => fillTree(fs, path, quick ? 10 : place === "disk" ? 20 : 100);
    let number = 0;
    const bare = () => fill(`${dir}/tree${number++}`);
    const own = () => {
      const directory = m.temporaryDirectorySync();
      fill(directory.path);
      return directory;
    };
    const removing = (remove) => async (_count, prepared) => ({
      gap: await worstGap(() => remove(prepared)),
    });
    return [
      { name: RAW, prepare: bare, run: (_count, path) => fs.rmSync(path, { recursive: true }) },
      {
        name: "removeSync",
        ours: true,
        prepare: own,
        run: (_count, directory) => void directory.removeSync(),
      },
      { name: "remove", ours: true, prepare: own, run: removing((directory) => directory.remove()) },
      {
        name: "fs.promises.rm",
        prepare: bare,
        run: removing((path) => fs.promises.rm(path, { recursive: true })),
      },
      { name: "rimraf", prepare: bare, run: removing((path) => rimraf.rimraf(path)) },
      { name: "rimraf, sync", prepare: bare, run: (_count, path) => void rimraf.rimrafSync(path) },
      { name: "rm -rf", prepare: bare, run: (_count, path) => void spawnSync("rm", ["-rf", path]) },
    ];
  },
};

function fillTree(fs, path, directories) {
  fs.mkdirSync(path, { recursive: true });
  for (let i = 0; i < directories; i++) {
    fs.mkdirSync(`${path}/${i}`);
    for (let j = 0; j < 100; j++) fs.closeSync(fs.openSync(`${path}/${i}/${j}`, "w"));
  }
  return path;
}
