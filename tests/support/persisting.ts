/**
 * Files to persist, and what that creates.
 *
 * @module
 */
import { dirname } from "node:path";
import type { SpooledOptions } from "#mod";
import { spooledTemporaryFile as sourceSpooled } from "../../lib/file/spooled.ts";
import type { Scratch } from "./scratch.ts";
import type { Substitute } from "./substitute.ts";

/** Large enough for an unnamed file to be linked rather than copied. */
export const BIG = 5 * 1024 ** 2;

/** Creates a spooled file that stays in memory, with the library's source, where primitives can be substituted. */
export const inMemory = (options: SpooledOptions) => sourceSpooled({ maxMemory: 2 * BIG, ...options });

/** Returns the files that were created in a directory. A lease may be created elsewhere at any time. */
export function createdIn({ path }: Scratch, watched: Substitute): string[] {
  return watched.of("createFile").map(([created]) => created as string).filter((file) =>
    dirname(file) === path
  );
}
