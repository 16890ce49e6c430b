/**
 * Attackers in processes of their own: another user in a shared directory, and races in which two look-ups of one name
 * could see different entries.
 *
 * @module
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import process from "node:process";
import * as m from "#mod";
import * as source from "../../mod.ts";
import { attacker, canAttack } from "../support/attacker.ts";
import { runChild } from "../support/child.ts";
import { type Creator, creatorsOf } from "../support/creators.ts";
import { leasesIn, withoutLease } from "../support/leases.ts";
import { naiveFile } from "../support/naive_create.ts";
import { naiveLease } from "../support/naive_sweep.ts";
import { packageTest as test } from "../support/once.ts";
import { python3 } from "../support/python.ts";
import { memory, type Scratch, scratch } from "../support/scratch.ts";
import { heldLease, substitute } from "../support/substitute.ts";
import { warningsOf } from "../support/warnings.ts";

/** The ID of another user, who has no account here. */
const OTHER_USER = 12345;

/** The arguments with which `setpriv` runs a command as the other user. */
const as = (...command: string[]): string[] => [
  `--reuid=${OTHER_USER}`,
  `--regid=${OTHER_USER}`,
  "--clear-groups",
  ...command,
];

/** An environment whose programs are not in this user's home directory. */
const env = { ...process.env, PATH: "/usr/local/bin:/usr/bin:/bin" };

/** Runs a command as the other user. */
const asOtherUser = (...command: string[]): number | null =>
  spawnSync("setpriv", as(...command), { env, stdio: "ignore" }).status;

/** Whether another user can run Python and enter the directories of the tests. */
const canBeOtherUser = canAttack && process.getuid?.() === 0 && ((): boolean => {
  using place = scratch(memory);
  return asOtherUser(python3, "-c", `import os; os.listdir(${JSON.stringify(place.path)})`) === 0;
})();

const noOtherUser = !canBeOtherUser && "needs root, Linux, setpriv and Python";

/** How many names are taken: all but the last that a creation tries. */
const TAKEN = 19;

/** A random source that yields the same names in the same order, taken or not, and random ones after them. */
function predictable(): (bytes: Uint8Array<ArrayBuffer>) => void {
  let fillings = 0;
  return (bytes) => {
    crypto.getRandomValues(bytes);
    // From the third collision on, the library fills its pool anew for each name.
    const first = fillings === 0 ? 0 : fillings + 2;
    for (let name = first; name < TAKEN; name++) {
      bytes.fill(name, (name - first) * 13, (name - first + 1) * 13);
    }
    fillings++;
  };
}

/** Returns the names that a creator will try: those it uses in an empty directory. */
async function predictNames({ make }: Creator): Promise<string[]> {
  using place = scratch(memory);
  using _predictable = substitute({ runtime: { random: predictable() } });
  const made = [];
  while (made.length < TAKEN) made.push(await make(source, { dir: place.path }));
  for (const one of made) await one.remove();
  return made.map(({ path }) => basename(path!));
}

/** Creates an entry at each name, of each kind in turn. */
const PLANT = `
import json, os, sys
outside = sys.argv[1]
def full(path): os.mkdir(path); os.mkdir(path + "/below")
def file(path): open(path, "w").write("planted"); os.chmod(path, 0o666)
kinds = [
  lambda path: os.symlink(outside + "/file", path),
  lambda path: os.symlink(outside + "/new", path),
  lambda path: os.symlink(outside, path),
  full, file, os.mkfifo,
]
for directory, names in json.loads(sys.argv[2]):
    for at, name in enumerate(names): kinds[at % len(kinds)](directory + "/" + name)
`;

/** A directory of the victim in which nothing may change. */
function prepareOutside(place: Scratch): { path: string; state: () => unknown } {
  const path = join(place.path, "outside"), file = join(path, "file");
  mkdirSync(path);
  writeFileSync(file, "untouched", { mode: 0o640 });
  const state = (): unknown => {
    const { mode, size, ino, mtimeMs } = statSync(file);
    return [readdirSync(path), readFileSync(file, "utf8"), mode, size, ino, mtimeMs];
  };
  return { path, state };
}

