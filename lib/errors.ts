/**
 * What went wrong, in one form on every runtime.
 *
 * @module
 */
import { type Kind, runtime, systemCode } from "./runtime/mod.ts";

/** What a {@linkcode TempfileError} carries beside its message. */
export interface TempfileErrorOptions {
  /** A POSIX code (`ENOSPC`) or one of Mayfly's own (`ERR_CLOSED`). */
  code: string;
  /** The path it happened at. */
  path?: string;
  /** The system call that failed. */
  syscall?: string;
  /** The error it comes from. */
  cause?: unknown;
  /** What a removal left behind. */
  leftovers?: readonly Leftover[];
}

/** One path that a removal could not remove. */
export interface Leftover {
  /** Where it is now. */
  path: string;
  /** Why it is still there: `EPERM` for an immutable file, `EXDEV` for what is on another device, … */
  code: string;
}

/**
 * A failure of a temporary file or directory. System errors keep their POSIX code on every runtime.
 *
 * @example Tell a full disk from other failures
 * ```ts
 * import { namedTemporaryFile, TempfileError } from "mayfly";
 *
 * try {
 *   await using file = await namedTemporaryFile({ minFree: 1 });
 *   await file.write("hello");
 * } catch (error) {
 *   if (error instanceof TempfileError && error.code === "ENOSPC") console.error("disk full");
 *   else throw error;
 * }
 * ```
 */
export class TempfileError extends Error {
  /** Always `"TempfileError"`, also where bundlers rename the class. */
  override readonly name = "TempfileError";
  /** A POSIX code (`ENOSPC`, `EACCES`, …) or one of `ERR_INVALID_OPTION`, `ERR_CLOSED`, `ERR_UNSUPPORTED`, `ERR_REPLACED`, `ERR_NO_TMPDIR`, `ERR_LEFTOVER`, `ERR_ACCESS_DENIED`, `ERR_MODULE_NOT_FOUND`. */
  readonly code: string;
  /** The path it happened at, if it happened at one. */
  readonly path: string | undefined;
  /** The system call that failed, where the runtime tells. */
  readonly syscall: string | undefined;
  /** What a removal left behind; empty for every other failure. */
  readonly leftovers: readonly Leftover[];

  /** Makes the error; applications only catch it. */
  constructor(message: string, { code, path, syscall, cause, leftovers = [] }: TempfileErrorOptions) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.path = path;
    this.syscall = syscall;
    this.leftovers = leftovers;
  }
}

/** The code of an error of any runtime; `"UNKNOWN"` if it has none. */
export const codeOf = (error: unknown): string => systemCode(error, runtime.platform);

/** Whether an error says that nothing has the name: neither it nor, where a file has the place of a directory above, could it. */
export const isGone = (error: unknown): boolean => ["ENOENT", "ENOTDIR"].includes(codeOf(error));

/** Whether an error says that there are no descriptors to be had. */
export const outOfDescriptors = (error: unknown): boolean => ["EMFILE", "ENFILE"].includes(codeOf(error));

/**
 * How file systems say that they have no files without names, a directory that is missing the same as one of them; and, the
 * last two, how a sandbox says that it does not let such calls through.
 */
const NO_UNNAMED: ReadonlySet<string> = new Set(
  ["EOPNOTSUPP", "ENOTSUP", "EISDIR", "ENOENT", "EINVAL", "EPERM", "ENOSYS"],
);

/** Whether an attempt to create without a name has failed because there is no such thing; then a name may do. */
export const refusesUnnamed = (error: unknown): boolean => NO_UNNAMED.has(codeOf(error));

const PHRASES: { readonly [code: string]: string | undefined } = {
  EACCES: "permission denied",
  EBUSY: "in use",
  EDQUOT: "disk quota exceeded",
  EEXIST: "already exists",
  EFBIG: "file too large",
  EIO: "input/output error",
  EISDIR: "is a directory",
  ELOOP: "is a symbolic link, or too many of them",
  EMFILE: "too many open files in this process",
  ENAMETOOLONG: "name too long",
  ENFILE: "too many open files in the system",
  ENOENT: "no such file or directory",
  ENOSPC: "no space left on device",
  ENOTDIR: "not a directory",
  ENOTEMPTY: "directory not empty",
  EPERM: "operation not permitted",
  EROFS: "read-only file system",
  ESTALE: "stale file handle",
  EXDEV: "on another device",
};

/** How runtimes spell the codes of systems and of their own permissions; not the codes of applications, nor `UNKNOWN`. */
const SYSTEM_CODE = /^E[A-Z0-9_]+$/;

/**
 * Wraps a system error. The action completes "Cannot …".
 *
 * What is already ours, and what is no system error (an abort reason, a user's own error), passes unchanged.
 */
