/**
 * `persist()` of a file, by its target: what exists there already, and the path given.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { createServer } from "node:net";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import {
  namedTemporaryFile,
  spooledTemporaryFile,
  TempfileError,
  temporaryFile,
  writeFileAtomic,
  writeFileAtomicSync,
} from "#mod";
import { temporaryDirectorySync as sourceDirectorySync } from "../../lib/directory.ts";
import {
  namedTemporaryFile as sourceNamed,
  namedTemporaryFileSync as sourceNamedSync,
} from "../../lib/file/named.ts";
import { temporaryFile as sourceUnnamed } from "../../lib/file/unnamed.ts";
import { writeFileAtomicSync as sourceWriteSync } from "../../lib/persist/write_file_atomic.ts";
import { firstOutput, runChild, startChild } from "../support/child.ts";
import { failureOf, kinds } from "../support/kinds.ts";
import { packageTest as test } from "../support/once.ts";
import {
  isWindows,
  namesLinger,
  noFifos,
  noLinks,
  noModes,
  noReplacing,
  notRoot,
} from "../support/platform.ts";
import { variants, workspace } from "../support/places.ts";
import { type Scratch, scratch } from "../support/scratch.ts";
import { asWindows, type Stub, substitute, systemError } from "../support/substitute.ts";

test("C106 C144 persist() with overwrite: false onto a file fails with EEXIST, leaves both intact, and succeeds at another path", async () => {
  for (const [kind, open] of Object.entries(kinds)) {
    for (const [variant, persist] of Object.entries(variants)) {
      using place = workspace();
      const label = `${kind}, ${variant}`;
      const taken = join(place.results.path, "taken"), free = join(place.results.path, "free");
      writeFileSync(taken, "foobar");
      const file = await open({ dir: place.temporary.path });
      await file.write("mine");
      assert.equal(await failureOf(() => persist(file, taken, { overwrite: false })), "EEXIST", label);
      assert.equal(readFileSync(taken, "utf8"), "foobar", label);
      assert.equal(await file.text(), "mine", label);
      await file.write(" and more");
      assert.equal(await persist(file, free, { overwrite: false }), free, label);
      assert.equal(readFileSync(free, "utf8"), "mine and more", label);
      assert.deepEqual(place.results.list(), ["free", "taken"], label);
      assert.deepEqual(place.temporary.list(), [], label);
    }
  }
});

test("C144 persist() with overwrite: false does not replace a file that appears at the target after its check", async () => {
  for (const open of [sourceNamed, sourceUnnamed]) {
    for (const [variant, persist] of Object.entries(variants)) {
      using place = workspace();
      const target = join(place.results.path, "target");
      const file = await open({ dir: place.temporary.path });
      await file.write("mine");
      using _ = substitute({
        primitives: {
          link: (real, from: string, to: string) => (writeFileSync(to, "theirs"), real(from, to)),
        },
      });
      assert.equal(
        await failureOf(() => persist(file as never, target, { overwrite: false })),
        "EEXIST",
        variant,
      );
      assert.equal(readFileSync(target, "utf8"), "theirs");
      assert.equal(await file.text(), "mine");
      await file.close();
      assert.deepEqual([place.temporary.list(), place.results.list()], [[], ["target"]]);
    }
  }
});

test("C145 persist() onto a directory fails with EISDIR, or EEXIST with overwrite: false, and changes neither", async () => {
  for (const [kind, open] of Object.entries(kinds)) {
    for (const persist of Object.values(variants)) {
      using place = workspace();
      const full = join(place.results.path, "full"), empty = join(place.results.path, "empty");
      mkdirSync(full);
      mkdirSync(empty);
      writeFileSync(join(full, "file"), "x");
      const file = await open({ dir: place.temporary.path });
      await file.write("mine");
      for (const path of [full, empty, `${full}/`, `${full}/.`, `${full}/..`]) {
        assert.equal(await failureOf(() => persist(file, path)), "EISDIR", `${kind} ${path}`);
        const careful = () => persist(file, path, { overwrite: false });
        assert.equal(await failureOf(careful), "EEXIST", `${kind} ${path}`);
      }
      assert.equal(await file.text(), "mine");
      await file.close();
      assert.deepEqual([place.results.list(), existsSync(join(full, "file"))], [["empty", "full"], true]);
    }
  }
});

test("C146 persist() into a missing directory fails with ENOENT, and can be called again", async () => {
  for (const [kind, open] of Object.entries(kinds)) {
    for (const persist of Object.values(variants)) {
      using place = workspace();
      const file = await open({ dir: place.temporary.path });
      await file.write("mine");
      const missing = join(place.results.path, "missing");
      const error = await persist(file, join(missing, "new")).then(() => undefined, (error) => error);
      assert.ok(error instanceof TempfileError, kind);
      assert.equal(error.code, "ENOENT");
      assert.match(error.message, /Cannot put a file at .*missing/);
      assert.ok(!file.closed);
      mkdirSync(missing);
      await persist(file, join(missing, "new"));
      assert.equal(readFileSync(join(missing, "new"), "utf8"), "mine");
    }
  }
});

/** Reads a file in a loop, and reports how often it differed from a whole replacement. */
const READER = `
const [target] = args;
let reads = 0, partial = 0;
const seen = new Set();
say("ready");
for (;;) {
  const text = fs.readFileSync(target, "latin1");
  reads++;
  const line = text.slice(0, text.indexOf("\\n") + 1);
  if (line === "end\\n") break;
  // A whole file is one line of ten characters, 2,000 times.
  if (line.length === 10 && text.length === 20000 && text === line.repeat(2000)) seen.add(line);
  else partial++;
}
say({ reads, partial, seen: seen.size });`;

