import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  existsSync,
  fstatSync,
  readdirSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { test } from "node:test";
import {
  adoptFile,
  adoptFileSync,
  configure,
  NamedTemporaryFile,
  namedTemporaryFile,
  namedTemporaryFileSync,
  TemporaryFile,
} from "#mod";
import {
  namedTemporaryFile as sourceFile,
  namedTemporaryFileSync as sourceFileSync,
} from "../../lib/file/named.ts";
import { runChild } from "../support/child.ts";
import { whileCleaned } from "../support/cleaner.ts";
import { openIn } from "../support/descriptors.ts";
import { usesOf } from "../support/kinds.ts";
import { oncePerKind, packageTest } from "../support/once.ts";
import { isWindows, namesLinger, noModes, noRelativePaths } from "../support/platform.ts";
import { memory, scratch } from "../support/scratch.ts";
import { substitute, systemError } from "../support/substitute.ts";
import { warningsOf } from "../support/warnings.ts";

type NamedOptions = Parameters<typeof namedTemporaryFile>[0];

/** The asynchronous creator and its synchronous twin. */
const creators = [
  (options?: NamedOptions) => namedTemporaryFile(options),
  (options?: NamedOptions) => Promise.resolve(namedTemporaryFileSync(options)),
];

/** `close()` and its synchronous twin. */
const closers = [
  (file: { close(): Promise<void> }) => file.close(),
  (file: { closeSync(): void }) => Promise.resolve(file.closeSync()),
];

/** Code of a child process that records its warnings. */
const WARNINGS = `
const warnings = [];
process.on("warning", ({ name, code, message }) => warnings.push({ name, code, message }));
const warned = async () => { await new Promise((resolve) => setTimeout(resolve, 20)); return warnings; };
`;

test("C107 C108 a named file exists at its path while it is open, and closing it removes it", async () => {
  for (const create of creators) {
    for (const close of closers) {
      using place = scratch();
      const file = await create({ dir: place.path });
      assert.equal(dirname(file.path), place.path);
      assert.ok(statSync(file.path).isFile());
      await file.write("hello");
      assert.equal(readFileSync(file.path, "utf8"), "hello");
      await close(file);
      assert.ok(file.closed);
      assert.deepEqual(place.names(), []);
    }
  }
});

packageTest(
  "C109 C113 process exit keeps named files with delete: false, and removes those of deleteOnClose: false that were only closed",
  async () => {
    using place = scratch();
    const { said: [open, ...kept], status } = await runChild(
      `const files = [m.namedTemporaryFileSync({ delete: false }), await m.namedTemporaryFile({ delete: false })];
     for (const file of files) file.writeSync("kept");
     files[0].closeSync();
     await files[1].close();
     const closed = m.namedTemporaryFileSync({ deleteOnClose: false });
     closed.closeSync();
     say(fs.existsSync(closed.path));
     for (const file of files) {
       file[Symbol.dispose]();
       await file[Symbol.asyncDispose]();
       say(file.path);
     }
     say(m.namedTemporaryFileSync({ delete: false }).path);`,
      { env: { TMPDIR: place.path } },
    );
    assert.deepEqual([status, open], [0, true]);
    assert.deepEqual(kept.map((path) => readFileSync(path, "utf8")), ["kept", "kept", ""]);
    assert.equal(place.names().length, 3);
  },
);

test("C110 closing a named file that is already closed does nothing", async () => {
  const file = await namedTemporaryFile();
  await file.close();
  await file.close();
  file.closeSync();
  await file[Symbol.asyncDispose]();
  assert.ok(!existsSync(file.path));
});

test("C111 C122 a scope with using removes the file at its end, also when it is left by an error", async () => {
  let path = "";
  {
    using file = namedTemporaryFileSync();
    path = file.path;
    assert.ok(existsSync(path));
  }
  assert.ok(!existsSync(path));
  const failing = async (): Promise<void> => {
    await using file = await namedTemporaryFile();
    path = file.path;
    throw new Error("in the scope");
  };
  await assert.rejects(failing, /in the scope/);
  assert.ok(!existsSync(path));
});

