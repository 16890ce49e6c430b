import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { temporaryFile, temporaryFileSync } from "#mod";
import { temporaryFile as sourceFile, temporaryFileSync as sourceFileSync } from "../../lib/file/unnamed.ts";
import { runChild } from "../support/child.ts";
import { whileCleaned } from "../support/cleaner.ts";
import { openIn } from "../support/descriptors.ts";
import { noFuse, withFuse } from "../support/fuse.ts";
import { packageTest as test } from "../support/once.ts";
import { isLinux, isRoot, isWindows, namesStay, noLinux, noModes, underWine } from "../support/platform.ts";
import { memory, scratch } from "../support/scratch.ts";
import { heldLease, substitute, systemError } from "../support/substitute.ts";

const hasStrace = isLinux && spawnSync("strace", ["-V"]).status === 0;

test("C89 an unnamed file is written, read back and closed, asynchronously and synchronously", async () => {
  const file = await temporaryFile();
  assert.equal(await file.write("hello"), 5);
  assert.equal(await file.text(), "hello");
  await file.close();
  assert.equal(file.closed, true);
  const other = temporaryFileSync();
  assert.equal(other.writeSync("hello"), 5);
  assert.equal(other.textSync(), "hello");
  other.closeSync();
  assert.equal(other.closed, true);
});

test(
  "C90 C91 an open unnamed file leaves its directory empty, and stays usable after the directory is removed",
  { skip: namesStay },
  async () => {
    for (const create of [temporaryFile, (options: object) => Promise.resolve(temporaryFileSync(options))]) {
      using place = scratch();
      const dir = join(place.path, "dir");
      mkdirSync(dir);
      await using file = await create({ dir });
      await file.write("before ");
      await file.flush();
      assert.deepEqual(readdirSync(dir), []);
      if (isLinux) assert.equal(openIn(dir).length, 1);
      rmdirSync(dir);
      await file.write("after");
      assert.equal(await file.text(), "before after");
    }
  },
);

test("C92 T7 an unnamed file has no link, and mode 0600 or exactly the given one, under any umask", {
  skip: noModes,
}, async () => {
  const { said, stderr } = await runChild(`
    for (const umask of [0o777, 0o077, 0o022, 0o000]) {
      process.umask(umask);
      // The first, which the umask cannot change, says nothing about the default.
      for (const options of [{ mode: 0 }, {}, { mode: 0o640 }]) {
        for (const file of [m.temporaryFileSync(options), await m.temporaryFile(options)]) {
          const { nlink, mode } = fs.fstatSync(file.fd);
          say([nlink, (mode & 0o777).toString(8)]);
          file.closeSync();
        }
      }
    }`);
  assert.deepEqual(
    said,
    Array(4).fill(["0", "0", "600", "600", "640", "640"].map((mode) => [0, mode])).flat(),
    stderr,
  );
});

test("C94 closing or disposing an unnamed file that is already closed does nothing", async () => {
  const file = await temporaryFile();
  await file.close();
  await file.close();
  file.closeSync();
  file[Symbol.dispose]();
  assert.ok(file.closed);
});

test("C95 an unnamed file encodes and decodes text in every encoding, with each newline option", async () => {
  for (const encoding of ["utf-8", "utf-16le", "latin1"] as const) {
    for (const newline of [undefined, "\n", "\r\n"] as const) {
      await using file = await temporaryFile({ encoding, newline });
      await file.write("é\nü\r\nx");
      const expected = newline === undefined ? "é\nü\r\nx" : `é${newline}ü${newline}x`;
      assert.equal(await file.text(), expected);
      assert.deepEqual(await file.bytes(), new Uint8Array(Buffer.from(expected, encoding)));
    }
  }
});

test("C96 C97 an invalid mode, encoding or newline option of an unnamed file throws an error that names it, and creates nothing", async () => {
  using place = scratch();
  const bad = [
    { mode: "wr" },
    { mode: -1 },
    { mode: 0o10000 },
    { encoding: "ebcdic" },
    { encoding: 8 },
    { newline: "\r" },
  ];
  for (const options of bad) {
    const [name] = Object.keys(options);
    const check = (error: Error & { code?: string }): boolean => {
      assert.equal(error.code, "ERR_INVALID_OPTION");
      assert.match(error.message, new RegExp(`"${name}"`));
      return true;
    };
    // deno-lint-ignore no-explicit-any -- what the types forbid
    const given = { dir: place.path, ...options } as any;
    assert.throws(() => temporaryFileSync(given), check);
    await assert.rejects(() => temporaryFile(given), check);
    assert.deepEqual(place.names(), []);
  }
});

