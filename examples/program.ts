/**
 * Shared by the examples: each can be run as a program, and imported as a module.
 *
 * @module
 */
import { realpathSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { configure } from "mayfly";

/** Runs `command` with the arguments of the process if `module` is the main module. */
export async function runAsProgram(
  module: ImportMeta,
  command: (args: string[]) => Promise<number | void>,
): Promise<void> {
  if (!isProgram(module)) return;
  // Deno needs this to remove everything on Ctrl-C; elsewhere it is the default.
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

/** Whether it is the main module. Node 20 and 22 do not have `import.meta.main`. */
function isProgram(module: ImportMeta): boolean {
  const [, program] = process.argv;
  return (module as { main?: boolean }).main ??
    (program !== undefined && realpathSync(program) === fileURLToPath(module.url));
}
