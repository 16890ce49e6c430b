import assert from "node:assert/strict";
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import * as m from "#mod";
import { candidates } from "../../lib/location/tmpdir.ts";
import { type Runtime, runtime, type Status } from "../../lib/runtime/mod.ts";
import * as source from "../../mod.ts";
import { type ChildOptions, runChild } from "../support/child.ts";
import { creatorsOf } from "../support/creators.ts";
import { packageTest as test } from "../support/once.ts";
import { noMounts, withTmpfs } from "../support/places.ts";
import { isDeno, isWindows, modeOf, noLinux } from "../support/platform.ts";
import { type Scratch, scratch } from "../support/scratch.ts";
import {
  asWindows,
  type Changes,
  heldLease,
  type Stub,
  type Substitute,
  substitute,
  systemError,
} from "../support/substitute.ts";
import { noTerminal, onTerminal } from "../support/terminal.ts";

const posix = isWindows && "permission bits and links of POSIX";
const notDeno = !isDeno && "permissions are Deno's";

type Environment = { [name: string]: string | undefined };

/** Returns how many times a directory was tested by creating a file. */
const trialCount = (watched: Substitute): number =>
  watched.of("createFile").length + watched.of("createUnnamed").length;

/** Windows reports all directories as world-writable, for which a simulated POSIX platform would reject each. */
const closedToOthers: Stub = (real, path: string) => {
  const status = real(path) as Status;
  return isWindows ? { ...status, mode: status.mode & ~0o022 } : status;
};

/**
 * Gives the library's source an environment of its own, and clears its cached directory. Unnamed files are tried only on
 * a real Linux.
 */
function withEnvironment(
  env: Environment,
  changes: Changes = {},
  platform: Runtime["platform"] = "linux",
): Substitute {
  const other = {
    platform,
    env: (name: string) => env[name],
    temporaryDirectory: () => undefined,
    lightUnnamed: runtime.platform === "linux" && runtime.lightUnnamed,
    ...changes.runtime,
  };
  const watched = substitute({
    primitives: { status: closedToOthers, ...changes.primitives },
    runtime: other,
  });
  source.configure({ tmpdir: undefined });
  return {
    ...watched,
    [Symbol.dispose]() {
      watched[Symbol.dispose]();
      source.configure({ tmpdir: undefined });
    },
  };
}

const NONE = { TMPDIR: undefined, TEMP: undefined, TMP: undefined };

/** Returns what `tmpdir()` returns in a child with each of these environments. */
async function tmpdirsFor(envs: Environment[], options: ChildOptions = {}): Promise<string[]> {
  const { said, stderr } = await runChild(
    `for (const env of JSON.parse(args[0])) {
       for (const name of ["TMPDIR", "TEMP", "TMP"]) {
         if (env[name] === undefined) delete process.env[name];
         else process.env[name] = env[name];
       }
       m.configure({ tmpdir: undefined });
       say(m.tmpdir());
     }`,
    { args: [JSON.stringify(envs)], ...options },
  );
  assert.equal(said.length, envs.length, stderr);
  return said;
}

/** Creates directories in a scratch directory; returns their paths. */
function directories(place: Scratch, ...names: string[]): string[] {
  return names.map((name) => {
    const path = join(place.path, name);
    mkdirSync(path);
    return path;
  });
}

test("C33 C34 the candidates are TMPDIR, TEMP, TMP, or the runtime's own directory, then those of the platform, all strings", () => {
  {
    using _env = withEnvironment({ TMP: "/c", TEMP: "/b", TMPDIR: "/a" });
    assert.deepEqual(candidates(), ["/a", "/b", "/c", "/tmp", "/var/tmp", "/usr/tmp"]);
  }
  {
    using _env = withEnvironment({});
    assert.deepEqual(candidates(), ["/tmp", "/var/tmp", "/usr/tmp"]);
  }
  {
    using _env = withEnvironment({}, { runtime: { temporaryDirectory: () => "/own" } });
    assert.deepEqual(candidates(), ["/own", "/tmp", "/var/tmp", "/usr/tmp"]);
  }
  {
    // On Deno, asking for it creates a directory.
    const temporaryDirectory = (): never => assert.fail("not needed");
    using _env = withEnvironment({ TMP: "/c" }, { runtime: { temporaryDirectory } });
    assert.equal(candidates()[0], "/c");
  }
  const windows = { TMP: "D:\\t", LOCALAPPDATA: "C:\\U\\L", USERPROFILE: "C:\\U", SystemRoot: "C:\\W" };
  using _env = withEnvironment(windows, {}, "windows");
  assert.deepEqual(candidates(), [
    "D:\\t",
    "C:\\U\\L\\Temp",
    "C:\\U\\AppData\\Local\\Temp",
    "C:\\W\\Temp",
    "C:\\TEMP",
    "C:\\TMP",
  ]);
});

