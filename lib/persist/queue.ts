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

/** The last call for each path that has one under way. */
const last = new Map<string, Promise<void>>();

/** Runs `work` after the calls for the same path that were made before it; not at all if it is aborted until then. */
export function inTurn<T>(
  io: Io,
  path: string,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const key = run(keyOf(io, path)), name = `\0${baseName(path)}`;
  if (!isPromise(key) && !last.has(name)) return byKey(key, signal, work);
  return joining(name, Promise.resolve(key), signal, work);
}

/**
 * Answers from the pool may overtake each other, and a call that is made inline those that were made before it. So what may
 * be one file, having one name, joins its queue in the order of the calls; in a queue nobody waits for the other ones.
 */
async function joining<T>(
  name: string,
  key: Promise<string>,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const { end } = await byKey(name, signal, async () => ({ end: byKey(await key, signal, work) }));
  return await end;
}

async function byKey<T>(key: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  const before = last.get(key);
  let end!: () => void;
  const turn = new Promise<void>((resolve) => end = resolve);
  last.set(key, turn);
  const pass = (): void => {
    if (last.get(key) === turn) last.delete(key);
    end();
  };
  try {
    if (before !== undefined) await orAborted(before, signal);
    // Awaited here alone, so that engines find the caller when it fails.
    return await work();
  } finally {
    // Also after an abort, the next one waits for those before.
    if (before === undefined) pass();
    else before.then(pass);
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
