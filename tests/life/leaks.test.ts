import assert from "node:assert/strict";
import { unlinkSync } from "node:fs";
import { buildSync } from "esbuild";
import { join } from "node:path";
import { makeDirectory } from "../../lib/create/make_directory.ts";
import { OwnedTree } from "../../lib/create/owned_tree.ts";
import { OpenFile } from "../../lib/file/open_file.ts";
import { DiskStorage } from "../../lib/file/storage.ts";
import { framesOfCaller, type Leakable, unwatchLeak, watchLeak } from "../../lib/life/leaks.ts";
import { syncIo } from "../../lib/operation/io.ts";
import { runSync } from "../../lib/operation/op.ts";
import { DEFAULTS } from "../../lib/options/checked.ts";
import { checkReplacing } from "../../lib/persist/options.ts";
import { persistTree } from "../../lib/persist/persist_tree.ts";
import { runtime } from "../../lib/runtime/mod.ts";
import { type ChildResult, runChild } from "../support/child.ts";
import { COLLECT, gcFlags } from "../support/gc.ts";
import { packageTest as test } from "../support/once.ts";
import { isWindows, noLinux, root } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";
import { type Changes, substitute, systemError } from "../support/substitute.ts";

/** What a child can count. */
const TOOLS = `${COLLECT}
const there = () => fs.readdirSync(m.tmpdir()).filter((name) => !name.startsWith("."));
const names = () => there().length;
const target = (fd) => { try { return fs.readlinkSync("/proc/self/fd/" + fd); } catch { return ""; } };
const isOurs = (fd) => target(fd).startsWith(m.tmpdir() + "/") && !target(fd).includes("/.mayfly-");
const descriptors = () => ${noLinux === false} ? fs.readdirSync("/proc/self/fd").filter(isOurs).length : null;
const registered = () => globalThis[Symbol.for("mayfly.registry")]?.entries.size ?? 0;
`;

/** The expected number of open descriptors; null where the system does not list them. */
const shown = (count: number): number | null => noLinux ? null : count;

/** Runs a child whose garbage is collected on demand, in a directory of its own. */
async function collected(code: string): Promise<ChildResult & { left: string[] }> {
  using place = scratch();
  const result = await runChild(TOOLS + code, { flags: gcFlags, env: { TMPDIR: place.path } });
  return { ...result, left: place.names() };
}

test("C116 C219 C216 files and directories whose path was never read are removed when collected; warnings name them and where they were created", async () => {
  const { said: [before, open, after, warnings], status } = await collected(`
    const state = () => ({ names: names(), descriptors: descriptors(), registered: registered() });
    const start = state();
    function careless() {
      m.temporaryDirectorySync({ prefix: "dropped-" });
      fs.writeFileSync(path.join(m.tmpdir(), there()[0], "inside"), "x");
      m.namedTemporaryFileSync({ prefix: "dropped-" }).writeSync("x");
      m.temporaryFileSync().writeSync("x");
    }
    careless();
    say(start); say(descriptors());
    await collect(() => warnings.length > 2);
    say(state()); say(warnings);`);
  assert.equal(status, 0);
  assert.equal(open, shown(2));
  assert.deepEqual(after, before);
  const messages = warnings.map(({ message }: { message: string }) => message).sort();
  assert.equal(messages.length, 3);
  assert.match(messages[1], /directory ".*[\\/]dropped-\w+"/);
  assert.match(messages[2], /file ".*[\\/]dropped-\w+" was never closed/);
  for (const { name, code, detail } of warnings) {
    assert.deepEqual({ name, code }, { name: "TempfileWarning", code: "MAYFLY_NOT_CLOSED" });
    assert.match(detail, /^Created:\n *at careless.*child\.mjs/);
  }
});

test(
  "C116 collecting a named file in a CommonJS bundle, without import.meta.url, warns and does not break the program",
  async () => {
    using place = scratch();
    const path = join(place.path, "bundle.cjs");
    const stdin = { contents: 'export * from "./mod.ts";', resolveDir: root };
    buildSync({ stdin, bundle: true, platform: "node", format: "cjs", outfile: path, logLevel: "error" });
    const code = `import { createRequire } from "node:module";
    const m = createRequire(import.meta.url)(args[0]);
    ${TOOLS}
    const careless = () => m.namedTemporaryFileSync({ prefix: "dropped-" }).writeSync("x");
    careless();
    await collect(() => warnings.length > 0);
    say(warnings.map(({ code, detail }) => [code, /^Created:\\n[^]*careless/.test(detail)]));`;
    const { status, said, stderr } = await runChild(code, { bare: true, flags: gcFlags, args: [path] });
    assert.deepEqual({ status, said }, { status: 0, said: [[["MAYFLY_NOT_CLOSED", true]]] }, stderr);
  },
);