test("C98 temporaryFile() whose name cannot be unlinked fails and leaves no open descriptor", {
  skip: namesStay,
}, async () => {
  // Otherwise the lease would probe the temporary directory first, and the probe file could not be removed.
  using _lease = heldLease();
  for (const sync of [true, false]) {
    using place = scratch();
    {
      using _ = substitute({
        primitives: {
          createUnnamed: () => {
            throw systemError("EOPNOTSUPP");
          },
          unlink: () => {
            throw systemError("EACCES");
          },
        },
      });
      const create = async () =>
        sync ? sourceFileSync({ dir: place.path }) : await sourceFile({ dir: place.path });
      await assert.rejects(create, { name: "TempfileError", code: "EACCES" });
    }
    assert.deepEqual(openIn(place.path), []);
  }
});

test(
  "C99 C100 a directory that refuses O_TMPFILE gets files that are created by name and unlinked; others are not affected",
  {
    skip: namesStay,
  },
  async () => {
    using _lease = heldLease();
    for (const code of ["EOPNOTSUPP", "ENOTSUP", "EISDIR", "ENOENT", "EINVAL", "EPERM", "ENOSYS"]) {
      using one = scratch();
      using other = scratch();
      using calls = substitute({
        primitives: {
          createUnnamed: (real, directory: string, mode: number) => {
            if (directory === one.path) throw systemError(code);
            return real(directory, mode);
          },
        },
        runtime: { platform: "linux" },
      });
      for (let i = 0; i < 3; i++) {
        using file = i === 1 ? await sourceFile({ dir: one.path }) : sourceFileSync({ dir: one.path });
        file.writeSync("x");
        assert.equal(file.textSync(), "x");
        assert.equal(fstatSync(file.fd).nlink, 0);
        assert.equal(fstatSync(file.fd).mode & 0o777, 0o600);
        assert.deepEqual(one.list(), []);
      }
      assert.equal(calls.of("createUnnamed").length, 1, "the refusal is remembered");
      assert.equal(calls.of("createDescriptor").length, 3);
      for (const create of [sourceFile, sourceFileSync]) {
        using file = await create({ dir: other.path });
        await file.write("y");
        assert.equal(await file.text(), "y");
      }
      assert.deepEqual(calls.of("createUnnamed").slice(1).map(([dir]) => dir), [other.path, other.path]);
      assert.equal(calls.of("createDescriptor").length, 3);
    }
  },
);

test("C99 other errors of O_TMPFILE are not retried with a name, and carry the directory as path (POSIX)", {
  // The library is told that this is Linux, where no Windows path is absolute.
  skip: isWindows,
}, async () => {
  for (const code of ["ENOSPC", "EACCES", "EMFILE", "EROFS", "EDQUOT"]) {
    using place = scratch();
    using calls = substitute({
      primitives: {
        createUnnamed: () => {
          throw systemError(code);
        },
      },
      runtime: { platform: "linux" },
    });
    await assert.rejects(() => sourceFile({ dir: place.path }), { code, path: place.path });
    assert.throws(() => sourceFileSync({ dir: place.path }), { code, path: place.path });
    assert.equal(calls.of("createDescriptor").length, 0);
  }
});

test("C99 temporaryFile() in a missing directory fails with ENOENT, and uses O_TMPFILE there once the directory exists", async () => {
  using place = scratch();
  const dir = join(place.path, "missing");
  const wanted = { name: "TempfileError", code: "ENOENT", path: dir };
  await assert.rejects(() => sourceFile({ dir }), wanted);
  assert.throws(() => sourceFileSync({ dir }), wanted);
  assert.deepEqual(place.names(), []);
  mkdirSync(dir);
  using calls = substitute();
  (await sourceFile({ dir })).closeSync();
  sourceFileSync({ dir }).closeSync();
  assert.equal(calls.of("createUnnamed").length, isLinux ? 2 : 0);
});

test(
  "C99 temporaryFile() in a directory that is removed during the call fails with ENOENT, and O_TMPFILE is used when it is back",
  { skip: isWindows },
  async () => {
    using place = scratch();
    const dir = join(place.path, "dir");
    for (const create of [sourceFile, sourceFileSync]) {
      mkdirSync(dir);
      let isThere = true;
      using calls = substitute({
        primitives: {
          createUnnamed: (real, ...args: unknown[]) => {
            if (isThere) rmdirSync(dir);
            isThere = false;
            return real(...args);
          },
        },
        runtime: { platform: "linux" },
      });
      await assert.rejects(async () => await create({ dir }), {
        name: "TempfileError",
        code: "ENOENT",
        path: dir,
      });
      mkdirSync(dir);
      (await create({ dir })).closeSync();
      assert.equal(calls.of("createUnnamed").length, 2);
      rmdirSync(dir);
    }
  },
);

