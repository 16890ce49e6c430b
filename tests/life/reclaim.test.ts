import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import * as real from "node:fs";
import { basename, join } from "node:path";
import { listLeases } from "../../lib/life/list_leases.ts";
import { markKept, reclaim, type Reclaimed, type ReclaimOptions } from "../../lib/life/reclaim.ts";
import { sweepAll, type SweepReport } from "../../lib/life/sweep.ts";
import { syncIo } from "../../lib/operation/io.ts";
import { type Op, runSync } from "../../lib/operation/op.ts";
import {
  type DirectoryEntry,
  type Listing,
  type Primitives,
  runtime,
  substituteRuntime,
} from "../../lib/runtime/mod.ts";
import { configure } from "../../lib/settings.ts";
import { closeAbandoned } from "../support/abandoned.ts";
import { noFlock } from "../support/ager.ts";
import { firstOutput, runChild } from "../support/child.ts";
import { deadPid, leasesIn, plant, readLeases } from "../support/leases.ts";
import { naiveSweep, type SweepFs } from "../support/naive_sweep.ts";
import { packageTest as test } from "../support/once.ts";
import { noMounts } from "../support/places.ts";
import { isWindows, noFifos, noLinks, noLinux, noModes } from "../support/platform.ts";
import { hasPython } from "../support/python.ts";
import { type Scratch, scratch } from "../support/scratch.ts";
import { type Stub, substitute, systemError } from "../support/substitute.ts";

const OPTIONS: ReclaimOptions = {
  dryRun: false,
  onRemoved: () => {},
  checkpoint: () => {},
  ending: false,
};

/** Runs an action with a directory as the temporary directory. */
function within<T>(directory: string, action: () => T): T {
  configure({ tmpdir: directory });
  try {
    return action();
  } finally {
    configure({ tmpdir: undefined });
  }
}

/** A listing of `/proc` without processes: in a container, the locks of each visible process are read. */
const NO_PROCESS: Listing = { next: () => [], close: () => {} };

/** Runs `reclaim()` on the leases in a directory, and reports what is kept for processes that are not dead. */
function reclaimIn(directory: string): Omit<SweepReport, "bytes"> {
  const sweeping = { aged: undefined, how: OPTIONS };
  const { removed, kept, left } = within(directory, () => runSync(sweepAll(syncIo(), sweeping)));
  return { removed, kept, left };
}

/** Runs `reclaim()` alone. */
function onlyReclaim(directory: string, options: Partial<ReclaimOptions> = {}): Reclaimed {
  return within(directory, () => runSync(reclaim(syncIo(), { ...OPTIONS, ...options })));
}

/** Returns all entries below a directory, with the contents of files. */
function treeOf(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" }).sort().map((name) => {
    const path = join(directory, name), status = lstatSync(path);
    return `${name} ${status.uid} ${status.isFile() ? readFileSync(path, "utf8") : ""}`;
  });
}

test("C265 reclaim() leaves an entry that its process marks as kept during the liveness check", {
  skip: noLinux,
}, () => {
  using place = scratch();
  const pid = deadPid();
  const { path: lease, name } = plant(place.path, { pid });
  const [kept, left] = [join(place.path, name()), join(place.path, name())];
  writeFileSync(kept, "");
  mkdirSync(left);
  const { sync } = runtime;
  const list: Primitives["list"] = (path) => {
    // The process's last action before it is found to be dead.
    if (path === `/proc/${pid}/fd`) appendFileSync(lease, `kept ${basename(kept)}\n`);
    return sync.list(path);
  };
  const undo = substituteRuntime({ ...runtime, sync: { ...sync, list } });
  try {
    assert.deepEqual(reclaimIn(place.path).removed.map(({ path }) => path), [left]);
  } finally {
    undo();
  }
  assert.deepEqual([existsSync(kept), existsSync(left), existsSync(lease)], [true, false, false]);
});

test(
  "C259 C265 reclaim() leaves an entry that another process adopted and kept since the lease was read, although that process has no lease any more",
  {
    skip: noLinux,
  },
  () => {
    using place = scratch();
    const { path: lease, name } = plant(place.path);
    const [kept, left] = [join(place.path, name()), join(place.path, name())];
    for (const path of [kept, left]) writeFileSync(path, "");
    const { sync } = runtime;
    let looks = 0;
    const list: Primitives["list"] = (path) => {
      // The second look at the leases is for those of adopters, before the first removal.
      if (path === leasesIn(place.path) && ++looks === 2) appendFileSync(lease, `kept /${basename(kept)}\n`);
      return sync.list(path);
    };
    const undo = substituteRuntime({ ...runtime, sync: { ...sync, list } });
    try {
      assert.deepEqual(onlyReclaim(place.path).removed.map(({ path }) => path), [left]);
    } finally {
      undo();
    }
    assert.deepEqual([existsSync(kept), existsSync(left), existsSync(lease)], [true, false, false]);
  },
);

test(
  "C259 C265 reclaim() removes an entry adopted from a dead process only when the adopter is dead as well",
  {
    skip: noLinux,
  },
  () => {
    using place = scratch();
    const creator = plant(place.path),
      file = join(place.path, creator.name()),
      tree = join(place.path, creator.name());
    const free = join(place.path, creator.name()), inside = join(tree, creator.name());
    for (const path of [file, free]) writeFileSync(path, "");
    mkdirSync(tree);
    writeFileSync(inside, "");
    const adopter = plant(place.path, { pid: process.pid, lines: [`adopted ${file}`, `adopted ${inside}`] });
    const fd = openSync(adopter.path, "r");
    const { removed, kept } = onlyReclaim(place.path);
    assert.deepEqual(removed.map(({ path }) => path), [free]);
    assert.deepEqual(
      kept.map(({ path, isTaken }) => [path, isTaken]).sort(),
      [[file, true], [tree, true]].sort(),
    );
    closeSync(fd);
    assert.deepEqual(reclaimIn(place.path).kept, []);
    assert.deepEqual([file, tree].map((path) => existsSync(path)), [false, false]);
    assert.deepEqual(readLeases(place.path), {});
  },
);