test("T9 a Windows service that runs as SYSTEM prefers its own directory to the shared one in TEMP, but not to TMPDIR", () => {
  const service = {
    TEMP: "C:\\Windows\\TEMP",
    TMP: "C:\\Windows\\TEMP",
    SystemRoot: "C:\\Windows",
    USERPROFILE: "C:\\Windows\\system32\\config\\systemprofile",
  };
  {
    using _env = withEnvironment(service, {}, "windows");
    assert.deepEqual(candidates().slice(0, 2), ["C:\\Windows\\SystemTemp", "C:\\Windows\\TEMP"]);
  }
  {
    using _env = withEnvironment({ ...service, TMPDIR: "D:\\own" }, {}, "windows");
    assert.deepEqual(candidates().slice(0, 2), ["D:\\own", "C:\\Windows\\SystemTemp"]);
  }
  using _env = withEnvironment({ ...service, USERPROFILE: "C:\\Users\\ann" }, {}, "windows");
  assert.ok(candidates().every((path) => !path.includes("SystemTemp")));
});

test("C34 C35 C36 C37 C39 C40 tmpdir() returns the first usable one of TMPDIR, TEMP and TMP that is not empty, in the case of its name, and leaves nothing in it", async () => {
  using place = scratch();
  const [a, b, c] = directories(place, "a", "MiXed", "c");
  const envs = [{ TMPDIR: a, TEMP: b, TMP: c }, { TEMP: b, TMP: c }, { TMP: c }, { TMPDIR: a, TMP: c }];
  const empty = [{ TMPDIR: "", TEMP: b }, { TMPDIR: "", TEMP: "", TMP: b }];
  assert.deepEqual(await tmpdirsFor([...envs, ...empty]), [a, b, c, a, b, b]);
  // The test file is not left either.
  assert.deepEqual(place.list(), ["MiXed", "a", "c"]);
  for (const path of [a, b, c]) assert.deepEqual(readdirSync(path), []);
  using _env = withEnvironment({ TMPDIR: "", TEMP: "", TMP: "" });
  assert.deepEqual(candidates(), ["/tmp", "/var/tmp", "/usr/tmp"]);
});

test("C43 environment variables that are not valid UTF-8 are skipped", { skip: posix }, async () => {
  using place = scratch();
  const odd = `TMPDIR=$(printf '%s/\\377' "$0"); TEMP=$TMPDIR; export TMPDIR TEMP; exec "$@"`;
  const code = `m.namedTemporaryFileSync().closeSync(); say(m.tmpdir());`;
  const { said, stderr } = await runChild(code, {
    env: { TMP: place.path },
    under: ["sh", "-c", odd, place.path],
  });
  assert.deepEqual(said, [place.path], stderr);
});

test("C36 C37 tmpdir() is absolute and usable", () => {
  const path = m.tmpdir();
  assert.ok(isAbsolute(path));
  assert.ok(statSync(path).isDirectory());
  const file = m.namedTemporaryFileSync();
  assert.equal(dirname(file.path), path);
  file.closeSync();
});

