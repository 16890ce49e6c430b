/**
 * `persist()` of a file that is aborted, or interrupted by the end of the process.
 *
 * @module
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { temporaryFile } from "#mod";
import { held } from "../../lib/life/registry.ts";
import { configure } from "../../lib/settings.ts";
import { namedTemporaryFile as sourceNamed } from "../../lib/file/named.ts";
import { temporaryFile as sourceUnnamed } from "../../lib/file/unnamed.ts";
import { runChild } from "../support/child.ts";
import { pattern, sameBytes } from "../support/kinds.ts";
import { leasesIn, plant, readLeases } from "../support/leases.ts";
import { packageTest as test } from "../support/once.ts";
import { modeOf, noLinux, noSignals, shownMode } from "../support/platform.ts";
import { workspace } from "../support/places.ts";
import { scratch } from "../support/scratch.ts";
import { substitute } from "../support/substitute.ts";

test("persist() aborted by its signal while it waits for a write with a stalled source puts nothing in place", async () => {
  using place = workspace();
  const target = join(place.results.path, "target");
  await using file = await temporaryFile({ dir: place.temporary.path });
  let end!: () => void;
  async function* source(): AsyncGenerator<string> {
    yield "abc";
    await new Promise<void>((resolve) => end = resolve);
  }
  const written = file.write(source());
  const controller = new AbortController(), reason = new Error("enough");
  const persisted = file.persist(target, { signal: controller.signal });
  while (end === undefined) await new Promise((resolve) => setTimeout(resolve, 1));
  controller.abort(reason);
  await assert.rejects(persisted, reason);
  end();
  assert.equal(await written, 3);
  assert.equal(await file.text(), "abc");
  assert.deepEqual(place.results.list(), []);
});

test("persist() with an aborted signal, or aborted between the steps of a copy, rejects and changes nothing", async () => {
  using place = workspace();
  const target = join(place.results.path, "target");
  writeFileSync(target, "old");
  const file = await sourceUnnamed({ dir: place.temporary.path });
  await file.write(pattern(3 * 1024 ** 2));
  await file.flush();
  const reason = new Error("enough");
  const aborted = { signal: AbortSignal.abort(reason) };
  await assert.rejects(file.persist(target, aborted), reason);
  assert.throws(() => file.persistSync(target, aborted as object), (error) => error === reason);
  for (const step of ["createFile", "write", "synchronize"] as const) {
    const controller = new AbortController();
    using watched = substitute({
      primitives: {
        [step]: (real: (...args: unknown[]) => unknown, ...args: unknown[]) => {
          controller.abort(reason);
          return real(...args);
        },
      },
    });
    await assert.rejects(file.persist(target, { signal: controller.signal }), reason);
    assert.ok(watched.of(step).length > 0);
    assert.deepEqual(place.results.list(), ["target"]);
  }
  assert.equal(readFileSync(target, "utf8"), "old");
  assert.ok(sameBytes(await file.bytes(), pattern(3 * 1024 ** 2)));
  await file.persist(target);
  assert.ok(sameBytes(readFileSync(target), pattern(3 * 1024 ** 2)));
});

test(
  "SIGTERM during persist() of a large file, with signals: true, leaves the old target and nothing beside it",
  {
    skip: noSignals,
  },
  async () => {
    using place = workspace();
    const target = join(place.results.path, "target");
    writeFileSync(target, "old");
    const { said, signal, stderr } = await runChild(
      `m.configure({ signals: true });
     const file = m.spooledTemporaryFile({ dir: args[0], maxMemory: 2 ** 26 });
     await file.write(new Uint8Array(2 ** 25));
     const timer = setInterval(() => {
       if (fs.readdirSync(path.dirname(args[1])).length < 2) return;
       say("staged");
       clearInterval(timer);
       process.kill(process.pid, "SIGTERM");
     }, 0);
     await file.persist(args[1]);
     await new Promise((resolve) => setTimeout(resolve, 5000));`,
      { args: [place.temporary.path, target] },
    );
    assert.deepEqual([said, signal], [["staged"], "SIGTERM"], stderr);
    assert.equal(readFileSync(target, "utf8"), "old");
    assert.deepEqual([place.temporary.list(), place.results.list()], [[], ["target"]]);
  },
);

test("persist() aborted while it syncs the file puts nothing in place, and leaves the file unchanged", async () => {
  using place = workspace();
  const target = join(place.results.path, "old");
  writeFileSync(target, "old", { mode: 0o644 });
  const file = await sourceNamed({ dir: place.temporary.path });
  await file.write("new");
  const controller = new AbortController(), reason = new Error("no longer");
  {
    using _ = substitute({
      primitives: {
        synchronize: (real, ...args) => (controller.abort(reason), real(...args as unknown[])),
      },
    });
    await assert.rejects(file.persist(target, { signal: controller.signal }), reason);
  }
  assert.deepEqual([readFileSync(target, "utf8"), place.results.list()], ["old", ["old"]]);
  assert.deepEqual([modeOf(file.path), await file.text()], [shownMode(0o600), "new"]);
  await file.persist(target, { signal: new AbortController().signal });
  assert.equal(readFileSync(target, "utf8"), "new");
});

test("process exit does not wait for a rename that the thread pool has already done, and keeps the target", async () => {
  using place = workspace();
  const target = join(place.results.path, "new");
  const file = await sourceNamed({ dir: place.temporary.path });
  configure({ inline: false });
  try {
    let waits = 0;
    using watched = substitute({
      primitives: {
        rename(_real, ...[from, to]: [string, string]) {
          renameSync(from, to);
          return new Promise(() => {});
        },
      },
      runtime: { sleep: () => waits++ },
    });
    void file.persist(target);
    while (watched.of("rename").length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    const entry = held().entries.find(({ path }) => path === file.path);
    assert.deepEqual([entry!.discard(), waits, existsSync(target)], [true, 0, true]);
  } finally {
    configure({ inline: undefined });
  }
});

/** Fails to put a file, another with `overwrite: false` and a directory under their own names elsewhere, and is killed. */
const FAILS_AND_DIES = `
const system = globalThis.Deno ?? fs, { renameSync, linkSync } = system;
const refuse = () => { throw Object.assign(new Error("refused"), { code: "EIO" }); };
const put = (made, options) => made.persistSync(path.join(args[0], path.basename(made.path)), options);
const file = m.namedTemporaryFileSync(), linked = m.namedTemporaryFileSync(), again = m.namedTemporaryFileSync();
const directory = m.temporaryDirectorySync();
fs.writeFileSync(directory.join("inside"), "");
// The results are in a directory that may have leftovers with such names.
m.namedTemporaryFileSync({ dir: args[0] });
Object.assign(system, { renameSync: refuse, linkSync: refuse });
for (const [made, options] of [[file], [linked, { overwrite: false }], [directory], [again]]) {
  try {
    put(made, options);
  } catch ({ code }) {
    say(code);
  }
}
Object.assign(system, { renameSync, linkSync });
say(path.basename(put(again)));
process.kill(process.pid, "SIGKILL");`;

