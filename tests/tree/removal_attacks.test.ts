import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import type * as m from "#mod";
import { temporaryDirectorySync } from "../../lib/directory.ts";
import { runtime } from "../../lib/runtime/mod.ts";
import { attacker, awaitSwap, canAttack, fillAlike, giveWay } from "../support/attacker.ts";
import { runChild } from "../support/child.ts";
import { naiveFs, naiveRemove } from "../support/naive.ts";
import { packageTest as test } from "../support/once.ts";
import { isLinux } from "../support/platform.ts";
import { memory, scratch } from "../support/scratch.ts";
import { beforeEachCall, substitute, systemError } from "../support/substitute.ts";

/** A removal under attack. Everything is in one directory, `base`. */
interface Attacked {
  /** The directory to be removed. */
  directory: m.TemporaryDirectory;
  /** What must not change: it contains the same names as the directory. */
  outside: string;
  /** The directory that is swapped for a link that leads outside. */
  target: string;
  link: string;
}

/** What is swapped for a link: the parent of the directory to be removed, that one, or one below it. */
const POSITIONS = ["parent", "top", "subdirectory", "depth 2"] as const;
type Position = (typeof POSITIONS)[number];

/** Prepares an attack in a new directory `base`. What is outside is `reused` until an attack succeeds. */
function prepare(position: Position, base: string, reused?: string): Attacked {
  const parent = join(base, "parent"), link = join(base, "link"), out = join(base, "out");
  mkdirSync(parent, { recursive: true });
  const directory = temporaryDirectorySync({ dir: parent }), { path } = directory;
  const outside = position === "parent" ? join(out, basename(path)) : out;
  const inner = join(path, "d", "d");
  if (reused === undefined) fillAlike(outside);
  else {
    mkdirSync(dirname(outside), { recursive: true });
    renameSync(reused, outside);
  }
  for (const place of [path, inner]) fillAlike(place);
  symlinkSync(out, link);
  const targets = { parent, top: path, subdirectory: join(path, "d"), "depth 2": inner };
  return { directory, outside, target: targets[position], link };
}

/** Returns the names, modes and file contents of a tree as text. */
function snapshot(path: string): string {
  if (!existsSync(path)) return "gone";
  const names = ["", ...readdirSync(path, { recursive: true }).map(String).sort()];
  return names.map((name) => {
    const status = lstatSync(join(path, name));
    return `${name} ${status.mode.toString(8)} ${
      status.isFile() ? readFileSync(join(path, name), "utf8") : ""
    }`;
  }).join("\n");
}

/** Removals per position: 2,000 on each runtime, since there are four positions. */
const ROUNDS = 500;

/** The most removals until the control fails. One or two are enough, unless the attacker gets no processor time. */
const CONTROL_ROUNDS = 3000;

/**
 * Makes room for the attacker between calls, and retries without waiting: a removal that waits cannot be attacked, while
 * the attacker keeps a processor busy.
 */
function exposed(): Disposable {
  const { after } = runtime;
  return substitute({
    primitives: beforeEachCall(giveWay),
    runtime: { sleep() {}, after: (_milliseconds, call) => after(0, call) },
  });
}

/** Attacks one removal after the other, until something outside is lost. */
async function race(
  position: Position,
  rounds: number,
  remove: (directory: m.TemporaryDirectory, round: number) => unknown,
): Promise<{ lost: boolean; swaps: number }> {
  await using other = await attacker();
  const names = (path: string): string =>
    existsSync(path) ? readdirSync(path, { recursive: true }).join() : "gone";
  let lost = false, reused: string | undefined, before: string | undefined;
  for (let round = 0; round < rounds && !lost; round++) {
    const { directory, outside, target, link } = prepare(position, join(other.area, `round${round}`), reused);
    reused = outside;
    before ??= names(outside);
    other.aimAt(target, link);
    awaitSwap(target);
    try {
      using _exposed = exposed();
      await remove(directory, round);
    } catch (error) {
      // The attacker can make a removal fail, which is reported; by the control with a system error.
      if (typeof (error as { code?: string }).code !== "string") throw error;
    }
    other.rest();
    if (!directory.removed) directory.keep();
    lost = names(outside) !== before;
  }
  return { lost, swaps: await other.stop() };
}

