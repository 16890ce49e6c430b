/**
 * What programs over the whole interface should leave on disk and in the registry, and the steps they consist of.
 *
 * @module
 */
import assert from "node:assert/strict";
import { readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import fc from "fast-check";
import type { HeldDirectory, Usage } from "#mod";
import { runtime } from "../../lib/runtime/mod.ts";
import { Expected, outcome } from "./model.ts";
import { namesStay } from "./platform.ts";

// deno-lint-ignore no-explicit-any -- the module under test, and handles of any kind
type Any = any;

/** What has a name, distinct from another that has the same name later. */
interface Node {
  kind: "file" | "directory";
  text: string;
}

/** A handle, as it should be. */
interface Thing {
  kind: "root" | "named" | "reopened" | "unnamed" | "spooled" | "directory";
  /** Where it was created or put; undefined if it has no name. */
  path: string | undefined;
  node: Node;
  /** Whether it is registered. */
  owned: boolean;
  deleteOnClose: boolean;
  closed: boolean;
  /** Whether it was closed for good: with its name. */
  ended: boolean;
  position: number;
}

/** The state of a new handle. */
const FRESH = { deleteOnClose: true, closed: false, ended: false, position: 0 };

/** What should exist: names with what they lead to, relative to the scratch directory. */
export class Model {
  readonly disk: Map<string, Node> = new Map();
  readonly things: Thing[] = [];

  constructor() {
    this.add("root", "");
    this.disk.set("", this.things[0].node);
  }

  add(kind: Thing["kind"], path: string | undefined, options: Partial<Thing> = {}): void {
    const node: Node = { kind: kind === "directory" || kind === "root" ? "directory" : "file", text: "" };
    const thing: Thing = {
      kind,
      path,
      node,
      owned: true,
      ...FRESH,
      ...options,
    };
    this.things.push(thing);
    if (path !== undefined) this.disk.set(path, thing.node);
  }

  /** Whether the path of a thing still leads to it. */
  isThere({ path, node }: Thing): boolean {
    return path !== undefined && this.disk.get(path) === node;
  }

  /** Returns the names below a directory. */
  below(path: string): string[] {
    return [...this.disk.keys()].filter((name) =>
      name !== path && name.startsWith(path === "" ? "" : `${path}/`)
    );
  }

  remove(path: string): void {
    for (const name of [path, ...this.below(path)]) this.disk.delete(name);
  }

  move(from: string, to: string): void {
    for (const name of [from, ...this.below(from)]) {
      const node = this.disk.get(name)!;
      this.disk.delete(name);
      this.disk.set(to + name.slice(from.length), node);
    }
  }
}

/** The world in which a program runs. */
export class Real {
  readonly dir: string;
  readonly m: Any;
  /** As in the model, by the same index; the first is the scratch directory itself. */
  readonly handles: Any[] = [undefined];

  constructor(m: Any, dir: string) {
    this.m = m;
    this.dir = dir;
  }

  inside(path: string): string {
    return path === "" ? this.dir : join(this.dir, path);
  }

  relative(path: string): string {
    return path.slice(this.dir.length + 1).replaceAll("\\", "/");
  }

  /** Returns everything on disk, except the lease directory. */
  listing(): string[] {
    return this.#below("").filter((name) => !/^\.mayfly-/.test(name)).sort();
  }

  /** Level by level: with its own recursion, Bun finds nothing below the second level under Wine. */
  #below(directory: string): string[] {
    return readdirSync(this.inside(directory), { withFileTypes: true }).flatMap((entry) => {
      const name = directory === "" ? entry.name : `${directory}/${entry.name}`;
      return entry.isDirectory() ? [name, ...this.#below(name)] : [name];
    });
  }

  /** Compares the actual state with the expected one. */
  agree(model: Model): void {
    assert.deepEqual(this.listing(), [...model.disk.keys()].filter((name) => name !== "").sort(), "on disk");
    assert.deepEqual(this.#registered(), registeredIn(model), "in the registry");
  }

  #registered(): unknown {
    const { files, directories }: Usage = this.m.usageSync();
    const named = files.filter(({ path }) => path?.startsWith(this.dir));
    return {
      named: named.map(({ path, bytes }) => [this.relative(path!), bytes]).sort(),
      others: files.filter(({ path }) => path === undefined).map(({ bytes }) => bytes).sort(),
      directories: directories.filter(({ path }) => path.startsWith(this.dir)).map((one) =>
        this.#counted(one)
      ).sort(),
    };
  }

  #counted({ path, files, directories, bytes }: HeldDirectory): unknown[] {
    return [this.relative(path), files, directories, bytes];
  }
}