const generation = (number: number): string => `${String(number).padStart(9, "0")}\n`.repeat(2000);

/** Returns what a concurrent reader sees during 2,000 replacements. */
async function readDuring(
  place: Scratch,
  replace: (path: string, text: string) => void | Promise<void>,
): Promise<{ reads: number; partial: number; seen: number }> {
  const target = join(place.path, "target");
  writeFileSync(target, generation(0));
  const { child, result } = startChild(READER, { args: [target], bare: true });
  await firstOutput(child);
  for (let number = 1; number <= 2000; number++) await replace(target, generation(number));
  writeFileAtomicSync(target, "end\n");
  const { said, stderr } = await result;
  assert.equal(said.length, 2, stderr);
  return said[1];
}

/** Writes a file the naive way: truncates it, and writes it in pieces. */
function writeInPlace(path: string, text: string): void {
  const fd = openSync(path, "w");
  for (let at = 0; at < text.length; at += 4000) writeSync(fd, text.slice(at, at + 4000));
  closeSync(fd);
}

test(
  "C143 a concurrent reader sees only whole files during 2,000 calls of persist() and writeFileAtomic(), and partial ones during plain writes",
  { onOneNode: true, skip: noReplacing },
  async () => {
    using place = scratch();
    const dir = place.path;
    type Options = { durable: boolean };
    const ways: ((path: string, text: string, options: Options) => void | Promise<void>)[] = [
      writeFileAtomic,
      writeFileAtomicSync,
      ...[namedTemporaryFile, temporaryFile, spooledTemporaryFile].flatMap((open) =>
        Object.values(variants).map((persist) => async (path: string, text: string, options: Options) => {
          const file = await open({ dir });
          await file.write(text);
          await persist(file, path, options);
        })
      ),
    ];
    let turn = 0;
    const found = await readDuring(place, (path, text) => {
      const durable = turn % 100 < 3;
      return ways[turn++ % ways.length](path, text, { durable });
    });
    assert.equal(found.partial, 0);
    assert.ok(found.seen > 5 && found.reads > 20, JSON.stringify(found));
    assert.deepEqual(place.list(), ["target"]);
    // The control: the same reader detects plain writes, though on a busy machine not always at the first attempt.
    let partial = 0;
    for (let tries = 0; partial === 0 && tries < 10; tries++) {
      ({ partial } = await readDuring(place, writeInPlace));
    }
    assert.ok(partial > 0);
  },
);

/** Persists to `given`, and checks that the file is at the canonical path. */
async function persistAndCheck(place: Scratch, given: string | URL, canonical: string): Promise<void> {
  const file = await namedTemporaryFile({ dir: place.path });
  assert.equal(await file.persist(given), canonical);
  assert.ok(existsSync(canonical));
}

test("persist() accepts relative paths and file: URLs, and returns the canonical path", async () => {
  using place = workspace();
  const { path } = place.results;
  await persistAndCheck(place.temporary, relative(process.cwd(), join(path, "a")), join(path, "a"));
  await persistAndCheck(place.temporary, pathToFileURL(join(path, "b c%")), join(path, "b c%"));
});

test(
  "persist() accepts paths through symbolic links, and returns the canonical path",
  { skip: noLinks },
  async () => {
    using place = workspace();
    const { path } = place.results;
    mkdirSync(join(path, "real"));
    symlinkSync("real", join(path, "link"));
    await persistAndCheck(place.temporary, join(path, "link", "a"), join(path, "real", "a"));
    await persistAndCheck(place.temporary, `${path}/link/../real//./b`, join(path, "real", "b"));
  },
);

