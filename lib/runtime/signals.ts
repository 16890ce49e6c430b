/**
 * What the adapters have in common about signals.
 *
 * @module
 */
import { attempt } from "./ask.ts";
import type { EndSignal } from "./types.ts";

/** The numbers of the signals a process can be asked to end with. */
export const SIGNAL_NUMBERS: { readonly [name in EndSignal]: number } = {
  SIGINT: 2,
  SIGTERM: 15,
  SIGHUP: 1,
  SIGBREAK: 21,
};

/** The signals a process can be asked to end with. */
const END_SIGNALS = Object.keys(SIGNAL_NUMBERS) as readonly EndSignal[];

/** The number of the first process of a container. */
const FIRST = 1;

/**
 * The signals that would end a process. None would end the first one of a container: the kernel keeps from it what it
 * does not listen to, and what it raises. It would live on with everything removed. Ctrl-Break is of Windows alone.
 */
export const endSignals = (pid: number, windows: boolean): readonly EndSignal[] =>
  END_SIGNALS.filter((name) => pid !== FIRST && (windows || name !== "SIGBREAK"));

/**
 * Those of the signals that its parent did not have it ignore, as `nohup` does, and a shell for what it runs in the
 * background: listening to one of these, to raise it again, would end a process that is to survive it.
 *
 * @param readStatus Reads `/proc/self/status`, where the platform has it.
 */
export function heeded(signals: readonly EndSignal[], readStatus: () => string): readonly EndSignal[] {
  // A bit for each of the lower 16 signals that is ignored; none where nobody can tell.
  const [, ignored = "0"] = /^SigIgn:\s*[0-9a-f]*([0-9a-f]{4})$/m.exec(attempt(readStatus) ?? "") ?? [];
  const mask = parseInt(ignored, 16);
  return signals.filter((name) => (mask >> (SIGNAL_NUMBERS[name] - 1) & 1) === 0);
}
