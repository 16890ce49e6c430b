import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import * as source from "../../mod.ts";
import { startReaper } from "../../lib/life/reaper.ts";
import { runtime } from "../../lib/runtime/mod.ts";
import { runChild, startChild } from "../support/child.ts";
import { packageTest as test } from "../support/once.ts";
import { noMounts } from "../support/places.ts";
import { noLinux, noReaper, notRoot } from "../support/platform.ts";
import { type Scratch, scratch } from "../support/scratch.ts";
import { heldLease, substitute } from "../support/substitute.ts";
import { warningsOf } from "../support/warnings.ts";

const leasesIn = (place: Scratch): string[] => readdirSync(join(place.path, `.mayfly-${process.getuid!()}`));

/** Waits until a condition holds, for half a minute at most: the machine may be busy. Returns the milliseconds that it took. */
async function until(holds: () => boolean): Promise<number> {
  const start = performance.now();
  for (let waits = 0; !holds(); waits++) {
    assert.ok(waits < 3000, "the condition never held");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return Math.round(performance.now() - start);
}

const STAY = `say("ready"); setInterval(() => {}, 1000);`;

/** Runs a child until it reports that it is ready, and kills it. */
async function killWhenReady(code: string, env: { [name: string]: string }): Promise<string> {
  const { child, result } = startChild(code + STAY, { env });
  let output = "";
  child.stdout!.on("data", (text) => {
    output += text;
    if (output.includes('"ready"')) child.kill("SIGKILL");
  });
  const { signal, stderr } = await result;
  assert.equal(signal, "SIGKILL", stderr);
  return stderr;
}

const REAPER = `m.configure({ reaper: true });`;

test(
  "C254 C264 after SIGKILL, a reaper removes all leftovers, but nothing that was kept, has a similar name or is a link",
  { skip: noReaper },
  async () => {
    using outer = scratch();
    const home = join(outer.path, `-it's "a" $(touch x) \`y\` *[a-z]? \\ dir`);
    mkdirSync(home, { mode: 0o700 });
    const code = `${REAPER}
    const prefixes = ["plain-", ".hidden-", "-rf ", "it's $HOME \`x\` [a-z]", "%s-"];
    globalThis.held = prefixes.flatMap((prefix) => [
      m.namedTemporaryFileSync({ prefix, suffix: " [x]" }), m.temporaryDirectorySync({ prefix }),
    ]);
    for (const directory of held.filter((one) => "removeSync" in one)) {
      fs.mkdirSync(directory.join("deep", "er"), { recursive: true });
      fs.writeFileSync(directory.join("deep", "er", "file"), "x");
      fs.symlinkSync(process.env.OUTSIDE, directory.join("link"));
    }
    const kept = [m.namedTemporaryFileSync({ prefix: "kept-" }), m.temporaryDirectorySync({ prefix: "kept-" })];
    kept.forEach((one) => one.keep());
    const { path: file } = held[0], { path: directory } = held[1];
    // Names similar to ours: longer and shorter ones.
    for (const neighbour of [file + "-journal", file.slice(0, -1), directory + ".lock", directory.slice(0, -1)]) {
      fs.writeFileSync(neighbour, "x");
    }
    fs.symlinkSync(process.env.OUTSIDE, held[2].path + "x");
    fs.unlinkSync(held[2].path);
    fs.symlinkSync(process.env.OUTSIDE, held[2].path);`;
    using outside = scratch();
    writeFileSync(join(outside.path, "precious"), "x");
    const stderr = await killWhenReady(code, { TMPDIR: home, OUTSIDE: outside.path });
    assert.equal(stderr, "");
    const leases = (): string[] => readdirSync(join(home, `.mayfly-${process.getuid!()}`));
    const milliseconds = await until(() => leases().length === 0);
    console.log(`all was gone ${milliseconds} ms after the death was seen`);
    const left = readdirSync(home).filter((name) => !name.startsWith(".mayfly-"));
    assert.equal(left.filter((name) => name.startsWith("kept-")).length, 2);
    // Four neighbours and two links, one of them in place of a file of ours.
    assert.equal(left.filter((name) => !name.startsWith("kept-")).length, 6, left.join("\n"));
    assert.deepEqual(outside.list(), ["precious"]);
    assert.deepEqual(outer.list().length, 1);
  },
);

test("C254 a reaper removes files and directories within a second of the death of their process", {
  skip: noReaper,
}, async () => {
  let milliseconds = Infinity;
  // On a busy machine others may have the processor, but not every time.
  for (let tries = 0; tries < 5 && milliseconds > 1000; tries++) {
    using place = scratch();
    const code =
      `${REAPER} globalThis.held = [m.namedTemporaryFileSync(), m.temporaryDirectorySync(), m.temporaryDirectorySync()];
      fs.writeFileSync(held[1].join("file"), "x");`;
    assert.equal(await killWhenReady(code, { TMPDIR: place.path }), "");
    milliseconds = await until(() => place.names().length === 0);
  }
  assert.ok(milliseconds <= 1000, `${milliseconds} ms`);
});

test("C254 control: without a reaper, named files and directories remain after SIGKILL", async () => {
  using place = scratch();
  await killWhenReady(`globalThis.held = [m.namedTemporaryFileSync(), m.temporaryDirectorySync()];`, {
    TMPDIR: place.path,
  });
  // Longer than a reaper would take.
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.equal(place.names().length, 2);
});

test("C254 C255 a reaper survives a signal to the whole process group, and acts after abort() as well", {
  skip: noLinux && "needs setsid(1)",
}, async () => {
  const ends = [`process.abort();`, `process.kill(-process.pid, "SIGKILL");`];
  for (const end of ends) {
    using place = scratch();
    const code = `${REAPER} globalThis.held = [m.namedTemporaryFileSync(), m.temporaryDirectorySync()];
      say(true); setTimeout(() => { ${end} }, 50);`;
    // In a process group of its own, and without a core dump.
    const { said, signal } = await runChild(code, {
      env: { TMPDIR: place.path },
      under: ["setsid", "--wait", "sh", "-c", 'ulimit -c 0; exec "$@"', "sh"],
    });
    assert.deepEqual(said, [true], `${end} ${signal}`);
    await until(() => place.names().length === 0 && leasesIn(place).length === 0);
  }
});

/** \`children()\`: the child processes of this one, zombies included. */
const CHILDREN = `
const children = () => fs.readdirSync("/proc").filter((name) => /^\\d+$/.test(name)).filter((pid) => {
  try { return fs.readFileSync("/proc/" + pid + "/stat", "latin1").split(") ")[1].split(" ")[1] === String(process.pid); }
  catch { return false; }
});
const until = async (holds) => {
  for (let waits = 0; !holds() && waits < 1500; waits++) await new Promise((resolve) => setTimeout(resolve, 20));
  return holds();
};`;

test(
  "C254 a reaper runs only while named entries exist, leaves no zombie, and does not change how the process ends",
  {
    skip: noLinux,
  },
  async () => {
    using place = scratch();
    const code = `${CHILDREN}
    m.configure({ reaper: false });
    m.namedTemporaryFileSync()[Symbol.dispose]();
    say(children().length);
    await until(() => fs.readdirSync(path.join(m.tmpdir(), ".mayfly-" + process.getuid())).length === 0);
    ${REAPER}
    const file = m.namedTemporaryFileSync();
    say(await until(() => children().length === 1));
    file.closeSync();
    say(await until(() => children().length === 0));
    globalThis.held = m.namedTemporaryFileSync();
    say(await until(() => children().length === 1));
    say(children()[0]);`;
    const { said: [off, started, ended, again, pid], status, stdout, stderr } = await runChild(code, {
      env: { TMPDIR: place.path },
    });
    assert.deepEqual({ off, started, ended, again }, { off: 0, started: true, ended: true, again: true });
    assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: "", stderr: "" });
    await until(() =>
      !existsSync(`/proc/${pid}`) || readFileSync(`/proc/${pid}/stat`, "latin1").includes(") Z")
    );
    assert.deepEqual(place.names(), []);
  },
);