test("C38 C47 tmpdir() is cached: a changed environment counts only after configure(), and an override can be replaced", async () => {
  using place = scratch();
  const [a, b, c] = directories(place, "a", "b", "c");
  const { said, stderr } = await runChild(
    `const [a, b, c] = args;
     say(m.tmpdir());
     process.env.TMPDIR = b;
     say(m.tmpdir());
     m.configure({ signals: false });
     m.configure({});
     say(m.tmpdir());
     m.configure({ tmpdir: undefined });
     say(m.tmpdir());
     m.configure({ tmpdir: c });
     say(m.tmpdir());
     say(path.dirname(m.mkdtempSync()));
     try { m.configure({ tmpdir: 5 }); } catch (error) { say(error.code); }
     say(m.tmpdir());
     m.configure({ tmpdir: new URL("file://" + a) });
     say(m.tmpdir());
     m.configure({ tmpdir: undefined });
     say(m.tmpdir());`,
    { args: [a, b, c], env: { ...NONE, TMPDIR: a } },
  );
  assert.deepEqual(said, [a, a, a, b, c, c, "ERR_INVALID_OPTION", c, a, b], stderr);
});

test("C38 the search for tmpdir() runs once, however many directories are created", () => {
  using _lease = heldLease();
  using place = scratch();
  using watched = withEnvironment({ TMPDIR: place.path }, {}, runtime.platform);
  for (let count = 0; count < 5; count++) source.temporaryDirectorySync().removeSync();
  assert.equal(watched.of("realPath").length, 1);
  assert.equal(trialCount(watched), 1);
});

test(
  "tmpdir() tests a directory with an unnamed file where that is cheap, otherwise with a named one that it removes at once",
  {
    skip: noLinux,
  },
  () => {
    using place = scratch();
    const [a, b] = directories(place, "a", "b");
    // As under a sandbox that forbids the system call.
    const refuse = (): never => {
      throw systemError("EPERM");
    };
    {
      using watched = withEnvironment({ TMPDIR: a }, { runtime: { lightUnnamed: true } });
      assert.equal(source.tmpdir(), a);
      assert.deepEqual([watched.of("createUnnamed").length, watched.of("createFile").length], [1, 0]);
    }
    {
      using watched = withEnvironment({ TMPDIR: a }, { runtime: { lightUnnamed: false } });
      assert.equal(source.tmpdir(), a);
      // The name is removed before the write, so that a process killed during the write leaves nothing.
      assert.deepEqual(changesOf(watched), ["createFile", "unlink", "write", "close"]);
    }
    {
      using watched = withEnvironment({ TMPDIR: b }, {
        runtime: { lightUnnamed: true },
        primitives: { createUnnamed: refuse },
      });
      assert.equal(source.tmpdir(), b);
      assert.deepEqual([watched.of("createUnnamed").length, watched.of("createFile").length], [1, 1]);
    }
    assert.deepEqual([readdirSync(a), readdirSync(b)], [[], []]);
  },
);

/** Returns the names of the calls that changed something, in order. */
const changesOf = ({ calls }: Substitute): string[] =>
  calls.map(({ name }) => name).filter((name) => /create|unlink|write|close/.test(name));

test("tmpdir() on Windows, where an open file cannot be removed, removes its test file last", () => {
  using place = scratch();
  using watched = withEnvironment({ TMPDIR: place.path }, asWindows(), "windows");
  assert.equal(source.tmpdir(), place.path);
  assert.deepEqual(changesOf(watched), ["createFile", "write", "close", "unlink"]);
  assert.deepEqual(place.list(), []);
});

test("C37 tmpdir() accepts a directory where somebody else removes its test file first", () => {
  using place = scratch();
  const unlink: Stub = (real, ...args) => (real(...args), real(...args));
  const warn = (message: string): void => assert.fail(message);
  for (
    const { runtime: other, ...changes } of [
      { primitives: { unlink } },
      asWindows({ primitives: { unlink } }),
    ] as Changes[]
  ) {
    const platform = other?.platform ?? "linux";
    const runtime = { ...other, lightUnnamed: false, warn };
    using _ = withEnvironment({ TMPDIR: place.path }, { ...changes, runtime }, platform);
    assert.equal(source.tmpdir(), place.path);
  }
  assert.deepEqual(place.list(), []);
});

