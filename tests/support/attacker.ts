/**
 * A process that keeps swapping a directory for a link, as fast as it can.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { lstatSync, mkdirSync, renameSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hasPython, python, python3 } from "./python.ts";
import { memory, type Scratch, scratch } from "./scratch.ts";

/** Swaps two names atomically: neither is ever missing. */
const EXCHANGE = `
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def exchange(one, other):
    return libc.renameat2(-100, one, -100, other, 2)
`;

const LOOP = `${EXCHANGE}
import time
area, done = sys.argv[1].encode(), 0
print("ready", flush=True)
while not os.path.exists(area + b"/stop"):
    try: one, other = os.readlink(area + b"/current").split(b"\\n")
    except OSError:
        time.sleep(0.001)
        continue
    # An odd number: in the pause, which leaves the processor to others, either may be in the other's place.
    for _ in range(3):
        if exchange(one, other) == 0: done += 1
    time.sleep(0.00002)
print(done, flush=True)
`;

/** Whether an attacker can run: needs Linux, Python, and a file system that can swap names. */
export const canAttack: boolean = process.platform === "linux" && hasPython && ((): boolean => {
  using place = scratch(memory);
  for (const name of ["one", "other"]) mkdirSync(join(place.path, name));
  const script = `${EXCHANGE}\nprint(exchange(sys.argv[1].encode(), sys.argv[2].encode()))`;
  try {
    return python(script, join(place.path, "one"), join(place.path, "other")).trim() === "0";
  } catch {
    return false;
  }
})();

/** A running attacker. */
export interface Attacker extends AsyncDisposable {
  /** Where it looks for something to attack. */
  readonly area: string;
  /** Makes it swap these two names from now on. */
  aimAt(one: string, other: string): void;
  /** Lets it rest until it is aimed again: it would keep a processor busy. */
  rest(): void;
  /** Ends it, and returns how many swaps it made. */
  stop(): Promise<number>;
}

/** Starts an attacker. */
export async function attacker(): Promise<Attacker> {
  const place: Scratch = scratch(memory), area = place.path;
  const child = spawn(python3, ["-c", LOOP, area], { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  const ended = new Promise((resolve) => child.on("close", resolve));
  await new Promise<void>((resolve, reject) => {
    child.on("error", reject);
    child.stdout!.on("data", (text) => {
      said += text;
      if (said.includes("ready")) resolve();
    });
  });
  const stop = async (): Promise<number> => {
    writeFileSync(join(area, "stop"), "");
    await ended;
    return Number(/\d+/.exec(said)?.[0]);
  };
  return {
    area,
    aimAt(one, other) {
      // A link holds both names, and replaces the previous one atomically.
      symlinkSync(`${one}\n${other}`, join(area, "next"));
      renameSync(join(area, "next"), join(area, "current"));
    },
    rest: () => unlinkSync(join(area, "current")),
    stop,
    async [Symbol.asyncDispose]() {
      await stop();
      place[Symbol.dispose]();
    },
  };
}

/**
 * Creates a directory with a file, and another in it, whose names are the same in the tree and outside, so that a misled
 * removal finds what it looks for.
 */
export function fillAlike(path: string): void {
  mkdirSync(join(path, "d"), { recursive: true });
  for (const name of ["f", "d/f"]) writeFileSync(join(path, name), "x");
}

const cell = new Int32Array(new SharedArrayBuffer(4));

/**
 * Waits until the attacker is seen working on a path, for a limited time; sleeps, so that the attacker gets a processor.
 */
export function awaitSwap(path: string): void {
  const identity = (): unknown => lstatSync(path, { throwIfNoEntry: false })?.ino;
  const before = identity(), end = performance.now() + 20;
  while (identity() === before && performance.now() < end) Atomics.wait(cell, 0, 0, 0.1);
}

/**
 * Sleeps for a moment before some of the calls that are attacked: while all processors are busy, the attacker would
 * never run between two of them.
 */
export function giveWay(): void {
  if (Math.random() < 0.25) Atomics.wait(cell, 0, 0, 0.05);
}