test("C112 C127 every call on a closed named file fails with ERR_CLOSED and its path, and recreates nothing; the path stays readable", async () => {
  const file = await namedTemporaryFile();
  const { path } = file;
  await file.close();
  const uses: { [name: string]: () => unknown } = {
    ...usesOf(file),
    persist: () => file.persist(`${path}.persisted`),
    persistSync: () => file.persistSync(`${path}.persisted`),
    reopen: () => file.reopen(),
    reopenSync: () => file.reopenSync(),
  };
  const harmless = ["constructor", "path", "toString", "closed", "position", "keep", "close", "closeSync"];
  const members = [NamedTemporaryFile, TemporaryFile].flatMap((type) =>
    Object.getOwnPropertyNames(type.prototype)
  );
  const uncertain = [...new Set(members)].filter((name) => !harmless.includes(name));
  assert.deepEqual(uncertain.sort(), Object.keys(uses).sort());
  uses.asyncIterator = () => file[Symbol.asyncIterator]().next();
  for (const [name, use] of Object.entries(uses)) {
    await assert.rejects(async () => await use(), { name: "TempfileError", code: "ERR_CLOSED", path }, name);
  }
  assert.equal(file.path, path);
  assert.ok(!existsSync(path));
  assert.ok(!existsSync(`${path}.persisted`));
});

/** Reads a file in another process. */
function readElsewhere(path: string): string {
  const [command, ...args] = isWindows ? ["cmd", "/c", "type", path] : ["cat", path];
  return execFileSync(command, args, { encoding: "utf8" });
}

test("C113 with deleteOnClose: false a closed file is readable by another process until the end of its scope", async () => {
  let path = "";
  for (const create of creators) {
    for (const close of closers) {
      {
        await using file = await create({ deleteOnClose: false });
        await file.write("for another");
        await close(file);
        path = file.path;
        assert.ok(file.closed);
        assert.equal(readElsewhere(path), "for another");
      }
      assert.ok(!existsSync(path));
    }
  }
});

test("C114 closing or disposing a named file that the user has deleted neither throws nor warns", async () => {
  const warnings = await warningsOf(async () => {
    for (const how of ["close", "closeSync", Symbol.dispose, Symbol.asyncDispose] as const) {
      const file = namedTemporaryFileSync();
      unlinkSync(file.path);
      await file[how]();
      assert.ok(file.closed);
    }
  });
  assert.deepEqual(warnings, []);
});

test("C115 delete: false takes precedence over deleteOnClose", async () => {
  using place = scratch();
  for (const create of creators) {
    for (const deleteOnClose of [true, false]) {
      await using file = await create({ dir: place.path, delete: false, deleteOnClose });
      await file.close();
    }
  }
  assert.equal(place.names().length, 4);
});

test("C120 C121 an invalid mode, encoding or delete option of a named file throws an error that names it, and creates nothing", async () => {
  using place = scratch();
  const bad = [{ mode: "wr" }, { mode: -2 }, { mode: 0.5 }, { encoding: "ebcdic" }, { encoding: "" }, {
    delete: 1,
  }];
  for (const options of bad) {
    const [name] = Object.keys(options);
    const check = (error: Error & { code?: string }): boolean =>
      error.code === "ERR_INVALID_OPTION" && error.message.includes(`"${name}"`);
    // deno-lint-ignore no-explicit-any -- what the types forbid
    const given = { dir: place.path, ...options } as any;
    assert.throws(() => namedTemporaryFileSync(given), check);
    await assert.rejects(() => namedTemporaryFile(given), check);
  }
  assert.deepEqual(place.list(), []);
});

test(
  "C122 namedTemporaryFile() that fails after creating the file leaves neither a descriptor nor a name",
  {
    skip: noModes,
  },
  async () => {
    for (const sync of [true, false]) {
      for (const owned of [true, false]) {
        using place = scratch();
        using _ = substitute({
          primitives: {
            statusOf: () => {
              throw systemError("EIO");
            },
          },
        });
        const options = { dir: place.path, mode: 0o640, delete: owned };
        const create = async () => sync ? sourceFileSync(options) : await sourceFile(options);
        await assert.rejects(create, { name: "TempfileError", code: "EIO", path: place.path });
        assert.deepEqual(openIn(place.path), []);
        assert.deepEqual(place.names(), []);
      }
    }
  },
);