test("configure() refuses invalid options, and then changes nothing", () => {
  using place = scratch();
  source.configure({ tmpdir: place.path });
  try {
    for (const tmpdir of [5, null, "", "a\0b", ["/tmp"], Buffer.from("/tmp"), new URL("http://localhost/")]) {
      assert.throws(() => source.configure({ tmpdir: tmpdir as string }), {
        code: "ERR_INVALID_OPTION",
        name: "TypeError",
      });
      assert.throws(() => source.configure({ tmpdir: place.path, signals: 1 as unknown as boolean }), {
        code: "ERR_INVALID_OPTION",
      });
      assert.equal(source.tmpdir(), place.path);
    }
    for (const options of [undefined, null, "x", 5]) {
      assert.throws(() => source.configure(options as unknown as object), { code: "ERR_INVALID_OPTION" });
    }
  } finally {
    source.configure({ tmpdir: undefined });
  }
});

test("C41 tmpdir() skips a directory where writing to a new file fails, and leaves nothing in it", () => {
  using place = scratch();
  const [full, good] = directories(place, "full", "good");
  using watched = withEnvironment({ TMPDIR: full, TEMP: good }, {
    primitives: {
      write: (real, ...args: unknown[]) => {
        if (watched.of("write").length === 1) throw systemError("ENOSPC");
        return real(...args);
      },
    },
  });
  assert.equal(source.tmpdir(), good);
  assert.equal(watched.of("write").length, 2);
  assert.deepEqual([readdirSync(full), readdirSync(good)], [[], []]);
});

test("C41 C46 tmpdir() skips a full and a read-only file system, and leaves nothing there", {
  skip: noMounts,
  onOneNode: true,
}, async () => {
  using place = scratch();
  const [odd, good] = directories(place, "odd", "good");
  const look =
    `fs.readdirSync(args[0]); say(m.tmpdir()); say(fs.readdirSync(args[0]).filter((name) => name !== "fill"));`;
  const fill =
    `try { fs.writeFileSync(args[0] + "/fill", new Uint8Array(1e6)); } catch (error) { say(error.code); }`;
  const env = { ...NONE, TMPDIR: odd, TEMP: good };
  const full = await runChild(fill + look, { args: [odd], env, under: withTmpfs(odd, "size=64k,mode=1777") });
  assert.deepEqual(full.said, ["ENOSPC", good, []], full.stderr);
  const readOnly = await runChild(look, { args: [odd], env, under: withTmpfs(odd, "ro,mode=1777") });
  assert.deepEqual(readOnly.said, [good, []], readOnly.stderr);
  // The control: the same mount is used if it is writable and has space.
  const usable = await runChild(look, { args: [odd], env, under: withTmpfs(odd, "size=1m,mode=1777") });
  assert.deepEqual(usable.said, [odd, []], usable.stderr);
});

const noDescriptors = (): never => {
  throw systemError("EMFILE");
};

test("C42 tmpdir() without a permitted directory fails with an error that names the runtime's flags for it, if there are any", () => {
  for (const [fileFlags, advice] of [["--allow-files", ". Permit it with --allow-files"], [undefined, ""]]) {
    using _ = withEnvironment({}, { runtime: { fileFlags, mayWrite: () => false } });
    assert.throws(() => source.tmpdir(), (error: m.TempfileError) => {
      assert.equal(error.code, "ERR_NO_TMPDIR");
      assert.ok(error.message.endsWith(`"/usr/tmp" (ERR_ACCESS_DENIED)${advice}`), error.message);
      return true;
    });
  }
});

test(
  "C42 tmpdir() resolves only permitted paths, and tests no directory that a link leads to without permission (POSIX)",
  {
    skip: isWindows,
  },
  () => {
    using place = scratch();
    const [target] = directories(place, "target"), link = join(place.path, "link");
    symlinkSync(target, link);
    using watched = withEnvironment({ TMPDIR: link }, { runtime: { mayWrite: (path) => path === link } });
    assert.throws(() => source.tmpdir(), (error: m.TempfileError) => {
      assert.ok(error.message.includes(`tried "${link}" (ERR_ACCESS_DENIED), "/tmp" (ERR_ACCESS_DENIED), `));
      return true;
    });
    assert.deepEqual(watched.calls, [{ name: "realPath", args: [link] }]);
  },
);

