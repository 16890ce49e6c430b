/**
 * What is removed at the end of a process, by an exit or an error, and that the end is otherwise as without the library.
 *
 * @module
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type ChildOptions, runChild, runtimeCommand } from "../support/child.ts";
import { end, endsAs, leavesNothing, MAKE, NAMES, NAMES_THERE } from "../support/endings.ts";
import { packageTest as test } from "../support/once.ts";
import { isDeno, isNode, isWindows, namesLinger, noModes } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";

test("C249 C262 C264 files and directories are removed when the program ends, with unchanged status and output", async () => {
  const code = `console.log("out"); console.error("err"); process.exitCode = 9;`;
  const { left } = await endsAs({ status: 9, stdout: "out\n", stderr: "err\n" }, { code });
  assert.deepEqual(left, []);
});

test("C249 C264 C298 files and directories are removed at process.exit() and at Deno's own Deno.exit(), with unchanged status and output", async () => {
  for (const code of [`process.exit(7);`, ...isDeno ? [`Deno.exit(7);`] : []]) {
    const { left } = await endsAs({ status: 7 }, { code });
    assert.deepEqual(left, []);
  }
});

test("C249 C264 files and directories are removed after an exception at the top level, with unchanged status and output", async () => {
  const { stderr } = await leavesNothing({ code: `throw new Error("thrown");` });
  assert.match(stderr, /thrown/);
});

test("C249 C264 files and directories are removed after an exception in a callback, with unchanged status and output", async () => {
  const { stderr } = await leavesNothing({
    code: `setTimeout(() => { throw new Error("thrown late"); }, 5);`,
  });
  assert.match(stderr, /thrown late/);
});

test("C249 C264 files and directories are removed after an unhandled rejection, with unchanged status and output", async () => {
  const code = `setTimeout(() => Promise.reject(new Error("rejected")), 5); setInterval(() => {}, 1000);`;
  const { stderr } = await leavesNothing({ code });
  assert.match(stderr, /rejected/);
});

/** Ends the process while creations wait for the thread pool, which `busy` occupies. Node's pool has four threads and a queue. */
const endWhilePoolCreates = (busy: string): string => `
  m.configure({ inline: false });
  m.namedTemporaryFileSync().closeSync();
  ${busy}
  for (let i = 0; i < 5; i++) {
    m.namedTemporaryFile();
    m.temporaryDirectory();
  }
  await undefined;
  process.exit();`;

test("C252 files and directories that the thread pool creates while the process exits are removed", async () => {
  using place = scratch();
  const busy = `
    const { pbkdf2 } = await import("node:crypto");
    for (let i = 0; i < 4; i++) pbkdf2("", "", 4000, 32, "sha512", () => {});`;
  const { status } = await runChild(endWhilePoolCreates(busy), { env: { TMPDIR: place.path } });
  assert.equal(status, 0);
  assert.deepEqual(place.names(), []);
});

test(
  "C252 files that a blocked thread pool creates too late during process exit are left to the next process (Node, POSIX)",
  {
    skip: !isNode || isWindows,
  },
  async () => {
    using place = scratch();
    using other = scratch();
    const fifo = join(other.path, "fifo"), env = { TMPDIR: place.path };
    execFileSync("mkfifo", [fifo]);
    // Opening a FIFO waits for the other end: every thread is blocked until then, without using the processor. That is
    // when the exit listener after the library's has run.
    const busy = `
      const { spawn } = await import("node:child_process");
      spawn("sh", ["-c", 'until [ -e "$1" ]; do sleep 0.02; done; : > "$0"', ...args], { stdio: "ignore" });
      process.on("exit", () => fs.writeFileSync(args[1], ""));
      for (let i = 0; i < 4; i++) fs.open(args[0], "r", () => {});`;
    await runChild(endWhilePoolCreates(busy), { env, args: [fifo, join(other.path, "exited")] });
    const left = place.names().length;
    const { said } = await runChild(`say((await m.sweep()).removed.length);`, { env });
    assert.deepEqual([left, said, place.names()], [10, [10], []]);
  },
);