test(
  "C259 C265 sweep() removes what a killed process had failed to persist under the same name in another directory, but not what it then persisted",
  { skip: noLinux },
  async () => {
    using place = workspace();
    const env = { TMPDIR: place.temporary.path };
    const { said, signal, stderr } = await runChild(FAILS_AND_DIES, { args: [place.results.path], env });
    const result = said.pop();
    assert.deepEqual([said, signal], [["EIO", "EIO", "EIO", "EIO"], "SIGKILL"], stderr);
    assert.equal(place.temporary.list().length, 4);
    const swept = await runChild("say((await m.sweep()).left);", { env });
    assert.deepEqual(swept.said, [[]], swept.stderr);
    assert.deepEqual([place.temporary.list(), place.results.list()], [[basename(leasesIn(""))], [result]]);
    assert.deepEqual(readLeases(place.temporary.path), {});
  },
);

/** The file put in place has the name of one that we hold, in a directory with leftovers of ours. */
const PUTS_AND_DIES = `
const system = globalThis.Deno ?? fs, { renameSync } = system;
const [results, others] = args, forms = m.namedTemporaryFileSync({ dir: results });
const held = m.namedTemporaryFileSync(), name = path.basename(held.path);
m.writeFileAtomicSync(path.join(results, name), "published");
Object.assign(system, { renameSync() { throw Object.assign(new Error("refused"), { code: "EIO" }); } });
try {
  m.writeFileAtomicSync(path.join(others, name), "fails");
} catch (error) {
  say(error.code);
}
Object.assign(system, { renameSync });
say(name);
process.kill(process.pid, "SIGKILL");`;

test(
  "C259 C265 a failed call does not end the protection of what was put in place under the same name before",
  { skip: noLinux },
  async () => {
    using place = workspace();
    using others = scratch();
    const env = { TMPDIR: place.temporary.path };
    const args = [place.results.path, others.path];
    const { said, signal, stderr } = await runChild(PUTS_AND_DIES, { args, env });
    assert.deepEqual([said[0], said.length, signal], ["EIO", 2, "SIGKILL"], stderr);
    const swept = await runChild("say((await m.sweep()).left);", { env });
    assert.deepEqual(swept.said, [[]], swept.stderr);
    assert.deepEqual([place.results.list(), others.list()], [[said[1]], []]);
  },
);

const REPLACES_AND_DIES = `
const held = m.namedTemporaryFileSync(), adopted = m.adoptFileSync(args[0]);
for (const { path } of [held, adopted]) m.writeFileAtomicSync(path, "new");
m.namedTemporaryFileSync().persistSync(m.namedTemporaryFileSync().path);
process.kill(process.pid, "SIGKILL");`;

test(
  "C265 sweep() removes what a killed process has put in place of its own temporary files",
  { skip: noLinux },
  async () => {
    using place = workspace();
    const env = { TMPDIR: place.temporary.path };
    const { name } = plant(place.temporary.path), planted = join(place.temporary.path, name());
    writeFileSync(planted, "");
    const { signal, stderr } = await runChild(REPLACES_AND_DIES, { args: [planted], env });
    assert.equal(signal, "SIGKILL", stderr);
    assert.equal(place.temporary.list().length, 4);
    const swept = await runChild("say((await m.sweep()).left);", { env });
    assert.deepEqual(swept.said, [[]], swept.stderr);
    assert.deepEqual(place.temporary.list(), [basename(leasesIn(""))]);
  },
);
