import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import {
  appendFileSync,
  chownSync,
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import * as m from "#mod";
import { sweepAll } from "../../lib/life/sweep.ts";
import { syncIo } from "../../lib/operation/io.ts";
import { runSync } from "../../lib/operation/op.ts";
import { type Locks, runtime } from "../../lib/runtime/mod.ts";
import { configure } from "../../lib/settings.ts";
import { sweep as sourceSweep } from "../../lib/sweep.ts";
import { firstOutput, runChild } from "../support/child.ts";
import { leasesIn, plant, type Planted, readLeases } from "../support/leases.ts";
import { packageTest as test } from "../support/once.ts";
import { isWindows, noFifos, noLinks, notRoot } from "../support/platform.ts";
import { noMounts } from "../support/places.ts";
import { hasPython, python3 } from "../support/python.ts";
import { NO_PROCESS, OPTIONS, watchedList, within } from "../support/reclaiming.ts";
import { type Scratch, scratch } from "../support/scratch.ts";
import { type Stub, type Substitute, substitute, systemError } from "../support/substitute.ts";

// Otherwise the background reclaim that one test starts would remove the leftovers that the next one plants.
m.configure({ reclaim: false });

const onLinux = process.platform === "linux";

/** Sweeps with a directory as the temporary directory. */
async function sweepIn(place: Scratch, options?: m.SweepOptions): Promise<m.SweepReport> {
  m.configure({ tmpdir: place.path });
  try {
    return await m.sweep(options);
  } finally {
    m.configure({ tmpdir: undefined });
  }
}

const DAY = 86_400_000;

/** Sets the times of a path, and of everything in it, to two days ago. */
function age(path: string): void {
  const then = new Date(Date.now() - 2 * DAY);
  if (!existsSync(path)) return;
  for (const name of readdirSafe(path)) age(join(path, name));
  utimesSync(path, then, then);
}

function readdirSafe(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** Options to sweep by age, with the prefix "old-". */
const AGED: m.SweepOptions = { olderThan: DAY, prefix: "old-" };

/** Creates an old file of this user. */
function oldFile(place: Scratch, name = `old-${Math.random()}`): string {
  const path = join(place.path, name);
  writeFileSync(path, "12345");
  age(path);
  return path;
}

/** Creates an old directory of this user with a file in it. */
function oldTree(place: Scratch): string {
  const path = join(place.path, `old-${Math.random()}`);
  mkdirSync(join(path, "sub"), { recursive: true });
  writeFileSync(join(path, "sub", "file"), "1234567");
  age(path);
  return path;
}

/** Returns the reasons why entries were kept, by name. */
const reasonsOf = ({ kept }: m.SweepReport): { [name: string]: string } =>
  Object.fromEntries(kept.map(({ path, reason }) => [basename(path), reason]));

test("sweep() reports what it removed with sizes, and what it kept with the reason", async () => {
  using place = scratch();
  const dead = plant(place.path), unknown = plant(place.path, { host: "elsewhere.example" });
  const file = join(place.path, dead.name()), tree = join(place.path, dead.name());
  writeFileSync(file, "123");
  mkdirSync(join(tree, "sub"), { recursive: true });
  writeFileSync(join(tree, "sub", "file"), "12345");
  const far = join(place.path, unknown.name());
  writeFileSync(far, "");
  const report = await sweepIn(place);
  assert.deepEqual(report.removed.sort((one, other) => one.bytes - other.bytes), [
    { path: file, bytes: 3 },
    { path: tree, bytes: 5 },
  ]);
  assert.deepEqual([report.bytes, report.left], [8, []]);
  assert.deepEqual(report.kept, [
    { path: far, reason: "it is unknown whether its process is running" },
  ]);
  assert.deepEqual(Object.keys(readLeases(place.path)), [basename(unknown.path)]);
});

const RUNNING = "its process is running";

/** Only on Linux can the processes that have a lease open be listed. */
const UNCERTAIN = "it is unknown whether its process is running";

test("sweep() keeps the files and directories of this process, and gives the reason", async () => {
  using place = scratch();
  m.configure({ tmpdir: place.path });
  try {
    using file = m.namedTemporaryFileSync(), directory = m.temporaryDirectorySync();
    using _inside = directory.namedTemporaryFileSync();
    const { removed, kept } = await m.sweep({ olderThan: 0, prefix: "tmp" });
    assert.deepEqual(removed, []);
    assert.deepEqual(
      kept.map(({ path }) => path).sort(),
      [file.path, directory.path].sort(),
    );
    assert.deepEqual(new Set(kept.map(({ reason }) => reason)), new Set([onLinux ? RUNNING : UNCERTAIN]));
  } finally {
    m.configure({ tmpdir: undefined });
  }
});

test(
  "sweep() reports what cannot be removed, keeps its lease and continues (skipped: needs root and mounts)",
  { skip: noMounts, onOneNode: true },
  async () => {
    using place = scratch();
    const dead = plant(place.path);
    const [stuck, free] = [join(place.path, dead.name()), join(place.path, dead.name())];
    mkdirSync(join(stuck, "inside"), { recursive: true });
    writeFileSync(free, "");
    const code = `const { removed, left } = await m.sweep(); say([removed.map(({ path }) => path), left]);`;
    const mount = `mount -t tmpfs tmpfs "$1/inside" && shift && exec "$@"`;
    const { said, stderr } = await runChild(code, {
      env: { TMPDIR: place.path },
      under: ["unshare", "-m", "sh", "-c", mount, "sh", stuck],
    });
    const [removed, left] = said[0] ?? [];
    assert.deepEqual(removed, [free], stderr);
    assert.deepEqual([left.length > 0, left.every(({ path }: { path: string }) => path.startsWith(stuck))], [
      true,
      true,
    ]);
    assert.deepEqual(Object.keys(readLeases(place.path)), [basename(dead.path)]);
    // The next sweep finishes.
    assert.deepEqual((await sweepIn(place)).removed.map(({ path }) => path), [stuck]);
    assert.deepEqual(readLeases(place.path), {});
  },
);

test("sweep({ dryRun }) returns the same report but removes nothing, not even leases", async () => {
  using place = scratch();
  const dead = plant(place.path);
  writeFileSync(join(place.path, dead.name()), "123");
  mkdirSync(join(place.path, dead.name()));
  oldFile(place);
  oldTree(place);
  const before = [place.list(), Object.keys(readLeases(place.path))];
  const seen: string[] = [];
  const dry = await sweepIn(place, { ...AGED, dryRun: true, onProgress: (path) => seen.push(path) });
  assert.deepEqual([place.list(), Object.keys(readLeases(place.path))], before);
  assert.deepEqual([dry.removed.length, dry.bytes], [4, 3 + 5 + 7]);
  assert.deepEqual(seen, dry.removed.map(({ path }) => path));
  assert.deepEqual(await sweepIn(place, AGED), dry);
  assert.deepEqual(place.names(), []);
});

test("sweep({ olderThan, prefix }) removes old entries with the prefix, and no directory with a recent change inside", async () => {
  using place = scratch();
  const file = oldFile(place), tree = oldTree(place), young = oldTree(place);
  writeFileSync(join(young, "sub", "news"), "");
  age(join(young, "sub", "file"));
  oldFile(place, "other");
  oldFile(place, "Old-x");
  writeFileSync(join(place.path, "old-new"), "");
  const report = await sweepIn(place, AGED);
  assert.deepEqual(report.removed.map(({ path }) => path).sort(), [file, tree].sort());
  assert.equal(report.bytes, 12);
  assert.deepEqual(place.names(), ["Old-x", "other", "old-new", basename(young)].sort());
  for (const name of ["old-new", basename(young)]) {
    assert.match(reasonsOf(report)[name], /^it changed \d+ seconds ago$/);
  }
});

test(
  "sweep({ olderThan, prefix }) also removes old entries of a process in another PID namespace, as before a restart of the container (Linux)",
  { skip: !onLinux },
  async () => {
    using place = scratch();
    const elsewhere = () => plant(place.path, { namespace: "pid:[1]", lines: [`made ${place.path}/old-*`] });
    const gone = elsewhere(), visible = elsewhere(), recent = elsewhere();
    const otherHost = plant(place.path, { host: "elsewhere.example", lines: [`made ${place.path}/old-*`] });
    const plantIn = ({ name }: Planted, when: (path: string) => void): string => {
      const path = join(place.path, name("old-"));
      writeFileSync(path, "12345");
      when(path);
      return path;
    };
    for (const { path } of [gone, visible, otherHost]) age(path);
    const old = plantIn(gone, age), young = plantIn(gone, () => {}), open = plantIn(gone, age);
    const ofVisible = plantIn(visible, age),
      ofRecent = plantIn(recent, age),
      ofOther = plantIn(otherHost, age);
    const kept = [old, young, open, ofVisible, ofRecent, ofOther].map((path) => ({
      path,
      reason: UNCERTAIN,
    }));
    const byPath = (one: { path: string }, other: { path: string }): number => one.path < other.path ? -1 : 1;
    const handles = [open, visible.path].map((path) => openSync(path, "r"));
    try {
      assert.deepEqual((await sweepIn(place)).kept.sort(byPath), kept.sort(byPath));
      // Another prefix decides nothing about them.
      assert.deepEqual(
        (await sweepIn(place, { olderThan: 0, prefix: "new-" })).kept.sort(byPath),
        kept.sort(byPath),
      );
      const report = await sweepIn(place, AGED);
      assert.deepEqual([report.removed, report.left], [[{ path: old, bytes: 5 }], []]);
      assert.deepEqual(
        Object.fromEntries(report.kept.map(({ path, reason }) => [path, reason.replace(/\d+/, "N")])),
        {
          [young]: "it changed N seconds ago",
          [open]: "a process has it open",
          [ofVisible]: UNCERTAIN,
          [ofRecent]: UNCERTAIN,
          [ofOther]: UNCERTAIN,
        },
      );
      assert.equal(report.kept.length, 5);
    } finally {
      handles.forEach((handle) => closeSync(handle));
    }
  },
);

test("sweep({ olderThan: 0 }) removes a file that was changed in the current millisecond", async () => {
  using place = scratch();
  const path = oldFile(place), { now } = Date, moment = now();
  // The clock has a resolution of a millisecond, file times have a finer one.
  utimesSync(path, moment / 1000, (moment + 0.7) / 1000);
  Date.now = () => moment;
  try {
    const { removed } = await sweepIn(place, { olderThan: 0, prefix: "old-" });
    assert.deepEqual(removed, [{ path, bytes: 5 }]);
  } finally {
    Date.now = now;
  }
});

test("sweep({ olderThan: 0 }) keeps a file dated in the future, as after the clock was set back, and says so", async () => {
  using place = scratch();
  const path = oldFile(place), future = Date.now() / 1000 + 3600;
  utimesSync(path, future, future);
  const { removed, kept } = await sweepIn(place, { olderThan: 0, prefix: "old-" });
  assert.deepEqual([removed, kept], [[], [{ path, reason: "its time of change is in the future" }]]);
});

test("C299 sweep() rejects, instead of reporting that nothing is left, if the user ID is unknown", {
  skip: isWindows,
}, async () => {
  using _unknown = substitute({ runtime: { uid: () => undefined } });
  await assert.rejects(sourceSweep(), {
    name: "TempfileError",
    code: "ERR_ACCESS_DENIED",
    message: "Cannot sweep: it needs --allow-sys=uid (ERR_ACCESS_DENIED)",
  });
});

test("sweep({ dir }) accepts a path, a URL or a symbolic link, and reports canonical paths", async () => {
  using place = scratch();
  using elsewhere = scratch();
  const link = join(place.path, "link");
  if (!noLinks) symlinkSync(elsewhere.path, link);
  for (const dir of [elsewhere.path, pathToFileURL(elsewhere.path), ...noLinks ? [] : [link]]) {
    const path = oldFile(elsewhere);
    assert.deepEqual((await sweepIn(place, { ...AGED, dir })).removed, [{ path, bytes: 5 }]);
  }
});

test(
  "C275 sweep() by age keeps symbolic links, whatever their target, and everything but files and directories",
  {
    skip: noFifos,
  },
  async () => {
    using place = scratch();
    using outside = scratch();
    const precious = oldFile(outside, "precious");
    symlinkSync(outside.path, join(place.path, "old-directory"));
    symlinkSync(precious, join(place.path, "old-file"));
    symlinkSync("nowhere", join(place.path, "old-dangling"));
    spawnSync("mkfifo", [join(place.path, "old-pipe")]);
    spawnSync("touch", ["-h", "-d", "3 days ago", ...place.names().map((name) => join(place.path, name))]);
    const report = await sweepIn(place, AGED);
    assert.deepEqual(report.removed, []);
    assert.deepEqual(reasonsOf(report), {
      "old-directory": "it is a symbolic link",
      "old-file": "it is a symbolic link",
      "old-dangling": "it is a symbolic link",
      "old-pipe": "it is not a file or directory",
    });
    assert.ok(existsSync(precious));
  },
);

test("sweep() by age removes a hard link to a file and leaves the other one", async () => {
  using place = scratch();
  const path = oldFile(place), other = join(place.path, "other-name");
  linkSync(path, other);
  assert.equal((await sweepIn(place, AGED)).removed.length, 1);
  assert.equal(readFileSync(other, "utf8"), "12345");
});

test(
  "sweep() by age keeps files and directories of other users (skipped: needs root)",
  { skip: notRoot },
  async () => {
    using place = scratch();
    for (const path of [oldFile(place), oldTree(place)]) chownSync(path, 12345, 12345);
    const report = await sweepIn(place, AGED);
    assert.deepEqual(report.removed, []);
    assert.deepEqual(Object.values(reasonsOf(report)), [
      "it belongs to somebody else",
      "it belongs to somebody else",
    ]);
  },
);

test(
  "T19 sweep() by age keeps what is on another device, is mounted or contains a mount (skipped: needs root and mounts)",
  { skip: noMounts, onOneNode: true },
  async () => {
    using place = scratch();
    using outside = scratch();
    writeFileSync(join(outside.path, "precious"), "");
    age(outside.path);
    const paths = ["device", "bound", "around/inside"].map((name) => join(place.path, `old-${name}`));
    for (const path of paths) mkdirSync(path, { recursive: true });
    age(join(place.path, "old-around"));
    const code = `
    fs.writeFileSync(args[0] + "/precious", "");
    const { removed, kept, left } = await m.sweep({ olderThan: 0, prefix: "old-" });
    say([args.map((path) => fs.existsSync(path + "/precious")), removed.length, kept.map(({ reason }) => reason).sort()]);`;
    const mounts =
      `mount -t tmpfs tmpfs "$1" && mount --bind "$4" "$2" && mount --bind "$4" "$3" && shift 4 && exec "$@"`;
    const { said, stderr } = await runChild(code, {
      env: { TMPDIR: place.path },
      args: paths,
      under: ["unshare", "-m", "sh", "-c", mounts, "sh", ...paths, outside.path],
    });
    assert.deepEqual(said[0], [[true, true, true], 0, [
      "it is on another device",
      "something is mounted there",
    ]], stderr);
  },
);

/** Starts a program that uses a path until its input ends; returns how to end it. */
async function startUser(command: string, ...args: string[]): Promise<() => Promise<unknown>> {
  const child: ChildProcess = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
  await firstOutput(child);
  const end = new Promise((resolve) => child.on("close", resolve));
  return () => (child.stdin!.end(), end);
}

const HOLD = "echo ready; cat";

/** Holds an fcntl lock, and no flock. */
const PYTHON = `
import fcntl, sys
file = open(sys.argv[1], "r+")
fcntl.lockf(file, fcntl.LOCK_EX)
print("ready", flush=True)
sys.stdin.read()
`;

test(
  "C267 sweep() by age keeps what is or contains something locked by flock or fcntl (skipped except on Linux with flock and Python)",
  {
    skip: !onLinux || !hasPython || spawnSync("flock", ["-V"]).status !== 0,
    onOneNode: true,
  },
  async () => {
    using place = scratch();
    const [file, shared, directory, byPython, tree] = [
      oldFile(place),
      oldFile(place),
      oldTree(place),
      oldFile(place),
      oldTree(place),
    ];
    const ends = await Promise.all([
      startUser("flock", file, "sh", "-c", HOLD),
      startUser("flock", "-s", shared, "sh", "-c", HOLD),
      startUser("flock", "-s", directory, "sh", "-c", HOLD),
      startUser(python3, "-c", PYTHON, byPython),
      startUser(python3, "-c", PYTHON, join(tree, "sub", "file")),
    ]);
    const report = await sweepIn(place, AGED);
    assert.deepEqual(report.removed, []);
    for (const path of [file, shared, directory, byPython, tree]) {
      assert.match(reasonsOf(report)[basename(path)], /^(it is locked|a process has it open)$/, path);
    }
    await Promise.all(ends.map((end) => end()));
    assert.equal((await sweepIn(place, AGED)).removed.length, 5);
  },
);

test(
  "C267 sweep() by age keeps what is or contains something locked by fcntl, also by a process that cannot be seen to have it open (skipped except on Linux with Python)",
  { skip: !onLinux || !hasPython, onOneNode: true },
  async () => {
    using place = scratch();
    const [file, tree, free] = [oldFile(place), oldTree(place), oldFile(place)];
    const ends = await Promise.all(
      [file, join(tree, "sub", "file")].map((path) => startUser(python3, "-c", PYTHON, path)),
    );
    const list: Stub = (real, path: string) => path === "/proc" ? NO_PROCESS : real(path);
    using _ = substitute({ primitives: { list } });
    const report = await sourceSweep({ ...AGED, dir: place.path });
    await Promise.all(ends.map((end) => end()));
    assert.deepEqual(report.removed.map(({ path }) => path), [free]);
    assert.deepEqual(new Set(Object.values(reasonsOf(report))), new Set(["it is locked"]));
    assert.equal((await sourceSweep({ ...AGED, dir: place.path })).removed.length, 2);
  },
);

test(
  "sweep() by age keeps what is or contains an open file or a process's working directory (skipped except on Linux)",
  { skip: !onLinux },
  async () => {
    using place = scratch();
    const [file, tree, cwd, own] = [oldFile(place), oldTree(place), oldTree(place), oldFile(place)];
    const ends = await Promise.all([
      startUser("sh", "-c", `exec 3< "$1"; ${HOLD}`, "sh", file),
      startUser("sh", "-c", `exec 3< "$1"; ${HOLD}`, "sh", join(tree, "sub", "file")),
      startUser("sh", "-c", `cd "$1/sub"; ${HOLD}`, "sh", cwd),
    ]);
    const fd = openSync(own, "r");
    const report = await sweepIn(place, AGED);
    closeSync(fd);
    assert.deepEqual(report.removed, []);
    for (const path of [file, tree, cwd, own]) {
      assert.equal(
        reasonsOf(report)[basename(path)],
        "a process has it open",
      );
    }
    await Promise.all(ends.map((end) => end()));
    assert.equal((await sweepIn(place, AGED)).removed.length, 4);
  },
);

test("C259 sweep() by age keeps what a process adopts while it removes what the dead left", async () => {
  using place = scratch();
  const dead = plant(place.path), taken = join(place.path, plant(place.path, { lines: [] }).name());
  writeFileSync(join(place.path, dead.name()), "");
  mkdirSync(taken);
  age(taken);
  const { kept } = await sweepIn(place, {
    olderThan: DAY,
    prefix: "tmp",
    onProgress: () => void plant(place.path, { host: "another", lines: [`adopted ${taken}`] }),
  });
  assert.deepEqual(kept, [{ path: taken, reason: "another process has it" }]);
  assert.deepEqual([existsSync(taken), existsSync(dead.path)], [true, false]);
});

test(
  "sweep() by age looks at few leases for each entry, however many there are, whether nobody or a dead process has it",
  { onOneNode: true },
  async () => {
    using place = scratch();
    using own = scratch();
    const count = 100;
    for (let number = 0; number < count; number++) {
      plant(place.path, { host: "another" });
      oldFile(place, plant(place.path, { lines: [`made ${place.path}/old-*`] }).name("old-"));
      oldFile(place);
    }
    // How many entries share a look also depends on the time it takes.
    using watched = substitute({ runtime: { locks: undefined, now: () => 0 } });
    configure({ tmpdir: own.path });
    try {
      const { removed } = await sourceSweep({ ...AGED, dir: place.path });
      assert.equal(removed.length, 2 * count);
    } finally {
      configure({ tmpdir: undefined });
    }
    const looks = watched.of("status").filter(([path]) => String(path).startsWith(leasesIn(place.path)));
    assert.ok(
      looks.length < 50 * 2 * count,
      `${looks.length} looks at ${2 * count} leases for as many entries`,
    );
  },
);

test(
  "C259 sweep() by age keeps what its process hands over and then ends, while others of many leases are looked at for several entries at once (Linux)",
  { skip: !onLinux },
  () => {
    using place = scratch();
    using own = scratch();
    for (let number = 0; number < 64; number++) plant(place.path, { host: "another" });
    const giver = plant(place.path, { pid: process.pid, lines: [`made ${place.path}/old-*`] });
    const given = oldFile(place, giver.name("old-")), first = oldFile(place, "old-1");
    const { list } = watchedList("", place.path, ["old-1", basename(given)]);
    const fd = openSync(giver.path, "r");
    const onRemoved = (path: string): void => {
      if (path !== first) return;
      plant(place.path, { host: "another", lines: [`adopted ${given}`] });
      appendFileSync(giver.path, `kept ${basename(given)}\n`);
      closeSync(fd);
    };
    const sweeping = {
      aged: { olderThan: DAY, prefix: "old-", dir: place.path },
      how: { ...OPTIONS, onRemoved },
    };
    using _ = substitute({ primitives: { list }, runtime: { locks: undefined } });
    const { removed, kept } = within(own.path, () => runSync(sweepAll(syncIo(), sweeping)));
    assert.deepEqual(removed.map(({ path }) => path), [first]);
    assert.deepEqual(kept, [{ path: given, reason: "another process has it" }]);
  },
);

test("C259 sweep() by age looks at many leases anew once more time has passed than the last look took", () => {
  using place = scratch();
  for (let number = 0; number < 64; number++) plant(place.path, { host: "another" });
  const first = oldFile(place), second = oldFile(place, plant(place.path, { lines: [] }).name("old-"));
  const { list } = watchedList("", place.path, [basename(first), basename(second)]);
  let clock = 0;
  const onRemoved = (): void => {
    clock++;
    plant(place.path, { host: "another", lines: [`adopted ${second}`] });
  };
  const sweeping = {
    aged: { olderThan: DAY, prefix: "old-", dir: place.path },
    how: { ...OPTIONS, onRemoved },
  };
  using _ = substitute({ primitives: { list }, runtime: { locks: undefined, now: () => clock } });
  const { removed, kept } = within(place.path, () => runSync(sweepAll(syncIo(), sweeping)));
  assert.deepEqual([removed.map(({ path }) => path), kept.map(({ path }) => path)], [[first], [second]]);
});

test("C265 sweep({ dir }) by age keeps what a process has whose leases are there, unless that process is dead", async () => {
  using place = scratch();
  using own = scratch();
  const options = { dir: place.path, olderThan: DAY, prefix: "tmp" };
  const unknown = plant(place.path, { host: "another" }), dead = plant(place.path);
  const [held, left] = [unknown, dead].map(({ name }) => join(place.path, name()));
  for (const path of [held, left]) {
    mkdirSync(path);
    age(path);
  }
  const { kept, removed } = await sweepIn(own, options);
  assert.deepEqual(kept, [{ path: held, reason: "another process has it" }]);
  assert.deepEqual(removed, [{ path: left, bytes: 0 }]);
});

test("C259 C265 sweep() by age keeps a directory in which a process has made or adopted something that is still there", async () => {
  using place = scratch();
  const [makes, adopts, made] = Array.from({ length: 3 }, () => oldTree(place));
  const adopted = join(adopts, "sub", plant(place.path, { lines: [] }).name());
  plant(place.path, { host: "another", lines: [`adopted ${adopted}`] });
  const maker = plant(place.path, { host: "another", lines: [`made ${makes}/tmp*`, `made ${made}/tmp*`] });
  for (const path of [join(makes, maker.name()), adopted]) mkdirSync(path);
  [makes, adopts].forEach(age);
  const { kept, removed } = await sweepIn(place, AGED);
  const reasons = [makes, adopts].map((path) => kept.find((one) => one.path === path)?.reason);
  assert.deepEqual(reasons, Array(2).fill("another process has it"));
  assert.deepEqual(removed, [{ path: made, bytes: 7 }]);
});

test("sweep() by age never removes a directory of leases, this user's or another's", async () => {
  using place = scratch();
  plant(place.path, { host: "elsewhere.example" });
  const ours = basename(leasesIn(place.path));
  const others = [".mayfly-4711", ".mayfly-user"].filter((name) => name !== ours);
  for (const name of others) mkdirSync(join(place.path, name));
  writeFileSync(join(place.path, ".mayfly-leftover"), "");
  for (const name of place.list()) age(join(place.path, name));
  const { removed } = await sweepIn(place, { olderThan: 0, prefix: ".mayfly-" });
  assert.deepEqual(removed.map(({ path }) => basename(path)), [".mayfly-leftover"]);
  assert.deepEqual(place.list(), [ours, ...others].sort());
  assert.equal(Object.keys(readLeases(place.path)).length, 1);
});

test("sweep({ signal }) rejects with the reason if aborted, before or while it runs, and removes nothing further", async () => {
  using place = scratch();
  const dead = [plant(place.path), plant(place.path)];
  for (const { name } of dead) for (let n = 0; n < 5; n++) writeFileSync(join(place.path, name()), "");
  for (let n = 0; n < 5; n++) oldFile(place);
  const reason = new Error("enough");
  await assert.rejects(sweepIn(place, { ...AGED, signal: AbortSignal.abort(reason) }), reason);
  assert.equal(place.names().length, 15);
  for (const stop of [1, 3, 8]) {
    const controller = new AbortController(), before = place.names().length;
    let count = 0;
    const onProgress = (): void => {
      if (++count === stop) controller.abort(reason);
    };
    await assert.rejects(sweepIn(place, { ...AGED, signal: controller.signal, onProgress }), reason);
    assert.equal(before - place.names().length, stop);
  }
  assert.equal((await sweepIn(place, AGED)).removed.length, 3);
});

test("sweep({ signal }) can be aborted while it checks entries that it keeps", async () => {
  using place = scratch();
  const living = plant(place.path, { host: "elsewhere.example" });
  for (let n = 0; n < 5; n++) writeFileSync(join(place.path, living.name()), "");
  const controller = new AbortController(), reason = new Error("enough");
  const { signal } = controller;
  let asked = 0;
  const counting = {
    get aborted() {
      return signal.aborted;
    },
    addEventListener() {},
    throwIfAborted() {
      if (++asked === 4) controller.abort(reason);
      signal.throwIfAborted();
    },
  } as unknown as AbortSignal;
  await assert.rejects(sweepIn(place, { signal: counting }), reason);
  assert.equal(asked, 4);
});

test("sweep() stops if onProgress throws or rejects, and rejects with the same value", async () => {
  using place = scratch();
  const dead = plant(place.path);
  for (let n = 0; n < 4; n++) writeFileSync(join(place.path, dead.name()), "");
  for (let n = 0; n < 4; n++) oldFile(place);
  const fail = (error: unknown) => () => {
    throw error;
  };
  for (const error of [new Error("plain"), Object.assign(new Error("system"), { code: "ENOENT" }), "text"]) {
    for (const onProgress of [fail(error), () => Promise.reject(error)]) {
      const before = place.names().length;
      await assert.rejects(sweepIn(place, { ...AGED, onProgress }), (thrown) => thrown === error);
      assert.equal(place.names().length, before - 1);
    }
  }
});

test("sweep() awaits the promise that onProgress returns before it continues", async () => {
  using place = scratch();
  for (let n = 0; n < 3; n++) oldFile(place);
  const left: number[] = [];
  const onProgress = async (): Promise<void> => {
    await new Promise((resolve) => setTimeout(resolve, 5));
    left.push(place.names().length);
  };
  await sweepIn(place, { ...AGED, onProgress });
  assert.deepEqual(left, [2, 1, 0]);
});

test("sweep() rejects invalid options before it removes anything, and a missing directory", async () => {
  using place = scratch();
  writeFileSync(join(place.path, plant(place.path).name()), "");
  const wrong: [unknown, string][] = [
    [null, "options"],
    [{ olderThan: 1 }, "prefix"],
    [{ olderThan: 1, prefix: "" }, "prefix"],
    [{ prefix: "x" }, "olderThan"],
    [{ olderThan: "1", prefix: "x" }, "olderThan"],
    [{ olderThan: 1, prefix: "../x" }, "prefix"],
    [{ olderThan: 1, prefix: ["x"] }, "prefix"],
    [{ olderThan: 1, prefix: "x", dir: 7 }, "dir"],
    [{ dir: 7 }, "dir"],
    [{ dryRun: "yes" }, "dryRun"],
    [{ onProgress: "yes" }, "onProgress"],
    [{ signal: {} }, "signal"],
  ];
  for (const [options, name] of wrong) {
    await assert.rejects(
      sweepIn(place, options as m.SweepOptions),
      (error: TypeError & { code: string }) =>
        error instanceof TypeError && error.code === "ERR_INVALID_OPTION" &&
        error.message.includes(`"${name}"`),
      JSON.stringify(options),
    );
  }
  for (const olderThan of [-1, NaN]) {
    await assert.rejects(sweepIn(place, { olderThan, prefix: "x" }), {
      name: "RangeError",
      code: "ERR_INVALID_OPTION",
    });
  }
  assert.equal(place.names().length, 1);
  await assert.rejects(sweepIn(place, { ...AGED, dir: join(place.path, "no") }), {
    name: "TempfileError",
    code: "ENOENT",
  });
});

test("sweep() and usage() handle all other entries if one has a name that is not valid UTF-8 (Linux)", {
  skip: !onLinux,
}, async () => {
  using place = scratch();
  const { name } = plant(place.path);
  const foreign = Buffer.concat([Buffer.from(join(place.path, "no-text-")), Uint8Array.of(0xff)]);
  writeFileSync(foreign, "kept");
  writeFileSync(Buffer.concat([Buffer.from(join(leasesIn(place.path), "x")), Uint8Array.of(0xff)]), "");
  for (let count = 0; count < 300; count++) writeFileSync(join(place.path, name()), "1");
  const old = oldFile(place);
  const { removed, left } = await sweepIn(place, AGED);
  assert.deepEqual([removed.length, left], [301, []]);
  assert.ok(!existsSync(old) && existsSync(foreign));
  await using directory = await m.temporaryDirectory({ dir: place.path });
  writeFileSync(join(directory.path, "text"), "12345");
  writeFileSync(Buffer.concat([Buffer.from(join(directory.path, "x")), Uint8Array.of(0xff)]), "678");
  const { files, bytes } = await directory.usage();
  assert.deepEqual([files, bytes], [2, 8]);
  await directory.remove();
  assert.deepEqual(readdirSync(place.path, "buffer").length, 2);
});

test("sweep() reports an entry once that is both a leftover and old, whether or not it can be removed", async () => {
  using place = scratch();
  const path = oldFile(place, plant(place.path, { lines: [`made ${place.path}/old-*`] }).name("old-"));
  assert.deepEqual((await sweepIn(place, { ...AGED, dryRun: true })).removed, [{ path, bytes: 5 }]);
  const unlink: Stub = (real, place: string) => {
    if (basename(place) === basename(path)) throw systemError("EROFS");
    return real(place);
  };
  using _ = substitute({ primitives: { unlink } });
  configure({ tmpdir: place.path });
  try {
    const { removed, left } = await sourceSweep(AGED);
    assert.deepEqual([removed, left], [[], [{ path, code: "EROFS" }]]);
  } finally {
    configure({ tmpdir: undefined });
  }
});

test("sweep() does not report leases and entries that vanish while it looks at them, but those that it may not look at", async () => {
  using place = scratch();
  const unknown = plant(place.path, { host: "elsewhere.example" });
  writeFileSync(join(place.path, unknown.name()), "");
  const [gone, hidden, old] = ["old-gone", "old-hidden", "old-1"].map((name) => oldFile(place, name));
  const codes: { [path: string]: string } = { [gone]: "ENOENT", [hidden]: "EACCES" };
  let looks = 0, mistake: Error | undefined;
  using _ = substitute({
    primitives: {
      status(real, path: string) {
        if (codes[path]) throw mistake ?? systemError(codes[path]);
        // First to find out whether its process is alive, then for its entries.
        if (path === unknown.path && ++looks === 2) throw systemError("ENOENT");
        return real(path as never);
      },
    },
  });
  configure({ tmpdir: place.path });
  try {
    const { removed, kept, left } = await sourceSweep(AGED);
    assert.deepEqual(removed, [{ path: old, bytes: 5 }]);
    assert.deepEqual([kept, left], [[], [{ path: hidden, code: "EACCES" }]]);
    mistake = new Error("not of the system");
    await assert.rejects(sourceSweep(AGED), mistake);
  } finally {
    configure({ tmpdir: undefined });
  }
});

test("C267 sweep() by age locks an entry exclusively before it removes it and unlocks it, and removes it where there are no locks", async () => {
  using place = scratch();
  const handles: unknown[] = [];
  const failure = (code: string): Promise<never> => Promise.reject(Object.assign(new Error(code), { code }));
  const answers: { [kind: string]: [tryAcquire?: (path: string, shared: boolean) => Promise<unknown>] } = {
    "a lock": [(path) => {
      handles.push(runtime.sync.openFile(path, "read"));
      return Promise.resolve(handles.at(-1));
    }],
    "a shared lock": [
      (path, shared) => Promise.resolve(shared ? runtime.sync.openFile(path, "read") : undefined),
    ],
    "no program": [() => failure("ERR_UNSUPPORTED")],
    "no permission": [() => failure("EACCES")],
    "no locks": [],
  };
  const expected: typeof seen = {
      "a lock": [1, 0],
      "a shared lock": [0, 0],
      "no program": [1, 0],
      "no permission": [0, 1],
      "no locks": [1, 0],
    },
    seen: { [kind: string]: [removed: number, left: number] } = {};
  for (const [kind, [tryAcquire]] of Object.entries(answers)) {
    oldFile(place, "old-file");
    using watched = substitute({
      runtime: { locks: tryAcquire && (() => Promise.resolve({ tryAcquire } as Locks)) },
    });
    const { removed, left } = await sourceSweep({ ...AGED, dir: place.path });
    seen[kind] = [removed.length, left.length];
    const closed = watched.of("close").map(([handle]) => handle);
    if (kind === "a lock") assert.ok(handles.length === 1 && closed.includes(handles[0]));
  }
  assert.deepEqual(seen, expected);
});

test("sweep() by age keeps a file that it cannot lock, even if /proc/locks does not list a lock", async () => {
  using place = scratch();
  const path = oldFile(place);
  const sweepAged = () => sourceSweep({ ...AGED, dir: place.path });
  const locks: Locks = { tryAcquire: () => Promise.resolve(undefined), acquire: undefined };
  {
    using _ = substitute({
      primitives: {
        readSystemFile: (real, ...[name]: [string]) =>
          name === "/proc/locks" ? "" : real(...[name] as never[]),
      },
      runtime: { locks: () => Promise.resolve(locks) },
    });
    const { removed, kept } = await sweepAged();
    assert.deepEqual([removed, kept], [[], [{ path, reason: "it is locked" }]]);
  }
  assert.deepEqual((await sweepAged()).removed, [{ path, bytes: 5 }]);
});

test("C299 sweep() by age does not look below /proc for open or locked files without permission to read it", async () => {
  using place = scratch();
  const sweepAged = () => sourceSweep({ ...AGED, dir: place.path });
  const looks = ({ calls }: Substitute) =>
    calls.filter(({ args: [at] }) => /^\/proc\/(locks|\d+\/cwd)$/.test(String(at))).length;
  for (const mayRead of [true, false]) {
    const path = oldFile(place);
    using watched = substitute({ runtime: { mayRead: (other) => mayRead || !other.startsWith("/proc") } });
    assert.deepEqual((await sweepAged()).removed, [{ path, bytes: 5 }]);
    assert.equal(looks(watched) > 0, mayRead && process.platform === "linux");
  }
});