test(
  "C265 reclaim() never removes what an adopter kept, and what a dead adopter held only when the creator is dead too",
  { skip: noLinux },
  () => {
    using place = scratch();
    const creator = plant(place.path, { pid: process.pid });
    const [kept, died, again] = [1, 2, 3].map(() => join(place.path, creator.name()));
    for (const path of [kept, died, again]) {
      writeFileSync(path, "");
      appendFileSync(creator.path, `kept /${basename(path)}\n`);
    }
    appendFileSync(creator.path, `adopted ${again}\n`);
    plant(place.path, { lines: [`adopted ${died}`] });
    const fd = openSync(creator.path, "r");
    assert.deepEqual(reclaimIn(place.path).removed, []);
    closeSync(fd);
    const removed = reclaimIn(place.path).removed.map(({ path }) => path);
    assert.deepEqual([removed.sort(), existsSync(kept)], [[died, again].sort(), true]);
    assert.deepEqual(readLeases(place.path), {});
  },
);

test(
  "C259 C265 reclaim() removes what a dead process had adopted, unless it kept it or the live creator still holds it",
  {
    skip: noLinux,
  },
  () => {
    using place = scratch();
    const creator = plant(place.path, { pid: process.pid });
    const names = ["gone", "kept", "its creator's", "theirs again", "around"].map(() => creator.name());
    const [gone, kept, creators, again, around] = names.map((name) => join(place.path, name));
    // The creator's lease has no record of what it made inside a directory of its own.
    const inside = join(around, creator.name());
    mkdirSync(around);
    const strangers = ["notes.txt", `${creator.session}-1.txt`].map((name) => join(place.path, name));
    for (const path of [gone, kept, creators, again, inside, ...strangers]) writeFileSync(path, "");
    appendFileSync(creator.path, [gone, kept, again].map((path) => `kept ${basename(path)}\n`).join(""));
    const lines = [gone, kept, creators, again, inside, ...strangers].map((path) => `adopted ${path}`);
    const adopter = plant(place.path, {
      lines: [...lines, `kept ${basename(kept)}`, `kept ${basename(again)}`, `adopted ${again}`],
    });
    const fd = openSync(creator.path, "r");
    assert.deepEqual(reclaimIn(place.path).removed.map(({ path }) => path).sort(), [gone, again].sort());
    assert.deepEqual([kept, creators, inside, ...strangers].filter((path) => !existsSync(path)), []);
    assert.ok(existsSync(adopter.path), "its lease leads to the entry that the creator holds");
    closeSync(fd);
    // Now the creator is dead as well.
    reclaimIn(place.path);
    assert.deepEqual([creators, around].filter((path) => existsSync(path)), []);
    assert.deepEqual([kept, ...strangers].map((path) => existsSync(path)), [true, true, true]);
    assert.deepEqual(readLeases(place.path), {});
  },
);

test("C265 C268 C275 reclaim() removes only what has a name form of a dead lease, and no symbolic links or kept entries", () => {
  using place = scratch();
  using outside = scratch();
  writeFileSync(join(outside.path, "precious"), "precious");
  const forms = ["tmp*.db", "dir-*"].map((form) => `made ${join(place.path, form)}`);
  const dead = plant(place.path, { lines: forms });
  const file = join(place.path, dead.name("tmp", ".db")), tree = join(place.path, dead.name("dir-"));
  const kept = join(place.path, dead.name("tmp", ".db"));
  for (const path of [file, kept]) writeFileSync(path, "12345");
  mkdirSync(join(tree, "sub"), { recursive: true });
  writeFileSync(join(tree, "sub", "file"), "123");
  if (!noLinks) symlinkSync(outside.path, join(tree, "link"));
  appendFileSync(dead.path, `kept ${basename(kept)}\n`);
  const other = [
    dead.name(), // a form that this lease does not have
    dead.name("dir-", ".db"),
    `${dead.name("tmp", ".db")}-journal`,
    `x${dead.name("tmp", ".db")}`,
    `tmp${dead.session}.db`,
    `tmp${dead.session}abcdefghijkm1.db`, // a character that is not in the alphabet
    `tmp${dead.session}ABCDEFGHIJKLM.db`,
    `tmp${dead.session.split("").reverse().join("")}abcdefghijkmn.db`,
    ...isWindows ? [] : ["tmp*.db"],
  ];
  for (const name of other) writeFileSync(join(place.path, name), "");
  if (!noLinks) {
    symlinkSync(outside.path, join(place.path, dead.name("dir-")));
    symlinkSync(join(outside.path, "precious"), join(place.path, dead.name("tmp", ".db")));
  }
  if (!noFifos) spawnSync("mkfifo", [join(place.path, dead.name("tmp", ".db"))]);
  const before = place.names();
  const { removed, left } = reclaimIn(place.path);
  assert.deepEqual(
    removed.map(({ path, bytes }) => [path, bytes]).sort(),
    [[file, 5], [tree, 3 + (noLinks ? 0 : outside.path.length)]].sort(),
  );
  assert.deepEqual(left, []);
  assert.deepEqual(place.names(), before.filter((name) => ![basename(file), basename(tree)].includes(name)));
  assert.deepEqual(outside.list(), ["precious"]);
  assert.deepEqual(readLeases(place.path), {});
});

