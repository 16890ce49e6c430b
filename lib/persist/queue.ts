/**
 * One after the other, by path.
 *
 * @module
 */
import type { Io } from "../io.ts";
import { isPromise, type Op, run } from "../op.ts";
import { baseName, parentOf } from "../path.ts";
import type { Status } from "../runtime/mod.ts";
import { orAborted } from "./abort.ts";

/** The last one in each queue that has anybody in it. */
const last = new Map<string, Promise<void>>();

/** A place in a queue. */
interface Turn {
  /** The end of the one before; undefined if there was none. */
  readonly before: Promise<void> | undefined;
  /** Ends the turn. Also when it was given up, the next one waits for those before. */
  pass(): void;
}

function join(queue: string): Turn {
  const before = last.get(queue);
  let end!: () => void;
  const turn = new Promise<void>((resolve) => end = resolve);
  last.set(queue, turn);
  const pass = (): void => {
    if (last.get(queue) === turn) last.delete(queue);
    end();
  };
  return { before, pass: before === undefined ? pass : () => void before.then(pass) };
}

/** Runs `work` after the calls for the same path that were made before it; not at all if it is aborted until then. */
export async function inTurn<T>(
  io: Io,
  path: string,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const key = run(keyOf(io, path)), name = `\0${baseName(path)}`;
  const turn = isPromise(key) || last.has(name) ? await joinLate(name, key, signal) : join(key);
  try {
    if (turn.before !== undefined) await orAborted(turn.before, signal);
    // Awaited here alone, so that engines find the caller when it fails.
    return await work();
  } finally {
    turn.pass();
  }
}

/**
 * Answers from the pool may overtake each other, and a call that is made inline those that were made before it. So what may
 * be one file, having one name, joins its queue in the order of the calls; in a queue nobody waits for the other ones.
 */
async function joinLate(
  name: string,
  key: string | Promise<string>,
  signal: AbortSignal | undefined,
): Promise<Turn> {
  const arrival = join(name);
  try {
    if (arrival.before !== undefined) await orAborted(arrival.before, signal);
    return join(await key);
  } finally {
    arrival.pass();
  }
}

/** By the parent, whatever leads there: `/tmp/x` and `/private/tmp/x` are one file, which may not exist yet. */
function* keyOf(io: Io, path: string): Op<string> {
  try {
    const { device, inode }: Status = yield io.statusOfTarget(parentOf(path));
    return `${device}:${inode}/${baseName(path)}`;
  } catch {
    // The call itself will say what is wrong with it.
    return path;
  }
}
