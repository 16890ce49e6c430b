/**
 * A file that is made ready beside its target.
 *
 * @module
 */
import { createExclusively } from "../create.ts";
import { codeOf, TempfileError } from "../errors.ts";
import { OwnedName } from "../file/owned.ts";
import type { Io } from "../io.ts";
import { sessionId } from "../name.ts";
import type { Op } from "../op.ts";
import { type Checked, DEFAULTS } from "../options.ts";
import { type Handle, runtime, type Status } from "../runtime/mod.ts";
import type { Replacing } from "./options.ts";
import type { Target } from "./target.ts";

/** Hidden, and told apart from the user's files. */
export const NAMING: Checked = { ...DEFAULTS, prefix: ".mayfly-", suffix: "" };

/** A file beside its target that nobody is meant to see yet. */
export interface Staged {
  handle: Handle;
  name: OwnedName;
}

const PRIVATE = 0o600;

/** What `open` is asked for where the umask is to decide. */
const PUBLIC = 0o666;

/** Creates a staged file, with no more rights than the result will have. */
export function* stage(io: Io, target: Target, mode: number): Op<Staged> {
  const name = new OwnedName();
  try {
    const handle = yield* createExclusively("file", target.directory, NAMING, sessionId(), (path) => {
      name.path = path;
      return io.createFile(path, mode);
    });
    return { handle, name };
  } catch (error) {
    name.release();
    throw error;
  }
}

/** The mode to create a staged file with: the umask can have its say only then. */
export function creationMode({ existing }: Target, { mode, otherwise }: Replacing): number {
  if (mode === "umask") return PUBLIC;
  return mode === "existing" && existing === undefined && otherwise === "umask" ? PUBLIC : PRIVATE;
}

/**
 * Gives a file the mode and owner of the result.
 *
 * @param created What it was created with.
 */
export function* settle(
  io: Io,
  handle: Handle,
  created: number,
  target: Target,
  options: Replacing,
): Op<void> {
  if (runtime.platform === "windows") return;
  const status: Status = yield io.statusOf(handle);
  const { existing } = target;
  if (options.mode === "existing" && existing !== undefined) {
    yield* inheritOwner(io, handle, status, existing);
  }
  if (options.mode === "umask" && created === PUBLIC) return;
  const mode = options.mode === "umask" ? yield* umaskMode(io, target) : wantedMode(target, options);
  if (mode !== undefined && mode !== (status.mode & 0o777)) yield io.changeMode(handle, mode);
}

/** Undefined where it is right as it is. */
function wantedMode({ existing }: Target, { mode }: Replacing): number | undefined {
  if (mode === "private") return PRIVATE;
  return typeof mode === "number" ? mode : existing && existing.mode & 0o777;
}

/** What the umask makes of 0666, asked of the system by a file: the runtimes tell only with permissions, or by changing it. */
function* umaskMode(io: Io, target: Target): Op<number> {
  const probe = yield* stage(io, target, PUBLIC);
  try {
    return ((yield io.statusOf(probe.handle)) as Status).mode & 0o777;
  } finally {
    yield* unstage(io, probe, false);
  }
}

/** Only root may give files away; for others the new file is theirs, as with any program that replaces a file. */
function* inheritOwner(io: Io, handle: Handle, status: Status, existing: Status): Op<void> {
  if (status.uid === existing.uid && status.gid === existing.gid) return;
  try {
    yield io.changeOwner(handle, existing.uid, existing.gid);
  } catch (error) {
    if (codeOf(error) !== "EPERM" && codeOf(error) !== "ERR_ACCESS_DENIED") throw error;
  }
}

/** Makes sure that the file has all that was written to it: some file systems report a full disk late or not at all. */
export function* requireSize(io: Io, handle: Handle, size: number, path: string): Op<void> {
  const found = ((yield io.statusOf(handle)) as Status).size;
  if (found === size) return;
  throw new TempfileError(`Cannot put a file at "${path}": ${found} of ${size} bytes arrived (EIO)`, {
    code: "EIO",
    path,
  });
}

/** Closes and removes a staged file, whatever fails on the way: there is a better error to report. */
export function* unstage(io: Io, { handle, name }: Staged, closed: boolean): Op<void> {
  try {
    if (!closed) yield io.close(handle);
  } catch {
    // See above.
  }
  try {
    yield* name.remove(io);
  } catch {
    // It stays on the books: the end of the process tries once more.
  }
}
