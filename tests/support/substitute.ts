/**
 * A runtime that records what the library does with it, and fails or lies where a test wants it to. Only for the source:
 * the built package has a runtime of its own.
 *
 * @module
 */
import { namedTemporaryFileSync } from "../../lib/file/named.ts";
import { type Primitives, type Runtime, runtime, substituteRuntime } from "../../lib/runtime/mod.ts";

/** One call of a primitive. */
export interface Call {
  name: keyof Primitives;
  args: unknown[];
}

type Real = (...args: unknown[]) => unknown;

/** Replaces a primitive, blocking and pooled: receives the real call and the arguments. */
export type Stub = (real: Real, ...args: never[]) => unknown;

/** Changes the answer of a real call, which is a promise on the pool, where calls on a slow device go. */
export function changed<T>(answer: unknown, change: (value: T) => unknown): unknown {
  return answer instanceof Promise ? answer.then(change) : change(answer as T);
}

/** The differences from the real runtime. */
export interface Changes {
  primitives?: { [name in keyof Primitives]?: Stub };
  runtime?: Partial<Omit<Runtime, "sync" | "pooled">>;
}

/** The substitute, until the end of the scope. */
export interface Substitute extends Disposable {
  /** All calls of primitives, in order. */
  calls: Call[];
  /** The arguments of the calls of one primitive. */
  of(name: keyof Primitives): unknown[][];
}

/** Installs a runtime that records its calls. */
export function substitute({ primitives = {}, runtime: other = {} }: Changes = {}): Substitute {
  const calls: Call[] = [];
  const variant = <F extends object>(real: F, wrap: (call: () => unknown) => unknown): F =>
    Object.fromEntries(
      Object.entries(real).map(([name, call]) => [name, (...args: unknown[]) => {
        calls.push({ name: name as keyof Primitives, args });
        const stub = primitives[name as keyof Primitives] as Stub | undefined;
        return wrap(() => stub === undefined ? call(...args) : stub(call, ...args as never[]));
      }]),
    ) as F;
  const undo = substituteRuntime({
    ...runtime,
    ...other,
    sync: variant(runtime.sync, (call) => call()),
    pooled: variant(runtime.pooled, (call) => new Promise((resolve) => resolve(call()))),
  });
  return {
    calls,
    of: (name) => calls.filter((call) => call.name === name).map(({ args }) => args),
    [Symbol.dispose]: undo,
  };
}

/** Stubs of all primitives that run an action before each real call. */
export function beforeEachCall(
  action: (name: string, ...args: unknown[]) => void,
): NonNullable<Changes["primitives"]> {
  return Object.fromEntries(
    Object.keys(runtime.sync).map((name) => [name, (real: Real, ...args: unknown[]) => {
      action(name, ...args);
      return real(...args);
    }]),
  );
}

/**
 * Creates a named file, and with it the lease of the process, until the end of the scope: what the library creates for
 * itself then exists already, and every creation is one that the test requested.
 */
export const heldLease = (): Disposable => namedTemporaryFileSync();

/** Creates an error as a system call returns it. */
export function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: injected`), { code });
}

/** A random source that always returns the same byte. */
export const constantBytes = (byte: number) => (bytes: Uint8Array): void => void bytes.fill(byte);

/** A random source that fills its pools with the bytes given, one each, and after them with random ones. */
export function bytesInTurn(...fillings: number[]): (bytes: Uint8Array<ArrayBuffer>) => void {
  return (bytes) => {
    const filling = fillings.shift();
    if (filling === undefined) crypto.getRandomValues(bytes);
    else bytes.fill(filling);
  };
}

/** Makes a POSIX system look like Windows: its separators are accepted, and what it lacks is missing. */
export function asWindows({ primitives = {}, runtime: other = {} }: Changes = {}): Changes {
  const posix = (arg: unknown): unknown => typeof arg === "string" ? arg.replaceAll("\\", "/") : arg;
  const stubs = Object.keys(runtime.sync).map((name) => {
    const stub = primitives[name as keyof Primitives] ?? ((real: Real, ...args: never[]) => real(...args));
    return [name, (real: Real, ...args: never[]) => stub((...args) => real(...args.map(posix)), ...args)];
  });
  return {
    primitives: Object.fromEntries(stubs),
    runtime: {
      platform: "windows",
      linkDescriptor: undefined,
      anchor: () => undefined,
      sleep() {},
      ...other,
    },
  };
}
