/**
 * One program for both variants of the functions: in the synchronous one, each name resolves to its "…Sync" twin.
 *
 * @module
 */
import type { Library } from "../support/library.ts";
import type { AnyVariant } from "./scenarios.ts";

/** A class of handles, known by its prototype. */
interface Handles {
  readonly name: string;
  readonly prototype: object;
}

const isClass = (value: unknown): value is Handles =>
  typeof value === "function" && /^class\b/.test(Function.prototype.toString.call(value));

const shown = (key: PropertyKey): string => typeof key === "symbol" ? `[${key.description}]` : String(key);

/** Returns everything that a caller can call: functions, and the methods and properties of the handles that they return. */
export function publicNames(library: Library): string[] {
  const entries: [string, unknown][] = Object.entries(library);
  return entries.flatMap(([name, value]) => {
    if (!isClass(value)) return [name];
    const members = Reflect.ownKeys(value.prototype).filter((key) => key !== "constructor");
    return members.map((key) => `${name}.${shown(key)}`);
  });
}

/** Wraps the library or a handle, so that all calls use one variant of the functions, and records what is called. */
export class Variant {
  readonly #blocking: boolean;
  readonly #called: Set<string>;
  readonly #classes: [name: string, of: Handles][];

  constructor(library: Library, blocking: boolean, called: Set<string>) {
    this.#blocking = blocking;
    this.#called = called;
    const entries: [string, unknown][] = Object.entries(library);
    this.#classes = entries.flatMap(([name, value]) => isClass(value) ? [[name, value]] : []);
  }

  of(target: object): AnyVariant {
    return new Proxy(target, {
      get: (_, key) => {
        const name = this.#twin(target, key);
        this.#note(target, name);
        const value = Reflect.get(target, name, target);
        if (typeof value !== "function") return value;
        return (...args: unknown[]) => this.#wrapped(value.apply(target, args));
      },
    });
  }

  #twin(target: object, key: PropertyKey): PropertyKey {
    if (!this.#blocking) return key;
    const twin = key === Symbol.asyncDispose ? Symbol.dispose : `${String(key)}Sync`;
    return twin in target ? twin : key;
  }

  #note(target: object, key: PropertyKey): void {
    let owner: object | null = target;
    while (owner !== null && !Object.hasOwn(owner, key)) owner = Object.getPrototypeOf(owner);
    const of = this.#classes.find(([, { prototype }]) => prototype === owner);
    this.#called.add(of === undefined ? shown(key) : `${of[0]}.${shown(key)}`);
  }

  #wrapped(value: unknown): unknown {
    if (value instanceof Promise) return value.then((result) => this.#wrapped(result));
    const isHandle = this.#classes.some(([, of]) => value instanceof (of as never as typeof Object));
    return isHandle ? this.of(value as object) : value;
  }
}
