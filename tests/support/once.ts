/**
 * Tests too long to run in every cell.
 *
 * @module
 */
import { test } from "node:test";
import process from "node:process";

const runtime = process.env.MAYFLY_TEST_RUNTIME ?? "node24";

/** The reason to skip a test here that runs once per runtime, on the built package; false where it runs. */
export const oncePerRuntime: string | false = process.env.MAYFLY_TEST_MODE === "source"
  ? "once a runtime is enough: it runs on the package"
  : false;

/**
 * The reason to skip a test here of what all versions of Node do alike, which runs on only one of them; false where it
 * runs.
 */
export const oncePerKind: string | false = oncePerRuntime ||
  (/^node(?!24)/.test(runtime) && "once on Node is enough: it runs on Node 24");

/** The reason to skip a test here that does not depend on the runtime, and runs on only one; false where it runs. */
export const onceInAll: string | false = oncePerRuntime ||
  (runtime !== "node24" && "once is enough: it runs on Node 24");

/**
 * `test` for a file that runs only on the package, where the runner starts it. Most of these files start many processes,
 * each of which loads the library: the hundred modules of the source cost each of them a tenth of a second of processor
 * time, the package, which is what users have on every runtime, next to nothing.
 */
export function packageTest(name: string, ...rest: [Body] | [Options, Body]): void {
  const body = rest.pop() as Body;
  const { skip, onOneNode, inAll } = rest[0] as Options | undefined ?? {};
  const [where, once] = inAll
    ? ["once in all", onceInAll]
    : onOneNode
    ? ["once on Node, Deno and Bun", oncePerKind]
    : ["once a runtime", oncePerRuntime];
  test(`${name} (${where})`, { skip: once || skip }, body);
}

/**
 * `onOneNode`: for long tests of what all versions of Node do alike; `inAll`: for tests that do not depend on the
 * runtime.
 */
type Options = { skip?: string | boolean; onOneNode?: boolean; inAll?: boolean };
type Body = () => void | Promise<void>;
