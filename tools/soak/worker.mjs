// One of the processes of the soak: performs random actions until it is killed, announces each of them, and writes down
// what is wrong. Runs on each runtime: `worker.mjs <module> <place> <milliseconds between actions>`.
import { createHash, randomInt } from "node:crypto";
import * as fs from "node:fs";
import { basename, join } from "node:path";
import process from "node:process";

const [module, place] = process.argv.slice(2);
/** Milliseconds between two actions, on average. */
const pause = Number(process.argv[4]);
const m = await import(module);
const at = (...names) => join(place, ...names);
const targets = [0, 1, 2, 3].map((number) => at("results", `target-${number}`));
const pick = (values) => values[randomInt(values.length)];

function complain(text) {
  fs.writeFileSync(
    at("problems", `${process.pid}-${process.hrtime.bigint()}`),
    `pid ${process.pid}: ${text}\n`,
  );
}

/** Returns a text that carries its own checksum. */
function selfDescribing(length) {
  const body = pick("abcdefgh").repeat(length);
  return `${createHash("sha256").update(body).digest("hex")}\n${body}`;
}

function requireWhole(path) {
  const [sum, body] = fs.readFileSync(path, "latin1").split("\n");
  if (createHash("sha256").update(body ?? "").digest("hex") !== sum) complain(`${path} is not a whole file`);
}

const lockFile = m.adoptFileSync(at("results", "lock"));
lockFile.keep();

async function named() {
  await using file = await m.namedTemporaryFile({
    prefix: pick(["tmp", "job-", "a.b"]),
    suffix: pick(["", ".txt"]),
  });
  const text = selfDescribing(randomInt(1, 20_000));
  await file.write(text);
  if (await file.text() !== text) complain(`${file.path} does not hold what was written`);
}

async function unnamed() {
  await using file = pick([true, false])
    ? await m.temporaryFile()
    : m.spooledTemporaryFile({ maxMemory: 1000 });
  const text = selfDescribing(randomInt(1, 50_000));
  await file.write(text);
  if (await file.text() !== text) complain("a file without a name does not hold what was written");
}

async function nested() {
  await using directory = await m.temporaryDirectory();
  for (let n = randomInt(1, 5); n > 0; n--) {
    const inner = await directory.temporaryDirectory();
    const file = inner.namedTemporaryFileSync();
    file.writeSync("inside");
    file.closeSync();
    fs.mkdirSync(inner.join("deep", "deeper"), { recursive: true });
    fs.symlinkSync(at("foreign"), inner.join("link"));
    if (pick([true, false])) fs.chmodSync(inner.join("deep"), 0);
  }
}

async function persist() {
  const text = selfDescribing(randomInt(1, 100_000));
  const file = await pick([m.namedTemporaryFile, m.temporaryFile, m.spooledTemporaryFile])();
  await file.write(text);
  await file.persist(pick(targets), { durable: false });
}

async function replace() {
  await m.writeFileAtomic(pick(targets), selfDescribing(randomInt(1, 100_000)), {
    durable: pick([true, false]),
  });
}

function read() {
  requireWhole(pick(targets));
}

/** Keeping a file is announced before and confirmed afterwards: what is confirmed must stay. */
async function keep() {
  const file = await m.namedTemporaryFile({ suffix: ".kept" });
  const name = basename(file.path);
  fs.writeFileSync(at("keeping", name), "");
  await file.write("kept");
  file.keep();
  await file.close();
  fs.writeFileSync(at("kept", name), "");
}

/** A killed process that its parent has not reaped yet has already released its locks. */
const isAlive = (pid) => {
  try {
    return !/^State:\s*[ZX]/m.test(fs.readFileSync(`/proc/${pid}/status`, "latin1"));
  } catch {
    return false;
  }
};

/**
 * Only one process may be inside; the mark of one that died there does not count. Nobody stays long, so nobody waits
 * long.
 */
async function lock() {
  await using _held = await lockFile.lock({ timeout: 20_000 });
  const mark = at("results", "inside");
  const before = fs.existsSync(mark) ? Number(fs.readFileSync(mark, "latin1")) : 0;
  if (before !== 0 && before !== process.pid && isAlive(before)) {
    complain(`locked while ${before} had the lock`);
  }
  fs.writeFileSync(mark, String(process.pid));
  await new Promise((resolve) => setTimeout(resolve, randomInt(5)));
  if (Number(fs.readFileSync(mark, "latin1")) !== process.pid) {
    complain("another came in while it was locked");
  }
  fs.rmSync(mark);
}

async function sweep() {
  const { left } = await m.sweep();
  const troubles = left.filter(({ code }) =>
    !["ENOENT", "ENOTEMPTY", "ERR_REPLACED", "EBUSY"].includes(code)
  );
  if (troubles.length > 0) complain(`could not sweep ${JSON.stringify(troubles)}`);
}

const actions = { named, unnamed, nested, persist, replace, read, keep, lock, sweep };
const weights = {
  named: 6,
  unnamed: 6,
  nested: 4,
  persist: 3,
  replace: 2,
  read: 6,
  keep: 1,
  lock: 4,
  sweep: 1,
};
const drawn = Object.entries(weights).flatMap(([name, weight]) => Array(weight).fill(name));

const openNow = () => fs.readdirSync("/proc/self/fd").length;
/** Descriptors that are open briefly, including the runtime's own. */
const SLACK = 24;
/** Turns after which a runtime has loaded everything that it loads late. */
const WARM = 50;
let baseline;

for (let turn = 1;; turn++) {
  const name = pick(drawn);
  fs.writeSync(1, `${name}\n`);
  try {
    await actions[name]();
  } catch (error) {
    complain(`${name}: ${error.stack}`);
  }
  if (turn === WARM) baseline = openNow();
  if (pause > 0) await new Promise((resolve) => setTimeout(resolve, 2 * pause * Math.random()));
  if (turn % 5 !== 0) continue;
  if (baseline !== undefined && openNow() > baseline + SLACK) {
    complain(`${openNow()} descriptors are open after ${turn} turns, ${baseline} were after ${WARM}`);
    baseline = Infinity;
  }
}