test("C42 C48 tmpdir() without a usable directory lists each with the reason, and never tries the current directory", () => {
  using place = scratch();
  const [a] = directories(place, "a");
  using watched = withEnvironment({ TMPDIR: a, TEMP: join(place.path, "missing") }, {
    primitives: {
      createFile: noDescriptors,
      createUnnamed: noDescriptors,
    },
  });
  assert.throws(() => source.tmpdir(), (error: m.TempfileError) => {
    assert.equal(error.name, "TempfileError");
    assert.equal(error.code, "ERR_NO_TMPDIR");
    assert.ok(error.message.startsWith("Cannot find a usable directory for temporary files: tried "));
    for (const tried of [`"${a}" (EMFILE)`, `"${join(place.path, "missing")}" (ENOENT)`, '"/tmp" (']) {
      assert.ok(error.message.includes(tried), error.message);
    }
    return true;
  });
  const asked = watched.of("realPath").flat();
  assert.deepEqual(asked, [a, join(place.path, "missing"), "/tmp", "/var/tmp", "/usr/tmp"]);
  // A failure is not cached: the next call searches again.
  assert.throws(() => source.mkdtempSync(), { code: "ERR_NO_TMPDIR" });
  assert.equal(watched.of("realPath").length, 2 * asked.length);
  assert.deepEqual(place.list(), ["a"]);
});

test("C43 tmpdir() tries an unwritable candidate only once", () => {
  using place = scratch();
  const [locked, good] = directories(place, "locked", "good");
  const refuse: Stub = (real, path: string, mode: number) => {
    if (path.startsWith(locked)) throw systemError("EACCES");
    return real(path, mode);
  };
  using watched = withEnvironment({ TMPDIR: locked, TEMP: good }, {
    primitives: {
      createFile: refuse,
      createUnnamed: refuse,
    },
  });
  assert.equal(source.tmpdir(), good);
  assert.equal(trialCount(watched), 2);
});

test(
  "C43 C46 tmpdir() skips missing directories, files, dangling links, and directories without permission",
  {
    skip: posix,
  },
  async () => {
    using place = scratch();
    const [locked, closed, good] = directories(place, "locked", "closed", "good");
    chmodSync(locked, 0o555);
    mkdirSync(join(closed, "inside"));
    chmodSync(closed, 0o000);
    writeFileSync(join(place.path, "file"), "");
    symlinkSync(join(place.path, "nowhere"), join(place.path, "dangling"));
    symlinkSync(join(place.path, "loop"), join(place.path, "loop"));
    chmodSync(good, 0o777);
    chmodSync(good, 0o1777);
    const bad = ["missing", "file", "file/below", "dangling", "loop", "locked", "closed", "closed/inside"];
    const envs = bad.map((name) => ({ TMPDIR: join(place.path, name), TEMP: good }));
    assert.deepEqual(await tmpdirsFor(envs, { unprivileged: true }), bad.map(() => good));
    chmodSync(closed, 0o700);
    assert.deepEqual([locked, closed, good].map((path) => readdirSync(path)), [[], ["inside"], []]);
  },
);

test("C44 tmpdir() skips a world-writable directory without the sticky bit, and accepts one with it", {
  skip: posix,
}, async () => {
  using place = scratch();
  const [open, sticky] = directories(place, "open", "sticky");
  chmodSync(open, 0o777);
  chmodSync(sticky, 0o1777);
  const envs = [{ TMPDIR: open, TEMP: sticky }, { TMPDIR: sticky, TEMP: open }];
  assert.deepEqual(await tmpdirsFor(envs), [sticky, sticky]);
});

