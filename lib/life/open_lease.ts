/**
 * A lease that this module instance has open. Records are only appended, each in one write, and only what was written
 * is remembered here.
 *
 * @module
 */
import { sessionId } from "../name.ts";
import { syncIo } from "../operation/io.ts";
import { runSync } from "../operation/op.ts";
import { writeAll } from "../operation/transfer.ts";
import type { NameOptions } from "../options/types.ts";
import { baseName, joinPath, parentOf } from "../path.ts";
import { attempt, type Handle, runtime } from "../runtime/mod.ts";
import { settings } from "../settings.ts";
import { utf8 } from "../utf8.ts";
import { HEADER, RESYNC } from "./lease_file.ts";
import { formOf, formsOf } from "./name_form.ts";
import { startReaper } from "./reaper.ts";
import { type Entry, held } from "./registry.ts";

/** Bytes after which the next lease is begun, so that the lease of a process that runs for months stays small. */
const FULL = 1024 * 1024;

/** The parts of a name that the caller chooses. */
export type Naming = Required<Pick<NameOptions, "prefix" | "suffix">>;

/** An open lease. */
export class Lease implements Entry {
  readonly path: string;
  readonly session: string;
  slot: number | undefined;
  readonly #handle: Handle;
  /** The recorded forms, each joined to its directory. */
  readonly #made = new Set<string>();
  /**
   * The names of entries adopted from other sessions. Not their paths: the creator's lease may speak for them elsewhere
   * too.
   */
  readonly #adopted = new Set<string>();
  /** The recorded names of what the caller keeps, with the number of calls of `keep` for each. */
  readonly #kept = new Map<string, number>();
  readonly #stopReaper: (() => void) | undefined;
  readonly #onDiscard: (lease: Lease) => void;
  #length = 0;
  /** The last form recorded, which the next call usually repeats. */
  #last: { directory: string; prefix: string; suffix: string } | undefined;

  constructor(path: string, handle: Handle, onDiscard: (lease: Lease) => void) {
    this.path = path;
    this.session = sessionId();
    this.#handle = handle;
    this.#onDiscard = onDiscard;
    if (settings.reaper === true) this.#stopReaper = startReaper(path, this.session);
  }

  get isFull(): boolean {
    return this.#length >= FULL;
  }

  /** Records the form of the names made in a directory: one write for each form, none if it is recorded already. */
  record(directory: string, { prefix, suffix }: Naming): void {
    const last = this.#last;
    if (last?.directory === directory && last.prefix === prefix && last.suffix === suffix) return;
    this.#write("", this.#missing(directory, [formOf(prefix, suffix)]));
    this.#last = { directory, prefix, suffix };
  }

  /** Whether what becomes of a path is recorded in this lease. */
  speaksFor(path: string): boolean {
    const name = baseName(path);
    return name.includes(this.session) || this.#adopted.has(name);
  }

  /** Whether this name was adopted, and not kept since. */
  hasAdopted(path: string): boolean {
    const name = baseName(path);
    return this.#adopted.has(name) && !this.#kept.get(name);
  }

  /** Records an adoption: from now on the entry is a leftover of this process, and of no other. */
  adopt(path: string): void {
    if (path.includes("\n")) return;
    this.#write(`adopted ${path}\n`);
    const name = baseName(path);
    this.#adopted.add(name);
    this.#kept.delete(name);
  }

  /** Records that a file is given to another user: it is still a leftover of this process. */
  give(path: string): void {
    this.#write(`given ${path}\n`);
  }

  /**
   * Records that the caller keeps an entry, so that it is not treated as a leftover later. Entries made inside it were
   * covered by it until now, and get records of their own.
   */
  keep(path: string, inside: readonly string[]): void {
    if (this.#length === 0) return;
    const name = baseName(path);
    this.#last = undefined;
    const before = this.#kept.get(name) || 0;
    this.#kept.set(name, before + 1);
    try {
      const made = inside.flatMap((one) =>
        this.#missing(parentOf(one), formsOf(baseName(one), this.session))
      );
      this.#write(`kept ${name}\n`, made);
    } catch (error) {
      this.#kept.set(name, before);
      throw error;
    }
  }

  /** Undoes a call of `keep`, unless there were others for this name: what we hold under it is a leftover again. */
  unkeep(name: string): void {
    // Not a number if the lease was still empty then, and recorded nothing.
    const others = this.#kept.get(name)! - 1;
    this.#kept.set(name, others);
    for (const { path = "" } of held().entries) if (others === 0 && baseName(path) === name) this.adopt(path);
  }

  /**
   * Returns the records still missing for forms in a directory. A path with a line break gets none: it is not worth an
   * escape.
   */
  #missing(directory: string, forms: readonly string[]): string[] {
    if (directory.includes("\n") || this.#covers(directory)) return [];
    return forms.map((form) => joinPath(directory, form)).filter((made) => !this.#made.has(made));
  }

  /** Whether a directory is an entry or inside one, and so is removed with it. */
  #covers(directory: string): boolean {
    for (let at = directory; at.includes(this.session);) {
      const name = baseName(at);
      at = parentOf(at);
      const isMade = formsOf(name, this.session).some((form) => this.#made.has(joinPath(at, form)));
      if (isMade && !this.#kept.get(name)) return true;
    }
    return false;
  }

  /**
   * Appends records in one write. The first write begins with the header, without which a lease says nothing. Only
   * records that were written are remembered.
   */
  #write(lines: string, made: readonly string[] = []): void {
    const head = this.#length === 0 ? `${HEADER}\n${home()}` : "";
    const text = head + [...new Set(made)].map((one) => `made ${one}\n`).join("") + lines;
    if (text === "") return;
    this.#length = append(this.#handle, text);
    for (const one of made) this.#made.add(one);
  }

  discard(): void {
    this.#onDiscard(this);
    attempt(() => runtime.sync.close(this.#handle));
    // If this fails, another process removes the lease, which no longer speaks for anything.
    attempt(() => runtime.sync.unlink(this.path));
    this.#stopReaper?.();
  }
}

/**
 * Appends lines to a lease. A failed write may leave some of them, and part of another. Readers do not take that part
 * for a line: either it has no end, or the next write has ended it with RESYNC.
 *
 * @param handle Opened to append: other processes write to the lease too, to record what they keep of what they
 *   adopted.
 * @returns The size of the lease afterwards.
 */
export function append(handle: Handle, lines: string): number {
  const bytes = utf8.encode(RESYNC + lines);
  const start = runtime.sync.statusOf(handle).size;
  runSync(writeAll(syncIo(), handle, bytes, start));
  return start + bytes.length;
}

/** The lines that say where the process runs: elsewhere its pid means nothing. */
function home(): string {
  const namespace = runtime.processNamespace() ?? "-", host = runtime.hostName() ?? "-";
  return `pid ${runtime.pid()}\nnamespace ${namespace}\nhost ${host}\n`;
}