test("C251 an error that a listener handles, of any kind and added before or after ours, ends and removes nothing", async () => {
  // Each handler says so, removes itself and continues with what follows.
  const code = `
    let next;
    const handled = (name, off) => () => { off(); say(name); setTimeout(next, 5); };
    const listen = (name, type) => {
      const listener = handled(name, () => process.off(type, listener));
      process.on(type, listener);
    };
    const add = {
      exception: () => listen("exception", "uncaughtException"),
      rejection: () => listen("rejection", "unhandledRejection"),
      capture: () => process.setUncaughtExceptionCaptureCallback(
        handled("capture", () => process.setUncaughtExceptionCaptureCallback(null))),
    };
    const fail = (name) => new Promise((resolve) => {
      next = resolve;
      setTimeout(() => { if (name === "rejection") Promise.reject(new Error(name)); else throw new Error(name); }, 5);
    });`;
  const check = `setTimeout(() => say(made.slice(0, 4).every(({ path }) => fs.existsSync(path))), 100);`;
  const before = (...names: string[]): string =>
    `${names.map((name) => `add.${name}();`).join("")} ${MAKE} ${
      names.map((name) => `await fail("${name}");`).join("")
    }`;
  const after = (...names: string[]): string =>
    MAKE + names.map((name) => `add.${name}(); await fail("${name}");`).join("");
  const orders: [string, string[]][] = [
    [before("exception", "rejection"), ["exception", "rejection"]],
    // While there is one, no listener is called.
    [before("capture"), ["capture"]],
    [after("exception", "rejection", "capture"), ["exception", "rejection", "capture"]],
  ];
  for (const [order, expected] of orders) {
    using place = scratch();
    const options: ChildOptions = { bare: true, args: ["with"], env: { TMPDIR: place.path } };
    const { status, said, stderr } = await runChild(code + order + check, options);
    assert.deepEqual(said, [NAMES, ...expected, true], stderr);
    assert.equal(status, 0);
    assert.deepEqual(place.names(), []);
  }
});

test(
  "C251 an error handled by a listener to web events that was added before the first file removes nothing (skipped except on Deno)",
  {
    skip: !isDeno,
  },
  async () => {
    const errors = [
      `setTimeout(() => { throw new Error("thrown"); }, 5);`,
      `setTimeout(() => Promise.reject(new Error("rejected")), 5);`,
    ];
    for (const error of errors) {
      using place = scratch();
      const code =
        `for (const type of ["error", "unhandledrejection"]) addEventListener(type, (event) => event.preventDefault());
      ${MAKE} ${error}
      setTimeout(() => say(made.slice(0, 4).every(({ path }) => fs.existsSync(path))), 100);`;
      const options: ChildOptions = { bare: true, args: ["with"], env: { TMPDIR: place.path } };
      const { status, said } = await runChild(code, options);
      assert.deepEqual({ status, said }, { status: 0, said: [NAMES, true] });
      assert.deepEqual(place.names(), []);
    }
  },
);

test(
  "C249 with a non-extensible globalThis, usage(), settings and the removal at exit still work (skipped on Deno, which extends it itself)",
  {
    skip: isDeno,
  },
  async () => {
    using place = scratch();
    const code = `Object.preventExtensions(globalThis);
    const m = await import(moduleUrl);
    const made = [m.namedTemporaryFileSync(), await m.temporaryDirectory()];
    const { files, directories } = await m.usage();
    const listeners = () => process.listenerCount("SIGTERM");
    const before = listeners();
    m.configure({ signals: false });
    say([files.length, directories.length, before - listeners()]);`;
    const { status, said, stderr } = await runChild(code, { bare: true, env: { TMPDIR: place.path } });
    assert.deepEqual({ status, said }, { status: 0, said: [[1, 1, 1]] }, stderr);
    assert.deepEqual(place.names(), []);
  },
);

