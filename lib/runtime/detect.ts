/**
 * Which runtime this is.
 *
 * @module
 */

/** The globals that identify a runtime. */
export interface Globals {
  Deno?: { version?: { deno?: string } };
  Bun?: { version?: string };
  process?: { getBuiltinModule?: unknown };
}

/**
 * Identifies the runtime by its globals. Deno and Bun come first since both also have `process`; a `Deno` shim in Node
 * has no version. Node and Bun must have `getBuiltinModule`: an import would load Node's layer on Deno too.
 */
export function detect(globals: Globals): "deno" | "bun" | "node" {
  if (globals.Deno?.version?.deno) return "deno";
  if (globals.process?.getBuiltinModule) return globals.Bun?.version ? "bun" : "node";
  throw new Error("Mayfly needs Deno, Bun (1.4 or later) or Node (20.16, 22.3 or later)");
}