/** Asserts that removals, half of them asynchronous, lose nothing outside, and that the control does. */
async function assertSurvivesRace(position: Position): Promise<void> {
  const ours = await race(
    position,
    ROUNDS,
    (directory, round) => round % 2 ? directory.remove() : directory.removeSync(),
  );
  assert.equal(ours.lost, false, "something outside was removed");
  assert.ok(ours.swaps > 2 * ROUNDS, `only ${ours.swaps} swaps`);
  const naive = await race(position, CONTROL_ROUNDS, ({ path }) => naiveRemove(path, naiveFs(giveWay)));
  assert.equal(naive.lost, true, "the control removed nothing outside");
}

test(
  "T15 C233 racing swaps of a subdirectory for a symbolic link never lead a removal outside (Linux, Python)",
  {
    skip: !canAttack,
  },
  () => assertSurvivesRace("subdirectory"),
);

test(
  "T15 C233 racing swaps of a directory at depth 2 for a symbolic link never lead a removal outside (Linux, Python)",
  {
    skip: !canAttack,
  },
  () => assertSurvivesRace("depth 2"),
);

test(
  "T15 C235 racing swaps of the directory itself for a symbolic link never lead its removal outside (Linux, Python)",
  {
    skip: !canAttack,
  },
  () => assertSurvivesRace("top"),
);

test(
  "T15 racing swaps of the parent for a symbolic link never lead a removal outside (Linux, Python)",
  {
    skip: !canAttack,
  },
  () => assertSurvivesRace("parent"),
);

/** A removal that calls `before` ahead of each of its system calls, and ignores its own failure. */
type Stepwise = (attacked: Attacked, before: (name: string, path: string) => void) => Promise<void>;

const stepwise = (way: "async" | "sync"): Stepwise => async ({ directory }, before) => {
  using _watched = substitute({
    primitives: beforeEachCall((name, path) => before(name, String(path))),
    runtime: { sleep: () => {} },
  });
  try {
    await (way === "async" ? directory.remove() : directory.removeSync());
  } catch (error) {
    assert.equal((error as Error).name, "TempfileError");
  }
};

// deno-lint-ignore require-await -- as the others
const naively: Stepwise = async ({ directory }, before) => {
  try {
    naiveRemove(directory.path, naiveFs(before));
  } catch (error) {
    assert.equal(typeof (error as { code?: string }).code, "string");
  }
};

/**
 * Swaps before the first call of a removal, in the next one before the second, and so on to the last.
 *
 * @returns How many removals there were, and in how many something outside was changed.
 */
async function swapBeforeEachCall(
  position: Position,
  remove: Stepwise,
): Promise<{ removals: number; lost: number }> {
  using place = scratch(memory);
  for (let removals = 1, lost = 0;; removals++) {
    const attacked = prepare(position, join(place.path, String(removals)));
    const { directory, outside, target, link } = attacked;
    for (const path of [join(outside, "d"), outside]) chmodSync(path, 0o711);
    const before = snapshot(outside);
    let calls = 0, swapped = false;
    await remove(attacked, () => {
      if (++calls >= removals && !swapped && existsSync(target)) {
        swapped = true;
        renameSync(target, `${link}.aside`);
        renameSync(link, target);
      }
    });
    if (!directory.removed) directory.keep();
    if (snapshot(outside) !== before) lost++;
    if (calls < removals) return { removals, lost };
    assert.ok(removals < 1000);
  }
}

test(
  "T15 C233 C235 swapping a directory for a link before any one call of a removal changes nothing outside (Linux)",
  {
    skip: !isLinux,
  },
  async () => {
    for (const position of POSITIONS) {
      for (const way of ["async", "sync"] as const) {
        const { removals, lost } = await swapBeforeEachCall(position, stepwise(way));
        assert.equal(lost, 0, `${position} ${way}`);
        assert.ok(removals > 15);
      }
      const naive = await swapBeforeEachCall(position, naively);
      assert.ok(naive.lost > 0, `the control changed nothing outside at ${position}`);
    }
  },
);

/** Denies one call of a kind in each removal, after which the removal starts a repair. */
function denying(kind: string, which: number, remove: Stepwise): Stepwise {
  return async (attacked, before) => {
    let calls = 0;
    await remove(attacked, (name, path) => {
      before(name, path);
      if (name === kind && calls++ === which) throw systemError("EACCES");
    });
  };
}