test(
  "C44 tmpdir() uses a world-writable directory without the sticky bit if it is the only one, with a single warning",
  { skip: posix },
  async () => {
    using place = scratch();
    const [open] = directories(place, "open");
    chmodSync(open, 0o777);
    const { said, stderr } = await runChild(
      `process.on("warning", ({ name, code, message }) => say({ name, code, message }));
     m.configure({ tmpdir: args[0] });
     say(m.tmpdir());
     say(m.tmpdir());`,
      { args: [open] },
    );
    assert.deepEqual(said.slice(0, 2), [open, open], stderr);
    assert.equal(said.length, 3);
    assert.deepEqual({ name: said[2].name, code: said[2].code }, {
      name: "TempfileWarning",
      code: "MAYFLY_UNSAFE_TMPDIR",
    });
    assert.ok(said[2].message.includes(open));
  },
);

test(
  "T12 tmpdir() checks every parent directory with lstat, and skips a directory below one that is world-writable",
  { skip: posix, onOneNode: true },
  async () => {
    using place = scratch();
    const [open, good] = directories(place, "open", "good");
    mkdirSync(join(open, "a/b"), { recursive: true });
    chmodSync(open, 0o777);
    // For a link, the directory that it points to counts, since that one is used.
    symlinkSync(good, join(open, "link"));
    symlinkSync(join(open, "a"), join(place.path, "link"));
    const envs = [
      { TMPDIR: join(open, "a/b"), TEMP: good },
      { TMPDIR: join(place.path, "link", "b"), TEMP: good },
      { TMPDIR: join(open, "link"), TEMP: place.path },
    ];
    assert.deepEqual(await tmpdirsFor(envs), [good, good, good]);
    // The control: by itself, each directory could be used.
    for (const { TMPDIR } of envs) assert.equal(modeOf(TMPDIR) & 0o022, 0);
    chmodSync(open, 0o1777);
    assert.deepEqual(await tmpdirsFor(envs.slice(0, 2)), [join(open, "a/b"), join(open, "a/b")]);
    using watched = withEnvironment({ TMPDIR: join(open, "a/b") });
    assert.equal(source.tmpdir(), join(open, "a/b"));
    assert.equal(watched.of("statusOfTarget").length, 0);
    const looked = new Set(watched.of("status").flat());
    for (let path = join(open, "a/b"); path !== "/"; path = dirname(path)) assert.ok(looked.has(path), path);
    assert.ok(looked.has("/"));
  },
);

test("T12 C58 a symbolic link in TMPDIR that is changed after the search does not redirect the library", {
  skip: posix,
}, async () => {
  using place = scratch();
  const [good, evil] = directories(place, "good", "evil");
  const link = join(place.path, "link");
  symlinkSync(good, link);
  const { said, stderr } = await runChild(
    `say(m.tmpdir());
     fs.unlinkSync(args[0]);
     fs.symlinkSync(args[1], args[0]);
     const file = m.namedTemporaryFileSync();
     say(path.dirname(file.path));
     file.closeSync();`,
    { args: [link, evil], env: { ...NONE, TMPDIR: link } },
  );
  assert.deepEqual(said, [good, good], stderr);
  assert.deepEqual(readdirSync(evil), []);
});

test("C45 a relative TMPDIR is resolved once, and does not change with the current directory", async () => {
  using place = scratch();
  const [a, other] = directories(place, "a", "other");
  const { said, stderr } = await runChild(
    `say(m.tmpdir());
     process.chdir(args[0]);
     say(m.tmpdir());
     const made = m.mkdtempSync();
     say(path.dirname(made));
     fs.rmdirSync(made);`,
    { args: [other], cwd: place.path, env: { ...NONE, TMPDIR: "a" } },
  );
  assert.deepEqual(said, [a, a, a], stderr);
});

test("C53 a relative dir option gives absolute paths", async () => {
  using place = scratch();
  const [a] = directories(place, "a");
  const { said, stderr } = await runChild(
    `const { creatorsOf } = await import(args[0]);
     for (const dir of [".", "./", "a/..", "a"]) {
       for (const [of, { make, unnamed }] of creatorsOf(m)) {
         const made = await make(m, { dir });
         if (!unnamed) say([of, dir, made.path, fs.existsSync(made.path)]);
         await made.remove();
       }
     }`,
    { cwd: place.path, args: [import.meta.resolve("../support/creators.ts")] },
  );
  const creators = creatorsOf(m).filter(([, { unnamed }]) => !unnamed);
  assert.equal(said.length, 4 * creators.length, stderr);
  for (const [of, dir, path, exists] of said) {
    assert.deepEqual(
      [isAbsolute(path), dirname(path), exists],
      [true, dir === "a" ? a : place.path, true],
      of,
    );
  }
  assert.deepEqual([place.names(), readdirSync(a)], [["a"], []]);
});

