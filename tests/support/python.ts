/**
 * What Node's file interface cannot do: names in bytes, paths of any length, the system calls of an attacker.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";

/**
 * The system's own if there is one: what the search path has first may be a version manager's script, which takes ten
 * times as long to choose an interpreter as Python takes to start.
 */
export const python3: string = process.platform === "linux" && existsSync("/usr/bin/python3")
  ? "/usr/bin/python3"
  : "python3";

/** Whether Python is available. */
export const hasPython: boolean = process.platform !== "win32" && spawnSync(python3, ["-c", ""]).status === 0;

/** Runs a script until it exits. */
export function python(script: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(python3, ["-c", script, ...args], { encoding: "utf8" });
  if (status !== 0) throw new Error(`Python failed: ${stderr}`);
  return stdout;
}

/** Creates a chain of directories of any depth, with a file in every hundredth and in the last. */
export const deepChain = (top: string, levels: number, name = "d"): string =>
  python(DEEP_CHAIN, top, String(levels), name);

/** The same for code in a child: `sys.argv` is top, levels, name. */
export const DEEP_CHAIN = `
import os, sys
os.chdir(sys.argv[1])
levels = int(sys.argv[2])
for level in range(levels):
    os.mkdir(sys.argv[3])
    os.chdir(sys.argv[3])
    if level % 100 == 0 or level == levels - 1:
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, 0o600))
`;