test("C122 namedTemporaryFile() aborted after creating the file rejects with the reason, and leaves no descriptor and no name", async () => {
  for (const owned of [true, false]) {
    using place = scratch();
    const controller = new AbortController();
    let made = 0;
    using _ = substitute({
      primitives: {
        createFile: (real, path: string, mode: number) => {
          const handle = real(path, mode);
          if (path.startsWith(join(place.path, "tmp"))) {
            made++;
            controller.abort(new Error("changed my mind"));
          }
          return handle;
        },
      },
    });
    const options = { dir: place.path, signal: controller.signal, delete: owned };
    await assert.rejects(() => sourceFile(options), /changed my mind/);
    assert.equal(made, 1);
    assert.deepEqual(openIn(place.path), []);
    assert.deepEqual(place.names(), []);
  }
});

test("C122 namedTemporaryFile() with an already aborted signal fails with its reason and creates nothing", async () => {
  using place = scratch();
  const signal = AbortSignal.abort(new Error("never mind"));
  await assert.rejects(() => namedTemporaryFile({ dir: place.path, signal }), /never mind/);
  assert.throws(() => namedTemporaryFileSync({ dir: place.path, signal }), /never mind/);
  assert.deepEqual(place.list(), []);
});

test("C123 C128 a file closed with deleteOnClose: false can be rewritten by its path, and is still removed on disposal", async () => {
  let path = "";
  {
    await using file = await namedTemporaryFile({ deleteOnClose: false });
    await file.write("one");
    await file.close();
    path = file.path;
    writeFileSync(path, "another");
    assert.equal(readFileSync(path, "utf8"), "another");
  }
  assert.ok(!existsSync(path));
});

test("C124 C129 a named file whose path was removed still reads and writes through its handle", {
  skip: namesLinger,
}, async () => {
  await using file = await namedTemporaryFile();
  await file.write("before ");
  unlinkSync(file.path);
  await file.write("after");
  assert.equal(await file.text(), "before after");
  assert.ok(!existsSync(file.path));
});

test("C125 a file released by keep() and adopted again is the same file, owned by the new handle only", async () => {
  for (const adopt of [adoptFile, adoptFileSync]) {
    const first = await namedTemporaryFile();
    await first.write("passed on");
    const path = first.keep();
    const { ino } = statSync(path);
    const second = await adopt(path);
    await first.close();
    assert.ok(existsSync(path), "the first handle leaves the file alone");
    assert.equal(statSync(second.path).ino, ino);
    assert.equal(await second.text(), "passed on");
    await second.close();
    assert.ok(!existsSync(path));
  }
});

/** Every way to close a file and remove it. */
const allClosers = [
  ...closers,
  (file: NamedTemporaryFile) => file[Symbol.asyncDispose](),
  (file: NamedTemporaryFile) => Promise.resolve(file[Symbol.dispose]()),
];

const notKept = (path: string) => ({
  name: "TempfileError",
  code: "ERR_CLOSED",
  path,
  message: `Cannot keep "${path}": it is closed`,
});

test("keep() fails with ERR_CLOSED during and after a close that removes the file, and after persist()", async () => {
  using place = scratch();
  for (const end of allClosers) {
    const file = await namedTemporaryFile({ dir: place.path });
    const ending = end(file);
    assert.throws(() => file.keep(), notKept(file.path), `while ${end}`);
    await ending;
    assert.throws(() => file.keep(), notKept(file.path), `after ${end}`);
  }
  const persisted = await namedTemporaryFile({ dir: place.path });
  await persisted.persist(join(place.path, "persisted"));
  assert.throws(() => persisted.keep(), notKept(join(place.path, "persisted")));
  assert.deepEqual(place.names(), ["persisted"]);
});

test("keep() fails with EBUSY while persist() is pending, and succeeds after a persist() that failed", async () => {
  using place = scratch();
  const missing = join(place.path, "missing", "there"), target = join(place.path, "persisted");
  const file = await namedTemporaryFile({ dir: place.path });
  const busy = { name: "TempfileError", code: "EBUSY", path: file.path };
  const written = file.write(["from ", "a source"]);
  const failing = file.persist(missing);
  assert.throws(() => file.keep(), busy, "while persist() waits for a source");
  await assert.rejects(failing, { code: "ENOENT" });
  assert.equal(await written, 13);
  const persisted = file.persist(target);
  assert.throws(() => file.keep(), busy);
  assert.equal(await persisted, target);
  const other = await namedTemporaryFile({ dir: place.path });
  await assert.rejects(other.persist(missing), { code: "ENOENT" });
  assert.equal(other.keep(), other.path);
  await other.close();
  assert.deepEqual(place.names().sort(), [basename(other.path), "persisted"].sort());
});