test(
  "C254 a reaper removes nothing while a process still has the lease open",
  { skip: noLinux, onOneNode: true },
  async () => {
    using place = scratch();
    using _ = heldLease();
    const session = "abcdefgh", random = "abcdefghijkmn";
    const lease = join(place.path, "lease"), file = join(place.path, `tmp${session}${random}`);
    writeFileSync(file, "x");
    writeFileSync(lease, `mayfly 1\nmade ${place.path}/tmp*\n`);
    for (const isOpen of [true, false]) {
      const handle = isOpen ? runtime.sync.openFile(lease, "read") : undefined;
      startReaper(lease, session)();
      if (handle === undefined) {
        await until(() => !existsSync(lease));
        assert.equal(existsSync(file), false);
      } else {
        // As long as the next reaper, which removes them, takes at most.
        await new Promise((resolve) => setTimeout(resolve, 500));
        assert.deepEqual([existsSync(lease), existsSync(file)], [true, true]);
        runtime.sync.close(handle);
      }
    }
  },
);

test(
  "C254 a reaper does not enter mounted file systems, and leaves everything to the next process if there is one",
  {
    skip: noMounts,
    inAll: true,
  },
  async () => {
    using place = scratch();
    // The mount is visible to the child, to its reaper, and to the commands after them in the same namespace.
    const code = `${REAPER}
    const { spawnSync } = await import("node:child_process");
    const directory = m.temporaryDirectorySync();
    globalThis.held = [directory];
    fs.mkdirSync(directory.join("mounted"));
    fs.writeFileSync(directory.join("file"), "x");
    spawnSync("mount", ["-t", "tmpfs", "none", directory.join("mounted")]);
    fs.writeFileSync(directory.join("mounted", "precious"), "x");
    process.kill(process.pid, "SIGKILL");`;
    const listing = `"$@"; sleep 1; ls "$TMPDIR"/tmp*/ "$TMPDIR"/tmp*/mounted`;
    const { stdout } = await runChild(code, {
      env: { TMPDIR: place.path },
      under: ["unshare", "-m", "sh", "-c", listing, "sh"],
    });
    const lines = stdout.split("\n").filter((line) => /^\w+$/.test(line));
    assert.deepEqual(lines, ["file", "mounted", "precious"]);
    // The mount has gone with its namespace, so the next process removes the rest.
    await runChild(`await m.sweep();`, { env: { TMPDIR: place.path } });
    assert.deepEqual(place.names(), []);
  },
);

