/**
 * Showing progress.
 *
 * @module
 */
import type { Host } from "../runtime/cli_host.ts";
import { runtime } from "../runtime/mod.ts";

/** Milliseconds before the first line, and between updates. */
const INTERVAL = 100;

/** Shows the text of `describe`, unless it showed one a moment ago. */
export type Show = (describe: () => string) => void;

/** Runs `work`, which shows its progress in one changing line on standard error if that is a terminal. */
export async function withProgress<T>(host: Host, work: (show: Show) => Promise<T>): Promise<T> {
  let shown = runtime.now(), visible = false;
  const write = (text: string): void => void host.writeError(`\r\x1b[K${text}`);
  try {
    return await work((describe) => {
      const now = runtime.now();
      if (!host.stderrIsTty || now - shown < INTERVAL) return;
      shown = now;
      visible = true;
      write(describe());
    });
  } finally {
    if (visible) write("");
  }
}
