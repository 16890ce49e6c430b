/**
 * Reading leases. They are data from outside: whatever one says, nothing but entries with its own session in their names,
 * and such as were made with another and taken over, is ever touched for it.
 *
 * @module
 */
import { closeRead } from "../close.ts";
import type { Io } from "../io.ts";
import { isMade, isSessionId, SESSION_LENGTH } from "../name.ts";
import type { Op } from "../op.ts";
import { baseName, isAbsolute, joinPath, parentOf } from "../path.ts";
import { type Handle, isWindows, runtime, type Status } from "../runtime/mod.ts";
import { readAll } from "../transfer.ts";
import { formsOf, isForm } from "./form.ts";

/** The first line of a lease that says anything, and so the version of what follows. */
export const HEADER = "mayfly 1";

/** What lines are written behind: it spoils one that ends there because only a piece of it could be written. */
export const SPOILER = "\r\n";

/** What a lease says. */
export interface LeaseFile {
  path: string;
  session: string;
  /** What it was when it was read. */
  status: Status;
  pid: number;
  /** Undefined where it was not known. */
  namespace: string | undefined;
  host: string | undefined;
  /** The forms of the names that were made, by directory. */
  made: Map<string, Set<string>>;
  /** The paths of what was taken over from other sessions. */
  adopted: Set<string>;
  /** The paths of what was given to other users, to take the place of something of theirs. */
  given: Set<string>;
  /** Names that are not to be removed. */
  kept: Set<string>;
}

const NAME = new RegExp(`^(.{${SESSION_LENGTH}})-(\\d{1,10})\\.lease$`);

/** What the name of a lease says; undefined if it is none. */
export function parseName(name: string): { session: string; pid: number } | undefined {
  const match = NAME.exec(name);
  return match !== null && isSessionId(match[1]) ? { session: match[1], pid: Number(match[2]) } : undefined;
}

/** Bytes of the longest lease read: room for all the directories that are ever recorded. */
const LONGEST = 4 * 1024 * 1024;

/**
 * Reads a lease. `undefined` if it is no regular file of this user, or longer than any that we write.
 *
 * @param before What it said before. It only grows: of the same size, it says the same.
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
  if (status.kind !== "file" || !isOurs(status) || status.size > LONGEST) return undefined;
  if (status.size === before?.status.size) return before;
  const handle: Handle = yield io.openFile(path, "read");
  try {
    const bytes = new Uint8Array(status.size);
    // Half a lease would give up what the other half says is kept.
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
 * How it is noted that another process keeps what it has taken over: from then on it is no leftover, but until this process
 * has ended, it may be at work with it.
 */
export const keptByOther = (name: string): string => `/${name}`;

/** Whether a lease speaks for what has a name in a directory. */
export const speaksFor = (lease: LeaseFile, directory: string, name: string): boolean =>
  !lease.kept.has(name) && (lease.adopted.has(joinPath(directory, name)) || isFormed(lease, directory, name));

function isFormed({ made, session }: LeaseFile, directory: string, name: string): boolean {
  const forms = made.get(directory);
  return forms !== undefined && formsOf(name, session).some((form) => forms.has(form));
}

type Said = Pick<LeaseFile, "namespace" | "host" | "made" | "adopted" | "given" | "kept">;

/** Takes what makes sense, and nothing from a file that is cut off before its header ends. */
function parse(text: string): Said {
  const said: Said = {
    namespace: undefined,
    host: undefined,
    made: new Map(),
    adopted: new Set(),
    given: new Set(),
    kept: new Set(),
  };
  // Without the end of line, a line may be a part of what was to be written.
  const lines = text.split("\n").slice(0, -1);
  if (!lines.includes(HEADER)) return said;
  for (const line of lines) {
    const [, kind, value] = /^(\w+) ([^\r]+)$/.exec(line) ?? [];
    if (kind === "made") note(said.made, parentOf(value), baseName(value));
    else if (kind === "adopted") noteAdopted(said, value);
    else if (kind === "given") said.given.add(value);
    else if (kind === "kept") said.kept.add(value);
    else if ((kind === "namespace" || kind === "host") && value !== "-") said[kind] = value;
  }
  return said;
}

/** Directories are recorded by their canonical paths. Any other says that somebody else has written this. */
function note(made: LeaseFile["made"], directory: string, form: string): void {
  if (!isCanonical(directory) || !isForm(form)) return;
  made.set(directory, (made.get(directory) ?? new Set()).add(form));
}

/** What was kept, and is taken over again, is kept no longer. */
function noteAdopted({ adopted, kept }: Said, path: string): void {
  if (!isCanonical(path) || !isMade(baseName(path))) return;
  const name = baseName(path);
  adopted.add(path);
  kept.delete(name);
  kept.delete(keptByOther(name));
}

const isCanonical = (path: string): boolean => isAbsolute(path) && !/\0|(^|[/\\])\.\.?([/\\]|$)/.test(path);
