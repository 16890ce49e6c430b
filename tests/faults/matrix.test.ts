/**
 * Makes each primitive call of every public function fail, and the process die in each: of the synchronous and the
 * asynchronous functions, on a disk in memory.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { Primitives } from "../../lib/runtime/mod.ts";
import { type Caller, ROOT } from "../support/fake_disk.ts";
import { FakeMachine, type FakeProcess } from "../support/faulty_runtime.ts";
import { type Library, loadLibrary } from "../support/library.ts";
import { packageTest as test } from "../support/once.ts";
import { isCampaign, seed } from "./campaign.ts";
import { CARELESS } from "./careless.ts";
import { publicNames, Variant } from "./variants.ts";
import { LEASES, leasesOn, pathsOn, placeOn, textAt, worldOf } from "./memory.ts";
import { type Scenario, SCENARIOS } from "./scenarios.ts";
import { assertInformative } from "./errors.ts";

/** What the fake counts besides the primitives. */
type Other = "next" | "tryAcquire" | "linkDescriptor";

const LOOKS = ["EIO", "EACCES"], MAKES = ["EIO", "ENOSPC", "EACCES"], REMOVES = ["EIO", "EROFS", "EBUSY"];
const OPENS = ["EIO", "EMFILE", "EACCES"], CREATES = ["EIO", "ENOSPC", "EMFILE", "EACCES"];
const WRITES = ["EIO", "ENOSPC", "EINTR"], CHANGES = ["EIO", "EPERM"], ENDS = ["EIO", "EINTR"];

/** How each call can fail. */
const CODES: { readonly [name in keyof Primitives | Other]: readonly string[] } = {
  createFile: CREATES,
  createDescriptor: CREATES,
  createUnnamed: CREATES,
  openFile: OPENS,
  openDescriptor: OPENS,
  openDirectory: OPENS,
  locateDirectory: OPENS,
  close: ENDS,
  makeDirectory: MAKES,
  unlink: REMOVES,
  removeDirectory: REMOVES,
  rename: MAKES,
  link: MAKES,
  symbolicLink: MAKES,
  realPath: LOOKS,
  readLink: LOOKS,
  status: LOOKS,
  statusOfTarget: LOOKS,
  statusOf: ["EIO"],
  changeMode: CHANGES,
  changeModeAt: CHANGES,
  changeOwner: CHANGES,
  touch: LOOKS,
  truncate: WRITES,
  read: ENDS,
  write: WRITES,
  synchronize: WRITES,
  synchronizeDirectory: OPENS,
  list: OPENS,
  readSystemFile: OPENS,
  fileSystem: LOOKS,
  next: ["EIO"],
  tryAcquire: OPENS,
  linkDescriptor: MAKES,
};

type Fault = { code: string } | "dies" | "short" | undefined;

/** How a call is made: blocking, or asynchronous on a fast or slow disk. */
type Way = "sync" | "async" | "slow";

/** The result of a run. */
interface Run {
  label: string;
  scenario: Scenario;
  machine: FakeMachine;
  process: FakeProcess;
  library: Library;
  /** The calls that can fail, by number from the first that counts. */
  calls: string[];
  before: Set<string>;
  mine: Set<string>;
  /** What a dead process left behind. */
  inherited: Set<string>;
  error: (Error & { code?: string; path?: string }) | undefined;
}

/** Returns paths that nobody asked for. */
function leftoversOf({ machine, before, mine, scenario }: Run): string[] {
  const owned = [...mine, ...Object.keys(scenario.either ?? {})];
  const isOwned = (path: string): boolean => owned.some((one) => path === one || path.startsWith(`${one}/`));
  return pathsOn(machine).filter((path) =>
    !before.has(path) && !isOwned(path) && path !== LEASES && !path.startsWith(`${LEASES}/`)
  );
}

/** Returns what a process has open besides its lease. */
function leaked({ process, machine }: Run): Caller["descriptors"] {
  const leases = new Set(leasesOn(machine).map((path) => machine.disk.find(ROOT, path, false)));
  return new Map([...process.descriptors].filter(([, { inode }]) => !leases.has(inode)));
}

/** Names of everything that any scenario called. */
const called = new Set<string>();

async function disposeAll(handles: Disposable[], variant: Variant): Promise<void> {
  for (const handle of handles.reverse()) {
    if (handle === null) continue;
    const one = variant.of(handle);
    await (Symbol.asyncDispose in handle ? one[Symbol.asyncDispose]() : one[Symbol.dispose]());
  }
}

