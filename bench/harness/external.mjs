import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { inRoot } from "../../tools/paths.mjs";
import { capture } from "../../tools/process.mjs";
import { prioritised } from "./priority.mjs";

/** Returns the available programs in other languages: `{ c, python }`, each the start of a command. */
export function compileLoop({ work }) {
  const loop = join(work, "loop");
  const { status } = spawnSync("cc", ["-O2", "-o", loop, inRoot("bench/external/loop.c")], {
    stdio: "inherit",
  });
  const python = spawnSync("python3", ["--version"]).status === 0;
  return {
    c: status === 0 ? [loop] : undefined,
    python: python ? ["python3", inRoot("bench/external/loop.py")] : undefined,
  };
}

/**
 * Takes one sample: the program does `what` in `directory` for some milliseconds, and prints the microseconds of one
 * iteration.
 */
export async function sampleExternal(program, what, directory, milliseconds) {
  const [command, ...args] = prioritised([...program, what, directory, String(milliseconds)]);
  const env = { ...process.env, TMPDIR: directory };
  const { code, output } = await capture(command, args, { env });
  if (code !== 0) throw new Error(output.trim());
  return { time: Number(output) };
}
