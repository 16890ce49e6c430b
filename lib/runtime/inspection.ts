/**
 * How `console.log` asks an object what it looks like.
 *
 * @module
 */

/** The symbols under which it looks for a method: those of Node and Bun, and of Deno. */
export const INSPECTIONS: readonly symbol[] = [
  Symbol.for("nodejs.util.inspect.custom"),
  Symbol.for("Deno.customInspect"),
];
