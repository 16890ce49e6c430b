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

/** What Deno has neither a code nor a class for, by the number in its message. Those above 34 are Linux's alone. */
const CODE_OF_NUMBER: ReadonlyMap<number, string> = new Map([
  [3, "ESRCH"],
  [6, "ENXIO"],
  [19, "ENODEV"],
  [23, "ENFILE"],
  [26, "ETXTBSY"],
  [27, "EFBIG"],
  [29, "ESPIPE"],
  [31, "EMLINK"],
  [38, "ENOSYS"],
  [75, "EOVERFLOW"],
  [84, "EILSEQ"],
  [116, "ESTALE"],
  [117, "EUCLEAN"],
  [121, "EREMOTEIO"],
  [122, "EDQUOT"],
]);

/** The code of an error of any runtime; `"UNKNOWN"` if it has none. */
export function systemCode(error: unknown, platform: Runtime["platform"]): string {
  const { code, name, message } = (error ?? {}) as { code?: unknown; name?: string; message?: unknown };
  if (typeof code === "string") return code;
  return CODE_OF_CLASS.get(name) ?? codeOfMessage(message, platform) ?? "UNKNOWN";
}

function codeOfMessage(message: unknown, platform: Runtime["platform"]): string | undefined {
  const found = typeof message === "string" ? /\(os error (\d+)\)/.exec(message) : null;
  const number = Number(found?.[1]);
  return platform === "linux" || (platform !== "windows" && number <= 34)
    ? CODE_OF_NUMBER.get(number)
    : undefined;
}
