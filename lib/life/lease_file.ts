/**
 * Reading leases.
 *
 * A lease is text, one record a line, and only ever grows: a header, `pid`, `namespace` and `host`, then any number of
 * `made <directory>/<form>`, `adopted <path>`, `given <path>` and `kept <name>`. It is untrusted input: whatever it
 * says, only entries with its own session in their names, and those of other sessions that it adopted, are touched
 * because of it.
 *
 * @module
 */
import { isMade, isSessionId, SESSION_LENGTH } from "../name.ts";
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import { readAll } from "../operation/transfer.ts";
import { closeRead } from "../operation/tried.ts";
import { baseName, isAbsolute, joinPath, parentOf } from "../path.ts";
import { type Handle, isWindows, runtime, type Status } from "../runtime/mod.ts";
import { formsOf } from "./name_form.ts";

/** The header, which gives the version of the format. A lease without it says nothing. */
export const HEADER = "mayfly 1";

/** Starts each write. If the write before was cut short, this ends its last line and makes it invalid. */
export const RESYNC = "\r\n";

/** The contents of a lease. */
export interface LeaseFile {
  path: string;
  session: string;
  /** The status of the lease when it was read. */
  status: Status;
  pid: number;
  /** Undefined if it was not known. */
  namespace: string | undefined;
  host: string | undefined;
  /** The forms of the names that were made, by directory. */
  made: Map<string, Set<string>>;
  /** The paths of entries adopted from other sessions. */
  adopted: Set<string>;
  /** The paths of files given to other users, each to replace a file of theirs. */
  given: Set<string>;
  /** Names that must not be removed. */
  kept: Set<string>;
}

const NAME = new RegExp(`^(.{${SESSION_LENGTH}})-(\\d{1,10})\\.lease$`);

/** Parses the name of a lease; undefined if it is not one. */
export function parseName(name: string): { session: string; pid: number } | undefined {
  const match = NAME.exec(name);
  return match !== null && isSessionId(match[1]) ? { session: match[1], pid: Number(match[2]) } : undefined;
}

/** The size in bytes of the longest lease that is read: room for every directory that is ever recorded. */
const MAX_SIZE = 4 * 1024 * 1024;

/**
 * Reads a lease. Returns `undefined` if it is not a regular file of this user, or longer than any that we write.
 *
 * @param before The contents when last read. A lease only grows: if the size is the same, so are the contents.
 */
export function* readLease(
  io: Io,
  directory: string,
  name: string,
  before?: LeaseFile,
): Op<LeaseFile | undefined> {
  const named = parseName(name);
  if (named === undefined) return undefined;
  const path = joinPath(directory, name);
  const status: Status = yield io.status(path);
  if (status.kind !== "file" || !isOurs(status) || status.size > MAX_SIZE) return undefined;
  if (status.size === before?.status.size) return before;
  const handle: Handle = yield io.openFile(path, "read");
  try {
    const bytes = new Uint8Array(status.size);
    // Half a lease would give up entries that the other half says are kept.
    const length = yield* readAll(io, handle, bytes, 0);
    return {
      path,
      status,
      ...named,
      ...parse(new TextDecoder().decode(bytes.subarray(0, length))),
    };
  } finally {
    yield* closeRead(io, handle);
  }
}

/** Whether something belongs to this user. */
export const isOurs = ({ uid }: Status): boolean => isWindows() || uid === runtime.uid();

/**
 * The `kept` record for an entry that another process has adopted and now keeps. The entry is no longer a leftover of
 * the lease's process, but that process may be using it until it ends.
 */
export const keptByOther = (name: string): string => `/${name}`;

/** Whether a lease speaks for a name in a directory. */
export const speaksFor = (lease: LeaseFile, directory: string, name: string): boolean =>
  !lease.kept.has(name) && (lease.adopted.has(joinPath(directory, name)) || hasForm(lease, directory, name));

/** Whether an entry is a leftover if the lease's process is dead: nobody keeps it, nor has adopted it and kept it. */
export const isLeftover = (lease: LeaseFile, directory: string, name: string): boolean =>
  speaksFor(lease, directory, name) && !lease.kept.has(keptByOther(name));

const hasForm = ({ made, session }: LeaseFile, directory: string, name: string): boolean =>
  formsOf(name, session).some((form) => made.get(directory)?.has(form));

type Records = Pick<LeaseFile, "namespace" | "host" | "made" | "adopted" | "given" | "kept">;

/** Takes the records that are valid, and none if the file is cut off before the end of its header. */
function parse(text: string): Records {
  const records: Records = {
    namespace: undefined,
    host: undefined,
    made: new Map(),
    adopted: new Set(),
    given: new Set(),
    kept: new Set(),
  };
  // A last line without a line end may be incomplete.
  const lines = text.split("\n").slice(0, -1);
  if (!lines.includes(HEADER)) return records;
  for (const line of lines) {
    const [, kind, value] = /^(\w+) ([^\r]+)$/.exec(line) ?? [];
    if (kind === "made") addMade(records.made, parentOf(value), baseName(value));
    else if (kind === "adopted") addAdopted(records, value);
    else if (kind === "given") records.given.add(value);
    else if (kind === "kept") records.kept.add(value);
    else if ((kind === "namespace" || kind === "host") && value !== "-") records[kind] = value;
  }
  return records;
}

/**
 * Directories are recorded by canonical path: any other line was not written by this library. What is not a form matches
 * no name.
 */
function addMade(made: LeaseFile["made"], directory: string, form: string): void {
  if (!isCanonical(directory)) return;
  made.set(directory, (made.get(directory) ?? new Set()).add(form));
}

/** An entry that was kept and is adopted again is no longer kept. */
function addAdopted({ adopted, kept }: Records, path: string): void {
  if (!isCanonical(path) || !isMade(baseName(path))) return;
  const name = baseName(path);
  adopted.add(path);
  kept.delete(name);
  kept.delete(keptByOther(name));
}

const isCanonical = (path: string): boolean => isAbsolute(path) && !/\0|(^|[/\\])\.\.?([/\\]|$)/.test(path);