test("C254 a reaper that cannot be started causes one warning with the reason, and everything else works", {
  skip: noReaper,
}, async () => {
  const reasons: string[] = [];
  const stop = runtime.startWatcher("/nonexistent/sh", [], ({ message }) => reasons.push(message));
  await until(() => reasons.length > 0);
  stop();
  assert.match(reasons[0], /ENOENT|no such file|not found/i);
  const startWatcher: typeof runtime.startWatcher = (_command, _args, onFailure) => {
    onFailure(new Error("there is no shell"));
    return () => {};
  };
  // A copy of the module: there is only one such warning.
  const module = "../../lib/life/reaper.ts";
  const { startReaper } = await import(`${module}?copy`) as typeof import("../../lib/life/reaper.ts");
  using changed = substitute({ runtime: { startWatcher } });
  source.configure({ reaper: true });
  using place = scratch();
  const warnings = await warningsOf(() => {
    for (let i = 0; i < 3; i++) startReaper(join(place.path, "lease"), "abcdefgh")();
  });
  source.configure({ reaper: false });
  assert.deepEqual(warnings.map(({ code, message }) => [code, message]), [[
    "MAYFLY_NO_REAPER",
    "The reaper cannot be started: there is no shell. If this process is killed, its leftovers wait for the next one",
  ]]);
  assert.deepEqual(changed.calls, []);
  const { startReaper: startOnWindows } = await import(
    `${module}?windows`
  ) as typeof import("../../lib/life/reaper.ts");
  using _ = substitute({
    runtime: { platform: "windows", startWatcher: () => assert.fail("it was started") },
  });
  const [{ message }] = await warningsOf(() => startOnWindows(join(place.path, "lease"), "abcdefgh")());
  assert.match(message, /: not on Windows\./);
});

