/**
 * What an application decides for the whole process.
 *
 * @module
 */
import type { Checks } from "./options/checked.ts";
import { checkPath } from "./options/paths.ts";
import { checkBoolean, checkObject, LONGEST_TIMER } from "./options/values.ts";
import { invalid, outOfRange } from "./errors.ts";

/** What {@linkcode configure} takes. Each is optional; what is left out stays as it is. */
export interface Settings {
  /** The directory for temporary files, in place of what the environment says. Also looks at the environment anew. */
  tmpdir?: string | URL;
  /**
   * Whether to remove everything when SIGINT, SIGTERM, SIGHUP or, on Windows, Ctrl-Break ends the process and nobody else
   * listens to it. On Deno also if somebody does, who is then called a second time. Not for `deno --watch`, which calls the
   * listeners of SIGTERM at each change: the signal that is raised then ends it as well.
   *
   * @default {true on Node and Bun; false on Deno, where others' listeners cannot be counted}
   */
  signals?: boolean;
  /**
   * Whether to look, beside the program's own work, for what dead processes left, when something is made after a moment
   * with nothing: at most once a minute, for two seconds in all, a millisecond at a time with pauses ten times as long. A
   * program that ends before gives it two tenths of a second at its end, but one that calls `process.exit()` in the very turn
   * of its first file none. What is not done by then is for the next one.
   *
   * @default {true}
   */
  reclaim?: boolean;
  /**
   * Whether a helper (`/bin/sh`) waits for the end of the process and then removes what is left within a second, even after
   * SIGKILL. Not on Windows. Counts from the next thing made after a moment with none.
   *
   * @default {false}
   */
  reaper?: boolean;
  /**
   * Whether to keep daemons that remove old files from removing ours: directories are locked as systemd-tmpfiles respects
   * it, and every directory and named file, with the note of who made them, is touched every half hour, or every so many
   * milliseconds. What others put into a directory is protected by its lock alone. Where directories cannot be locked, a
   * warning says why (`MAYFLY_NO_LOCK`); another says what was removed all the same (`MAYFLY_VANISHED`). Counts for what is
   * made from then on.
   *
   * @default {false}
   */
  keepAlive?: boolean | number;
  /**
   * Whether asynchronous functions may make short calls of the system directly, where that takes less time than the way
   * through the thread pool. They do so only as long as the device is quick, for a millisecond in each turn of the event
   * loop.
   *
   * @default {true}
   */
  inline?: boolean;
}

/** The settings in force; undefined where nothing was said. */
export type Current = Omit<Settings, "tmpdir"> & { tmpdir?: string };

/** With all names, so that nothing that somebody has put on `Object.prototype` speaks for one. */
export const settings: Current = {
  tmpdir: undefined,
  signals: undefined,
  reclaim: undefined,
  reaper: undefined,
  keepAlive: undefined,
  inline: undefined,
};

const CHECKS: Checks<Required<Settings>> = {
  tmpdir: checkPath,
  signals: checkBoolean,
  reclaim: checkBoolean,
  reaper: checkBoolean,
  keepAlive: checkKeepAlive,
  inline: checkBoolean,
};

type Listener = (changed: Current) => void;

const listeners = new Set<Listener>();

/** Calls `listener` after each change, with what was set. */
export function onSettings(listener: Listener): void {
  listeners.add(listener);
}

/**
 * Sets what holds for the whole process. For applications: a library that calls it decides for others.
 *
 * @param options What to change.
 * @throws {TypeError} `ERR_INVALID_OPTION` if a value has the wrong type; then nothing is changed.
 * @throws {RangeError} `ERR_INVALID_OPTION` if `keepAlive` is no number of milliseconds that a timer can have.
 *
 * @example Keep temporary files beside the data
 * ```ts
 * import { configure, tmpdir } from "mayfly";
 *
 * configure({ tmpdir: "." });
 * console.log(tmpdir());
 * configure({ tmpdir: undefined });
 * ```
 */
export function configure(options: Settings): void {
  checkObject(options, "options");
  const next: { [name: string]: unknown } = {};
  for (const [name, check] of Object.entries(CHECKS)) {
    if (!(name in options)) continue;
    const value: unknown = options[name as keyof Settings];
    next[name] = value === undefined ? undefined : check(value, name);
  }
  Object.assign(settings, next);
  for (const listener of listeners) listener(next);
}

function checkKeepAlive(value: unknown): boolean | number {
  if (typeof value === "boolean") return value;
  if (typeof value !== "number") throw invalid("keepAlive", "a boolean or a number of milliseconds", value);
  if (value >= 1 && value <= LONGEST_TIMER) return value;
  throw outOfRange("keepAlive", `1 to ${LONGEST_TIMER} milliseconds`, value);
}
