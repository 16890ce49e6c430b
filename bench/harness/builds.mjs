import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { build } from "../../tools/build.mjs";
import { inRoot } from "../../tools/paths.mjs";
import { capture } from "../../tools/process.mjs";

/** Builds the libraries to measure: this one, and the one of `--against`, as `{ label, library }`. */
export async function builds({ against, dist }, { work }) {
  if (!dist) await build();
  const here = { label: "", library: inRoot("dist/mod.js") };
  return against === undefined ? [here] : [here, await buildRevision(against, work)];
}

/** From an archive, not a work tree: nothing has to be cleaned up in the repository afterwards. */
async function buildRevision(revision, work) {
  const place = join(work, "against");
  mkdirSync(place);
  const archive = join(work, "against.tar");
  await must("git", ["archive", "--output", archive, revision]);
  await must("tar", ["-xf", archive, "-C", place]);
  symlinkSync(inRoot("node_modules"), join(place, "node_modules"));
  await must(process.execPath, [join(place, "node_modules/tsup/dist/cli-default.js")], { cwd: place });
  return { label: revision, library: join(place, "dist/mod.js") };
}

async function must(command, args, options) {
  const { code, error, output } = await capture(command, args, options);
  if (code !== 0) throw new Error(`${command} ${args[0]} failed: ${error?.message ?? output.trim()}`);
}
