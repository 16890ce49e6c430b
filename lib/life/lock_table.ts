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
import { listed, processes, seen } from "./processes.ts";

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

/** A line that tells of a lock that is held: one that is waited for has an arrow behind the number. */
const LINE = /^(?:lock:\t)?\d+: (?:FLOCK|POSIX|OFDLCK) .* ([0-9a-f]+):([0-9a-f]+):(\d+) \d+ \w+$/gm;

function* lockedFiles(io: Io): Op<Locked> {
  const locked = new Map<number, Set<number>>();
  if (runtime.platform !== "linux") return locked;
  for (const table of yield* tables(io)) {
    const text = yield* seen(table, textOf(io, table), "");
    for (const [, major, minor, inode] of text.matchAll(LINE)) {
      const device = deviceNumber(parseInt(major, 16), parseInt(minor, 16));
      locked.set(Number(inode), (locked.get(Number(inode)) ?? new Set()).add(device));
    }
  }
  return locked;
}

/** The namespace of the processes that no container has. */
const FIRST = "pid:[4026531836]";

/**
 * Where the kernel tells of locks. In a container its table lacks those that somebody took who has ended, as flock(1) has
 * when it gives back a descriptor: these are told of with each descriptor.
 */
function* tables(io: Io): Op<string[]> {
  const found = ["/proc/locks"];
  if (runtime.processNamespace() === FIRST) return found;
  for (const process of yield* processes(io)) found.push(...yield* listed(io, `${process}/fdinfo`));
  return found;
}

function* textOf(io: Io, path: string): Op<string> {
  return yield io.readSystemFile(path);
}