/** Runs the reaper's script for a lease, after the end of its process. What the shell does depends on no runtime. */
function reap(lease: string, session: string, change = (script: string): string => script): number | null {
  let started: string[] = [];
  using _ = substitute({
    runtime: { startWatcher: (_command, args) => (started = args, () => {}) },
  });
  startReaper(lease, session);
  const [option, script, ...rest] = started;
  return spawnSync("/bin/sh", [option, change(script), ...rest], { input: "" }).status;
}

test(
  "C254 C259 a reaper leaves what another process has adopted, and a directory in which it has adopted something, to the next process",
  { skip: noReaper, inAll: true },
  () => {
    using place = scratch();
    const session = "abcdefgh", lease = join(place.path, "a.lease");
    const [file, empty, around, taken] = ["jkmn", "jkmp", "jkmq", "jkmr"].map((end) =>
      join(place.path, `tmp${session}abcdefghi${end}`)
    );
    const inside = join(around, basename(taken));
    for (const path of [empty, around]) mkdirSync(path);
    for (const path of [file, taken, inside]) writeFileSync(path, "");
    writeFileSync(lease, `mayfly 1\nmade ${place.path}/tmp*\n`);
    writeFileSync(join(place.path, "b.lease"), `mayfly 1\nadopted ${taken}\nadopted ${inside}\n`);
    assert.equal(reap(lease, session), 0);
    const there = [file, empty, around, taken, inside, lease].map((path) => existsSync(path));
    assert.deepEqual(there, [false, false, true, true, true, true]);
  },
);

test(
  "C254 C265 a reaper leaves what belongs to another user, and what was given to one also to the next process (skipped: needs root)",
  { skip: noReaper || notRoot, inAll: true },
  () => {
    for (const given of [false, true]) {
      using place = scratch();
      const session = "abcdefgh", lease = join(place.path, "a.lease");
      const [ours, foreign] = ["jkmn", "jkmp"].map((end) => join(place.path, `tmp${session}abcdefghi${end}`));
      for (const path of [ours, foreign]) writeFileSync(path, "");
      chownSync(foreign, 12345, 12345);
      const lines = given ? `given ${basename(foreign)}\n` : "";
      writeFileSync(lease, `mayfly 1\nmade ${place.path}/tmp*\n${lines}`);
      assert.equal(reap(lease, session), 0);
      assert.deepEqual([ours, foreign, lease].map((path) => existsSync(path)), [false, true, given]);
    }
  },
);

test("C254 a reaper waits for the end of the process whatever polite signals it gets itself", {
  skip: noReaper,
  inAll: true,
}, () => {
  using place = scratch();
  const session = "abcdefgh", lease = join(place.path, "a.lease"), entry = `tmp${session}abcdefghijkmn`;
  writeFileSync(join(place.path, entry), "");
  writeFileSync(lease, `mayfly 1\nmade ${place.path}/tmp*\n`);
  const signalled = (script: string): string =>
    script.replace("read -r _", (read) => `for signal in INT TERM HUP; do kill -$signal $$; done\n${read}`);
  assert.equal(reap(lease, session, signalled), 0);
  assert.deepEqual(place.names(), []);
});

