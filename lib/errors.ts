/**
 * Errors, in one form on every runtime.
 *
 * @module
 */
import { attempt, type Kind, runtime, systemCode } from "./runtime/mod.ts";

/** The properties of a {@linkcode TempfileError} besides its message. */
export interface TempfileErrorOptions {
  /** A POSIX code (`ENOSPC`) or one of Mayfly's own (`ERR_CLOSED`). */
  code: string;
  /** The path concerned. */
  path?: string;
  /** The system call that failed. */
  syscall?: string;
  /** The underlying error. */
  cause?: unknown;
  /** The entries that a removal left behind. */
  leftovers?: readonly Leftover[];
}

/** An entry that could not be removed. */
export interface Leftover {
  /** Its current path. */
  path: string;
  /** Why it remains: `EPERM` for an immutable file, `EXDEV` for an entry on another device, … */
  code: string;
}

/**
 * A failed operation on a temporary file or directory. System errors keep their POSIX code on every runtime.
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
  /** Always `"TempfileError"`, even if a bundler renames the class. */
  override readonly name = "TempfileError";
  /**
   * A POSIX code (`ENOSPC`, `EACCES`, …) or one of `ERR_INVALID_OPTION`, `ERR_CLOSED`, `ERR_UNSUPPORTED`,
   * `ERR_REPLACED`, `ERR_NO_TMPDIR`, `ERR_LEFTOVER`, `ERR_ACCESS_DENIED`, `ERR_MODULE_NOT_FOUND`.
   */
  readonly code: string;
  /** The path concerned, if there is one. */
  readonly path: string | undefined;
  /** The system call that failed, where the runtime reports it. */
  readonly syscall: string | undefined;
  /** The entries that a removal left behind; empty for every other failure. */
  readonly leftovers: readonly Leftover[];

  /** Creates the error; applications only catch it. */
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

/** Whether an error means that nothing exists at the path: no such name, or a file in place of a parent directory. */
export const isGone = (error: unknown): boolean => ["ENOENT", "ENOTDIR"].includes(codeOf(error));

/** Whether an error means that no descriptors are available. */
export const outOfDescriptors = (error: unknown): boolean => ["EMFILE", "ENFILE"].includes(codeOf(error));

/** Codes of file systems that lack a call or do not need it. */
export const UNSUPPORTED: ReadonlySet<string> = new Set(["ENOTSUP", "ENOSYS", "EINVAL", "EOPNOTSUPP"]);

/**
 * How file systems report that they have no unnamed files (some as if the directory were missing), and how sandboxes
 * refuse the call (`EPERM`, `ENOSYS`).
 */
const NO_UNNAMED: ReadonlySet<string> = new Set([...UNSUPPORTED, "EISDIR", "ENOENT", "EPERM"]);

/** Whether an attempt to create an unnamed file failed because there are none here; a named one may then work. */
export const refusesUnnamed = (error: unknown): boolean => NO_UNNAMED.has(codeOf(error));

