/**
 * A descriptor that another process has passed on.
 *
 * @module
 */
import { cannot, failure, invalid, outOfRange } from "../errors.ts";
import { hold } from "../life/registry.ts";
import { checkOptions } from "../options/checked.ts";
import type { ContentOptions } from "../options/types.ts";
import { fixZero } from "../options/values.ts";
import { type Handle, runtime, type Status } from "../runtime/mod.ts";
import { TemporaryFile } from "./file.ts";
import { OpenFile } from "./open_file.ts";
import { DiskStorage } from "./storage.ts";

/**
 * Takes over an open descriptor passed on by another process, such as that of a {@linkcode temporaryFile} in the
 * `stdio` of a child. The handle has its own cursor, at the start; closing it closes the descriptor.
 *
 * Deno knows descriptors inherited from a parent that runs Deno, and needs `--allow-all` for those of any other. The
 * number itself stays open there until the process ends.
 *
 * @param fd The descriptor of a regular file, open for reading and writing.
 * @throws {TempfileError} `EBADF` if nothing is open there, `EINVAL` for a pipe, a terminal or a directory.
 *
 * @example In the child process
 * ```ts ignore
 * import { fromDescriptor } from "mayfly";
 *
 * using file = fromDescriptor(3);
 * console.log(file.textSync());
 * ```
 */
export function fromDescriptor(fd: number, options?: ContentOptions): TemporaryFile {
  if (typeof fd !== "number") throw invalid("fd", "a descriptor number", fd);
  if (!Number.isInteger(fd) || fd < 0 || fd > 0x7fffffff) throw outOfRange("fd", "a descriptor number", fd);
  const checked = checkOptions("descriptor", options);
  const file = new OpenFile(new DiskStorage(handleOf(fixZero(fd))), checked, 0);
  hold(file);
  return new TemporaryFile(file);
}

function handleOf(fd: number): Handle {
  let kind: Status["kind"];
  let handle: Handle;
  try {
    handle = runtime.fromDescriptor(fd);
    kind = runtime.sync.statusOf(handle).kind;
  } catch (error) {
    throw failure(`use descriptor ${fd}`, error);
  }
  if (kind === "file") return handle;
  throw cannot(`use descriptor ${fd}`, "it is not a regular file", "EINVAL");
}
