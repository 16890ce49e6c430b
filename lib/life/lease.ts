/**
 * The lease: what tells others which entries are this module instance's, and whether it still lives.
 *
 * A small file in a private directory, named by session and process. It says where the process is at home and in which
 * directories it has entries, and it stays open as long as the instance lives: whoever finds that the process has it open
 * no longer may remove the entries. So death needs no last word, and a process number that is used again deceives nobody.
 *
 * @module
 */
import { codeOf } from "../errors.ts";
import { renewSession, sessionId } from "../name.ts";
import { baseName, joinPath } from "../path.ts";
import { type Handle, runtime } from "../runtime/mod.ts";
import { settings } from "../settings.ts";
import { startReclaiming } from "./background.ts";
import { leaseDirectory, refusalOf } from "./lease_directory.ts";
import { HEADER } from "./lease_file.ts";
import { startReaper } from "./reaper.ts";
import { type Entry, registerLease } from "./registry.ts";

const encoder = new TextEncoder();

/** Directories recorded by one lease: more are the mark of a program that makes one for each file. */
const PARENTS = 10_000;

/** An open lease. */
class Lease implements Entry {
  readonly path: string;
  readonly #handle: Handle;
  readonly #parents = new Set<string>();
  readonly #stopReaper: (() => void) | undefined;
  #length = 0;

  constructor(path: string, handle: Handle) {
    this.path = path;
    this.#handle = handle;
    if (settings.reaper === true) this.#stopReaper = startReaper(path, sessionId());
  }

  /** Records lines. One write each time, and none for what is recorded already. */
  write(lines: string): void {
    this.#length += runtime.sync.write(this.#handle, encoder.encode(lines), this.#length);
  }

  /** Notes that a directory has entries. A path that does not fit on a line is not worth an escape. */
  parentLine(directory: string): string {
    if (this.#parents.has(directory) || this.#parents.size >= PARENTS || directory.includes("\n")) return "";
    this.#parents.add(directory);
    return `parent ${directory}\n`;
  }

  discard(): boolean {
    if (current === this) current = undefined;
    try {
      runtime.sync.close(this.#handle);
      runtime.sync.unlink(this.path);
    } catch {
      // Another process removes what says nothing any more.
    }
    this.#stopReaper?.();
    return true;
  }
}

let current: Lease | undefined;

/** Whether making a lease failed: it would fail again. */
let without = false;

/**
 * The session id for a name in a directory, after that directory is on the lease. Nothing is recorded for directories
 * inside an entry, which goes as a whole.
 */
export function sessionFor(directory: string): string {
  if (!without && !directory.includes(sessionId())) {
    try {
      record(directory);
    } catch {
      // Without a lease all works but the removal after a crash.
      without = true;
    }
  }
  return sessionId();
}

function record(directory: string): void {
  const made = current === undefined;
  current ??= open();
  if (current === undefined) return;
  const line = current.parentLine(directory);
  if (made) current.write(`${HEADER}\n${home()}${line}`);
  else if (line !== "") current.write(line);
  if (made) startReclaiming();
}

/** Where the process is at home: numbers of processes mean nothing elsewhere. */
function home(): string {
  return `pid ${runtime.pid()}\nnamespace ${runtime.processNamespace() ?? "-"}\nhost ${
    runtime.hostName() ?? "-"
  }\n`;
}

function open(): Lease | undefined {
  const directory = leaseDirectory();
  if (directory === undefined || !prepare(directory)) {
    without = true;
    return undefined;
  }
  renewSession();
  const path = joinPath(directory, `${sessionId()}-${runtime.pid()}.lease`);
  const lease = new Lease(path, runtime.sync.createFile(path, 0o600));
  registerLease(lease);
  return lease;
}

/** Makes the directory, or makes sure that it is ours alone. One that is not is left as it is. */
function prepare(directory: string): boolean {
  try {
    runtime.sync.makeDirectory(directory, 0o700);
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
  }
  const refusal = refusalOf(runtime.sync.status(directory));
  if (refusal === undefined) return true;
  runtime.warn(
    `"${directory}" is not used: ${refusal}. What this process leaves behind in a crash will not be found`,
    "MAYFLY_NO_LEASE",
  );
  return false;
}

/**
 * Records that the caller keeps what is at a path, so that it is not taken for a leftover later.
 *
 * @throws The system's error if that cannot be written: then it must not be said to be kept.
 */
export function recordKept(path: string): void {
  const name = baseName(path);
  // Only names with the session are ever looked at.
  if (current === undefined || !name.includes(sessionId())) return;
  current.write(`kept ${name}\n`);
}