export function failure(action: string, error: unknown, path?: string): unknown {
  const code = codeOf(error);
  if (error instanceof TempfileError || !SYSTEM_CODE.test(code)) return error;
  // Deno has the class for EINVAL too.
  const isUsers = error instanceof TypeError || error instanceof RangeError;
  if (isUsers && code.startsWith("ERR_")) return error;
  return wrapped(action, code, error as Error, path);
}

/** With the words for the code that are the same on every runtime, else those of the error. */
function wrapped(action: string, code: string, error: Error & { syscall?: string }, path?: string) {
  return cannot(action, PHRASES[code] ?? error.message, code, path, error, error.syscall);
}

/** A failure with its reason. The action completes "Cannot …". */
export function cannot(
  action: string,
  why: string,
  code: string,
  path?: string,
  cause?: unknown,
  syscall?: string,
): TempfileError {
  return new TempfileError(`Cannot ${action}: ${why} (${code})`, { code, path, cause, syscall });
}

/**
 * What an `import()` of a part of the library fails with: without a descriptor to be had, or when the package is gone by
 * then. The next call tries again, except on Node 20, which remembers what it could not read.
 *
 * @param part What the part is for.
 */
export const notLoaded = (part: string) => (error: Error): never => {
  // Bun says the system's code in the message alone, where Node says it too.
  const code = /^E[A-Z0-9]+\b/.exec(error.message)?.[0] ?? codeOf(error);
  throw wrapped(`load Mayfly's part for ${part}`, code, error);
};

/** What is at a path, for messages. */
export const nameOf = (kind: Kind): string => kind === "other" ? "device, pipe or socket" : kind;

/** A file that has a path or none, for messages. */
export const which = (path: string | undefined): string =>
  path === undefined ? "the temporary file" : `"${path}"`;

/** Says that a handle was used after it was closed. */
export function closedError(action: string, path?: string): TempfileError {
  return new TempfileError(`Cannot ${action} ${which(path)}: it is closed`, { code: "ERR_CLOSED", path });
}

/** Says that something is on its way to another place at this moment. */
export function movingError(action: string, path: string | undefined): TempfileError {
  return cannot(`${action} "${path}"`, "persist() is under way", "EBUSY", path);
}

/** How a rejected value is shown in a message: short, and without running its code. */
export function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
  if (typeof value === "function") return "a function";
  if (typeof value === "object" && value !== null) return isArray(value) ? "an array" : "an object";
  return typeof value === "bigint" ? `${value}n` : String(value);
}

/** A Proxy that was revoked cannot even be asked that. */
function isArray(value: object): boolean {
  try {
    return Array.isArray(value);
  } catch {
    return false;
  }
}

/** Says that an option has the wrong type or content. */
export function invalid(option: string, wanted: string, got: unknown): TypeError {
  return refusal(TypeError, option, wanted, show(got));
}

/** Says that a number is out of its range. */
export function outOfRange(option: string, wanted: string, got: number): RangeError {
  return refusal(RangeError, option, wanted, got);
}

function refusal(kind: ErrorConstructor, option: string, wanted: string, got: string | number): Error {
  const message = `Option "${option}" must be ${wanted}: got ${got}`;
  return Object.assign(new kind(message), { code: "ERR_INVALID_OPTION" });
}

/** Where the runtime can take a stack anew, without the frames above a function. */
const { captureStackTrace: capture } = Error as { captureStackTrace?(error: object, above: unknown): void };

/** Errors whose stack is as it should be: what passes through one call of the library into another keeps the inner place. */
const told = new WeakSet<object>();

/**
 * Makes an error of ours tell where the library was called, not where in the library it was noticed: runtimes show ten
 * frames, and ours are more than that. The system's own error, the cause, keeps them. Errors of others are left alone.
 *
 * @param driver The function, among those under way, that what is not to be shown was called by.
 * @param waited Whether something was waited for. Then the engine may not know who waits, and the stack stays as it is.
 * @returns The error.
 */
export function fromCaller(error: unknown, driver: unknown, waited = false): unknown {
  const isOurs = error instanceof TempfileError ||
    error instanceof Error && codeOf(error) === "ERR_INVALID_OPTION";
  if (capture === undefined || !isOurs || told.has(error)) return error;
  told.add(error);
  if (!waited) capture(error, driver);
  // To read a stack may take a descriptor.
  else if (!outOfDescriptors(error)) captureIfKnown(error, driver, capture);
  return error;
}

function captureIfKnown(error: Error, driver: unknown, take: NonNullable<typeof capture>): void {
  const { stack } = error;
  take(error, driver);
  if (!/\n\s+at /.test(error.stack ?? "")) error.stack = stack;
}
