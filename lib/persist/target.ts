/**
 * The target: the place that a file or directory is put in, resolved and checked before anything is done.
 *
 * @module
 */
import { cannot, failure, type TempfileError } from "../errors.ts";
import type { Identity } from "../identity.ts";
import { isKnown, setDevice } from "../operation/devices.ts";
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import { statusIfThere, tried } from "../operation/tried.ts";
import { DEVICE } from "../options/names.ts";
import { baseName, isAbsolute, isNameless, joinPath, parentOf, withoutTrailingSeparators } from "../path.ts";
import { coded, isWindows, type Kind, type Path, type Status } from "../runtime/mod.ts";
import type { Replacing } from "./options.ts";

/** The path that the result gets, and what is there now. */
export interface Target {
  /** The parent, canonical. */
  directory: string;
  path: string;
  /** Undefined if nothing is there. */
  existing: Status | undefined;
}

/** Links followed before giving up, as the system does. */
const MAX_LINKS = 40;

/** Finds the target, and refuses one that a file must not replace. */
export function* targetOf(io: Io, path: string, options: Replacing): Op<Target> {
  const target = yield* resolve(io, path, options);
  const { existing } = target;
  if (existing !== undefined && !options.overwrite) throw refusal(target.path, "EEXIST", "it exists");
  if (existing?.kind === "directory") throw refusal(target.path, "EISDIR", "it is a directory");
  if (isNameless(path)) throw refusal(path, "ENOTDIR", "the path names a directory");
  if (yield* isSpecial(io, target)) throw placingFailure(target.path, special());
  return target;
}

/**
 * Whether the target is a device, pipe or socket, a link to one, or any link in `/dev`. Renaming a file to `/dev/null`
 * would break the whole system, and so would one to `/dev/stdout`, even while that leads to a file.
 */
function* isSpecial(io: Io, { directory, existing, path }: Target): Op<boolean> {
  if (existing?.kind === "link") return directory === "/dev" || (yield* kindBehind(io, path)) === "other";
  return existing?.kind === "other";
}

const special = (): Error => coded("EINVAL", "it is a device, pipe or socket, or a link to one");

/** Returns the kind of what a link leads to; undefined if it leads nowhere, or to what may not be inspected. */
export function* kindBehind(io: Io, link: string): Op<Kind | undefined> {
  return (yield* tried(() => io.statusOfTarget(link)))?.kind;
}

function* resolve(io: Io, path: string, options: Replacing): Op<Target> {
  let target = yield* targetAt(io, path);
  for (let links = 0; options.links === "follow" && target.existing?.kind === "link"; links++) {
    if (links === MAX_LINKS) throw refusal(path, "ELOOP", "too many symbolic links");
    target = yield* targetAt(io, yield* linkTarget(io, target));
    // A dangling link may have been planted to have something created where it leads.
    if (target.existing === undefined) {
      throw refusal(path, "ENOENT", `it links to "${target.path}", which does not exist`);
    }
  }
  return target;
}

/** The error for refusing to put a file at a path. */
export const refusal = (path: string, code: string, why: string): TempfileError =>
  cannot(`put a file at "${path}"`, why, code, path);

/**
 * Returns the target under its canonical parent, itself not followed.
 *
 * @param worded Words a failure.
 */
export function* targetAt(io: Io, path: string, worded: typeof placingFailure = placingFailure): Op<Target> {
  const plain = withoutTrailingSeparators(path);
  try {
    // On Windows, Node and Bun would create a file `NUL`, which most programs can neither open nor remove, and Deno cannot
    // even look at the path. The pattern expects a dot, but a name without an extension is a device, too.
    if (isWindows() && DEVICE.test(baseName(plain) + ".")) throw special();
    const parent = parentOf(plain);
    // A recorded directory was canonical then. If a link has come into it since, it still leads where the caller says.
    const directory: string = isKnown(parent) ? parent : yield io.realPath(parent);
    const canonical = joinPath(directory, baseName(plain));
    const existing = yield* statusIfThere(io, canonical);
    if (existing?.kind === "file") setDevice(directory, existing.device);
    return { directory, path: canonical, existing };
  } catch (error) {
    throw worded(path, error);
  }
}

/** Wraps a failure of putting a file in place. */
export const placingFailure = (path: string, error: unknown): unknown =>
  failure(`put a file at "${path}"`, error, path);

/** Whether a rename can lead from something to the target: it never does between devices. */
export function* isOnDevice(io: Io, { device }: Identity, { directory }: Target): Op<boolean> {
  return device === ((yield io.status(directory)) as Status).device;
}

function* linkTarget(io: Io, { directory, path }: Target): Op<string> {
  let link: Path;
  try {
    link = yield io.readLink(path);
    if (typeof link !== "string") throw coded("EILSEQ", "its target is not text");
  } catch (error) {
    throw failure(`follow the link "${path}"`, error, path);
  }
  return isAbsolute(link) ? link : joinPath(directory, link);
}
