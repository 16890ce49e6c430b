/**
 * `reclaim()` and what is locked or in use, also in containers.
 *
 * @module
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { deviceNumber } from "../../lib/location/mounts.ts";
import { noFlock } from "../support/ager.ts";
import { firstOutput, runChild } from "../support/child.ts";
import { plant, readLeases } from "../support/leases.ts";
import { packageTest as test } from "../support/once.ts";
import { noMounts } from "../support/places.ts";
import { noLinux } from "../support/platform.ts";
import { hasPython, python3 } from "../support/python.ts";
import { NO_PROCESS, reclaimIn } from "../support/reclaiming.ts";
import { scratch } from "../support/scratch.ts";
import { substitute, systemError } from "../support/substitute.ts";

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
      await startLocker(python3, "-c", PYTHON, byPython),
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
    const mountedAs = (device: string, point = "/") =>
      `24 1 ${device} / ${point} rw,relatime shared:1 - btrfs /dev/root rw\n`;
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
      return reclaimIn(place.path).removed.filter((one) => one.path === path).length;
    };
    assert.deepEqual(["", mountedAs("0:253"), mountedAs("0:254")].map(removedWith), [1, 1, 0]);
    // Of mounts over each other the last one counts, and of one inside another the inner one.
    assert.equal(removedWith(mountedAs("0:253") + mountedAs("0:254")), 0);
    assert.equal(removedWith(mountedAs("0:254", place.path) + mountedAs("0:253")), 0);
  },
);

test("C267 the device number of a lock is composed as by stat(), for small and large major and minor numbers", () => {
  // By makedev(3).
  const devices = [
    [0, 254, 0xfe],
    [8, 1, 0x801],
    [259, 300, 0x11032c],
    [0xfff, 0xfffff, 0xffffffff],
    [0x1234, 5, 0x100000023405],
  ];
  assert.deepEqual(
    devices.map(([major, minor]) => deviceNumber(major, minor)),
    devices.map(([, , number]) => number),
  );
});

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
