/**
 * Operations that are broken off between two calls, as by the death of their process.
 *
 * @module
 */
import type { Op } from "../../lib/op.ts";
import { isWindows } from "./platform.ts";

/** A number, or a file of Deno's own. */
const mayBeHandle = (answer: unknown): boolean =>
  typeof answer === "number" || (typeof answer === "object" && answer !== null && "file" in answer);

/**
 * Closes what an operation has open that is never gone on with. A process that dies closes all it has open, and on Windows
 * what is open could not be removed by anybody; elsewhere that is no matter, and nothing is done.
 *
 * @param answer What its last call has given.
 */
export function closeBrokenOff(op: Op<unknown>, answer: unknown): void {
  if (!isWindows) return;
  // Only the operation can tell whether a number is a descriptor: its next call looks into what that is of, or closes it.
  while (mayBeHandle(answer)) answer = op.next(answer).value;
  (answer as { close?(): void } | undefined)?.close?.();
  for (let step = op.return(undefined); step.done !== true;) step = op.next(step.value);
}