test("C116 an Error.prepareStackTrace of the application that throws or returns no text breaks neither creation, nor errors, nor the warning about a collected file", async () => {
  const prepared = ["() => { throw new Error('theirs'); }", "() => 7", "(_, sites) => sites"];
  const { said, status, stderr } = await collected(`
    const dir = m.tmpdir() + "/missing";
    for (const prepare of [${prepared}]) {
      Error.prepareStackTrace = prepare;
      // Two thousand handles a turn, of which each thousandth keeps its stack: the one that is dropped, and the last. Of
      // those after the dropped one, none is kept from being collected for a moment.
      const files = Array.from({ length: 999 }, () => m.spooledTemporaryFile());
      function careless() { m.namedTemporaryFileSync({ prefix: "dropped-" }); }
      careless();
      for (let count = 0; count < 1000; count++) m.spooledTemporaryFile().closeSync();
      for (const file of files) file.closeSync();
      await collect(() => warnings.length > 0);
      say([names(), warnings.splice(0).map(({ code }) => code)]);
      for (const fail of [
        async () => m.namedTemporaryFileSync({ dir }),
        () => m.namedTemporaryFile({ dir }),
        () => m.writeFileAtomic(dir + "/file", ""),
      ]) await fail().catch(({ code }) => say(code));
    }`);
  const one = [[0, ["MAYFLY_NOT_CLOSED"]], "ENOENT", "ENOENT", "ENOENT"];
  assert.deepEqual([status, said], [0, prepared.flatMap(() => one)], stderr);
});

test("C116 C216 files and directories whose path was read, or that were adopted, are not removed until process exit when collected, but cause warnings", async () => {
  const { said: [open, during, warnings], left } = await collected(`
    const adopted = ["file", "directory"].map((name) => path.join(m.tmpdir(), name));
    fs.writeFileSync(adopted[0], ""), fs.mkdirSync(adopted[1], 0o700);
    function careless() {
      m.adoptFileSync(adopted[0]), m.adoptDirectorySync(adopted[1]);
      return [m.namedTemporaryFileSync().path, m.temporaryDirectorySync().join("inside")];
    }
    const made = careless();
    fs.writeFileSync(made[1], "x");
    say(descriptors());
    await collect(() => warnings.length > 3);
    const exist = [...adopted, ...made].map((one) => fs.existsSync(one));
    say({ exist, registered: registered(), descriptors: descriptors() });
    say([...warnings.map(({ code }) => code), warnings.some(({ message }) => message.includes(made[0]))]);`);
  assert.equal(open, shown(2));
  assert.deepEqual(during, { exist: [true, true, true, true], registered: 4, descriptors: shown(0) });
  assert.deepEqual(warnings, [...Array(4).fill("MAYFLY_NOT_CLOSED"), true]);
  assert.deepEqual(left, []);
});

test("C206 a spooled file in memory is collected without a warning; one on disk is closed with a warning", async () => {
  const { said: [open, disk] } = await collected(`
    function inMemory() { m.spooledTemporaryFile().writeSync("x"); }
    inMemory();
    function onDisk() { m.spooledTemporaryFile({ maxMemory: 0 }).writeSync("x"); }
    onDisk();
    say(descriptors());
    await collect(() => warnings.length > 0);
    await collect();
    say([descriptors(), warnings.map(({ code }) => code)]);`);
  assert.equal(open, shown(1));
  assert.deepEqual(disk, [shown(0), ["MAYFLY_NOT_CLOSED"]]);
});

test("C117 collecting a directory that the user has removed causes no warning, a file only that it was never closed", async () => {
  const { said: [directory, file], status, left } = await collected(`
    const remove = () => there().forEach((name) => fs.rmSync(path.join(m.tmpdir(), name), { recursive: true }));
    function directory() { m.temporaryDirectorySync(); }
    directory();
    remove();
    await collect(() => registered() === 0);
    await new Promise((resolve) => setTimeout(resolve, 20));
    say([registered(), warnings.length]);
    function file() { m.namedTemporaryFileSync(); }
    file();
    remove();
    await collect(() => warnings.length > 0);
    say([registered(), warnings.map(({ code }) => code)]);`);
  assert.deepEqual(directory, [0, 0]);
  assert.deepEqual(file, [0, ["MAYFLY_NOT_CLOSED"]]);
  assert.deepEqual({ status, left }, { status: 0, left: [] });
});

