/** A thread of `bench/subjects/workers.mjs`: makes files when told to. */
import fs from "node:fs";
import { pathToFileURL } from "node:url";
import { parentPort, threadId, workerData } from "node:worker_threads";
import { rawSync } from "./raw.mjs";

const { dir, kind, library } = workerData;
const m = await import(pathToFileURL(library));
const own = `${dir}/thread${threadId}`;
fs.mkdirSync(own, { recursive: true });
const bare = rawSync(own, fs, kind).named;

parentPort.on("message", ({ isOurs, count }) => {
  for (let i = 0; i < count; i++) {
    if (isOurs) m.namedTemporaryFileSync().closeSync();
    else bare();
  }
  parentPort.postMessage("done");
});
parentPort.postMessage("ready");
