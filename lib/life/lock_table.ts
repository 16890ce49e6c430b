/**
 * Which files processes have locked.
 *
 * @module
 */
import type { Identity } from "../identity.ts";
import type { Io } from "../io.ts";
import type { Op } from "../op.ts";
import { runtime } from "../runtime/mod.ts";

/**
 * What the kernel tells of locks of both kinds, `flock` and `fcntl` (Linux): those of the processes that this one can
 * see. Read once, when it is asked for the first time.
 */
export class LockTable {
  #locked: ReadonlySet<string> | undefined;

  /** Whether a process has a file or directory locked, as far as can be seen. */
  *has(io: Io, { device, inode }: Identity): Op<boolean> {
    this.#locked ??= yield* lockedFiles(io);
    return this.#locked.has(`${device}:${inode}`);
  }
}

/** A line of the table that tells of a lock that is held: one that is waited for has an arrow behind the number. */
const LINE = /^\d+: (?:FLOCK|POSIX|OFDLCK) .* ([0-9a-f]+):([0-9a-f]+):(\d+) \d+ \w+$/gm;

function* lockedFiles(io: Io): Op<ReadonlySet<string>> {
  if (runtime.platform !== "linux") return new Set();
  try {
    const table: string = yield io.readSystemFile("/proc/locks");
    return new Set(
      [...table.matchAll(LINE)].map(([, major, minor, inode]) => {
        return `${deviceOf(parseInt(major, 16), parseInt(minor, 16))}:${inode}`;
      }),
    );
  } catch {
    // Not permitted to know.
    return new Set();
  }
}

/** A device number as `stat` gives it. Its bits are scattered, since it has grown. */
function deviceOf(major: number, minor: number): number {
  const low = (minor & 0xff) + (major & 0xfff) * 0x100 + (minor & 0xfff00) * 0x1000;
  return low + Math.floor(major / 0x1000) * 2 ** 44;
}
