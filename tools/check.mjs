import { inRoot } from "./paths.mjs";
import { capture, ending, stopChildrenOnSignals } from "./process.mjs";
import { runtimes } from "./runtimes.mjs";
import { makeWorkplace, removeAllWorkplaces } from "./testing/workplace.mjs";

stopChildrenOnSignals(removeAllWorkplaces);
const [{ bin: deno } = { bin: "deno" }] = await runtimes(["deno"]);
const entries = ["mod.ts", "cli.ts"];
const documented = [...entries, "lib", "README.md", "docs"];

/** Each step is `[name, command, arguments]`. `build` makes `dist/`, which some of the others read. */
const build = ["build", ...tool("tsup", "dist/cli-default.js")];
const steps = [
  ["deno fmt", deno, ["fmt", "--check"]],
  ["deno lint", deno, ["lint"]],
  ["tsc, library", ...tool("typescript", "bin/tsc", "-p", "tsconfig.json")],
  ["tsc, tests", ...tool("typescript", "bin/tsc", "-p", "tsconfig.tests.json")],
  ["deno check", deno, ["check", ...entries, "examples"]],
  // On what JSR publishes: without their first lines, which name their types, these modules have no documentation.
  ["deno doc --lint", deno, [
    "doc",
    "--lint",
    ...entries.map((name) => `dist/${name.replace(".ts", ".js")}`),
  ]],
  ["deno test --doc", deno, ["test", "-A", "--doc", "--no-remote", ...documented]],
  ["deno publish --dry-run", deno, ["publish", "--dry-run", "--allow-dirty"]],
  ["publint", ...tool("publint", "src/cli.js", "--strict")],
  ["attw", ...tool("@arethetypeswrong/cli", "dist/index.js", "--profile", "esm-only", "--pack", ".")],
];

const env = {
  ...process.env,
  NO_COLOR: "1",
  FORCE_COLOR: undefined,
  DENO_NO_UPDATE_CHECK: "1",
  TMPDIR: makeWorkplace(),
};
const failed = [];
await runAll([build]);
// Two at a time: most use one thread.
const rest = steps.values();
await Promise.all([runAll(rest), runAll(rest)]);
removeAllWorkplaces();
console.log(failed.length ? `\nFailed: ${failed.join(", ")}` : "\nAll checks passed");
process.exitCode = failed.length ? 1 : 0;

function tool(package_, file, ...args) {
  return [process.execPath, [inRoot("node_modules", package_, file), ...args]];
}

async function runAll(wanted) {
  for (const step of wanted) {
    if (!await passes(step)) failed.push(step[0]);
  }
}

async function passes([name, command, args]) {
  const started = performance.now();
  const end = await capture(command, args, { env });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const isOk = end.code === 0;
  console.log(`${isOk ? "ok    " : "FAILED"} ${name} (${seconds} s)`);
  if (!isOk) console.log(`${end.output.trimEnd()}\n${name}: ${ending(end)}\n`);
  return isOk;
}