const PHRASES: { readonly [code: string]: string | undefined } = {
  EACCES: "permission denied",
  EBADF: "bad file descriptor",
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

/** The form of system codes and of the runtimes' own permission codes; matches no application codes, and not `UNKNOWN`. */
const SYSTEM_CODE = /^E[A-Z0-9_]+$/;

/**
 * Wraps a system error. The action completes "Cannot …".
 *
 * Our own errors, and anything that is not a system error (an abort reason, a user's error), pass unchanged.
 */
export function failure(action: string, error: unknown, path?: string): unknown {
  const code = codeOf(error);
  if (error instanceof TempfileError || !SYSTEM_CODE.test(code)) return error;
  // Deno has a class for EINVAL too.
  const isUserError = error instanceof TypeError || error instanceof RangeError;
  if (isUserError && code.startsWith("ERR_")) return error;
  return wrapped(action, code, error as Error, path);
}

/**
 * Words the reason the same on every runtime where the code is known. Otherwise as the error does, but of "EINVAL: invalid
 * argument, write '/x'" and "Invalid argument (os error 22)" only the words.
 */
function wrapped(action: string, code: string, error: Error & { syscall?: string }, path?: string) {
  const why = PHRASES[code] ??
    error.message.replace(/^E\w+: (.*?),.*|^(.*?) \(os.*/, (_, a, b) => a ?? b.toLowerCase());
  return cannot(action, why, code, path, error, error.syscall);
}

/** Creates an error with a reason. The action completes "Cannot …". */
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
 * Wraps the error of a failed `import()` of part of the library: no descriptor was available, or the package has been
 * deleted since. The next call tries again, except on Node 20, which caches the failure.
 *
 * @param part The feature that needs it.
 */
export const notLoaded = (part: string) => (error: Error): never => {
  // Bun gives the system's code only in the message, where Node has it too.
  const code = /^E[A-Z0-9]+\b/.exec(error.message)?.[0] ?? codeOf(error);
  throw wrapped(`load Mayfly's part for ${part}`, code, error);
};

/** What is at a path, for messages. */
export const nameOf = (kind: Kind): string => kind === "other" ? "device, pipe or socket" : kind;

/** A file with or without a path, for messages. */
export const label = (path: string | undefined): string =>
  path === undefined ? "the temporary file" : `"${path}"`;

/** The error for using a closed handle. */
export function closedError(action: string, path?: string): TempfileError {
  return new TempfileError(`Cannot ${action} ${label(path)}: it is closed`, { code: "ERR_CLOSED", path });
}

/** The error for using something while a pending call moves it, or needs it in its place. */
export function busyError(action: string, path: string | undefined, pending = "persist()"): TempfileError {
  return cannot(`${action} "${path}"`, `${pending} is pending`, "EBUSY", path);
}

/** Formats a rejected value for a message: briefly, and without running its code. */
export function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
  if (typeof value === "function") return "a function";
  if (typeof value === "object" && value !== null) {
    // Even this check throws for a revoked Proxy.
    return attempt(() => Array.isArray(value)) ? "an array" : "an object";
  }
  return typeof value === "bigint" ? `${value}n` : String(value);
}

/** The error for an option of the wrong type or content. */
export function invalid(option: string, wanted: string, got: unknown): TypeError {
  return refusal(TypeError, option, wanted, show(got));
}

/** The error for a number out of range. */
export function outOfRange(option: string, wanted: string, got: number): RangeError {
  return refusal(RangeError, option, wanted, got);
}

function refusal(kind: ErrorConstructor, option: string, wanted: string, got: string | number): Error {
  const message = `Option "${option}" must be ${wanted}: got ${got}`;
  return Object.assign(new kind(message), { code: "ERR_INVALID_OPTION" });
}

/** Captures a stack without the frames above a function, where the engine can. */
const { captureStackTrace: capture } = Error as { captureStackTrace?(error: object, above: unknown): void };

/** Errors whose stack is final: when one call of the library passes through another, the inner one decides. */
const trimmed = new WeakSet<object>();

/**
 * Makes the stack of one of our errors begin at the caller of the library instead of inside it: runtimes show ten
 * frames, and we have more than that. The system's error, in `cause`, keeps them. Foreign errors are left alone.
 *
 * @param driver A function on the stack: it and the frames above it are hidden.
 * @param waited Whether something was awaited. The engine may then not know the caller, and the stack stays as it is.
 * @returns The error.
 */
export function fromCaller(error: unknown, driver: unknown, waited = false): unknown {
  const isOurs = error instanceof TempfileError ||
    error instanceof Error && codeOf(error) === "ERR_INVALID_OPTION";
  if (capture === undefined || !isOurs || trimmed.has(error)) return error;
  trimmed.add(error);
  // Reading a stack may need a descriptor, or fail in the application's Error.prepareStackTrace.
  if (waited && outOfDescriptors(error)) return error;
  attempt(() => {
    const before = waited && error.stack;
    capture(error, driver);
    if (before && !/\n\s+at /.test(error.stack ?? "")) error.stack = before;
  });
  return error;
}