test("C118 C116 a bound method keeps its file usable when all else is collected, and what was closed, removed or kept causes no warning", async () => {
  const { said: [size, text, there, warnings], left, stderr } = await collected(`
    function methods() {
      const file = m.namedTemporaryFileSync();
      return { write: file.writeSync.bind(file), text: file.textSync.bind(file) };
    }
    async function careful() {
      m.namedTemporaryFileSync().closeSync();
      m.temporaryFileSync()[Symbol.dispose]();
      await (await m.temporaryFile()).close();
      await (await m.temporaryDirectory()).remove();
      m.temporaryDirectorySync({ prefix: "kept-" }).keep();
      m.temporaryDirectorySync({ prefix: "kept-", delete: false }).keep();
    }
    const kept = methods();
    await careful();
    await collect();
    say(kept.write("still here")); say(kept.text()); say(names()); say(warnings);
    globalThis.kept = kept;`);
  assert.deepEqual({ size, text, there, warnings, stderr }, {
    size: 10,
    text: "still here",
    there: 3,
    warnings: [],
    stderr: "",
  });
  assert.deepEqual(left.map((name) => name.slice(0, 5)), ["kept-", "kept-"]);
});

test("C119 an iterator or stream still yields everything after the last other reference to the handle is dropped", async () => {
  const { said: [lines, chunks, warnings] } = await collected(`
    // More than what is read at once.
    const count = 1000, rest = "x".repeat(200);
    function sources() {
      const [one, other] = [m.temporaryFileSync(), m.namedTemporaryFileSync()];
      for (const file of [one, other]) for (let i = 0; i < count; i++) file.writeSync("line " + i + rest + "\\n");
      return [one.lines({ at: 0 }), other.stream({ at: 0 }).getReader()];
    }
    const [lines, reader] = sources();
    let read = (await lines.next()).done ? 0 : 1;
    let bytes = (await reader.read()).value.byteLength;
    await collect();
    const early = warnings.length;
    for await (const line of lines) if (line === "line " + read + rest) read++;
    for (let step; !(step = await reader.read()).done;) bytes += step.value.byteLength;
    say(read === count); say(bytes === fs.statSync(path.join(m.tmpdir(), there()[0])).size);
    say(early);`);
  assert.deepEqual({ lines, chunks, warnings }, { lines: true, chunks: true, warnings: 0 });
});

test("C116 C264 files and directories whose handles are never collected are removed at process exit, without a warning", async () => {
  const { status, stdout, stderr, left, said: [made] } = await collected(`
    globalThis.kept = [];
    for (let i = 0; i < 20; i++) kept.push(m.namedTemporaryFileSync(), m.temporaryDirectorySync(), m.temporaryFileSync());
    say(names());`);
  assert.deepEqual({ status, stdout, stderr, left, made }, {
    status: 0,
    stdout: "",
    stderr: "",
    left: [],
    // On Windows unnamed files have a name until they are closed.
    made: isWindows ? 60 : 40,
  });
});

test("C116 C219 of handles closed in any order, even of 1500 created at once, exactly those that were dropped unclosed are reported, the first with where they were created, those that follow with a sample of that", async () => {
  const { said: [sample, reported, dropped, open] } = await collected(`
    function first() { for (let i = 0; i < 250; i++) m.temporaryFileSync(); }
    first();
    await collect(() => warnings.length >= 250);
    say(warnings.splice(0).map(({ detail }) => Number(detail?.includes("first"))).filter(Boolean).length);
    const kept = [];
    function careless() {
      const files = Array.from({ length: 7 }, (_, i) => m.namedTemporaryFileSync({ prefix: "number-" + i + "-" }));
      for (const i of [3, 6, 0, 5]) files[i].closeSync();
      kept.push(files[2]);
      const more = Array.from({ length: 1500 }, () => m.spooledTemporaryFile({ maxMemory: 1 }));
      more.forEach((file, i) => i % 3 === 0 ? file.writeSync("on disk") : file.closeSync());
    }
    careless();
    await collect(() => warnings.length >= 502);
    await collect();
    const numbers = warnings.map(({ message }) => message.match(/number-(\\d)/)?.[1]);
    say(numbers.filter((number) => number !== undefined).sort());
    say(numbers.length); say(kept.map(({ closed }) => closed));`);
  assert.deepEqual([sample, reported, dropped, open], [52, ["1", "4"], 502, [false]]);
});

