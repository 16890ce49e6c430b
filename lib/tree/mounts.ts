/**
 * File systems mounted inside a tree.
 *
 * @module
 */
import type { Io } from "../io.ts";
import type { Op } from "../op.ts";
import { runtime } from "../runtime/mod.ts";
import type { Spot } from "./spot.ts";

/** Bytes as one character each, as system files are read. */
const asLatin1 = (text: string): string => String.fromCharCode(...new TextEncoder().encode(text));

/** Writes a path as `/proc/self/mountinfo` does. */
function escaped(path: string): string {
  return asLatin1(path).replace(/[ \t\n\\]/g, (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, "0")}`);
}

/**
 * Whether anything is mounted below a path. A directory bound from the same file system has the same device number, so
 * the device alone does not tell.
 */
export function* hasMounts(io: Io, path: string): Op<boolean> {
  if (runtime.platform !== "linux") return false;
  try {
    const table: string = yield io.readSystemFile("/proc/self/mountinfo");
    return table.includes(` ${escaped(path)}/`);
  } catch {
    // Not permitted to know; devices are compared in any case.
    return false;
  }
}

/** The number of the mount that a spot is on. */
export function* mountOf(io: Io, spot: Spot): Op<string | undefined> {
  if (spot.descriptor === undefined) return undefined;
  const info: string = yield io.readSystemFile(`/proc/self/fdinfo/${spot.descriptor}`);
  return /mnt_id:\s*(\d+)/.exec(info)?.[1];
}
