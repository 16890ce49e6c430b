/**
 * The codes of errors, where runtimes say them in other ways.
 *
 * @module
 */
import type { Runtime } from "./types.ts";

/** The error classes of Deno that carry no code of their own. */
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
 * What Deno has neither a code nor a class for, by the number in its message, and Node has no name for, by the number it
 * gives. Those above 34 are Linux's alone.
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

/** What Node calls errors that it has no name for: one in calls that block, the other in those on its pool. */
const NAMELESS = /^unknown/i;

/** An error as systems have them. */
export const coded = (code: string, message: string, more?: { syscall: string }): Error =>
  Object.assign(new Error(message), { code, ...more });

/** The code of an error of any runtime; `"UNKNOWN"` if it has none. */
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
