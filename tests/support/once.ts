/**
 * Tests too long to be run twice where source and package cannot differ.
 *
 * @module
 */
import process from "node:process";

/** Why a test that runs once a runtime, on the built package, is skipped here; false where it runs. */
export const oncePerRuntime: string | false = process.env.MAYFLY_TEST_MODE === "source"
  ? "once a runtime is enough: it runs on the package"
  : false;

/** Why a test of what no runtime has a part in, which runs on one of them only, is skipped here; false where it runs. */
export const onceInAll: string | false =
  oncePerRuntime || (process.env.MAYFLY_TEST_RUNTIME ?? "node24") === "node24"
    ? oncePerRuntime
    : "once is enough: it runs on Node 24";
