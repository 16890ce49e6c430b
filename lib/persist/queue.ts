/**
 * Running calls for one path one after the other, in the order they were made.
 *
 * @module
 */
import type { Io } from "../operation/io.ts";
import { isPromise, type Op, run } from "../operation/op.ts";
import { tried } from "../operation/tried.ts";
import { baseName, parentOf } from "../path.ts";
import { abortable } from "./abort.ts";

/** The last turn in each queue that is not empty. */
const tails = new Map<string, Promise<void>>();

/** A place in a queue. */
interface Turn {
  /** The end of the turn before; undefined if there was none. */
  readonly before: Promise<void> | undefined;
  /** Ends the turn. Even if it was given up, the next one waits for those before. */
  pass(): void;
}

function join(queue: string): Turn {
  const before = tails.get(queue);
  let end!: () => void;
  const turn = new Promise<void>((resolve) => end = resolve);
  tails.set(queue, turn);
  const pass = (): void => {
    if (tails.get(queue) === turn) tails.delete(queue);
    end();
  };
  return { before, pass: before === undefined ? pass : () => void before.then(pass) };
}

/** Runs `work` after the earlier calls for the same path, or not at all if it is aborted before its turn. */
export async function enqueue<T>(
  io: Io,
  path: string,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const key = run(keyOf(io, path)), name = `\0${baseName(path)}`;
  const turn = isPromise(key) || tails.has(name) ? await joinLate(name, key, signal) : join(key);
  try {
    if (turn.before !== undefined) await abortable(turn.before, signal);
    // Awaited here alone, so that engines find the caller when it fails.
    return await work();
  } finally {
    turn.pass();
  }
}

/**
 * Joins the queue for a key that may have to be waited for. Answers from the thread pool may overtake each other, and
 * an inline call those made before it. So calls for the same name, which may be for one file, join their queues in the
 * order they were made; once in its queue, a call waits for no other queue.
 */
async function joinLate(
  name: string,
  key: string | Promise<string>,
  signal: AbortSignal | undefined,
): Promise<Turn> {
  const arrival = join(name);
  try {
    if (arrival.before !== undefined) await abortable(arrival.before, signal);
    return join(await key);
  } finally {
    arrival.pass();
  }
}

/**
 * Returns the key of a path: its parent's identity, since `/tmp/x` and `/private/tmp/x` are one file, which may not
 * exist yet, and its name.
 */
function* keyOf(io: Io, path: string): Op<string> {
  const parent = yield* tried(() => io.statusOfTarget(parentOf(path)));
  // Without one, the call itself will report what is wrong.
  return parent === undefined ? path : `${parent.device}:${parent.inode}/${baseName(path)}`;
}