const snapshot = (path: string): unknown[] => {
  const { mode, uid, ino, nlink, size, mtimeMs } = lstatSync(path);
  return [mode, uid, ino, nlink, size, mtimeMs];
};

test(
  "T13 C64 C65 C66 if another user takes 19 predicted names in a shared directory, the 20th is used, and private (root, Linux)",
  { skip: noOtherUser },
  async () => {
    using place = scratch(memory);
    const outside = prepareOutside(place), before = outside.state();
    using _lease = heldLease();
    const victims = [];
    for (const [of, creator] of creatorsOf(source).filter(([, { unnamed }]) => !unnamed)) {
      const dir = join(place.path, of);
      mkdirSync(dir);
      chmodSync(dir, 0o777);
      victims.push({ of, creator, dir, names: await predictNames(creator) });
    }
    const control = join(place.path, "control");
    mkdirSync(control);
    chmodSync(control, 0o777);
    const plants = [...victims.map(({ dir, names }) => [dir, names]), [control, ["name", "name2"]]];
    assert.equal(asOtherUser(python3, "-c", PLANT, outside.path, JSON.stringify(plants)), 0);
    for (const { of, creator, dir, names } of victims) {
      const planted = names.map((name) => snapshot(join(dir, name)));
      using watched = substitute({ runtime: { random: predictable() } });
      const made = await creator.make(source, { dir });
      const tried = watched.calls.flatMap(({ args: [path] }) =>
        String(path).startsWith(`${dir}/`) ? [path] : []
      );
      assert.deepEqual([...new Set(tried)].slice(0, TAKEN), names.map((name) => join(dir, name)), of);
      assert.equal(readdirSync(dir).length, TAKEN + 1, of);
      assert.ok(!names.includes(basename(made.path!)), of);
      const { mode, uid } = lstatSync(made.path!);
      assert.deepEqual([mode & 0o777, uid], [creator.kind === "file" ? 0o600 : 0o700, 0], of);
      assert.notEqual(asOtherUser(creator.kind === "file" ? "cat" : "ls", made.path!), 0, of);
      await made.remove();
      assert.deepEqual(names.map((name) => snapshot(join(dir, name))), planted, of);
      assert.deepEqual(readdirSync(dir).sort(), [...names].sort(), of);
    }
    assert.deepEqual(outside.state(), before);
    // Control: a creation that checks first does not see the dangling link, and follows it.
    naiveFile(join(control, "name2"));
    assert.equal(readFileSync(join(outside.path, "new"), "utf8"), "secret");
  },
);

/** Rounds of the race for the directory of leases. Each takes some tens of milliseconds, mostly spent waiting. */
const SQUATS = 25;

/** Takes the name of the directory of leases whenever it is free: with a world-writable directory, then with a link to one. */
const SQUATTER = `
import errno, os, sys, time
area, name, target = sys.argv[1], sys.argv[2], sys.argv[3]
os.umask(0)
os.mkdir(target, 0o777)
squats, robbed = 0, 0
print("ready", flush=True)
def attempt(call, *args):
    try: call(*args); return True
    except OSError as error: return error.errno
while not os.path.exists(area + "/stop"):
    try: place = os.readlink(area + "/current") + "/" + name
    except OSError:
        time.sleep(0.001)
        continue
    if attempt(os.mkdir, place, 0o777) is True:
        squats += 1
        if attempt(os.rmdir, place) == errno.ENOTEMPTY: robbed += 1
    if attempt(os.symlink, target, place) is True:
        squats += 1
        attempt(os.unlink, place)
    robbed += len(os.listdir(target))
print(squats, robbed, flush=True)
`;

/** The other user's process, which squats on names. Everything is in one directory that it may write to. */
interface Squatter extends AsyncDisposable {
  readonly area: string;
  /** Makes it squat in this directory from now on; without one it pauses. */
  aimAt(directory?: string): void;
  /** Stops it, and returns how often it had the name, and how often somebody else's file was then in its directory. */
  stop(): Promise<{ squats: number; robbed: number }>;
}

