/**
 * Listening for the end of the process: by return, exit or an uncaught error, and by signals without other listeners.
 *
 * @module
 */
import { type EndSignal, runtime, type Signals } from "../runtime/mod.ts";
import { settings } from "../settings.ts";

/** Removes everything, calling `between` between its steps. */
type Discard = (between?: () => void) => void;

/** Calls `discard` when the process ends in any way that lets code run. Returns a function that stops listening. */
export function watchEnds(discard: Discard): () => void {
  const { signals } = runtime;
  const names = settings.signals ?? signals.countable ? signals.names() : [];
  const stops = [runtime.onEnd(() => discard()), ...names.map((name) => watchSignal(signals, name, discard))];
  return () => {
    for (const stop of stops) stop();
  };
}

/**
 * Milliseconds in which a repeated signal is the same one: Ctrl-C reaches all programs of the terminal, and
 * `node --watch`, nodemon and others also forward it to their children.
 */
const REPEAT = 500;

/**
 * A signal with other listeners is left to them: they decide whether the process ends. Otherwise we remove everything,
 * then do what the signal would have done without us. Our listener goes as soon as a repetition counts as a second
 * signal, which then ends the process at once, even in the middle of the removal.
 */
function watchSignal(signals: Signals, name: EndSignal, discard: Discard): () => void {
  const stop = signals.listen(name, () => {
    if (signals.others(name) > 0) return;
    const end = runtime.now() + REPEAT;
    discard(() => {
      if (runtime.now() > end) stop();
    });
    stop();
    signals.raise(name);
  });
  return stop;
}