/** Lines that this library never writes to a lease. They name a directory outside, which has an entry with the lease's session. */
const FORGED: { [what: string]: (outside: string, place: Scratch) => string[] } = {
  "a relative directory": () => ["made ./tmp*", "made tmp*", "made ../tmp*"],
  "a parent directory": (
    outside,
    { path },
  ) => [`made ${path}/../${basename(outside)}/tmp*`, `made ${outside}/./tmp*`],
  "the root": () => ["made /tmp*", "made //tmp*", "made /etc/tmp*"],
  "an invalid form": (
    outside,
  ) => [`made ${outside}`, `made ${outside}/`, `made ${outside}/**`, `made ${outside}/*tmp*`],
  "a link": (outside, { path }) => {
    if (!noLinks) symlinkSync(outside, join(path, "link"));
    return [`made ${path}/link/tmp*`];
  },
  "another record": (
    outside,
  ) => [
    `parent ${outside}`,
    `Made ${outside}/tmp*`,
    ` made ${outside}/tmp*`,
    "pid ../..",
    `made\t${outside}/tmp*`,
  ],
  "a missing directory": () => ["made /no/such/place/tmp*", ...isWindows ? [] : ["made /dev/null/tmp*"]],
  "a directory that cannot exist": (_outside, { path }) => {
    if (!noLinks) symlinkSync("loop", join(path, "loop"));
    return [`made ${path}/loop/x/tmp*`, `made /${"x".repeat(300)}/tmp*`];
  },
  "bytes": (outside) => ["\0\x01\xff", `made ${outside}\0/tmp*`, "kept", "made", "made "],
};

test("C278 reclaim() with forged records in a lease removes only the entries that its valid records name", () => {
  for (const [what, lines] of Object.entries(FORGED)) {
    using place = scratch();
    using outside = scratch();
    const lease = plant(place.path);
    appendFileSync(lease.path, [...lines(outside.path, place), ""].join("\n"));
    const precious = lease.name();
    writeFileSync(join(outside.path, precious), "precious");
    writeFileSync(join(place.path, lease.name()), "a leftover");
    const { removed, left } = reclaimIn(place.path);
    // Control: the lease itself is valid.
    assert.deepEqual([removed.length, left], [1, []], what);
    assert.deepEqual(outside.list(), [precious], what);
    assert.deepEqual(readLeases(place.path), {}, what);
  }
});

test(
  "C278 control: a naive sweep that trusts leases removes files outside through forged ones and through symbolic links",
  {
    skip: noLinks,
  },
  () => {
    const lost: string[] = [];
    for (const what of ["a parent directory", "a link"]) {
      using place = scratch();
      using outside = scratch();
      const lease = plant(place.path);
      appendFileSync(lease.path, [...FORGED[what](outside.path, place), ""].join("\n"));
      writeFileSync(join(outside.path, lease.name()), "precious");
      naiveSweep(leasesIn(place.path));
      if (outside.list().length === 0) lost.push(what);
    }
    using place = scratch();
    using outside = scratch();
    writeFileSync(join(outside.path, "precious"), "");
    symlinkSync(outside.path, join(place.path, plant(place.path).name()));
    naiveSweep(leasesIn(place.path));
    if (outside.list().length === 0) lost.push("a link in place of a directory");
    assert.deepEqual(lost, ["a parent directory", "a link", "a link in place of a directory"]);
  },
);

test("C278 reclaim() ignores leases that are truncated, oversized, binary or not regular files, and processes the others", () => {
  using place = scratch();
  const texts = {
    "truncated header": `mayfly 1\npid 1\nnamespace`,
    "truncated line": plantedBy(`made ${place.path}/tm`),
    "oversized": "mayfly 1\n" + "x".repeat(5 * 1024 * 1024),
    "binary": String.fromCharCode(...Array.from({ length: 1000 }, (_, i) => i % 256)),
    "another version": plantedBy(`made ${place.path}/tmp*\n`).replace("mayfly 1", "mayfly 2"),
  };
  const kept = Object.values(texts).map((text) => {
    const lease = plant(place.path, { text });
    const name = lease.name();
    writeFileSync(join(place.path, name), "");
    return name;
  });
  const leases = leasesIn(place.path);
  mkdirSync(join(leases, "abcdefgh-1.lease"));
  spawnSync("mkfifo", [join(leases, "abcdefgh-2.lease")]);
  symlinkSync("/etc/passwd", join(leases, "abcdefgh-3.lease"));
  const good = plant(place.path);
  writeFileSync(join(place.path, good.name()), "");
  const { removed, left } = reclaimIn(place.path);
  assert.deepEqual([removed.length, left], [1, []]);
  assert.deepEqual(place.names(), kept.sort());
});

/** Returns the text of a dead process's lease, followed by more. */
function plantedBy(rest: string): string {
  using other = scratch();
  return readFileSync(plant(other.path, { lines: [] }).path, "utf8") + rest;
}

test("C278 reclaim() lists each directory only once for a lease of 30,000 lines", () => {
  using place = scratch();
  const many = Array.from({ length: 5_000 }, (_, n) => `made ${place.path}/none${n}/tmp*`);
  const same = Array.from({ length: 25_000 }, (_, n) => `made ${place.path}/p${n}*`);
  const lease = plant(place.path, { lines: [...many, ...same] });
  writeFileSync(join(place.path, lease.name("p24999")), "");
  writeFileSync(join(place.path, lease.name("p25000")), "");
  const { sync } = runtime;
  let lists = 0;
  const list: Primitives["list"] = (path) => {
    if (path === "/proc") return NO_PROCESS;
    lists++;
    return sync.list(path);
  };
  const undo = substituteRuntime({ ...runtime, sync: { ...sync, list } });
  try {
    assert.equal(reclaimIn(place.path).removed.length, 1);
  } finally {
    undo();
  }
  // The directory of leases, the process's descriptors, the directory of entries.
  assert.ok(lists <= 4, String(lists));
});