test("C256 entries in the registry of another process, copied into this one, are not removed", async () => {
  using place = scratch();
  const code =
    `Object.defineProperty(globalThis[Symbol.for("mayfly.registry")], "pid", { value: process.pid + 1 });`;
  const { status } = await end("with", place, { code });
  assert.equal(status, 0);
  assert.equal(place.names().length, NAMES);
});

test("C256 C257 a child, detached or not, that uses the library with the same environment leaves its parent's files alone", async () => {
  using place = scratch();
  const code = `${NAMES_THERE}
    if (args[0] === "child") {
      globalThis.kept = m.namedTemporaryFileSync();
      process.exit(0);
    }
    const files = [m.namedTemporaryFileSync(), m.temporaryDirectorySync()];
    const { spawn } = await import("node:child_process");
    const [command, ...rest] = JSON.parse(args[0]).map((arg) => arg === "SCRIPT" ? process.argv[1] : arg);
    for (const detached of [false, true]) {
      const child = spawn(command, [...rest, "child"], { detached, stdio: "ignore" });
      say(await new Promise((resolve) => child.on("close", resolve)));
    }
    say(files.map(({ path }) => fs.existsSync(path)));
    say(names(m).length);`;
  const args = [JSON.stringify(runtimeCommand("SCRIPT"))];
  const { said, stderr } = await runChild(code, { args, env: { TMPDIR: place.path } });
  assert.deepEqual(said, [0, 0, [true, true], 2], stderr);
  assert.deepEqual(place.names(), []);
});

test("C262 neither live files nor the library's timers keep the process alive", async () => {
  // Timers take a thousand times as long: a process that waits for one would be killed before.
  const code = `
    const real = setTimeout;
    globalThis.setTimeout = (call, milliseconds, ...rest) => real(call, milliseconds * 1000, ...rest);
    const m = await import(moduleUrl);
    for (let i = 0; i < 3; i++) m.namedTemporaryFileSync().closeSync();
    globalThis.kept = [m.namedTemporaryFileSync(), await m.temporaryDirectory(), await m.temporaryFile()];
    say("done");`;
  const { status, said, stderr } = await runChild(code, { bare: true, timeout: 40_000 });
  assert.deepEqual({ status, said }, { status: 0, said: ["done"] }, stderr);
});

test(
  "C263 the removal at exit, directory trees included, is complete when the next exit listener is called",
  {
    skip: namesLinger,
  },
  async () => {
    using place = scratch();
    const code = `${NAMES_THERE}
    const file = m.namedTemporaryFileSync();
    const directory = m.temporaryDirectorySync();
    for (let i = 0; i < 300; i++) fs.writeFileSync(directory.join(String(i)), "");
    process.on("exit", () => fs.writeFileSync(args[0], String(names(m).length)));
    (globalThis.addEventListener ?? (() => {}))("unload", () => fs.writeFileSync(args[0], String(names(m).length)));
    process.exit(6);`;
    using notes = scratch();
    const note = join(notes.path, "note");
    const { status } = await runChild(code, { args: [note], env: { TMPDIR: place.path } });
    assert.equal(status, 6);
    assert.equal(readFileSync(note, "utf8"), "0");
  },
);

test(
  "C263 C264 an entry that cannot be removed at exit does not keep others from being removed, and prints nothing",
  {
    skip: noModes,
  },
  async () => {
    using place = scratch();
    const code = `
    const stuck = path.join(m.tmpdir(), "stuck");
    fs.mkdirSync(stuck);
    globalThis.made = [m.namedTemporaryFileSync({ dir: stuck }), m.namedTemporaryFileSync(), m.temporaryDirectorySync()];
    fs.chmodSync(stuck, 0o500);
    process.exit(8);`;
    const { status, stdout, stderr } = await runChild(code, {
      unprivileged: true,
      env: { TMPDIR: place.path },
    });
    assert.deepEqual({ status, stdout, stderr }, { status: 8, stdout: "", stderr: "" });
    assert.deepEqual(place.names(), ["stuck"]);
    assert.equal(readdirSync(join(place.path, "stuck")).length, 1);
  },
);
