import assert from "node:assert/strict";
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import * as m from "#mod";
import * as source from "../mod.ts";
import { codeOf, failure, invalid, show } from "../lib/errors.ts";
import { runChild } from "./support/child.ts";
import { creatorsOf } from "./support/creators.ts";
import { oncePerRuntime } from "./support/once.ts";
import { noMounts, withTmpfs } from "./support/places.ts";
import { isWindows, noLinux, noModes } from "./support/platform.ts";
import { scratch } from "./support/scratch.ts";
import { noStrace } from "./support/strace.ts";
import { heldLease, substitute, systemError } from "./support/substitute.ts";

/** Asserts that all creators fail with this error for the directory. */
async function allFail(dir: string, expected: object): Promise<void> {
  for (const [of, { make }] of creatorsOf(m)) {
    await assert.rejects(async () => await make(m, { dir }), (error: m.TempfileError) => {
      assert.ok(error instanceof m.TempfileError, of);
      assert.ok(error.cause instanceof Error, of);
      assert.ok(
        error.message.startsWith("Cannot ") && error.message.includes(dir) &&
          error.message.endsWith(`(${error.code})`),
        error.message,
      );
      const { name, code, path } = error;
      assert.deepEqual({ name, code, path }, { name: "TempfileError", ...expected }, of);
      return true;
    });
  }
}

test("C49 C52 a missing directory fails with ENOENT and the directory as path", async () => {
  using place = scratch();
  const missing = join(place.path, "missing");
  await allFail(missing, { code: "ENOENT", path: missing });
  await allFail(join(missing, "deeper"), { code: "ENOENT", path: join(missing, "deeper") });
  assert.deepEqual(place.list(), []);
});

test("C49 C50 if dir is missing or a file, every creator fails without a second attempt", async () => {
  using place = scratch();
  using _lease = heldLease();
  const file = join(place.path, "file");
  writeFileSync(file, "content");
  for (const dir of [join(place.path, "missing"), file]) {
    for (const [of, { make }] of creatorsOf(source)) {
      using watched = substitute();
      await assert.rejects(async () => await make(source, { dir }), { name: "TempfileError" }, of);
      const tries = watched.calls.filter(({ name }) => /^(create|makeDirectory)/.test(name));
      assert.ok(tries.length <= 1, `${of}: ${JSON.stringify(tries)}`);
    }
  }
});

test("C50 C52 a file given as directory fails with ENOTDIR, on Windows ENOENT, and nothing is created", async () => {
  using place = scratch();
  const file = join(place.path, "file");
  writeFileSync(file, "content");
  const code = isWindows ? "ENOENT" : "ENOTDIR";
  await allFail(file, { code, path: file });
  await allFail(join(file, "below"), { code, path: join(file, "below") });
  assert.deepEqual(place.list(), ["file"]);
});

test("C52 a loop of symbolic links fails with ELOOP, and a dangling link with ENOENT", {
  skip: isWindows && "Windows answers otherwise",
}, async () => {
  using place = scratch();
  const loop = join(place.path, "loop");
  const dangling = join(place.path, "dangling");
  symlinkSync(loop, loop);
  symlinkSync(join(place.path, "nothing"), dangling);
  await allFail(loop, { code: "ELOOP", path: loop });
  await allFail(dangling, { code: "ENOENT", path: dangling });
  assert.deepEqual(place.list(), ["dangling", "loop"]);
});

test("C52 a path that is too long fails with ENAMETOOLONG", {
  skip: isWindows && "Windows answers otherwise",
}, async () => {
  const dir = "/" + "x".repeat(300);
  await allFail(dir, { code: "ENAMETOOLONG", path: dir });
});

const TRY_ALL = `
const { creatorsOf } = await import(args[1]);
for (const [of, { make }] of creatorsOf(m)) {
  try { const made = await make(m, { dir: args[0] }); say({ of, made: true }); await made.remove(); }
  catch (error) { say({ of, code: error.code, path: error.path, name: error.name }); }
}`;

const CREATORS = import.meta.resolve("./support/creators.ts");

