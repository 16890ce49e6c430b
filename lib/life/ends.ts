/**
 * The ways a process ends.
 *
 * @module
 */
import { type EndSignal, runtime, type Signals } from "../runtime/mod.ts";
import { settings } from "../settings.ts";

/** Calls `discard` when the process ends in a way that lets anybody do something about it. Returns how to stop that. */
export function watchEnds(discard: () => void): () => void {
  const { signals } = runtime;
  const names = settings.signals ?? signals.countable ? signals.names() : [];
  const stops = [runtime.onEnd(discard), ...names.map((name) => watchSignal(signals, name, discard))];
  return () => {
    for (const stop of stops) stop();
  };
}

/**
 * A signal that somebody else listens to is theirs: they decide whether the process ends. Alone, we do what the signal
 * would have done without us, after removing everything. Our listener goes first, so that a second signal ends the
 * process at once, even in the middle of the removal.
 */
function watchSignal(signals: Signals, name: EndSignal, discard: () => void): () => void {
  const stop = signals.listen(name, () => {
    if (signals.others(name) > 0) return;
    stop();
    discard();
    signals.raise(name);
  });
  return stop;
}
