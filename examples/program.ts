/**
 * What the examples have in common: each can be run as a program, and imported.
 *
 * @module
 */
import { realpathSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { configure } from "mayfly";

/** Runs `command` with the arguments of the process if `module` is the program, not something that it imports. */
export async function runAsProgram(
  module: ImportMeta,
  command: (args: string[]) => Promise<number | void>,
): Promise<void> {
  if (!isProgram(module)) return;
  // On Deno signals are left alone unless the application says so: nothing is to be left on Ctrl-C.
  configure({ signals: true });
  const args = process.argv.slice(2);
  try {
    process.exitCode = await command(args) ?? 0;
  } catch (error) {
    const name = fileURLToPath(module.url).replace(/^.*[\\/]|\.\w+$/g, "");
    console.error(`${name}: ${(error as Error).message}`);
    process.exitCode = 1;
  }
}

/** Node 20 and 22 do not say it themselves. */
function isProgram(module: ImportMeta): boolean {
  const [, program] = process.argv;
  return (module as { main?: boolean }).main ??
    (program !== undefined && realpathSync(program) === fileURLToPath(module.url));
}