async function childFails(dir: string, code: string, options: object): Promise<void> {
  const { said, stderr } = await runChild(TRY_ALL, { args: [dir, CREATORS], ...options });
  assert.equal(said.length, creatorsOf(m).length, stderr);
  for (const { of, ...rest } of said) assert.deepEqual(rest, { code, path: dir, name: "TempfileError" }, of);
}

test("C51 C52 a directory without write permission fails with EACCES, and nothing is created", {
  skip: noModes,
}, async () => {
  using place = scratch();
  writeFileSync(join(place.path, "present"), "");
  const dir = join(place.path, "locked");
  mkdirSync(dir, { mode: 0o500 });
  await childFails(dir, "EACCES", { unprivileged: true });
  assert.deepEqual(readdirSync(dir), []);
  assert.deepEqual(place.list(), ["locked", "present"]);
  // Control: the same calls succeed for root, so the error came from the permissions.
  if (process.getuid?.() === 0) {
    const { said } = await runChild(TRY_ALL, { args: [dir, CREATORS] });
    assert.deepEqual(said, creatorsOf(m).map(([of]) => ({ of, made: true })));
  }
});

test("C52 a read-only file system fails with EROFS", { skip: noMounts }, async () => {
  using place = scratch();
  await childFails(place.path, "EROFS", { under: withTmpfs(place.path, "ro") });
});

test("C52 a file system without a free inode fails with ENOSPC", { skip: noMounts }, async () => {
  using place = scratch();
  await childFails(place.path, "ENOSPC", { under: withTmpfs(place.path, "nr_inodes=1") });
});

test("codeOf() finds the POSIX code in the errors of every runtime", () => {
  const named = (name: string) => Object.assign(new Error("x"), { name });
  assert.equal(codeOf(systemError("EDQUOT")), "EDQUOT");
  assert.equal(codeOf(Object.assign(named("PermissionDenied"), { code: "EPERM" })), "EPERM");
  assert.deepEqual(
    [
      "NotCapable",
      "PermissionDenied",
      "NotFound",
      "AlreadyExists",
      "Busy",
      "BadResource",
      "Interrupted",
      "WouldBlock",
      "FilesystemLoop",
      "IsADirectory",
      "NotADirectory",
      "NotSupported",
    ]
      .map((name) => codeOf(named(name))),
    [
      "ERR_ACCESS_DENIED",
      "EACCES",
      "ENOENT",
      "EEXIST",
      "EBUSY",
      "EBADF",
      "EINTR",
      "EAGAIN",
      "ELOOP",
      "EISDIR",
      "ENOTDIR",
      "ENOTSUP",
    ],
  );
  const pooled = { code: "Unknown system error -116", errno: -116 },
    blocking = { code: "UNKNOWN", errno: -122 };
  const linux = process.platform === "linux";
  assert.deepEqual([pooled, blocking].map(codeOf), linux ? ["ESTALE", "EDQUOT"] : ["UNKNOWN", "UNKNOWN"]);
  const numbered = new Error("File too large (os error 27): write");
  assert.equal(codeOf(numbered), isWindows ? "UNKNOWN" : "EFBIG");
  for (
    const value of [
      undefined,
      null,
      "x",
      5,
      new Error("os error 27"),
      new Error("Odd (os error 4711)"),
      {},
      { message: Symbol("x") },
      new Error("x"),
      new DOMException("x", "AbortError"),
      { code: "UNKNOWN", errno: -4094 },
      named("toString"),
      named("constructor"),
    ]
  ) {
    assert.equal(codeOf(value), "UNKNOWN");
  }
});

test("codeOf() names the error numbers in messages of Deno as the system does", { skip: noLinux }, () => {
  const named = Object.entries(constants.errno).filter(([name, number]) => {
    const code = codeOf(new Error(`Failed (os error ${number})`));
    assert.ok(code === "UNKNOWN" || code === name, `${number} is ${name}, not ${code}`);
    return code === name;
  });
  assert.ok(named.length >= 15, `${named}`);
});

