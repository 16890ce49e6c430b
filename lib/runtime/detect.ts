/**
 * Which runtime this is.
 *
 * @module
 */

/** The names by which a runtime is told. */
export interface Globals {
  Deno?: { version?: { deno?: string } };
  Bun?: { version?: string };
  process?: { versions?: { node?: string } };
}

/**
 * Tells the runtime from its globals. Deno and Bun come first since both also have `process`; a `Deno` shim in Node
 * has no version.
 */
export function detect(globals: Globals): "deno" | "bun" | "node" {
  if (typeof globals.Deno?.version?.deno === "string") return "deno";
  if (typeof globals.Bun?.version === "string") return "bun";
  if (typeof globals.process?.versions?.node === "string") return "node";
  throw new Error("Mayfly needs Deno, Bun or Node");
}
