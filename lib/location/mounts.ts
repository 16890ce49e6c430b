/**
 * What is mounted where, and how, as Linux reports it.
 *
 * @module
 */
import { codeOf } from "../errors.ts";
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import { contains } from "../path.ts";
import { runtime } from "../runtime/mod.ts";
import { utf8 } from "../utf8.ts";

const TABLE = "/proc/self/mountinfo";

/** The forms in which text of the table may be read: some runtimes decode each byte to one character. */
const spellings = (text: string): string[] => [text, String.fromCharCode(...utf8.encode(text))];

/** Escapes a path as the table does. */
const escaped = (path: string): string =>
  path.replace(/[ \t\n\\]/g, (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, "0")}`);

const unescaped = (path: string): string =>
  path.replace(/\\(\d{3})/g, (_, digits) => String.fromCharCode(parseInt(digits, 8)));

const HIDDEN: ReadonlySet<string> = new Set([
  "ESRCH",
  "ENOENT",
  "EACCES",
  "EPERM",
  "ERR_ACCESS_DENIED",
]);

/**
 * Whether the kernel does not provide the information. Any other failure may be temporary, and the information may
 * exist.
 */
export const isHidden = (error: unknown): boolean => HIDDEN.has(codeOf(error));

/**
 * Whether anything is mounted below a path. A bind mount from the same file system has the same device number, so the
 * device alone does not reveal it.
 */
export function* hasMounts(io: Io, path: string): Op<boolean> {
  const table = yield* mountTable(io);
  return spellings(` ${escaped(path)}/`).some((below) => table.includes(below));
}

/** Whether a path is a mount point. */
export function* isMountPoint(io: Io, path: string): Op<boolean> {
  const points = (yield* mountTable(io)).split("\n").map((line) => line.split(" ")[MOUNT_POINT]);
  return spellings(escaped(path)).some((point) => points.includes(point));
}

/** The index of its field in the table. */
const MOUNT_POINT = 4;

/**
 * Reads the table; empty where there is none. Where it may not be read it is empty too, since devices are compared in any
 * case, unless it is `required`: the user can grant what the runtime denies, but not what a sandbox does.
 */
function* mountTable(io: Io, required = false): Op<string> {
  if (runtime.platform !== "linux") return "";
  try {
    return yield io.readSystemFile(TABLE);
  } catch (error) {
    if (isHidden(error) && !(required && codeOf(error) === "ERR_ACCESS_DENIED")) return "";
    throw error;
  }
}

/** The mount id of an open descriptor. */
export function* mountIdOf(io: Io, descriptor: number | undefined): Op<string | undefined> {
  if (descriptor === undefined) return undefined;
  const info: string = yield io.readSystemFile(`/proc/self/fdinfo/${descriptor}`);
  return /mnt_id:\s*(\d+)/.exec(info)?.[1];
}

/** The mount options for a canonical path, such as `noexec`; undefined where unknown. */
export function* mountOptions(io: Io, path: string): Op<string[] | undefined> {
  const [, , , , , options] = mountEntry(yield* mountTable(io, true), path);
  return options?.split(",");
}

/**
 * The device of the mount that a canonical path is on, as the kernel counts it: in a btrfs subvolume or an overlay,
 * `stat` reports another. Undefined where unknown.
 */
export function* mountDevice(io: Io, path: string): Op<number | undefined> {
  const [, , device = ""] = mountEntry(yield* mountTable(io), path);
  const [, major, minor] = /^(\d+):(\d+)$/.exec(device) ?? [];
  return major === undefined ? undefined : deviceNumber(Number(major), Number(minor));
}

/** The type of the file system that a canonical path is on, such as `ext4`; undefined where unknown. */
export function* mountType(io: Io, path: string): Op<string | undefined> {
  const fields = mountEntry(yield* mountTable(io), path);
  // The separator follows a variable number of tags.
  return fields[fields.indexOf("-") + 1];
}

/** Encodes a device number as `stat` does: its bits are scattered, as the format has grown. */
export function deviceNumber(major: number, minor: number): number {
  const low = (minor & 0xff) + (major & 0xfff) * 0x100 + (minor & 0xfff00) * 0x1000;
  return low + Math.floor(major / 0x1000) * 2 ** 44;
}

/** The fields of the table line for the mount that a path is on; empty if there is no such line. */
function mountEntry(table: string, path: string): string[] {
  const paths = spellings(path);
  let best: string[] = [], length = 0;
  for (const line of table.split("\n")) {
    const fields = line.split(" ");
    const point = unescaped(fields[MOUNT_POINT] ?? "");
    if (point === "" || !paths.some((one) => contains(point, one))) continue;
    // Later lines are mounted over earlier ones.
    if (point.length >= length) [best, length] = [fields, point.length];
  }
  return best;
}