test("persist() refuses a path with a trailing separator, one through a file, a directory, a root, and a name that is too long", async () => {
  using place = workspace();
  const { path } = place.results;
  writeFileSync(join(path, "file"), "old");
  const file = await namedTemporaryFile({ dir: place.temporary.path });
  const refusals: [string, string][] = [
    [`${path}/new/`, "ENOTDIR"],
    [`${path}/new//`, "ENOTDIR"],
    [`${path}/file/`, "ENOTDIR"],
    [`${path}/file/.`, "ENOTDIR"],
    // On Windows a path below a file merely does not exist.
    [`${path}/file/x`, isWindows ? "ENOENT" : "ENOTDIR"],
    [".", "EISDIR"],
    ["..", "EISDIR"],
    ["/", "EISDIR"],
    // On Windows an invalid name merely does not exist.
    [join(path, "x".repeat(300)), isWindows ? "ENOENT" : "ENAMETOOLONG"],
  ];
  for (const [given, code] of refusals) {
    for (const persist of Object.values(variants)) {
      assert.equal(await failureOf(() => persist(file, given)), code, given);
    }
  }
  assert.deepEqual([place.results.list(), readFileSync(join(path, "file"), "utf8")], [["file"], "old"]);
  await file.close();
});

test("persist() on Windows refuses a path whose last component is only dots and spaces, which the system would drop", async () => {
  using place = workspace();
  const old = join(place.results.path, "file");
  writeFileSync(old, "old");
  const drop = (path: string): string => path.replace(/[\\/][. ]+$/, "");
  using watched = substitute(asWindows({
    primitives: {
      status: (real, path: string) => real(drop(path)),
      realPath: (real, path: string) => real(drop(path)),
    },
  }));
  const file = await sourceNamed({ dir: place.temporary.path });
  for (const end of ["/.", "\\.", "\\...", "\\ ."]) {
    for (const [variant, persist] of Object.entries(variants)) {
      assert.equal(await failureOf(() => persist(file as never, old + end)), "ENOTDIR", `${end} ${variant}`);
    }
  }
  assert.equal(watched.of("rename").length, 0);
  assert.equal(readFileSync(old, "utf8"), "old");
  file.closeSync();
});

test("persist() on Windows accepts a path relative to the current directory of a drive", async () => {
  using place = workspace();
  // The drive by itself resolves to its current directory.
  const realPath = (real: (path: string) => unknown, path: string): unknown =>
    real(path === "C:" ? place.results.path : path);
  using _ = substitute(asWindows({ primitives: { realPath } }));
  for (const [variant, persist] of Object.entries(variants)) {
    const file = await sourceNamed({ dir: place.temporary.path });
    await persist(file as never, `C:${variant}`);
  }
  assert.deepEqual(place.results.list(), Object.keys(variants));
});

/** Listens on a socket at a path until the end of the scope. */
async function socketAt(path: string): Promise<AsyncDisposable> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return { [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())) };
}

test(
  "persist() onto a pipe, a socket or a symbolic link to a pipe fails with EINVAL",
  { skip: noFifos },
  async () => {
    using place = workspace();
    const { path } = place.results;
    spawnSync("mkfifo", [join(path, "pipe")]);
    symlinkSync("pipe", join(path, "link"));
    await using _socket = await socketAt(join(path, "socket"));
    for (const [kind, open] of Object.entries(kinds)) {
      const file = await open({ dir: place.temporary.path });
      await file.write("x");
      for (const name of ["pipe", "socket", "link"]) {
        for (const persist of Object.values(variants)) {
          for (const links of ["replace", "follow"] as const) {
            const error = await persist(file, join(path, name), { links }).then(
              () => undefined,
              (error) => error,
            );
            assert.equal(error?.code, "EINVAL", `${kind} ${name} ${links}`);
            assert.match(error.message, /device, pipe or socket/);
          }
        }
      }
      assert.equal(await file.text(), "x");
      await file.close();
    }
    assert.ok(lstatSync(join(path, "pipe")).isFIFO());
    assert.ok(lstatSync(join(path, "link")).isSymbolicLink());
    assert.ok(lstatSync(join(path, "socket")).isSocket());
  },
);

