/**
 * The registry: what this process holds and must not leave behind.
 *
 * An entry is registered before it is created, and unregistered once it is removed or given away. At the end of the
 * process everything still registered is removed, then the leases. Listeners for that end exist only while there are
 * entries, and for a moment after.
 *
 * All copies of the module in a process (duplicated packages, versions side by side, test runners that reload modules)
 * share one registry, so the shape of what is stored under its symbol must not change.
 *
 * @module
 */
import { runtime } from "../runtime/mod.ts";
import { onSettings, settings } from "../settings.ts";
import { Bag, type InBag } from "./bag.ts";
import { watchEnds } from "./process_end.ts";

/** Something to remove before the process ends. */
export interface Entry extends InBag {
  /**
   * Removes it, blocking, without throwing. Called at most once, and only at the end of the process.
   *
   * @param between Called between the steps of a long removal.
   * @returns `false` if something is left.
   */
  discard(between?: () => void): boolean | void;
  /** What it is, for reports of what is held. */
  readonly kind?: "file" | "directory";
  /** Where it is; undefined until its first name is tried. */
  readonly path?: string | undefined;
  /** Whether this process is removing it at this moment. */
  readonly removing?: boolean;
  /** Called when it is unregistered, but not at the end of the process. */
  readonly released?: (() => void) | undefined;
}

/** An open file without a name to remove, or with one that nobody knows. It vanishes when the process ends. */
export interface Content extends InBag {
  /** Returns its size, and whether that is in memory. */
  measure(): { bytes: number; inMemory: boolean };
  /** The name that it must have until it is closed (Windows). */
  readonly owned?: Entry | undefined;
}

/** `signals`: whether the copy of the module that listens was asked to handle signals. */
type Unwatch = (() => void) & { signals?: boolean };

/** The registry: one, however many copies of the module are loaded. */
interface Registry {
  /** The process that owns the entries; a copy of this memory in another process owns nothing. */
  readonly pid: number;
  readonly entries: Bag<Entry>;
  readonly contents: Bag<Content>;
  /** Discarded last, and when there are no entries any more. */
  readonly leases: Bag<Entry>;
  /** Stops listening for the end of the process; undefined while nobody listens. */
  unwatch: Unwatch | undefined;
  /** Whether a check for listeners that are no longer needed is pending. */
  idle: boolean;
  /** Whether something was registered since that check was scheduled. */
  active: boolean;
}

const KEY = Symbol.for("mayfly.registry");

/**
 * Sealed: Jest replaces whatever it can in its globals when a test file has ended, while our last timer is still to
 * run.
 */
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
 * Looked up at first use, so that importing the module leaves no trace. If the application has made its globals
 * immutable, each copy of the module has its own.
 */
function registry(): Registry {
  if (shared === undefined) {
    shared = scope[KEY] ?? create();
    Reflect.set(scope, KEY, shared);
  }
  return shared;
}

/** Registers something, before it is created. */
export function register(entry: Entry): void {
  const state = registry();
  state.entries.add(entry);
  state.active = true;
  // A library with a copy of its own may be the first to listen, with the default settings.
  if (!(settings.signals ? state.unwatch?.signals : state.unwatch)) watch(state);
}

/** Listens by the settings of this copy of the module. */
function watch(state: Registry): void {
  state.unwatch?.();
  state.unwatch = watchEnds(discardAll);
  state.unwatch.signals = settings.signals;
}

/** The leases of this process, which are discarded after everything else. */
export const heldLeases = (): Bag<Entry> => registry().leases;

/** Unregisters something. */
export function unregister(entry: Entry): void {
  const state = registry();
  state.entries.delete(entry);
  entry.released?.();
  if (state.entries.size === 0 && !state.idle) scheduleUnwatch(state);
}

/** Registers an open file without a name. */
export function hold(content: Content): void {
  registry().contents.add(content);
}

/** Unregisters an open file that was closed. */
export function letGo(content: Content): void {
  shared?.contents.delete(content);
}

/** Returns everything that this process holds. */
export function held(): { entries: readonly Entry[]; contents: readonly Content[] } {
  const state = shared ?? scope[KEY];
  if (state?.pid !== runtime.pid()) return { entries: [], contents: [] };
  return { entries: [...state.entries], contents: [...state.contents] };
}

/**
 * Milliseconds without entries after which listening stops. Few at first: Jest gives each test file its own globals, and
 * so its own registry, and Node warns of more than ten listeners for a signal. Then twice as many each time, since
 * starting again costs as much as thirty files, too much to do for each file of a server that makes one in a second. To
 * get there takes as long, so what lingers after a short test file does not linger for long.
 */
let grace = 250;

/** Milliseconds from which it no longer grows. */
const LONG_GRACE = 2000;

/**
 * Stops listening a little later: adding and removing signal listeners takes system calls, too many for a program that
 * makes one file after the other. And one turn of the event loop after the timer: a signal that arrived before the
 * timer is delivered after it, and without a listener would be lost instead of ending the process.
 */
function scheduleUnwatch(state: Registry): void {
  state.idle = true;
  state.active = false;
  runtime.later(grace, async () => {
    await runtime.nextTurn();
    state.idle = false;
    if (state.entries.size > 0) return;
    if (state.active) return scheduleUnwatch(state);
    if (grace < LONG_GRACE) grace *= 2;
    state.unwatch?.();
    state.unwatch = undefined;
    discardLeases(state);
  });
}

/** Listens again, since a setting decides what to listen to. */
onSettings(() => {
  const state = shared ?? scope[KEY];
  if (state?.unwatch) watch(state);
});

/** Removes everything registered. Failing to remove one entry does not keep the others from being removed. */
function discardAll(between?: () => void): void {
  const state = registry();
  if (state.pid !== runtime.pid()) return;
  let left = false;
  for (const entry of state.entries) {
    between?.();
    state.entries.delete(entry);
    if (entry.discard(between) === false) left = true;
  }
  // If something is left, the leases stay: they lead the next process to it.
  if (!left) discardLeases(state);
  atEnd?.();
}

function discardLeases(state: Registry): void {
  for (const lease of state.leases) {
    state.leases.delete(lease);
    lease.discard();
  }
}

let atEnd: (() => void) | undefined;

/** Calls `call`, of which there is one, when the process ends, after everything it holds is removed. */
export function atProcessEnd(call: () => void): void {
  atEnd = call;
}
