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
import { Bag, type InBag } from "./bag.ts";
import { watchEnds } from "./ends.ts";

/** Something to remove before the process ends. */
export interface Entry extends InBag {
  /**
   * Removes it, blocking, without throwing. Called once at most, and only at the end of the process.
   *
   * @param between Called between the steps of what may take long.
   * @returns `false` if something is left.
   */
  discard(between?: () => void): boolean | void;
  /** What it is, for whoever asks what is held. */
  readonly kind?: "file" | "directory";
  /** Where it is; undefined until its first name is tried. */
  readonly path?: string | undefined;
  /** Called when it is off the books, unless the process ends. */
  readonly released?: (() => void) | undefined;
}

/** An open file that has no name to be removed by, or whose name nobody knows. It goes by itself when the process ends. */
export interface Content extends InBag {
  /** How much it holds, and whether that is in memory. */
  measure(): { bytes: number; inMemory: boolean };
  /** The name that it must have until it is closed (Windows). */
  readonly owned?: Entry | undefined;
}

/** The registry: there is one, however many copies of the module are loaded. */
interface Registry {
  /** The process that owns the entries; a copy of this memory in another process owns nothing. */
  readonly pid: number;
  readonly entries: Bag<Entry>;
  readonly contents: Bag<Content>;
  /** What goes last, and when there are no entries any more. */
  readonly leases: Bag<Entry>;
  /** Stops listening to the ends of the process; undefined while nobody listens. */
  unwatch: (() => void) | undefined;
  /** Whether a check for listeners that are no longer needed is under way. */
  idle: boolean;
  /** Whether something was put on the books since that check began. */
  active: boolean;
}

const KEY = Symbol.for("mayfly.registry");

/** Sealed: Jest replaces what can be replaced in its globals when a test file has ended, and our last timer still runs. */
function create(): Registry {
  return Object.seal({
    pid: runtime.pid(),
    entries: new Bag<Entry>(),
    contents: new Bag<Content>(),
    leases: new Bag<Entry>(),
    unwatch: undefined,
    idle: false,
    active: false,
  });
}

const scope = globalThis as { [key: symbol]: Registry | undefined };

let shared: Registry | undefined;

/**
 * Looked up at first use: importing the module leaves no trace. Where the application has made sure that nothing can be
 * added to its globals, each copy of the module has its own.
 */
function registry(): Registry {
  if (shared === undefined) {
    shared = scope[KEY] ?? create();
    Reflect.set(scope, KEY, shared);
  }
  return shared;
}

/** Puts something on the books, before it is created. */
export function register(entry: Entry): void {
  const books = shared ?? registry();
  books.entries.add(entry);
  books.active = true;
  books.unwatch ??= watchEnds(discardAll);
}

/** The leases of this process, which go after everything else. */
export const heldLeases = (): Bag<Entry> => registry().leases;

/** Takes something off the books. */
export function unregister(entry: Entry): void {
  const books = registry();
  books.entries.delete(entry);
  entry.released?.();
  if (books.entries.size === 0 && !books.idle) scheduleUnwatch(books);
}

/** Notes an open file without a name. */
export function hold(content: Content): void {
  registry().contents.add(content);
}

/** Forgets an open file: it is closed. */
export function letGo(content: Content): void {
  shared?.contents.delete(content);
}

/** Everything that this process holds. */
export function held(): { entries: readonly Entry[]; contents: readonly Content[] } {
  const books = shared ?? scope[KEY];
  if (books === undefined || books.pid !== runtime.pid()) return { entries: [], contents: [] };
  return { entries: [...books.entries], contents: [...books.contents] };
}

/**
 * Milliseconds without entries after which nobody listens any more. To begin again takes as long as twenty files, so a
 * server that makes some in a second is not to do so for each. Not much longer: Jest gives each test file globals, and
 * with them books, of its own, and ten listeners of a signal make Node warn.
 */
const IDLE = 250;

/**
 * Stops listening a little later: adding and removing listeners of signals costs system calls, too many for a program
 * that makes one file after the other. And one turn after the timer: a signal that has come before it is announced after
 * it, and to nobody if we had stopped listening in between. Then it would end nothing.
 */
function scheduleUnwatch(books: Registry): void {
  books.idle = true;
  books.active = false;
  runtime.later(IDLE, async () => {
    await runtime.nextTurn();
    books.idle = false;
    if (books.entries.size > 0) return;
    if (books.active) return scheduleUnwatch(books);
    stopWatching(books);
    discardLeases(books);
  });
}

function stopWatching(books: Registry): void {
  books.unwatch?.();
  books.unwatch = undefined;
}

/** Listens anew, since a setting says to what. */
onSettings(() => {
  const books = shared ?? scope[KEY];
  if (books?.unwatch === undefined) return;
  stopWatching(books);
  books.unwatch = watchEnds(discardAll);
});

/** Removes everything on the books, now. Removing one thing cannot keep the others from being removed. */
function discardAll(between?: () => void): void {
  const books = registry();
  if (books.pid !== runtime.pid()) return;
  let left = false;
  for (const entry of books.entries) {
    between?.();
    books.entries.delete(entry);
    if (entry.discard(between) === false) left = true;
  }
  // Something is left: then the lease is what leads the next process to it.
  if (!left) discardLeases(books);
  for (const call of atEnd) call();
}

function discardLeases(books: Registry): void {
  for (const lease of books.leases) {
    books.leases.delete(lease);
    lease.discard();
  }
}

const atEnd = new Set<() => void>();

/** Calls `call` when the process ends, after everything of this process is removed. */
export function atProcessEnd(call: () => void): void {
  atEnd.add(call);
}
