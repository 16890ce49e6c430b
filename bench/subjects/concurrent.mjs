import { promisify } from "node:util";
import { worstGap } from "../harness/gaps.mjs";

const RAW = "fs.promises";
const COUNT = 1000;

export default {
  name: "concurrent",
  title: "1,000 concurrent named files: create, close, remove",
  note: "Each contender starts all of them before it waits for any (`Promise.all`).",
  reference: RAW,
  peers: ["tmp", "tempy"],
  count: COUNT,
  rounds: 11,
  disk: { rounds: 3, runtimes: ["node24", "deno", "bun"] },
  metrics: [
    { key: "time", title: "time for each", unit: "µs", shows: "ratio" },
    { key: "gap", title: "longest gap in the event loop", unit: "ms" },
  ],
  goals: [
    { ours: "namedTemporaryFile", metric: "gap", below: 6 },
    { ours: "namedTemporaryFile", to: RAW, speed: 2 },
    { ours: "namedTemporaryFile", to: "tmp", speed: 4 },
  ],
  async contenders({ m, dir, fs, peer }) {
    let number = 0;
    const path = () => `${dir}/own${number++}`;
    const [tmp, tempy] = await Promise.all(["tmp", "tempy"].map(peer));
    const tmpFile = promisify((done) =>
      tmp.file((error, _path, _fd, remove) => error ? done(error) : remove(done))
    );
    return [
      contender(RAW, () => promises(fs, path())),
      { ...contender("namedTemporaryFile", () => ours(m)), ours: true },
      contender("blocking calls, all in one turn", () => blockingCalls(fs, path())),
      contender("tmp", () => tmpFile()),
      contender("tempy", () => tempy.temporaryWriteTask("", () => {})),
    ];
  },
};

function contender(name, call) {
  const all = (count) => Promise.all(Array.from({ length: count }, call));
  return { name, run: async (count) => ({ gap: await worstGap(() => all(count)) }) };
}

async function ours(m) {
  await (await m.namedTemporaryFile())[Symbol.asyncDispose]();
}

async function promises(fs, path) {
  const handle = await fs.promises.open(path, "wx+", 0o600);
  await handle.close();
  await fs.promises.unlink(path);
}

// deno-lint-ignore require-await -- it is to block
async function blockingCalls(fs, path) {
  fs.closeSync(fs.openSync(path, "wx+", 0o600));
  fs.unlinkSync(path);
}
