import assert from "node:assert/strict";
import {
  appendFileSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { spawnSync } from "node:child_process";
import { basename, join } from "node:path";
import * as m from "#mod";
import { namedTemporaryFileSync } from "../../lib/file/named.ts";
import { temporaryDirectorySync } from "../../lib/directory.ts";
import { adoptFileSync } from "../../lib/adopt.ts";
import { keeping, recordGiven } from "../../lib/life/lease.ts";
import { heldLeases } from "../../lib/life/registry.ts";
import { type Op, runSync } from "../../lib/operation/op.ts";
import { runtime } from "../../lib/runtime/mod.ts";
import { tmpdir } from "../../lib/location/tmpdir.ts";
import { configure } from "../../lib/settings.ts";
import { type ChildResult, runChild } from "../support/child.ts";
import { leasesIn, plant, readLeases, withoutLease } from "../support/leases.ts";
import { naiveLease, naiveSweep } from "../support/naive_sweep.ts";
import { packageTest as test } from "../support/once.ts";
import { noMounts, withTmpfs } from "../support/places.ts";
import { endedBy, isWindows, noLinks, noPrograms, underWine } from "../support/platform.ts";
import { within } from "../support/reclaiming.ts";
import { type Scratch, scratch } from "../support/scratch.ts";
import { noStrace } from "../support/strace.ts";
import { substitute, systemError } from "../support/substitute.ts";
import { warningsOf } from "../support/warnings.ts";

/** Directory names that code might misinterpret. */
const ODD_NAMES = ["a b", "br[a]cket", ...isWindows ? [] : ["st*r.", "back\\slash.", "..."]];

/** Creates entries of all kinds, and neighbours with similar names, reports which must go and which must stay, and dies. */
const CRASH = `
const expected = { goes: [], stays: [] };
const goes = (...paths) => expected.goes.push(...paths), stays = (...paths) => expected.stays.push(...paths);
const own = (path) => (fs.writeFileSync(path, "own"), stays(path));

const left = m.namedTemporaryFileSync({ suffix: ".db" });
goes(left.path);
for (const end of ["-journal", ".lock", ".bak", "x", "~"]) own(left.path + end);
own(path.join(path.dirname(left.path), "copy of " + path.basename(left.path)));

const kept = m.namedTemporaryFileSync({ suffix: ".db" });
stays(kept.keep());
for (const end of ["-journal", "-wal"]) own(kept.path + end);

const renamed = m.temporaryDirectorySync();
fs.renameSync(renamed.path, renamed.path + ".aside");
own(renamed.path + ".aside/file");

// A name that begins with the name of another; hidden names; names with all characters that are allowed.
for (const prefix of [path.basename(left.path) + "-", ".hidden-", "", "\\u2028", "ä [b] 'c' $d "]) {
  goes(m.namedTemporaryFileSync({ prefix }).path, m.temporaryDirectorySync({ prefix, suffix: ".é" }).path);
}

const around = m.temporaryDirectorySync();
const before = [around.namedTemporaryFileSync(), around.temporaryDirectorySync({ suffix: ".d" })];
fs.writeFileSync(path.join(before[1].path, "inside"), "");
stays(around.keep());
own(around.join("own"));
own(before[0].path + ".neighbour");
const after = [around.namedTemporaryFileSync({ prefix: "after-" }), around.temporaryDirectorySync()];
goes(...[...before, ...after].map(({ path }) => path));

// A directory of the caller's own, whose name begins with the name of one of ours.
const plain = m.temporaryDirectorySync();
const beside = plain.path + "-extra";
fs.mkdirSync(beside);
stays(beside);
goes(plain.path, m.namedTemporaryFileSync({ dir: beside }).path);

// Persisted under their own names where there are leftovers of the same form.
const results = path.join(args[0], "results");
fs.mkdirSync(results);
goes(m.namedTemporaryFileSync({ dir: results }).path);
for (const made of [m.namedTemporaryFileSync(), m.temporaryDirectorySync()]) {
  stays(made.persistSync(path.join(results, path.basename(made.path))));
}

const odd = ${JSON.stringify(ODD_NAMES)}.map((name) => path.join(args[0], "dirs", name));
for (const dir of odd) {
  fs.mkdirSync(dir, { recursive: true });
  goes(m.namedTemporaryFileSync({ dir, suffix: ".txt" }).path);
}
say(expected);
process.kill(process.pid, "SIGKILL");
setInterval(() => {}, 1000);
`;

interface Expected {
  goes: string[];
  stays: string[];
}

async function crashIn(place: Scratch, before = ""): Promise<Expected> {
  const { status, signal, said, stderr } = await runChild(before + CRASH, {
    args: [place.path],
    env: { TMPDIR: place.path },
  });
  assert.deepEqual({ status, signal }, endedBy("SIGKILL"), stderr);
  const { goes, stays } = said[0] as Expected;
  // A reaper may have removed some already.
  for (const path of before === "" ? [...goes, ...stays] : stays) assert.ok(existsSync(path), path);
  return said[0];
}

async function sweepIn(place: Scratch): Promise<m.SweepReport> {
  m.configure({ tmpdir: place.path });
  try {
    return await m.sweep();
  } finally {
    m.configure({ tmpdir: undefined });
  }
}

const there = (paths: readonly string[]): string[] => paths.filter((path) => existsSync(path));

test("C254 C265 C268 after a crash, sweep() removes exactly the leftovers, nothing with a similar name, renamed, kept or persisted", async () => {
  using place = scratch();
  const { goes, stays } = await crashIn(place);
  const { removed, left } = await sweepIn(place);
  assert.deepEqual([there(goes), left], [[], []]);
  assert.deepEqual(there(stays), stays);
  // Directories are removed with their contents.
  assert.deepEqual(removed.map(({ path }) => path).sort(), goes.sort());
  assert.deepEqual(place.list().includes(basename(leasesIn(place.path))), true);
  assert.deepEqual(readLeases(place.path), {});
});

test("C254 C268 after a crash, the reaper removes exactly the same leftovers, hidden names included", {
  skip: noPrograms,
  onOneNode: true,
}, async () => {
  using place = scratch();
  const { goes, stays } = await crashIn(place, "m.configure({ reaper: true });");
  for (let tries = 0; Object.keys(readLeases(place.path)).length > 0; tries++) {
    assert.ok(tries < 600, "the reaper removed nothing");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.deepEqual(there(goes), []);
  assert.deepEqual(there(stays), stays);
});

test("a line break in a path that is created in or adopted starts no line of a lease (POSIX)", {
  skip: isWindows,
}, async () => {
  using place = scratch();
  const dir = join(place.path, "a\nadopted ", "b"), adopted = join(dir, plant(place.path).name());
  mkdirSync(adopted, { recursive: true });
  const { stderr } = await runChild(
    `m.namedTemporaryFileSync(); m.namedTemporaryFileSync({ dir: path.dirname(args[0]) });
     m.adoptDirectorySync(args[0]);
     process.kill(process.pid, "SIGKILL"); setInterval(() => {}, 1000);`,
    { args: [adopted], env: { TMPDIR: place.path } },
  );
  const leases = Object.values(readLeases(place.path));
  assert.equal(leases.length, 2, stderr);
  for (const text of leases) assert.doesNotMatch(text, /^adopted/m);
});

test("control: a naive sweep that removes every name with the session ID removes what is not a leftover", {
  onOneNode: true,
}, async () => {
  using place = scratch();
  const { goes, stays } = await crashIn(place);
  naiveSweep(leasesIn(place.path));
  assert.ok(there(goes).length < goes.length, "the naive sweep removed nothing");
  const lost = stays.filter((path) => !existsSync(path)).map((path) => basename(path));
  for (const pattern of [/-journal$/, /-wal$/, /^file$/, /^copy of /]) {
    assert.ok(lost.some((name) => pattern.test(name)), `${pattern} survived the control`);
  }
});

test("a lease records the process, its host and each name form once, and is removed soon after the last entry", async () => {
  await withoutLease();
  using place = scratch();
  configure({ tmpdir: place.path });
  try {
    {
      using _one = namedTemporaryFileSync();
      using _two = namedTemporaryFileSync();
      using three = temporaryDirectorySync({ prefix: "a", suffix: "z" });
      using _inside = three.namedTemporaryFileSync({ prefix: "no-line" });
      const [[name, text]] = Object.entries(readLeases(place.path));
      assert.match(name, new RegExp(`^[a-z2-9]{8}-${process.pid}\\.lease$`));
      const [header, pid, namespace, host, ...made] = text.split("\n");
      assert.deepEqual([header, pid], ["mayfly 1", `pid ${process.pid}`]);
      assert.match(namespace, /^namespace \S/);
      assert.match(host, /^host \S/);
      assert.deepEqual(made, [`made ${join(place.path, "tmp*")}`, `made ${join(place.path, "a*z")}`, ""]);
      const size = (): number => lstatSync(join(leasesIn(place.path), name)).size, before = size();
      namedTemporaryFileSync().closeSync();
      assert.equal(size(), before, "a form that is not the last one has another line");
      const modeOf = (path: string): number => lstatSync(path).mode & 0o777;
      assert.equal(modeOf(join(leasesIn(place.path), name)), isWindows ? 0o666 : 0o600);
      assert.equal(modeOf(leasesIn(place.path)), isWindows ? 0o666 : 0o700);
    }
    for (let tries = 0; Object.keys(readLeases(place.path)).length > 0; tries++) {
      assert.ok(tries < 1000, "the lease stays");
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  } finally {
    configure({ tmpdir: undefined });
  }
});

test("T11 C269 a directory of leases that is not exclusively ours is not used or changed, with one warning; all else works", async () => {
  for (const [kind, squat] of Object.entries(SQUATS)) {
    using place = scratch();
    using outside = scratch();
    const leases = leasesIn(place.path);
    squat(leases, join(outside.path, "target"));
    const before = [lookOf(leases), outside.list()];
    await withoutLease();
    m.configure({ tmpdir: place.path });
    try {
      const warnings = await warningsOf(async () => {
        for (let n = 0; n < 3; n++) {
          const [file, directory] = [m.namedTemporaryFileSync(), await m.temporaryDirectory()];
          assert.ok(existsSync(file.path) && existsSync(directory.path), kind);
          file.closeSync();
          await directory.remove();
          const kept = m.namedTemporaryFileSync();
          assert.ok(existsSync(kept.keep()));
          kept.closeSync();
        }
      });
      assert.deepEqual(warnings.map(({ code }) => code), ["MAYFLY_NO_LEASE"], kind);
      assert.ok(warnings[0].message.includes(`"${leases}" is not used: `), warnings[0].message);
      assert.deepEqual(await m.sweep(), { removed: [], bytes: 0, kept: [], left: [] }, kind);
    } finally {
      m.configure({ tmpdir: undefined });
    }
    assert.deepEqual([lookOf(leases), outside.list()], before, kind);
    assert.equal(place.names().length, 3, "the kept files are there");
  }
});

test(
  "T11 C269 control: a naive lease is written through a symbolic link and into a directory that others can access",
  {
    skip: noLinks,
  },
  () => {
    for (const kind of ["a link", "a directory that others can access"].filter((kind) => kind in SQUATS)) {
      using place = scratch();
      using outside = scratch();
      const leases = leasesIn(place.path), target = join(outside.path, "target");
      mkdirSync(target);
      SQUATS[kind](leases, target);
      naiveLease(leases);
      assert.ok(existsSync(join(kind === "a link" ? target : leases, "naive.lease")), kind);
    }
  },
);

/** Creates something at the path of the directory of leases. */
type Squat = (leases: string, target: string) => void;

const LINKS: { [kind: string]: Squat } = {
  "a link": (leases, target) => {
    mkdirSync(target, { recursive: true, mode: 0o700 });
    symlinkSync(target, leases);
  },
  "a dangling link": (leases, target) => symlinkSync(target, leases),
};

const OF_POSIX: { [kind: string]: Squat } = {
  "a directory that others can access": (leases) => void spawnSync("mkdir", ["-m", "0777", leases]),
  "a directory that a group can list": (leases) => void spawnSync("mkdir", ["-m", "0740", leases]),
  "a pipe": (leases) => void spawnSync("mkfifo", ["-m", "0700", leases]),
};

const SQUATS: { [kind: string]: Squat } = {
  ...noLinks ? {} : LINKS,
  ...isWindows ? {} : OF_POSIX,
  "a file": (leases) => writeFileSync(leases, "somebody's", { mode: 0o700 }),
  // Only root can give something away.
  ...process.getuid?.() === 0
    ? {
      "a directory of somebody else": (leases: string) => {
        mkdirSync(leases, { mode: 0o700 });
        chownSync(leases, 12345, 12345);
      },
    }
    : {},
};

function lookOf(path: string): unknown[] {
  const { mode, uid, gid, ino, nlink, size, mtimeMs } = lstatSync(path);
  return [mode, uid, gid, ino, nlink, size, mtimeMs];
}

test("C285 a lease is complete even if each write takes only three bytes", async () => {
  await withoutLease();
  using place = scratch();
  configure({ tmpdir: place.path });
  using _ = substitute({
    primitives: {
      write: (real, handle: unknown, data: Uint8Array, at: number) => real(handle, data.subarray(0, 3), at),
    },
  });
  try {
    using file = namedTemporaryFileSync({ prefix: "one-" });
    file.keep();
    using _other = namedTemporaryFileSync({ suffix: ".two" });
    const [text] = Object.values(readLeases(place.path));
    assert.deepEqual(text.split("\n").slice(4), [
      `made ${join(place.path, "one-*")}`,
      `kept ${basename(file.path)}`,
      `made ${join(place.path, "tmp*.two")}`,
      "",
    ]);
  } finally {
    configure({ tmpdir: undefined });
  }
});

function* succeeds(): Op<void> {
  yield;
}

function* fails(): Op<void> {
  yield;
  throw systemError("EIO");
}

test("C265 of two overlapping calls that put something in place under one name, the one that fails does not undo the record of the other", async () => {
  await withoutLease();
  using place = scratch();
  within(place.path, () => {
    using file = namedTemporaryFileSync();
    const name = basename(file.path);
    const recorded = (): string[] => Object.values(readLeases(place.path))[0].split("\n").slice(5, -1);
    const [first, second] = [keeping(join("/one", name), fails()), keeping(join("/two", name), fails())];
    first.next();
    second.next();
    assert.throws(() => first.next(), { code: "EIO" });
    assert.deepEqual(recorded(), [`kept ${name}`, `kept ${name}`]);
    assert.throws(() => second.next(), { code: "EIO" });
    assert.equal(recorded().pop(), `adopted ${file.path}`);
    runSync(keeping(join("/one", name), succeeds()));
    assert.throws(() => runSync(keeping(join("/two", name), fails())), { code: "EIO" });
    assert.equal(recorded().pop(), `kept ${name}`);
  });
});

test("C285 records that this process and another append to a lease at the same moment are both preserved", async () => {
  await withoutLease();
  using place = scratch();
  configure({ tmpdir: place.path });
  let other: (() => void) | undefined;
  using _ = substitute({
    primitives: {
      statusOf(real, handle: unknown) {
        const status = real(handle);
        other?.();
        return status;
      },
    },
  });
  try {
    using file = namedTemporaryFileSync();
    const [name] = Object.keys(readLeases(place.path));
    other = () => appendFileSync(join(leasesIn(place.path), name), "kept /another-one\n");
    file.keep();
    other = undefined;
    const { [name]: text } = readLeases(place.path);
    assert.deepEqual(text.split("\n").slice(5), ["kept /another-one", `kept ${basename(file.path)}`, ""]);
  } finally {
    configure({ tmpdir: undefined });
  }
});

test("a lease that cannot be opened after its creation leaves nothing behind, and files are created without it", async () => {
  await withoutLease();
  using place = scratch();
  configure({ tmpdir: place.path });
  // The next attempt is due at once after this test.
  const now = runtime.now() - 2000;
  using watched = substitute({
    primitives: {
      openFile: () => {
        throw systemError("EMFILE");
      },
    },
    runtime: { now: () => now },
  });
  try {
    using file = namedTemporaryFileSync();
    assert.ok(existsSync(file.path));
    assert.equal(watched.of("openFile").length, 1);
    assert.deepEqual(readLeases(place.path), {});
  } finally {
    configure({ tmpdir: undefined });
  }
});

test("C285 a lease that could not be created is tried again after a second, not at every creation", async () => {
  await withoutLease();
  using place = scratch();
  configure({ tmpdir: place.path });
  let full = true, now = runtime.now(), tries = 0;
  using _ = substitute({
    primitives: {
      createFile(real, ...args: unknown[]) {
        if (!String(args[0]).endsWith(".lease")) return real(...args);
        tries++;
        if (full) throw systemError("ENOSPC");
        return real(...args);
      },
    },
    runtime: { now: () => now },
  });
  const triesAfter = (milliseconds: number): number => {
    now += milliseconds;
    for (let n = 0; n < 3; n++) namedTemporaryFileSync().closeSync();
    return tries;
  };
  try {
    assert.deepEqual([0, 999, 1].map(triesAfter), [1, 1, 2]);
    full = false;
    assert.deepEqual([999, 1, 0].map(triesAfter), [2, 3, 3]);
  } finally {
    configure({ tmpdir: undefined });
  }
});

test("T11 C269 a directory of leases is verified if it appears just before it is created, and tried once if it cannot be", async () => {
  const answers = { EEXIST: ["MAYFLY_NO_LEASE"], EROFS: [] };
  for (const [code, expected] of Object.entries(answers)) {
    await withoutLease();
    using place = scratch();
    configure({ tmpdir: place.path });
    const leases = leasesIn(place.path);
    let tries = 0;
    // The next attempt is due at once after this test.
    const now = runtime.now() - 2000;
    using _ = substitute({
      primitives: {
        makeDirectory(real, path: string, mode: number) {
          if (path !== leases) return real(path as never, mode as never);
          tries++;
          if (code === "EEXIST") writeFileSync(path, "somebody's");
          throw systemError(code);
        },
      },
      runtime: { now: () => now },
    });
    try {
      const warnings = await warningsOf(() => namedTemporaryFileSync().closeSync());
      assert.deepEqual([tries, warnings.map((one) => one.code)], [1, expected], code);
    } finally {
      configure({ tmpdir: undefined });
    }
  }
});

test("C285 on a full disk, a file can be adopted although that is not recorded, and an adopted one closed", async () => {
  await withoutLease();
  using place = scratch();
  configure({ tmpdir: place.path });
  let isFull = false;
  const { name } = plant(place.path), paths = [name(), name()].map((one) => join(place.path, one));
  for (const path of paths) writeFileSync(path, "");
  using _ = substitute({
    primitives: {
      write(real, ...args: unknown[]) {
        if (isFull) throw systemError("ENOSPC");
        return real(...args);
      },
    },
  });
  try {
    const [recorded, other] = paths.map((path) => {
      const file = adoptFileSync(path);
      isFull = true;
      return file;
    });
    assert.ok(Object.values(readLeases(place.path)).some((text) => text.includes(`\nadopted ${paths[0]}\n`)));
    recorded.closeSync();
    other.closeSync();
    assert.deepEqual(place.names(), []);
  } finally {
    configure({ tmpdir: undefined });
  }
});

test("a line break in the path of a file given to another user starts no line of a lease (POSIX)", {
  skip: isWindows,
}, async () => {
  await withoutLease();
  using place = scratch();
  configure({ tmpdir: place.path });
  try {
    using file = namedTemporaryFileSync();
    const before = readLeases(place.path);
    let asked = 0;
    using _ = substitute({ runtime: { uid: () => (asked++, 0) } });
    recordGiven(join(place.path, "a\nadopted ", "b", basename(file.path)));
    assert.deepEqual([asked, readLeases(place.path)], [1, before]);
    // Control: without a line break it is recorded.
    recordGiven(join(place.path, "b", basename(file.path)));
    assert.notDeepEqual(readLeases(place.path), before);
  } finally {
    configure({ tmpdir: undefined });
  }
});

test("a lease of a process that knows neither its host nor its namespace gives none", async () => {
  await withoutLease();
  using place = scratch();
  using _ = substitute({ runtime: { hostName: () => undefined, processNamespace: () => undefined } });
  within(place.path, () => {
    using _file = namedTemporaryFileSync();
    const [text] = Object.values(readLeases(place.path));
    assert.deepEqual(text.split("\n").slice(2, 4), ["namespace -", "host -"]);
  });
});

test("a directory covers what is made in it until it is kept: the forms made there from then on get lines", async () => {
  await withoutLease();
  using place = scratch();
  let isFull = false;
  using _ = substitute({
    primitives: {
      write(real, ...args: unknown[]) {
        if (isFull) throw systemError("ENOSPC");
        return real(...args);
      },
    },
  });
  within(place.path, () => {
    using directory = temporaryDirectorySync();
    const line = `made ${join(directory.path, "inside-*")}\n`;
    const made = (): boolean => {
      namedTemporaryFileSync({ dir: directory.path, prefix: "inside-" }).closeSync();
      return Object.values(readLeases(place.path))[0].endsWith(line);
    };
    assert.equal(made(), false);
    isFull = true;
    assert.throws(() => directory.keep(), { code: "ENOSPC" });
    isFull = false;
    assert.equal(made(), false);
    directory.keep();
    assert.equal(made(), true);
  });
});

test("C285 on a disk that was full all the time, keep() succeeds, as no lease speaks for anything", async () => {
  await withoutLease();
  using place = scratch();
  within(place.path, () => {
    // Looks whether the directory can be written to.
    tmpdir();
    using full = substitute({
      primitives: {
        write() {
          throw systemError("ENOSPC");
        },
      },
    });
    using file = namedTemporaryFileSync(), directory = temporaryDirectorySync();
    assert.ok(full.of("write").length > 0);
    file.keep();
    directory.keep();
    assert.deepEqual(Object.values(readLeases(place.path)), [""]);
  });
});

test("C285 keep() that cannot be recorded fails with ENOSPC, leaves no readable partial record, and can be retried", async () => {
  await withoutLease();
  using place = scratch();
  configure({ tmpdir: place.path });
  let room = Infinity;
  using _ = substitute({
    primitives: {
      write: (real, handle: unknown, data: Uint8Array, at: number) => {
        if (room === 0) throw systemError("ENOSPC");
        const part = data.subarray(0, room);
        room -= part.byteLength;
        return real(handle, part, at);
      },
    },
  });
  const full = { name: "TempfileError", code: "ENOSPC" };
  try {
    using file = namedTemporaryFileSync(), directory = temporaryDirectorySync();
    const before = readLeases(place.path);
    for (const one of [file, directory]) {
      room = 10;
      assert.throws(() => one.keep(), {
        ...full,
        path: one.path,
        message: `Cannot keep "${one.path}": no space left on device (ENOSPC)`,
      });
      assert.deepEqual(readLeases(place.path), before);
    }
    // Entries whose form cannot be recorded are created all the same; it can be recorded later.
    room = 10;
    namedTemporaryFileSync({ prefix: "unrecorded-" }).closeSync();
    assert.deepEqual(readLeases(place.path), before);
    room = Infinity;
    namedTemporaryFileSync({ prefix: "unrecorded-" }).closeSync();
    assert.match(Object.values(readLeases(place.path))[0], /[\\/]unrecorded-\*\n$/);
    file.keep();
    file.closeSync();
    directory.removeSync();
    assert.deepEqual(place.names(), [basename(file.path)]);
  } finally {
    configure({ tmpdir: undefined });
  }
});

test("C285 a record that another process appends behind a partial one is read, and so are those after it; the partial one is not", async () => {
  await withoutLease();
  using place = scratch();
  configure({ tmpdir: place.path });
  let short = 0;
  using _ = substitute({
    primitives: {
      write(real, handle: unknown, data: Uint8Array, at: number) {
        if (short === 0) return real(handle, data, at);
        real(handle, data.subarray(0, -short), at);
        const [name] = readdirSync(leasesIn(place.path));
        appendFileSync(join(leasesIn(place.path), name), "\r\nkept /another-one\n");
        throw systemError("ENOSPC");
      },
    },
  });
  try {
    using file = namedTemporaryFileSync(), directory = temporaryDirectorySync();
    const inside = directory.namedTemporaryFileSync({ prefix: "inside-" });
    const [before] = Object.values(readLeases(place.path));
    // Cut off just before the line end, and in the middle of the record before the last.
    for (short of [1, 15 + basename(directory.path).length]) {
      assert.throws(() => (short === 1 ? file : directory).keep(), { code: "ENOSPC" });
    }
    short = 0;
    const other = "kept /another-one\n";
    assert.deepEqual(Object.values(readLeases(place.path)), [before + other + other]);
    file.keep();
    assert.deepEqual(Object.values(readLeases(place.path)), [
      before + other + other + `kept ${basename(file.path)}\n`,
    ]);
    inside.closeSync();
    file.closeSync();
    rmSync(file.path);
  } finally {
    configure({ tmpdir: undefined });
  }
});

test("C285 on a full disk, keep() fails with ENOSPC, and its file or directory can still be removed", {
  skip: noMounts,
}, async () => {
  using disk = scratch();
  const code = `
    const [tmpdir] = args;
    m.configure({ tmpdir });
    // Long names: their records must not fit where a short line does not.
    const prefix = "k".repeat(100);
    const file = m.namedTemporaryFileSync({ prefix }), directory = m.temporaryDirectorySync({ prefix });
    const lease = path.join(tmpdir, ".mayfly-" + process.getuid(), fs.readdirSync(path.join(tmpdir, ".mayfly-" + process.getuid()))[0]);
    const filler = fs.openSync(path.join(tmpdir, "filler"), "w");
    try { for (;;) fs.writeSync(filler, new Uint8Array(4096)); } catch {}
    // Fills the page that the lease occupies already.
    for (let size = -1, n = 0; fs.statSync(lease).size !== size; n++) {
      size = fs.statSync(lease).size;
      m.namedTemporaryFileSync({ prefix: "p" + n }).closeSync();
    }
    const end = (call) => { try { return call(); } catch (error) { return [error.name, error.code]; } };
    const size = fs.statSync(lease).size;
    say([end(() => file.keep()), end(() => directory.keep()), fs.statSync(lease).size === size]);
    file.closeSync();
    directory.removeSync();
    say(fs.readdirSync(tmpdir).filter((name) => name !== "filler" && !name.startsWith(".mayfly-")));`;
  const { said, stderr }: ChildResult = await runChild(code, {
    args: [disk.path],
    under: withTmpfs(disk.path, "size=64k"),
  });
  const full = ["TempfileError", "ENOSPC"];
  assert.deepEqual(said, [[full, full, true], []], stderr);
});

test(
  "a lease that has grown large is followed by another, and is removed when none of its entries are left",
  {
    skip: "Deno" in globalThis && underWine("paths of more than 260 characters cannot be resolved"),
    onOneNode: true,
  },
  async () => {
    for (const isAdopted of [false, true]) {
      await withoutLease();
      using place = scratch();
      // A path so long that each record takes kilobytes.
      const dir = join(place.path, ...Array.from({ length: 14 }, () => "d".repeat(250)));
      mkdirSync(dir, { recursive: true });
      configure({ tmpdir: place.path });
      try {
        // As the library names what it creates: only then is the adoption recorded.
        const path = join(place.path, "tmpabcdefghijkmnpqrstuvw");
        writeFileSync(path, "");
        using first = isAdopted ? adoptFileSync(path) : namedTemporaryFileSync();
        const [old] = Object.keys(readLeases(place.path));
        let seen = new Set<string>();
        for (let n = 0; seen.size < 3; n++) {
          assert.ok(n < 2000, "no lease follows");
          namedTemporaryFileSync({ dir, prefix: `${n}-` }).closeSync();
          if (n % 50 === 0) seen = new Set([...seen, ...Object.keys(readLeases(place.path))]);
        }
        const leases = readLeases(place.path);
        // The lease between them had no entries left.
        assert.deepEqual([Object.keys(leases).length, old in leases], [2, true]);
        assert.equal(heldLeases().size, 2);
        for (const text of Object.values(leases)) assert.ok(text.length < 1.5 * 1024 * 1024);
        // Keeping is recorded in the lease that has the entry.
        first.keep();
        assert.ok(readLeases(place.path)[old].endsWith(`\nkept ${basename(first.path)}\n`));
      } finally {
        configure({ tmpdir: undefined });
      }
    }
  },
);

/** Returns the system calls for the first and for the second named file, without those of the engine. */
async function callsOfFirst(place: Scratch): Promise<[first: string[], second: string[]]> {
  using logs = scratch();
  const log = join(logs.path, "log");
  const code = `
    const mark = (name) => { try { fs.rmdirSync("/mark/" + name); } catch {} };
    // Needs no lease, but makes the calls that are made once in a process, for random bytes and the umask.
    const other = m.mkstempSync();
    fs.closeSync(other.fd);
    fs.unlinkSync(other.path);
    globalThis.files = [];
    mark("first");
    files.push(m.namedTemporaryFileSync());
    mark("second");
    files.push(m.namedTemporaryFileSync());
    mark("end");`;
  // Traces only the thread that runs the code.
  const under = ["strace", "-qq", "-s", "4096", "-o", log];
  const { status, stderr } = await runChild(code, { env: { TMPDIR: place.path }, under });
  assert.equal(status, 0, stderr);
  const text = readFileSync(log, "utf8");
  const between = (from: string, to: string): string[] =>
    callsIn(text.slice(text.indexOf(`/mark/${from}"`), text.indexOf(`/mark/${to}"`)));
  return [between("first", "second"), between("second", "end")];
}

/** Memory, threads, signals, and the offset in a file, which Deno sets before it writes. */
const ENGINE =
  /^(mmap|munmap|mprotect|madvise|brk|futex|getpid|gettid|rt_sig\w+|sched_\w+|clock_\w+|lseek|epoll_\w+|\w*eventfd2?)$/;

/** Writes that wake another thread: a byte into a pipe, or a count of one into an event descriptor. */
const WAKES = /^\d+, ("\*", 1|"\\1(\\0){7}", 8)$/;

function callsIn(trace: string): string[] {
  const ofEngine = new Set<string>();
  return trace.split("\n").slice(1).flatMap((line) => {
    const [, name, args, answer] = /^(\w+)\((.*)\) += (\S+)/.exec(line) ?? [];
    // The engine's caches, and files that describe the machine.
    const isEngineFile = /^open(at)?$/.test(name) && /"\/(sys|proc)\/|\/gen\//.test(args);
    if (isEngineFile) ofEngine.add(answer);
    const descriptor = /^\d+/.exec(args ?? "")?.[0] ?? "";
    const isEngine = isEngineFile || ofEngine.has(descriptor) || WAKES.test(args ?? "");
    if (name === "close") ofEngine.delete(descriptor);
    return name === undefined || isEngine || ENGINE.test(name) ? [] : [name];
  });
}

test(
  "the first named file takes nine system calls more than the second, ten with a new directory of leases (skipped without strace)",
  {
    skip: noStrace,
  },
  async () => {
    using place = scratch();
    const statusOf = /^(statx|lstat|newfstatat)$/;
    const named = (calls: string[]): string[] =>
      calls.map((name) =>
        statusOf.test(name) ? "status" : name.replace("pwrite64", "write").replace("geteuid", "getuid")
      );
    // Created, and opened to append.
    const lease = ["openat", "close", "openat", "readlink", "uname", "status", "write"], file = ["openat"];
    const [first, second] = await callsOfFirst(place);
    assert.deepEqual(named(first), ["getuid", "status", "mkdir", ...lease, ...file]);
    assert.deepEqual(named(second), file);
    const [next] = await callsOfFirst(place);
    assert.deepEqual(named(next), ["getuid", "status", ...lease, ...file]);
  },
);
