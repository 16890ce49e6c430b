/**
 * Handles that nobody disposed of.
 *
 * @module
 */
import { runtime } from "../runtime/mod.ts";

/** What is behind a handle. It must not refer to the handle. */
export interface Leakable {
  /**
   * Closes it, and removes it if nobody can know its path. Never throws.
   *
   * @returns What it was, for the warning; undefined if nothing was left to do.
   */
  reclaim(): string | undefined;
}

interface Watched {
  what: Leakable;
  /** Where it was made; an error as long as its text was not asked for. */
  stack: string | Error | undefined;
}

let finalization: FinalizationRegistry<Watched> | undefined;

/** Watches a handle until it is collected. */
export function watchLeak(handle: object, what: Leakable): void {
  finalization ??= new FinalizationRegistry(report);
  const watched = { what, stack: sampleStack() };
  if (watched.stack !== undefined) readLater(watched);
  finalization.register(handle, watched, what);
}

/** Stops watching: the handle was closed. */
export function unwatchLeak(what: Leakable): void {
  finalization?.unregister(what);
  unread.delete(what);
}

/**
 * Handles whose stacks are not text yet. Making it takes as long as making a file, the first time on Deno a millisecond,
 * and most handles are closed before anybody wants it.
 */
const unread = new Map<Leakable, Watched>();

/** Milliseconds after which it is made: an error keeps what its frames belong to from being collected, and with that leaks. */
const READ_AFTER = 100;

function readLater(watched: Watched): void {
  if (unread.size === 0) runtime.later(READ_AFTER, readAll);
  unread.set(watched.what, watched);
}

function readAll(): void {
  for (const watched of unread.values()) watched.stack = textOf(watched.stack);
  unread.clear();
}

const textOf = (stack: Watched["stack"]): string | undefined => stack instanceof Error ? stack.stack : stack;

function report({ what, stack }: Watched): void {
  const described = what.reclaim();
  if (described === undefined) return;
  runtime.warn(
    `${described} was never closed: it was collected as garbage. Use "using", "await using" or close()`,
    "MAYFLY_NOT_CLOSED",
    creation(textOf(stack)),
  );
}

let created = 0;

/**
 * Stacks of the first handles are kept, then one of a hundred, then one of a thousand: a leak repeats itself, and a stack
 * costs as much as four files.
 */
const ALWAYS = 50;
const OFTEN = 1000;

/** Frames looked at: enough to get past our own to the caller's. */
const FRAMES = 30;

/** Where our own code is, as stacks show it. */
const ownPlace = (): string => import.meta.url.replace(/^file:\/\//, "").replace(/(life\/)?[^/]+$/, "");

const limited = Error as { stackTraceLimit?: number };

function sampleStack(): Error | undefined {
  if (++created > ALWAYS && created % (created < OFTEN ? 100 : 1000) !== 0) return undefined;
  const before = limited.stackTraceLimit;
  limited.stackTraceLimit = FRAMES;
  const stack = new Error("created");
  limited.stackTraceLimit = before;
  return stack;
}

/** The frames that say where they are: the caller's only, unless a bundler has put ours and his in one place. */
function creation(stack: string | undefined): string | undefined {
  const frames = stack?.split("\n").filter((line) => /:\d/.test(line)) ?? [];
  const own = ownPlace();
  const callers = frames.filter((line) => !line.includes(own));
  const shown = callers.length > 0 ? callers : frames;
  return shown.length > 0 ? `Created:\n${shown.join("\n")}` : undefined;
}
