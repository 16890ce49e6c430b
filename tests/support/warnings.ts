/**
 * The warnings of the library.
 *
 * @module
 */

/** A warning of the process, as far as tests examine it. */
export interface Warning {
  name: string;
  message: string;
  code?: string;
  detail?: string;
}

/** Returns the warnings of the library while `action` runs. */
export async function warningsOf(action: () => unknown): Promise<Warning[]> {
  const heard: Warning[] = [];
  const listener = (warning: Warning): void =>
    void (warning.name === "TempfileWarning" && heard.push(warning));
  process.on("warning", listener as (warning: Error) => void);
  try {
    await action();
    // They are emitted on a later turn.
    await new Promise((resolve) => setTimeout(resolve, 20));
  } finally {
    process.off("warning", listener as (warning: Error) => void);
  }
  return heard;
}