test("codeOf() gives error numbers up to 34 the same meaning on all POSIX systems, higher ones only on Linux", () => {
  const codes = [27, 116].map((number) => new Error(`Failed (os error ${number})`));
  for (
    const [platform, expected] of [
      ["linux", ["EFBIG", "ESTALE"]],
      ["darwin", ["EFBIG", "UNKNOWN"]],
      ["other", ["EFBIG", "UNKNOWN"]],
      ["windows", ["UNKNOWN", "UNKNOWN"]],
    ] as const
  ) {
    using _platform = substitute({ runtime: { platform } });
    assert.deepEqual(codes.map(codeOf), expected, platform);
  }
});

test(
  "C286 errors that Node has no name for, such as EDQUOT, or that it words, such as EINVAL, have code, path and action, sync and async (skipped without strace)",
  {
    skip: noStrace || oncePerRuntime,
  },
  async () => {
    for (
      const [code, phrase] of Object.entries({
        EDQUOT: "disk quota exceeded",
        ESTALE: "stale file handle",
        EINVAL: "invalid argument",
        EROFS: "read-only file system",
        EBADF: "bad file descriptor",
      })
    ) {
      using place = scratch();
      const path = join(place.path, "file");
      writeFileSync(path, "");
      const inject = ["-P", path, "-e", "trace=write,pwrite64", "-e", `inject=write,pwrite64:error=${code}`];
      const { said, stderr } = await runChild(
        `const file = m.adoptFileSync(args[0]);
      const tell = ({ name, code, path, message }) => say({ name, code, path, message });
      try { file.writeSync("x"); } catch (error) { tell(error); }
      m.configure({ inline: false });
      await file.write("x").catch(tell);
      file.closeSync();`,
        { args: [path], under: ["strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", ...inject] },
      );
      const expected = {
        name: "TempfileError",
        code,
        path,
        message: `Cannot write to "${path}": ${phrase} (${code})`,
      };
      assert.deepEqual(said, [expected, expected], stderr);
    }
  },
);

test("an error that no other one has caused has no cause, which the runtimes would print", () => {
  const file = m.temporaryFileSync();
  file.closeSync();
  assert.throws(() => file.fd, (error: Error) => {
    assert.equal(Object.hasOwn(error, "cause"), false);
    return true;
  });
});

test("failure() words a reason the same from the messages of Node, Bun and Deno, with the code and the path once", () => {
  for (
    const [code, message] of [
      ["EINVAL", "EINVAL: invalid argument, write"],
      ["EINVAL", "EINVAL: invalid argument, rename '/a, b' -> '/c'"],
      ["EINVAL", "Invalid argument (os error 22)"],
      ["EINVAL", "Invalid argument (os error 22): open '/x (os error), y'"],
    ]
  ) {
    const error = failure('write to "/x"', Object.assign(new Error(message), { code }), "/x") as Error;
    assert.equal(error.message, 'Cannot write to "/x": invalid argument (EINVAL)', message);
  }
  const message = 'Requires read access to "/A, b", run again with the --allow-read flag',
    code = "ERR_ACCESS_DENIED";
  const denied = failure("do it", Object.assign(new Error(message), { code })) as Error;
  assert.equal(denied.message, `Cannot do it: ${message} (${code})`);
});

test("failure() wraps system errors and returns all other values unchanged", () => {
  const cause = Object.assign(systemError("EACCES"), { syscall: "open" });
  const error = failure('create a temporary file in "/x"', cause, "/x") as m.TempfileError;
  assert.ok(error instanceof source.TempfileError && error instanceof Error);
  assert.equal(error.message, 'Cannot create a temporary file in "/x": permission denied (EACCES)');
  assert.deepEqual(
    {
      code: error.code,
      path: error.path,
      syscall: error.syscall,
      cause: error.cause,
      leftovers: error.leftovers,
      name: error.name,
    },
    { code: "EACCES", path: "/x", syscall: "open", cause, leftovers: [], name: "TempfileError" },
  );
  assert.equal(
    (failure("do it", systemError("EODD")) as Error).message,
    "Cannot do it: EODD: injected (EODD)",
  );
  // Deno uses this class for EINVAL.
  const odd = Object.assign(new TypeError("Invalid argument (os error 22)"), { code: "EINVAL" });
  assert.equal((failure("do it", odd, "/x") as m.TempfileError).path, "/x");
  const passed = [
    error,
    invalid("a", "b", 1),
    new RangeError("x"),
    new Error("a user's own"),
    Object.assign(new Error("a user's own"), { code: "MY_CODE" }),
    systemError("UNKNOWN"),
    new DOMException("x", "AbortError"),
    "thrown text",
    undefined,
  ];
  for (const value of passed) assert.equal(failure("do it", value), value);
});

