/**
 * The end of a scope, which has nobody to throw to.
 *
 * @module
 */
import { runtime } from "./runtime/mod.ts";

/** Says that a disposal failed. */
export function warnOfDisposal(error: unknown): void {
  const { message, code } = error as { message: string; code?: string };
  runtime.warn(message, code ?? "MAYFLY_DISPOSAL");
}
