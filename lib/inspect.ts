/**
 * How a handle looks when it is printed.
 *
 * @module
 */
import { INSPECTIONS } from "./runtime/mod.ts";

/**
 * Lets the instances of a class be printed as `describe` says. For its constructor: done at the top of a module, it would
 * keep bundlers from leaving out a class that nobody uses. There `new.target` is the class: one whose own body names it has
 * another name in the package.
 */
export function printAs<T extends object>(type: { prototype: T }, describe: (instance: T) => string): void {
  if (Object.hasOwn(type.prototype, INSPECTIONS[0])) return;
  for (const symbol of INSPECTIONS) {
    Object.defineProperty(type.prototype, symbol, {
      value(this: T): string {
        // Some runtimes ask the prototype too when it is printed itself, and that has nothing to describe.
        return Object.hasOwn(this, "constructor") ? `${this.constructor.name} {}` : describe(this);
      },
    });
  }
}
