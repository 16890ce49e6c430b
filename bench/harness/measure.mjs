import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { sampleExternal } from "./external.mjs";
import { Session } from "./session.mjs";

/** Milliseconds per sample: long against the clock, short against the fluctuations of a busy machine. */
const SAMPLE = 10, QUICK_SAMPLE = 4;
const ROUNDS = 13, QUICK_ROUNDS = 3;

/** Measures a subject on a runtime in a place: all contenders in turn, round by round. */
export async function measure({ subject, place, runtime }, { options, revisions, loop }) {
  const milliseconds = options.quick ? QUICK_SAMPLE : SAMPLE;
  const rounds = options.rounds ?? (options.quick ? QUICK_ROUNDS : subject.rounds ?? ROUNDS);
  // No contender works among the files of others, and two revisions do not share a directory.
  const dir = mkdtempSync(join(place.path, `${subject.name}-`));
  const parts = revisions.map(({ label, library }, index) => {
    const own = join(dir, String(index)), only = revisions.length > 1 ? "ours" : undefined;
    mkdirSync(own);
    const task = {
      subject: subject.file,
      library,
      dir: own,
      quick: options.quick,
      place: place.kind,
      milliseconds,
      only,
    };
    return new Part(label, runtime, task);
  });
  if (revisions.length === 1) {
    parts.push(...externals(subject, loop, dir, milliseconds).map((one) => new External(one)));
  }
  await takeTurns(parts, rounds, subject.cold);
  rmSync(dir, { recursive: true });
  return {
    subject: subject.name,
    place: place.kind,
    runtime: runtime.name,
    contenders: parts.flatMap((part) => part.contenders()),
    failures: parts.flatMap((part) => part.failures),
  };
}

async function takeTurns(parts, rounds, isCold = false) {
  for (const part of parts) await part.start();
  // One uncounted round absorbs the remaining work of caches, disks and compilers.
  for (let round = isCold ? 1 : 0; round <= rounds; round++) {
    for (const part of parts) await part.round(round > 0);
  }
  for (const part of parts) await part.end();
}

/** One build of the library, with everything that runs in the same process. */
class Part {
  failures = [];
  #label;
  #begin;
  #session;
  #taken = new Map();

  constructor(label, runtime, task) {
    this.#label = label;
    this.#begin = () => new Session(runtime, task);
  }

  /** One after the other: while one warms up, the others must not run. */
  async start() {
    this.#session = this.#begin();
    const { names } = await this.#try(() => this.#session.next()) ?? { names: [] };
    for (const { name, ours } of names) this.#taken.set(name, { name, ours, samples: [] });
  }

  async round(counts) {
    const samples = await this.#try(() => this.#session.round()) ?? {};
    if (!counts) return;
    for (const [name, taken] of Object.entries(samples)) this.#taken.get(name).samples.push(taken);
  }

  async end() {
    const { failures = [] } = await this.#try(() => this.#session.end()) ?? {};
    this.failures.push(...failures);
    await this.#session.gone();
  }

  contenders() {
    const failed = new Set(this.failures.map(({ name }) => name));
    return [...this.#taken.values()].filter(({ name, samples }) => samples.length > 0 && !failed.has(name))
      .map((contender) => ({ ...contender, revision: this.#label }));
  }

  /** A process that exited has failed as a whole, and once. */
  async #try(action) {
    if (this.failures.length) return undefined;
    try {
      return await action();
    } catch (error) {
      this.failures.push({ name: "(all)", ours: true, message: error.message });
    }
  }
}

function externals({ external = [] }, programs, dir, milliseconds) {
  return external.filter(({ program }) => programs[program] !== undefined).map(({ name, program, what }) => ({
    name,
    sample: () => sampleExternal(programs[program], what, dir, milliseconds),
  }));
}

/** A program in another language. */
class External {
  failures = [];
  #samples = [];

  constructor({ name, sample }) {
    this.name = name;
    this.sample = sample;
  }

  start() {}

  async round(counts) {
    if (this.failures.length) return;
    try {
      const taken = await this.sample();
      if (counts) this.#samples.push(taken);
    } catch (error) {
      this.failures.push({ name: this.name, ours: false, message: error.message });
    }
  }

  end() {}

  contenders() {
    if (this.failures.length) return [];
    return [{ name: this.name, ours: false, revision: "", samples: this.#samples }];
  }
}
