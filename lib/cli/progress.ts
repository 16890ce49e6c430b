/**
 * Showing that something goes on.
 *
 * @module
 */
import type { Host } from "../runtime/cli_host.ts";
import { runtime } from "../runtime/mod.ts";

/** Milliseconds before the first line, and between lines. */
const INTERVAL = 100;

/** A line on standard error that changes, if that is a terminal. */
export class Progress {
  readonly #host: Host;
  #shown = runtime.now();
  #visible = false;

  constructor(host: Host) {
    this.#host = host;
  }

  /** Shows what `describe` says, unless something was shown a moment ago. */
  show(describe: () => string): void {
    const now = runtime.now();
    if (!this.#host.watched || now - this.#shown < INTERVAL) return;
    this.#shown = now;
    this.#visible = true;
    this.#write(`\r\x1b[K${describe()}`);
  }

  /** Takes the line away. */
  end(): void {
    if (this.#visible) this.#write("\r\x1b[K");
  }

  #write(text: string): void {
    void this.#host.writeError(text);
  }
}

/** Does some work that shows how it gets on. By hand: lowered, `using` brings more code than this into the package. */
export async function withProgress<T>(host: Host, work: (progress: Progress) => Promise<T>): Promise<T> {
  const progress = new Progress(host);
  try {
    return await work(progress);
  } finally {
    progress.end();
  }
}
