/**
 * What the adapters have in common about signals.
 *
 * @module
 */
import type { EndSignal } from "./types.ts";

/** The numbers of the signals a process can be asked to end with. */
export const SIGNAL_NUMBERS: { readonly [name in EndSignal]: number } = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 };

/** The signals a process can be asked to end with. */
export const END_SIGNALS = Object.keys(SIGNAL_NUMBERS) as readonly EndSignal[];

/**
 * The signals that would end this process, asked for once. Not those that its parent had it ignore, as `nohup` does, and
 * a shell for what it runs in the background: listening to one of these, to raise it again, would end a process that is
 * to survive it.
 *
 * @param readStatus Reads `/proc/self/status`, where the platform has it.
 */
export function heeded(readStatus: () => string): () => readonly EndSignal[] {
  let names: readonly EndSignal[] | undefined;
  return () => names ??= withoutIgnored(ignoredSignals(readStatus));
}

function withoutIgnored(mask: number): readonly EndSignal[] {
  return END_SIGNALS.filter((name) => (mask >> (SIGNAL_NUMBERS[name] - 1) & 1) === 0);
}

/** A bit for each of the lower 16 signals that is ignored; none where nobody can tell. */
function ignoredSignals(readStatus: () => string): number {
  try {
    const mask = /^SigIgn:\s*[0-9a-f]*([0-9a-f]{4})$/m.exec(readStatus());
    return mask === null ? 0 : parseInt(mask[1], 16);
  } catch {
    return 0;
  }
}
