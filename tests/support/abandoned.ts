/**
 * Operations that are abandoned between two calls, as by the death of their process.
 *
 * @module
 */
import type { Op } from "../../lib/operation/op.ts";
import { isWindows } from "./platform.ts";

/** Accepts a number, or a file of Deno's own. */
const mayBeHandle = (answer: unknown): boolean =>
  typeof answer === "number" || (typeof answer === "object" && answer !== null && "file" in answer);

/**
 * Closes what an abandoned operation has open. A dying process closes everything it has open, and on Windows nobody could
 * remove what is open; elsewhere it does not matter, and nothing is done.
 *
 * @param answer The result of its last call.
 */
export function closeAbandoned(op: Op<unknown>, answer: unknown): void {
  if (!isWindows) return;
  // Only the operation knows whether a number is a descriptor: its next call examines what that is open on, or closes it.
  while (mayBeHandle(answer)) answer = op.next(answer).value;
  (answer as { close?(): void } | undefined)?.close?.();
  for (let step = op.return(undefined); step.done !== true;) step = op.next(step.value);
}
