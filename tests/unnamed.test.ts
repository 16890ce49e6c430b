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
  readSync,
  rmdirSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { temporaryFile, temporaryFileSync } from "#mod";
import { temporaryFile as sourceFile, temporaryFileSync as sourceFileSync } from "../lib/file/unnamed.ts";
import { runChild } from "./support/child.ts";
import { whileCleaned } from "./support/cleaner.ts";
import { openIn } from "./support/descriptors.ts";
import { packageTest as test } from "./support/once.ts";
import { isWindows, namesStay, noLinux, noModes } from "./support/platform.ts";
import { memory, scratch } from "./support/scratch.ts";
import { heldLease, substitute, systemError } from "./support/substitute.ts";

const isLinux = process.platform === "linux";
const isRoot = process.getuid?.() === 0;
const hasStrace = isLinux && spawnSync("strace", ["-V"]).status === 0;

test("C89 an unnamed file is written, read back and closed, asynchronously and blocking", async () => {
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
  "C90 C91 an unnamed file leaves its directory empty while it is open, so that it can be removed, and works on",
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

test("C92 T7 an unnamed file has no link and mode 0600 whatever the umask", { skip: noModes }, async () => {
  const code = `for (const file of [m.temporaryFileSync(), await m.temporaryFile()]) {
    const { nlink, mode } = fs.fstatSync(file.fd);
    say([nlink, (mode & 0o777).toString(8)]);
    file.closeSync();
  }`;
  for (const umask of ["000", "022", "077", "777"]) {
    const { said, stderr } = await runChild(code, { umask });
    assert.deepEqual(said, [[0, "600"], [0, "600"]], stderr);
  }
});

test("C92 an unnamed file has the mode asked for, exactly", { skip: noModes }, async () => {
  const code = `const file = m.temporaryFileSync({ mode: 0o640 });
    say((fs.fstatSync(file.fd).mode & 0o777).toString(8));
    file.closeSync();`;
  for (const umask of ["000", "077"]) assert.deepEqual((await runChild(code, { umask })).said, ["640"]);
});

test("C94 an unnamed file closed three times: no error", async () => {
  const file = await temporaryFile();
  await file.close();
  await file.close();
  file.closeSync();
  file[Symbol.dispose]();
  assert.ok(file.closed);
});

test("C95 an unnamed file gives back text in every encoding and with both ends of lines", async () => {
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

test("C96 C97 an unnamed file with a bad mode or encoding: an error that names the option, the directory stays empty", async () => {
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

test("C98 an unnamed file whose name cannot be taken away: the error, no descriptor left", {
  skip: namesStay,
}, async () => {
  // Else the trial of the temporary directory, which the lease asks for, would be what cannot be removed.
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

test("C99 C100 a file system without unnamed files: a name is made and taken away, in this directory only", {
  skip: namesStay,
}, async () => {
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
    assert.equal(calls.of("createUnnamed").length, 1, "it is asked once");
    assert.equal(calls.of("createDescriptor").length, 3);
    using file = sourceFileSync({ dir: other.path });
    assert.ok(file);
    assert.equal(calls.of("createUnnamed").length, 2);
    assert.equal(calls.of("createDescriptor").length, 3);
  }
});

test("C99 other errors of a creation without a name are final, and name the directory (POSIX)", {
  // Nothing there is an absolute path to the library, which is told that this is Linux.
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

test("C99 a directory that does not exist: ENOENT, and it is not taken for a file system that refuses", async () => {
  using place = scratch();
  const dir = join(place.path, "missing");
  await assert.rejects(() => temporaryFile({ dir }), { name: "TempfileError", code: "ENOENT" });
  assert.throws(() => temporaryFileSync({ dir }), { name: "TempfileError", code: "ENOENT" });
  assert.deepEqual(place.names(), []);
});

test(
  "C99 C100 the system refuses unnamed files in a directory: files without a name all the same (skipped without strace)",
  {
    skip: !hasStrace,
  },
  async () => {
    for (const refusal of ["EOPNOTSUPP", "EISDIR", "ENOENT"]) {
      using place = scratch();
      // Only calls that name the directory itself are refused, not those for what is in it; and not the first, by which
      // some runtimes look where it is.
      const inject = ["-P", place.path, "-e", "trace=openat", "-e", `inject=openat:error=${refusal}:when=2+`];
      using traces = scratch();
      const trace = join(traces.path, "trace");
      const code = `const files = [m.temporaryFileSync(), m.temporaryFileSync(), await m.temporaryFile()];
      for (const file of files) {
        file.writeSync("x");
        say([fs.fstatSync(file.fd).nlink, file.textSync()]);
      }
      // Beside the lease of the moment in which they had names.
      say(fs.readdirSync(m.tmpdir() + "/.").filter((name) => !name.startsWith(".mayfly-")));
      for (const file of files) file.closeSync();`;
      const under = ["strace", "-f", "-qq", "-o", trace, ...inject];
      const { said, status, stderr } = await runChild(code, { env: { TMPDIR: place.path }, under });
      assert.equal(status, 0, stderr);
      assert.deepEqual(said, [[0, "x"], [0, "x"], [0, "x"], []]);
      assert.match(readFileSync(trace, "utf8"), /O_TMPFILE.*INJECTED/);
      assert.deepEqual(place.names(), []);
    }
  },
);

test("C100 unnamed files on an overlay file system (skipped where nobody may mount one)", {
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

test(
  "C101 10,000 unnamed files while another process deletes everything in the directory: no error, all data intact",
  { onOneNode: true },
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
  "C101 the same on a file system that refuses unnamed files",
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
      for (let i = 0; i < 3000; i++) {
        const file = sourceFileSync({ dir: place.path, bufferSize: 0 });
        file.writeSync(`data ${i}`);
        assert.equal(file.textSync(), `data ${i}`);
        await file.close();
      }
    });
  },
);

test("C101 control: files that are opened again by their names fall to the same deleter", async () => {
  using place = scratch();
  let failures = 0;
  await whileCleaned(place.path, () => {
    for (let i = 0; i < 100_000 && failures === 0; i++) {
      const path = join(place.path, `naive-${i}`);
      try {
        writeFileSync(path, "data", { flag: "wx" });
        readFileSync(path);
      } catch {
        failures++;
      }
    }
  });
  assert.ok(failures > 0);
});

test(
  "C103 20 workers that make 50 files each: no error, no name twice, nothing left",
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

test("C104 an unnamed file opened again through /proc is the same file (skipped where there is no /proc)", {
  skip: noLinux,
}, () => {
  using file = temporaryFileSync();
  file.writeSync("same");
  const again = openSync(`/proc/self/fd/${file.fd}`, "r");
  try {
    assert.equal(fstatSync(again).ino, fstatSync(file.fd).ino);
    const bytes = new Uint8Array(4);
    assert.equal(readSync(again, bytes, 0, 4, 0), 4);
    assert.equal(new TextDecoder().decode(bytes), "same");
  } finally {
    closeSync(again);
  }
});

test("C122 an unnamed file whose mode cannot be set: the error, neither a descriptor nor a name left", {
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

test("C122 an unnamed file whose creation is aborted between the call and its end: the reason, no descriptor left", async () => {
  using place = scratch();
  const controller = new AbortController();
  const abort = (real: (...args: unknown[]) => unknown, ...args: unknown[]): unknown => {
    controller.abort(new Error("changed my mind"));
    return real(...args);
  };
  // The second is what it is on Windows.
  using _ = substitute({ primitives: { createUnnamed: abort, createDescriptor: abort } });
  await assert.rejects(() => sourceFile({ dir: place.path, signal: controller.signal }), /changed my mind/);
  assert.deepEqual(openIn(place.path), []);
  assert.deepEqual(place.names(), []);
});
