/**
 * File systems mounted inside a tree.
 *
 * @module
 */
import { codeOf } from "../errors.ts";
import type { Io } from "../io.ts";
import type { Op } from "../op.ts";
import { joinPath } from "../path.ts";
import { type Path, runtime, type Status } from "../runtime/mod.ts";
import { entriesIn } from "./list.ts";
import type { Spot } from "./spot.ts";

/** Bytes as one character each, as some runtimes read system files. */
const asLatin1 = (text: string): string => String.fromCharCode(...new TextEncoder().encode(text));

/** Writes a path as `/proc/self/mountinfo` does. */
const escaped = (path: string): string =>
  path.replace(/[ \t\n\\]/g, (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, "0")}`);

/** What is said of a table that cannot be had. Any other failure may pass, and the mounts may well be there. */
const NO_TABLE: ReadonlySet<string> = new Set(["ENOENT", "EACCES", "EPERM", "ERR_ACCESS_DENIED"]);

/**
 * Whether anything is mounted below a path. A directory bound from the same file system has the same device number, so
 * the device alone does not tell.
 */
export function* hasMounts(io: Io, path: string): Op<boolean> {
  const table = yield* mountTable(io);
  const below = ` ${escaped(path)}/`;
  return table.includes(below) || table.includes(asLatin1(below));
}

/** Whether something is mounted just there. */
export function* isMountPoint(io: Io, path: string): Op<boolean> {
  const points = (yield* mountTable(io)).split("\n").map((line) => line.split(" ")[MOUNT_POINT]);
  return points.includes(escaped(path)) || points.includes(asLatin1(escaped(path)));
}

/** Which field of the table it is. */
const MOUNT_POINT = 4;

function* mountTable(io: Io): Op<string> {
  if (runtime.platform !== "linux") return "";
  try {
    return yield io.readSystemFile("/proc/self/mountinfo");
  } catch (error) {
    // Not permitted to know; devices are compared in any case.
    if (NO_TABLE.has(codeOf(error))) return "";
    throw error;
  }
}

/** The number of the mount that a spot is on. */
export function* mountOf(io: Io, spot: Spot): Op<string | undefined> {
  if (spot.descriptor === undefined) return undefined;
  const info: string = yield io.readSystemFile(`/proc/self/fdinfo/${spot.descriptor}`);
  return /mnt_id:\s*(\d+)/.exec(info)?.[1];
}

/** Whether a directory below a path is on another device. Only looks; directories bound from the same device pass. */
export function* leavesDevice(io: Io, path: string): Op<boolean> {
  const { device }: Status = yield io.status(path);
  const paths: Path[] = [path];
  for (let next = paths.pop(); next !== undefined; next = paths.pop()) {
    const status: Status = yield io.status(next);
    if (status.kind !== "directory") continue;
    if (status.device !== device) return true;
    for (const { name, directory } of yield* entriesIn(io, next)) {
      // A name in bytes comes without its kind.
      if (directory || typeof name !== "string") paths.push(joinPath(next, name));
    }
  }
  return false;
}
