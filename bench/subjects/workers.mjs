import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";

const label = (how, threads) => `${how}, ${threads} ${threads === 1 ? "thread" : "threads"}`;
const BARE = "bare calls", OURS = "namedTemporaryFileSync";

/** Files that each thread makes in a sample. */
const COUNT = 50;

export default {
  name: "workers",
  title: "Named files made by many worker threads, per file",
  note: "On two processors, more than two threads cannot be faster, but they must not be slower.",
  reference: label(BARE, 1),
  places: ["tmpfs"],
  rounds: 7,
  goals: [{ ours: label(OURS, 64), to: label(OURS, 1), atMost: 1.5 }],
  async contenders({ dir, kind, library, quick }) {
    const most = quick ? 8 : 64;
    const pool = await Promise.all(Array.from({ length: most }, () => start({ dir, kind, library })));
    return [1, 8, most].filter((size, index, all) => all.indexOf(size) === index).flatMap((size) =>
      [BARE, OURS].map((how) => ({
        name: label(how, size),
        ours: how === OURS,
        count: size * COUNT,
        run: async () => void await Promise.all(pool.slice(0, size).map((worker) => ask(worker, how))),
      }))
    );
  },
};

async function start(workerData) {
  const worker = new Worker(fileURLToPath(new URL("../harness/worker.mjs", import.meta.url)), { workerData });
  await once(worker, "message");
  return worker;
}

function ask(worker, how) {
  worker.postMessage({ isOurs: how === OURS, count: COUNT });
  return once(worker, "message");
}
