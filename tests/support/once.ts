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