test("keep() after a close with deleteOnClose: false prevents later closing and disposal from removing the file", async () => {
  using place = scratch();
  for (const close of closers) {
    for (const end of allClosers) {
      const file = await namedTemporaryFile({ dir: place.path, deleteOnClose: false });
      await close(file);
      assert.equal(file.keep(), file.path);
      await end(file);
      assert.ok(existsSync(file.path));
      unlinkSync(file.path);
    }
    const file = await namedTemporaryFile({ dir: place.path, deleteOnClose: false });
    await close(file);
    file[Symbol.dispose]();
    assert.throws(() => file.keep(), notKept(file.path));
  }
  assert.deepEqual(place.names(), []);
});

packageTest(
  "C126 when the file cannot be unlinked, close() throws, disposal warns, the handle closes and process exit retries",
  {
    skip: noModes,
  },
  async () => {
    using place = scratch();
    const { said, status, stdout } = await runChild(
      `${WARNINGS}
    const dir = path.join(m.tmpdir(), "locked");
    fs.mkdirSync(dir);
    const files = [];
    for (let i = 0; i < 4; i++) files.push(m.namedTemporaryFileSync({ dir }));
    fs.chmodSync(dir, 0o500);
    const report = ({ name, code, path }) => say({ name, code, path: path === undefined ? "" : path.startsWith(dir) });
    await files[0].close().catch(report);
    try { files[1].closeSync(); } catch (error) { report(error); }
    files[2][Symbol.dispose]();
    await files[3][Symbol.asyncDispose]();
    say(files.map(({ closed }) => closed));
    say((await warned()).map(({ name, code }) => ({ name, code })));
    fs.chmodSync(dir, 0o700);`,
      { unprivileged: true, env: { TMPDIR: place.path } },
    );
    const error = { name: "TempfileError", code: "EACCES", path: true };
    const warning = { name: "TempfileWarning", code: "EACCES" };
    assert.deepEqual(said, [error, error, [true, true, true, true], [warning, warning]]);
    assert.deepEqual({ status, stdout }, { status: 0, stdout: "" });
    assert.deepEqual(place.names(), ["locked"]);
    assert.deepEqual(readdirSync(join(place.path, "locked")), [], "process exit retried the removal");
  },
);

packageTest(
  "C130 a relative path is resolved at the time of the call: what it creates is what is removed after process.chdir(), which may follow before the path is used",
  { skip: noRelativePaths },
  async () => {
    using place = scratch();
    const { said, stderr } = await runChild(
      `fs.mkdirSync("one/in", { recursive: true });
     fs.mkdirSync("two/in", { recursive: true });
     process.chdir("one");
     const files = [await m.namedTemporaryFile({ dir: "in" }), m.namedTemporaryFileSync({ dir: "./in" })];
     const directories = [await m.temporaryDirectory({ dir: "./in" }), m.temporaryDirectorySync({ dir: "in" })];
     say([...files, ...directories].map((each) => path.isAbsolute(each.path)));
     process.chdir("../two");
     for (const file of files) fs.writeFileSync(path.join("in", path.basename(file.path)), "not mine");
     for (const directory of directories) fs.mkdirSync(path.join("in", path.basename(directory.path)));
     await files[0].close();
     files[1].closeSync();
     await directories[0].remove();
     directories[1].removeSync();
     say([fs.readdirSync("../one/in").length, fs.readdirSync("in").length]);
     for (const name of fs.readdirSync("in")) fs.rmSync("in/" + name, { recursive: true });
     const changing = async (calls) => {
       process.chdir(path.join(args[0], "one"));
       const promises = calls();
       process.chdir(path.join(args[0], "two"));
       return await Promise.all(promises);
     };
     const directory = await m.temporaryDirectory(), file = await m.temporaryFile();
     const made = await changing(() => [
       ...["a", "b"].map((text) => m.writeFileAtomic("in/queued", text)),
       file.write(new Uint8Array(3000000)), file.persist("in/persisted"),
       directory.persist("in/first"), directory.persist("in/second"),
       ...Array.from({ length: 200 }, () => m.mkdtemp({ dir: "in" })),
     ]);
     fs.writeFileSync("../one/mine", "");
     fs.linkSync("../one/mine", "../one/other");
     // A file with two links is checked again a moment later, when this one has a single link.
     const [adopted] = await changing(() => [m.adoptFile("mine"), setTimeout(() => fs.unlinkSync("../one/other"), 1)]);
     await adopted.close();
     say(fs.readdirSync("../one/in").length);
     say([fs.readdirSync("../one"), fs.readdirSync("in")]);
     await changing(() => [m.configure({ tmpdir: "." })]);
     say(path.relative(args[0], m.tmpdir()));`,
      { args: [place.path], cwd: place.path },
    );
    assert.deepEqual(said, [[true, true, true, true], [0, 4], 203, [["in"], []], "one"], stderr);
  },
);