/** Lists as the runtime does, but counts the names in one directory, and sorts those of another. */
function watchedList(counted: string, sorted: string, order: readonly string[]) {
  const seen = { names: 0, lists: 0, afterList: (): void => {} };
  const rank = ({ name }: DirectoryEntry): number => order.indexOf(name as string);
  const list: Stub = (real, path: string) => {
    const listing = real(path) as Listing, batches: DirectoryEntry[][] = [];
    const place = path.startsWith("/proc/") && !path.endsWith("/.") ? path : realpathSync(path);
    if (place !== counted && place !== sorted) return listing;
    for (let batch = listing.next() as DirectoryEntry[]; batch.length > 0;) {
      batches.push(batch);
      batch = listing.next() as DirectoryEntry[];
    }
    const entries = batches.flat();
    if (place === sorted) entries.sort((one, other) => rank(one) - rank(other));
    if (place === counted) {
      seen.lists++;
      seen.names += entries.length;
      seen.afterList();
    }
    return { next: () => entries.splice(0), close: () => listing.close() };
  };
  return { seen, list };
}

test("C269 reclaim() and listLeases() ignore leases in a directory that others can access (POSIX)", {
  skip: noModes,
}, () => {
  using place = scratch();
  const lease = plant(place.path);
  writeFileSync(join(place.path, lease.name()), "");
  const listed = (): number => within(place.path, () => runSync(listLeases(syncIo()))).length;
  chmodSync(leasesIn(place.path), 0o755);
  assert.deepEqual([reclaimIn(place.path).removed.length, listed()], [0, 0]);
  // Control: the same leases in a directory of this user alone.
  chmodSync(leasesIn(place.path), 0o700);
  assert.deepEqual([listed(), reclaimIn(place.path).removed.length], [1, 1]);
});

test("C265 reclaim(), sweep() and listLeases() read the names in a directory once for all leases", {
  skip: noLinux,
}, () => {
  using place = scratch();
  const open: number[] = [];
  for (let n = 0; n < 100; n++) {
    const isAlive = n % 2 === 0;
    const lease = plant(place.path, isAlive ? { pid: process.pid } : {});
    if (isAlive) open.push(openSync(lease.path, "r"));
    for (let i = 0; i < 3; i++) writeFileSync(join(place.path, lease.name()), "");
  }
  for (let n = 0; n < 2000; n++) writeFileSync(join(place.path, `other${n}`), "");
  const { seen, list } = watchedList(place.path, leasesIn(place.path), []);
  using _ = substitute({ primitives: { list } });
  const namesReadBy = (look: () => unknown): number => {
    seen.names = 0;
    look();
    return seen.names;
  };
  // With the directory of leases.
  const [all, alive] = [2301, 2151];
  assert.equal(namesReadBy(() => within(place.path, () => runSync(listLeases(syncIo())))), all);
  assert.equal(namesReadBy(() => onlyReclaim(place.path)), all);
  assert.equal(namesReadBy(() => assert.equal(reclaimIn(place.path).kept.length, 150)), alive);
  for (const fd of open) closeSync(fd);
  assert.equal(namesReadBy(() => assert.equal(reclaimIn(place.path).removed.length, 150)), alive);
  assert.deepEqual(readLeases(place.path), {});
});

test("C265 reclaim() removes what each process creates just before it is found to be dead", {
  skip: noLinux,
}, () => {
  using place = scratch();
  const alive = plant(place.path, { pid: process.pid });
  const fd = openSync(alive.path, "r");
  writeFileSync(join(place.path, alive.name()), "");
  const dead = Array.from({ length: 4 }, () => {
    const { pid } = spawnSync(process.execPath, ["--version"]);
    return { ...plant(place.path, { pid }), proc: `/proc/${pid}/fd` };
  });
  for (const { name } of dead) writeFileSync(join(place.path, name()), "");
  const order = [alive, ...dead].map(({ path }) => basename(path));
  const { seen, list: watched } = watchedList(place.path, leasesIn(place.path), order);
  const list: Stub = (real, path: string) => {
    const dying = dead.find(({ proc }) => proc === path);
    if (dying !== undefined) writeFileSync(join(place.path, dying.name()), "");
    return watched(real, path as never);
  };
  using _ = substitute({ primitives: { list } });
  const { removed, kept, left } = reclaimIn(place.path);
  assert.deepEqual([removed.length, kept.length, left.length, seen.lists], [8, 1, 0, 2]);
  assert.deepEqual(Object.keys(readLeases(place.path)), [basename(alive.path)]);
  closeSync(fd);
});

test(
  "C258 C265 reclaim() at process exit leaves the lease of a thread that creates a file after the listing and then ends",
  { skip: noLinux },
  () => {
    using place = scratch();
    const [ended, running] = [1, 2].map(() => plant(place.path, { pid: process.pid }));
    const fd = openSync(running.path, "r");
    for (const { name } of [ended, running]) writeFileSync(join(place.path, name()), "");
    const late = join(place.path, running.name());
    const order = [ended, running].map(({ path }) => basename(path));
    const { seen, list } = watchedList(place.path, leasesIn(place.path), order);
    seen.afterList = () => {
      if (seen.lists > 1) return;
      writeFileSync(late, "");
      closeSync(fd);
    };
    using _ = substitute({ primitives: { list } });
    assert.equal(onlyReclaim(place.path, { ending: true }).removed.length, 2);
    assert.deepEqual(Object.keys(readLeases(place.path)), [basename(running.path)]);
    assert.deepEqual(reclaimIn(place.path).removed.map(({ path }) => path), [late]);
    assert.deepEqual([place.names(), readLeases(place.path)], [[], {}]);
  },
);

test(
  "C258 C265 reclaim() at process exit leaves an entry that a thread has kept since its lease was read",
  () => {
    using place = scratch();
    const lease = plant(place.path, { pid: process.pid });
    const [kept, left] = [lease.name(), lease.name()];
    for (const name of [kept, left]) writeFileSync(join(place.path, name), "");
    const { seen, list } = watchedList(place.path, leasesIn(place.path), []);
    seen.afterList = () => {
      if (seen.lists === 1) appendFileSync(lease.path, `kept ${kept}\n`);
    };
    using _ = substitute({ primitives: { list } });
    assert.deepEqual(onlyReclaim(place.path, { ending: true }).removed.map(({ path }) => basename(path)), [
      left,
    ]);
    assert.deepEqual(place.names(), [kept]);
  },
);

