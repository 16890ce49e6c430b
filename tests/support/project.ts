/**
 * A user's project: empty except for the package.
 *
 * @module
 */
import { spawnSync, type SpawnSyncReturns } from "node:child_process";
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { isWindows, root } from "./platform.ts";
import { type Scratch, scratch } from "./scratch.ts";

const runtime = process.env.MAYFLY_TEST_RUNTIME ?? (process.versions.bun ? "bun" : "node");

/** On Windows, npm and what it installs are scripts, which only a shell runs. */
const needsShell = (command: string): boolean => isWindows && !command.endsWith(".exe");

/** For tests of npm, and of programs that it installs for each system: a copy of Windows may lack it. */
export const noNpm: string | false = isWindows &&
  spawnSync("npm", ["--version"], { shell: true }).status !== 0 && "needs npm";

/** A project, until the end of the scope. */
export interface Project extends Scratch {
  /** Writes a file of the project. */
  write(name: string, text: string): void;
  /** Runs a script of the project on the runtime of this process. */
  run(script: string, ...args: string[]): Ended;
  /** Runs any program in the project. */
  exec(command: string, ...args: string[]): Ended;
}

/** The result of a program. */
export type Ended = Pick<SpawnSyncReturns<string>, "status" | "stdout" | "stderr">;

/** Creates a project without any package. */
export function emptyProject(): Project {
  const place = scratch();
  const temporary = join(place.path, "tmp");
  mkdirSync(temporary);
  // Settings of this process for its own modules and colours are not passed on.
  const { NODE_OPTIONS: _options, NODE_V8_COVERAGE: _coverage, ...inherited } = process.env;
  const env = { ...inherited, TMPDIR: temporary, CI: "1" };
  const exec = (command: string, ...args: string[]): Ended => {
    const options = { cwd: place.path, env, timeout: 100_000, shell: needsShell(command) };
    return spawnSync(command, args, { ...options, encoding: "utf8" });
  };
  const write = (name: string, text: string): void => {
    mkdirSync(dirname(join(place.path, name)), { recursive: true });
    writeFileSync(join(place.path, name), text);
  };
  write("package.json", '{ "private": true, "type": "module" }');
  return {
    ...place,
    write,
    exec,
    run: (script, ...args) =>
      exec(process.execPath, ...runtime === "deno" ? ["run", "-A"] : [], script, ...args),
  };
}

/**
 * Creates a project with only the package. Its files are copied: npm would take two seconds of processor time, and one
 * test shows that it installs the same.
 */
export function project(): Project {
  const user = emptyProject(), installed = join(user.path, "node_modules/mayfly");
  for (const name of ["package.json", "dist"]) {
    cpSync(join(root, name), join(installed, name), { recursive: true });
  }
  return user;
}

/** Returns what succeeded; throws its output if it failed. */
export function must(ended: Ended): Ended {
  if (ended.status !== 0) throw new Error(`Ended with ${ended.status}: ${ended.stderr}${ended.stdout}`);
  return ended;
}
