import { join } from "node:path";
import { inRoot, root } from "../paths.mjs";
import { lowered, loweredName } from "./lower.mjs";

/** Time limit of a single test, where the runtime takes one; Bun's default is 5 seconds. */
const testTimeout = 120_000;

/** Returns how a runtime runs one test file: `{ args, cwd }`. The machine-readable report goes to `report`. */
export function testCommand({ kind, major }, mode, file, report) {
  const conditions = mode === "dist" ? ["--conditions=dist"] : [];
  if (kind === "deno") return { cwd: root, args: denoArgs(conditions, file, report) };
  if (kind === "bun") return { cwd: root, args: bunArgs(conditions, file, report) };
  const needsLowering = major < 24;
  return needsLowering
    ? { cwd: lowered, args: nodeArgs(conditions, loweredName(file), report) }
    : { cwd: root, args: nodeArgs(conditions, file, report) };
}

/** Runs the file itself, not through `--test`: one process less, and a crash is clearly this file's. */
function nodeArgs(conditions, file, report) {
  return [
    ...conditions,
    `--test-timeout=${testTimeout}`,
    `--test-reporter=${inRoot("tools/testing/node_reporter.mjs")}`,
    `--test-reporter-destination=${report}`,
    "--test-reporter=spec",
    "--test-reporter-destination=stdout",
    file,
  ];
}

/** `--no-remote`: the tests of `tests/std` are not run here, and nothing else may need the network. */
function denoArgs(conditions, file, report) {
  return ["test", "-A", "--no-check", "--no-remote", ...conditions, `--junit-path=${report}`, file];
}

function bunArgs(conditions, file, report) {
  const reporter = ["--reporter=junit", `--reporter-outfile=${report}`];
  // Without "./" the name is a pattern, which matches other files too.
  return ["test", ...conditions, `--timeout=${testTimeout}`, ...reporter, `./${join(file)}`];
}
