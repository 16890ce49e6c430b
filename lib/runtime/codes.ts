/**
 * POSIX codes for errors that runtimes report in other ways.
 *
 * @module
 */
import type { Runtime } from "./types.ts";

/** Deno's error classes that carry no code of their own. */
const CODE_OF_CLASS: ReadonlyMap<string | undefined, string> = new Map(Object.entries({
  NotCapable: "ERR_ACCESS_DENIED",
  PermissionDenied: "EACCES",
  NotFound: "ENOENT",
  AlreadyExists: "EEXIST",
  Busy: "EBUSY",
  BadResource: "EBADF",
  Interrupted: "EINTR",
  WouldBlock: "EAGAIN",
  FilesystemLoop: "ELOOP",
  IsADirectory: "EISDIR",
  NotADirectory: "ENOTDIR",
  NotSupported: "ENOTSUP",
}));

/**
 * Codes by error number, for errors that have no code and no class on Deno, which has the number in the message, and no
 * name on Node, which has it in `errno`. Numbers above 34 are specific to Linux.
 */
const CODE_OF_NUMBER: { readonly [number: number]: string } = {
  3: "ESRCH",
  6: "ENXIO",
  19: "ENODEV",
  23: "ENFILE",
  26: "ETXTBSY",
  27: "EFBIG",
  29: "ESPIPE",
  31: "EMLINK",
  37: "ENOLCK",
  38: "ENOSYS",
  74: "EBADMSG",
  75: "EOVERFLOW",
  84: "EILSEQ",
  116: "ESTALE",
  117: "EUCLEAN",
  121: "EREMOTEIO",
  122: "EDQUOT",
  126: "ENOKEY",
};

/** The codes that Node gives errors it has no name for: one in blocking calls, the other in calls on its pool. */
const NAMELESS = /^unknown/i;

/** Creates an error in the form of a system error. */
export const coded = (code: string, message: string, more?: { syscall: string }): Error =>
  Object.assign(new Error(message), { code, ...more });

/** Returns the code of an error of any runtime; `"UNKNOWN"` if it has none. */
export function systemCode(error: unknown, platform: Runtime["platform"]): string {
  const { code, errno, name, message } = (error ?? {}) as {
    code?: unknown;
    errno?: number;
    name?: string;
    message?: unknown;
  };
  if (typeof code === "string" && !NAMELESS.test(code)) return code;
  const number = errno === undefined ? numberIn(message) : -errno;
  return CODE_OF_CLASS.get(name) ?? codeOfNumber(number, platform) ?? "UNKNOWN";
}

function numberIn(message: unknown): number {
  const found = typeof message === "string" ? /\(os error (\d+)\)/.exec(message) : null;
  return Number(found?.[1]);
}

function codeOfNumber(number: number, platform: Runtime["platform"]): string | undefined {
  return platform === "linux" || (platform !== "windows" && number <= 34)
    ? CODE_OF_NUMBER[number]
    : undefined;
}
