/**
 * Keeping daemons that remove old files from removing ours.
 *
 * @module
 */
import type { Entry } from "./registry.ts";
import { codeOf } from "../errors.ts";
import { type Handle, runtime } from "../runtime/mod.ts";
import { settings } from "../settings.ts";

/** Milliseconds between touches: daemons count in days, careless ones in hours. */
const INTERVAL = 30 * 60_000;

/** What is kept young, with the lock that protects it where there is one. */
const young = new Map<Entry & { readonly path: string | undefined }, Handle | undefined>();

let cancel: (() => void) | undefined;

/**
 * Protects an entry as long as it is on the books, if the application asked for that: a directory by a shared lock, which
 * systemd-tmpfiles respects, and everything by touching it from time to time.
 */
export function keepYoung(entry: Entry & { readonly path: string | undefined }, isDirectory: boolean): void {
  if (settings.keepAlive !== true) return;
  young.set(entry, undefined);
  cancel ??= runtime.later(INTERVAL, touchAll);
  if (isDirectory) lock(entry).catch(() => {});
}

/** Ends the protection. */
export function letAge(entry: Entry & { readonly path: string | undefined }): void {
  if (young.size === 0) return;
  const handle = young.get(entry);
  young.delete(entry);
  if (handle !== undefined) runtime.sync.close(handle);
  if (young.size > 0) return;
  cancel?.();
  cancel = undefined;
}

async function lock(entry: Entry & { readonly path: string | undefined }): Promise<void> {
  const handle = await runtime.locks?.tryAcquire(entry.path!, true);
  if (handle === undefined) return;
  // It may have gone while the lock was taken.
  if (young.has(entry)) young.set(entry, handle);
  else runtime.sync.close(handle);
}

function touchAll(): void {
  for (const { path } of young.keys()) {
    try {
      runtime.sync.touch(path!, Date.now());
    } catch (error) {
      if (codeOf(error) === "ENOENT") {
        runtime.warn(`"${path}" was removed by somebody else`, "MAYFLY_VANISHED");
      }
    }
  }
  cancel = young.size > 0 ? runtime.later(INTERVAL, touchAll) : undefined;
}
