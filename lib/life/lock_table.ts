/**
 * The files that processes have locked.
 *
 * @module
 */
import type { Identity } from "../identity.ts";
import { deviceNumber, mountDevice } from "../location/mounts.ts";
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import { runtime } from "../runtime/mod.ts";
import { pathsIn, processes, tryOr } from "./processes.ts";

/**
 * The locks that the kernel lists, both `flock` and `fcntl` (Linux), of the processes that this one can see. Read once,
 * when first asked.
 */
export class LockTable {
  #locked: Locked | undefined;

  /** Whether a process has locked a file or directory at or below a canonical path, as far as can be seen. */
  *has(io: Io, { device, inode }: Identity, path: string): Op<boolean> {
    this.#locked ??= yield* lockedFiles(io);
    const devices = this.#locked.get(inode);
    if (devices === undefined) return false;
    return devices.has(device) || devices.has(yield* mountDevice(io, path));
  }
}

/** Maps an inode number to the devices on which it is locked. */
type Locked = ReadonlyMap<number, ReadonlySet<number | undefined>>;

/** The line of a lock that is held. One that is waited for has an arrow after its number. */
const LINE = /^(?:lock:\t)?\d+: (?:FLOCK|POSIX|OFDLCK) .* ([0-9a-f]+):([0-9a-f]+):(\d+) \d+ \w+$/gm;

function* lockedFiles(io: Io): Op<Locked> {
  const locked = new Map<number, Set<number>>();
  if (runtime.platform !== "linux") return locked;
  for (const table of yield* tables(io)) {
    const text = yield* tryOr(table, textOf(io, table), "");
    for (const [, major, minor, inode] of text.matchAll(LINE)) {
      const device = deviceNumber(parseInt(major, 16), parseInt(minor, 16));
      locked.set(Number(inode), (locked.get(Number(inode)) ?? new Set()).add(device));
    }
  }
  return locked;
}

/** The initial pid namespace: no container. */
const INITIAL = "pid:[4026531836]";

/**
 * Returns the files in which the kernel lists locks. In a container, `/proc/locks` omits a lock whose taker has exited,
 * as flock(1) does after locking an inherited descriptor; the `fdinfo` of each descriptor shows it.
 */
function* tables(io: Io): Op<string[]> {
  const found = ["/proc/locks"];
  if (runtime.processNamespace() === INITIAL) return found;
  for (const process of yield* processes(io)) found.push(...yield* pathsIn(io, `${process}/fdinfo`));
  return found;
}

function* textOf(io: Io, path: string): Op<string> {
  return yield io.readSystemFile(path);
}
