/**
 * Finding handles that were never closed: when one is garbage collected, its resource is closed, with a warning.
 *
 * @module
 */
import { attempt, runtime } from "../runtime/mod.ts";
import { Bag, type InBag } from "./bag.ts";

/** The resource behind a handle. It must not refer to the handle except by `fresh`, or the handle is never collected. */
export interface Leakable {
  /** The handle while it is fresh, for this module. */
  fresh: Fresh | undefined;
  /**
   * Closes it, and removes it if nobody can know its path. Never throws.
   *
   * @returns A description for the warning; undefined if nothing was left to do.
   */
  reclaim(): string | undefined;
}

interface Watched {
  what: Leakable;
  /** Where it was made. */
  stack: string | undefined;
}

/** A handle that was just made. */
export interface Fresh extends InBag {
  handle: object;
  what: Leakable;
  /** Not formatted yet: that takes as long as making a file, and on Deno a millisecond the first time. */
  stack: Error | undefined;
}

let finalization: FinalizationRegistry<Watched> | undefined;

/**
 * Handles that were just made. In here they cannot be collected. They are registered for finalization later: most are
 * closed before that, and registering and unregistering one costs a seventh of a file's creation and removal on Node.
 */
const fresh = new Bag<Fresh>();

/** Milliseconds after which a handle is registered for finalization. */
const DELAY = 100;

/** Beyond this number they are registered at once: registering this many takes most of a millisecond. */
const MAX_FRESH = 1000;

let pending = false;

/** Watches a handle until it is collected. */
export function watchLeak(handle: object, what: Leakable): void {
  const one = { handle, what, stack: sampleStack(), slot: undefined };
  if (fresh.size === MAX_FRESH) return registerNow(one);
  if (!pending) registerLater();
  what.fresh = one;
  fresh.add(one);
}

/** Stops watching: the handle was closed. */
export function unwatchLeak(what: Leakable): void {
  if (what.fresh === undefined) return void finalization?.unregister(what);
  fresh.delete(what.fresh);
  what.fresh = undefined;
}

function registerLater(): void {
  pending = true;
  runtime.later(DELAY, () => {
    pending = false;
    for (const one of fresh) {
      fresh.delete(one);
      one.what.fresh = undefined;
      registerNow(one);
    }
  });
}

/**
 * From now on the handle can be collected. Only the text of the stack is passed on: the error refers to the objects of
 * its frames, and would keep the handle alive.
 */
function registerNow({ handle, what, stack }: Fresh): void {
  finalization ??= new FinalizationRegistry(report);
  // An application may have it prepared otherwise than as text, and fail at that.
  const text = stack && attempt(() => String(stack.stack));
  finalization.register(handle, { what, stack: text }, what);
}

function report({ what, stack }: Watched): void {
  const described = what.reclaim();
  if (described === undefined) return;
  runtime.warn(
    `${described} was never closed: it was collected as garbage. Use "using", "await using" or close()`,
    "MAYFLY_NOT_CLOSED",
    creation(stack),
  );
}

let created = 0;

/**
 * Stacks of the first handles are kept, then one of a hundred, then one of a thousand: a leak repeats itself, and a
 * stack costs as much as four files.
 */
const ALWAYS = 50;
const OFTEN = 1000;

/** Frames captured: enough to get past our own to the caller's. */
const FRAMES = 30;

const limited = Error as { stackTraceLimit?: number };

/** Not by assignment, which throws if the intrinsics are frozen. */
const setFrames = (frames: number | undefined): unknown => Reflect.set(limited, "stackTraceLimit", frames);

function sampleStack(): Error | undefined {
  if (++created > ALWAYS && created % (created < OFTEN ? 100 : 1000) !== 0) return undefined;
  const before = limited.stackTraceLimit;
  setFrames(FRAMES);
  try {
    return new Error("created");
  } finally {
    setFrames(before);
  }
}

function creation(stack: string | undefined): string | undefined {
  const frames = stack === undefined ? [] : framesOfCaller(stack);
  return frames.length > 0 ? `Created:\n${frames.join("\n")}` : undefined;
}

/**
 * Returns the frames that have a location: only the caller's, unless a bundler has put them in one place with ours, which
 * the first frame shows. Not `import.meta.url`: tools that compile to CommonJS, such as Jest's, leave it as it is.
 */
export function framesOfCaller(stack: string): string[] {
  const frames = stack.split("\n").filter((line) => /:\d/.test(line));
  const own = /\((.*?)(life[/\\])?[^/\\\n]+$/m.exec(stack)?.[1] ?? "";
  const callers = frames.filter((line) => !line.includes(own));
  return callers.length > 0 ? callers : frames;
}