test("C257 C258 C265 reclaim() at process exit removes only what this process's threads left, not what another has, or one with the same PID on another host or in another container", () => {
  using place = scratch();
  const said = [{}, { pid: deadPid() }, { host: "elsewhere" }, { namespace: "pid:[1]" }];
  const [own, dead] = (noLinux ? said.slice(0, 3) : said).map((other) => {
    const path = join(place.path, plant(place.path, { pid: process.pid, ...other }).name());
    writeFileSync(path, "");
    return path;
  });
  const removedBy = (ending: boolean) => onlyReclaim(place.path, { ending }).removed.map(({ path }) => path);
  assert.deepEqual(removedBy(true), [own]);
  assert.deepEqual(removedBy(false), [dead]);
});

test(
  "C259 C265 markKept() writes to the leases of the creator and of dead adopters, and to no others, even if one vanishes",
  {
    skip: noLinux,
  },
  () => {
    using place = scratch();
    const creator = plant(place.path), path = join(place.path, creator.name());
    const lines = [`adopted ${path}`];
    const [dead, gone] = [1, 2].map(() => plant(place.path, { lines }));
    // An adopter whose process may be alive, and somebody who has nothing to do with it.
    plant(place.path, { lines, host: "elsewhere" });
    plant(place.path);
    let opened = 0;
    using seen = substitute({
      primitives: {
        openFile(real, file: string, access: string) {
          if (access === "append" && file === gone.path) unlinkSync(file);
          const handle = real(file as never, access as never);
          opened++;
          return handle;
        },
      },
    });
    runSync(markKept(syncIo(), leasesIn(place.path), path));
    assert.equal(seen.of("close").length, opened);
    const leases = readLeases(place.path);
    const told = Object.keys(leases).filter((name) => leases[name].includes(`\nkept /${basename(path)}\n`));
    assert.deepEqual(told.sort(), [creator, dead].map((lease) => basename(lease.path)).sort());
    assert.equal(Object.keys(leases).length, 4);
  },
);

test("C265 C270 reclaim() continues if another process removes its lease after it was listed", () => {
  using place = scratch();
  writeFileSync(join(place.path, plant(place.path).name()), "");
  const other = plant(place.path, { host: "elsewhere" });
  const { seen, list } = watchedList(leasesIn(place.path), "", []);
  // The second listing is for the leases of those that may have adopted something.
  seen.afterList = () => {
    if (seen.lists === 2) unlinkSync(other.path);
  };
  using _ = substitute({ primitives: { list } });
  assert.equal(onlyReclaim(place.path).removed.length, 1);
  assert.deepEqual([place.names(), readLeases(place.path)], [[], {}]);
});

test("reclaim() removes the leases after one whose entries could not be removed", () => {
  using place = scratch();
  const leases = [1, 2].map(() => plant(place.path));
  const [left, removed] = leases.map(({ name }) => join(place.path, name()));
  for (const path of [left, removed]) writeFileSync(path, "");
  const { list } = watchedList("", leasesIn(place.path), leases.map(({ path }) => basename(path)));
  const unlink: Stub = (real, path: string) => {
    if (basename(path) === basename(left)) throw systemError("EROFS");
    return real(path);
  };
  using _ = substitute({ primitives: { list, unlink } });
  assert.deepEqual(reclaimIn(place.path), {
    removed: [{ path: removed, bytes: 0 }],
    kept: [],
    left: [{ path: left, code: "EROFS" }],
  });
  assert.deepEqual(Object.keys(readLeases(place.path)), [basename(leases[0].path)]);
});

test("reclaim() can be aborted between two leases, and names the directory of leases if it cannot be listed", () => {
  using place = scratch();
  for (let n = 0; n < 3; n++) plant(place.path, { host: "elsewhere" });
  let asked = 0;
  const reason = new Error("enough");
  const checkpoint = (): void => {
    if (++asked === 2) throw reason;
  };
  assert.throws(() => onlyReclaim(place.path, { checkpoint }), reason);
  const path = leasesIn(place.path);
  const list: Stub = () => {
    throw systemError("EMFILE");
  };
  using _ = substitute({ primitives: { list } });
  assert.throws(() => onlyReclaim(place.path), { code: "EMFILE", path, message: /look for leases in/ });
});

test("reclaim() does not look for an adopted entry that was kept, whose directory may not be accessible", {
  skip: noLinux,
}, () => {
  using place = scratch();
  const name = plant(place.path).name(), elsewhere = join(place.path, "elsewhere");
  mkdirSync(elsewhere);
  plant(place.path, { lines: [`adopted ${join(elsewhere, name)}`, `kept ${name}`] });
  const locateDirectory: Stub = (real, path: string) => {
    if (path === elsewhere) throw systemError("EACCES");
    return real(path);
  };
  using _ = substitute({ primitives: { locateDirectory } });
  assert.deepEqual(reclaimIn(place.path), { removed: [], kept: [], left: [] });
  assert.deepEqual(readLeases(place.path), {});
});

test("reclaim() ignores files, directories and leases of other users (skipped: needs root)", {
  skip: process.getuid?.() !== 0,
}, () => {
  using place = scratch();
  const lease = plant(place.path);
  const [file, directory] = [join(place.path, lease.name()), join(place.path, lease.name())];
  writeFileSync(file, "");
  mkdirSync(directory);
  for (const path of [file, directory]) chownSync(path, 12345, 12345);
  // Only files can be given to another user.
  appendFileSync(lease.path, `given ${directory}\n`);
  const foreign = plant(place.path);
  writeFileSync(join(place.path, foreign.name()), "");
  chownSync(foreign.path, 12345, 12345);
  assert.deepEqual(reclaimIn(place.path), { removed: [], kept: [], left: [] });
  assert.equal(place.names().length, 3);
});