test(
  "C254 a reaper leaves a directory for temporary files with leases in it to the next process",
  { skip: noReaper, inAll: true },
  () => {
    using place = scratch();
    const session = "abcdefgh", lease = join(place.path, "a.lease");
    const [used, ended] = ["jkmn", "jkmp"].map((end) => join(place.path, `tmp${session}abcdefghi${end}`));
    for (const path of [used, ended]) mkdirSync(join(path, ".mayfly-0"), { recursive: true });
    writeFileSync(join(used, ".mayfly-0", "b.lease"), "");
    writeFileSync(lease, `mayfly 1\nmade ${place.path}/tmp*\n`);
    assert.equal(reap(lease, session), 0);
    assert.deepEqual([used, ended, lease].map((path) => existsSync(path)), [true, false, true]);
  },
);

test(
  "C254 C259 a reaper leaves a directory in which another process makes something to the next process",
  { skip: noReaper, inAll: true },
  () => {
    using place = scratch();
    const session = "abcdefgh", lease = join(place.path, "a.lease");
    const [empty, used] = ["jkmn", "jkmp"].map((end) => join(place.path, `tmp${session}abcdefghi${end}`));
    for (const path of [empty, used]) mkdirSync(path);
    writeFileSync(lease, `mayfly 1\nmade ${place.path}/tmp*\n`);
    writeFileSync(
      join(place.path, "b.lease"),
      `mayfly 1\nmade ${place.path}/tmp*\nmade ${used}/tmp*\nkept x\n`,
    );
    assert.equal(reap(lease, session), 0);
    assert.deepEqual([empty, used, lease].map((path) => existsSync(path)), [false, true, true]);
  },
);

test(
  "C254 C259 a reaper leaves what another process had adopted, and keeps and ends while the leases are read",
  { skip: noReaper, inAll: true },
  () => {
    using place = scratch();
    const session = "abcdefgh", file = join(place.path, `tmp${session}abcdefghijkmn`);
    const lease = join(place.path, "a.lease"), adopters = join(place.path, "b.lease");
    writeFileSync(file, "");
    writeFileSync(lease, `mayfly 1\nmade ${place.path}/tmp*\n`);
    writeFileSync(adopters, `mayfly 1\nadopted ${file}\n`);
    const keeps = `[ -e '${adopters}' ] && echo "kept /${basename(file)}" >> "$1" && rm '${adopters}'`;
    const read = `done < "$lease"`;
    const status = reap(lease, session, (script) => {
      assert.ok(script.includes(read));
      return script.replace(read, `${read}; ${keeps}`);
    });
    assert.deepEqual([status, existsSync(adopters), existsSync(file)], [0, false, true]);
  },
);

test(
  "C254 C259 a reaper leaves what another process adopts and keeps, which begins and ends while the leases are read",
  { skip: noReaper, inAll: true },
  () => {
    using place = scratch();
    const session = "abcdefgh", file = join(place.path, `tmp${session}abcdefghijkmn`);
    const lease = join(place.path, "a.lease"), adopters = join(place.path, "b.lease");
    writeFileSync(file, "");
    writeFileSync(lease, `mayfly 1\nmade ${place.path}/tmp*\n`);
    const adopts = `[ $pass = 1 ] && echo 'adopted ${file}' > '${adopters}'`;
    const keeps = `[ $pass = 2 ] && [ -e '${adopters}' ] && echo "kept /${
      basename(file)
    }" >> "$1" && rm '${adopters}'`;
    const read = `done < "$lease"`;
    const status = reap(lease, session, (script) => {
      assert.ok(script.includes(read));
      return script.replace(read, `${read}; ${adopts}; ${keeps}`);
    });
    assert.deepEqual([status, existsSync(adopters), existsSync(file)], [0, false, true]);
  },
);

