/**
 * The command line in this process, on a host that records what it is given to print.
 *
 * @module
 */
import { main } from "../../lib/cli/main.ts";
import { cliHost, type Host } from "../../lib/runtime/cli_host.ts";
import { configure } from "../../lib/settings.ts";
import { type Scratch, scratch } from "./scratch.ts";

/** Runs a command line in this process, and returns its outcome. */
export async function runInProcess(
  args: string[],
  changes: Partial<Host> = {},
): Promise<{ status: number | undefined; stdout: string; stderr: string }> {
  let status: number | undefined, stdout = "", stderr = "";
  const append = (add: (text: string) => void) => (text: string): Promise<void> => Promise.resolve(add(text));
  await main({
    ...cliHost(globalThis),
    columns: undefined,
    stderrIsTty: false,
    args,
    write: append((text) => stdout += text),
    writeError: append((text) => stderr += text),
    setStatus: (number) => void (status = number),
    ...changes,
  });
  return { status, stdout, stderr };
}

/** The same in a temporary directory of its own. */
export interface Place extends Scratch {
  said(...args: string[]): ReturnType<typeof runInProcess>;
}

/** Makes such a directory the temporary directory, until the end of the scope. */
export function place(): Place {
  const made = scratch();
  configure({ tmpdir: made.path });
  return {
    ...made,
    said: (...args) => runInProcess(args),
    [Symbol.dispose]() {
      configure({ tmpdir: undefined });
      made[Symbol.dispose]();
    },
  };
}
