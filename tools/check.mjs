import { inRoot } from "./paths.mjs";
import { capture, ending, stopChildrenOnSignals } from "./process.mjs";
import { runtimes } from "./runtimes.mjs";
import { makeWorkplace, removeAllWorkplaces } from "./testing/workplace.mjs";

stopChildrenOnSignals(removeAllWorkplaces);
const [{ bin: deno } = { bin: "deno" }] = await runtimes(["deno"]);
const entries = ["mod.ts", "cli.ts"];
const documented = [...entries, "lib", "README.md", "docs"];

/** Each step is `[name, command, arguments]`. The longest come first. */
const independent = [
  ["tsc, tests", ...tool("typescript", "bin/tsc", "-p", "tsconfig.tests.json")],
  ["tsc, library", ...tool("typescript", "bin/tsc", "-p", "tsconfig.json")],
  ["deno check", deno, ["check", ...entries, "examples"]],
  ["deno lint", deno, ["lint"]],
  ["deno fmt", deno, ["fmt", "--check"]],
].values();
const build = ["build", ...tool("tsup", "dist/cli-default.js")];
/** The steps that read `dist/`. */
const onPackage = [
  ["deno test --doc", deno, ["test", "-A", "--doc", "--no-remote", ...documented]],
  ["deno publish --dry-run", deno, ["publish", "--dry-run", "--allow-dirty"]],
  ["attw", ...tool("@arethetypeswrong/cli", "dist/index.js", "--profile", "esm-only", "--pack", ".")],
  ["publint", ...tool("publint", "src/cli.js", "--strict")],
  // On what JSR publishes: without their first lines, which name their types, these modules have no documentation.
  ["deno doc --lint", deno, [
    "doc",
    "--lint",
    ...entries.map((name) => `dist/${name.replace(".ts", ".js")}`),
  ]],
].values();

const env = {
  ...process.env,
  NO_COLOR: "1",
  FORCE_COLOR: undefined,
  DENO_NO_UPDATE_CHECK: "1",
  TMPDIR: makeWorkplace(),
};
const failed = [];
// Two at a time: most use one thread.
const built = runAll([build]);
await Promise.all([
  built.then(() => runAll(onPackage)).then(() => runAll(independent)),
  runAll(independent).then(() => built).then(() => runAll(onPackage)),
]);
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