test(
  "T19 sweep() leaves file systems mounted on or in a leftover as they are (skipped: needs root and mounts)",
  { skip: noMounts },
  async () => {
    using place = scratch();
    using outside = scratch();
    writeFileSync(join(outside.path, "precious"), "");
    const lease = plant(place.path);
    const [device, bound, around] = [0, 1, 2].map(() => join(place.path, lease.name()));
    for (const path of [device, bound, join(around, "inside")]) mkdirSync(path, { recursive: true });
    const code = `
    const [device, bound, around] = args;
    fs.writeFileSync(device + "/precious", "");
    const { removed, left } = await m.sweep();
    say([device, bound, around + "/inside"].map((path) => fs.existsSync(path + "/precious")));
    say([removed.length, left.map(({ code }) => code)]);`;
    const mounts =
      `mount -t tmpfs tmpfs "$1" && mount --bind "$4" "$2" && mount --bind "$4" "$3/inside" && shift 4 && exec "$@"`;
    const { said, stderr } = await runChild(code, {
      env: { TMPDIR: place.path },
      args: [device, bound, around],
      under: ["unshare", "-m", "sh", "-c", mounts, "sh", device, bound, around, outside.path],
    });
    assert.deepEqual(said[0], [true, true, true], stderr);
    assert.equal(said[1][0], 0);
    assert.deepEqual(outside.list(), ["precious"]);
  },
);

test(
  "C265 sweep() reports a leftover on which something is mounted, and removes it once that is gone (skipped: needs root and mounts)",
  { skip: noMounts },
  async () => {
    using place = scratch();
    const path = join(place.path, plant(place.path).name());
    mkdirSync(path);
    const options = { env: { TMPDIR: place.path } };
    const code =
      `const { removed, left } = await m.sweep(); say(removed.map(({ path }) => path)); say(left);`;
    const mounted = await runChild(code, {
      ...options,
      under: ["unshare", "-m", "sh", "-c", `mount -t tmpfs tmpfs "$0" && exec "$@"`, path],
    });
    assert.deepEqual(mounted.said, [[], [{ path, code: "EBUSY" }]], mounted.stderr);
    assert.deepEqual((await runChild(code, options)).said, [[path], []]);
  },
);

/** The directories of one attempt. */
interface Scene {
  /** The temporary directory. */
  top: string;
  parent: string;
  outside: string;
}

/** Creates a directory with leftovers of a dead process, and beside it one outside with the same names. */
function arrange(place: Scratch, number: number): Scene {
  const top = join(place.path, String(number));
  const [parent, outside] = ["parent", "outside"].map((name) => join(top, name));
  mkdirSync(top);
  const lease = plant(top, { lines: [`made ${parent}/tmp*`] });
  const [file, tree] = [lease.name(), lease.name()];
  for (const directory of [parent, outside]) {
    mkdirSync(join(directory, tree, "sub"), { recursive: true });
    for (const path of [file, join(tree, "one"), join(tree, "sub", "two")]) {
      writeFileSync(join(directory, path), "contents");
    }
  }
  return { top, parent, outside };
}

/** Replaces the parent with a symbolic link to the directory outside. */
function swap({ parent, outside }: Scene): void {
  renameSync(parent, `${parent}.away`);
  symlinkSync(outside, parent);
}

/** Runs an operation with an action before the k-th call of a primitive. Returns false if there are fewer calls. */
function runBeforeCall(make: () => Op<unknown>, k: number, action: () => void): boolean {
  let calls = 0;
  const { sync } = runtime;
  const counted = Object.fromEntries(
    Object.entries(sync).map(([name, call]) => [name, (...args: never[]) => {
      if (++calls === k) action();
      return (call as (...args: never[]) => unknown)(...args);
    }]),
  ) as unknown as Primitives;
  const undo = substituteRuntime({ ...runtime, sync: counted });
  try {
    runSync(make());
  } finally {
    undo();
  }
  return calls >= k;
}

test(
  "T19 reclaim() removes nothing outside if the parent is swapped for a symbolic link before any of its calls",
  { skip: noLinks || noLinux },
  () => {
    using place = scratch();
    using watched = substitute();
    let k = 1;
    for (;; k++) {
      const scene = arrange(place, k);
      const before = treeOf(scene.outside);
      const reached = within(
        scene.top,
        () => runBeforeCall(() => reclaim(syncIo(), OPTIONS), k, () => swap(scene)),
      );
      assert.deepEqual(treeOf(scene.outside), before, `before call ${k}`);
      if (!reached) break;
    }
    assert.ok(k > 20, `${k} calls`);
    // A rename that asks whether something is a mount point could be redirected as well.
    assert.deepEqual([...watched.of("rename"), ...watched.of("link")], []);
    assert.ok(watched.of("unlink").length > 20);
  },
);

test("T19 control: the same swap makes a naive sweep remove files outside", { skip: noLinks }, () => {
  using place = scratch();
  const lost: number[] = [];
  for (let k = 1, reached = true; reached; k++) {
    const scene = arrange(place, k);
    const before = treeOf(scene.outside).length;
    let calls = 0;
    const fs = Object.fromEntries(
      Object.entries(real).filter(([, call]) => typeof call === "function").map((
        [name, call],
      ) => [name, (...args: unknown[]) => {
        if (++calls === k) swap(scene);
        return (call as (...args: unknown[]) => unknown)(...args);
      }]),
    ) as unknown as SweepFs;
    try {
      naiveSweep(leasesIn(scene.top), fs);
    } catch {
      // It may fail after it has done the damage.
    }
    if (treeOf(scene.outside).length < before) lost.push(k);
    reached = calls >= k;
  }
  assert.ok(lost.length > 0);
});

