import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import * as m from "#mod";
import * as source from "../../mod.ts";
import { runChild } from "../support/child.ts";
import { creatorsOf } from "../support/creators.ts";
import { packageTest as test } from "../support/once.ts";
import { isBun, noLinux, noModes } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";
import type { Status } from "../../lib/runtime/mod.ts";
import { changed, heldLease, type Stub, substitute, systemError } from "../support/substitute.ts";

const CREATORS = import.meta.resolve("../support/creators.ts");

/** The asynchronous function and its synchronous twin, with one signature. */
const twins = [m.mkstemp, (options?: m.MakeOptions) => Promise.resolve(m.mkstempSync(options))];

test("C59 mkstemp() returns an open descriptor and the absolute path of an empty file in the given directory", async () => {
  using place = scratch();
  for (const mkstemp of twins) {
    const { fd, path } = await mkstemp({ dir: place.path });
    assert.ok(Number.isInteger(fd) && fd > 2);
    assert.ok(isAbsolute(path));
    assert.equal(dirname(path), place.path);
    const [byDescriptor, byPath] = [fstatSync(fd), lstatSync(path)];
    assert.deepEqual([byDescriptor.ino, byDescriptor.size, byDescriptor.isFile(), byDescriptor.nlink], [
      byPath.ino,
      0,
      true,
      1,
    ]);
    closeSync(fd);
    unlinkSync(path);
  }
});

test("C69 the descriptor of mkstemp() reads and writes, and bytes are read back unchanged", async () => {
  using place = scratch();
  const bytes = Buffer.from([0x0d, 0x0a, 0x1a, 0x00, 0x0a, 0x0d, 0xff, 0xfe, 0x04]);
  for (const mkstemp of twins) {
    const { fd, path } = await mkstemp({ dir: place.path });
    assert.equal(writeSync(fd, bytes, 0, bytes.length, 0), bytes.length);
    const back = Buffer.alloc(20);
    assert.equal(readSync(fd, back, 0, 20, 0), bytes.length);
    closeSync(fd);
    assert.deepEqual(back.subarray(0, bytes.length), bytes);
    assert.deepEqual(readFileSync(path), bytes);
  }
});

test("C68 200 files of mkstemp(), created concurrently and in sequence, have different paths and descriptors", async () => {
  using place = scratch();
  const made = [
    ...await Promise.all(Array.from({ length: 100 }, () => m.mkstemp({ dir: place.path }))),
    ...Array.from({ length: 100 }, () => m.mkstempSync({ dir: place.path })),
  ];
  for (const { fd } of made) closeSync(fd);
  assert.equal(new Set(made.map(({ path }) => path)).size, 200);
  assert.equal(new Set(made.map(({ fd }) => fd)).size, 200);
  assert.equal(place.list().length, 200);
});

test("C60 mkstemp() creates files with mode 0600 under any umask that leaves the owner's bits", {
  skip: noModes,
}, async () => {
  using place = scratch();
  for (const umask of ["000", "022", "077"]) {
    const { said, stderr } = await runChild(
      `for (const mkstemp of [m.mkstemp, m.mkstempSync]) {
         const { fd, path } = await mkstemp({ dir: args[0] });
         say([fs.fstatSync(fd).mode & 0o7777, fs.lstatSync(path).mode & 0o7777]);
         fs.closeSync(fd);
       }`,
      { umask, args: [place.path] },
    );
    assert.deepEqual(said, [[0o600, 0o600], [0o600, 0o600]], `${umask} ${stderr}`);
  }
});

test("C61 files and directories get their mode through the descriptor if the umask removes all bits", {
  skip: noModes,
}, async () => {
  using place = scratch();
  chmodSync(place.path, 0o777);
  const { said, stderr } = await runChild(
    `const { creatorsOf } = await import(args[1]);
     for (const [of, { make, kind }] of creatorsOf(m)) {
       const made = await make(m, { dir: args[0] });
       const status = made.path !== undefined ? fs.lstatSync(made.path) : made.fd !== undefined ? fs.fstatSync(made.fd) : undefined;
       if (status !== undefined) say([of, status.mode & 0o777]);
       if (kind === "file" && made.path !== undefined) fs.closeSync(fs.openSync(made.path, "r+"));
       await made.remove();
     }
     const target = path.join(args[0], "target");
     for (const write of [m.writeFileAtomic, m.writeFileAtomicSync]) {
       await write(target, "x", { mode: 0o640 });
       say(["writeFileAtomic", fs.lstatSync(target).mode & 0o777]);
       fs.unlinkSync(target);
     }`,
    { umask: "0777", unprivileged: true, args: [place.path, CREATORS] },
  );
  const wanted = creatorsOf(m).flatMap(([of, { kind }]) =>
    of.startsWith("spooled")
      ? []
      // Elsewhere a directory that cannot be read is not opened, and its mode not corrected.
      : [[of, kind === "file" ? 0o600 : process.platform === "linux" ? 0o700 : 0]]
  );
  const written = ["writeFileAtomic", 0o640];
  assert.deepEqual(said, [...wanted, written, written], stderr);
  assert.deepEqual(place.list(), []);
});