test(
  "C254 C259 a reaper leaves a directory in which something was adopted and is handed on while the leases are read",
  { skip: noReaper, inAll: true },
  () => {
    using place = scratch();
    const session = "abcdefgh",
      [around, empty] = ["jkmn", "jkmp"].map((end) => join(place.path, `tmp${session}abcdefghi${end}`));
    const file = join(around, `tmp${session}abcdefghijkmq`);
    const [lease, next, adopters] = ["a", "b", "c"].map((name) => join(place.path, `${name}.lease`));
    for (const path of [around, empty]) mkdirSync(path);
    writeFileSync(file, "");
    writeFileSync(lease, `mayfly 1\nmade ${place.path}/tmp*\n`);
    writeFileSync(next, "mayfly 1\n");
    writeFileSync(adopters, `mayfly 1\nadopted ${file}\n`);
    const handsOn =
      `[ "$lease" = '${next}' ] && rm '${adopters}' && echo 'adopted ${file}' >> "$lease" && echo 'kept /${
        basename(file)
      }' >> "$1"`;
    const read = `done < "$lease"`;
    const status = reap(lease, session, (script) => {
      assert.ok(script.includes(read));
      return script.replace(read, `${read}; ${handsOn}`);
    });
    assert.deepEqual([status, existsSync(adopters), existsSync(empty)], [0, false, false]);
    assert.ok(existsSync(file));
  },
);

test(
  "C254 a reaper removes nothing unless /proc or mount(8), called by its absolute path, lists the mounts (POSIX)",
  {
    skip: noReaper,
    inAll: true,
  },
  () => {
    for (const [program, removes] of [["missing", false], ["fails", false], ["tells", true]] as const) {
      using place = scratch();
      const session = "abcdefgh", file = join(place.path, `tmp${session}abcdefghijkmn`);
      const lease = join(place.path, "lease"), mount = join(place.path, program);
      writeFileSync(file, "x");
      writeFileSync(lease, `mayfly 1\nmade ${place.path}/tmp*\n`);
      writeFileSync(join(place.path, "fails"), "#!/bin/sh\nexit 1\n", { mode: 0o700 });
      writeFileSync(join(place.path, "tells"), "#!/bin/sh\necho '/dev/disk3s1s1 on / (apfs, sealed)'\n", {
        mode: 0o700,
      });
      const status = reap(
        lease,
        session,
        (script) =>
          script.replace("/proc/self/mounts", join(place.path, "none")).replace("/sbin/mount", `'${mount}'`),
      );
      assert.deepEqual([status, existsSync(file), existsSync(lease)], [0, !removes, !removes], program);
    }
  },
);

test("C254 no reaper is started on Windows, which has no POSIX shell", () => {
  const started: string[] = [];
  using _ = substitute({
    runtime: { platform: "windows", warn() {}, startWatcher: (command) => (started.push(command), () => {}) },
  });
  startReaper("C:\\lease", "abcdefgh")();
  assert.deepEqual(started, []);
});

test(
  "C254 a reaper without permission to run programs causes a warning, and no permission prompt",
  {
    skip: process.versions.bun !== undefined && "Bun has no such permissions",
  },
  async () => {
    using place = scratch();
    const code = `process.on("warning", ({ code }) => code.startsWith("MAYFLY") && say(code));
    ${REAPER}
    const file = m.namedTemporaryFileSync();
    file.writeSync("x");
    say(file.textSync());
    file.closeSync();
    await new Promise((resolve) => setTimeout(resolve, 20));`;
    const flags = process.versions.deno !== undefined
      ? ["--allow-read", `--allow-write=${place.path}`, "--allow-env", "--allow-sys"]
      : [
        Number(process.versions.node.split(".")[0]) < 23 ? "--experimental-permission" : "--permission",
        "--allow-fs-read=*",
        `--allow-fs-write=${place.path}/*`,
      ];
    const { said, status, stderr } = await runChild(code, { flags, env: { TMPDIR: place.path } });
    assert.deepEqual({ said: said.sort(), status }, { said: ["MAYFLY_NO_REAPER", "x"], status: 0 }, stderr);
  },
);
