/**
 * Which runtime this is.
 *
 * @module
 */

/** The names by which a runtime is told. */
export interface Globals {
  Deno?: { version?: { deno?: string } };
  Bun?: { version?: string };
  process?: { getBuiltinModule?: unknown };
}

/**
 * Tells the runtime from its globals. Deno and Bun come first since both also have `process`; a `Deno` shim in Node
 * has no version. Node is told by what its modules are got with: an import would load Node's layer on Deno too.
 */
export function detect(globals: Globals): "deno" | "bun" | "node" {
  if (globals.Deno?.version?.deno) return "deno";
  if (globals.Bun?.version) return "bun";
  if (globals.process?.getBuiltinModule) return "node";
  throw new Error("Mayfly needs Deno, Bun or Node (20.16, 22.3 or later)");
}