test(
  "C99 C100 unnamed files have no name and keep their data where the kernel refuses O_TMPFILE (skipped without strace)",
  {
    skip: !hasStrace,
  },
  async () => {
    for (const refusal of ["EOPNOTSUPP", "EISDIR", "ENOENT"]) {
      using place = scratch();
      // Refuses only calls on the directory itself, not on its contents; and not the first, with which some runtimes
      // resolve its path.
      const inject = ["-P", place.path, "-e", "trace=openat", "-e", `inject=openat:error=${refusal}:when=2+`];
      using traces = scratch();
      const trace = join(traces.path, "trace");
      const code = `const files = [m.temporaryFileSync(), m.temporaryFileSync(), await m.temporaryFile()];
      for (const file of files) {
        file.writeSync("x");
        say([fs.fstatSync(file.fd).nlink, file.textSync()]);
      }
      // Except for the lease, which was created while they had names.
      say(fs.readdirSync(m.tmpdir() + "/.").filter((name) => !name.startsWith(".mayfly-")));
      for (const file of files) file.closeSync();`;
      const under = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", trace, ...inject];
      const { said, status, stderr } = await runChild(code, { env: { TMPDIR: place.path }, under });
      assert.equal(status, 0, stderr);
      assert.deepEqual(said, [[0, "x"], [0, "x"], [0, "x"], []]);
      assert.match(readFileSync(trace, "utf8"), /O_TMPFILE.*INJECTED/);
      assert.deepEqual(place.names(), []);
    }
  },
);

test("C100 unnamed files work on an overlay file system (skipped where none can be mounted)", {
  skip: !isRoot || !isLinux || spawnSync("unshare", ["-m", "true"]).status !== 0,
}, async () => {
  using place = scratch();
  const mount = `cd "$0" && mount -t tmpfs none . && cd "$0" && mkdir lower upper work merged &&
    mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged && exec "$@"`;
  const code = `const dir = args[0] + "/merged";
    const files = [m.temporaryFileSync({ dir }), await m.temporaryFile({ dir })];
    for (const file of files) {
      file.writeSync("x");
      say([fs.fstatSync(file.fd).nlink, file.textSync()]);
    }
    say(fs.readdirSync(dir));
    say(fs.statfsSync(dir).type);
    for (const file of files) file.closeSync();`;
  const under = ["unshare", "-m", "sh", "-c", mount, place.path];
  const { said, stderr } = await runChild(code, { args: [place.path], under });
  const overlay = 0x794c7630;
  assert.deepEqual(said, [[0, "x"], [0, "x"], [], overlay], stderr);
});

/** Creates, reads and persists unnamed files in `args[0]`, and reports what is there meanwhile. */
const USE_UNNAMED = `
const dir = args[0], names = () => fs.readdirSync(dir).map((name) => name.replace(/\\d+/, ""));
say(fs.statfsSync(dir).type);
for (const create of [m.temporaryFile, m.temporaryFileSync]) {
  for (const persist of ["persist", "persistSync"]) {
    const file = await create({ dir });
    await file.write("x".repeat(200_000));
    await file.truncate(2);
    await file.seek(0, "end");
    await file.write("y");
    say([fs.fstatSync(file.fd).nlink, await file.text(), names()]);
    const target = path.join(dir, "target");
    await file[persist](target);
    say([fs.readFileSync(target, "utf8"), names()]);
    fs.unlinkSync(target);
  }
}`;

test(
  "C100 unnamed files are written, read and persisted on a FUSE file system, also one that hides unlinked files as NFS does",
  { skip: noFuse },
  async () => {
    for (const variant of ["plain", "hides"] as const) {
      using place = scratch();
      const { said, stderr } = await runChild(USE_UNNAMED, {
        args: [place.path],
        under: withFuse(place.path, variant),
      });
      const open = variant === "plain" ? [0, "xxy", []] : [1, "xxy", [".fuse_hidden"]];
      const fuse = 0x65735546;
      assert.deepEqual(
        said,
        [fuse, ...Array(4).fill([open, ["xxy", ["target"]]]).flat()],
        `${variant} ${stderr}`,
      );
    }
  },
);

test(
  "C101 10,000 unnamed files keep their data while another process empties their directory",
  { skip: underWine("a creation takes milliseconds"), onOneNode: true },
  async () => {
    using place = scratch(memory);
    await whileCleaned(place.path, () => {
      for (let i = 0; i < 10_000; i++) {
        const file = temporaryFileSync({ dir: place.path, bufferSize: 0 });
        file.writeSync(`data ${i}`);
        assert.equal(file.textSync(), `data ${i}`);
        file.closeSync();
      }
    });
  },
);

