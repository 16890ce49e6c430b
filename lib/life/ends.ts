/**
 * The ways a process ends.
 *
 * @module
 */
import { type EndSignal, runtime, type Signals } from "../runtime/mod.ts";
import { settings } from "../settings.ts";

/** Removes everything, and calls `between` between the steps of that. */
type Discard = (between?: () => void) => void;

/** Calls `discard` when the process ends in a way that lets anybody do something about it. Returns how to stop that. */
export function watchEnds(discard: Discard): () => void {
  const { signals } = runtime;
  const names = settings.signals ?? signals.countable ? signals.names() : [];
  const stops = [runtime.onEnd(() => discard()), ...names.map((name) => watchSignal(signals, name, discard))];
  return () => {
    for (const stop of stops) stop();
  };
}

/**
 * Milliseconds in which a signal that comes again is the same one: Ctrl-C is for all programs of the terminal, and
 * `node --watch`, nodemon and others pass it on to theirs.
 */
const ECHO = 500;

/**
 * A signal that somebody else listens to is theirs: they decide whether the process ends. Alone, we do what the signal
 * would have done without us, after removing everything. Our listener goes as soon as a second signal is one, which then
 * ends the process at once, even in the middle of the removal.
 */
function watchSignal(signals: Signals, name: EndSignal, discard: Discard): () => void {
  const stop = signals.listen(name, () => {
    if (signals.others(name) > 0) return;
    const end = runtime.now() + ECHO;
    discard(() => {
      if (runtime.now() > end) stop();
    });
    stop();
    signals.raise(name);
  });
  return stop;
}