test(
  "C58 a created directory's path has its symbolic links resolved, and equals process.cwd() inside it",
  { skip: posix },
  async () => {
    using place = scratch();
    const [real] = directories(place, "real");
    symlinkSync(real, join(place.path, "link"));
    const { said, stderr } = await runChild(
      `const made = m.mkdtempSync();
     process.chdir(made);
     say([made, process.cwd(), fs.realpathSync(made)]);
     process.chdir("/");
     fs.rmdirSync(made);
     const inside = m.mkdtempSync({ dir: args[0] });
     say([inside, fs.realpathSync(inside)]);
     fs.rmdirSync(inside);`,
      { args: [join(place.path, "link") + "//."], env: { ...NONE, TMPDIR: join(place.path, "link") } },
    );
    assert.equal(said.length, 2, stderr);
    for (const paths of said) assert.equal(new Set(paths).size, 1, paths.join());
    assert.ok(said.every(([path]) => dirname(path) === real));
    assert.equal(realpathSync(real), real);
  },
);

test(
  "tmpdir() on Deno needs only read and write permission, never prompts, and finds the directory that Deno itself would use",
  { skip: notDeno || noTerminal },
  async () => {
    using place = scratch();
    const [own] = directories(place, "own");
    const flags = ["--allow-read", "--allow-write"];
    const chosenByDeno = async (TMPDIR: string): Promise<string> => {
      const { said, stderr } = await runChild("say(m.tmpdir());", { flags, env: { ...NONE, TMPDIR } });
      return said[0] ?? stderr;
    };
    assert.equal(await chosenByDeno(own), own);
    assert.deepEqual(readdirSync(own), []);
    // Deno cannot use this directory either.
    assert.match(await chosenByDeno(join(place.path, "missing")), /^\/(var\/)?tmp$/);
    // On a terminal, Deno would prompt and wait for an answer.
    const asked = await runChild("say(m.tmpdir()); say(typeof m.mkdtempSync({ dir: args[0] }));", {
      under: onTerminal(),
      args: [own],
      flags,
      env: { ...NONE, TMPDIR: place.path },
    });
    assert.deepEqual(asked.said, [place.path, "string"], asked.stdout + asked.stderr);
    assert.doesNotMatch(asked.stdout, /Deno requests/);
  },
);

test("on Deno, permission for one directory is enough to create in it, without a prompt for its parents", {
  skip: notDeno || noTerminal,
}, async () => {
  using place = scratch();
  const [own, other] = directories(place, "own", "other");
  const flags = [`--allow-read=${own}`, `--allow-write=${own}`];
  const { said, stdout, stderr } = await runChild(
    `m.configure({ tmpdir: args[0] });
     say(m.tmpdir());
     const file = m.namedTemporaryFileSync();
     say(path.dirname(file.path));
     file.closeSync();
     await (await m.temporaryDirectory()).remove();
     try { m.mkdtempSync({ dir: args[1] }); } catch (error) { say(error.code); }`,
    { args: [own, other], flags: [...flags, "--no-prompt"] },
  );
  assert.deepEqual(said, [own, own, "ERR_ACCESS_DENIED"], stdout + stderr);
  const code = "m.configure({ tmpdir: args[0] }); say(m.tmpdir()); fs.rmdirSync(m.mkdtempSync());";
  const asked = await runChild(code, { under: onTerminal(), args: [own], flags });
  assert.deepEqual(asked.said, [own], asked.stdout);
  assert.doesNotMatch(asked.stdout, /Deno requests/);
  assert.deepEqual([readdirSync(own), readdirSync(other)], [[], []]);
});
