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
import { basename, join } from "node:path";
import type * as m from "#mod";
import { temporaryDirectorySync } from "../lib/directory.ts";
import { runtime } from "../lib/runtime/mod.ts";
import { attacker, awaitSwap, canAttack, fillAlike } from "./support/attacker.ts";
import { runChild } from "./support/child.ts";
import { naiveFs, naiveRemove } from "./support/naive.ts";
import { packageTest as test } from "./support/once.ts";
import { memory, scratch } from "./support/scratch.ts";
import { beforeEachCall, substitute, systemError } from "./support/substitute.ts";

const isLinux = process.platform === "linux";

/** A removal under attack. Everything is in one directory, `base`. */
interface Attacked {
  /** The directory to be removed. */
  directory: m.TemporaryDirectory;
  /** What must survive: it has the names that the directory has. */
  outside: string;
  /** The directory that is swapped for a link that leads outside. */
  target: string;
  link: string;
}

/** What is swapped: a directory above or below the one to be removed, or that one. */
const POSITIONS = ["parent", "top", "subdirectory", "depth 2"] as const;
type Position = (typeof POSITIONS)[number];

/** Prepares an attack in a new directory `base`. */
function prepare(position: Position, base: string, files: number): Attacked {
  const parent = join(base, "parent"), link = join(base, "link"), out = join(base, "out");
  mkdirSync(parent, { recursive: true });
  const directory = temporaryDirectorySync({ dir: parent }), { path } = directory;
  const outside = position === "parent" ? join(out, basename(path)) : out;
  const inner = join(path, "d", "d");
  for (const place of [outside, path, inner]) fillAlike(place, files);
  symlinkSync(out, link);
  const targets = { parent, top: path, subdirectory: join(path, "d"), "depth 2": inner };
  return { directory, outside, target: targets[position], link };
}

/** A directory, with everything below it: modes, and the contents of files. */
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

/** Removals per position: with four of them 2,000 for each runtime. */
const ROUNDS = 500;

/** Removals in which the control must lose once. One or two are enough, unless the attacker is kept from running. */
const CONTROL_ROUNDS = 3000;

/** A removal tries again without a wait: whoever waits is not attacked, and the attacker takes a processor all the while. */
function impatient(): Disposable {
  const { after } = runtime;
  return substitute({ runtime: { sleep() {}, after: (_milliseconds, call) => after(0, call) } });
}

/** Lets an attacker loose on one removal after the other, until something outside is lost. */
async function race(
  position: Position,
  rounds: number,
  remove: (directory: m.TemporaryDirectory, round: number) => unknown,
): Promise<{ lost: boolean; swaps: number }> {
  using _impatient = impatient();
  await using other = await attacker();
  let lost = false;
  for (let round = 0; round < rounds && !lost; round++) {
    const { directory, outside, target, link } = prepare(position, join(other.area, `round${round}`), 8);
    const names = (): string =>
      existsSync(outside) ? readdirSync(outside, { recursive: true }).join() : "gone";
    const before = names();
    other.aimAt(target, link);
    awaitSwap(target);
    try {
      await remove(directory, round);
    } catch (error) {
      // The attacker can keep a removal from its end; that is reported, by a system error in the control.
      if (typeof (error as { code?: string }).code !== "string") throw error;
    }
    if (!directory.removed) directory.keep();
    lost = names() !== before;
  }
  return { lost, swaps: await other.stop() };
}

/** Half of the removals are asynchronous. */
async function survivesRace(position: Position): Promise<void> {
  const ours = await race(
    position,
    ROUNDS,
    (directory, round) => round % 2 ? directory.remove() : directory.removeSync(),
  );
  assert.equal(ours.lost, false, "something outside was removed");
  assert.ok(ours.swaps > 2 * ROUNDS, `only ${ours.swaps} swaps`);
  const naive = await race(position, CONTROL_ROUNDS, ({ path }) => naiveRemove(path));
  assert.equal(naive.lost, true, "the control did not lose");
}

