/**
 * How a handle is printed.
 *
 * @module
 */
import { INSPECTIONS } from "./runtime/mod.ts";

/**
 * Makes instances of a class print with a name and the values of some properties. Called from the constructor: at the
 * top of a module it would keep bundlers from dropping an unused class. Pass `new.target` there, as a class that refers
 * to itself by name is renamed in the package.
 */
export function printAs<T extends object>(
  type: { prototype: T },
  name: string,
  ...shown: (keyof T & string)[]
): void {
  if (Object.hasOwn(type.prototype, INSPECTIONS[0])) return;
  for (const symbol of INSPECTIONS) {
    // Does not throw if the application has frozen the prototype.
    Reflect.defineProperty(type.prototype, symbol, {
      value(this: T): string {
        // Some runtimes also call this for the prototype when it is printed itself; it has no values.
        if (Object.hasOwn(this, "constructor")) return `${this.constructor.name} {}`;
        return `${name} { ${shown.map((key) => `${key}: ${JSON.stringify(this[key])}`).join(", ")} }`;
      },
    });
  }
}
