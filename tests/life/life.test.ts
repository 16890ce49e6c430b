import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { temporaryDirectorySync } from "#mod";
import { watchEnds } from "../../lib/life/process_end.ts";
import type { Entry } from "../../lib/life/registry.ts";
import { type Runtime, runtime } from "../../lib/runtime/mod.ts";
import {
  type ChildOptions,
  type ChildResult,
  runChild,
  runtimeCommand,
  startChild,
} from "../support/child.ts";
import { loadLibrary } from "../support/library.ts";
import { LISTENERS } from "../support/listeners.ts";
import { packageTest as test } from "../support/once.ts";
import {
  isDeno,
  isNode,
  isWindows,
  namesLinger,
  noModes,
  noSignals,
  root,
  wholeTrees,
} from "../support/platform.ts";
import { type Scratch, scratch } from "../support/scratch.ts";
import { substitute } from "../support/substitute.ts";

/** Deno cannot count the listeners of others, so signals are handled there only on request. */

/** `names(m)`: the names in the temporary directory, without the directory of leases. */
const NAMES_THERE = `
const names = (m) => fs.readdirSync(m.tmpdir()).filter((name) => !name.startsWith(".mayfly-"));
`;

/** Creates files and directories of each kind and reports how many names that are; does nothing in the child to compare with. */
const MAKE = `${NAMES_THERE}
if (args[0] === "with") {
  const m = await import(moduleUrl);
  if (args[1] === "signals") m.configure({ signals: true });
  globalThis.made = [m.namedTemporaryFileSync(), await m.namedTemporaryFile(), m.temporaryDirectorySync(),
    await m.temporaryDirectory(), m.temporaryFileSync(), await m.temporaryFile()];
  made[0].writeSync("x");
  fs.mkdirSync(made[2].join("sub"));
  fs.writeFileSync(made[2].join("sub", "file"), "x");
  say(names(m).length);
}
await null;
`;

/** The number of names while everything that MAKE creates is alive. On Windows unnamed files have a name as well. */
const NAMES = isWindows ? 6 : 4;

/** Reports that the child is ready for a signal, and waits for it. */
const WAIT = `say("ready"); setInterval(() => {}, 1000);`;

/** Reports each run of the removal. */
const COUNT_REMOVALS = `globalThis[Symbol.for("mayfly.registry")]?.entries.add({
  discard: () => void fs.writeSync(1, '\\u0001"removed"\\n'),
});`;

/** Calls `act` when a child reports that it is ready. */
const whenReady = (act: (child: ChildProcess) => void) => (child: ChildProcess): void => {
  child.stdout!.on("data", (text) => String(text).includes('"ready"') && act(child));
};

/** Sends a signal, also a second time, which `child.kill` does not do on every runtime. */
const kill = (child: ChildProcess, signal: NodeJS.Signals): void => void process.kill(child.pid!, signal);

const send = (signal: NodeJS.Signals): (child: ChildProcess) => void =>
  whenReady((child) => kill(child, signal));

interface Ending {
  /** The code with which the child ends. */
  code: string;
  /** What is done to the child. */
  act?: (child: ChildProcess) => void;
  /** Whether the child asks for signals to be handled. */
  signals?: boolean;
  options?: ChildOptions;
}

/** Runs a child that ends in some way, with files and directories or without. */
async function end(how: "with" | "without", place: Scratch, ending: Ending): Promise<ChildResult> {
  const args = ending.signals ? [how, "signals"] : [how];
  const env = { TMPDIR: place.path, ...ending.options?.env };
  const { child, result } = startChild(MAKE + ending.code, { bare: true, ...ending.options, args, env });
  ending.act?.(child);
  return await result;
}

