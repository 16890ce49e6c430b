/**
 * `reclaim()` and what other processes and threads have adopted or kept.
 *
 * @module
 */
import assert from "node:assert/strict";
import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { markKept } from "../../lib/life/reclaim.ts";
import { syncIo } from "../../lib/operation/io.ts";
import { runSync } from "../../lib/operation/op.ts";
import { type Primitives, runtime, substituteRuntime } from "../../lib/runtime/mod.ts";
import { deadPid, leasesIn, plant, type Planted, readLeases } from "../support/leases.ts";
import { packageTest as test } from "../support/once.ts";
import { noLinux } from "../support/platform.ts";
import { onlyReclaim, reclaimIn, watchedList } from "../support/reclaiming.ts";
import { scratch } from "../support/scratch.ts";
import { type Stub, substitute } from "../support/substitute.ts";

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

/** Checks that of the directories of a dead process the one with a user stays until that one is dead as well. */
function assertStaysInUse(plantUser: (place: string, used: string) => Planted): void {
  using place = scratch();
  const creator = plant(place.path);
  const [used, free] = [creator.name(), creator.name()].map((name) => join(place.path, name));
  const user = plantUser(place.path, used);
  // With the lease of a dead user.
  plant(free);
  const fd = openSync(user.path, "r");
  const { removed, kept } = onlyReclaim(place.path);
  assert.deepEqual(removed.map(({ path }) => path), [free]);
  assert.deepEqual(kept.map(({ path, isTaken }) => [path, isTaken]), [[used, true]]);
  closeSync(fd);
  assert.deepEqual([reclaimIn(place.path).kept, existsSync(used)], [[], false]);
  assert.deepEqual(readLeases(place.path), {});
}

test(
  "C259 C265 reclaim() removes a directory of a dead process in which another has made something only when that one is dead as well",
  { skip: noLinux },
  () =>
    assertStaysInUse((place, used) => {
      const lines = [`made ${place}/tmp*`, `made ${used}/sub/job-*`];
      const maker = plant(place, { pid: process.pid, lines });
      mkdirSync(join(used, "sub", maker.name("job-")), { recursive: true });
      return maker;
    }),
);

test(
  "C259 C265 reclaim() leaves a directory of a dead process if what another has adopted in it is handed on after the taker's lease was read, and before the giver's",
  { skip: noLinux },
  () => {
    using place = scratch();
    const creator = plant(place.path), directory = join(place.path, creator.name());
    const name = creator.name(), file = join(directory, name);
    mkdirSync(directory);
    writeFileSync(file, "");
    const [taker, giver] = [[], [`adopted ${file}`]].map((lines) =>
      plant(place.path, { pid: process.pid, lines })
    );
    const fds = [taker, giver].map(({ path }) => openSync(path, "r"));
    const { list } = watchedList("", leasesIn(place.path), [taker, giver].map(({ path }) => basename(path)));
    let reads = 0;
    const openFile: Stub = (real, path: string, access: string) => {
      if (path === taker.path) reads++;
      return real(path, access);
    };
    const status: Stub = (real, path: string) => {
      // The first time it was read to learn whether its process is alive.
      if (path === giver.path && reads === 2) {
        reads++;
        appendFileSync(taker.path, `adopted ${file}\n`);
        appendFileSync(creator.path, `kept /${name}\n`);
        appendFileSync(giver.path, `kept ${name}\n`);
      }
      return real(path);
    };
    using _ = substitute({ primitives: { list, openFile, status } });
    const { removed, kept } = onlyReclaim(place.path);
    assert.deepEqual([removed, kept], [[], [{ path: directory, isTaken: true }]]);
    assert.ok(reads > 2 && existsSync(file));
    for (const fd of fds) closeSync(fd);
    assert.deepEqual(reclaimIn(place.path).kept, []);
    assert.deepEqual([place.names(), readLeases(place.path)], [[], {}]);
  },
);

test(
  "C265 reclaim() removes a directory of a dead process that is the TMPDIR of another only when that one is dead as well",
  { skip: noLinux },
  () => assertStaysInUse((_place, used) => plant(used, { pid: process.pid })),
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
