/**
 * The lease: what tells others which entries are this module instance's, and whether it still lives.
 *
 * A small file in a private directory, named by session and process. It says where the process is at home and how the
 * names look that it makes in which directories, and it stays open as long as the instance lives: whoever finds that the
 * process has it open no longer may remove the entries. So death needs no last word, and a process number that is used
 * again deceives nobody.
 *
 * @module
 */
import { codeOf, failure } from "../errors.ts";
import { isMade, renewSession, sessionId } from "../name.ts";
import type { NameOptions } from "../options/types.ts";
import { baseName, contains, joinPath, parentOf } from "../path.ts";
import { type Handle, runtime, type Status } from "../runtime/mod.ts";
import { settings } from "../settings.ts";
import { startReclaiming } from "./background.ts";
import { formOf, formsOf } from "./form.ts";
import { leaseDirectory, refusalOf } from "./lease_directory.ts";
import { HEADER } from "./lease_file.ts";
import { startReaper } from "./reaper.ts";
import { type Entry, held, registerLease, unregisterLease } from "./registry.ts";

const encoder = new TextEncoder();

/** Bytes after which a lease is followed by another, so that one of a process that runs for months stays small. */
const FULL = 1024 * 1024;

/** Milliseconds after which a lease is tried for again that could not be written, on a full disk say. */
const AGAIN = 1000;

/** What the caller says about a name. */
type Naming = Required<Pick<NameOptions, "prefix" | "suffix">>;

/** An open lease. */
class Lease implements Entry {
  readonly path: string;
  readonly session: string;
  slot: number | undefined;
  readonly #handle: Handle;
  /** The recorded forms, each joined to its directory. */
  readonly #made = new Set<string>();
  /** The recorded paths of what was taken over from other sessions. */
  readonly #adopted = new Set<string>();
  /** The recorded names of what the caller keeps. */
  readonly #kept = new Set<string>();
  readonly #stopReaper: (() => void) | undefined;
  #length = 0;
  /** The last question, which the next one most often repeats. */
  #last: { directory: string; prefix: string; suffix: string } | undefined;

  constructor(path: string, handle: Handle) {
    this.path = path;
    this.session = sessionId();
    this.#handle = handle;
    if (settings.reaper === true) this.#stopReaper = startReaper(path, this.session);
  }

  get isFull(): boolean {
    return this.#length >= FULL;
  }

  /** Records that such names are made in a directory: one write for each form, none for what is recorded already. */
  record(directory: string, { prefix, suffix }: Naming): void {
    const last = this.#last;
    if (last?.directory === directory && last.prefix === prefix && last.suffix === suffix) return;
    this.#write("", this.#missing(directory, [formOf(prefix, suffix)]));
    this.#last = { directory, prefix, suffix };
  }

  /** Whether this is where to record what becomes of a path. */
  speaksFor(path: string): boolean {
    return baseName(path).includes(this.session) || this.#adopted.has(path);
  }

  /** Whether a path is taken over, and is not kept since. */
  hasAdopted(path: string): boolean {
    return this.#adopted.has(path) && !this.#kept.has(baseName(path));
  }

  /** Records that a path is taken over: from now on it is a leftover of this process, and of no other. */
  adopt(path: string): void {
    if (path.includes("\n")) return;
    this.#write(`adopted ${path}\n`, []);
    this.#adopted.add(path);
    this.#kept.delete(baseName(path));
  }

