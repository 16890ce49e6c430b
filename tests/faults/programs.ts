/**
 * What processes do with each other's files, and whose these are at each moment.
 *
 * @module
 */
import type { Library } from "../support/library.ts";
import type { Actor, Program, Stage } from "./stage.ts";

/** How a handle gives up what it holds. */
interface Handle {
  readonly path: string;
  keep(): string;
  persistSync(path: string): string;
  [Symbol.dispose](): void;
}

/** A process that holds something. */
class Holder {
  readonly stage: Stage;
  readonly actor: Actor;
  readonly path: string;
  readonly #handle: Handle;
  /** Whether it is entitled to it: what a dead process left may vanish at any moment, even while it is adopted. */
  readonly #entitled: boolean;

  constructor(stage: Stage, actor: Actor, handle: Handle, entitled = true) {
    this.stage = stage;
    this.actor = actor;
    this.#handle = handle;
    this.path = handle.path;
    this.#entitled = entitled;
    if (entitled) stage.holds(actor, this.path);
  }

  get #dead(): boolean {
    return this.actor.process.dead;
  }

  /** Another process adopts it. */
  adoptedBy(actor: Actor, adopt: (m: Library, path: string) => Handle): Holder | undefined {
    const handle = this.stage.act(actor, (m) => adopt(m, this.path));
    return handle && new Holder(this.stage, actor, handle, this.#entitled && !this.#dead);
  }

  /** Another process adopts it, and then this one lets go of it. */
  handsTo(actor: Actor, adopt: (m: Library, path: string) => Handle): Holder | undefined {
    const taken = this.adoptedBy(actor, adopt);
    if (taken) this.letsGo();
    return taken;
  }

  /** Lets go of it without removing it: it belongs to those who have adopted it. */
  letsGo(): void {
    this.stage.act(this.actor, () => void this.#handle.keep());
    this.stage.releases(this.actor, this.path);
  }

  /** Leaves it to the caller, for ever. */
  keeps(): void {
    this.letsGo();
    if (this.#entitled && !this.#dead) this.stage.keeps(this.path);
  }

  /** Puts it at a path, where it belongs to the caller. */
  moves(path: string): void {
    this.stage.releases(this.actor, this.path);
    this.stage.act(this.actor, () => this.#handle.persistSync(path));
    if (!this.#dead) this.stage.keeps(path);
  }

  removes(): void {
    this.stage.releases(this.actor, this.path);
    this.stage.act(this.actor, () => this.#handle[Symbol.dispose]());
  }

  dies(): void {
    this.stage.kills(this.actor);
  }

  ends(): void {
    this.stage.ends(this.actor);
  }
}

const createFile = (m: Library): Handle => m.namedTemporaryFileSync();
const createDirectory = (m: Library): Handle => m.temporaryDirectorySync();
const adoptFile = (m: Library, path: string): Handle => m.adoptFileSync(path);
const adoptDirectory = (m: Library, path: string): Handle => m.adoptDirectorySync(path);

/** Starts a process that creates something. Returns undefined if it does not live that long. */
function creator(stage: Stage, create: (m: Library) => Handle): Holder | undefined {
  const actor = stage.start(), handle = stage.act(actor, create);
  return handle && new Holder(stage, actor, handle);
}

/** The programs for files and directories, which have the same rights. */
function forBoth(program: (stage: Stage, create: typeof createFile, adopt: typeof adoptFile) => void): {
  file: Program;
  directory: Program;
} {
  return {
    file: (stage) => program(stage, createFile, adoptFile),
    directory: (stage) => program(stage, createDirectory, adoptDirectory),
  };
}

const held = forBoth((stage, create) => void creator(stage, create));

const kept = forBoth((stage, create) => {
  const made = creator(stage, create);
  made?.keeps();
  made?.ends();
});

const removed = forBoth((stage, create) => {
  const made = creator(stage, create);
  const other = made && stage.act(made.actor, create);
  made?.removes();
  if (other) new Holder(stage, made!.actor, other);
});

const handedOver = forBoth((stage, create, adopt) => {
  const made = creator(stage, create), taken = made?.handsTo(stage.start(), adopt);
  made?.ends();
  taken?.keeps();
  taken?.ends();
});

const handedOverAndRemoved = forBoth((stage, create, adopt) => {
  creator(stage, create)?.handsTo(stage.start(), adopt)?.removes();
});

const keptBeforeTheCreatorLetsGo = forBoth((stage, create, adopt) => {
  const made = creator(stage, create);
  const taken = made?.adoptedBy(stage.start(), adopt);
  taken?.keeps();
  taken?.ends();
  if (taken) made!.letsGo();
});

const keptAfterTheCreatorDied = forBoth((stage, create, adopt) => {
  const made = creator(stage, create);
  const taken = made?.adoptedBy(stage.start(), adopt);
  made?.dies();
  taken?.keeps();
  taken?.ends();
});

const handedOn = forBoth((stage, create, adopt) => {
  const taken = creator(stage, create)?.handsTo(stage.start(), adopt);
  const last = taken?.handsTo(stage.start(), adopt);
  taken?.ends();
  last?.keeps();
  last?.ends();
});

/** Starts a process with another temporary directory. */
function elsewhere(stage: Stage): Actor {
  const actor = stage.start();
  stage.act(actor, (m) => m.configure({ tmpdir: "/other" }));
  return actor;
}

/** The adopter records in the directory of the creator's lease, whichever it would use itself. */
const handedOverElsewhere = forBoth((stage, create, adopt) => {
  const made = creator(stage, create);
  made?.handsTo(elsewhere(stage), adopt);
  made?.ends();
});

/** The creator has ended, and its lease has gone: the next adopter finds the one that records the adoption before. */
function handedOnElsewhere(stage: Stage): void {
  const made = creator(stage, createFile), taken = made?.handsTo(stage.start(), adoptFile);
  made?.ends();
  taken?.adoptedBy(elsewhere(stage), adoptFile);
  taken?.dies();
}

/** Starts a process that creates a directory with a file in it. Returns undefined if it does not live that long. */
function filledDirectory(stage: Stage): [outer: Holder, inner: Holder] | undefined {
  const actor = stage.start(), directory = stage.act(actor, (m) => m.temporaryDirectorySync());
  const file = directory && stage.act(actor, () => directory.namedTemporaryFileSync());
  return file && [new Holder(stage, actor, directory!), new Holder(stage, actor, file)];
}

/** As long as somebody holds the file, the directory around it stays, even if its creator is dead. */
function adoptedInside(stage: Stage): void {
  const [outer, inner] = filledDirectory(stage) ?? [];
  inner?.handsTo(stage.start(), adoptFile);
  outer?.dies();
}

/** The one who hands it on may end while its lease, or the one of the next, is about to be read. */
function handedOnInside(stage: Stage): void {
  const [outer, inner] = filledDirectory(stage) ?? [];
  const taken = inner?.handsTo(stage.start(), adoptFile);
  outer?.dies();
  taken?.handsTo(stage.start(), adoptFile);
  taken?.ends();
}

function keptAround(stage: Stage): void {
  const [outer] = filledDirectory(stage) ?? [];
  outer?.keeps();
}

const TARGET = "/home/user/target";

/** One that is killed between its record and the rename leaves the file to the caller. */
const persisted = forBoth((stage, create) => {
  const made = creator(stage, create);
  if (made) stage.spares(made.path);
  stage.spares(TARGET);
  made?.moves(TARGET);
  made?.ends();
});

export const PROGRAMS: { readonly [name: string]: Program } = {
  "a file is held": held.file,
  "a directory is held": held.directory,
  "a file is kept": kept.file,
  "a directory is kept": kept.directory,
  "a file is removed beside another": removed.file,
  "a directory is removed beside another": removed.directory,
  "a file is handed over, and kept": handedOver.file,
  "a directory is handed over, and kept": handedOver.directory,
  "a file is handed over, and removed": handedOverAndRemoved.file,
  "a directory is handed over, and removed": handedOverAndRemoved.directory,
  "a file is adopted and kept before its creator lets go": keptBeforeTheCreatorLetsGo.file,
  "a directory is adopted and kept before its creator lets go": keptBeforeTheCreatorLetsGo.directory,
  "a file is adopted, and kept after its creator died": keptAfterTheCreatorDied.file,
  "a directory is adopted, and kept after its creator died": keptAfterTheCreatorDied.directory,
  "a file is handed on twice": handedOn.file,
  "a directory is handed on twice": handedOn.directory,
  "a file is handed to a process with another temporary directory, and held": handedOverElsewhere.file,
  "a directory is handed to a process with another temporary directory, and held":
    handedOverElsewhere.directory,
  "a file is handed on to a process with another temporary directory, and held": handedOnElsewhere,
  "a file in a directory is handed over": adoptedInside,
  "a file in a dead process's directory is handed on": handedOnInside,
  "a directory is kept with a file in it": keptAround,
  "a file is put in place": persisted.file,
  "a directory is put in place": persisted.directory,
};