/** Milliseconds after which a run counts as hung. */
const HANGS = 10_000;

async function within<T>(work: Promise<T>, label: string): Promise<T> {
  let timer: unknown;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`hangs: ${label}`)), HANGS);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer as number);
  }
}

/** Returns what a process leaves behind that dies before the process under test starts. */
function leftByTheDead(machine: FakeMachine, { dead }: Scenario): Set<string> {
  const before = new Set(pathsOn(machine));
  const process = machine.start();
  dead?.(loadLibrary(process.runtime), placeOn(machine));
  process.kill();
  return new Set(pathsOn(machine).filter((path) => !before.has(path)));
}

/** Runs a scenario with a fault in the call with this number. */
async function perform(
  name: string,
  scenario: Scenario,
  way: Way,
  number: number,
  fault: Fault,
): Promise<Run> {
  const machine = new FakeMachine(scenario.machine);
  scenario.prepare?.(placeOn(machine));
  const inherited = leftByTheDead(machine, scenario);
  const process = machine.start();
  const library = loadLibrary(process.runtime);
  if (!scenario.cold) {
    library.namedTemporaryFileSync().closeSync();
    process.elapse(1);
  }
  const before = new Set(pathsOn(machine).filter((path) => !inherited.has(path))),
    mine = new Set<string>(),
    handles: Disposable[] = [];
  const first = process.calls.length;
  setFault(process, first + number, fault);
  if (way === "slow") process.delayAt(first + 1, 60);
  const variant = new Variant(library, way === "sync", called);
  const world = worldOf(process, handles, mine);
  let error: Run["error"];
  const label = () =>
    `${name}, ${way}: call ${number} (${process.calls[first + number - 1]}) ${
      JSON.stringify(fault)
    }: ${error}`;
  try {
    await within(scenario.run(variant.of(library), world), label());
  } catch (thrown) {
    error = thrown as Error;
  }
  await within(disposeAll(handles, variant).catch((thrown) => error ??= thrown), label());
  const calls = process.calls.slice(first);
  return { label: label(), scenario, machine, process, library, calls, before, mine, inherited, error };
}

function setFault(process: FakeProcess, number: number, fault: Fault): void {
  if (fault === "dies") process.dieAt(number);
  else if (fault === "short") process.shortenAt(number);
  else if (fault !== undefined) process.failAt(number, fault.code);
}

/** A target is one of two files: after a success, the new one. */
function assertWhole({ machine, scenario: { either = {} }, label }: Run, success: boolean): void {
  for (const [path, texts] of Object.entries(either)) {
    const allowed = success ? texts.slice(-1) : texts;
    assert.ok(allowed.includes(textAt(machine, path)), `${path} is whole: ${label}`);
  }
}

/** Lets another process look for leftovers, if there are any. */
async function reclaimed(run: Run): Promise<void> {
  if (leftoversOf(run).length === 0 && leasesOn(run.machine).length === 0) return;
  const process = run.machine.start();
  const { left } = await loadLibrary(process.runtime).sweep();
  assert.deepEqual(left, [], run.label);
  process.end();
}

/** The trial of a directory has a name for the duration of three calls, before a lease covers it. */
const PROBE = /^\/tmp\/tmp[a-z2-9]{13}$/;

/** Returns what nobody will ever remove. */
const staying = (run: Run): string[] =>
  leftoversOf(run).filter((path) => !run.scenario.cold || !PROBE.test(path));

/** Checks a failure: it may leave nothing, unless it was reported; then the next process removes it. */
async function checkFailure(run: Run, code: string): Promise<void> {
  const { process, label, error, library } = run;
  if (error !== undefined) {
    assert.ok(error instanceof library.TempfileError, `${label}\n${error.stack}`);
    assertInformative(error, code, label);
  }
  process.elapse(100);
  assert.deepEqual([...leaked(run).keys()], [], `no descriptor is lost: ${label}`);
  process.end();
  assert.deepEqual(process.defects, [], label);
  assertWhole(run, error === undefined);
  const left = leftoversOf(run).filter((path) => !run.inherited.has(path));
  if (left.length > 0) {
    assert.ok(error !== undefined || process.warnings.length > 0, `left unreported is ${left}: ${label}`);
  }
  await reclaimed(run);
  assert.deepEqual([staying(run), leasesOn(run.machine)], [[], []], label);
}

