/**
 * A lease that this module instance has open, and what is written into it.
 *
 * @module
 */
import { syncIo } from "../io.ts";
import { sessionId } from "../name.ts";
import { runSync } from "../op.ts";
import type { NameOptions } from "../options/types.ts";
import { baseName, joinPath, parentOf } from "../path.ts";
import { attempt, type Handle, runtime } from "../runtime/mod.ts";
import { settings } from "../settings.ts";
import { writeAll } from "../transfer.ts";
import { formOf, formsOf } from "./form.ts";
import { HEADER, SPOILER } from "./lease_file.ts";
import { startReaper } from "./reaper.ts";
import type { Entry } from "./registry.ts";

const encoder = new TextEncoder();

/** Bytes after which a lease is followed by another, so that one of a process that runs for months stays small. */
const FULL = 1024 * 1024;

/** What the caller says about a name. */
export type Naming = Required<Pick<NameOptions, "prefix" | "suffix">>;

/** An open lease. */
export class Lease implements Entry {
  readonly path: string;
  readonly session: string;
  slot: number | undefined;
  readonly #handle: Handle;
  /** The recorded forms, each joined to its directory. */
  readonly #made = new Set<string>();
  /** The names of what was taken over from other sessions: elsewhere, too, its maker's lease may speak for them. */
  readonly #adopted = new Set<string>();
  /** The recorded names of what the caller keeps. */
  readonly #kept = new Set<string>();
  readonly #stopReaper: (() => void) | undefined;
  readonly #onDiscard: (lease: Lease) => void;
  #length = 0;
  /** The last question, which the next one most often repeats. */
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

  /** Records that such names are made in a directory: one write for each form, none for what is recorded already. */
  record(directory: string, { prefix, suffix }: Naming): void {
    const last = this.#last;
    if (last?.directory === directory && last.prefix === prefix && last.suffix === suffix) return;
    this.#write("", this.#missing(directory, [formOf(prefix, suffix)]));
    this.#last = { directory, prefix, suffix };
  }

  /** Whether this is where to record what becomes of a path. */
  speaksFor(path: string): boolean {
    const name = baseName(path);
    return name.includes(this.session) || this.#adopted.has(name);
  }

  /** Whether what has this name is taken over, and is not kept since. */
  hasAdopted(path: string): boolean {
    const name = baseName(path);
    return this.#adopted.has(name) && !this.#kept.has(name);
  }

  /** Records that a path is taken over: from now on it is a leftover of this process, and of no other. */
  adopt(path: string): void {
    if (path.includes("\n")) return;
    this.#write(`adopted ${path}\n`);
    const name = baseName(path);
    this.#adopted.add(name);
    this.#kept.delete(name);
  }

  /** Records that a file is given to another user: it is a leftover of this process all the same. */
  give(path: string): void {
    this.#write(`given ${path}\n`);
  }

  /**
   * Records that the caller keeps what is at a path, so that it is not taken for a leftover later. What was made inside
   * went with it until now: it gets a record of its own.
   */
  keep(path: string, inside: readonly string[]): void {
    if (this.#length === 0) return;
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
    for (let at = directory; at.includes(this.session);) {
      const name = baseName(at);
      at = parentOf(at);
      const isMade = formsOf(name, this.session).some((form) => this.#made.has(joinPath(at, form)));
      if (isMade && !this.#kept.has(name)) return true;
    }
    return false;
  }

  /**
   * Appends lines in one write, after what a reader must know first: without all of it they say nothing. Nothing is
   * remembered of what was not written.
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
    // Where that fails, another process removes what says nothing any more.
    attempt(() => runtime.sync.unlink(this.path));
    this.#stopReaper?.();
  }
}

/**
 * Appends lines to a lease. Where that fails, a part of them may be written: the first ones, and a piece of one. Nobody takes
 * that for a line, since it has no end, or that of a spoiled one, given to it by whoever writes next.
 *
 * @param handle Open to append: others write to it too, what they keep of what they took over.
 * @returns Its bytes then.
 */
export function append(handle: Handle, lines: string): number {
  const bytes = encoder.encode(SPOILER + lines);
  const start = runtime.sync.statusOf(handle).size;
  runSync(writeAll(syncIo(), handle, bytes, start));
  return start + bytes.byteLength;
}

/** Where the process is at home: numbers of processes mean nothing elsewhere. */
function home(): string {
  const namespace = runtime.processNamespace() ?? "-", host = runtime.hostName() ?? "-";
  return `pid ${runtime.pid()}\nnamespace ${namespace}\nhost ${host}\n`;
}
