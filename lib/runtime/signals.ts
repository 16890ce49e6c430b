/**
 * What the adapters share about signals.
 *
 * @module
 */
import { attempt } from "./attempt.ts";
import type { EndSignal } from "./types.ts";

/** The numbers of the signals that ask a process to end. */
export const SIGNAL_NUMBERS: { readonly [name in EndSignal]: number } = {
  SIGINT: 2,
  SIGTERM: 15,
  SIGHUP: 1,
  SIGBREAK: 21,
};

/** The signals that ask a process to end. */
const END_SIGNALS = Object.keys(SIGNAL_NUMBERS) as readonly EndSignal[];

/** The PID of the first process of a container. */
const INIT_PID = 1;

/**
 * Returns the signals that would end a process. None would end the first process of a container: the kernel drops what
 * that process does not listen to, even if it raises it itself, so it would live on with everything removed. Ctrl-Break
 * exists only on Windows.
 */
export const endSignals = (pid: number, windows: boolean): readonly EndSignal[] =>
  END_SIGNALS.filter((name) => pid !== INIT_PID && (windows || name !== "SIGBREAK"));

/**
 * Returns the signals that the parent did not set to be ignored, as `nohup` does, and a shell for what it runs in the
 * background. Listening to one of those, and raising it again, would end a process that is meant to survive it.
 *
 * @param readStatus Reads `/proc/self/status`, if the platform has it.
 */
export function notIgnored(signals: readonly EndSignal[], readStatus: () => string): readonly EndSignal[] {
  // One bit for each ignored signal among the lowest 16; none if it cannot be determined.
  const [, ignored = "0"] = /^SigIgn:\s*[0-9a-f]*([0-9a-f]{4})$/m.exec(attempt(readStatus) ?? "") ?? [];
  const mask = parseInt(ignored, 16);
  return signals.filter((name) => (mask >> (SIGNAL_NUMBERS[name] - 1) & 1) === 0);
}
