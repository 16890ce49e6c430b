import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { notLoaded, TempfileError } from "../../lib/errors.ts";
import { lazily } from "../../lib/runtime/attempt.ts";
import { runChild } from "../support/child.ts";
import { scratch } from "../support/scratch.ts";

/** Deno loads the targets of a literal `import()` with the program, except in `node_modules`, where it panics. */
const cannotFail = "Deno" in globalThis && "Deno has loaded them by then" ||
  process.platform === "win32" && "Windows has no ulimit";

/** Node 20 caches the failure to load a module. */
const remembers = /^v20\./.test(process.version) && process.versions.bun === undefined;

test("a part of the library that is missing or broken rejects with a TempfileError, with the runtime's error as cause", async () => {
  using place = scratch();
  writeFileSync(join(place.path, "broken.mjs"), "export const = ");
  for (const name of ["gone.mjs", "broken.mjs"]) {
    const url = pathToFileURL(join(place.path, name)).href;
    await assert.rejects(import(url).catch(notLoaded("tests")), (error) => {
      assert.ok(error instanceof TempfileError);
      const { message, code, cause } = error;
      assert.match(
        code,
        name === "gone.mjs" ? /^(ENOENT|ERR_MODULE_NOT_FOUND)$/ : /^(UNKNOWN|ERR_MODULE_NOT_FOUND)$/,
      );
      assert.ok(message.startsWith("Cannot load Mayfly's part for tests: "), message);
      assert.ok(message.endsWith(` (${code})`), message);
      assert.equal(typeof (cause as Error).message, "string");
      return true;
    });
  }
});

test("what is loaded at the first call is loaded once, and after a failure the next call tries again", async () => {
  let loads = 0;
  const load = lazily(() => ++loads === 1 ? Promise.reject(new Error("not yet")) : Promise.resolve(loads));
  await assert.rejects(load(), /not yet/);
  assert.deepEqual([await load(), await load(), loads], [2, 2, 2]);
});

/** Reports how each call that loads a part ends without a free descriptor, and how when some are free again. */
const EXHAUSTED = `
m.configure({ reclaim: false });
const file = await m.namedTemporaryFile();
await file.write("kept");
const calls = {
  lock: async () => (await file.lock()).release(),
  tryLock: async () => (await file.tryLock()).release(),
  blob: async () => { await file.blob(); },
  sweep: async () => { await m.sweep({ dryRun: true }); },
};
const outcomes = async () => {
  const all = [];
  for (const [name, call] of Object.entries(calls)) {
    all.push([name, await call().then(() => null, (e) => [e.name, e.code, e.message, e.cause !== undefined])]);
  }
  return Object.fromEntries(all);
};
const open = [];
try { for (;;) open.push(fs.openSync("/dev/null", "r")); } catch (error) { say(error.code); }
const without = await outcomes();
for (const fd of open) fs.closeSync(fd);
say(without);
say(await outcomes());
say(await file.text());
await file.close();
`;

/** The part of the library that each call loads. */
const PARTS: { [call: string]: string } = {
  lock: "locks",
  tryLock: "locks",
  blob: "blobs",
  sweep: "sweeping",
};

test(
  "locks, blobs and sweep() fail with EMFILE if no descriptor is free to load them, and work later (Node and Bun, POSIX)",
  {
    skip: cannotFail,
  },
  async () => {
    // Enough for the modules of the source, which are all read at once.
    const few = ["sh", "-c", 'ulimit -n 256 && exec "$@"', "sh"];
    const { said, stderr } = await runChild(EXHAUSTED, { under: few });
    const [exhausted, without, after, text] = said;
    assert.deepEqual([exhausted, text], ["EMFILE", "kept"], stderr);
    for (const [call, part] of Object.entries(PARTS)) {
      const message = `Cannot load Mayfly's part for ${part}: too many open files in this process (EMFILE)`;
      assert.deepEqual(without[call], ["TempfileError", "EMFILE", message, true]);
      assert.deepEqual(after[call], remembers ? without[call] : null, call);
    }
  },
);
