/**
 * What the end of the process does about calls that are pending on the thread pool, and about what is in use.
 *
 * @module
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { creatingAt, removeAtExit, track } from "../../lib/operation/pending.ts";
import { substitute, systemError } from "../support/substitute.ts";

/** Removes a path with a call that fails a number of times; returns the result, and how often it was called. */
function removed(
  path: string,
  { code, times }: { code: string; times: number },
  remove = removeAtExit,
): [boolean, number] {
  let tries = 0;
  const isRemoved = remove(path, () => {
    if (tries++ < times) throw systemError(code);
  });
  return [isRemoved, tries];
}

/** Imitates a platform whose calls take no time. */
const on = (platform: "linux" | "windows") => substitute({ runtime: { platform, sleep() {} } });

test("C252 at exit a directory is removed even if the call that creates it still has it open at first (EBUSY)", async () => {
  let settle!: (handle: number) => void;
  const creating = track(creatingAt, "/new", new Promise<number>((resolve) => settle = resolve));
  for (const platform of ["linux", "windows"] as const) {
    using _ = on(platform);
    assert.deepEqual(removed("/new", { code: "EBUSY", times: 3 }), [true, 4]);
    assert.deepEqual(removed("/new", { code: "ENOENT", times: 3 }), [true, 4]);
  }
  settle(7);
  assert.equal(await creating, 7);
  using _ = on("linux");
  assert.deepEqual(removed("/new", { code: "EBUSY", times: 3 }), [false, 1]);
});

test("C297 at exit a file that a virus scanner holds (EBUSY, EPERM) is removed once it can be on Windows, and left elsewhere", () => {
  for (const code of ["EBUSY", "EPERM", "EACCES"]) {
    {
      using _ = on("linux");
      assert.deepEqual(removed("/held", { code, times: 3 }), [false, 1]);
    }
    using _ = on("windows");
    assert.deepEqual(removed("/held", { code, times: 3 }), [true, 4]);
    assert.deepEqual(removed("/held", { code: "ENOENT", times: 3 }), [true, 1]);
  }
});

test("at exit the attempts to remove what stays in use end after 200 pauses in total", async () => {
  // In a copy of the module: no pause is left afterwards.
  const module = "../../lib/operation/pending.ts";
  const { removeAtExit } = await import(`${module}?copy`) as typeof import("../../lib/operation/pending.ts");
  using _ = on("windows");
  const held = { code: "EBUSY", times: Infinity };
  assert.deepEqual(removed("/held", held, removeAtExit), [false, 201]);
  assert.deepEqual(removed("/other", held, removeAtExit), [false, 1]);
});

test("at exit what is being moved is waited for, a millisecond at a time, until it is gone or 200 have passed", async () => {
  const module = "../../lib/operation/pending.ts";
  const { movedAtExit } = await import(`${module}?moved`) as typeof import("../../lib/operation/pending.ts");
  let looks = 0;
  const slept: number[] = [];
  using _ = substitute({
    primitives: {
      status() {
        if (++looks === 4) throw systemError("ENOENT");
      },
    },
    runtime: { sleep: (milliseconds) => void slept.push(milliseconds) },
  });
  assert.deepEqual([movedAtExit("/moved"), slept], [true, [1, 1, 1]]);
  assert.deepEqual([movedAtExit("/moved"), slept.length], [false, 200]);
});
