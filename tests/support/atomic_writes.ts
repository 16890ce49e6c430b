/**
 * `writeFileAtomic()` and its twin, of the library under test and of its source.
 *
 * @module
 */
import { writeFileAtomic, type WriteFileAtomicOptions, writeFileAtomicSync } from "#mod";
import {
  writeFileAtomic as sourceAtomic,
  writeFileAtomicSync as sourceAtomicSync,
} from "../../lib/persist/write_file_atomic.ts";

/** A function that writes a file. */
export type Write = (
  path: string | URL,
  data: string | Uint8Array,
  options?: WriteFileAtomicOptions,
) => Promise<void>;

/** Makes a blocking call look like an asynchronous one. */
export const later = (call: () => void): Promise<void> => new Promise((resolve) => resolve(call()));

/** The asynchronous and the synchronous function. */
export const variants: { readonly [name: string]: Write } = {
  "async": writeFileAtomic,
  "sync": (path, data, options) => later(() => writeFileAtomicSync(path, data, options)),
};

/** The same functions from the library's source, where primitives can be substituted. */
export const sourceVariants: { readonly [name: string]: Write } = {
  "async": sourceAtomic,
  "sync": (path, data, options) => later(() => sourceAtomicSync(path, data, options)),
};
