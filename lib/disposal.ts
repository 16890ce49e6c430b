/**
 * Errors at the end of a scope, which cannot be thrown to anyone.
 *
 * @module
 */
import { runtime } from "./runtime/mod.ts";

/** Warns that a disposal failed. */
export function warnOfDisposal(error: unknown): void {
  const { message, code } = error as { message: string; code?: string };
  runtime.warn(message, code ?? "MAYFLY_DISPOSAL");
}