test(
  "C60 the default mode is restored although the umask has left an explicit one of an earlier file intact",
  {
    skip: noModes,
  },
  async () => {
    using place = scratch();
    const { said, stderr } = await runChild(
      `const modeOf = (fd) => (fs.fstatSync(fd).mode & 0o777).toString(8);
     say([{ mode: 0o400 }, {}].map((options) => modeOf(m.mkstempSync({ dir: args[0], ...options }).fd)));`,
      { umask: "277", args: [place.path] },
    );
    assert.deepEqual(said, [["400", "600"]], stderr);
  },
);

test("C83 an explicit mode is exact, including bits that the umask removes", { skip: noModes }, async () => {
  using place = scratch();
  const { said, stderr } = await runChild(
    `for (const mkstemp of [m.mkstemp, m.mkstempSync]) {
       const { fd, path } = await mkstemp({ dir: args[0], mode: 0o640 });
       say(fs.lstatSync(path).mode & 0o777);
       fs.closeSync(fd);
     }
     for (const mkdtemp of [m.mkdtemp, m.mkdtempSync]) say(fs.lstatSync(await mkdtemp({ dir: args[0], mode: 0o750 })).mode & 0o777);
     const made = [await m.namedTemporaryFile({ dir: args[0], mode: 0o664 }), m.namedTemporaryFileSync({ dir: args[0], mode: 0o664 }),
       await m.temporaryDirectory({ dir: args[0], mode: 0o777 }), m.temporaryDirectorySync({ dir: args[0], mode: 0o777 })];
     for (const each of made) { say(fs.lstatSync(each.path).mode & 0o777); await each[Symbol.asyncDispose](); }`,
    { umask: "077", args: [place.path] },
  );
  assert.deepEqual(said, [0o640, 0o640, 0o750, 0o750, 0o664, 0o664, 0o777, 0o777], stderr);
});

/** A file system without permission bits: it reports 0755 and refuses changes. */
const withoutPermissions = (): { [name: string]: Stub } => {
  const open = (real: (...args: unknown[]) => unknown, ...args: unknown[]) =>
    changed(real(...args), (status: Status) => ({ ...status, mode: 0o755 }));
  const refuse = (): never => {
    throw systemError("EPERM");
  };
  return { statusOf: open, status: open, changeMode: refuse, changeModeAt: refuse };
};

test(
  "C61 C83 without permission bits the default modes are not enforced, and an explicit mode fails with EPERM",
  {
    skip: noModes,
  },
  async () => {
    for (const [of, { make }] of creatorsOf(source)) {
      using place = scratch();
      {
        using watched = substitute({ primitives: withoutPermissions(), runtime: { platform: "other" } });
        const made = await make(source, { dir: place.path });
        assert.equal(watched.of("changeMode").length + watched.of("changeModeAt").length, 0, of);
        if (made.path !== undefined) assert.equal(place.list().length, 1, of);
        await assert.rejects(async () => await make(source, { dir: place.path, mode: 0o640 }), {
          name: "TempfileError",
          code: "EPERM",
          path: place.path,
        }, of);
        await made.remove();
      }
      // The file whose mode could not be set is not left either.
      assert.deepEqual(place.list(), [], of);
    }
  },
);

test("C67 a child process does not inherit the descriptor", { skip: noLinux }, async () => {
  using place = scratch();
  for (const mkstemp of twins) {
    const { fd, path } = await mkstemp({ dir: place.path });
    const { stdout } = spawnSync("ls", ["-l", "/proc/self/fd"], { encoding: "utf8" });
    assert.match(stdout, / -> /);
    assert.ok(!stdout.includes(path), stdout);
    // Control: a descriptor that is passed on is there.
    const handed = spawnSync("ls", ["-l", "/proc/self/fd"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit", fd],
    });
    assert.ok(handed.stdout.includes(path), handed.stdout);
    closeSync(fd);
  }
});

test("C70 files of mkstemp() and directories of mkdtemp() are not removed at process exit", async () => {
  using place = scratch();
  const { said, stderr } = await runChild(
    `say([(await m.mkstemp({ dir: args[0] })).path, m.mkstempSync({ dir: args[0] }).path, await m.mkdtemp({ dir: args[0] }), m.mkdtempSync({ dir: args[0] })]);
     m.namedTemporaryFileSync({ dir: args[0] });`,
    { args: [place.path] },
  );
  assert.equal(said[0]?.length, 4, stderr);
  // Control: the named file was removed.
  assert.deepEqual(place.list().map((name) => join(place.path, name)), said[0].sort());
});