function registeredIn(model: Model): unknown {
  const nodes = (path: string): Node[] => model.below(path).map((name) => model.disk.get(name)!);
  const held = model.things.filter((thing) => thing.owned && thing.kind !== "root");
  const there = held.filter(({ path }) => path !== undefined && model.disk.has(path));
  return {
    named: there.filter(({ kind }) => kind === "named").map((
      { path },
    ) => [path, model.disk.get(path!)!.text.length])
      .sort(),
    others: held.filter(({ kind }) => kind === "unnamed" || kind === "spooled").map(({ node }) =>
      node.text.length
    )
      .sort(),
    directories: there.filter(({ kind }) => kind === "directory").map(({ path }) => {
      const files = nodes(path!).filter(({ kind }) => kind === "file");
      return [
        path,
        files.length,
        nodes(path!).length - files.length,
        files.reduce((sum, { text }) => sum + text.length, 0),
      ];
    }).sort(),
  };
}

type Fits = (thing: Thing) => boolean;
const isFile: Fits = ({ kind }) => kind !== "root" && kind !== "directory";
const isTree: Fits = ({ kind }) => kind === "directory";
const isPlace: Fits = ({ kind }) => kind === "root" || kind === "directory";

/** The subject of a step. */
interface Case {
  model: Model;
  real: Real;
  thing: Thing;
  handle: Any;
  /** Whether to call the blocking twin. */
  sync: boolean;
}

/** One step: on a suitable thing, blocking or not. */
abstract class Step implements fc.AsyncCommand<Model, Real> {
  readonly #pick: number;
  readonly #sync: boolean;
  #about = "";

  constructor(pick: number, sync: boolean) {
    this.#pick = pick;
    this.#sync = sync;
  }

  abstract readonly text: string;
  abstract fits(thing: Thing, model: Model): boolean;
  /** Returns the expected result, and changes the model. */
  abstract expect(at: Case): unknown;
  abstract act(at: Case): unknown;

  check(model: Readonly<Model>): boolean {
    return model.things.some((thing) => this.fits(thing, model as Model));
  }

  async run(model: Model, real: Real): Promise<void> {
    const fitting = model.things.filter((thing) => this.fits(thing, model));
    const thing = fitting[this.#pick % fitting.length];
    const index = model.things.indexOf(thing);
    const at: Case = { model, real, thing, handle: real.handles[index], sync: this.#sync };
    this.#about = ` of ${index} (${thing.kind})`;
    const got = await outcome(() => this.act(at));
    assert.deepEqual(got, await outcome(() => this.expect(at)), this.toString());
    real.agree(model);
  }

  toString(): string {
    return `${this.text}${this.#sync ? " sync" : ""}${this.#about}`;
  }
}

/** Calls a method or its blocking twin. */
const call = ({ handle, sync }: Case, name: string, ...args: unknown[]): unknown =>
  handle[sync ? `${name}Sync` : name](...args);

const requireOpen = ({ closed }: Thing): void => {
  if (closed) throw new Expected("ERR_CLOSED");
};

type Made = "named" | "directory" | "unnamed" | "spooled";

/** Another file or directory that has taken the place of a thing is not mistaken for it. */
function requireThere(model: Model, thing: Thing): void {
  if (!model.isThere(thing)) throw new Expected(model.disk.has(thing.path!) ? "ERR_REPLACED" : "ENOENT");
}

/** Creates something, in the scratch directory or in a directory created earlier. */
class Create extends Step {
  readonly text: string;
  readonly #kind: Made;
  readonly #options: { [name: string]: unknown };
  #made: Any;

  constructor(pick: number, sync: boolean, kind: Made, options: { [name: string]: unknown }) {
    super(pick, sync);
    this.#kind = kind;
    this.#options = options;
    this.text = `create ${kind} ${JSON.stringify(options)}`;
  }

  fits(thing: Thing): boolean {
    return this.#isNamed ? isPlace(thing) : thing.kind === "root";
  }

  async act({ real, handle, sync }: Case): Promise<void> {
    this.#made = undefined;
    const names = {
      named: "namedTemporaryFile",
      directory: "temporaryDirectory",
      unnamed: "temporaryFile",
      spooled: "spooledTemporaryFile",
    };
    const name = names[this.#kind] + (sync && this.#kind !== "spooled" ? "Sync" : "");
    const place = handle ?? real.m;
    this.#made = await place[name]({
      ...this.#options,
      ...handle === undefined ? { dir: this.#dir(real) } : {},
    });
    real.handles.push(this.#made);
  }

  get #isNamed(): boolean {
    return this.#kind === "named" || this.#kind === "directory";
  }

  /** On Windows a file without a name has one, which is not part of the model. */
  #dir({ dir }: Real): string {
    return this.#isNamed || !namesStay ? dir : dirname(dir);
  }

  expect({ model, real, thing }: Case): void {
    requireOpen(thing);
    requireThere(model, thing);
    const isNamed = this.#isNamed;
    const path = isNamed ? real.relative(this.#made.path) : undefined;
    if (isNamed) assert.ok(!model.disk.has(path!), "the name is a new one");
    model.add(this.#kind, path, {
      owned: this.#options.delete !== false,
      deleteOnClose: this.#options.deleteOnClose !== false,
    });
  }
}

/** An aborted creation leaves nothing, or a whole result. */
class Abort extends Step {
  readonly text = "create and abort";