test(
  "T17 T18 C234 swapping a directory for a link around a permission repair changes nothing outside, not even a mode (Linux)",
  { skip: !isLinux },
  async () => {
    for (const [depth, position] of (["top", "subdirectory", "depth 2"] as const).entries()) {
      for (const way of ["async", "sync"] as const) {
        let repairs = 0;
        const counting: Stepwise = (attacked, before) =>
          stepwise(way)(attacked, (name, path) => {
            if (name === "changeModeAt") repairs++;
            before(name, path);
          });
        const { removals, lost } = await swapBeforeEachCall(
          position,
          denying("openDirectory", depth, counting),
        );
        assert.equal(lost, 0, `${position} ${way}`);
        assert.ok(removals > 15 && repairs > 10, `${removals} ${repairs}`);
      }
      const naive = await swapBeforeEachCall(position, denying("readdirSync", depth, naively));
      assert.ok(naive.lost > 0, `the control changed nothing outside at ${position}`);
    }
  },
);

test(
  "T18 C232 a removal whose permission repairs all fail changes modes only inside its tree, not of the parent (Linux)",
  { skip: !isLinux },
  () => {
    using place = scratch(memory);
    const { directory } = prepare("top", place.path);
    const parent = join(place.path, "parent");
    chmodSync(parent, 0o711);
    for (const name of ["openDirectory", "list", "unlink", "removeDirectory"] as const) {
      const changed: string[] = [];
      using _denied = substitute({
        primitives: {
          [name]: () => {
            throw systemError("EACCES");
          },
          changeModeAt: (real: (...args: unknown[]) => unknown, anchor: string, mode: number) => {
            changed.push(readlinkSync(anchor));
            return real(anchor, mode);
          },
          changeMode: () => assert.fail("files keep their modes"),
        },
        runtime: { sleep: () => {} },
      });
      assert.throws(() => directory.removeSync(), { name: "TempfileError" });
      for (const path of changed) {
        assert.ok(
          path === directory.path || path.startsWith(`${directory.path}/`),
          path,
        );
      }
      assert.equal(statSync(parent).mode & 0o777, 0o711);
    }
    directory.removeSync();
  },
);

const canTrace = isLinux && spawnSync("strace", ["-o", "/dev/null", "true"]).status === 0;

/** Returns the calls of a removal that name more than one component below the directory or a descriptor. */
function longPaths(path: string, calls: string[]): string[] {
  const isLong = (named: string): boolean =>
    named.startsWith("/proc/self/fd/")
      ? !/^\/proc\/self\/fd\/\d+(\/[^/]+\/?)?$/.test(named)
      : named.startsWith(`${path}/`) && named !== `${path}/` || /^[^/]+\/[^/]/.test(named);
  const paths = (call: string) => call.replaceAll(/<[^>]*>/g, "").matchAll(/"((?:[^"\\]|\\.)*)"/g);
  return calls.filter((call) => [...paths(call)].some(([, named]) => isLong(named)));
}

test("T16 every system call of the walk names one component below a descriptor (Linux, strace)", {
  skip: !canTrace,
}, async () => {
  using place = scratch();
  const trace = join(place.path, "trace"), area = join(place.path, "area");
  mkdirSync(area);
  const code = `
    const { naiveRemove } = await import(args[1]);
    for (const way of ["async", "sync", "naive"]) {
      const d = m.temporaryDirectorySync({ dir: args[0] });
      let deep = d.path; for (let level = 0; level < 30; level++) { fs.mkdirSync(deep += "/d"); fs.writeFileSync(deep + "/f", ""); }
      fs.symlinkSync("/", d.path + "/link");
      try { fs.accessSync("/BEGIN"); } catch {}
      say(d.path); way === "async" ? await d.remove() : way === "sync" ? d.removeSync() : naiveRemove(d.path);
      try { fs.accessSync("/END"); } catch {}
    }`;
  const { said, status } = await runChild(code, {
    args: [area, import.meta.resolve("../support/naive.ts")],
    under: ["strace", "-f", "--seccomp-bpf", "-y", "-e", "trace=%file", "-o", trace],
  });
  assert.equal(status, 0);
  assert.equal(said.length, 3);
  const lines = readFileSync(trace, "utf8").split("\n");
  const removals = said.map((path: string, n: number) => {
    const mark = (name: string): number =>
      lines.map((line, at) => line.includes(`"/${name}"`) ? at : -1).filter((at) => at >= 0)[n];
    return { path, calls: lines.slice(mark("BEGIN") + 1, mark("END")) };
  });
  const naive = removals.pop()!;
  assert.ok(longPaths(naive.path, naive.calls).length > 60, "the control uses long paths");
  for (const { path, calls } of removals) {
    assert.ok(calls.length > 100);
    assert.deepEqual(longPaths(path, calls), []);
    assert.ok(calls.some((call) => /unlink.*\/proc\/self\/fd\/\d+\/f"/.test(call)));
  }
});
