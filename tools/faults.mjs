// Makes the kernel fail every system call of every scenario, and kill the process in every one, and tries all other faults
// of which `npm test` tries a selection: `npm run faults -- --only node24,bun`. The same `--seed`, which decides how calls
// fail, repeats a run. Deno can be traced too, but panics if closing a directory fails, which is then reported.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build } from "./build.mjs";
import { root } from "./paths.mjs";
import { run, stopChildrenOnSignals } from "./process.mjs";
import { runtimes } from "./runtimes.mjs";

const text = { type: "string" };
const { values } = parseArgs({
  options: { only: { ...text, default: "node24,bun" }, seed: { ...text, default: "0" } },
});

const files = ["faults/matrix", "faults/interleaving", "persist/faults_persist", "faults/kernel"];
/** Each test file by itself, without the time limits of a full test run. */
const commands = {
  node: (file) => ["--conditions=dist", file],
  bun: (file) => ["test", "--conditions=dist", "--timeout=100000000", `./${file}`],
  deno: (file) => ["test", "-A", "--no-check", "--no-remote", "--conditions=dist", file],
};

const place = mkdtempSync(join(tmpdir(), "mayfly-faults-"));
process.on("exit", () => rmSync(place, { recursive: true, force: true }));
stopChildrenOnSignals();
await build();
for (const { name, kind, bin } of await runtimes(values.only.split(","))) {
  console.log(`\n${name}`);
  for (const file of files) {
    const { code } = await run(bin, commands[kind](`tests/${file}.test.ts`), { env: environment(name) });
    if (code !== 0) process.exitCode = 1;
  }
}

function environment(name) {
  return {
    ...process.env,
    TMPDIR: place,
    NO_COLOR: "1",
    DENO_NO_UPDATE_CHECK: "1",
    MAYFLY_FAULTS: "all",
    MAYFLY_SEED: values.seed,
    MAYFLY_TEST_RUNTIME: name,
    MAYFLY_TEST_MODE: "dist",
    MAYFLY_TEST_ROOT: root,
  };
}
