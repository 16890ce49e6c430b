/**
 * Several processes on one machine in memory, in an order that a test decides.
 *
 * The processes of a program make their calls one after the other. Before any of those calls its process can be killed,
 * and a look for leftovers, by a process of its own, can go some steps further. So the look runs beside the program in
 * every way that matters, and each way can be repeated.
 *
 * @module
 */
import assert from "node:assert/strict";
import { type Inode, ROOT } from "../support/fake_disk.ts";
import { FakeMachine, type FakeProcess } from "../support/faulty_runtime.ts";
import { type Internals, type Library, loadInternals } from "../support/library.ts";
import { LEASES, leasesOn, pathsOn } from "./memory.ts";

/** What happens before the calls of a program, which are numbered from 1; later numbers mean its end. */
export interface Plan {
  /** The call in which its process is killed. */
  kill?: number;
  /** The calls before which one of the looks goes further, in order, and by how many steps. */
  looks: readonly { call: number; steps: number; of: number }[];
}

/** A look for leftovers; each step ends with a call. */
export type Look = (internals: Internals) => Generator<unknown, unknown, unknown>;

const REMOVING = { dryRun: false, onRemoved() {}, checkpoint() {} };

/** The look of the library. */
export const ownLook: Look = ({ reclaim, syncIo }) => reclaim(syncIo(), { ...REMOVING, ending: false });

/** A sweep of the library by age, for another temporary directory: it removes what no lease covers, however young. */
export const agedLook: Look = ({ configure, sweepAll, syncIo }) => {
  configure({ tmpdir: "/other" });
  return sweepAll(syncIo(), { aged: { dir: "/tmp", prefix: "tmp", olderThan: 0 }, how: REMOVING });
};

/** A look that goes on only when told to. */
class Stepped {
  readonly #look: ReturnType<Look>;
  #answer: unknown;
  #done = false;

  constructor(look: ReturnType<Look>) {
    this.#look = look;
  }

  /** Goes on, and returns whether it has further to go. */
  goOn(steps: number): boolean {
    for (let step = 0; step < steps && !this.#done; step++) {
      const { done, value } = this.#look.next(this.#answer);
      this.#done = done === true;
      this.#answer = value;
    }
    return !this.#done;
  }
}

/** A process of the program, with its copy of the library. */
export interface Actor {
  readonly process: FakeProcess;
  readonly library: Library;
}

/** A program for several processes, in the order in which they act if nothing comes in between. */
export type Program = (stage: Stage) => void;

/** A claim to what is at a path: that of a living process, or that of the caller, which is for ever. */
interface Claim {
  path: string;
  inode: Inode;
  by: FakeProcess | undefined;
}

/** One performance of a program. */
export class Stage {
  readonly machine: FakeMachine = new FakeMachine();
  /** The names of the calls made so far. */
  readonly calls: string[] = [];
  /** The numbers of the first calls of each action, and of the end. */
  readonly starts: number[] = [];
  /** Whether a look has waited in its midst. */
  waited = false;
  readonly #plan: Plan;
  readonly #look: Look;
  /** The looks that have begun, by number. */
  readonly #looks: Stepped[] = [];
  #killed = false;
  readonly #actors: Actor[] = [];
  #claims: Claim[] = [];
  /** Paths at which something may stay. */
  readonly #spared = new Set(pathsOn(this.machine));

  constructor(plan: Plan, look: Look) {
    this.#plan = plan;
    // A lease that is still empty must not pass for one that was left so long ago.
    this.machine.disk.young = true;
    this.#look = look;
  }

  /** Performs a program, and returns what was wrong. */
  perform(program: Program): string[] {
    try {
      program(this);
      this.starts.push(this.calls.length + 1);
      for (const look of [...this.#looks, this.#begin()]) look.goOn(Infinity);
      this.#check();
      this.#clear();
      return [];
    } catch (error) {
      return [(error as Error).message];
    }
  }

  /** Starts a process. */
  start(): Actor {
    const process = this.machine.start();
    process.beforeCall = (name) => this.#before(process, name);
    const actor = { process, library: loadInternals(process.runtime) };
    this.#actors.push(actor);
    return actor;
  }

  /**
   * Lets a process act, unless it is dead. Returns undefined if that, or the death of another process, comes in between;
   * any other failure is a defect.
   */
  act<T>({ process, library }: Actor, action: (library: Library) => T): T | undefined {
    if (process.dead) return undefined;
    this.starts.push(this.calls.length + 1);
    try {
      return action(library);
    } catch (error) {
      if (process.dead || this.#killed && error instanceof library.TempfileError) return undefined;
      throw error;
    }
  }

  /** From now on what is at a path must be there as long as a process lives. */
  holds({ process }: Actor, path: string): void {
    this.#claim(path, process);
  }

  /** From now on what is at a path must stay. */
  keeps(path: string): void {
    this.#claim(path, undefined);
  }

  /** Something may stay at a path, or not. */
  spares(path: string): void {
    this.#spared.add(path);
  }

  /** A process gives up what it holds. */
  releases({ process }: Actor, path: string): void {
    this.#claims = this.#claims.filter(({ by, path: one }) => by !== process || one !== path);
  }

  /** A process is killed, between two of its calls. */
  kills({ process }: Actor): void {
    this.starts.push(this.calls.length + 1);
    this.#killed = true;
    process.kill();
  }

  /** A process ends by itself. */
  ends({ process }: Actor): void {
    this.#claims = this.#claims.filter(({ by }) => by !== process);
    this.starts.push(this.calls.length + 1);
    process.end();
  }

  #claim(path: string, by: FakeProcess | undefined): void {
    if (by?.dead) return;
    this.#claims.push({ path, inode: this.machine.disk.find(ROOT, path, false), by });
  }

  #before(process: FakeProcess, name: string): void {
    const number = this.calls.push(name);
    for (const { call, steps, of } of this.#plan.looks) {
      if (call === number && (this.#looks[of] ??= this.#begin()).goOn(steps)) this.waited = true;
    }
    if (this.#plan.kill !== number) return;
    this.#killed = true;
    process.kill();
  }

  #begin(look = this.#look): Stepped {
    // Locks are taken only asynchronously.
    return new Stepped(look(loadInternals({ ...this.machine.start().runtime, locks: undefined })));
  }

  #check(): void {
    const lost = this.#claims.filter(({ path, inode, by }) => !by?.dead && this.#at(path) !== inode);
    assert.deepEqual(lost.map(({ path, by }) => `${by === undefined ? "kept" : "held"}: ${path}`), []);
  }

  #at(path: string): Inode | undefined {
    try {
      return this.machine.disk.find(ROOT, path, false);
    } catch {
      return undefined;
    }
  }

  /** Ends all processes at once, and lets one more look for what they left: only what is kept may be there after that. */
  #clear(): void {
    for (const { process } of this.#actors) process.kill();
    // By then, a lease that its process could not even begin to write is abandoned.
    for (const path of leasesOn(this.machine)) this.machine.disk.find(ROOT, path, false).modified = 0;
    this.#begin(ownLook).goOn(Infinity);
    for (const { path, by } of this.#claims) if (by === undefined) this.spares(path);
    const left = pathsOn(this.machine).filter((path) => path !== LEASES && !this.#spared.has(path));
    assert.deepEqual(left, []);
  }
}
