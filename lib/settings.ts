/**
 * Process-wide settings, made by the application.
 *
 * @module
 */
import type { Checks } from "./options/checked.ts";
import { checkPath } from "./options/paths.ts";
import { checkBoolean, checkInterval, checkObject } from "./options/values.ts";

/** The settings of {@linkcode configure}. Those left out stay unchanged; `undefined` restores the default. */
export interface Settings {
  /** The directory for temporary files, overriding the environment. With `undefined`, the environment is read again. */
  tmpdir?: string | URL | undefined;
  /**
   * Whether to remove everything when SIGINT, SIGTERM, SIGHUP or, on Windows, Ctrl-Break ends the process and no one
   * else listens for the signal. On Deno also if someone does; their listener is then called a second time. Not for
   * `deno --watch`, which calls the SIGTERM listeners at each change: the signal raised afterwards ends it too.
   *
   * @default {true on Node and Bun; false on Deno, where others' listeners cannot be counted}
   */
  signals?: boolean | undefined;
  /**
   * Whether to look in the background for leftovers of dead processes when something is created after a time with
   * nothing held: at most once a minute, for two seconds in total, in slices of 1 ms with pauses ten times as long. A
   * program that ends earlier spends up to 0.2 seconds on it at exit, and any program up to 2 on what its own worker
   * threads left; neither if it calls `process.exit()` in the same turn as its first file. The next process does the
   * rest.
   *
   * @default {true}
   */
  reclaim?: boolean | undefined;
  /**
   * Whether a helper process (`/bin/sh`) waits for this process to end and then removes what is left within a second,
   * even after SIGKILL. Not on Windows. Takes effect when something is next created while nothing is held.
   *
   * @default {false}
   */
  reaper?: boolean | undefined;
  /**
   * Whether to keep daemons that remove old files away from ours: directories are locked in the way systemd-tmpfiles
   * respects, and every directory and named file, and the lease that records the owner, is touched every half hour, or
   * at an interval given in milliseconds. Files that others put into a directory are protected by its lock alone. If
   * directories cannot be locked, a warning says why (`MAYFLY_NO_LOCK`); another reports what was removed all the same
   * (`MAYFLY_VANISHED`). Applies to what is created from then on.
   *
   * @default {false}
   */
  keepAlive?: boolean | number | undefined;
  /**
   * Whether asynchronous functions may make short system calls on the calling thread, where that takes less time than
   * the thread pool. They do so only while the device is fast, for up to a millisecond per turn of the event loop.
   *
   * @default {true}
   */
  inline?: boolean | undefined;
}

/** The current settings; undefined where not set. */
export type Current = Omit<Settings, "tmpdir"> & { tmpdir?: string };

/** Lists every name, so that a property on `Object.prototype` is not taken for a setting. */
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

/** Calls `listener` after each change, with the settings given. */
export function onSettings(listener: Listener): void {
  listeners.add(listener);
}

/**
 * Changes process-wide settings. For applications: a library that calls it decides for all others.
 *
 * @param options The settings to change.
 * @throws {TypeError} `ERR_INVALID_OPTION` if a value has the wrong type; nothing is changed.
 * @throws {RangeError} `ERR_INVALID_OPTION` if `keepAlive` is not a number of milliseconds that a timer can have.
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

function checkKeepAlive(value: unknown, option: string): boolean | number {
  if (typeof value === "boolean") return value;
  return checkInterval(value, option, 1, "a boolean or a number of milliseconds");
}
