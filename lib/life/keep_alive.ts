/**
 * Protecting our entries from daemons that remove old files, if the application asks for it.
 *
 * Each directory is held by a shared lock, which systemd-tmpfiles respects; everything, including the leases, is
 * touched at an interval. An entry that is no longer the same is not touched: there is a warning, and its protection
 * ends.
 *
 * @module
 */
import { codeOf } from "../errors.ts";
import { type Identity, sameFile } from "../identity.ts";
import { movingFrom } from "../operation/pending.ts";
import { contains } from "../path.ts";
import { attempt, type Handle, runtime } from "../runtime/mod.ts";
import { onSettings, settings } from "../settings.ts";
import { type Entry, heldLeases } from "./registry.ts";

/** Milliseconds between touches unless the application sets it: daemons count in days, careless ones in hours. */
const INTERVAL = 30 * 60_000;

/** Milliseconds of touching at a time, and between. */
const SLICE = 1;
const PAUSE = 10;

/** A protected entry. */
interface KeptAlive {
  readonly path: string;
  readonly identity: Identity;
  /** The handle that holds the lock on a directory, once it is taken. */
  lock?: Handle;
}

const alive = new Map<Entry, KeptAlive>();

let cancel: (() => void) | undefined;

/** Whether there was a warning that directories cannot be locked: none is, until protection is asked for again. */
let warned = false;

onSettings((changed) => {
  if ("keepAlive" in changed) warned = false;
});

/**
 * Protects an entry as long as it is registered, if the application asked for that: a directory by a shared lock, which
 * systemd-tmpfiles respects, and everything by touching it from time to time.
 */
export function protect(entry: Entry): void {
  if (!settings.keepAlive) return;
  const path = entry.path!;
  const identity = identityOf(path);
  // Already gone: its next use reports that.
  if (identity === undefined) return;
  const one: KeptAlive = { path, identity };
  alive.set(entry, one);
  cancel ??= runtime.later(interval(), touchAll);
  if (entry.kind === "directory") void lock(entry, one);
}

/** Ends the protection. */
export function unprotect(entry: Entry): void {
  const one = alive.get(entry);
  alive.delete(entry);
  if (one?.lock !== undefined) runtime.sync.close(one.lock);
  if (alive.size > 0) return;
  cancel?.();
  cancel = undefined;
}

/** Ends the protection of everything in a directory that has left its place. */
export function unprotectInside(directory: string): void {
  for (const [entry, { path }] of alive) if (contains(directory, path)) unprotect(entry);
}

const interval = (): number => typeof settings.keepAlive === "number" ? settings.keepAlive : INTERVAL;

const identityOf = (path: string): Identity | undefined => attempt(() => runtime.sync.status(path));

/** Milliseconds before another attempt: whoever has an exclusive lock is checking whether to remove the directory. */
const RETRY = 1000;

async function lock(entry: Entry, one: KeptAlive): Promise<void> {
  if (warned || alive.get(entry) !== one) return;
  try {
    if (runtime.locks === undefined) throw new Error("this system has no locks that they respect");
    const { tryAcquire } = await runtime.locks();
    const handle = await tryAcquire(one.path, true);
    if (handle === undefined) runtime.later(RETRY, () => void lock(entry, one));
    // It may have gone while the lock was taken.
    else if (alive.get(entry) === one) one.lock = handle;
    else runtime.sync.close(handle);
  } catch (error) {
    // If it is gone, the next touch reports that.
    if (codeOf(error) !== "ENOENT") warnOfNoLock(error as Error);
  }
}

function warnOfNoLock({ message }: Error): void {
  if (warned) return;
  warned = true;
  runtime.warn(
    `Directories are not locked against daemons that remove old files, only touched: ${message}`,
    "MAYFLY_NO_LOCK",
  );
}

/** Touches the leases as well: without its lease, an entry that outlives the process is not reclaimed. */
function touchAll(): void {
  for (const { path } of heldLeases()) touch(path!);
  touchSome(alive.entries());
}

/**
 * Touches in slices: thousands of entries must not hold up the program. The next loop continues where this one stops,
 * since leaving a loop does not close a map's iterator.
 */
function touchSome(rest: MapIterator<[Entry, KeptAlive]>): void {
  const end = runtime.now() + SLICE;
  for (const [entry, one] of rest) {
    touchEntry(entry, one);
    if (runtime.now() < end) continue;
    cancel = runtime.later(PAUSE, () => touchSome(rest));
    return;
  }
  cancel = alive.size > 0 ? runtime.later(interval(), touchAll) : undefined;
}

/** Whether we are about to remove or move something, or a directory around it: nobody else is to blame for its absence. */
function isRemoving(path: string): boolean {
  const places = [...alive].filter(([{ removing }]) => removing).map(([, one]) => one.path);
  return [...places, ...movingFrom].some((place) => typeof place === "string" && contains(place, path));
}

function touchEntry(entry: Entry, one: KeptAlive): void {
  const { path, identity } = one;
  const found = identityOf(path);
  if (found === undefined || !sameFile(found, identity)) {
    if (isRemoving(path)) return;
    unprotect(entry);
    runtime.warn(`"${path}" was removed by somebody else`, "MAYFLY_VANISHED");
    return;
  }
  touch(path);
}

/** Touches a path. If it vanished since the check, the next one reports that. */
function touch(path: string): void {
  attempt(() => runtime.sync.touch(path, Date.now()));
}
