/**
 * Children that end in some way, with files and directories or without.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { type ChildOptions, type ChildResult, startChild } from "./child.ts";
import { isWindows } from "./platform.ts";
import { type Scratch, scratch } from "./scratch.ts";

/** `names(m)`: the names in the temporary directory, without the directory of leases. */
export const NAMES_THERE = `
const names = (m) => fs.readdirSync(m.tmpdir()).filter((name) => !name.startsWith(".mayfly-"));
`;

/** Creates files and directories of each kind and reports how many names that are; does nothing in the child to compare with. */
export const MAKE = `${NAMES_THERE}
if (args[0] === "with") {
  const m = await import(moduleUrl);
  if (args[1] === "signals") m.configure({ signals: true });
  globalThis.made = [m.namedTemporaryFileSync(), await m.namedTemporaryFile(), m.temporaryDirectorySync(),
    await m.temporaryDirectory(), m.temporaryFileSync(), await m.temporaryFile()];
  made[0].writeSync("x");
  fs.mkdirSync(made[2].join("sub"));
  fs.writeFileSync(made[2].join("sub", "file"), "x");
  say(names(m).length);
}
await null;
`;

/** The number of names while everything that MAKE creates is alive. On Windows unnamed files have a name as well. */
export const NAMES = isWindows ? 6 : 4;

/** Reports that the child is ready for a signal, and waits for it. */
export const WAIT = `say("ready"); setInterval(() => {}, 1000);`;

/** Calls `act` when a child reports that it is ready. */
export const whenReady = (act: (child: ChildProcess) => void) => (child: ChildProcess): void => {
  child.stdout!.on("data", (text) => String(text).includes('"ready"') && act(child));
};

/** Sends a signal, also a second time, which `child.kill` does not do on every runtime. */
export const kill = (child: ChildProcess, signal: NodeJS.Signals): void =>
  void process.kill(child.pid!, signal);

export const send = (signal: NodeJS.Signals): (child: ChildProcess) => void =>
  whenReady((child) => kill(child, signal));

interface Ending {
  /** The code with which the child ends. */
  code: string;
  /** What is done to the child. */
  act?: (child: ChildProcess) => void;
  /** Whether the child asks for signals to be handled. */
  signals?: boolean;
  options?: ChildOptions;
}

/** Runs a child that ends in some way, with files and directories or without. */
export async function end(how: "with" | "without", place: Scratch, ending: Ending): Promise<ChildResult> {
  const args = ending.signals ? [how, "signals"] : [how];
  const env = { TMPDIR: place.path, ...ending.options?.env };
  const { child, result } = startChild(MAKE + ending.code, { bare: true, ...ending.options, args, env });
  ending.act?.(child);
  return await result;
}

/** Everything visible of an end, without the path of the script. */
function visible({ status, signal, stdout, stderr }: ChildResult): object {
  return { status, signal, stdout, stderr: stderr.replace(/[^\s"'(]*scratch-\w+/g, "") };
}

/** Compares the ends of a child with temporary files and of one without, which must be alike. Returns the first and what it left. */
export async function compared(ending: Ending): Promise<{ outcome: ChildResult; left: string[] }> {
  using place = scratch();
  const [outcome, bare] = await Promise.all([end("with", place, ending), end("without", place, ending)]);
  assert.equal(outcome.said[0], NAMES, `nothing was created: ${outcome.stderr}`);
  assert.deepEqual(visible(outcome), visible(bare));
  return { outcome, left: place.names() };
}

/**
 * Runs a child with temporary files, and asserts everything visible of its end. For ends that look the same on every
 * runtime: those need no child without files to compare with. Returns the result and what the child left.
 */
export async function endsAs(
  expected: Partial<Pick<ChildResult, "status" | "signal" | "stdout" | "stderr">>,
  ending: Ending,
): Promise<{ outcome: ChildResult; left: string[] }> {
  using place = scratch();
  const outcome = await end("with", place, ending);
  assert.equal(outcome.said[0], NAMES, `nothing was created: ${outcome.stderr}`);
  assert.deepEqual(visible(outcome), { status: null, signal: null, stdout: "", stderr: "", ...expected });
  return { outcome, left: place.names() };
}

export async function leavesNothing(ending: Ending): Promise<ChildResult> {
  const { outcome, left } = await compared(ending);
  assert.deepEqual(left, []);
  return outcome;
}