test("C219 framesOfCaller() omits the library's frames, whether a stack shows URLs or paths, on Windows too", () => {
  const theirs = "    at main (C:\\Users\\me\\main.js:3:4)";
  for (const place of ["file:///home/me", "/home/me (old)", "file:///C:/Users/me", "C:\\Users\\me"]) {
    const slash = place.includes("\\") ? "\\" : "/";
    for (const path of [["lib", "life", "leaks.ts"], ["dist", "chunk.js"]]) {
      const ours = `    at create (${[place, ...path].join(slash)}:1:2)`;
      const others = `    at ${[place, path[0], "mod.js"].join(slash)}:5:6`;
      assert.deepEqual(framesOfCaller(`Error: created\n${ours}\n${others}\n${theirs}`), [theirs], ours);
      assert.deepEqual(framesOfCaller(`Error: created\n${ours}`), [ours], "only the library's frames");
    }
  }
});

test("C116 collecting a handle does not throw if closing its file fails, at once or after a pending call", async () => {
  using place = scratch();
  for (const busy of [false, true]) {
    const path = join(place.path, "file");
    const handle = runtime.sync.createFile(path, 0o600);
    const file = new OpenFile(new DiskStorage(handle), DEFAULTS, 0);
    file.path = path;
    const failing: Changes = {
      primitives: {
        close(real, ...args) {
          real(...args as never[]);
          throw systemError("EIO");
        },
      },
    };
    using changed = substitute(failing);
    let end = (): void => {};
    const call = busy
      ? file.async(function* () {
        yield new Promise<void>((resolve) => end = resolve);
      })
      : undefined;
    assert.equal(file.reclaim(), `The temporary file "${path}"`);
    assert.equal(changed.of("close").length, busy ? 0 : 1);
    end();
    await call;
    for (let waits = 0; changed.of("close").length === 0 && waits < 1000; waits++) {
      await new Promise((resolve) => setTimeout(resolve));
    }
    assert.deepEqual(changed.of("close").map(([closed]) => closed), [handle]);
    unlinkSync(path);
  }
});

test(
  "C116 a persisted directory is no longer watched for leaks, even if synchronizing its parent has failed",
  {
    skip: isWindows,
  },
  () => {
    using place = scratch();
    const tree = new OwnedTree(true), handle = {};
    runSync(makeDirectory(syncIo(), place.path, DEFAULTS, "", tree));
    watchLeak(handle, tree);
    using _ = substitute({
      primitives: {
        synchronizeDirectory(real, path) {
          if (path === place.path) throw systemError("EIO");
          real(path);
        },
      },
    });
    const persist = persistTree(
      syncIo(),
      tree,
      join(place.path, "there"),
      checkReplacing("directory", undefined),
    );
    assert.throws(() => runSync(persist), { code: "EIO", message: /is in place, but/ });
    assert.deepEqual([place.names(), tree.fresh], [["there"], undefined]);
  },
);

test("files and directories can be created, used and removed when Error and the prototypes of the handles are frozen", async () => {
  using place = scratch();
  const { said, stderr } = await runChild(
    `Object.freeze(Error);
     const types = [m.TemporaryFile, m.NamedTemporaryFile, m.SpooledTemporaryFile, m.TemporaryDirectory, m.FileLock];
     for (const { prototype } of types) Object.freeze(prototype);
     const options = { dir: args[0] };
     const files = [m.temporaryFileSync(options), m.spooledTemporaryFile(options), await m.namedTemporaryFile(options)];
     const directory = await m.temporaryDirectory(options);
     for (const file of files) {
       await file.write("hello");
       say(await file.text());
       await m.writeFileAtomic(directory.join("file"), await file.text());
       await file.close();
     }
     await directory.remove();
     await m.temporaryFile({ dir: directory.path }).catch(({ code }) => say(code));`,
    { args: [place.path] },
  );
  assert.deepEqual({ said, stderr, left: place.names() }, {
    said: ["hello", "hello", "hello", "ENOENT"],
    stderr: "",
    left: [],
  });
});

test("of handles created in one turn, the first thousand are watched later, and those that follow at once", async () => {
  // The handles of earlier tests are no longer new.
  await new Promise((resolve) => setTimeout(resolve, 500));
  const handles: Leakable[] = Array.from(
    { length: 1002 },
    () => ({ fresh: undefined, reclaim: () => undefined }),
  );
  for (const handle of handles) watchLeak({ handle }, handle);
  const later = handles.filter(({ fresh }) => fresh !== undefined).length;
  handles.forEach(unwatchLeak);
  assert.equal(later, 1000);
  assert.ok(handles.every(({ fresh }) => fresh === undefined));
});