/** Everything visible of an end, without the path of the script. */
function visible({ status, signal, stdout, stderr }: ChildResult): object {
  return { status, signal, stdout, stderr: stderr.replace(/[^\s"'(]*scratch-\w+/g, "") };
}

/** Compares the ends of a child with temporary files and of one without, which must be alike. Returns the first and what it left. */
async function compared(ending: Ending): Promise<{ outcome: ChildResult; left: string[] }> {
  using place = scratch();
  const [outcome, bare] = await Promise.all([end("with", place, ending), end("without", place, ending)]);
  assert.equal(outcome.said[0], NAMES, `nothing was created: ${outcome.stderr}`);
  assert.deepEqual(visible(outcome), visible(bare));
  return { outcome, left: place.names() };
}

async function leavesNothing(ending: Ending): Promise<ChildResult> {
  const { outcome, left } = await compared(ending);
  assert.deepEqual(left, []);
  return outcome;
}

test("C249 C262 C264 files and directories are removed when the program ends, with unchanged status and output", async () => {
  const { status } = await leavesNothing({
    code: `console.log("out"); console.error("err"); process.exitCode = 9;`,
  });
  assert.equal(status, 9);
});

test("C249 C264 files and directories are removed at process.exit(), with unchanged status and output", async () => {
  const { status } = await leavesNothing({ code: `process.exit(7);` });
  assert.equal(status, 7);
});

test("C249 C298 files and directories are removed at the runtime's own exit call, with unchanged status and output", async () => {
  const { status } = await leavesNothing({ code: `globalThis.Deno?.exit ? Deno.exit(5) : process.exit(5);` });
  assert.equal(status, 5);
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

test("C250 C264 files and directories are removed on SIGINT, and the process ends by that signal", {
  skip: noSignals,
}, async () => {
  const { signal } = await leavesNothing({ code: WAIT, act: send("SIGINT"), signals: true });
  assert.equal(signal, "SIGINT");
});

test("C250 C264 files and directories are removed on SIGTERM, and the process ends by that signal", {
  skip: noSignals,
}, async () => {
  const { signal } = await leavesNothing({ code: WAIT, act: send("SIGTERM"), signals: true });
  assert.equal(signal, "SIGTERM");
});

test("C250 C264 files and directories are removed on SIGHUP, and the process ends by that signal", {
  skip: noSignals,
}, async () => {
  const { signal } = await leavesNothing({ code: WAIT, act: send("SIGHUP"), signals: true });
  assert.equal(signal, "SIGHUP");
});

test("C250 signals are handled by default, except on Deno, where the listeners of others cannot be counted", {
  skip: noSignals,
}, async () => {
  const { outcome, left } = await compared({ code: WAIT, act: send("SIGTERM") });
  assert.equal(outcome.signal, "SIGTERM");
  assert.equal(left.length, isDeno ? NAMES : 0);
});

test(
  "C250 configure({ signals: false }) leaves signals alone: SIGTERM ends the process and removes nothing",
  { skip: noSignals },
  async () => {
    const code = `if (args[0] === "with") (await import(moduleUrl)).configure({ signals: false }); ${WAIT}`;
    const { outcome, left } = await compared({ code, act: send("SIGTERM"), signals: true });
    assert.equal(outcome.signal, "SIGTERM");
    assert.equal(left.length, NAMES);
  },
);

test("C102 C255 after SIGKILL or abort(), unnamed files are gone and named files and directories remain", {
  skip: noSignals,
}, async () => {
  const options: ChildOptions = { under: ["sh", "-c", 'ulimit -c 0; exec "$@"', "sh"] };
  const { outcome, left } = await compared({ code: WAIT, act: send("SIGKILL"), options });
  assert.equal(outcome.signal, "SIGKILL");
  assert.equal(left.length, NAMES);
  using place = scratch();
  const aborted = await end("with", place, { code: `process.abort();`, options });
  assert.notEqual(aborted.signal ?? aborted.status, 0);
  assert.equal(place.names().length, NAMES);
});

test(
  "C251 a signal that the program listens to is left to its listener, by on() or once(), added before or after ours",
  {
    skip: noSignals,
  },
  async () => {
    for (const kind of ["on", "once"]) {
      for (const before of [true, false]) {
        const listen = `process.${kind}("SIGTERM", () => {
        say("handled");
        setTimeout(() => { say(args[0] === "without" || made.slice(0, 4).every(({ path }) => fs.existsSync(path))); process.exit(3); }, 100);
      });`;
        using place = scratch();
        const code = before ? listen + MAKE + WAIT : MAKE + listen + WAIT;
        const { child, result } = startChild(code, {
          bare: true,
          args: ["with"],
          env: { TMPDIR: place.path },
        });
        send("SIGTERM")(child);
        const { status, signal, said } = await result;
        assert.deepEqual({ status, signal, said }, {
          status: 3,
          signal: null,
          said: [NAMES, "ready", "handled", true],
        });
        assert.deepEqual(place.names(), []);
      }
    }
  },
);

test(
  "C251 a signal raised again by a listener that has removed itself removes the files and ends the process",
  { skip: noSignals },
  async () => {
    const code =
      `const listener = () => { console.log("handled"); process.off("SIGTERM", listener); process.kill(process.pid, "SIGTERM"); };
    process.on("SIGTERM", listener); ${COUNT_REMOVALS} ${WAIT}`;
    const { signal, stdout, said } = await leavesNothing({ code, act: send("SIGTERM"), signals: true });
    assert.equal(signal, "SIGTERM");
    assert.equal(stdout.trim(), "handled");
    assert.deepEqual(said, [NAMES, "ready", "removed"]);
  },
);

test(
  "C251 a signal raised again by a listener that has removed itself ends a process with nothing else to do",
  { skip: noSignals || isDeno && "on Deno signals are handled only on request" },
  async () => {
    const code = `const waiting = setInterval(() => {}, 1000);
    const listener = () => { clearInterval(waiting); process.off("SIGTERM", listener); process.kill(process.pid, "SIGTERM"); };
    process.on("SIGTERM", listener);
    say("ready");`;
    const { signal } = await leavesNothing({ code, act: send("SIGTERM") });
    assert.equal(signal, "SIGTERM");
  },
);

test(
  "C251 C250 a signal still ends the process beside listeners that act only when alone, as in package signal-exit",
  { skip: noSignals },
  async () => {
    for (const version of [3, 4]) {
      const code = `
      const emitter = ${version} === 3
        ? process.__signal_exit_emitter__ = { count: 0 }
        : globalThis[Symbol.for("signal-exit emitter")] = { count: 0 };
      const listener = () => {
        if (process.listeners("SIGTERM").length !== emitter.count) return;
        process.off("SIGTERM", listener);
        emitter.count--;
        console.log("cleaned up");
        process.kill(process.pid, "SIGTERM");
      };
      emitter.count++;
      process.on("SIGTERM", listener);
      ${WAIT}`;
      const { signal, stdout } = await leavesNothing({ code, act: send("SIGTERM"), signals: true });
      assert.equal(signal, "SIGTERM");
      assert.equal(stdout.trim(), "cleaned up");
    }
  },
);

test(
  "C251 a signal that the parent process set to be ignored stays ignored, where it would be without the library",
  {
    skip: noSignals,
  },
  async () => {
    const options: ChildOptions = { under: ["sh", "-c", `trap "" HUP; exec "$@"`, "sh"] };
    // Deno itself begins to catch the signal half a second after its start. The child ends some time after it was told that
    // the signal was sent, however late that was.
    const code = `if ("Deno" in globalThis) await new Promise((resolve) => setTimeout(resolve, 1000));
    say("ready"); process.stdin.once("data", () => setTimeout(() => { console.log("survived"); process.exit(); }, 300));`;
    const act = whenReady((child) => {
      kill(child, "SIGHUP");
      child.stdin!.on("error", () => {}).write("sent");
    });
    const { signal, stdout } = await leavesNothing({ code, act, signals: true, options });
    assert.equal(signal === null, stdout.trim() === "survived");
  },
);

const container = ["unshare", "--fork", "--pid", "--mount-proc"];
const noContainer = spawnSync(container[0], [...container.slice(1), "true"]).status !== 0 &&
  "namespaces cannot be created";

test(
  "C250 C264 PID 1 of a container survives signals, as without the library, and keeps its files (skipped without namespaces)",
  { skip: noContainer },
  async () => {
    const code = `for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) process.kill(process.pid, name);
    setTimeout(() => {
      if (args[0] === "with") say(made.slice(0, 4).map(({ path }) => fs.existsSync(path)));
      console.log("lived on as " + process.pid);
      process.exit(6);
    }, 300);`;
    const { status, stdout, said } = await leavesNothing({
      code,
      signals: true,
      options: { under: container },
    });
    assert.deepEqual([status, stdout.trim(), said[1]], [6, "lived on as 1", [true, true, true, true]]);
  },
);

/** `block(ms)` blocks the thread, as a removal does that takes as long. */
const BLOCK = `const block = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
const registry = globalThis[Symbol.for("mayfly.registry")];`;

test("C253 a second signal during the removal ends the process at once", { skip: noSignals }, async () => {
  using place = scratch();
  // The first entry's removal takes so long that the next signal counts as a second one; the other's takes longer than the
  // child may run.
  const code = `${BLOCK}
    registry.entries.add({ discard: () => block(700) });
    registry.entries.add({ discard() { fs.writeSync(1, '\\u0001"ready"\\n'); block(50_000); } });
    ${WAIT}`;
  const act = send("SIGTERM");
  const started = Date.now();
  const { signal } = await end("with", place, { code, act, signals: true });
  assert.equal(signal, "SIGTERM");
  assert.ok(Date.now() - started < 40_000, "the second signal had no effect");
});

test(
  "C250 C253 a signal that is repeated at once, as by a parent that forwards it, does not interrupt the removal",
  {
    skip: noSignals,
  },
  async () => {
    using place = scratch();
    const code = `m.configure({ signals: true });
    m.namedTemporaryFileSync().closeSync();
    ${BLOCK}
    registry.entries.add({ discard() { process.kill(process.pid, "SIGTERM"); block(20); } });
    globalThis.made = [m.namedTemporaryFileSync(), m.temporaryDirectorySync()];
    say(fs.readdirSync(m.tmpdir()).length);
    ${WAIT}`;
    const { child, result } = startChild(code, { env: { TMPDIR: place.path } });
    send("SIGTERM")(child);
    const { signal, said, stderr } = await result;
    // With the directory of leases.
    assert.deepEqual({ signal, said }, { signal: "SIGTERM", said: [3, "ready"] }, stderr);
    assert.deepEqual(place.names(), []);
  },
);

test(
  "C253 the removal of a directory at process exit calls back between its steps, where a signal can end it",
  {
    skip: wholeTrees,
  },
  () => {
    using directory = temporaryDirectorySync();
    for (let file = 0; file < 20; file++) writeFileSync(directory.join(`${file}`), "x");
    const { entries } = (globalThis as unknown as { [key: symbol]: { entries: Iterable<Entry> } })[
      Symbol.for("mayfly.registry")
    ];
    let steps = 0;
    [...entries].find(({ path }) => path === directory.path)!.discard(() => steps++);
    assert.ok(steps > 20, `${steps} steps`);
    assert.ok(!existsSync(directory.path));
  },
);

test("C253 listening for a signal stops half a second after it, and no sooner, so that the next one ends the process", () => {
  let clock = 0, stopped = 0, deliver = (): void => {};
  const raised: string[] = [], seen: number[] = [];
  const signals: Runtime["signals"] = {
    names: () => ["SIGTERM"],
    countable: true,
    listen(_name, listener) {
      deliver = listener;
      return () => void stopped++;
    },
    others: () => 0,
    raise: (name) => void raised.push(name),
  };
  using _ = substitute({ runtime: { now: () => clock, onEnd: () => () => {}, signals } });
  watchEnds((between) => {
    for (clock of [500, 501]) {
      between!();
      seen.push(stopped);
    }
  });
  deliver();
  assert.deepEqual([seen, raised], [[0, 1], ["SIGTERM"]]);
});

/** Ends a child by SIGTERM while it creates as fast as it can; returns how many names are left. */
async function killedWhileCreating(code: string, delay: number): Promise<number> {
  using place = scratch();
  const { child, result } = startChild(code, { env: { TMPDIR: place.path } });
  whenReady(() => setTimeout(() => kill(child, "SIGTERM"), delay))(child);
  const { signal } = await result;
  assert.equal(signal, "SIGTERM");
  return place.names().length;
}

const MANY_AT_ONCE = `
  let count = 0;
  const forever = async () => {
    while (count < 5000) {
      await create();
      if (++count === 50) say("ready");
    }
  };
  for (let i = 0; i < 20; i++) forever();
  setInterval(() => {}, 1000);`;

test(
  "C250 a signal while the thread is blocked, just before the listeners would be removed, still ends the process",
  { skip: noSignals },
  async () => {
    const { signal, said } = await runChild(
      `m.configure({ signals: true });
     m.namedTemporaryFileSync().closeSync();
     process.kill(process.pid, "SIGTERM");
     const begin = Date.now();
     while (Date.now() - begin < 200);
     setTimeout(() => { say("lived on"); process.exit(); }, 3000);`,
    );
    assert.deepEqual([signal, said], ["SIGTERM", []]);
  },
);

test("C252 a signal while files and directories are being created leaves none of them", {
  skip: noSignals,
}, async () => {
  const create = `m.configure({ signals: true });
    const kept = [];
    const create = async () => kept.push(await m.namedTemporaryFile(), await m.temporaryDirectory());`;
  for (const delay of [0, 3, 10, 20]) {
    assert.equal(await killedWhileCreating(create + MANY_AT_ONCE, delay), 0);
  }
});

test(
  "C252 control: a signal while files are created that are registered only afterwards leaves some of them",
  {
    skip: noSignals,
  },
  async () => {
    const create = `
    const made = new Set();
    process.once("SIGTERM", () => {
      for (const path of made) fs.unlinkSync(path);
      process.kill(process.pid, "SIGTERM");
    });
    const create = async () => {
      const path = m.tmpdir() + "/" + Math.random().toString(36).slice(2);
      await (await fs.promises.open(path, "wx")).close();
      made.add(path);
    };`;
    let left = 0;
    for (let tries = 0; left === 0 && tries < 10; tries++) {
      left = await killedWhileCreating(create + MANY_AT_ONCE, tries);
    }
    assert.ok(left > 0);
  },
);

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
    // Opening a FIFO waits for the other end: every thread is blocked until then, without using the processor.
    const busy = `
      const { spawn } = await import("node:child_process");
      spawn("sh", ["-c", 'sleep 3; : > "$0"', args[0]], { stdio: "ignore" });
      for (let i = 0; i < 4; i++) fs.open(args[0], "r", () => {});`;
    await runChild(endWhilePoolCreates(busy), { env, args: [fifo] });
    const left = place.names().length;
    const { said } = await runChild(`say((await m.sweep()).removed.length);`, { env });
    assert.deepEqual([left, said, place.names()], [10, [10], []]);
  },
);

test("C251 an error that a listener handles, of any kind and added before or after ours, ends and removes nothing", async () => {
  const adds = [
    `process.on("uncaughtException", () => say("handled"));`,
    `process.on("unhandledRejection", () => say("handled"));`,
    `process.setUncaughtExceptionCaptureCallback(() => say("handled"));`,
  ];
  const errors = [
    `setTimeout(() => { throw new Error("thrown"); }, 5);`,
    `setTimeout(() => Promise.reject(new Error("rejected")), 5);`,
    `setTimeout(() => { throw new Error("thrown"); }, 5);`,
  ];
  const check = `setTimeout(() => say(made.slice(0, 4).every(({ path }) => fs.existsSync(path))), 100);`;
  for (const [i, add] of adds.entries()) {
    for (const before of [true, false]) {
      using place = scratch();
      const code = (before ? add + MAKE : MAKE + add) + errors[i] + check;
      const options: ChildOptions = { bare: true, args: ["with"], env: { TMPDIR: place.path } };
      const { status, said } = await runChild(code, options);
      assert.deepEqual(said, [NAMES, "handled", true]);
      assert.equal(status, 0);
      assert.deepEqual(place.names(), []);
    }
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
  "C249 with a non-extensible globalThis, usage() and the removal at exit still work (skipped on Deno, which extends it itself)",
  {
    skip: isDeno,
  },
  async () => {
    using place = scratch();
    const code = `Object.preventExtensions(globalThis);
    const m = await import(moduleUrl);
    const made = [m.namedTemporaryFileSync(), await m.temporaryDirectory()];
    const { files, directories } = await m.usage();
    say([files.length, directories.length]);`;
    const { status, said, stderr } = await runChild(code, { bare: true, env: { TMPDIR: place.path } });
    assert.deepEqual({ status, said }, { status: 0, said: [[1, 1]] }, stderr);
    assert.deepEqual(place.names(), []);
  },
);

/** Creates two copies of the built module, as in two packages that bundle it. */
function twoCopies(): Scratch & { urls: string[] } {
  const place = scratch();
  const urls = ["one", "other"].map((name) => {
    cpSync(join(root, "dist"), join(place.path, name), { recursive: true });
    return pathToFileURL(join(place.path, name, "mod.js")).href;
  });
  return { ...place, urls };
}

const COPIES = `${NAMES_THERE}
const [one, other] = await Promise.all(args.slice(0, 2).map((url) => import(url)));
say(one.namedTemporaryFileSync !== other.namedTemporaryFileSync);
`;

/** Runs code that makes `count` entries with two copies, `one` and `other`, and asserts that SIGTERM removes all. */
async function assertTerminated(code: string, count: number): Promise<void> {
  using copies = twoCopies();
  using place = scratch();
  const { child, result } = startChild(`${COPIES} ${code} say(names(one).length); ${WAIT}`, {
    bare: true,
    args: copies.urls,
    env: { TMPDIR: place.path },
  });
  send("SIGTERM")(child);
  const { signal, said } = await result;
  assert.deepEqual({ signal, said }, { signal: "SIGTERM", said: [true, count, "ready"] });
  assert.deepEqual(place.names(), []);
}

test("C250 C251 with two copies of the module, a signal removes the files of both and ends the process", {
  skip: noSignals,
}, async () => {
  const code = `one.configure({ signals: true }); other.configure({ signals: true });
    globalThis.made = [one.namedTemporaryFileSync(), other.namedTemporaryFileSync(), one.temporaryDirectorySync(), other.temporaryDirectorySync()];`;
  await assertTerminated(code, 4);
});

test(
  "C250 C251 with two copies of the module, signals are handled if only the one that listens second was asked to",
  { skip: noSignals },
  async () => {
    const code = `other.configure({ signals: true });
      globalThis.made = [one.namedTemporaryFileSync(), other.namedTemporaryFileSync(), one.temporaryDirectorySync()];`;
    await assertTerminated(code, 3);
  },
);

test(
  "C250 C251 with two copies and two registries, as in two node:vm contexts, a signal removes the files of both and ends the process",
  { skip: noSignals },
  async () => {
    const code = `globalThis.made = [one, other].map((copy) => {
        copy.configure({ signals: true });
        const made = [copy.namedTemporaryFileSync(), copy.temporaryDirectorySync()];
        delete globalThis[Symbol.for("mayfly.registry")];
        return made;
      });`;
    await assertTerminated(code, 4);
  },
);

test("C249 with two copies of the module, the files of both are removed at exit, even if one copy has none left", async () => {
  using copies = twoCopies();
  using place = scratch();
  const code = `${COPIES}
    const [a, b] = [one.namedTemporaryFileSync(), other.namedTemporaryFileSync()];
    a.closeSync();
    await new Promise((resolve) => setTimeout(resolve, 400));
    say([a, b].map(({ path }) => fs.existsSync(path)));
    process.exit(4);`;
  const { status, said } = await runChild(code, {
    bare: true,
    args: copies.urls,
    env: { TMPDIR: place.path },
  });
  assert.deepEqual({ status, said }, { status: 4, said: [true, [false, true]] });
  assert.deepEqual(place.names(), []);
});

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

/**
 * Ends a worker thread in some way. Returns the number of names before and after its end, among them one of the main thread's,
 * whether the process itself removed the rest, and what is left in the end.
 */
async function workerEnding(
  code: string,
): Promise<{ had: number; left: number; own: boolean; atEnd: string[]; stderr: string }> {
  using place = scratch();
  const program = `${NAMES_THERE}
    const { isMainThread, parentPort, Worker } = await import("node:worker_threads");
    if (isMainThread) {
      globalThis.kept = m.namedTemporaryFileSync();
      const worker = new Worker(new URL(import.meta.url));
      worker.on("error", () => {});
      worker.on("message", (had) => { say(had); if (args[0] === "terminate") worker.terminate(); });
      await new Promise((resolve) => worker.on("exit", resolve));
      say(names(m).length);
    } else {
      globalThis.made = [m.namedTemporaryFileSync(), await m.namedTemporaryFile(), m.temporaryDirectorySync(), m.temporaryFileSync()];
      fs.writeFileSync(made[2].join("file"), "x");
      parentPort.postMessage(names(m).length);
      ${code}
    }`;
  const args = code === TERMINATE ? ["terminate"] : [];
  const { said: [had, left], stderr } = await runChild(program, { args, env: { TMPDIR: place.path } });
  const own = place.names().length === 0;
  // At its end a process spends little time on what its threads left.
  if (code === TERMINATE) await runChild(`await m.sweep();`, { env: { TMPDIR: place.path } });
  return { had, left, own, atEnd: place.names(), stderr };
}

/** The number of names then. On Windows unnamed files have a name until they are closed. */
const IN_WORKER = isWindows ? 5 : 4;

const TERMINATE = `setInterval(() => {}, 1000);`;

test(
  "C258 a worker thread that returns, throws or calls process.exit() removes its own files and not the main thread's",
  {
    skip: namesLinger,
  },
  async () => {
    const endings = [
      ``,
      `setTimeout(() => { throw new Error("thrown"); }, 20);`,
      `setTimeout(() => process.exit(0), 20);`,
    ];
    for (const ending of endings) {
      const { had, left, atEnd, stderr } = await workerEnding(ending);
      assert.deepEqual({ ending, had, left, atEnd }, { ending, had: IN_WORKER, left: 1, atEnd: [] }, stderr);
    }
  },
);

test(
  "C254 C258 what a worker thread creates while the process exits is removed by the next process, as its lease stays",
  {
    skip: namesLinger,
  },
  async () => {
    using place = scratch();
    const code = `
    const { isMainThread, parentPort, Worker, workerData } = await import("node:worker_threads");
    if (isMainThread) {
      const cell = new Int32Array(new SharedArrayBuffer(8));
      globalThis.held = m.namedTemporaryFileSync();
      const worker = new Worker(new URL(import.meta.url), { workerData: cell });
      await new Promise((resolve) => worker.once("message", resolve));
      // Called after the removal: it was added later.
      const late = () => {
        Atomics.store(cell, 0, 1);
        Atomics.notify(cell, 0);
        Atomics.wait(cell, 1, 0, 10_000);
        say(fs.readdirSync(m.tmpdir()).filter((name) => !name.startsWith(".")).length);
      };
      if ("Deno" in globalThis) addEventListener("unload", late);
      else process.on("exit", late);
      process.exit(0);
    } else {
      m.namedTemporaryFileSync();
      parentPort.postMessage("ready");
      await new Promise((resolve) => setTimeout(resolve, 20));
      Atomics.wait(workerData, 0, 0);
      m.namedTemporaryFileSync();
      Atomics.store(workerData, 1, 1);
      Atomics.notify(workerData, 1);
      Atomics.wait(workerData, 0, 1);
    }`;
    const { said, status, stderr } = await runChild(code, { env: { TMPDIR: place.path } });
    assert.deepEqual({ said, status }, { said: [1], status: 0 }, stderr);
    assert.equal(place.names().length, 1);
    await runChild("await m.sweep();", { env: { TMPDIR: place.path } });
    assert.deepEqual(place.names(), []);
  },
);

test("C258 the files of a terminated worker thread stay until process exit removes them, or at the latest the next process", async () => {
  let alone = false;
  // On a busy machine the process may not have the time, but not every time.
  for (let tries = 0; tries < 3 && !alone; tries++) {
    const { had, left, own, atEnd } = await workerEnding(TERMINATE);
    assert.deepEqual({ had, left, atEnd }, { had: IN_WORKER, left: IN_WORKER, atEnd: [] });
    alone = own;
  }
  assert.ok(alone);
});

/** `count()` reports the number of the library's listeners. */
const COUNT = `${LISTENERS}
const at = listeners();
const count = () => say(listeners() - at);
`;

test("C261 listeners exist only while named files or directories do, not after import or for unnamed files", async () => {
  const code = `${COUNT}
    const m = await import(moduleUrl);
    count();
    const unnamed = m.temporaryFileSync();
    count();
    const named = m.namedTemporaryFileSync();
    count();
    const directory = await m.temporaryDirectory();
    count();
    named.closeSync();
    unnamed.closeSync();
    await new Promise((resolve) => setTimeout(resolve, 400));
    count();
    await directory.remove();
    for (let waits = 0; listeners() !== at && waits < 100; waits++) await new Promise((resolve) => setTimeout(resolve, 20));
    count();
    const again = m.namedTemporaryFileSync();
    count();
    again.keep();
    for (let waits = 0; listeners() !== at && waits < 100; waits++) await new Promise((resolve) => setTimeout(resolve, 20));
    count();
    fs.unlinkSync(again.path);`;
  const { said: [imported, unnamed, ...rest], stderr } = await runChild(code, { bare: true });
  const some = rest[0];
  assert.ok(some >= 3);
  // On Windows unnamed files have a name until they are closed.
  assert.deepEqual([imported, unnamed], [0, isWindows ? some : 0], stderr);
  assert.deepEqual(rest, [some, some, some, 0, some, 0]);
});

test("C261 the process is listened to while files follow one another or one is held, and until a moment after", async () => {
  using place = scratch();
  let clock = 0, listening = 0, begun = 0;
  const timers = new Set<{ due: number; call: () => void }>();
  const library = loadLibrary({
    ...runtime,
    later(milliseconds, call) {
      const timer = { due: clock + milliseconds, call };
      timers.add(timer);
      return () => void timers.delete(timer);
    },
    signals: { ...runtime.signals, names: () => [] },
    onEnd() {
      listening++;
      begun++;
      return () => void listening--;
    },
  });
  library.configure({ tmpdir: place.path, signals: true, reclaim: false });
  const advance = async (milliseconds: number): Promise<number> => {
    for (const end = clock + milliseconds; clock < end;) {
      clock += 10;
      for (const timer of [...timers].filter(({ due }) => due <= clock)) {
        timers.delete(timer);
        timer.call();
        await runtime.nextTurn();
      }
    }
    return listening;
  };
  library.namedTemporaryFileSync().closeSync();
  await advance(200);
  library.namedTemporaryFileSync().closeSync();
  assert.deepEqual([await advance(100), await advance(500)], [1, 0]);
  library.namedTemporaryFileSync().closeSync();
  const held = library.namedTemporaryFileSync();
  assert.equal(await advance(2000), 1);
  held.closeSync();
  assert.deepEqual([await advance(1000), begun], [0, 2]);
});

test("C261 C251 two copies of the module share one set of listeners for as long as either needs it", async () => {
  using copies = twoCopies();
  const code = `${COUNT} ${COPIES}
    const wait = async (most) => { for (let waits = 0; listeners() !== at && waits < most; waits++) await new Promise((resolve) => setTimeout(resolve, 20)); };
    const a = one.namedTemporaryFileSync();
    count();
    const b = other.namedTemporaryFileSync();
    count();
    a.closeSync();
    await wait(25);
    count();
    b.closeSync();
    await wait(500);
    count();`;
  const { said: [, first, ...rest], stderr } = await runChild(code, { bare: true, args: copies.urls });
  assert.ok(first >= 3, stderr);
  assert.deepEqual(rest, [first, first, 0]);
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
