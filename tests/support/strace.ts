/**
 * The system calls of a child that create something or change permissions, as the kernel received them.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type ChildOptions, type ChildResult, runChild } from "./child.ts";
import { scratch } from "./scratch.ts";

/** One system call. */
export interface SystemCall {
  name: string;
  /** All arguments, as strace shows them. */
  text: string;
  /** The first path among the arguments; empty if there is none. */
  path: string;
  /** The flags of an `open`. */
  flags: string[];
  /** The mode of a creating call, as octal text. */
  mode: string | undefined;
  /** `0`, a descriptor, or `-1 ECODE (…)`. */
  answer: string;
}

/** The reason why strace is not available; false if it is. */
export const noStrace: string | false = canTrace() ? false : "needs strace, and the right to use it";

function canTrace(): boolean {
  if (process.platform !== "linux") return false;
  return spawnSync("strace", ["-qq", "-o", "/dev/null", "true"]).status === 0;
}

const CALLS =
  "open,openat,?openat2,creat,mkdir,mkdirat,mknod,mknodat,link,linkat,symlink,symlinkat,rename,renameat,renameat2," +
  "unlink,unlinkat,rmdir,chmod,fchmod,fchmodat,?fchmodat2,umask";

function parse(line: string): SystemCall[] {
  const match = /^(?:\[pid +\d+\] |\d+ +)?(\w+)\((.*)\) += (.+)$/.exec(line);
  if (match === null) return [];
  const [, name, text, answer] = match;
  const path = /"((?:[^"\\]|\\.)*)"/.exec(text)?.[1] ?? "";
  const flags = /O_[A-Z|_O]+/.exec(text)?.[0].split("|") ?? [];
  const mode = /, (0[0-7]*)$/.exec(text)?.[1];
  return [{ name, text, path, flags, mode, answer }];
}

/** Runs a child under strace, and returns its system calls and its result. */
export async function tracedChild(
  code: string,
  options: ChildOptions = {},
): Promise<ChildResult & { calls: SystemCall[] }> {
  using place = scratch();
  const log = join(place.path, "log");
  const under = ["strace", "-f", "--seccomp-bpf", "-qq", "-s", "4096", "-o", log, "-e", `trace=${CALLS}`];
  const result = await runChild(code, { ...options, under: [...options.under ?? [], ...under] });
  return { ...result, calls: joined(readFileSync(log, "latin1")).flatMap(parse) };
}

/** Joins calls that strace wrote in two parts because another thread ran meanwhile. */
function joined(log: string): string[] {
  const begun = new Map<string, string>();
  return log.split("\n").flatMap((line) => {
    const pid = line.split(" ", 1)[0];
    const start = /^(.*) <unfinished \.\.\.>$/.exec(line);
    if (start !== null) {
      begun.set(pid, start[1]);
      return [];
    }
    const rest = /^\d+ +<\.\.\. \w+ resumed>(.*)$/.exec(line);
    return [rest === null ? line : (begun.get(pid) ?? "") + rest[1]];
  });
}

/** Whether a call is meant to create a file or a directory, even without a name. */
export const creates = ({ name, flags }: SystemCall): boolean =>
  /^(creat|mkdir|mkdirat|mknod|mknodat|link|linkat|symlink|symlinkat)$/.test(name) ||
  flags.includes("O_CREAT") || flags.includes("O_TMPFILE");