test(
  "T15 C233 a racing swap of a subdirectory for a link never leads removal outside (Linux, Python)",
  {
    skip: !canAttack,
  },
  () => survivesRace("subdirectory"),
);

test(
  "T15 C233 a racing swap of a directory at depth 2 for a link never leads removal outside (Linux, Python)",
  {
    skip: !canAttack,
  },
  () => survivesRace("depth 2"),
);

test(
  "T15 C235 a racing swap of the directory itself for a link never leads removal outside (Linux, Python)",
  {
    skip: !canAttack,
  },
  () => survivesRace("top"),
);

test(
  "T15 a racing swap of the parent for a link never leads removal outside (Linux, Python)",
  {
    skip: !canAttack,
  },
  () => survivesRace("parent"),
);

/** Removes something, calling `before` with each system call it is about to make, and never fails. */
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
    const attacked = prepare(position, join(place.path, String(removals)), 1);
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
  "T15 C233 C235 a swap before any single call of a removal changes nothing outside (Linux)",
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
      assert.ok(naive.lost > 0, `the control did not lose at ${position}`);
    }
  },
);

/** Denies one call of a kind, counted in each removal anew: the first step of a repair follows. */
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
  "T17 T18 C234 a swap at or around the repair of permissions changes no mode and nothing else outside (Linux)",
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
      assert.ok(naive.lost > 0, `the control did not lose at ${position}`);
    }
  },
);

test(
  "T18 C232 a removal whose every repair fails leaves the modes of its parent and of what is around it alone (Linux)",
  { skip: !isLinux },
  () => {
    using place = scratch(memory);
    const { directory } = prepare("top", place.path, 1);
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

test("T16 every system call of the walk names one component below a descriptor (Linux, strace)", {
  skip: !canTrace,
}, async () => {
  using place = scratch();
  const trace = join(place.path, "trace"), area = join(place.path, "area");
  mkdirSync(area);
  const code = `
    for (const way of ["async", "sync"]) {
      const d = m.temporaryDirectorySync({ dir: args[0] });
      let deep = d.path; for (let level = 0; level < 30; level++) { fs.mkdirSync(deep += "/d"); fs.writeFileSync(deep + "/f", ""); }
      fs.symlinkSync("/", d.path + "/link");
      fs.accessSync("/BEGIN");
    }`.replace("fs.accessSync", "try { fs.accessSync").replace(
    `"/BEGIN");`,
    `"/BEGIN"); } catch {}
      say(d.path); way === "async" ? await d.remove() : d.removeSync();
      try { fs.accessSync("/END"); } catch {}`,
  );
  const { said, status } = await runChild(code, {
    args: [area],
    under: ["strace", "-f", "-y", "-e", "trace=%file", "-o", trace],
  });
  assert.equal(status, 0);
  assert.equal(said.length, 2);
  const lines = readFileSync(trace, "utf8").split("\n");
  const removals = said.map((path: string, n: number) => {
    const mark = (name: string): number =>
      lines.map((line, at) => line.includes(`"/${name}"`) ? at : -1).filter((at) => at >= 0)[n];
    return { path, calls: lines.slice(mark("BEGIN") + 1, mark("END")) };
  });
  for (const { path, calls } of removals) {
    assert.ok(calls.length > 100);
    for (const call of calls) {
      for (const [, named] of call.replaceAll(/<[^>]*>/g, "").matchAll(/"((?:[^"\\]|\\.)*)"/g)) {
        if (named.startsWith(`${path}/`) && named !== `${path}/`) {
          assert.fail(`below the directory by its path: ${call}`);
        }
        if (named.startsWith("/proc/self/fd/")) {
          assert.match(named, /^\/proc\/self\/fd\/\d+(\/[^/]+\/?)?$/, call);
        }
      }
    }
    assert.ok(calls.some((call) => /unlink.*\/proc\/self\/fd\/\d+\/f"/.test(call)));
  }
});
