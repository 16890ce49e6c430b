/**
 * What this process holds and must not leave behind.
 *
 * All copies of the module in a process (duplicated packages, versions side by side, test runners that load modules
 * anew) share one registry, so the shape of what is stored under its symbol must stay as it is.
 *
 * @module
 */
import { runtime } from "../runtime/mod.ts";
import { onSettings } from "../settings.ts";
import { watchEnds } from "./ends.ts";

/** Something to remove before the process ends. */
export interface Entry {
  /** Removes it, blocking, without throwing. Called once at most, and only at the end of the process. */
  discard(): void;
}

/** The one registry of the process. */
interface Registry {
  /** The process that owns the entries; a copy of this memory in another process owns nothing. */
  readonly pid: number;
  readonly entries: Set<Entry>;
  /** Stops listening to the ends of the process; undefined while nobody listens. */
  unwatch: (() => void) | undefined;
  /** Whether a check for listeners that are no longer needed is under way. */
  idle: boolean;
}

const KEY = Symbol.for("mayfly.registry");

function create(): Registry {
  return { pid: runtime.pid(), entries: new Set(), unwatch: undefined, idle: false };
}

const scope = globalThis as { [key: symbol]: Registry | undefined };

let shared: Registry | undefined;

/** Looked up at first use: importing the module leaves no trace. */
function registry(): Registry {
  return shared ??= scope[KEY] ??= create();
}

/** Puts something on the books, before it is created. */
export function register(entry: Entry): void {
  const books = shared ?? registry();
  books.entries.add(entry);
  if (books.unwatch === undefined) books.unwatch = watchEnds(discardAll);
}

/** Takes something off the books. */
export function unregister(entry: Entry): void {
  const books = registry();
  books.entries.delete(entry);
  if (books.entries.size === 0 && !books.idle) scheduleUnwatch(books);
}

/** Milliseconds without entries after which nobody listens any more. */
const IDLE = 50;

/**
 * Stops listening a little later: adding and removing listeners of signals costs system calls, too many for a program
 * that makes one file after the other.
 */
function scheduleUnwatch(books: Registry): void {
  books.idle = true;
  runtime.later(IDLE, () => {
    books.idle = false;
    if (books.entries.size === 0) stopWatching(books);
  });
}

function stopWatching(books: Registry): void {
  books.unwatch?.();
  books.unwatch = undefined;
}

/** Listens anew, since a setting says to what. */
onSettings(() => {
  const books = scope[KEY];
  if (books?.unwatch === undefined) return;
  stopWatching(books);
  books.unwatch = watchEnds(discardAll);
});

/** Removes everything on the books, now. Removing one thing cannot keep the others from being removed. */
function discardAll(): void {
  const books = registry();
  if (books.pid !== runtime.pid()) return;
  for (const entry of books.entries) {
    books.entries.delete(entry);
    entry.discard();
  }
}
