/**
 * How a handle looks when it is printed.
 *
 * @module
 */

/** The symbols by which `console.log` of Node and Bun, and of Deno, asks. */
const SYMBOLS = [Symbol.for("nodejs.util.inspect.custom"), Symbol.for("Deno.customInspect")];

/** Lets the instances of a class be printed as `describe` says. */
export function printAs<T>(type: { prototype: T }, describe: (instance: T) => string): void {
  for (const symbol of SYMBOLS) {
    Object.defineProperty(type.prototype, symbol, {
      value(this: T): string {
        return describe(this);
      },
    });
  }
}