test(
  "C101 1,000 unnamed files keep their data while another process empties a directory that refuses O_TMPFILE",
  { onOneNode: true },
  async () => {
    using place = scratch();
    using _ = substitute({
      primitives: {
        createUnnamed: () => {
          throw systemError("EOPNOTSUPP");
        },
      },
    });
    await whileCleaned(place.path, async () => {
      for (let i = 0; i < 1000; i++) {
        const file = sourceFileSync({ dir: place.path, bufferSize: 0 });
        file.writeSync(`data ${i}`);
        assert.equal(file.textSync(), `data ${i}`);
        await file.close();
      }
    });
  },
);

test("C101 control: files that are opened again by name fail under the same deleting process", async () => {
  using place = scratch();
  // One name: if many were left, the other process would be busy with old ones.
  const path = join(place.path, "naive");
  let failures = 0;
  await whileCleaned(place.path, () => {
    for (let i = 0; i < 100_000 && failures === 0; i++) {
      try {
        writeFileSync(path, "data");
        readFileSync(path);
      } catch {
        failures++;
      }
    }
  });
  assert.ok(failures > 0);
});

test(
  "C103 20 worker threads creating 50 files each get unique names, no error, and leave nothing",
  { onOneNode: true },
  async () => {
    using place = scratch();
    const code = `
    const { isMainThread, parentPort, Worker } = await import("node:worker_threads");
    if (isMainThread) {
      const names = [];
      const work = () => new Promise((resolve, reject) => {
        const worker = new Worker(new URL(import.meta.url));
        worker.on("message", (made) => names.push(...made));
        worker.on("error", reject);
        worker.on("exit", resolve);
      });
      await Promise.all(Array.from({ length: 20 }, work));
      say(names.length);
      say(new Set(names).size);
    } else {
      const made = [];
      for (let i = 0; i < 25; i++) {
        const unnamed = m.temporaryFileSync();
        const named = await m.namedTemporaryFile();
        unnamed.writeSync("x");
        await named.write("x");
        if (unnamed.textSync() !== "x" || await named.text() !== "x") throw new Error("lost");
        made.push(named.path);
        unnamed.closeSync();
        await named.close();
      }
      parentPort.postMessage(made);
    }`;
    const { said, status, stderr } = await runChild(code, { env: { TMPDIR: place.path } });
    assert.equal(status, 0, stderr);
    assert.deepEqual(said, [500, 500]);
    assert.deepEqual(place.names(), []);
  },
);

test("C104 an unnamed file opened through /proc/self/fd is the same file (skipped where there is no /proc)", {
  skip: noLinux,
}, async () => {
  for (const create of [temporaryFile, temporaryFileSync]) {
    using file = await create();
    await file.write("same");
    await file.flush();
    const again = openSync(`/proc/self/fd/${file.fd}`, "r+");
    try {
      const [one, other] = [fstatSync(again), fstatSync(file.fd)];
      assert.deepEqual([one.dev, one.ino], [other.dev, other.ino]);
      assert.equal(readFileSync(again, "utf8"), "same");
      writeSync(again, Buffer.from("S"), 0, 1, 0);
      assert.equal(await file.text(), "Same");
    } finally {
      closeSync(again);
    }
  }
});

test("C122 temporaryFile() whose mode cannot be checked fails, and leaves neither a descriptor nor a name", {
  skip: noModes,
}, async () => {
  for (const refused of [true, false]) {
    for (const sync of [true, false]) {
      using place = scratch();
      using _ = substitute({
        primitives: {
          createUnnamed: (real, ...args: unknown[]) => {
            if (refused) throw systemError("EOPNOTSUPP");
            return real(...args);
          },
          statusOf: () => {
            throw systemError("EIO");
          },
        },
      });
      const options = { dir: place.path, mode: 0o644 };
      const create = async () => sync ? sourceFileSync(options) : await sourceFile(options);
      await assert.rejects(create, { name: "TempfileError", code: "EIO" });
      assert.deepEqual(openIn(place.path), []);
      assert.deepEqual(place.names(), []);
    }
  }
});

test("C122 temporaryFile() aborted during creation rejects with the reason, and leaves neither a descriptor nor a name", async () => {
  using place = scratch();
  const controller = new AbortController();
  const abort = (real: (...args: unknown[]) => unknown, ...args: unknown[]): unknown => {
    controller.abort(new Error("changed my mind"));
    return real(...args);
  };
  // On Windows the second is called.
  using _ = substitute({ primitives: { createUnnamed: abort, createDescriptor: abort } });
  await assert.rejects(() => sourceFile({ dir: place.path, signal: controller.signal }), /changed my mind/);
  assert.deepEqual(openIn(place.path), []);
  assert.deepEqual(place.names(), []);
});
