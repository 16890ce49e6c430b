/**
 * Things in no order, put in and taken out at once.
 *
 * @module
 */

/** What can be in a bag, one at a time. */
export interface InBag {
  /** Where it is in its bag, for that alone. */
  slot: number | undefined;
}

/**
 * As a `Set`, of things that know where they are. A `Set` gives each thing a hash, and looks at each removal whether it
 * could do with less room: for a file that is closed at once, a twentieth of its time.
 */
export class Bag<T extends InBag> {
  readonly #things: T[] = [];

  get size(): number {
    return this.#things.length;
  }

  /** Puts in what is in no bag. */
  add(thing: T): void {
    thing.slot = this.#things.length;
    this.#things.push(thing);
  }

  /** Takes out what is in it, or in none. */
  delete(thing: T): void {
    const { slot } = thing;
    if (slot === undefined) return;
    thing.slot = undefined;
    const last = this.#things.pop()!;
    if (last === thing) return;
    this.#things[slot] = last;
    last.slot = slot;
  }

  /** What is in it now. Whoever goes through that may take things out meanwhile. */
  [Symbol.iterator](): IterableIterator<T> {
    return [...this.#things][Symbol.iterator]();
  }
}
