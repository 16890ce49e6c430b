/**
 * Which files processes have locked.
 *
 * @module
 */
import type { Identity } from "../identity.ts";
import type { Io } from "../io.ts";
import { deviceNumber, mountDevice } from "../mounts.ts";
import type { Op } from "../op.ts";
import { runtime } from "../runtime/mod.ts";

/**
 * What the kernel tells of locks of both kinds, `flock` and `fcntl` (Linux): those of the processes that this one can
 * see. Read once, when it is asked for the first time.
 */
export class LockTable {
  #locked: Locked | undefined;

  /** Whether a process has a file or directory locked, which is at a canonical path or below it, as far as can be seen. */
  *has(io: Io, { device, inode }: Identity, path: string): Op<boolean> {
    this.#locked ??= yield* lockedFiles(io);
    const devices = this.#locked.get(inode);
    if (devices === undefined) return false;
    return devices.has(device) || devices.has(yield* mountDevice(io, path));
  }
}

/** The devices on which an inode of a number is locked, by the number. */
type Locked = ReadonlyMap<number, ReadonlySet<number | undefined>>;

/** A line of the table that tells of a lock that is held: one that is waited for has an arrow behind the number. */
const LINE = /^\d+: (?:FLOCK|POSIX|OFDLCK) .* ([0-9a-f]+):([0-9a-f]+):(\d+) \d+ \w+$/gm;

function* lockedFiles(io: Io): Op<Locked> {
  const locked = new Map<number, Set<number>>();
  if (runtime.platform !== "linux") return locked;
  try {
    const table: string = yield io.readSystemFile("/proc/locks");
    for (const [, major, minor, inode] of table.matchAll(LINE)) {
      const device = deviceNumber(parseInt(major, 16), parseInt(minor, 16));
      locked.set(Number(inode), (locked.get(Number(inode)) ?? new Set()).add(device));
    }
  } catch {
    // Not permitted to know.
  }
  return locked;
}