test(
  "C54 a directory with write and search permission, but not read, suffices to create and remove in it",
  { skip: noModes },
  async () => {
    using place = scratch();
    const dir = join(place.path, "drop");
    mkdirSync(dir);
    chmodSync(dir, 0o300);
    const { said, stderr } = await runChild(
      `const { creatorsOf } = await import(args[1]);
     try { fs.readdirSync(args[0]); say("readable"); } catch (error) { say(error.code); }
     for (const [of, { make }] of creatorsOf(m)) {
       try {
         const made = await make(m, { dir: args[0] });
         const there = made.path === undefined || fs.existsSync(made.path);
         await made.remove();
         say([of, there, made.path !== undefined && fs.existsSync(made.path)]);
       } catch (error) { say([of, String(error)]); }
     }
     const tree = m.temporaryDirectorySync({ dir: args[0] });
     fs.mkdirSync(tree.join("a"));
     fs.writeFileSync(tree.join("a", "b"), "");
     tree.removeSync();`,
      { unprivileged: true, args: [dir, CREATORS] },
    );
    assert.deepEqual(said, ["EACCES", ...creatorsOf(m).map(([of]) => [of, true, false])], stderr);
    chmodSync(dir, 0o700);
    assert.deepEqual(readdirSync(dir), []);
    assert.equal(stderr, "");
  },
);

test("C72 creating a file without free descriptors fails with EMFILE, and nothing is left", {
  skip: noModes,
}, async () => {
  using place = scratch();
  const { said, stderr } = await runChild(
    `const { creatorsOf } = await import(args[1]);
     m.configure({ reclaim: false });
     // Each is used once first, since the runtime cannot load modules on demand without descriptors.
     for (const [, { make }] of creatorsOf(m)) { try { await (await make(m, { dir: args[0] })).remove(); } catch {} }
     // Deno sets up signal handling at the first listener, or half a second after its start, and dies if it cannot.
     const ready = () => {}; process.on("SIGUSR2", ready); process.off("SIGUSR2", ready);
     const open = [];
     const exhaust = () => { try { for (;;) open.push(fs.openSync("/dev/null", "r")); } catch (error) { return error.code; } };
     const report = [];
     for (const [of, { make }] of creatorsOf(m)) {
       const exhausted = exhaust();
       try { const made = await make(m, { dir: args[0] }); await made.remove(); report.push([of, exhausted, "made"]); }
       catch (error) { report.push([of, exhausted, error.code, error.name, error.path]); }
     }
     for (const fd of open) fs.closeSync(fd);
     say(report);`,
    { args: [place.path, CREATORS], under: ["sh", "-c", 'ulimit -n 100; exec "$@"', "sh"] },
  );
  assert.equal(said[0]?.length, creatorsOf(m).length, stderr);
  for (const [of, exhausted, ...result] of said[0]) {
    assert.equal(exhausted, "EMFILE");
    const { kind } = creatorsOf(m).find(([each]) => each === of)![1];
    // Creating a directory needs no descriptor, but Bun opens one to resolve the path.
    assert.deepEqual(
      result,
      kind === "file" || isBun ? ["EMFILE", "TempfileError", place.path] : ["made"],
      of,
    );
  }
  assert.deepEqual(place.list(), []);
});

const CREATING = ["createFile", "createDescriptor", "createUnnamed", "makeDirectory"] as const;

test("C51 C72 C73 EACCES, EMFILE, ENFILE, EINTR or EAGAIN of the creating call is passed on without a second attempt", async () => {
  using _lease = heldLease();
  for (const code of ["EACCES", "EMFILE", "ENFILE", "EINTR", "EAGAIN", "EIO", "EDQUOT"]) {
    const fail = (): never => {
      throw systemError(code);
    };
    for (const [of, { make }] of creatorsOf(source)) {
      using place = scratch();
      using watched = substitute({ primitives: Object.fromEntries(CREATING.map((name) => [name, fail])) });
      await assert.rejects(async () => await make(source, { dir: place.path }), {
        name: "TempfileError",
        code,
        path: place.path,
      }, of);
      const tries = watched.calls.filter(({ name }) => (CREATING as readonly string[]).includes(name));
      assert.equal(tries.length, 1, of);
      assert.deepEqual(place.list(), [], of);
    }
  }
});

