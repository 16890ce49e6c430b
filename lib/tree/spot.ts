/**
 * A directory that a walk is in.
 *
 * Where the platform can name what a descriptor holds (`/proc/self/fd/N`), a spot is a descriptor and every path below
 * it has one component, so that no rename can lead the walk anywhere else. Elsewhere a spot is a path.
 *
 * @module
 */
import { codeOf } from "../errors.ts";
import { type Identity, sameFile } from "../identity.ts";
import type { Io } from "../io.ts";
import type { Op } from "../op.ts";
import { joinPath } from "../path.ts";
import { type Path, runtime, type Status } from "../runtime/mod.ts";

/** A directory by its descriptor or its path. */
export interface Spot {
  /** What names in it are joined to. */
  readonly base: string;
  /** For messages. */
  readonly shown: string;
  readonly descriptor: number | undefined;
  readonly status: Status;
}

/** Whether spots are descriptors here. */
export const anchored = (): boolean => runtime.anchor(0) !== undefined;

/** The path of a name in a spot. */
export function within(spot: Spot, name: Path): Path {
  if (typeof name === "string") return joinPath(spot.base, name);
  const base = new TextEncoder().encode(`${spot.base}/`);
  const path = new Uint8Array(base.byteLength + name.byteLength);
  path.set(base);
  path.set(name, base.byteLength);
  return path;
}

/** The path of a name in a spot, for messages. */
export function shownWithin(spot: Spot, name: Path): string {
  return joinPath(spot.shown, typeof name === "string" ? name : new TextDecoder().decode(name));
}

/** Leaves a spot. */
export function* leave(io: Io, spot: Spot): Op<void> {
  if (spot.descriptor !== undefined) yield io.close(spot.descriptor);
}

/** Goes to a directory by its path, without looking into it. Nothing more is known of the way there. */
export function* locate(io: Io, path: string): Op<Spot> {
  if (!anchored()) return { base: path, shown: path, descriptor: undefined, status: yield io.status(path) };
  return yield* spotOf(io, yield io.locateDirectory(path), path);
}

/**
 * Goes into a directory of a spot, never through a link.
 *
 * A directory that forbids being read is given back its owner's rights first: through a descriptor, so that no swap can
 * turn that on anything else.
 *
 * @returns `undefined` if the name is no directory.
 */
export function* enter(io: Io, from: Spot, name: Path): Op<Spot | undefined> {
  const path = within(from, name), shown = shownWithin(from, name);
  if (from.descriptor === undefined) {
    const status: Status = yield io.status(path);
    return status.kind === "directory"
      ? { base: path as string, shown, descriptor: undefined, status }
      : undefined;
  }
  try {
    return yield* spotOf(io, yield io.openDirectory(path), shown);
  } catch (error) {
    const code = codeOf(error);
    if (code === "ELOOP" || code === "ENOTDIR") return undefined;
    if (code !== "EACCES") throw error;
  }
  return yield* unlock(io, path, shown);
}

function* spotOf(io: Io, descriptor: number, shown: string): Op<Spot> {
  try {
    return { base: runtime.anchor(descriptor)!, shown, descriptor, status: yield io.statusOf(descriptor) };
  } catch (error) {
    yield io.close(descriptor);
    throw error;
  }
}

/** What the owner of a directory needs to empty it. */
const OWNER_RIGHTS = 0o700;

function* unlock(io: Io, path: Path, shown: string): Op<Spot> {
  const located = yield* spotOf(io, yield io.locateDirectory(path), shown);
  try {
    yield* grant(io, located);
    // The dot makes the anchor a directory on the way rather than a link at the end.
    return yield* spotOf(io, yield io.openDirectory(`${located.base}/.`), shown);
  } finally {
    yield* leave(io, located);
  }
}

/** Gives the owner of the directory that a spot holds the right to empty it. */
export function* grant(io: Io, spot: Spot): Op<void> {
  if (spot.descriptor === undefined) throw Object.assign(new Error("no descriptor"), { code: "EACCES" });
  yield io.changeModeAt(`${spot.base}/.`, spot.status.mode | OWNER_RIGHTS);
}

/** Whether a spot is the directory of which `identity` was recorded. */
export const isAt = (spot: Spot, identity: Identity): boolean => sameFile(spot.status, identity);
