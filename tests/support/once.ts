/**
 * Tests too long to be run in every cell.
 *
 * @module
 */
import { test } from "node:test";
import process from "node:process";

const runtime = process.env.MAYFLY_TEST_RUNTIME ?? "node24";

/** Why a test that runs once a runtime, on the built package, is skipped here; false where it runs. */
export const oncePerRuntime: string | false = process.env.MAYFLY_TEST_MODE === "source"
  ? "once a runtime is enough: it runs on the package"
  : false;

/** Why a test of what all versions of Node do alike, which runs on one of them only, is skipped here; false where it runs. */
export const oncePerKind: string | false = oncePerRuntime ||
  (/^node(?!24)/.test(runtime) && "once on Node is enough: it runs on Node 24");

/** Why a test of what no runtime has a part in, which runs on one of them only, is skipped here; false where it runs. */
export const onceInAll: string | false = oncePerRuntime ||
  (runtime !== "node24" && "once is enough: it runs on Node 24");

/**
 * `test` for a file that is for the package alone, where the runner begins it. Most of these files are full of processes,
 * each of which loads the library: the hundred modules of the source cost every one of them a tenth of a second of
 * processor time, the package, which is what users have on every runtime, next to nothing.
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

/** `onOneNode`: for what is long, and what all versions of Node do alike; `inAll`: for what no runtime has a part in. */
type Options = { skip?: string | boolean; onOneNode?: boolean; inAll?: boolean };
type Body = () => void | Promise<void>;