/** Waits until a process has printed a text, or has ended. */
function waitForOutput(child: ChildProcess, text: () => string, wanted: string): Promise<void> {
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", () => resolve());
    child.stdout!.on("data", () => text().includes(wanted) && resolve());
  });
}

async function squatter(): Promise<Squatter> {
  const place = scratch(memory), area = place.path;
  const theirs = join(area, "theirs");
  mkdirSync(theirs);
  chmodSync(theirs, 0o777);
  const args = as(python3, "-c", SQUATTER, area, basename(leasesIn(area)), join(theirs, "target"));
  const child = spawn("setpriv", args, { env, stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resolve) => child.on("close", resolve));
  let text = "";
  child.stdout!.on("data", (chunk) => text += chunk);
  await waitForOutput(child, () => text, "ready");
  const stop = async (): Promise<{ squats: number; robbed: number }> => {
    writeFileSync(join(area, "stop"), "");
    await ended;
    const [squats, robbed] = text.replace("ready", "").trim().split(" ").map(Number);
    return { squats, robbed };
  };
  return {
    area,
    aimAt(directory) {
      const current = join(area, "current");
      if (directory === undefined) unlinkSync(current);
      else symlinkSync(directory, current);
    },
    stop,
    async [Symbol.asyncDispose]() {
      await stop();
      place[Symbol.dispose]();
    },
  };
}

/** Races the squatter repeatedly against code that needs a directory of leases in a directory like `/tmp`. */
async function squatAgainst(
  victim: (directory: string) => unknown,
): Promise<{ squats: number; robbed: number; won: number }> {
  await using other = await squatter();
  let won = 0;
  for (let round = 0; round < SQUATS; round++) {
    await withoutLease();
    const directory = join(other.area, `round${round}`);
    mkdirSync(directory);
    chmodSync(directory, 0o1777);
    other.aimAt(directory);
    for (let looks = 0; looks < 10_000 && readdirSync(directory).length === 0; looks++);
    await victim(directory);
    other.aimAt();
    if (lstatSync(leasesIn(directory), { throwIfNoEntry: false })?.uid === 0) won++;
  }
  return { ...await other.stop(), won };
}

/** Creates a named file where the squatter is; a directory of leases that we own must be private. */
function useLease(directory: string): void {
  m.configure({ tmpdir: directory });
  const file = m.namedTemporaryFileSync();
  file.writeSync("works");
  assert.equal(file.textSync(), "works");
  const leases = lstatSync(leasesIn(directory), { throwIfNoEntry: false });
  if (leases?.uid === 0) assert.deepEqual([leases.isDirectory(), leases.mode & 0o777], [true, 0o700]);
  file.closeSync();
}

/** `naiveLease`, without its system errors: it fails if what it has seen is removed before it uses it. */
function useNaiveLease(directory: string): void {
  try {
    naiveLease(leasesIn(directory));
  } catch (error) {
    if (typeof (error as { code?: string }).code !== "string") throw error;
  }
}

test(
  "T11 C269 another user who races to create the directory of leases never gets a lease into one of his own (root, Linux)",
  { onOneNode: true, skip: noOtherUser },
  async () => {
    const warnings = await warningsOf(async () => {
      const { squats, robbed, won } = await squatAgainst(useLease);
      m.configure({ tmpdir: undefined });
      assert.equal(robbed, 0);
      assert.ok(squats > SQUATS, `only ${squats} squats`);
      console.log(`${squats} squats; the directory of leases was ours in ${won} of ${SQUATS} rounds`);
    });
    // Where the squatter was first, there is this warning, and no other.
    for (const { code } of warnings) assert.equal(code, "MAYFLY_NO_LEASE");
    let robbed = 0;
    for (let tries = 0; tries < 20 && robbed === 0; tries++) {
      ({ robbed } = await squatAgainst(useNaiveLease));
    }
    assert.ok(robbed > 0, "the control created no lease in a directory of the squatter");
  },
);

