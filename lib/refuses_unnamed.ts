/**
 * How file systems say that they have no files without names.
 *
 * @module
 */
import { codeOf } from "./errors.ts";

/** A directory that is missing says the same as one of them. */
const REFUSALS: ReadonlySet<string> = new Set(["EOPNOTSUPP", "ENOTSUP", "EISDIR", "ENOENT", "EINVAL"]);

/** Whether an attempt to create without a name has failed because there is no such thing; then a name may do. */
export const refusesUnnamed = (error: unknown): boolean => REFUSALS.has(codeOf(error));
