import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { basename, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import {
  adoptDirectory,
  adoptDirectorySync,
  adoptFile,
  adoptFileSync,
  configure as configureMain,
  mkdtempSync,
  mkstempSync,
  NamedTemporaryFile,
  namedTemporaryFile,
  namedTemporaryFileSync,
  sweep,
  TemporaryDirectory,
  temporaryDirectory,
  temporaryDirectorySync,
} from "#mod";
import {
  adoptDirectory as adoptDirectoryFromSource,
  adoptDirectorySync as adoptFromSource,
  adoptFile as adoptFromSourceLater,
  adoptFileSync as adoptFileFromSource,
} from "../lib/adopt.ts";
import {
  namedTemporaryFile as namedFromSource,
  namedTemporaryFileSync as namedFromSourceSync,
} from "../lib/file/named.ts";
import { held, heldLeases } from "../lib/life/registry.ts";
import { home } from "../lib/location/home.ts";
import { type Runtime, runtime } from "../lib/runtime/mod.ts";
import { configure } from "../lib/settings.ts";
import { runChild, startChild } from "./support/child.ts";
import { leasesIn, plant, readLeases, withoutLease } from "./support/leases.ts";
import { packageTest as test } from "./support/once.ts";
import { isWindows, namesLinger, noFifos, noLinks, noLinux, noModes, notRoot } from "./support/platform.ts";
import { type Scratch, scratch } from "./support/scratch.ts";
import { substitute, systemError } from "./support/substitute.ts";

/** Creates a scratch directory with two files, and two directories with a file each. */
function filledScratch(): Scratch & { at(...names: string[]): string } {
  const place = scratch();
  const at = (...names: string[]): string => join(place.path, ...names);
  for (const name of ["one", "two"]) {
    writeFileSync(at(name), name);
    mkdirSync(at(`${name}.d`));
    writeFileSync(at(`${name}.d`, "inside"), name);
  }
  return { ...place, at };
}

const EVERYTHING = ["one", "one.d", "two", "two.d"];

test("C131 an adopted file can be read and written, and closing it removes it and nothing else", async () => {
  using place = filledScratch();
  for (const adopt of [adoptFile, adoptFileSync]) {
    writeFileSync(place.at("one"), "one");
    const file = await adopt(place.at("one"));
    assert.ok(file instanceof NamedTemporaryFile);
    assert.deepEqual([file.path, file.position, file.closed], [place.at("one"), 0, false]);
    assert.equal(await file.readText(), "one");
    await file.write(" and more");
    assert.equal(readFileSync(file.path, "utf8"), "one and more");
    await file.close();
    assert.deepEqual(place.list(), ["one.d", "two", "two.d"]);
  }
});

test("C131 removing an adopted directory removes it with its contents, and nothing else", async () => {
  using place = filledScratch();
  for (const adopt of [adoptDirectory, adoptDirectorySync]) {
    if (!existsSync(place.at("one.d"))) mkdirSync(place.at("one.d"));
    const directory = await adopt(place.at("one.d"));
    assert.ok(directory instanceof TemporaryDirectory);
    assert.equal(directory.path, place.at("one.d"));
    await directory.namedTemporaryFile({ delete: false }).then((file) => file.close());
    await directory.remove();
    assert.deepEqual(place.list(), ["one", "two", "two.d"]);
  }
});

test(
  "adopted entries in a directory with a line break in its name, which no lease can record, are removed as well (POSIX)",
  { skip: isWindows },
  async () => {
    using place = scratch();
    const dir = join(place.path, "two\nlines");
    mkdirSync(dir);
    const made = await namedTemporaryFile({ dir });
    const path = made.keep();
    await made.close();
    await using file = await adoptFile(path);
    await using directory = await adoptDirectory((await temporaryDirectory({ dir })).keep());
    await file.close();
    await directory.remove();
    assert.deepEqual(readdirSync(dir), []);
  },
);

test("adopted files and directories are removed at the end of the scope", async () => {
  using place = filledScratch();
  {
    await using _file = await adoptFile(place.at("one"));
    using _directory = adoptDirectorySync(place.at("one.d"));
    assert.deepEqual(place.list(), EVERYTHING);
  }
  assert.deepEqual(place.list(), ["two", "two.d"]);
});

test("files of mkstemp() and directories of mkdtemp() can be adopted", async () => {
  const { path, fd } = mkstempSync();
  closeSync(fd);
  const made = mkdtempSync();
  {
    await using file = await adoptFile(path);
    await using directory = await adoptDirectory(made);
    assert.deepEqual([file.path, directory.path], [path, made]);
  }
  assert.deepEqual([existsSync(path), existsSync(made)], [false, false]);
});

test("adoptFile() accepts deleteOnClose, encoding and maxSize", async () => {
  using place = filledScratch();
  const file = await adoptFile(place.at("one"), { deleteOnClose: false, encoding: "latin1", maxSize: 4 });
  await file.write("é", { at: 0 });
  assert.deepEqual([...readFileSync(file.path)], [0xe9, ...new TextEncoder().encode("ne")]);
  await assert.rejects(file.write("12345", { at: 0 }), { code: "EFBIG" });
  await file.close();
  assert.ok(existsSync(file.path));
  await file[Symbol.asyncDispose]();
  assert.ok(!existsSync(file.path));
});

test("C132 adopting an empty path, or what is not a path, throws a TypeError", async () => {
  for (const path of ["", 5, null, undefined, ["x"], "a\0b", new URL("https://example.com/x")]) {
    const wanted = { name: "TypeError", code: "ERR_INVALID_OPTION" };
    await assert.rejects(adoptFile(path as string), wanted);
    await assert.rejects(adoptDirectory(path as string), wanted);
    assert.throws(() => adoptFileSync(path as string), wanted);
    assert.throws(() => adoptDirectorySync(path as string), wanted);
  }
});

test("C132 an adopted relative path is made absolute at once, so that a later chdir() does not change it", async () => {
  using place = filledScratch();
  for (const name of EVERYTHING) mkdirSync(place.at("elsewhere", name), { recursive: true });
  const { said, stderr } = await runChild(
    `process.chdir(args[0]);
     const adopted = [await m.adoptFile("one"), m.adoptFileSync("./two"),
       await m.adoptDirectory("one.d"), m.adoptDirectorySync("./two.d")];
     say(adopted.map(({ path }) => path));
     process.chdir("elsewhere");
     for (const one of adopted) await one[Symbol.asyncDispose]();`,
    { args: [place.path] },
  );
  assert.equal(stderr, "");
  assert.deepEqual(said, [["one", "two", "one.d", "two.d"].map((name) => place.at(name))]);
  assert.deepEqual(place.list(), ["elsewhere"]);
  assert.deepEqual(readdirSync(place.at("elsewhere")).sort(), EVERYTHING);
});

test("C132 a relative path to adopt is resolved when the function is called, not when the system is first asked", async () => {
  using place = filledScratch();
  const calls: [name: string, adopt: (path: string) => unknown][] = [
    ["one", adoptFromSourceLater],
    ["two", adoptFileFromSource],
    ["one.d", adoptDirectoryFromSource],
    ["two.d", adoptFromSource],
  ];
  for (const [name, adopt] of calls) {
    // The working directory of this moment only: whatever is relative later is not found.
    const start = (): unknown => {
      using _ = substitute({ runtime: { cwd: () => place.path } });
      return adopt(name);
    };
    using adopted = await start() as NamedTemporaryFile | TemporaryDirectory;
    assert.equal(adopted.path, place.at(name));
  }
  assert.deepEqual(place.list(), []);
});

test(
  "C132 the path of an adopted file is canonical, given as a path or URL through a symbolic link",
  { skip: noLinks },
  async () => {
    using place = filledScratch();
    symlinkSync(place.at("one.d"), place.at("link"));
    for (const given of [place.at("link", "inside"), pathToFileURL(place.at("link", "inside"))]) {
      const file = await adoptFile(given);
      assert.equal(file.path, place.at("one.d", "inside"));
      assert.equal(file.keep(), place.at("one.d", "inside"));
      await file.close();
    }
  },
);

test("C133 adopting a relative path fails with ENOENT if the current directory has been removed", {
  skip: isWindows && "on Windows a current directory cannot be removed",
}, async () => {
  using place = filledScratch();
  const { said, stderr } = await runChild(
    `process.chdir(args[0]);
     fs.rmSync(args[0], { recursive: true });
     for (const adopt of [m.adoptFile, m.adoptFileSync, m.adoptDirectory, m.adoptDirectorySync]) {
       for (const path of ["one", "inside", "./one.d"]) {
         try { await adopt(path); say("adopted"); } catch (e) { say(e.name + " " + e.code); }
       }
     }
     process.exit(0);`,
    { args: [place.at("one.d")] },
  );
  assert.equal(stderr, "");
  assert.deepEqual(said, Array(12).fill("TempfileError ENOENT"));
  assert.deepEqual(place.list(), ["one", "two", "two.d"]);
});

/** The error codes of adopting each name, as a file and as a directory. */
interface Refusals {
  files: { [name: string]: string };
  directories: { [name: string]: string };
}

/** Expects that none of these entries can be adopted, and that all stay. */
async function refusesAll(place: Scratch, { files, directories }: Refusals): Promise<void> {
  const before = place.list();
  for (const [name, code] of Object.entries(files)) {
    const path = `${place.path}/${name}`;
    await assert.rejects(adoptFile(path), { name: "TempfileError", code }, name);
    assert.throws(() => adoptFileSync(path), { code }, name);
  }
  for (const [name, code] of Object.entries(directories)) {
    const path = `${place.path}/${name}`;
    await assert.rejects(adoptDirectory(path), { name: "TempfileError", code }, name);
    assert.throws(() => adoptDirectorySync(path), { code }, name);
  }
  assert.deepEqual(place.list(), before);
}

test("adopting an entry of the other kind, or a missing one, fails", async () => {
  using place = filledScratch();
  await refusesAll(place, {
    files: { "one.d": "EISDIR", none: "ENOENT", "none/x": "ENOENT" },
    directories: { one: "ENOTDIR", none: "ENOENT" },
  });
});

test("symbolic links cannot be adopted, whatever their target", { skip: noLinks }, async () => {
  using place = filledScratch();
  symlinkSync(place.at("one"), place.at("link"), "file");
  symlinkSync(place.at("one.d"), place.at("link.d"), "dir");
  symlinkSync(place.at("nowhere"), place.at("dangling"), "file");
  const links = { link: "ELOOP", "link.d": "ELOOP", dangling: "ELOOP" };
  await refusesAll(place, {
    files: links,
    // The system would follow a link with a separator at its end.
    directories: { ...links, "link.d/": "ELOOP", "link.d//": "ELOOP" },
  });
});

test("pipes and sockets cannot be adopted as files", { skip: noFifos }, async () => {
  using place = scratch();
  const [pipe, socket] = ["pipe", "socket"].map((name) => join(place.path, name));
  execFileSync("mkfifo", [pipe]);
  const server = createServer();
  await new Promise<void>((listening) => server.listen(socket, listening));
  for (const path of [pipe, socket]) {
    const message = /a device, pipe or socket, not a file \(EINVAL\)$/;
    await assert.rejects(adoptFile(path), { code: "EINVAL", message });
  }
  assert.deepEqual(place.list(), ["pipe", "socket"]);
  await new Promise((closed) => server.close(closed));
});

test("a file with a second hard link cannot be adopted", async () => {
  using place = filledScratch();
  linkSync(place.at("one"), place.at("same"));
  await assert.rejects(adoptFile(place.at("one")), { code: "EMLINK", path: place.at("one") });
  assert.throws(() => adoptFileSync(place.at("same")), { code: "EMLINK" });
  (await adoptFile(place.at("two"))).closeSync();
  assert.deepEqual(place.list(), ["one", "one.d", "same", "two.d"]);
});

test("a file that loses its second hard link a moment later, as one that is just being put in place, is adopted", async () => {
  using place = filledScratch();
  linkSync(place.at("one"), place.at("same"));
  const adopting = adoptFile(place.at("one"));
  unlinkSync(place.at("same"));
  (await adopting).closeSync();
  assert.deepEqual(place.list(), ["one.d", "two", "two.d"]);
});

test("files and directories of another user cannot be adopted, even by root", { skip: notRoot }, async () => {
  using place = filledScratch();
  for (const name of ["one", "one.d"]) chownSync(place.at(name), 65534, 65534);
  await refusesAll(place, { files: { one: "EPERM" }, directories: { "one.d": "EPERM" } });
});

test("a process with another effective user can adopt what it creates, and has leases of that user", {
  skip: notRoot || (process.versions.deno !== undefined && "Deno has only the real user ID"),
}, async () => {
  using place = scratch();
  chownSync(place.path, 65534, 65534);
  const { said, stderr } = await runChild(
    `process.setegid(65534);
     process.seteuid(65534);
     m.adoptFileSync(m.mkstempSync().path).closeSync();
     m.adoptDirectorySync(m.mkdtempSync()).removeSync();
     m.namedTemporaryFileSync().closeSync();
     say(fs.readdirSync(m.tmpdir()));`,
    { env: { TMPDIR: place.path } },
  );
  assert.deepEqual([said, stderr], [[[".mayfly-65534"]], ""]);
});

/** Tries to adopt each path given, releases what was adopted, and reports the outcome. */
const TRY_EACH = `
for (const path of JSON.parse(args[0])) {
  for (const adopt of [m.adoptDirectory, m.adoptDirectorySync]) {
    try { const directory = await adopt(path); directory.keep(); say([path, "adopted"]); }
    catch (e) { say([path, e.name, e.code]); }
  }
}
`;

test(
  "C245 the home, current and temporary directory, and directories that contain them, cannot be adopted",
  async () => {
    using place = scratch();
    const at = (...names: string[]): string => join(place.path, ...names);
    for (const name of ["home/user", "current/inner", "temporary/tmp"]) {
      mkdirSync(at(name), { recursive: true });
    }
    if (!noLinks) symlinkSync(at("home/user"), at("link-to-home"), "dir");
    const refused = ["home", "home/user", "current", "current/inner", "temporary", "temporary/tmp"].map((
      name,
    ) => at(name));
    const relative = [".", "..", "./", "../inner"];
    // The control: a directory beside them, and one in the home directory.
    mkdirSync(at("home/user/cache"));
    mkdirSync(at("plain"));
    const allowed = [at("plain"), at("home/user/cache")];
    // A home directory may be given by a symbolic link.
    const home = at(noLinks ? "home/user" : "link-to-home");
    const { said, stderr } = await runChild(TRY_EACH, {
      args: [JSON.stringify([...refused, ...relative, ...allowed])],
      cwd: at("current/inner"),
      env: { HOME: home, USERPROFILE: home, TMPDIR: at("temporary/tmp") },
    });
    assert.equal(stderr, "");
    const twice = (path: string, ...rest: string[]): string[][] => [[path, ...rest], [path, ...rest]];
    assert.deepEqual(said, [
      ...[...refused, ...relative].flatMap((path) => twice(path, "TypeError", "ERR_INVALID_OPTION")),
      ...allowed.flatMap((path) => twice(path, "adopted")),
    ]);
    const links = noLinks ? [] : ["link-to-home"];
    assert.deepEqual(place.list(), ["current", "home", ...links, "plain", "temporary"]);
  },
);

/** A primitive on a file system that ignores case. */
const ignoringCase = (real: (...args: unknown[]) => unknown, path: string, ...rest: unknown[]): unknown =>
  real(path.replace(/CACHE$/, "cache"), ...rest);

test("C245 the home directory, or one that contains it, cannot be adopted by another case of its name, as on Windows and macOS", () => {
  using place = scratch();
  const cache = join(place.path, "cache");
  mkdirSync(join(cache, "user"), { recursive: true });
  for (const home of [cache, join(cache, "user")]) {
    using _ = substitute({
      primitives: {
        status: ignoringCase,
        // Some file systems return the name as it was given.
        realPath: (real, path: string) => path.endsWith("CACHE") ? path : real(path),
      },
      runtime: { env: (name) => name === "HOME" ? home : undefined },
    });
    assert.throws(() => adoptFromSource(join(place.path, "CACHE")), {
      code: "ERR_INVALID_OPTION",
      message: /a directory without the home directory in it/,
    });
  }
});

test("an adopted entry has the path that leases record, even if its name was given in another case, as on Windows and macOS", () => {
  using place = scratch();
  const name = "tmpabcdefghijkmnpqrstuvw";
  const path = join(place.path, name), given = join(place.path, name.toUpperCase());
  const ignoring = (real: (...args: unknown[]) => unknown, path: string): unknown =>
    real(path.replace(name.toUpperCase(), name));
  for (const create of [(path: string) => writeFileSync(path, ""), mkdirSync]) {
    create(path);
    using _ = substitute({ primitives: { status: ignoring, realPath: ignoring } });
    const isFile = create !== mkdirSync;
    using adopted = isFile ? adoptFileFromSource(given) : adoptFromSource(given);
    assert.equal(adopted.path, path);
  }
  assert.deepEqual(place.names(), []);
});

test("C245 a directory that others can write to cannot be adopted", { skip: noModes }, async () => {
  using place = scratch();
  for (const mode of [0o777, 0o1777, 0o703]) {
    chmodSync(place.path, mode);
    const refused = { name: "TypeError", code: "ERR_INVALID_OPTION" };
    await assert.rejects(adoptDirectory(place.path), refused);
    assert.throws(() => adoptDirectorySync(place.path), refused);
  }
  assert.ok(existsSync(place.path));
});

test(
  "C245 the root directory, and directories directly in it, cannot be adopted",
  { skip: isWindows && "a root of POSIX" },
  () => {
    using place = scratch();
    const real = lstatSync(place.path);
    // The real root is not touched: a scratch directory pretends to have its path.
    for (const claimed of ["/", "/mayfly-stand-in"]) {
      const forbidden = (): never => {
        throw systemError("EPERM");
      };
      using seen = substitute({
        primitives: {
          realPath: (_real, path: string) => path === place.path ? claimed : path,
          status: (ask, path) => ask(path === claimed ? place.path : dirname(place.path)),
          unlink: forbidden,
          removeDirectory: forbidden,
          rename: forbidden,
        },
        runtime: { removeTree: undefined },
      });
      // The root also contains what must not be in an adopted directory.
      const message = /neither a file system root nor a directory in one/;
      const refused = { name: "TypeError", code: "ERR_INVALID_OPTION", message };
      assert.throws(() => adoptFromSource(claimed), refused);
      assert.deepEqual(
        [...seen.of("unlink"), ...seen.of("removeDirectory"), ...seen.of("openDirectory")],
        [],
      );
    }
    assert.equal(lstatSync(place.path).ino, real.ino);
  },
);

test(
  "C245 mount points cannot be adopted, bind mounts from the same file system included",
  { skip: notRoot, onOneNode: true },
  async () => {
    using place = scratch();
    const at = (name: string): string => join(place.path, name);
    for (const name of ["tmpfs", "source", "bound here", "plain"]) mkdirSync(at(name));
    writeFileSync(join(at("source"), "kept"), "");
    const mount =
      `mount -t tmpfs none "$1/tmpfs" && mount --bind "$1/source" "$1/bound here" && shift && exec "$@"`;
    const { said, stderr } = await runChild(TRY_EACH, {
      args: [JSON.stringify([at("tmpfs"), at("bound here"), at("source"), at("plain")])],
      under: ["unshare", "-m", "sh", "-c", mount, "sh", place.path],
    });
    assert.equal(stderr, "");
    const refused = (path: string): string[] => [path, "TypeError", "ERR_INVALID_OPTION"];
    assert.deepEqual(said, [
      ...[at("tmpfs"), at("bound here")].flatMap((path) => [refused(path), refused(path)]),
      ...[at("source"), at("plain")].flatMap((path) => [[path, "adopted"], [path, "adopted"]]),
    ]);
    assert.deepEqual(place.list(), ["bound here", "plain", "source", "tmpfs"]);
    assert.ok(existsSync(join(at("source"), "kept")));
  },
);

test("adopting with an aborted signal rejects with AbortError and adopts nothing", async () => {
  using place = filledScratch();
  const signal = AbortSignal.abort();
  await assert.rejects(adoptFile(place.at("one"), { signal }), { name: "AbortError" });
  await assert.rejects(adoptDirectory(place.at("one.d"), { signal }), { name: "AbortError" });
  assert.deepEqual(place.list(), EVERYTHING);
});

test("adopting rejects with the reason if it is aborted while the path is looked up, and adopts nothing", async () => {
  using place = filledScratch();
  for (const [adopt, name] of [[adoptFromSourceLater, "one"], [adoptDirectoryFromSource, "one.d"]] as const) {
    const controller = new AbortController(), reason = new Error("enough");
    using _ = substitute({
      primitives: {
        status(real, path) {
          controller.abort(reason);
          return real(path);
        },
      },
    });
    await assert.rejects(adopt(place.at(name), { signal: controller.signal }), reason);
    assert.equal(held().entries.some(({ path }) => path === place.at(name)), false);
  }
  assert.deepEqual(place.list(), EVERYTHING);
});

test("C259 kept files and directories survive their creator's exit, and are removed by the exit of a process that adopts them", async () => {
  using place = scratch();
  const { said } = await runChild(
    `const file = await m.namedTemporaryFile({ dir: args[0] }), directory = m.temporaryDirectorySync({ dir: args[0] });
     file.writeSync("handed on");
     fs.writeFileSync(directory.join("inside"), "");
     say(file.keep()); say(directory.keep());
     process.exit(0);`,
    { args: [place.path] },
  );
  assert.equal(place.list().length, 2);
  const adopter = await runChild(
    `const file = m.adoptFileSync(args[0]), directory = await m.adoptDirectory(args[1]);
     say(file.textSync()); say(fs.readdirSync(directory.path)); process.exit(3);`,
    { args: said },
  );
  assert.deepEqual([adopter.said, adopter.status], [["handed on", ["inside"]], 3]);
  assert.deepEqual(place.list(), []);
});

/** Starts a process that creates or adopts a file and a directory, and calls keep() on them when told to. */
function startOwner(code: string, env: { [name: string]: string }, args: string[] = []) {
  const stays = `m.configure({ reclaim: false }); ${code}
    say(mine.map(({ path }) => path));
    process.stdin.once("data", () => { mine.forEach((one) => one.keep()); say("kept"); });
    setInterval(() => {}, 1000);`;
  const { child, result } = startChild(stays, { args, env });
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const nextLine = async () => {
    const { value: line } = await lines.next();
    if (line === undefined) assert.fail((await result).stderr);
    return JSON.parse(line.slice(1));
  };
  return {
    nextLine,
    keepAll: () => (child.stdin!.write("now"), nextLine()),
    kill: () => (process.kill(child.pid!, "SIGKILL"), result),
  };
}

/** Removes what the dead have left in a temporary directory, and returns how many entries that were. */
async function sweepIn(tmpdir: string): Promise<number> {
  configureMain({ tmpdir });
  try {
    return (await sweep()).removed.length;
  } finally {
    configureMain({ tmpdir: undefined });
  }
}

const CREATES = `globalThis.mine = [m.namedTemporaryFileSync(), m.temporaryDirectorySync()];`;
const ADOPTS =
  `globalThis.mine = args.map((path) => fs.statSync(path).isFile() ? m.adoptFileSync(path) : m.adoptDirectorySync(path));`;

test(
  "C259 C265 an entry adopted in turn by processes with any temporary directory is reclaimed only after the last is killed",
  { skip: noLinux, onOneNode: true },
  async () => {
    for (const isElsewhere of [false, true]) {
      using place = scratch();
      using other = scratch();
      const env = { TMPDIR: place.path }, adopters = isElsewhere ? { TMPDIR: other.path } : env;
      const creator = startOwner(CREATES, env);
      const paths: string[] = await creator.nextLine();
      const thereAfterSweep = async (): Promise<boolean[]> => {
        await sweepIn(place.path);
        return paths.map((path) => existsSync(path));
      };
      const second = startOwner(ADOPTS, adopters, paths);
      await second.nextLine();
      // It is killed without having called keep().
      await creator.kill();
      assert.deepEqual(await thereAfterSweep(), [true, true]);
      const third = startOwner(ADOPTS, adopters, paths);
      await third.nextLine();
      await second.keepAll();
      await second.kill();
      assert.deepEqual(await thereAfterSweep(), [true, true]);
      await third.kill();
      assert.deepEqual(await thereAfterSweep(), [false, false]);
      assert.deepEqual(place.list().flatMap((name) => readdirSync(join(place.path, name))), []);
    }
  },
);

test(
  "C259 C265 a dead process's entries that are adopted, or adopted and kept, during a sweep are not removed by it",
  { skip: noLinux, onOneNode: true },
  async () => {
    using place = scratch();
    const planted = plant(place.path);
    for (let n = 0; n < 4; n++) writeFileSync(join(place.path, planted.name()), "");
    // The process has an entry of its own, so that the sweep has read its lease before it adopts.
    const code = `m.configure({ reclaim: false });
    globalThis.own = m.namedTemporaryFileSync({ prefix: "own-" });
    const there = () => fs.readdirSync(args[0]).filter((name) => !/^(\\.mayfly|own)-/.test(name)).sort();
    let adopted;
    await m.sweep({ onProgress: async () => {
      if (adopted !== undefined) return;
      const paths = there().map((name) => path.join(args[0], name));
      adopted = await Promise.all(paths.map((one) => m.adoptFile(one)));
      adopted[0].keep();
    } });
    say([adopted.length, there().length]);`;
    const { said, status, stderr } = await runChild(code, {
      args: [place.path],
      env: { TMPDIR: place.path },
    });
    assert.deepEqual([status, stderr], [0, ""]);
    assert.deepEqual(said, [[3, 3]]);
    assert.equal(place.names().filter((name) => !name.startsWith(".mayfly-")).length, 1);
  },
);

test("adopting an entry that is removed while the lease is written fails with ENOENT, and the record is revoked", () => {
  using place = scratch();
  // A name as the library creates them: only for those is the adoption recorded.
  const path = join(place.path, "tmpabcdefghijkmnpqrstuvw");
  const removing = (
    real: (...args: unknown[]) => unknown,
    handle: unknown,
    bytes: Uint8Array,
    at: number,
  ) => {
    if (new TextDecoder().decode(bytes).includes(`adopted ${path}`)) rmSync(path, { recursive: true });
    return real(handle, bytes, at);
  };
  using seen = substitute({ primitives: { write: removing } });
  mkdirSync(path);
  assert.throws(() => adoptFromSource(path), { name: "TempfileError", code: "ENOENT", path });
  writeFileSync(path, "");
  assert.throws(() => adoptFileFromSource(path), { name: "TempfileError", code: "ENOENT", path });
  const records = seen.of("write").map(([, bytes]) => new TextDecoder().decode(bytes as Uint8Array)).join("");
  assert.deepEqual(records.match(/^(adopted|kept)(?= .*tmpabc)/gm), ["adopted", "kept", "adopted", "kept"]);
  assert.deepEqual(held().entries, []);
});

/** Like {@linkcode CREATES}, but creates another file instead of each call of keep(). */
const CREATES_MORE = `${CREATES}
  for (const one of mine) one.keep = () => globalThis.more = m.namedTemporaryFileSync({ prefix: "more-" });`;

test(
  "C259 C265 an entry that an adopter kept is never reclaimed, whether earlier owners die before that or after creating more",
  { skip: noLinux, onOneNode: true },
  async () => {
    for (const isElsewhere of [false, true]) {
      using place = scratch();
      using other = scratch();
      const env = { TMPDIR: place.path }, adopters = isElsewhere ? { TMPDIR: other.path } : env;
      const [early, late] = [1, 2].map(() => startOwner(CREATES_MORE, env));
      const paths: string[] = [...await early.nextLine(), ...await late.nextLine()];
      const second = startOwner(ADOPTS, adopters, paths);
      await second.nextLine();
      await second.kill();
      await early.kill();
      const third = startOwner(ADOPTS, adopters, paths);
      await third.nextLine();
      await third.keepAll();
      await late.keepAll().then(late.kill);
      await third.kill();
      // What the late one has created more.
      assert.equal(await sweepIn(place.path), 2);
      assert.deepEqual(paths.map((path) => existsSync(path)), [true, true, true, true]);
      assert.deepEqual(readdirSync(leasesIn(place.path)), []);
    }
  },
);

test(
  "C259 C265 an entry that an adopter persisted under its old name is not reclaimed, though its creator creates others there",
  { skip: noLinux, onOneNode: true },
  async () => {
    for (const isLate of [false, true]) {
      using place = scratch();
      mkdirSync(join(place.path, "done"));
      const env = { TMPDIR: place.path };
      const creator = startOwner(
        `const dir = path.join(m.tmpdir(), "done");
        const more = () => globalThis.more = [m.namedTemporaryFileSync({ dir }), m.temporaryDirectorySync({ dir })];
        ${isLate ? "" : "more();"} ${CREATES} mine[0].keep = more; mine[1].keep = () => {};`,
        env,
      );
      const paths: string[] = await creator.nextLine();
      const done = paths.map((path) => join(place.path, "done", basename(path)));
      const adopter = startOwner(
        `${ADOPTS} for (const one of mine) one.persistSync(path.join(m.tmpdir(), "done", path.basename(one.path)));`,
        env,
        paths,
      );
      await adopter.nextLine();
      if (isLate) await creator.keepAll();
      for (const owner of [creator, adopter]) {
        await owner.kill();
        await sweepIn(place.path);
      }
      assert.deepEqual([...paths, ...done].map((path) => existsSync(path)), [false, false, true, true]);
      assert.equal(readdirSync(join(place.path, "done")).length, 2);
    }
  },
);

test(
  "C259 C268 a new entry under the name of an adopted one that was removed is not reclaimed",
  { skip: noLinux, onOneNode: true },
  async () => {
    using place = scratch();
    const env = { TMPDIR: place.path };
    const owner = startOwner(
      `${CREATES} const paths = mine.map((one) => one.keep());
      m.adoptFileSync(paths[0]).closeSync(); m.adoptDirectorySync(paths[1]).removeSync();
      fs.writeFileSync(paths[0], "theirs"); fs.mkdirSync(paths[1]);
      globalThis.held = m.namedTemporaryFileSync();`,
      env,
    );
    const paths: string[] = await owner.nextLine();
    await owner.kill();
    const removed = await sweepIn(place.path);
    assert.deepEqual([removed, ...paths.map((path) => existsSync(path))], [1, true, true]);
  },
);

test("C259 an adoption is recorded beside the creator's lease if that is in a directory above, else in the process's own lease", async () => {
  await withoutLease();
  using own = scratch();
  using place = scratch();
  const deep = join(place.path, "deep");
  mkdirSync(deep);
  const creator = plant(place.path, { lines: [place.path, deep].map((made) => `made ${made}/tmp*`) });
  /** The records, without the header, of the lease in a directory that is not the creator's. */
  const recordsIn = (directory: string): string[] => {
    const { [basename(creator.path)]: _, ...leases } = readLeases(directory);
    assert.equal(Object.keys(leases).length, 1);
    return Object.values(leases)[0].split("\n").slice(4, -1);
  };
  const paths = [join(place.path, creator.name()), join(deep, creator.name())];
  const stranger = join(place.path, plant(own.path).name());
  for (const path of [...paths, stranger]) writeFileSync(path, "");
  configure({ tmpdir: own.path });
  try {
    const [before, ...files] = [namedFromSourceSync(), ...paths.map((path) => adoptFileFromSource(path))];
    // The lease beside the creator's has another session, which no name may have that it does not speak for.
    using after = namedFromSourceSync();
    assert.equal(basename(after.path).slice(0, 11), basename(before.path).slice(0, 11));
    before.closeSync();
    assert.deepEqual(recordsIn(place.path), paths.map((path) => `adopted ${path}`));
    files[0].closeSync();
    files[1].keep();
    assert.deepEqual(recordsIn(place.path).slice(2), paths.map((path) => `kept ${basename(path)}`));
    assert.ok(readFileSync(creator.path, "utf8").endsWith(`\nkept /${basename(paths[1])}\n`));
    files[1].closeSync();
    adoptFileFromSource(stranger).closeSync();
    const leases = Object.values(readLeases(own.path));
    assert.ok(leases.some((text) => text.includes(`\nadopted ${stranger}\n`)));
  } finally {
    configure({ tmpdir: undefined });
  }
});

test(
  "of two processes that adopt the same entries, the first to end removes them, and the other does nothing",
  {
    skip: namesLinger,
  },
  async () => {
    using place = filledScratch();
    await using file = await adoptFile(place.at("one"));
    await using directory = await adoptDirectory(place.at("one.d"));
    await runChild(`m.adoptFileSync(args[0]); m.adoptDirectorySync(args[1]); process.exit(0);`, {
      args: [file.path, directory.path],
    });
    assert.deepEqual(place.list(), ["two", "two.d"]);
    // The handle of this process is still open.
    assert.equal(await file.text(), "one");
    await file.close();
    await directory.remove();
    assert.deepEqual(place.list(), ["two", "two.d"]);
  },
);

test("remove() of an adopted directory that was replaced by another one fails, and leaves both", async () => {
  using place = filledScratch();
  const directory = adoptDirectorySync(place.at("one.d"));
  renameSync(place.at("one.d"), place.at("moved"));
  mkdirSync(place.at("one.d"));
  writeFileSync(place.at("one.d", "new"), "");
  await assert.rejects(directory.remove(), { name: "TempfileError" });
  directory.keep();
  assert.deepEqual(place.list(), ["moved", ...EVERYTHING]);
  assert.ok(existsSync(place.at("one.d", "new")));
});

test("C141 a file or directory is removed unless delete is false or keep() was called, in each combination", async () => {
  using place = scratch();
  for (const kept of [false, true]) {
    for (const remove of [false, true]) {
      const options = { dir: place.path, delete: remove };
      const made = [
        await namedTemporaryFile(options),
        namedTemporaryFileSync(options),
        await temporaryDirectory(options),
        temporaryDirectorySync(options),
      ];
      for (const [index, handle] of made.entries()) {
        if (kept) assert.equal(handle.keep(), handle.path);
        if (index % 2 === 0) await handle[Symbol.asyncDispose]();
        else handle[Symbol.dispose]();
        assert.equal(existsSync(handle.path), kept || !remove, `${index} ${kept} ${remove}`);
      }
    }
  }
});

test("C141 adopted files and directories are not removed after keep()", async () => {
  using place = filledScratch();
  const file = await adoptFile(place.at("one")), directory = await adoptDirectory(place.at("one.d"));
  assert.deepEqual([file.keep(), directory.keep()], [place.at("one"), place.at("one.d")]);
  await file.close();
  await directory[Symbol.asyncDispose]();
  assert.deepEqual(place.list(), EVERYTHING);
});

test("home() prefers HOME, on Windows USERPROFILE, and falls back to the other", () => {
  const homeOn = (platform: Runtime["platform"], env: { [name: string]: string }) => {
    using _ = substitute({ runtime: { platform, env: (name) => env[name] } });
    return home();
  };
  const both = { HOME: "/home/mayfly", USERPROFILE: "C:\\Users\\mayfly" };
  assert.deepEqual([homeOn("linux", both), homeOn("windows", both)], [both.HOME, both.USERPROFILE]);
  assert.deepEqual([homeOn("linux", { USERPROFILE: "u" }), homeOn("windows", { HOME: "h" })], ["u", "h"]);
  assert.equal(homeOn("linux", {}), undefined);
});

test("a directory can be adopted if the home directory is unknown", () => {
  using place = filledScratch();
  using _ = substitute({ runtime: { env: () => undefined } });
  const directory = adoptFromSource(place.at("one.d"));
  directory.removeSync();
  assert.deepEqual(place.list(), EVERYTHING.filter((name) => name !== "one.d"));
});

test("adoptFile() keeps the lease that records the adoption while it waits for the file to be opened", async () => {
  using place = scratch();
  const path = join(place.path, "tmpabcdefghijkmnpqrstuvw");
  writeFileSync(path, "");
  // The leases of earlier tests are elsewhere, and so is the time of the next look whether anything is registered.
  while (heldLeases().size > 0) await setTimeout(50);
  const { later } = runtime;
  configure({ tmpdir: place.path, inline: false });
  try {
    using _ = substitute({
      primitives: {
        openFile: (real, ...[opened, access]: [string, string]) =>
          opened === path ? setTimeout(300).then(() => real(opened, access)) : real(opened, access),
      },
      // The lease of this file is discarded as soon as nothing is registered.
      runtime: { later: (_, call) => later(0, call) },
    });
    (await namedFromSource()).closeSync();
    const file = await adoptFromSourceLater(path);
    assert.ok(Object.values(readLeases(place.path)).join("").split("\n").includes(`adopted ${path}`));
    await file.close();
  } finally {
    configure({ tmpdir: undefined, inline: undefined });
  }
});