const NAIVE = import.meta.resolve("../support/naive.ts");
const ATTACKER = import.meta.resolve("../support/attacker.ts");

/** Removals, half of them asynchronous; more until one of them has repaired something. */
const REPAIRS = 20;

/** The most removals until the control fails. A few are enough, unless the attacker gets no processor time. */
const CONTROL_REPAIRS = 3000;

/**
 * Removes directories with a locked one inside, which an attacker swaps for a link to another locked one outside, whose
 * mode and contents must not change.
 */
const REPAIRING = `
  const { awaitSwap, fillAlike, giveWay } = await import(${JSON.stringify(ATTACKER)});
  const { naiveFs, naiveRemove } = await import(${JSON.stringify(NAIVE)});
  const [area, how, rounds] = [args[0], args[1], Number(args[2])];
  const ways = {
    ours: (directory, round) => round % 2 ? directory.remove() : directory.removeSync(),
    naive: ({ path }) => naiveRemove(path, naiveFs(giveWay)),
  };
  const aimAt = (one, other) => {
    fs.symlinkSync(one + "\\n" + other, path.join(area, "next"));
    fs.renameSync(path.join(area, "next"), path.join(area, "current"));
  };
  const look = (outside) => [fs.statSync(outside).mode & 0o777, ...fs.readdirSync(outside, { recursive: true }).sort()].join();
  const count = { lost: 0, repaired: 0, rounds: 0 };
  // With a fast attacker few removals get as far as a repair: goes on until one does.
  const isEnough = () => count.rounds >= rounds && (count.repaired > 0 || count.rounds >= 50 * rounds);
  while (count.lost === 0 && !isEnough()) {
    const base = path.join(area, how + count.rounds), [outside, link] = [path.join(base, "outside"), path.join(base, "link")];
    fs.mkdirSync(base);
    const directory = m.temporaryDirectorySync({ dir: base }), target = directory.join("locked");
    for (const place of [outside, target]) fillAlike(place);
    fs.symlinkSync(outside, link);
    fs.chmodSync(outside, 0o500);
    fs.chmodSync(target, 0);
    const before = look(outside);
    aimAt(target, link);
    awaitSwap(target);
    try {
      await ways[how](directory, count.rounds);
    } catch (error) {
      // The attacker can make a removal fail, which is reported; by the control with a system error.
      if (typeof error.code !== "string") throw error;
    }
    // The clean-up at process exit must not try again.
    if (!directory.removed) directory.keep();
    count.rounds++;
    // Its contents cannot be removed or listed before it is unlocked.
    const isLocked = (place) => (fs.lstatSync(place, { throwIfNoEntry: false })?.mode & 0o40777) === 0o40000;
    if (![target, link].some(isLocked)) count.repaired++;
    if (look(outside) !== before) count.lost++;
  }
  say(count);`;

async function repairUnderAttack(how: "ours" | "naive", rounds: number) {
  await using other = await attacker();
  const { said: [count], stderr } = await runChild(REPAIRING, {
    args: [other.area, how, String(rounds)],
    unprivileged: true,
    timeout: 120_000,
  });
  assert.equal(stderr, "");
  return { ...count as { lost: number; repaired: number; rounds: number }, swaps: await other.stop() };
}

test(
  "T17 T18 C234 racing swaps of a locked directory for a link during its repair change nothing outside (Linux, Python)",
  { onOneNode: true, skip: !canAttack },
  async () => {
    const ours = await repairUnderAttack("ours", REPAIRS);
    assert.equal(ours.lost, 0);
    assert.ok(ours.rounds >= REPAIRS && ours.swaps > REPAIRS && ours.repaired > 0, JSON.stringify(ours));
    const naive = await repairUnderAttack("naive", CONTROL_REPAIRS);
    assert.equal(naive.lost, 1, `the control changed nothing outside in ${naive.rounds} removals`);
  },
);
