import assert from "node:assert/strict";
import { closeSync, mkdirSync, openSync, readdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import * as m from "../../mod.ts";
import {
  type Hostile,
  LATE,
  type Right,
  rightFor,
  SELF_WILLED,
  VALUES,
  valuesFor,
} from "../support/hostile.ts";
import { leasesIn } from "../support/leases.ts";
import { oncePerKind, packageTest as test } from "../support/once.ts";
import { noLocks } from "../support/platform.ts";
import { memory, scratch } from "../support/scratch.ts";
import { type Substitute, substitute } from "../support/substitute.ts";
import { type Input, inputs } from "../support/surface.ts";

// deno-lint-ignore no-explicit-any -- every function is called by its name
type Any = any;

/** Exports that callers pass no values to. */
const INTERNAL = ["new TempfileError"];

/** Creates the handle that a method is called on. */
const RECEIVERS: { readonly [name: string]: (dir: string) => Any } = {
  TemporaryFile: (dir) => filled(m.temporaryFileSync({ dir })),
  NamedTemporaryFile: (dir) => filled(m.namedTemporaryFileSync({ dir })),
  SpooledTemporaryFile: (dir) => filled(m.spooledTemporaryFile({ dir })),
  TemporaryDirectory: (dir) => m.temporaryDirectorySync({ dir }),
};

function filled<F extends m.TemporaryFile>(file: F): F {
  file.writeSync("contents");
  return file;
}

let counter = 0;
const fresh = (dir: string): string => join(dir, `new-${counter++}`);

/** The directory for what exists before a call, apart from what the call may create. */
const EXISTING = "given";

function existingFile(dir: string): string {
  const path = fresh(join(dir, EXISTING));
  writeFileSync(path, "contents");
  return path;
}

function existingDirectory(dir: string): string {
  const path = fresh(join(dir, EXISTING));
  mkdirSync(path);
  return path;
}

/** Valid arguments, for calls that need any. */
const ARGUMENTS: { readonly [of: string]: (dir: string) => unknown[] } = {
  "TemporaryFile.write": () => ["x"],
  "TemporaryFile.writeSync": () => ["x"],
  "TemporaryFile.readInto": () => [new Uint8Array(4)],
  "TemporaryFile.readIntoSync": () => [new Uint8Array(4)],
  "TemporaryFile.seek": () => [0],
  "TemporaryFile.seekSync": () => [0],
  "TemporaryFile.persist": (dir) => [fresh(dir)],
  "TemporaryFile.persistSync": (dir) => [fresh(dir)],
  "TemporaryDirectory.persist": (dir) => [fresh(dir)],
  "TemporaryDirectory.persistSync": (dir) => [fresh(dir)],
  "adoptFile": (dir) => [existingFile(dir)],
  "adoptFileSync": (dir) => [existingFile(dir)],
  "adoptDirectory": (dir) => [existingDirectory(dir)],
  "adoptDirectorySync": (dir) => [existingDirectory(dir)],
  "fromDescriptor": (dir) => [openSync(existingFile(dir), "r+")],
  "writeFileAtomic": (dir) => [fresh(dir), "x"],
  "writeFileAtomicSync": (dir) => [fresh(dir), "x"],
  "watchSpace": () => [{ minFree: 1 }, () => {}],
  "sweep": (dir) => [{ olderThan: 1e13, prefix: "no-such-prefix-", dir }],
};

/** Further requirements of some functions. */
const EXTRA_CHECKS: { readonly [input: string]: Right } = {
  // Every name begins with the empty string.
  "sweep prefix": (value) => value !== "",
  // At least one floor must be given.
  "watchSpace options": (_, title) => SELF_WILLED.includes(title),
};

function isRight(input: Input, { make, title }: Hostile): boolean {
  const right = rightFor(input), more = EXTRA_CHECKS[`${input.of} ${input.name}`] ?? (() => true);
  return right !== undefined && right(make(), title) && more(make(), title);
}

/** Returns valid arguments, with one replaced. */
function argumentsWith({ of, name, index, isOption }: Input, { make }: Hostile, dir: string): unknown[] {
  const args: unknown[] = ARGUMENTS[of]?.(dir) ?? [];
  args[index] = isOption ? { ...args[index] as object, [name]: make() } : make();
  return args;
}

function invoke(of: string, receiver: Any, args: unknown[]): unknown {
  const [owner, method] = of.split(".");
  return method === undefined ? (m as Any)[owner](...args) : receiver[method](...args);
}

/** Returns the error of a call; undefined if there was none. An asynchronous function must reject, not throw. */
async function errorOf({ of, isAsync }: Input, receiver: Any, args: unknown[]): Promise<Any> {
  let answer: unknown;
  try {
    answer = invoke(of, receiver, args);
  } catch (error) {
    assert.ok(!isAsync, `${of} throws where it should reject: ${error}`);
    return error;
  }
  try {
    await closeResult(await answer);
    return undefined;
  } catch (error) {
    return error;
  }
}

/** Closes what a call has opened. What is on disk is removed with the scratch directory. */
async function closeResult(made: Any): Promise<void> {
  if (typeof made !== "object" || made === null) return;
  if (Symbol.asyncDispose in made) return await made[Symbol.asyncDispose]();
  if (Symbol.dispose in made) return made[Symbol.dispose]();
  await made.return?.();
  await made.cancel?.();
  if (typeof made.fd === "number") closeSync(made.fd);
}

const receiverFor = ({ of }: Input, dir: string): Any => RECEIVERS[of.split(".")[0]]?.(dir);

/** Asserts that a call is refused before any system call, with an error that names the option. */
async function refuse(
  input: Input,
  hostile: Hostile,
  receiver: Any,
  dir: string,
  watched: Substitute,
): Promise<void> {
  const args = argumentsWith(input, hostile, dir);
  watched.calls.length = 0;
  const error = await errorOf(input, receiver, args);
  const isLate = input.type === "Data | Source" && LATE.includes(hostile.title);
  if (!isLate) assert.deepEqual(watched.calls, [], "no system call");
  if (input.of === "fromDescriptor" && input.name !== "fd") closeSync(args[0] as number);
  assert.ok(error instanceof TypeError || error instanceof RangeError, `${error ?? "no error"}`);
  assert.equal((error as Any).code, "ERR_INVALID_OPTION", error.stack);
  assert.ok(error.message.startsWith(`Option "${input.name}" must be `), error.message);
}

/** Asserts that a call with a valid value succeeds, or fails for another reason than the value. */
async function accept(input: Input, hostile: Hostile, dir: string): Promise<void> {
  await using receiver = receiverFor(input, dir);
  const error = await errorOf(input, receiver, argumentsWith(input, hostile, dir));
  if (error === undefined || SELF_WILLED.includes(hostile.title) || error.name === "AbortError") return;
  // A method of the value, such as `delete` of a Map, is taken for the option of that name.
  if (input.name === "options" && /^Option "(at|delete)" must be .+ got a function$/.test(error.message)) {
    return;
  }
  assert.ok(error instanceof m.TempfileError, error.stack);
}

/** What is in a directory, but for the directory of leases, which belongs to no single call. */
const listed = (dir: string): string =>
  readdirSync(dir).filter((name) => name !== basename(leasesIn(dir))).join();

/** Tries every value for an argument or option; returns what is wrong. */
async function tryAllValues(input: Input, dir: string, watched: Substitute): Promise<string[]> {
  const problems: string[] = [];
  // Reclaiming in the background would make system calls of its own, and so would searching for a directory.
  m.configure({ tmpdir: dir, reclaim: false });
  await using receiver = receiverFor(input, dir);
  const noted = async (hostile: Hostile, outcome: Promise<void>): Promise<void> => {
    try {
      await outcome;
    } catch (error) {
      problems.push(`${input.of} with ${hostile.title} as ${input.name}: ${(error as Error).message}`);
    }
  };
  const values = valuesFor(input).map((hostile) => ({ hostile, right: isRight(input, hostile) }));
  const before = listed(dir);
  for (const { hostile } of values.filter(({ right }) => !right)) {
    await noted(hostile, refuse(input, hostile, receiver, dir, watched));
  }
  const after = listed(dir);
  if (after !== before) {
    problems.push(`${input.of}: a refused ${input.name} left ${after} on disk instead of ${before}`);
  }
  for (const { hostile } of values.filter(({ right }) => right)) {
    await noted(hostile, accept(input, hostile, dir));
  }
  if (receiver instanceof m.TemporaryFile && (receiver.closed || receiver.textSync() !== "contents")) {
    problems.push(`${input.of}: a refused ${input.name} changed the file`);
  }
  m.configure(DEFAULTS);
  return problems;
}

const DEFAULTS = {
  tmpdir: undefined,
  signals: undefined,
  reclaim: undefined,
  reaper: undefined,
  keepAlive: undefined,
  inline: undefined,
};

const INPUTS = oncePerKind ? [] : inputs().filter(({ of }) => !INTERNAL.includes(of));
const isConstructor = ({ of }: Input): boolean => of.startsWith("new ");

test(
  "every argument and option of the exported types is in the table of hostile values",
  {
    onOneNode: true,
  },
  () => {
    assert.ok(INPUTS.length > 300, `${INPUTS.length} inputs`);
    const unknown = INPUTS.filter((input) => !isConstructor(input) && rightFor(input) === undefined);
    assert.deepEqual(unknown.map(({ of, name, type }) => `${of} ${name}: ${type}`), []);
  },
);

test("the constructors of handle classes throw, whatever the arguments", {
  onOneNode: true,
}, () => {
  const classes = new Set(INPUTS.filter(isConstructor).map(({ of }) => of.slice("new ".length)));
  assert.ok(classes.size >= 5);
  for (const name of classes) {
    for (const { title, make } of VALUES.filter(({ title }) => !/bomb|revoked/.test(title))) {
      assert.throws(
        () => new (m as Any)[name](make(), make(), make()),
        /not by a constructor/,
        `${name} ${title}`,
      );
    }
  }
});

test(
  "C22 every argument and option refuses hostile values before any system call with an error that names it, and accepts valid ones",
  {
    onOneNode: true,
  },
  async () => {
    using place = scratch(memory);
    using watched = substitute();
    const problems: string[] = [];
    for (const [index, input] of INPUTS.filter((input) => !isConstructor(input)).entries()) {
      const dir = join(place.path, String(index));
      mkdirSync(join(dir, EXISTING), { recursive: true });
      problems.push(...await tryAllValues(input, dir, watched));
    }
    assert.deepEqual(problems, []);
  },
);

/** Options that a type lacks, but that are read in order to refuse them. */
const REFUSED: { readonly [of: string]: string } = {
  "TemporaryDirectory.namedTemporaryFile": "dir",
  "TemporaryDirectory.namedTemporaryFileSync": "dir",
  "TemporaryDirectory.temporaryDirectory": "dir",
  "TemporaryDirectory.temporaryDirectorySync": "dir",
};

/** Returns valid arguments, and counts how often each option is read. */
function counted(of: string, index: number, dir: string): { args: unknown[]; reads: Map<string, number> } {
  const args = ARGUMENTS[of]?.(dir) ?? [];
  const reads = new Map<string, number>();
  args[index] = new Proxy(args[index] as object ?? {}, {
    has: () => true,
    get(options, name: string) {
      reads.set(name, (reads.get(name) ?? 0) + 1);
      return Reflect.get(options, name);
    },
  });
  return { args, reads };
}

test(
  "C23 every function reads each option of its type exactly once, and no others, so that a getter cannot change its value",
  {
    onOneNode: true,
  },
  async () => {
    using place = scratch(memory);
    mkdirSync(join(place.path, EXISTING));
    m.configure({ tmpdir: place.path });
    const options = INPUTS.filter((input) => input.isOption && !isConstructor(input));
    for (const call of new Set(options.map(({ of, index }) => `${of} ${index}`))) {
      const own = options.filter(({ of, index }) => `${of} ${index}` === call);
      await using receiver = receiverFor(own[0], place.path);
      const { args, reads } = counted(own[0].of, own[0].index, place.path);
      const error = await errorOf(own[0], receiver, args);
      assert.equal(error?.code ?? error, noLocks && /lock/i.test(call) ? "ERR_UNSUPPORTED" : undefined, call);
      const names = [
        ...own.map(({ name }) => name),
        ...REFUSED[own[0].of] === undefined ? [] : [REFUSED[own[0].of]],
      ];
      assert.deepEqual(Object.fromEntries(reads), Object.fromEntries(names.map((name) => [name, 1])), call);
    }
    m.configure(DEFAULTS);
  },
);