test("C73 a failure after the creating call leaves no file, directory or open descriptor", {
  skip: noModes,
}, async () => {
  // With an explicit mode each of these is called after the creation, since no file has this mode by itself.
  let failures = 0;
  using _lease = heldLease();
  const after = ["statusOf", "status", "changeMode", "changeModeAt", "locateDirectory"] as const;
  for (const failing of after) {
    for (const [of, { make }] of creatorsOf(source)) {
      using place = scratch();
      const opened: unknown[] = [];
      const remember = (real: (...args: unknown[]) => unknown, ...args: unknown[]) => {
        const note = (handle: unknown) => (opened.push(handle), handle);
        return changed(real(...args), note);
      };
      let failed = 0;
      {
        using watched = substitute({
          primitives: {
            createFile: remember,
            createDescriptor: remember,
            createUnnamed: remember,
            [failing]: (): never => {
              failed++;
              throw systemError("EINTR");
            },
          },
        });
        let error: source.TempfileError | undefined;
        try {
          await (await make(source, { dir: place.path, mode: 0o612 })).remove();
        } catch (thrown) {
          error = thrown as source.TempfileError;
        }
        if (failed > 0) {
          assert.deepEqual(
            [error?.name, error?.code],
            ["TempfileError", "EINTR"],
            `${of} ${failing} ${error}`,
          );
          const closed = watched.of("close").map(([handle]) => handle);
          for (const handle of opened) assert.ok(closed.includes(handle), `${of} ${failing}`);
        } else assert.equal(error, undefined);
        failures += failed;
      }
      assert.deepEqual(place.list(), [], `${of} ${failing}`);
    }
  }
  assert.ok(failures > creatorsOf(source).length);
});

test(
  "C73 a failing close() does not prevent the removal of the file, and does not hide the first error",
  { skip: noModes },
  async () => {
    const primitives = {
      statusOf: (): never => {
        throw systemError("EIO");
      },
      close: (real: (...args: unknown[]) => unknown, ...args: unknown[]): never => {
        real(...args);
        throw systemError("EDQUOT");
      },
    };
    for (
      const call of [
        source.mkstemp,
        (options: object) => Promise.resolve().then(() => source.mkstempSync(options)),
      ]
    ) {
      using place = scratch();
      using _failing = substitute({ primitives });
      await assert.rejects(call({ dir: place.path, mode: 0o640 }), { code: "EIO" });
      assert.deepEqual(place.list(), []);
    }
  },
);

test("an aborted signal rejects with its reason, before or during creation, and nothing is left", async () => {
  const reason = Object.assign(new Error("stop"), { code: "MY_CODE" });
  // A spooled file is created on disk by later calls: its creator takes no signal.
  const creators = creatorsOf(source).filter(([of]) => !of.startsWith("spooled"));
  for (const [of, { make }] of creators) {
    using place = scratch();
    {
      using watched = substitute();
      const signal = AbortSignal.abort(reason);
      await assert.rejects(
        async () => await make(source, { dir: place.path, signal }),
        (error) => error === reason,
        of,
      );
      assert.deepEqual(watched.calls, [], of);
    }
    const controller = new AbortController();
    const abort: Stub = (real, ...args) => {
      const made = real(...args);
      controller.abort(reason);
      return made;
    };
    using _aborting = substitute({ primitives: Object.fromEntries(CREATING.map((name) => [name, abort])) });
    await assert.rejects(
      async () => await make(source, { dir: place.path, signal: controller.signal }),
      (error) => error === reason,
      of,
    );
    assert.deepEqual(place.list(), [], of);
  }
});

test("temporaryDirectory() with delete: false that is aborted leaves no directory", async () => {
  using place = scratch();
  const controller = new AbortController();
  using _aborting = substitute({
    primitives: {
      makeDirectory: (real, ...args: unknown[]) => {
        const made = real(...args);
        controller.abort();
        return made;
      },
    },
  });
  await assert.rejects(
    source.temporaryDirectory({ dir: place.path, delete: false, signal: controller.signal }),
    { name: "AbortError" },
  );
  assert.deepEqual(place.list(), []);
});

test("minFree fails with ENOSPC before anything is created, and permits creation if there is enough space", async () => {
  for (const [of, { make }] of creatorsOf(m)) {
    using place = scratch();
    await assert.rejects(async () => await make(m, { dir: place.path, minFree: 2 ** 52 }), {
      name: "TempfileError",
      code: "ENOSPC",
      path: place.path,
    }, of);
    await assert.rejects(async () => await make(m, { dir: place.path, minFree: Infinity }), {
      code: "ENOSPC",
    }, of);
    assert.deepEqual(place.list(), [], of);
    await (await make(m, { dir: place.path, minFree: 1 })).remove();
  }
});
