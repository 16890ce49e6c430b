/**
 * `reclaim()`: what it removes and leaves, and what it does when it fails or is interrupted.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  realpathSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { listLeases } from "../../lib/life/list_leases.ts";
import { reclaim, type Reclaimed } from "../../lib/life/reclaim.ts";
import { syncIo } from "../../lib/operation/io.ts";
import { runSync } from "../../lib/operation/op.ts";
import { closeAbandoned } from "../support/abandoned.ts";
import { runChild } from "../support/child.ts";
import { endedProcess, leasesIn, plant, readLeases } from "../support/leases.ts";
import { packageTest as test } from "../support/once.ts";
import { isWindows, noFifos, noLinks, noLinux } from "../support/platform.ts";
import {
  arrange,
  NO_PROCESS,
  onlyReclaim,
  OPTIONS,
  reclaimIn,
  watchedList,
  within,
} from "../support/reclaiming.ts";
import { scratch } from "../support/scratch.ts";
import { type Stub, substitute, systemError } from "../support/substitute.ts";

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

test("C265 reclaim(), sweep() and listLeases() read the names in a directory once for all leases", {
  skip: noLinux,
  onOneNode: true,
}, () => {
  using place = scratch();
  const open: number[] = [];
  for (let n = 0; n < 20; n++) {
    const isAlive = n % 2 === 0;
    const lease = plant(place.path, isAlive ? { pid: process.pid } : {});
    if (isAlive) open.push(openSync(lease.path, "r"));
    for (let i = 0; i < 3; i++) writeFileSync(join(place.path, lease.name()), "");
  }
  for (let n = 0; n < 400; n++) writeFileSync(join(place.path, `other${n}`), "");
  const { seen, list } = watchedList(place.path, leasesIn(place.path), []);
  using _ = substitute({ primitives: { list } });
  const namesReadBy = (look: () => unknown): number => {
    seen.names = 0;
    look();
    return seen.names;
  };
  // With the directory of leases.
  const [all, alive] = [461, 431];
  assert.equal(namesReadBy(() => within(place.path, () => runSync(listLeases(syncIo())))), all);
  assert.equal(namesReadBy(() => onlyReclaim(place.path)), all);
  assert.equal(namesReadBy(() => assert.equal(reclaimIn(place.path).kept.length, 30)), alive);
  for (const fd of open) closeSync(fd);
  assert.equal(namesReadBy(() => assert.equal(reclaimIn(place.path).removed.length, 30)), alive);
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
    const pid = endedProcess();
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

test("C259 reclaim() looks at many leases again only after as long as a look at them takes, then keeps what was adopted", () => {
  using place = scratch();
  for (let n = 0; n < 40; n++) plant(place.path, { host: "elsewhere" });
  const adopter = plant(place.path, { host: "elsewhere" }), lease = plant(place.path);
  const names = Array.from({ length: 200 }, () => lease.name());
  for (const name of names) writeFileSync(join(place.path, name), "");
  // The order of a directory is the system's, and might have the last one removed before the next look.
  const { list: ordered } = watchedList("", place.path, names);
  const leases = leasesIn(place.path), last = names.at(-1)!;
  let clock = 0, looks = 0;
  const removed = (): number => 200 - readdirSync(place.path).length + 1;
  using _ = substitute({
    primitives: {
      // A look at a lease takes a millisecond, other than that of the entry, and nothing else takes any time.
      status(real, path: string) {
        if (path.startsWith(leases) && path !== lease.path) clock++;
        return real(path);
      },
      list(real, path: string) {
        if (path === leases) looks++;
        return ordered(real, path as never);
      },
      unlink(real, path: string) {
        // Each removal takes as long as a look at four leases.
        clock += 4;
        if (removed() === 99) appendFileSync(adopter.path, `adopted ${join(place.path, last)}\n`);
        return real(path);
      },
    },
    runtime: { now: () => clock },
  });
  const report = onlyReclaim(place.path);
  assert.deepEqual([report.kept.map(({ path }) => basename(path)), report.removed.length], [[last], 199]);
  assert.ok(looks > 10 && looks < 30, `${looks} looks at the leases for 200 entries`);
});

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

test(
  "C270 two interleaved reclaim() runs, whatever their offset, remove everything without error and count each file once",
  { onOneNode: true },
  () => {
    using _ = substitute({
      primitives: { list: (real, path: string) => path === "/proc" ? NO_PROCESS : real(path) },
    });
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
  },
);

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

test(
  "C276 reclaim() interrupted after any step leaves the lease if entries remain, and the next run finishes",
  { onOneNode: true },
  () => {
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
