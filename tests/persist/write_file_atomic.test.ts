/**
 * `writeFileAtomic()`: what it writes, where, and with which mode and owner.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { TempfileError, writeFileAtomic } from "#mod";
import {
  writeFileAtomic as sourceAtomic,
  writeFileAtomicSync as sourceAtomicSync,
} from "../../lib/persist/write_file_atomic.ts";
import { sourceVariants, variants } from "../support/atomic_writes.ts";
import { runChild, runTogether } from "../support/child.ts";
import { failureOf, pattern, sameBytes } from "../support/kinds.ts";
import { packageTest as test } from "../support/once.ts";
import { isDeno, isWindows, modeOf, noFifos, noLinks, noModes, notRoot } from "../support/platform.ts";
import { elsewhere, noElsewhere } from "../support/places.ts";
import { scratch } from "../support/scratch.ts";
import { asWindows, changed, type Stub, substitute, systemError } from "../support/substitute.ts";

async function* chunks(...parts: (string | Uint8Array)[]): AsyncGenerator<string | Uint8Array> {
  for (const part of parts) {
    await Promise.resolve();
    yield part;
  }
}

function streamOf(...parts: Uint8Array[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    pull(controller) {
      const part = parts.shift();
      if (part === undefined) controller.close();
      else controller.enqueue(part);
    },
  });
}

test("writeFileAtomic() creates and replaces a file from bytes, blobs, responses, streams and iterables, leaving nothing beside it", async () => {
  const bytes = pattern(100_000);
  const halves = [bytes.subarray(0, 50_000), bytes.subarray(50_000)];
  const data: { [name: string]: () => Parameters<typeof writeFileAtomic>[1] } = {
    "bytes": () => bytes,
    "a buffer": () => bytes.slice().buffer,
    "a view": () => new DataView(bytes.buffer),
    "a Blob": () => new Blob([bytes]),
    "a Response": () => new Response(bytes),
    "a stream": () => streamOf(...halves),
    "an iterable": () => halves,
    "an async iterable": () => chunks(...halves),
  };
  for (const [name, make] of Object.entries(data)) {
    using place = scratch();
    const path = join(place.path, "file");
    for (let round = 0; round < 2; round++) {
      await writeFileAtomic(path, make());
      assert.ok(sameBytes(readFileSync(path), bytes), name);
      assert.deepEqual(place.list(), ["file"], name);
    }
  }
});

test("writeFileAtomic() applies encoding and newline to text, and writes an empty file for empty data", async () => {
  for (const write of Object.values(variants)) {
    using place = scratch();
    const path = join(place.path, "file");
    await write(path, "a\nbé", { newline: "\r\n" });
    assert.equal(readFileSync(path, "utf8"), "a\r\nbé");
    await write(path, "é", { encoding: "latin1" });
    assert.deepEqual([...readFileSync(path)], [0xe9]);
    await write(path, "é", { encoding: "utf-16le" });
    assert.deepEqual([...readFileSync(path)], [0xe9, 0]);
    for (const nothing of ["", new Uint8Array()]) {
      await write(path, "full");
      await write(path, nothing);
      assert.equal(statSync(path).size, 0);
    }
  }
  using place = scratch();
  for (const nothing of [() => [], () => new Blob([]), () => new Response(null), () => streamOf()]) {
    await writeFileAtomic(join(place.path, "file"), nothing());
    assert.equal(statSync(join(place.path, "file")).size, 0);
  }
});

test("writeFileAtomic() stages beside the target, syncs the file, renames, and syncs the directory, in this order", async () => {
  for (const [variant, write] of Object.entries(sourceVariants)) {
    using place = scratch();
    const path = join(place.path, "file");
    await write(path, "warm");
    using watched = substitute();
    await write(path, "new");
    const changing = watched.calls.filter(({ name }) =>
      /^(createFile|write|synchronize|close|rename|link|unlink|change)/.test(name)
    );
    assert.deepEqual(changing.map(({ name }) => name), [
      "createFile",
      "write",
      "synchronize",
      "close",
      "rename",
      ...isWindows ? [] : ["synchronizeDirectory"],
    ], variant);
    assert.equal(dirname(changing[0].args[0] as string), place.path);
    assert.equal(changing[4].args[1], path);
  }
});

test(
  "C164 differs: writeFileAtomic() always stages beside the target, never in TMPDIR, and has no option for a directory",
  {
    skip: noElsewhere,
  },
  async () => {
    for (const tmp of [elsewhere, undefined, "missing"]) {
      using place = scratch();
      using other = scratch(tmp === "missing" ? undefined : tmp);
      const TMPDIR = join(other.path, tmp === "missing" ? tmp : "");
      const { said, stderr } = await runChild(
        `m.writeFileAtomicSync(args[0], "x");
       await m.writeFileAtomic(args[0], (async function* () { yield "y"; say(fs.readdirSync(path.dirname(args[0])).length); })());
       say(fs.readdirSync(args[1]).filter((name) => !name.startsWith(".mayfly")));`,
        { args: [join(place.path, "file"), other.path], env: { TMPDIR } },
      );
      assert.deepEqual(said, [2, []], stderr);
      assert.deepEqual(place.list(), ["file"]);
    }
  },
);

test(
  "writeFileAtomic() resolves a directory once, and again if a symbolic link to another one has replaced it",
  { skip: noLinks },
  async () => {
    using place = scratch();
    const dir = join(place.path, "dir"), other = join(place.path, "other");
    mkdirSync(dir);
    mkdirSync(other);
    const target = join(dir, "target");
    sourceAtomicSync(target, "1");
    {
      using watched = substitute();
      sourceAtomicSync(target, "2");
      sourceAtomicSync(target, "3");
      assert.ok(watched.of("realPath").length <= 1, `${watched.of("realPath").length} times`);
    }
    renameSync(dir, join(place.path, "moved"));
    symlinkSync(other, dir);
    sourceAtomicSync(target, "4");
    await sourceAtomic(target, "5");
    assert.deepEqual(readdirSync(other), ["target"]);
    assert.equal(readFileSync(join(other, "target"), "utf8"), "5");
    assert.equal(readFileSync(join(place.path, "moved", "target"), "utf8"), "3");
  },
);

test("C106 writeFileAtomic() with overwrite: false creates a file, or fails with EEXIST on a file, a link, or a file that appears", async () => {
  for (const write of Object.values(sourceVariants)) {
    using place = scratch();
    const path = join(place.path, "file");
    await write(path, "first", { overwrite: false });
    assert.equal(await failureOf(() => write(path, "second", { overwrite: false })), "EEXIST");
    assert.equal(readFileSync(path, "utf8"), "first");
    if (!noLinks) {
      symlinkSync("nowhere", join(place.path, "link"));
      assert.equal(
        await failureOf(() => write(join(place.path, "link"), "x", { overwrite: false })),
        "EEXIST",
      );
    }
    using _ = substitute({
      primitives: { link: (real, from: string, to: string) => (writeFileSync(to, "theirs"), real(from, to)) },
    });
    const raced = join(place.path, "raced");
    assert.equal(await failureOf(() => write(raced, "mine", { overwrite: false })), "EEXIST");
    assert.equal(readFileSync(raced, "utf8"), "theirs");
    assert.deepEqual(place.list(), ["file", ...noLinks ? [] : ["link"], "raced"]);
  }
});

test("C106 of several processes that create one file by writeFileAtomic() with overwrite: false, exactly one succeeds", async () => {
  using place = scratch();
  const target = join(place.path, "target");
  const code = `
    try { await m.writeFileAtomic(args[0], args[1], { overwrite: false }); say("created"); }
    catch (error) { say(error.code); }`;
  const results = await runTogether(code, ["a", "b", "c"].map((name) => [target, name]));
  const said = results.flatMap(({ said }) => said);
  assert.deepEqual([...said].sort(), ["EEXIST", "EEXIST", "created"]);
  assert.equal(readFileSync(target, "utf8"), "abc"[said.indexOf("created")]);
  assert.deepEqual(place.list(), ["target"]);
});

test(
  "C153 C157 differs: writeFileAtomic() gives a new file 0666 minus the umask, a replacement the old mode, or the given mode",
  { skip: noModes },
  async () => {
    using place = scratch();
    const code = `
    for (const [name, mode] of [["new"], ["old"], ["fixed", 0o654], ["wide", 0o777], ["own", "private"], ["umask", "umask"]]) {
      for (const write of [m.writeFileAtomic, async (...args) => m.writeFileAtomicSync(...args)]) {
        const target = path.join(args[0], name);
        if (name === "new") fs.rmSync(target, { force: true });
        await write(target, "x", { mode });
        say(name + " " + (fs.statSync(target).mode & 0o777).toString(8));
      }
    }`;
    for (const name of ["old", "fixed", "wide", "own", "umask"]) {
      writeFileSync(join(place.path, name), "old");
      chmodSync(join(place.path, name), 0o754);
    }
    const { said, stderr } = await runChild(code, { args: [place.path], umask: "0012", unprivileged: true });
    const expected = ["new 664", "old 754", "fixed 654", "wide 777", "own 600", "umask 664"];
    assert.deepEqual(said, expected.flatMap((line) => [line, line]), stderr);
  },
);

test(
  "C154 writeFileAtomic() under umask 0377 writes the whole file, and gives private and numeric modes exactly",
  {
    skip: noModes,
  },
  async () => {
    using place = scratch();
    const code = `
    for (const [name, mode] of [["a", "private"], ["b", 0o640], ["c", "umask"]]) {
      await m.writeFileAtomic(path.join(args[0], name), "text", { mode });
      const { size, mode: found } = fs.statSync(path.join(args[0], name));
      say([size, (found & 0o777).toString(8)]);
    }`;
    const { said, stderr } = await runChild(code, { args: [place.path], umask: "0377", unprivileged: true });
    assert.deepEqual(said, [[4, "600"], [4, "640"], [4, "400"]], stderr);
  },
);

test(
  "writeFileAtomic() never gives the staged file more permissions than the result",
  { skip: noModes },
  async () => {
    for (const write of Object.values(sourceVariants)) {
      for (const [mode, wanted] of [[0o640, 0o640], ["private", 0o600], [0o000, 0]] as const) {
        using place = scratch();
        const path = join(place.path, "file");
        using watched = substitute();
        await write(path, "x", { mode });
        const [[, created]] = watched.of("createFile").filter(([file]) =>
          dirname(file as string) === place.path
        );
        assert.equal(Number(created) & ~wanted, 0, `${mode}`);
        assert.equal(modeOf(path), wanted);
      }
    }
  },
);

test("C162 writeFileAtomic() by root keeps owner and group; with a numeric mode the file belongs to root", {
  skip: notRoot,
}, async () => {
  for (const write of Object.values(variants)) {
    using place = scratch();
    const path = join(place.path, "file");
    writeFileSync(path, "old");
    chownSync(path, 1234, 4321);
    chmodSync(path, 0o664);
    await write(path, "new");
    const { uid, gid } = statSync(path);
    assert.deepEqual([uid, gid, modeOf(path)], [1234, 4321, 0o664]);
    await write(path, "new", { mode: 0o640 });
    assert.deepEqual([statSync(path).uid, modeOf(path)], [process.getuid!(), 0o640]);
  }
});

test(
  "C150 writeFileAtomic() onto a symbolic link replaces the link, or with links: follow the file that it points to",
  {
    skip: noLinks,
  },
  async () => {
    for (const write of Object.values(variants)) {
      using place = scratch();
      const pointee = join(place.path, "pointee"), link = join(place.path, "link");
      writeFileSync(pointee, "old");
      chmodSync(pointee, 0o600);
      symlinkSync("pointee", link);
      await write(link, "through", { links: "follow" });
      assert.ok(lstatSync(link).isSymbolicLink());
      assert.equal(readFileSync(pointee, "utf8"), "through");
      assert.equal(modeOf(pointee), 0o600);
      await write(link, "instead");
      assert.ok(lstatSync(link).isFile());
      assert.equal(modeOf(link) & 0o022 & process.umask(), 0, "the link's own mode is not taken");
      assert.equal(readFileSync(pointee, "utf8"), "through");
      const dangling = join(place.path, "dangling");
      symlinkSync("planted", dangling);
      assert.equal(await failureOf(() => write(dangling, "x", { links: "follow" })), "ENOENT");
      assert.deepEqual(place.list(), ["dangling", "link", "pointee"]);
    }
  },
);

test(
  "writeFileAtomic() refuses a symbolic link in /dev with EINVAL, even one to a file, as /dev/stdout may be",
  {
    skip: isWindows,
  },
  async () => {
    const as = (kind: string): Stub => (real, path: string) =>
      changed<object>(
        real(path === "/dev/stdout" ? process.execPath : path),
        (status) => path === "/dev/stdout" ? { ...status, kind } : status,
      );
    const createFile = (): never => {
      throw systemError("EROFS");
    };
    using _ = substitute({ primitives: { status: as("link"), statusOfTarget: as("file"), createFile } });
    await assert.rejects(sourceAtomic("/dev/stdout", "x"), { code: "EINVAL", path: "/dev/stdout" });
    assert.throws(() => sourceAtomicSync("/dev/stdout", "x"), { code: "EINVAL", path: "/dev/stdout" });
  },
);

test("C145 C146 writeFileAtomic() fails with EISDIR, ENOENT, ENOTDIR or EINVAL on an unusable target, and changes nothing", async () => {
  using place = scratch();
  mkdirSync(join(place.path, "directory"));
  writeFileSync(join(place.path, "file"), "old");
  if (!noFifos) {
    spawnSync("mkfifo", [join(place.path, "pipe")]);
    symlinkSync("pipe", join(place.path, "link"));
  }
  const before = place.list();
  const wrong: [string, string][] = [
    ["directory", "EISDIR"],
    ["directory/", "EISDIR"],
    ["directory/.", "EISDIR"],
    ["missing/file", "ENOENT"],
    ["file/", "ENOTDIR"],
    ["new/", "ENOTDIR"],
    // On Windows a path below a file merely does not exist, which shows only when the staged file is created.
    ["file/x", isWindows ? "ENOENT" : "ENOTDIR"],
    ...noFifos ? [] : [["pipe", "EINVAL"], ["link", "EINVAL"]] as [string, string][],
  ];
  for (const [name, code] of wrong) {
    for (const write of Object.values(variants)) {
      const path = `${place.path}/${name}`;
      const error = await write(path, "x").then(() => undefined, (error) => error);
      assert.ok(error instanceof TempfileError, name);
      assert.equal(error.code, code, name);
      const isLate = isWindows && name === "file/x";
      assert.match(
        error.message,
        isLate ? /^Cannot create a temporary file in "/ : /^Cannot put a file at "/,
      );
    }
  }
  assert.deepEqual(place.list(), before);
  assert.equal(readFileSync(join(place.path, "file"), "utf8"), "old");
});

test("writeFileAtomic() accepts relative paths and file: URLs, and writes a large file completely", async () => {
  using place = scratch();
  const url = pathToFileURL(join(place.path, "with space é"));
  const large = pattern(3 * 1024 ** 2 + 5);
  for (const write of Object.values(variants)) {
    await write(url, large);
    assert.ok(sameBytes(readFileSync(url), large));
  }
  const { said, stderr } = await runChild(
    `m.writeFileAtomicSync("bare", "x"); await m.writeFileAtomic("./sub/../bare2", "y"); say(fs.readdirSync(process.cwd()));`,
    { cwd: (mkdirSync(join(place.path, "cwd", "sub"), { recursive: true }), join(place.path, "cwd")) },
  );
  assert.deepEqual(said[0]?.sort(), ["bare", "bare2", "sub"], stderr);
});

test("writeFileAtomic() validates its arguments before any system call, and writeFileAtomicSync() refuses a stream", async () => {
  using place = scratch();
  const path = join(place.path, "file");
  using watched = substitute();
  const wrong: [string, unknown, unknown, object?][] = [
    ["TypeError", "", "x"],
    ["TypeError", "a\0b", "x"],
    ["TypeError", 3, "x"],
    ["TypeError", undefined, "x"],
    ["TypeError", new URL("https://example.com"), "x"],
    ["TypeError", path, 5],
    ["TypeError", path, null],
    ["TypeError", path, {}],
    ["TypeError", path, "x", { mode: "0644" }],
    ["RangeError", path, "x", { mode: 0o1777 }],
    ["TypeError", path, "x", { overwrite: 0 }],
    ["TypeError", path, "x", { durable: null }],
    ["TypeError", path, "x", { links: true }],
    ["TypeError", path, "x", { encoding: "ascii" }],
    ["RangeError", path, "x", { maxSize: -1 }],
  ];
  for (const write of Object.values(sourceVariants)) {
    for (const [kind, target, data, options] of wrong) {
      const call = (): Promise<void> => write(target as string, data as string, options);
      assert.equal(
        await failureOf(call),
        `${kind} ERR_INVALID_OPTION`,
        JSON.stringify([target, data, options]),
      );
    }
  }
  assert.deepEqual(watched.calls, []);
  assert.equal(
    await failureOf(() => sourceAtomicSync(path, streamOf() as never)),
    "TypeError ERR_INVALID_OPTION",
  );
  assert.deepEqual(place.list(), []);
});

test("C168 writeFileAtomic() on Windows retries a blocked rename, changes no mode, and does not sync the directory", async () => {
  for (const write of Object.values(sourceVariants)) {
    using place = scratch();
    const path = join(place.path, "file");
    writeFileSync(path, "old");
    let failures = 3;
    using watched = substitute(asWindows({
      primitives: {
        rename: (real, ...args) => {
          if (failures-- > 0) throw systemError("EPERM");
          return real(...args as unknown[]);
        },
      },
    }));
    await write(path, "new", { mode: "private" });
    assert.equal(watched.of("rename").length, 4);
    const missing = watched.calls.filter(({ name }) => /^(change|synchronizeDirectory)/.test(name));
    assert.deepEqual(missing, []);
    assert.equal(watched.of("synchronize").length, 1);
    assert.equal(readFileSync(path, "utf8"), "new");
    assert.deepEqual(place.list(), ["file"]);
  }
});

test(
  "writeFileAtomic() and persist() on Deno need only read and write permission for the directories involved",
  {
    skip: !isDeno && "Deno's permissions",
  },
  async () => {
    using place = scratch();
    using other = scratch();
    writeFileSync(join(place.path, "old"), "old");
    const code = `
    const [dir, other] = args;
    m.writeFileAtomicSync(dir + "/new", "x");
    await m.writeFileAtomic(dir + "/old", "x", { mode: 0o640 });
    const file = await m.namedTemporaryFile({ dir });
    await file.write("named");
    await file.persist(dir + "/named");
    const spool = m.spooledTemporaryFile({ dir });
    await spool.persist(dir + "/spool");
    for (const target of [other + "/x", dir + "/../x"]) {
      try { await m.writeFileAtomic(target, "x"); say("written"); }
      catch (error) { say([error.code, /--allow-(read|write)/.test(error.message)]); }
    }
    say([...Deno.readDirSync(dir)].map(({ name }) => name).sort());`;
    const flags = ["--no-prompt", `--allow-read=${place.path}`, `--allow-write=${place.path}`];
    const { said, stderr } = await runChild(code, { args: [place.path, other.path], flags });
    const refused = ["ERR_ACCESS_DENIED", true];
    assert.deepEqual(said, [refused, refused, ["named", "new", "old", "spool"]], stderr);
    assert.deepEqual(other.list(), []);
  },
);
