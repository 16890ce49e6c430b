/**
 * Handles that nobody disposed of.
 *
 * @module
 */
import { runtime } from "../runtime/mod.ts";
import { Bag, type InBag } from "./bag.ts";

/** What is behind a handle. It must not refer to the handle, but by `young`. */
export interface Leakable {
  /** The handle while it is young, for this module. */
  young: Young | undefined;
  /**
   * Closes it, and removes it if nobody can know its path. Never throws.
   *
   * @returns What it was, for the warning; undefined if nothing was left to do.
   */
  reclaim(): string | undefined;
}

interface Watched {
  what: Leakable;
  /** Where it was made. */
  stack: string | undefined;
}

/** A handle that was just made. */
export interface Young extends InBag {
  handle: object;
  what: Leakable;
  /** No text yet: making that takes as long as making a file, the first time on Deno a millisecond. */
  stack: Error | undefined;
}

let finalization: FinalizationRegistry<Watched> | undefined;

/**
 * The handles that were just made. The collector is not told of them yet: most are closed before that, and to tell it of
 * one and to take it back costs a seventh of a file's creation and removal on Node. In here they are not collected.
 */
const young = new Bag<Young>();

/** Milliseconds after which the collector is told. */
const CHILDHOOD = 100;

/** Of more it is told at once: to tell it of as many as this takes the better part of a millisecond. */
const MOST_YOUNG = 1000;

let growing = false;

/** Watches a handle until it is collected. */
export function watchLeak(handle: object, what: Leakable): void {
  const one = { handle, what, stack: sampleStack(), slot: undefined };
  if (young.size === MOST_YOUNG) return tellCollector(one);
  if (!growing) growUpLater();
  what.young = one;
  young.add(one);
}

/** Stops watching: the handle was closed. */
export function unwatchLeak(what: Leakable): void {
  if (what.young === undefined) return void finalization?.unregister(what);
  young.delete(what.young);
  what.young = undefined;
}

function growUpLater(): void {
  growing = true;
  runtime.later(CHILDHOOD, () => {
    growing = false;
    for (const one of young) {
      young.delete(one);
      one.what.young = undefined;
      tellCollector(one);
    }
  });
}

/** From now on the handle can be collected. An error would keep it from that: it refers to what its frames belong to. */
function tellCollector({ handle, what, stack }: Young): void {
  finalization ??= new FinalizationRegistry(report);
  finalization.register(handle, { what, stack: stack?.stack }, what);
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
 * Stacks of the first handles are kept, then one of a hundred, then one of a thousand: a leak repeats itself, and a stack
 * costs as much as four files.
 */
const ALWAYS = 50;
const OFTEN = 1000;

/** Frames looked at: enough to get past our own to the caller's. */
const FRAMES = 30;

/** Where the code is that this module is a part of, as stacks show it but for the kind of slash. */
const placeOf = (url: string): string =>
  url.replace(/^file:\/\/(\/(?=[a-z]:))?/i, "").replace(/(life\/)?[^/]+$/, "");

const limited = Error as { stackTraceLimit?: number };

function sampleStack(): Error | undefined {
  if (++created > ALWAYS && created % (created < OFTEN ? 100 : 1000) !== 0) return undefined;
  const before = limited.stackTraceLimit;
  // Not by assignment, which throws where the intrinsics are frozen.
  Reflect.set(limited, "stackTraceLimit", FRAMES);
  const stack = new Error("created");
  Reflect.set(limited, "stackTraceLimit", before);
  return stack;
}

function creation(stack: string | undefined): string | undefined {
  const frames = stack === undefined ? [] : framesOfCaller(stack, import.meta.url);
  return frames.length > 0 ? `Created:\n${frames.join("\n")}` : undefined;
}

/**
 * The frames that say where they are: the caller's only, unless a bundler has put ours and his in one place. Stacks show
 * addresses or paths, on Windows with its own separators. In a bundle as CommonJS there may be no `import.meta.url`.
 */
export function framesOfCaller(stack: string, url = ""): string[] {
  const frames = stack.split("\n").filter((line) => /:\d/.test(line)), own = placeOf(url);
  const callers = frames.filter((line) => !line.replaceAll("\\", "/").includes(own));
  return callers.length > 0 ? callers : frames;
}
