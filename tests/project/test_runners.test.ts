/**
 * The library inside common test runners.
 *
 * @module
 */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { namedTemporaryFile } from "#mod";
import { noFlock } from "../support/ager.ts";
import { runChild } from "../support/child.ts";
import { packageTest as test } from "../support/once.ts";
import { isBun, isDeno, root } from "../support/platform.ts";
import { must, noNpm, type Project, project } from "../support/project.ts";

/** What each test does with the library. One file is left to process exit. */
const BODY = `
  const file = await namedTemporaryFile();
  await file.write("hello");
  if (await file.text() !== "hello") throw new Error("not what was written");
  const directory = await temporaryDirectory();
  await (await directory.namedTemporaryFile({ delete: false })).close();
  await file.close();
  await directory.remove();
  globalThis.forTheEndOfTheProcess = await namedTemporaryFile();
`;
const IMPORTS = `import { namedTemporaryFile, temporaryDirectory } from "mayfly";`;

/** Writes several test files, since runners load modules anew for each: more than a process may have listeners. */
function writeTests(user: Project, head: string, count = 15): void {
  for (let number = 1; number <= count; number++) {
    const text = `${IMPORTS}\n${head}\ntest("uses the library", async () => {${BODY}});\n`;
    user.write(`${number}.test.mjs`, text);
  }
}

const left = ({ path }: Project): string[] => {
  const known = /^\.mayfly-(\d+|user)$|^node-compile-cache$|^jest_|^vitest|^haste-map/;
  return readdirSync(join(path, "tmp")).filter((name) => !known.test(name));
};

/** Asserts that Node does not warn of too many listeners. */
const assertNoListenerLeak = (output: string): void =>
  assert.doesNotMatch(output, /MaxListenersExceeded|leak/i);

/** Waits for the removal: at the end of the process there may be too little time for it, as under Wine. */
const NEXT = `
  import { readdirSync } from "node:fs";
  import { setTimeout } from "node:timers/promises";
  import { temporaryDirectory, tmpdir } from "mayfly";
  await (await temporaryDirectory()).remove();
  const isLeft = () => readdirSync(tmpdir()).some((name) => name.startsWith("tmp"));
  for (let turn = 0; turn < 500 && isLeft(); turn++) await setTimeout(10);
`;

/**
 * Asserts that the next process removes what the tests left: Vitest terminates its workers, and Jest gives tests a `process`
 * without exit events.
 */
function assertReclaimed(user: Project): void {
  user.write("next.mjs", NEXT);
  must(user.run("next.mjs"));
  assert.deepEqual(left(user), []);
}

test(
  "Vitest, in forks and in threads, passes all tests, and the next process removes what they left",
  {
    skip: noNpm,
    inAll: true,
  },
  () => {
    using user = project();
    writeTests(user, 'import { test } from "vitest";');
    const vitest = join(root, "node_modules/vitest/vitest.mjs");
    for (const pool of ["forks", "threads"]) {
      const { stdout, stderr } = must(
        user.exec(process.execPath, vitest, "run", "--no-isolate", "--pool", pool),
      );
      assert.match(stdout, /15 passed/);
      assertNoListenerLeak(stdout + stderr);
      assertReclaimed(user);
    }
  },
);

test(
  "Jest loads the module anew for each file without leaking listeners, and the next process removes what the tests left",
  {
    skip: noNpm,
    inAll: true,
  },
  () => {
    using user = project();
    writeTests(user, "");
    user.write(
      "jest.config.json",
      '{ "testMatch": ["**/*.test.mjs"], "transform": {}, "globalTeardown": "./teardown.cjs" }',
    );
    // Only the global teardown has the real process, and runs after all files and their timers.
    user.write(
      "teardown.cjs",
      `module.exports = async () => {
       await new Promise((resolve) => setTimeout(resolve, 300));
       const counts = ["exit", "SIGINT", "SIGTERM", "SIGHUP"].map((name) => process.listenerCount(name));
       console.error("listeners: " + Math.max(...counts));
     };`,
    );
    const jest = join(root, "node_modules/jest/bin/jest.js");
    const flags = ["--runInBand", "--no-cache", "--config", "jest.config.json"];
    const { stderr } = must(user.exec(process.execPath, "--experimental-vm-modules", jest, ...flags));
    assert.match(stderr, /15 passed/);
    const listeners = Number(/listeners: (\d+)/.exec(stderr)?.[1]);
    assert.ok(listeners < 10, `${listeners} listeners`);
    assertNoListenerLeak(stderr);
    assertReclaimed(user);
  },
);

test(
  "the runtime's own test runner passes all tests and leaves nothing, on Bun after the next process",
  () => {
    using user = project();
    const own = isBun
      ? 'import { test } from "bun:test";'
      : isDeno
      ? "const test = Deno.test;"
      : 'import { test } from "node:test";';
    // Node runs each file in a process of its own, Deno in a worker.
    const count = isBun ? 15 : 3;
    writeTests(user, own, count);
    const args = isDeno ? ["test", "-A", "--no-check"] : isBun ? ["test"] : ["--test"];
    const { stdout, stderr } = must(user.exec(process.execPath, ...args));
    assert.match(stdout + stderr, new RegExp(`${count} pass|pass ${count}`));
    assertNoListenerLeak(stdout + stderr);
    // `bun test` does not run exit handlers for tests that use bun:test.
    if (isBun) assertReclaimed(user);
    assert.deepEqual(left(user), []);
  },
);

test("properties of the registry shared by all copies of the module are not configurable, so that Jest cannot delete them", async () => {
  await using _file = await namedTemporaryFile();
  const shared = (globalThis as { [key: symbol]: object | undefined })[Symbol.for("mayfly.registry")];
  assert.ok(shared);
  for (const key of Reflect.ownKeys(shared)) {
    assert.equal(Reflect.getOwnPropertyDescriptor(shared, key)!.configurable, false, String(key));
  }
});

/** Replaces the timers by ones that never fire, like the fake timers of test runners. */
const STOP_TIMERS = `const standStill = () => {
  for (const name of ["setTimeout", "setInterval", "setImmediate"]) globalThis[name] = () => ({});
};`;

test("timers that never fire, as with fake timers of test runners, block no call", async () => {
  const { said, stderr } = await runChild(
    `${STOP_TIMERS}
    const use = async (count) => {
      for (let i = 0; i < count; i++) {
        const file = await m.namedTemporaryFile();
        await file.write("x");
        await file.close();
      }
    };
    // More than can be done in one turn of the event loop.
    await use(300);
    standStill();
    await use(300);
    say("done");`,
    { timeout: 60_000 },
  );
  assert.deepEqual({ said, stderr }, { said: ["done"], stderr: "" });
});

test(
  "timers that never fire from before the first use block neither waiting for a lock nor its timeout",
  {
    skip: noFlock,
  },
  async () => {
    const { said, stderr } = await runChild(
      `${STOP_TIMERS}
    standStill();
    const file = await m.namedTemporaryFile();
    const again = await file.reopen();
    const lock = await file.lock();
    await again.lock({ timeout: 20 }).catch(({ code }) => say(code));
    const waiting = again.lock();
    // The lock is released only after the first attempt to acquire it has failed.
    for (let turn = 0; turn < 100; turn++) await m.diskSpace();
    lock.release();
    say((await waiting).shared);
    await again.close();
    await file.close();`,
      { timeout: 60_000 },
    );
    assert.deepEqual({ said, stderr }, { said: ["ETIMEDOUT", false], stderr: "" });
  },
);
