/**
 * `reclaim()` with forged leases, and with links and mounts where entries are expected.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import * as real from "node:fs";
import { basename, join } from "node:path";
import { listLeases } from "../../lib/life/list_leases.ts";
import { reclaim } from "../../lib/life/reclaim.ts";
import { syncIo } from "../../lib/operation/io.ts";
import { type Op, runSync } from "../../lib/operation/op.ts";
import { type Primitives, runtime, substituteRuntime } from "../../lib/runtime/mod.ts";
import { runChild } from "../support/child.ts";
import { leasesIn, plant, readLeases } from "../support/leases.ts";
import { naiveSweep, type SweepFs } from "../support/naive_sweep.ts";
import { packageTest as test } from "../support/once.ts";
import { noMounts } from "../support/places.ts";
import { isWindows, noLinks, noLinux, noModes } from "../support/platform.ts";
import { arrange, NO_PROCESS, OPTIONS, reclaimIn, type Scene, within } from "../support/reclaiming.ts";
import { type Scratch, scratch } from "../support/scratch.ts";
import { substitute } from "../support/substitute.ts";

/** Returns all entries below a directory, with the contents of files. */
function treeOf(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" }).sort().map((name) => {
    const path = join(directory, name), status = lstatSync(path);
    return `${name} ${status.uid} ${status.isFile() ? readFileSync(path, "utf8") : ""}`;
  });
}

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

test("C278 reclaim() lists each directory only once for a lease of 30,000 lines", { onOneNode: true }, () => {
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

test(
  "T19 sweep() leaves file systems mounted on or in a leftover as they are (skipped: needs root and mounts)",
  { skip: noMounts, onOneNode: true },
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
  { skip: noMounts, onOneNode: true },
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
    // A look at what other processes have open is no call in the parent, and there are as many as there are processes.
    using watched = substitute({
      primitives: { list: (real, path: string) => path === "/proc" ? NO_PROCESS : real(path) },
    });
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