async function checkDeath(run: Run): Promise<void> {
  const { process, scenario, label } = run;
  process.kill();
  assertWhole(run, false);
  await reclaimed(run);
  if (!scenario.callers) assert.deepEqual(staying(run), [], `reclaimed: ${label}`);
  assert.deepEqual(leasesOn(run.machine), [], label);
}

/** Returns the faults to try on a call: a failure, with the codes in turn, and a death; or one of all that fit it. */
function faultsFor(call: string, number: number, thorough: boolean): Fault[] {
  const codes: Fault[] = CODES[call as keyof typeof CODES].map((code) => ({ code }));
  if (call === "read" || call === "write") codes.push("short");
  const all: Fault[] = [...codes, "dies"], turn = number + seed;
  return thorough ? [codes[turn % codes.length], "dies"] : [all[turn % all.length]];
}

/** Runs a scenario with a fault, and returns what is wrong then. */
async function tryFault(
  name: string,
  scenario: Scenario,
  way: Way,
  number: number,
  fault: Fault,
): Promise<string[]> {
  const run = await perform(name, scenario, way, number, fault);
  try {
    if (fault === "dies") await checkDeath(run);
    else await checkFailure(run, typeof fault === "object" ? fault.code : "nothing");
    return [];
  } catch (error) {
    return [(error as Error).message];
  }
}

/** Tries every fault of every call that a scenario makes; returns how many there were, and what was wrong. */
async function tryScenario(
  name: string,
  scenario: Scenario,
  way: Way,
  thorough: boolean,
): Promise<[number, string[]]> {
  const plain = await perform(name, scenario, way, 0, undefined);
  assert.equal(plain.error, undefined, `${plain.label}\n${plain.error?.stack}`);
  await checkFailure(plain, "nothing");
  const wrong: string[] = [];
  let points = 0;
  for (const [index, call] of plain.calls.entries()) {
    for (const fault of faultsFor(call, index, thorough)) {
      wrong.push(...await tryFault(name, scenario, way, index + 1, fault));
      points++;
    }
  }
  return [points, wrong];
}

async function tryAll(way: Way): Promise<number> {
  let all = 0;
  const wrong: string[] = [];
  for (const [name, scenario] of Object.entries(SCENARIOS)) {
    if (scenario.asyncOnly && way === "sync") continue;
    // Otherwise one of all faults that fit a call, another with each seed.
    const [points, found] = await tryScenario(name, scenario, way, isCampaign);
    all += points;
    wrong.push(...found);
  }
  assert.deepEqual(wrong, [], `${wrong.length} of ${all} points; MAYFLY_SEED=${seed}`);
  console.log(`${all} points of failure and death tried, ${way}; MAYFLY_SEED=${seed}`);
  return all;
}

test(
  "synchronous functions report the error, leak nothing and leave no partial file if any call fails or the process dies in it",
  {
    inAll: true,
  },
  async () => {
    assert.ok(await tryAll("sync") > 700);
  },
);

test(
  "asynchronous functions report the error, leak nothing and leave no partial file if any call of the thread pool fails or the process dies in it",
  {
    inAll: true,
  },
  async () => {
    assert.ok(await tryAll("slow") > 700);
  },
);

test("the scenarios use every exported function, method and property", {
  inAll: true,
}, async () => {
  for (const [name, scenario] of Object.entries(SCENARIOS)) {
    await perform(name, scenario, "async", 0, undefined);
    if (!scenario.asyncOnly) await perform(name, scenario, "sync", 0, undefined);
  }
  const library = loadLibrary(new FakeMachine().start().runtime);
  const missing = publicNames(library).filter((name) => !called.has(name));
  assert.deepEqual(missing, []);
});

test(
  "control: the faults in memory detect programs that leave a file, leak a descriptor or write a partial file",
  {
    inAll: true,
  },
  async () => {
    for (const [name, careless] of Object.entries(CARELESS)) {
      const [points, wrong] = await tryScenario(name, careless, "sync", true);
      assert.ok(wrong.length > 0 && wrong.length < points, `${name}: ${wrong.length} of ${points}`);
      assert.ok(wrong.some((text) => careless.shows.test(text)), `${name}: ${wrong.join("\n")}`);
    }
  },
);