test("an error without a system code is passed on unchanged", () => {
  const odd = new Error("odd");
  using place = scratch();
  using _odd = substitute({
    primitives: {
      makeDirectory: () => {
        throw odd;
      },
    },
  });
  assert.throws(() => source.mkdtempSync({ dir: place.path }), (error) => error === odd);
});

test("show() describes a value briefly", () => {
  assert.deepEqual(
    [
      "a\nb",
      "x".repeat(100),
      5,
      5n,
      NaN,
      -0,
      true,
      null,
      undefined,
      Symbol("s"),
      [1],
      {},
      () => 1,
      class A {},
    ].map(show),
    [
      '"a\\nb"',
      `"${"x".repeat(80)}…"`,
      "5",
      "5n",
      "NaN",
      "0",
      "true",
      "null",
      "undefined",
      "Symbol(s)",
      "an array",
      "an object",
      "a function",
      "a function",
    ],
  );
});

/** How many frames are above the first one of the tests; -1 if there is none. */
const framesAboveOurs = (error: Error): number =>
  error.stack!.split("\n").filter((line) => /:\d+/.test(line)).findIndex((line) =>
    /errors\.test|creators/.test(line)
  );

async function failureOf(call: () => unknown): Promise<Error> {
  try {
    await call();
  } catch (error) {
    return error as Error;
  }
  assert.fail("the call did not fail");
}

test("an error's stack shows the line that called the library, even if the library's own calls exceed the stack limit", async () => {
  using place = scratch();
  const dir = join(place.path, "missing");
  const target = join(dir, "target");
  const closed = m.namedTemporaryFileSync();
  closed.closeSync();
  const calls: (() => unknown)[] = [
    ...creatorsOf(m).map(([, { make }]) => () => make(m, { dir })),
    ...creatorsOf(m).map(([, { make }]) => () => make(m, { prefix: "../mine" })),
    () => m.writeFileAtomicSync(target, "data"),
    () => closed.write("late"),
    () => closed.writeSync("late"),
  ];
  for (const call of calls) {
    const error = await failureOf(call);
    const above = framesAboveOurs(error);
    assert.ok(above >= 0 && above <= 6, error.stack);
  }
});

test("an error thrown by the caller's own code keeps its stack", async () => {
  const own = Object.assign(new Error("mine"), { code: "ERR_MINE" });
  const { stack } = own;
  // deno-lint-ignore require-yield -- it fails before
  const chunks = function* (): Generator<Uint8Array> {
    throw own;
  };
  await using file = await m.namedTemporaryFile();
  await assert.rejects(file.write(chunks()), own);
  assert.equal(own.stack, stack);
});

test("the stack of an asynchronous failure shows the calling function, for functions and methods", async () => {
  using place = scratch();
  const { said, stderr } = await runChild(
    `m.configure({ inline: false });
     const file = await m.namedTemporaryFile();
     const calls = [
       async function creating() { await m.namedTemporaryFile({ dir: args[0] }); },
       async function persisting() { await file.persist(args[0] + "/target"); },
       async function replacing() { await m.writeFileAtomic(args[0] + "/target", "x"); },
     ];
     for (const call of calls) await call().catch((error) => say(error.stack));
     await file.close();`,
    { args: [join(place.path, "missing")] },
  );
  assert.equal(said.length, 3, stderr);
  assert.match(said[0], /at async creating/);
  assert.match(said[1], /at async persisting/);
  assert.match(said[2], /at async replacing/);
});