  fits({ kind }: Thing): boolean {
    return kind === "root";
  }

  async act({ real, sync }: Case): Promise<string> {
    const controller = new AbortController(), reason = new Error("enough");
    if (sync) controller.abort(reason);
    const made = ["namedTemporaryFile", "temporaryDirectory", "temporaryFile", "mkdtemp"].map((name) =>
      real.m[name]({ dir: real.dir, signal: controller.signal })
    );
    controller.abort(reason);
    for (const end of await Promise.allSettled(made)) {
      if (end.status === "rejected") assert.equal(end.reason, reason);
      else if (typeof end.value !== "string") await end.value[Symbol.asyncDispose]();
      else await real.m.adoptDirectorySync(end.value).remove();
    }
    return "ended";
  }

  expect(): string {
    return "ended";
  }
}

class Write extends Step {
  readonly text: string;
  readonly #data: string;

  constructor(pick: number, sync: boolean, data: string) {
    super(pick, sync);
    this.#data = data;
    this.text = `write(${data.length})`;
  }

  fits = isFile;
  act = (at: Case): unknown => call(at, "write", this.#data);

  expect({ thing }: Case): number {
    requireOpen(thing);
    return written(thing, this.#data);
  }
}

function written(thing: Thing, data: string): number {
  const { node, position } = thing;
  node.text = node.text.padEnd(position, "\0").slice(0, position) + data +
    node.text.slice(position + data.length);
  thing.position += data.length;
  return data.length;
}

class Read extends Step {
  readonly text = "text()";
  fits = isFile;
  act = (at: Case): unknown => call(at, "text");
  expect({ thing }: Case): string {
    requireOpen(thing);
    return thing.node.text;
  }
}

/** Calls that are not awaited are carried out in the order in which they were made. */
class Together extends Step {
  readonly text = "write, text, close, text together";
  fits = isFile;

  act = ({ handle }: Case): Promise<unknown> =>
    Promise.all([
      outcome(() => handle.write("abc")),
      outcome(() => handle.text()),
      outcome(() => handle.close()),
      outcome(() => handle.text()),
    ]);

  async expect({ model, thing }: Case): Promise<unknown> {
    const steps = [() => written(thing, "abc"), () => thing.node.text, () => closed(model, thing), () => {}];
    const answers: unknown[] = [];
    for (const [index, step] of steps.entries()) {
      answers.push(
        await outcome(() => {
          if (index !== 2) requireOpen(thing);
          return step();
        }),
      );
    }
    return answers;
  }
}

/** Models what closing a file does to its name. */
function closed(model: Model, thing: Thing, end = false): void {
  thing.closed = true;
  thing.ended ||= thing.deleteOnClose || end;
  if (thing.kind === "unnamed" || thing.kind === "spooled") thing.owned = false;
  if (!thing.owned || !(thing.deleteOnClose || end)) return;
  model.remove(thing.path!);
  thing.owned = false;
}

class Close extends Step {
  readonly text = "close()";
  fits = isFile;
  act = (at: Case): unknown => call(at, "close");
  expect = ({ model, thing }: Case): void => closed(model, thing);
}

class Dispose extends Step {
  readonly text = "dispose";
  fits: Fits = ({ kind }) => kind !== "root";
  act = ({ handle, sync }: Case): unknown => handle[sync ? Symbol.dispose : Symbol.asyncDispose]();
  expect({ model, thing }: Case): void {
    if (thing.kind === "directory") removed(model, thing);
    else closed(model, thing, true);
  }
}

function removed(model: Model, thing: Thing): void {
  if (!thing.owned) return;
  if (model.disk.has(thing.path!)) model.remove(thing.path!);
  thing.owned = false;
  thing.closed = thing.ended = true;
}

class Remove extends Step {
  readonly text = "remove()";
  fits = isTree;
  act = (at: Case): unknown => call(at, "remove");
  expect({ model, thing }: Case): unknown {
    removed(model, thing);
    return [];
  }
}

class Keep extends Step {
  readonly text = "keep()";
  fits: Fits = ({ kind }) => kind === "named" || kind === "directory";
  act = ({ handle, real }: Case): string => real.relative(handle.keep());
  expect({ thing }: Case): string {
    if (thing.ended) throw new Expected("ERR_CLOSED");
    thing.owned = false;
    return thing.path!;
  }
}

class Reopen extends Step {
  readonly text = "reopen()";
  fits: Fits = ({ kind }) => kind === "named";

  async act(at: Case): Promise<void> {
    at.real.handles.push(await call(at, "reopen"));
  }

  expect({ model, thing }: Case): void {
    requireOpen(thing);
    requireThere(model, thing);
    model.things.push({ ...thing, kind: "reopened", owned: false, position: 0 });
  }
}

/** Takes over what nobody owns. */
class Adopt extends Step {
  readonly text = "adopt";
  fits(thing: Thing, model: Model): boolean {
    return (thing.kind === "named" || thing.kind === "directory") &&
      !model.things.some((other) => other.owned && other.path === thing.path);
  }

  async act({ real, thing, sync }: Case): Promise<void> {
    const name = (thing.kind === "directory" ? "adoptDirectory" : "adoptFile") + (sync ? "Sync" : "");
    real.handles.push(await real.m[name](real.inside(thing.path!)));
  }

  expect({ model, thing }: Case): void {
    const node = model.disk.get(thing.path!);
    if (node === undefined) throw new Expected("ENOENT");
    const wanted = thing.kind === "directory" ? "directory" : "file";
    if (node.kind !== wanted) throw new Expected(wanted === "file" ? "EISDIR" : "ENOTDIR");
    model.things.push({ ...thing, node, ...FRESH, owned: true });
  }
}

/** Puts something in its place, which may be taken. */
class Persist extends Step {
  readonly text: string;
  readonly #name: string;
  readonly #overwrite: boolean;

  constructor(pick: number, sync: boolean, name: string, overwrite: boolean) {
    super(pick, sync);
    this.#name = name;
    this.#overwrite = overwrite;
    this.text = `persist(${name}, ${overwrite})`;
  }

  fits(thing: Thing, model: Model): boolean {
    // An owner by name removes by that name, whatever has it then.
    return thing.kind !== "root" && !model.things.some(({ owned, path }) => owned && path === this.#name);
  }

  async act(at: Case): Promise<string> {
    const options = { overwrite: this.#overwrite, durable: false };
    return at.real.relative(await call(at, "persist", at.real.inside(this.#name), options) as string);
  }

  expect(at: Case): string {
    return at.thing.kind === "directory" ? this.#tree(at) : this.#file(at);
  }

  #file({ model, thing }: Case): string {
    requireOpen(thing);
    const there = model.disk.get(this.#name);
    if (there !== undefined && !this.#overwrite) throw new Expected("EEXIST");
    if (there?.kind === "directory") throw new Expected("EISDIR");
    // The contents exist even if the name is gone, but a name that leads elsewhere is a reason to stop.
    if (thing.kind === "named" && model.disk.has(thing.path!)) requireThere(model, thing);
    const moves = thing.kind === "named" && model.isThere(thing);
    if (moves) model.disk.delete(thing.path!);
    model.disk.set(this.#name, moves ? thing.node : { ...thing.node });
    closed(model, { ...thing, path: "nothing" }, true);
    Object.assign(thing, { closed: true, ended: true, owned: false });
    Object.assign(thing, { path: this.#name, node: model.disk.get(this.#name) });
    return this.#name;
  }

  #tree({ model, thing }: Case): string {
    requireOpen(thing);
    requireThere(model, thing);
    const there = model.disk.get(this.#name);
    // If it is already in place, nothing is done.
    if (there !== undefined && !(there === thing.node && this.#overwrite)) this.#requireWay(model, there);
    if (there !== thing.node) {
      model.remove(this.#name);
      model.move(thing.path!, this.#name);
    }
    Object.assign(thing, { owned: false, path: this.#name });
    return this.#name;
  }

  #requireWay(model: Model, there: Node): void {
    if (!this.#overwrite) throw new Expected("EEXIST");
    if (there.kind === "file") throw new Expected("ENOTDIR");
    if (model.below(this.#name).length > 0) throw new Expected("ENOTEMPTY");
  }
}

/** Replaces a file by its path, whoever created it. */
class Replace extends Step {
  readonly text: string;
  readonly #name: string;

  constructor(pick: number, sync: boolean, name: string) {
    super(pick, sync);
    this.#name = name;
    this.text = `writeFileAtomic(${name})`;
  }

  fits({ kind }: Thing, model: Model): boolean {
    return kind === "root" && !model.things.some(({ owned, path }) => owned && path === this.#name);
  }

  act({ real, sync }: Case): unknown {
    const args = [real.inside(this.#name), "replaced", { durable: false }];
    return real.m[sync ? "writeFileAtomicSync" : "writeFileAtomic"](...args);
  }

  expect({ model }: Case): void {
    if (model.disk.get(this.#name)?.kind === "directory") throw new Expected("EISDIR");
    model.disk.set(this.#name, { kind: "file", text: "replaced" });
  }
}

/** A stranger removes what does not belong to him. */
class Vanish extends Step {
  readonly text = "vanish";
  fits = (thing: Thing, model: Model): boolean => thing.kind !== "root" && model.isThere(thing);
  act = ({ real, thing }: Case): void => rmSync(real.inside(thing.path!), { recursive: true });
  expect = ({ model, thing }: Case): void => model.remove(thing.path!);
}

class Roll extends Step {
  readonly text = "rollover()";
  fits: Fits = ({ kind }) => kind === "spooled";
  act = (at: Case): unknown => call(at, "rollover");
  expect = ({ thing }: Case): void => requireOpen(thing);
}

/** Two locks of one file exclude each other. */
class Lock extends Step {
  readonly text = "lock twice";
  fits: Fits = (thing) => isFile(thing) && thing.path === undefined;

  async act({ handle }: Case): Promise<unknown> {
    using lock = await handle.lock();
    return [lock.released, await handle.tryLock()];
  }

  expect({ thing }: Case): unknown {
    requireOpen(thing);
    return [false, null];
  }
}

const common = [fc.nat({ max: 50 }), fc.boolean()] as const;
const plain = (Class: new (pick: number, sync: boolean) => Step): fc.Arbitrary<Step> =>
  fc.tuple(...common).map(([pick, sync]) => new Class(pick, sync));
const flag = fc.option(fc.boolean(), { nil: undefined });

const create = fc.oneof(
  fc.tuple(...common, fc.constant("named" as const), fc.record({ delete: flag, deleteOnClose: flag })),
  fc.tuple(...common, fc.constant("directory" as const), fc.record({ delete: flag })),
  fc.tuple(...common, fc.constant("unnamed" as const), fc.record({ bufferSize: fc.constantFrom(0, 4) })),
  fc.tuple(...common, fc.constant("spooled" as const), fc.record({ maxMemory: fc.constantFrom(0, 5, 100) })),
).map(([pick, sync, kind, options]) => new Create(pick, sync, kind, options));

const write = fc.tuple(...common, fc.constantFrom("", "x", "abcdef", "y".repeat(50))).map((args) =>
  new Write(...args)
);
const persist = fc.tuple(...common, fc.constantFrom("one", "two"), fc.boolean()).map((args) =>
  new Persist(...args)
);

const replace = fc.tuple(...common, fc.constantFrom("one", "two")).map((args) => new Replace(...args));

/** Programs of some steps. */
export function programs(maxLength: number): fc.Arbitrary<Iterable<fc.AsyncCommand<Model, Real>>> {
  // Node has no locks on Windows.
  const locking = runtime.locks === undefined ? [] : [Lock];
  const rare = [Abort, Together, Remove, Keep, Reopen, Adopt, Roll, Vanish, ...locking].map((
    step,
  ) => plain(step));
  const often = [Read, Close, Dispose].map((step) => plain(step));
  const steps = [create, create, create, create, write, write, persist, persist, replace, ...often, ...rare];
  return fc.commands(steps, { maxCommands: maxLength, size: "max" });
}