test(
  "C101 2,000 named files stay intact while a process empties the directory, leases included (once on Node, Deno and Bun)",
  { skip: oncePerKind },
  async () => {
    using place = scratch(memory);
    configure({ tmpdir: place.path });
    try {
      await whileCleaned(place.path, async () => {
        for (let i = 0; i < 2000; i++) {
          const file = i % 4 < 2 ? namedTemporaryFileSync() : await namedTemporaryFile();
          file.writeSync(`data ${i}`);
          assert.equal(file.textSync(), `data ${i}`);
          if (i % 2 === 0) file.closeSync();
          else await file.close();
        }
      });
    } finally {
      configure({ tmpdir: undefined });
    }
    assert.deepEqual(openIn(place.path), []);
  },
);

test("a file disposed during a pending write, whose unlink fails at first, is unlinked when the write has ended", async () => {
  using place = scratch();
  let path = "", tries = 0;
  using _ = substitute({
    primitives: {
      unlink(real, ...[name]: [string]) {
        if (name === path && tries++ === 0) throw systemError("EIO");
        return real(...[name] as never[]);
      },
    },
  });
  const file = await sourceFile({ dir: place.path });
  path = file.path;
  const writing = file.write(new ReadableStream());
  file[Symbol.dispose]();
  assert.deepEqual([file.closed, tries], [true, 1]);
  await assert.rejects(writing, { code: "ERR_CLOSED" });
  for (let waits = 0; existsSync(path) && waits < 1000; waits++) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.deepEqual([place.names(), tries], [[], 2]);
});

test("closing a named file tries a removal again that fails for a moment, and reports at once what will not pass", async () => {
  const ends = [
    ...["EMFILE", "ENFILE", "EBUSY", "EINTR", "ENOTEMPTY", "EPERM"].map((
      code,
    ) => [[code, code], 3, undefined]),
    [["EIO"], 1, "EIO"],
    [["EBUSY", "EIO"], 2, "EIO"],
  ] as [string[], number, string | undefined][];
  for (const [codes, tries, reported] of ends) {
    for (const close of ["close", "closeSync"] as const) {
      using place = scratch();
      const file = sourceFileSync({ dir: place.path });
      let calls = 0;
      {
        using _ = substitute({
          primitives: {
            unlink(real, path) {
              const code = codes[calls++];
              if (code !== undefined) throw systemError(code);
              return real(path);
            },
          },
        });
        const closing = async () => await file[close]();
        if (reported === undefined) await closing();
        else await assert.rejects(closing, { code: reported });
      }
      assert.deepEqual(
        [calls, place.list().length],
        [tries, reported === undefined ? 0 : 1],
        `${codes} ${close}`,
      );
      await file.close();
    }
  }
});

test(
  "fd of a named file that was replaced is the file's own, or ERR_REPLACED where it must be opened by name (Deno)",
  {
    skip: isWindows,
  },
  () => {
    using place = scratch();
    using file = namedTemporaryFileSync({ dir: place.path });
    file.writeSync("ours");
    unlinkSync(file.path);
    writeFileSync(file.path, "theirs");
    if ("Deno" in globalThis) assert.throws(() => file.fd, { code: "ERR_REPLACED", path: file.path });
    else assert.equal(fstatSync(file.fd).size, 4);
    assert.ok(!openIn(place.path).includes(file.path));
  },
);

test("closing a named file whose fd was read leaves no descriptor open", async () => {
  using place = scratch();
  for (const close of ["close", "closeSync"] as const) {
    const file = namedTemporaryFileSync({ dir: place.path });
    file.writeSync("ours");
    assert.equal(fstatSync(file.fd).size, 4);
    await file[close]();
    assert.deepEqual(openIn(place.path), []);
  }
});
