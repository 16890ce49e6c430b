import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";

/** Writes scripts into `dir` and runs them, each in a process of its own in the measured runtime. */
export function scripts({ dir, kind, library }) {
  const flags = {
    node: ["--expose-gc"],
    bun: [],
    deno: ["run", "-A", "--no-check", "--v8-flags=--expose-gc"],
  }[kind];
  const prelude = `import fs from "node:fs"; import process from "node:process";
    import * as m from ${JSON.stringify(pathToFileURL(library))};
    const dir = ${JSON.stringify(dir)};
    const say = (value) => fs.writeSync(1, JSON.stringify(value) + "\\n");\n`;
  return (name, code) => {
    const path = join(dir, `${name}.mjs`);
    writeFileSync(path, prelude + code);
    return () => run([...flags, path]);
  };
}

/** Returns what the script prints, and when it was gone, in milliseconds since 1970. */
function run(args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
  const ended = performance.timeOrigin + performance.now();
  if (status !== 0) throw new Error(`ended with status ${status}: ${stderr}`);
  return { said: JSON.parse(stdout), ended };
}