test("C299 reclaim() leaves entries in directories that may not be read or written, and keeps the lease", {
  skip: noLinux,
}, () => {
  using place = scratch();
  using other = scratch();
  const { path: lease, name } = plant(place.path, { lines: [`made ${other.path}/tmp*`] });
  const path = join(other.path, name());
  writeFileSync(path, "x");
  const isAllowed = (one: string): boolean => !one.startsWith(other.path);
  const code = "ERR_ACCESS_DENIED";
  for (const [denied, left] of [["mayRead", other.path], ["mayWrite", path]] as const) {
    using _ = substitute({ runtime: { [denied]: isAllowed } });
    const report = reclaimIn(place.path);
    assert.deepEqual([report.removed, report.left], [[], [{ path: left, code }]], denied);
    assert.deepEqual([existsSync(path), existsSync(lease)], [true, true]);
  }
  assert.deepEqual(reclaimIn(place.path).removed, [{ path, bytes: 1 }]);
});

test("C270 two interleaved reclaim() runs, whatever their offset, remove everything without error and count each file once", () => {
  for (let shift = 0; shift < 60; shift += 3) {
    using place = scratch();
    const lease = plant(place.path);
    const paths = Array.from({ length: 6 }, () => join(place.path, lease.name())).sort();
    paths.slice(0, 3).forEach((path) => writeFileSync(path, "x"));
    paths.slice(3).forEach((path) => mkdirSync(join(path, "sub"), { recursive: true }));
    within(place.path, () => {
      const ops = [reclaim(syncIo(), OPTIONS), reclaim(syncIo(), OPTIONS)];
      const answers: unknown[] = [undefined, undefined];
      const reports: Reclaimed[] = [];
      const advance = (which: number): void => {
        if (reports[which] !== undefined) return;
        const step = ops[which].next(answers[which]);
        if (step.done) reports[which] = step.value;
        else answers[which] = step.value;
      };
      for (let n = 0; n < shift; n++) advance(0);
      while (reports[0] === undefined || reports[1] === undefined) [0, 1].forEach(advance);
      assert.deepEqual(reports.flatMap(({ left }) => left), [], `shift ${shift}`);
      const removed = reports.flatMap(({ removed }) => removed.map(({ path }) => path));
      const files = removed.filter((path) => paths.indexOf(path) < 3).sort();
      assert.deepEqual(files, paths.slice(0, 3), `shift ${shift}`);
      assert.deepEqual([...new Set(removed)].sort(), paths, `shift ${shift}`);
    });
    assert.deepEqual(place.names(), []);
    assert.deepEqual(readLeases(place.path), {});
  }
});

test("C270 two processes that call sweep() at once remove everything without error", async () => {
  using place = scratch();
  for (let n = 0; n < 10; n++) {
    const lease = plant(place.path);
    for (let i = 0; i < 30; i++) {
      const path = join(place.path, lease.name());
      if (i % 3 === 0) mkdirSync(join(path, "sub"), { recursive: true });
      else writeFileSync(path, "x");
    }
  }
  const code = `const { removed, left } = await m.sweep(); say([removed.length, left]);`;
  const children = await Promise.all(
    [1, 2].map(() => runChild(code, { env: { TMPDIR: place.path } })),
  );
  for (const { said, status, stderr } of children) {
    assert.deepEqual([status, said[0]?.[1], stderr], [0, [], ""]);
  }
  assert.deepEqual(place.names(), []);
  assert.deepEqual(readLeases(place.path), {});
});

test("C276 reclaim() interrupted after any step leaves the lease if entries remain, and the next run finishes", () => {
  using place = scratch();
  using _ = substitute({
    primitives: { list: (real, path: string) => path === "/proc" ? NO_PROCESS : real(path) },
  });
  for (let k = 1, ended = false; !ended; k++) {
    const scene = arrange(place, k);
    within(scene.top, () => {
      const op = reclaim(syncIo(), OPTIONS);
      let step = op.next();
      for (let n = 1; n < k && !step.done; n++) step = op.next(step.value);
      ended = step.done === true;
      closeAbandoned(op, step.value);
    });
    const unfinished = readdirSync(scene.parent).length > 0;
    if (unfinished) assert.equal(Object.keys(readLeases(scene.top)).length, 1, `after step ${k}`);
    reclaimIn(scene.top);
    assert.deepEqual([readdirSync(scene.parent), readLeases(scene.top)], [[], {}], `after step ${k}`);
  }
});

/** Holds an fcntl lock until its input ends. */
const PYTHON = `
import fcntl, sys
file = open(sys.argv[1], "r+")
fcntl.lockf(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
`;

/** Starts a program that locks a path, and waits until it has. */
async function startLocker(command: string, ...args: string[]): Promise<ChildProcess> {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
  await firstOutput(child);
  return child;
}

test(
  "C267 reclaim() keeps a dead process's locked entries until they are unlocked (skipped except on Linux with flock and Python)",
  {
    skip: process.platform !== "linux" || !hasPython || spawnSync("flock", ["-V"]).status !== 0,
  },
  async () => {
    using place = scratch();
    const lease = plant(place.path);
    const [file, directory, byPython, free] = [0, 1, 2, 3].map(() => join(place.path, lease.name()));
    for (const path of [file, byPython, free]) writeFileSync(path, "");
    mkdirSync(directory);
    const hold = "echo locked; cat";
    const lockers = [
      await startLocker("flock", file, "sh", "-c", hold),
      await startLocker("flock", "--shared", directory, "sh", "-c", hold),
      await startLocker("python3", "-c", PYTHON, byPython),
    ];
    const { removed, kept, left } = reclaimIn(place.path);
    assert.deepEqual([removed.map(({ path }) => path), left], [[free], []]);
    assert.deepEqual(
      kept.sort((one, other) => one.path < other.path ? -1 : 1),
      [file, directory, byPython].sort().map((path) => ({ path, reason: "it is locked" })),
    );
    await Promise.all(lockers.map((child) => {
      const end = new Promise((resolve) => child.on("close", resolve));
      child.stdin!.end();
      return end;
    }));
    assert.equal(reclaimIn(place.path).removed.length, 3);
    assert.deepEqual(readLeases(place.path), {});
  },
);

