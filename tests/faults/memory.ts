/**
 * What a scenario needs besides the library, on a disk in memory.
 *
 * @module
 */
import { contentsOf, ROOT } from "../support/fake_disk.ts";
import { type FakeMachine, type FakeProcess, UID } from "../support/faulty_runtime.ts";
import type { Place, World } from "./scenarios.ts";

/** Returns the disk of a machine. */
export function placeOn({ disk }: FakeMachine): Place {
  return {
    at: (path) => path,
    plant(path, text) {
      const inode = disk.makeFile(ROOT, path, 0o644);
      inode.uid = UID;
      inode.bytes = new TextEncoder().encode(text);
      inode.size = inode.bytes.length;
    },
    plantDirectory: (path) => void (disk.makeDirectory(ROOT, path, 0o755).uid = UID),
    plantLink: (target, path) => disk.makeLink(ROOT, target, path),
    changeMode: (path, mode) => void (disk.find(ROOT, path, false).mode = mode),
  };
}

/** Returns the world of a process; records the handles it uses, and what belongs to the caller, in the lists. */
export function worldOf(process: FakeProcess, handles: Disposable[], mine: Set<string>): World {
  return {
    ...placeOn(process.machine),
    system: process.runtime.sync,
    use(handle) {
      handles.push(handle as Disposable);
      return handle;
    },
    mine(path) {
      mine.add(path);
      return path;
    },
    setUmask: (mask) => void (process.umask = mask),
    duplicate: (descriptor) => process.take(process.descriptors.get(descriptor)!),
    close: (descriptor) => process.release(descriptor),
    async elapse(milliseconds) {
      await process.runtime.nextTurn();
      process.elapse(milliseconds);
      await process.runtime.nextTurn();
    },
  };
}

/** Returns the text of a file; undefined if there is none. */
export function textAt({ disk }: FakeMachine, path: string): string | undefined {
  try {
    return new TextDecoder().decode(contentsOf(disk.find(ROOT, path, false)));
  } catch {
    return undefined;
  }
}

/** Returns all paths on a disk, or in one of its directories. */
export function pathsOn({ disk }: FakeMachine, at = "/"): string[] {
  return disk.list(ROOT, at).flatMap(({ name, directory }) => {
    const path = at === "/" ? `/${name}` : `${at}/${name}`;
    return directory ? [path, ...pathsOn({ disk } as FakeMachine, path)] : [path];
  });
}

/** The directory of leases. */
export const LEASES = `/tmp/.mayfly-${UID}`;

/** Returns the paths of all leases. */
export const leasesOn = (machine: FakeMachine): string[] =>
  pathsOn(machine).filter((path) => path.startsWith(`${LEASES}/`));