test(
  "persist() and writeFileAtomic() refuse to replace a device, even as root",
  { skip: notRoot },
  async () => {
    using place = workspace();
    const device = join(place.results.path, "null"), link = join(place.results.path, "link");
    // A new device node, with the device numbers of /dev/null.
    const made = spawnSync("mknod", [device, "c", "1", "3"]);
    assert.equal(made.status, 0, String(made.stderr));
    symlinkSync("null", link);
    const { said, stderr } = await runChild(
      `for (const target of args.slice(1)) {
       const file = await m.namedTemporaryFile({ dir: args[0] });
       for (const call of [() => file.persist(target), () => file.persistSync(target),
         () => m.writeFileAtomic(target, "x"), async () => m.writeFileAtomicSync(target, "x")]) {
         try { await call(); say("replaced"); } catch (error) { say(error.code); }
       }
       await file.close();
     }`,
      { args: [place.temporary.path, device, link] },
    );
    assert.deepEqual(said, Array(8).fill("EINVAL"), stderr);
    assert.ok(lstatSync(device).isCharacterDevice());
    assert.deepEqual(place.results.list(), ["link", "null"]);
  },
);

test("persist() and writeFileAtomic() refuse the names of Windows devices on Windows, with any extension, and only there", () => {
  using place = scratch();
  {
    using file = sourceNamedSync(), directory = sourceDirectorySync();
    const names = ["NUL", "con", "aux.txt", "COM1.tar.gz", "prn .x", "lpt9 "];
    // As Deno does for such a name.
    const status: Stub = (real, path: string) => {
      if (names.some((name) => path.endsWith(name))) throw systemError("EBADF");
      return real(path);
    };
    using watched = substitute(asWindows({ primitives: { status } }));
    for (const name of names) {
      const path = join(place.path, name);
      const why = `: it is a device, pipe or socket, or a link to one (EINVAL)`;
      const error = { code: "EINVAL", path, message: `Cannot put a file at "${path}"${why}` };
      assert.throws(() => sourceWriteSync(path, "x"), error);
      assert.throws(() => file.persistSync(path), error);
      assert.throws(() => directory.persistSync(path), {
        ...error,
        message: error.message.replace("file", "directory"),
      });
    }
    assert.deepEqual(watched.calls, []);
    for (const name of ["nul-", "console", "com.1", "xaux"]) sourceWriteSync(join(place.path, name), "x");
  }
  if (!isWindows) sourceWriteSync(join(place.path, "nul"), "x");
  assert.deepEqual(
    place.list(),
    ["com.1", "console", "nul", "nul-", "xaux"].filter((name) => name !== "nul" || !isWindows),
  );
});

test(
  "persist() into a directory without write permission fails with EACCES and leaves the file unchanged",
  {
    skip: noModes,
  },
  async () => {
    using place = workspace();
    const target = join(place.results.path, "target");
    writeFileSync(target, "old");
    chmodSync(target, 0o644);
    const { said, stderr } = await runChild(
      `const [dir, target] = args;
     fs.chmodSync(path.dirname(target), 0o555);
     for (const make of [m.namedTemporaryFile, m.temporaryFile, m.spooledTemporaryFile]) {
       const file = await make({ dir });
       await file.write("new");
       for (const call of [() => file.persist(target), async () => file.persistSync(target)]) {
         try { await call(); say("put"); } catch (error) { say([error.code, await file.text()]); }
       }
       if (file.path) say((fs.statSync(file.path).mode & 0o777).toString(8));
       await file.close();
     }
     fs.chmodSync(path.dirname(target), 0o755);`,
      { args: [place.temporary.path, target], unprivileged: true },
    );
    const failed = ["EACCES", "new"];
    assert.deepEqual(said, [failed, failed, "600", failed, failed, failed, failed], stderr);
    assert.equal(readFileSync(target, "utf8"), "old");
    assert.deepEqual([place.temporary.list(), place.results.list()], [[], ["target"]]);
  },
);

test(
  "C160 persist() of a file that is disposed of before the rename fails with ERR_CLOSED and its own path",
  {
    skip: namesLinger,
  },
  async () => {
    using place = workspace();
    const file = await sourceNamed({ dir: place.temporary.path });
    const { path } = file;
    using watched = substitute({
      primitives: {
        rename: async (real, ...args: never[]) => {
          await undefined;
          file[Symbol.dispose]();
          return real(...args);
        },
      },
    });
    await assert.rejects(file.persist(join(place.results.path, "new")), { code: "ERR_CLOSED", path });
    assert.equal(watched.of("rename").length, 1);
    assert.deepEqual([place.temporary.list(), place.results.list()], [[], []]);
  },
);