test(
  "C267 reclaim() respects a lock under the device number that only mountinfo has, as on btrfs, but none under another",
  {
    skip: noLinux,
  },
  () => {
    using place = scratch();
    const mountedAs = (device: string) => `24 1 ${device} / / rw,relatime shared:1 - btrfs /dev/root rw\n`;
    const removedWith = (mounts: string): number => {
      const path = join(place.path, plant(place.path).name());
      writeFileSync(path, "");
      const lockedOn = (device: string): string =>
        `1: FLOCK  ADVISORY  WRITE 1 ${device}:${lstatSync(path).ino} 0 EOF\n`;
      // The inode number of a locked file on another device can be the same.
      const locks = lockedOn("00:fe") + lockedOn("00:fb");
      const tables: { [path: string]: string } = { "/proc/locks": locks, "/proc/self/mountinfo": mounts };
      using _ = substitute({
        primitives: {
          readSystemFile: (_real, path: string) => tables[path],
          list: (real, path: string) => path === "/proc" ? NO_PROCESS : real(path),
        },
      });
      return reclaimIn(place.path).removed.length;
    };
    assert.deepEqual(["", mountedAs("0:253"), mountedAs("0:254")].map(removedWith), [1, 1, 0]);
  },
);

test(
  "C267 in a container, sweep() keeps a file whose lock another process has inherited, as with flock(1) (skipped without namespaces)",
  { skip: noMounts || noFlock },
  async () => {
    using place = scratch();
    const lease = plant(place.path);
    const [locked, free] = [0, 1].map(() => join(place.path, lease.name()));
    for (const path of [locked, free]) writeFileSync(path, "");
    const code = `const [lease, dir] = args, home = fs.readlinkSync("/proc/self/ns/pid");
      fs.writeFileSync(lease, fs.readFileSync(lease, "utf8").replace(/^namespace .*/m, "namespace " + home));
      m.configure({ tmpdir: dir });
      const { removed, kept } = await m.sweep();
      say([removed.map(({ path }) => path), kept]);`;
    const lock = `exec 9<>"$0" && flock 9 && "$@" 9<&-`;
    const under = ["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", lock, locked];
    const { said, stderr } = await runChild(code, { args: [lease.path, place.path], under });
    assert.deepEqual(said, [[[free], [{ path: locked, reason: "it is locked" }]]], stderr);
  },
);

test(
  "C265 sweep() removes nothing of a live process in a PID namespace with another one's /proc (skipped without namespaces)",
  { skip: noMounts },
  async () => {
    using place = scratch();
    const code = `const file = m.namedTemporaryFileSync({ dir: args[0] });
      const { removed, kept } = await m.sweep();
      say([process.pid, removed, kept, file.path]);`;
    // In the outer namespace, this PID belongs to a kernel thread, which has nothing open.
    const under = ["unshare", "--pid", "--fork", "sh", "-c", '"$@"; exit $?', "sh"];
    const { said: [[pid, removed, kept, path]], stderr } = await runChild(code, {
      args: [place.path],
      env: { TMPDIR: place.path },
      under,
    });
    const reason = "it is unknown whether its process is running";
    assert.deepEqual([pid, removed, kept], [2, [], [{ path, reason }]], stderr);
  },
);

test(
  "C267 reclaim() fails without removing anything on EMFILE for /proc/locks, but continues if access is denied",
  {
    skip: noLinux,
  },
  () => {
    using place = scratch();
    const lease = plant(place.path), path = join(place.path, lease.name());
    writeFileSync(path, "");
    const removedWith = (code: string): number => {
      using _ = substitute({
        primitives: {
          readSystemFile(real, path: string) {
            if (path === "/proc/locks") throw systemError(code);
            return real(path);
          },
        },
      });
      return reclaimIn(place.path).removed.length;
    };
    assert.throws(() => removedWith("EMFILE"), { code: "EMFILE" });
    assert.ok(existsSync(path));
    assert.equal(removedWith("EACCES"), 1);
  },
);

test("reclaim() reports a directory that cannot be listed, removes what is in the others, and leaves the lease", () => {
  using place = scratch();
  const [hidden, other] = ["hidden", "other"].map((name) => join(place.path, name));
  const lease = plant(place.path, { lines: [`made ${hidden}/tmp*`, `made ${other}/tmp*`] });
  const paths = [hidden, other].map((directory) => join(directory, lease.name()));
  for (const directory of [hidden, other]) mkdirSync(directory);
  for (const path of paths) writeFileSync(path, "");
  const open = new Set<unknown>();
  using _ = substitute({
    primitives: {
      locateDirectory(real, path: string) {
        const descriptor = real(path);
        open.add(descriptor);
        return descriptor;
      },
      close(real, handle: unknown) {
        open.delete(handle);
        return real(handle);
      },
      list(real, path: string) {
        if (realpathSync(path) === hidden) throw systemError("EACCES");
        return real(path);
      },
    },
  });
  assert.deepEqual(reclaimIn(place.path), {
    removed: [{ path: paths[1], bytes: 0 }],
    kept: [],
    left: [{ path: hidden, code: "EACCES" }],
  });
  assert.deepEqual([...paths, lease.path].map((path) => existsSync(path)), [true, false, true]);
  assert.deepEqual([...open], []);
});

test(
  "T19 reclaim() without descriptor paths does not follow a symbolic link in place of a recorded directory",
  {
    skip: noLinks,
  },
  () => {
    using place = scratch();
    using outside = scratch();
    const directory = join(place.path, "directory");
    const lease = plant(place.path, { lines: [`made ${directory}/tmp*`] });
    const path = join(outside.path, lease.name());
    writeFileSync(path, "");
    symlinkSync(outside.path, directory);
    using _ = substitute({ runtime: { anchor: () => undefined } });
    assert.deepEqual(reclaimIn(place.path), { removed: [], kept: [], left: [] });
    assert.ok(existsSync(path));
  },
);