  /**
   * Records that the caller keeps what is at a path, so that it is not taken for a leftover later. What was made inside
   * went with it until now: it gets a record of its own.
   */
  keep(path: string, inside: readonly string[]): void {
    if (this.#made.size === 0 && this.#adopted.size === 0) return;
    const name = baseName(path);
    this.#last = undefined;
    this.#kept.add(name);
    try {
      const made = inside.flatMap((one) =>
        this.#missing(parentOf(one), formsOf(baseName(one), this.session))
      );
      this.#write(`kept ${name}\n`, made);
    } catch (error) {
      this.#kept.delete(name);
      throw error;
    }
  }

  /** What is to be recorded of forms in a directory. A path that does not fit on a line is not worth an escape. */
  #missing(directory: string, forms: readonly string[]): string[] {
    if (directory.includes("\n") || this.#covers(directory)) return [];
    return forms.map((form) => joinPath(directory, form)).filter((made) => !this.#made.has(made));
  }

  /** Whether a directory is an entry or inside one, and so goes as a whole. */
  #covers(directory: string): boolean {
    for (let at = directory; at.includes(this.session); at = parentOf(at)) {
      const name = baseName(at), above = parentOf(at);
      const isMade = formsOf(name, this.session).some((form) => this.#made.has(joinPath(above, form)));
      if (isMade && !this.#kept.has(name)) return true;
    }
    return false;
  }

  /** Appends lines in one write, with what a reader must know first. Nothing is remembered of what was not written. */
  #write(lines: string, made: readonly string[]): void {
    const head = this.#length === 0 ? `${HEADER}\n${home()}` : "";
    const text = head + lines + [...new Set(made)].map((one) => `made ${one}\n`).join("");
    if (text === "") return;
    this.#append(encoder.encode(text));
    for (const one of made) this.#made.add(one);
  }

  #append(bytes: Uint8Array): void {
    const { write, truncate } = runtime.sync, handle = this.#handle;
    try {
      for (let done = 0; done < bytes.byteLength;) {
        const count = write(handle, bytes.subarray(done), this.#length + done);
        if (count === 0) throw Object.assign(new Error("wrote nothing"), { code: "EIO", syscall: "write" });
        done += count;
      }
    } catch (error) {
      // A part of it would be read as if it had been meant.
      quietly(() => truncate(handle, this.#length));
      throw error;
    }
    this.#length += bytes.byteLength;
  }

  discard(): boolean {
    leases.delete(this);
    if (current === this) current = undefined;
    quietly(() => runtime.sync.close(this.#handle));
    // Where that fails, another process removes what says nothing any more.
    quietly(() => runtime.sync.unlink(this.path));
    this.#stopReaper?.();
    return true;
  }
}

function quietly(call: () => void): void {
  try {
    call();
  } catch {
    // There is nobody to whom it would matter.
  }
}

/** The leases of what this module instance has made and not yet removed: with the current one, those that are full. */
const leases = new Set<Lease>();

let current: Lease | undefined;

/** When a lease is tried for again, on the runtime's clock. */
let notBefore = -Infinity;

/** The directory that is not to be used, about which there was a warning. */
let refused: string | undefined;

/** The session id for a name in a directory, after such names in it are on the lease. */
export function sessionFor(directory: string, naming: Naming): string {
  // Without a lease all works but the removal after a crash.
  quietly(() => usable()?.record(directory, naming));
  return current?.session ?? sessionId();
}

/**
 * Records that what is at a path is taken over, so that it is not taken for a leftover of the process that made it. Only
 * what may have been made with a session can be: whatever else a process takes over, a sweep leaves alone.
 */
export function recordAdopted(path: string): void {
  if (isMade(baseName(path))) quietly(() => usable()?.adopt(path));
}

/** Records that what was taken over is no longer on the books: what has the name next is not this process's. */
export function recordReleased(path: string): void {
  for (const lease of leases) if (lease.hasAdopted(path)) quietly(() => lease.keep(path, []));
}

/** The lease to write to. */
function usable(): Lease | undefined {
  if (current === undefined || current.isFull) quietly(begin);
  return current;
}

function begin(): void {
  const directory = leaseDirectory();
  if (directory === undefined || directory === refused || runtime.now() < notBefore) return;
  notBefore = runtime.now() + AGAIN;
  const refusal = prepare(directory);
  if (refusal !== undefined) return refuse(directory, refusal);
  const lease = open(directory);
  notBefore = -Infinity;
  discardUnused();
  leases.add(lease);
  registerLease(lease);
  current = lease;
  startReclaiming();
}

/** A full lease goes as soon as nothing is left of what it speaks for. */
function discardUnused(): void {
  for (const lease of leases) {
    if (held().entries.some(({ path = "" }) => path.includes(lease.session) || lease.speaksFor(path))) {
      continue;
    }
    unregisterLease(lease);
    lease.discard();
  }
}

/** Where the process is at home: numbers of processes mean nothing elsewhere. */
function home(): string {
  const namespace = runtime.processNamespace() ?? "-", host = runtime.hostName() ?? "-";
  return `pid ${runtime.pid()}\nnamespace ${namespace}\nhost ${host}\n`;
}

function open(directory: string): Lease {
  renewSession();
  const path = joinPath(directory, `${sessionId()}-${runtime.pid()}.lease`);
  return new Lease(path, runtime.sync.createFile(path, 0o600));
}

/** Makes the directory, or makes sure that it is ours alone. Returns what speaks against it; then it is left as it is. */
function prepare(directory: string): string | undefined {
  const status = statusIfThere(directory) ?? make(directory);
  return status === undefined ? undefined : refusalOf(directory, status);
}

function refuse(directory: string, refusal: string): void {
  refused = directory;
  notBefore = -Infinity;
  runtime.warn(
    `"${directory}" is not used: ${refusal}. What this process leaves behind in a crash will not be found`,
    "MAYFLY_NO_LEASE",
  );
}

function statusIfThere(path: string): Status | undefined {
  try {
    return runtime.sync.status(path);
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
    return undefined;
  }
}

/** Makes the directory. Returns what there is if another process was faster. */
function make(directory: string): Status | undefined {
  try {
    runtime.sync.makeDirectory(directory, 0o700);
    return undefined;
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
    return runtime.sync.status(directory);
  }
}

/**
 * Records that the caller keeps what is at a path, so that it is not taken for a leftover later.
 *
 * @throws {TempfileError} What keeps that from being written: then it must not be said to be kept.
 */
export function recordKept(path: string): void {
  recordKeptWith(path, []);
}

/** As {@linkcode recordKept}, for a directory, from which what was made in it stays to be removed. */
export function recordKeptDirectory(path: string): void {
  const inside = held().entries.flatMap((entry) => entry.path ?? []).filter((one) => one !== path);
  recordKeptWith(path, inside.filter((one) => contains(path, one)));
}

function recordKeptWith(path: string, inside: readonly string[]): void {
  // Only names with a session are ever looked at.
  const speaking = [...leases].filter((lease) => lease.speaksFor(path));
  try {
    for (const lease of speaking) lease.keep(path, inside);
  } catch (error) {
    throw failure(`keep "${path}"`, error, path);
  }
}
