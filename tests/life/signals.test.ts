/**
 * Signals: those that end the process remove its files and directories, others are left alone.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { temporaryDirectorySync } from "#mod";
import { watchEnds } from "../../lib/life/process_end.ts";
import type { Entry } from "../../lib/life/registry.ts";
import type { Runtime } from "../../lib/runtime/mod.ts";
import { type ChildOptions, runChild, startChild } from "../support/child.ts";
import { end, endsAs, kill, leavesNothing, MAKE, NAMES, send, WAIT, whenReady } from "../support/endings.ts";
import { packageTest as test } from "../support/once.ts";
import { isDeno, noSignals, wholeTrees } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";
import { substitute } from "../support/substitute.ts";

/** Reports each run of the removal. */
const COUNT_REMOVALS = `globalThis[Symbol.for("mayfly.registry")]?.entries.add({
  discard: () => void fs.writeSync(1, '\\u0001"removed"\\n'),
});`;

for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  test(`C250 C264 files and directories are removed on ${name}, and the process ends by that signal`, {
    skip: noSignals,
  }, async () => {
    const { left } = await endsAs({ signal: name }, { code: WAIT, act: send(name), signals: true });
    assert.deepEqual(left, []);
  });
}

test("C250 signals are handled by default, except on Deno, where the listeners of others cannot be counted", {
  skip: noSignals,
}, async () => {
  const { left } = await endsAs({ signal: "SIGTERM" }, { code: WAIT, act: send("SIGTERM") });
  assert.equal(left.length, isDeno ? NAMES : 0);
});

test(
  "C250 configure({ signals: false }) leaves signals alone: SIGTERM ends the process and removes nothing",
  { skip: noSignals },
  async () => {
    const code = `(await import(moduleUrl)).configure({ signals: false }); ${WAIT}`;
    const { left } = await endsAs({ signal: "SIGTERM" }, { code, act: send("SIGTERM"), signals: true });
    assert.equal(left.length, NAMES);
  },
);

test("C102 C255 after SIGKILL or abort(), unnamed files are gone and named files and directories remain", {
  skip: noSignals,
}, async () => {
  const options: ChildOptions = { under: ["sh", "-c", 'ulimit -c 0; exec "$@"', "sh"] };
  const { left } = await endsAs({ signal: "SIGKILL" }, { code: WAIT, act: send("SIGKILL"), options });
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
    // Each of the two is sent when the other has been handled.
    const listen = `let handled = 0;
      const handle = () => {
        say("handled");
        setTimeout(() => {
          say(made.slice(0, 4).every(({ path }) => fs.existsSync(path)));
          if (++handled === 2) process.exit(3);
          process.kill(process.pid, "SIGINT");
        }, 100);
      };
      process.on("SIGTERM", handle);
      process.once("SIGINT", handle);`;
    for (const code of [listen + MAKE + WAIT, MAKE + listen + WAIT]) {
      using place = scratch();
      const { child, result } = startChild(code, { bare: true, args: ["with"], env: { TMPDIR: place.path } });
      send("SIGTERM")(child);
      const { status, signal, said, stderr } = await result;
      const handled = ["handled", true];
      assert.deepEqual([status, signal, said], [3, null, [NAMES, "ready", ...handled, ...handled]], stderr);
      assert.deepEqual(place.names(), []);
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
    const { outcome, left } = await endsAs(
      { signal: "SIGTERM", stdout: "handled\n" },
      { code, act: send("SIGTERM"), signals: true },
    );
    assert.deepEqual([outcome.said, left], [[NAMES, "ready", "removed"], []]);
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
    const { left } = await endsAs({ signal: "SIGTERM" }, { code, act: send("SIGTERM") });
    assert.deepEqual(left, []);
  },
);

test(
  "C251 C250 a signal still ends the process beside listeners that act only when alone, as in package signal-exit",
  { skip: noSignals, onOneNode: true },
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
      const ending = { code, act: send("SIGTERM"), signals: true };
      const { left } = await endsAs({ signal: "SIGTERM", stdout: "cleaned up\n" }, ending);
      assert.deepEqual(left, []);
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
  "C250 C264 PID 1 of a container survives signals, which the system keeps from it, and keeps its files until its end (skipped without namespaces)",
  { skip: noContainer },
  async () => {
    const code = `for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) process.kill(process.pid, name);
    setTimeout(() => {
      say(made.slice(0, 4).map(({ path }) => fs.existsSync(path)));
      console.log("lived on as " + process.pid);
      process.exit(6);
    }, 300);`;
    const options: ChildOptions = { under: container };
    const ending = { code, signals: true, options };
    const { outcome, left } = await endsAs({ status: 6, stdout: "lived on as 1\n" }, ending);
    assert.deepEqual([outcome.said[1], left], [[true, true, true, true], []]);
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
     ${BLOCK}
     block(400);
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
  for (const delay of [0, 10]) {
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
