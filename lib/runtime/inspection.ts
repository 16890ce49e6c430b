/**
 * How `console.log` finds out what an object looks like.
 *
 * @module
 */

/** The symbols of the method that it calls: that of Node and Bun, and that of Deno. */
export const INSPECTIONS: readonly symbol[] = [
  Symbol.for("nodejs.util.inspect.custom"),
  Symbol.for("Deno.customInspect"),
];
