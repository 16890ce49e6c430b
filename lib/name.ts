/**
 * Names that are unguessable and unique across processes.
 *
 * @module
 */
import { type Runtime, runtime } from "./runtime/mod.ts";
import { utf8 } from "./utf8.ts";

/**
 * 32 characters, so that five random bits select one without bias; one case, for case-insensitive disks; no
 * look-alikes.
 */
const ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789";

const CODES = utf8.encode(ALPHABET);

/** The length of the random part of a name: 65 bits. */
export const RANDOM_LENGTH = 13;

/** The length of the session id, which identifies the module instance: 40 bits. Not secret, only distinct. */
export const SESSION_LENGTH = 8;

/** The first pool is small, for a fast start; later ones are large, for few trips to the kernel. */
const FIRST_POOL = 1024;
const LATER_POOL = 16 * 1024;

let pool = new Uint8Array(0);
let used = 0;
let filledBy: Runtime | undefined;

function refill(): void {
  // If the source fails, the pool is not used: neither zeros nor bytes used before become a name.
  filledBy = undefined;
  if (pool.length !== LATER_POOL) {
    pool = new Uint8Array(pool.length === 0 ? FIRST_POOL : LATER_POOL);
  }
  runtime.random(pool);
  used = 0;
  filledBy = runtime;
}

/** Discards the rest of the pool: repeated collisions mean that someone else draws the same bytes. */
export function refreshNames(): void {
  used = pool.length;
}

/** The random part of a name. Each byte of the pool is used once. */
export function randomName(): string {
  if (used + RANDOM_LENGTH > pool.length || filledBy !== runtime) refill();
  const codes = CODES, bytes = pool, at = used;
  used += RANDOM_LENGTH;
  // A single call builds the string in 0.1 µs; joining characters takes 1 µs.
  return String.fromCharCode(
    codes[bytes[at] & 31],
    codes[bytes[at + 1] & 31],
    codes[bytes[at + 2] & 31],
    codes[bytes[at + 3] & 31],
    codes[bytes[at + 4] & 31],
    codes[bytes[at + 5] & 31],
    codes[bytes[at + 6] & 31],
    codes[bytes[at + 7] & 31],
    codes[bytes[at + 8] & 31],
    codes[bytes[at + 9] & 31],
    codes[bytes[at + 10] & 31],
    codes[bytes[at + 11] & 31],
    codes[bytes[at + 12] & 31],
  );
}

let session: string | undefined;

/** The session id in the names of everything reclaimable that this module instance creates now. */
export function sessionId(): string {
  return session ??= randomName().slice(0, SESSION_LENGTH);
}

/** Starts a new session: what was kept in an old one must never be taken for a leftover of the new one. */
export function renewSession(): void {
  session = undefined;
}

const SESSION_PATTERN = new RegExp(`^[${ALPHABET}]{${SESSION_LENGTH}}$`);

const RANDOM_PATTERN = new RegExp(`^[${ALPHABET}]{${RANDOM_LENGTH}}$`);

/** Whether foreign text may be a session id. */
export const isSessionId = (text: string): boolean => SESSION_PATTERN.test(text);

const MADE_PATTERN = new RegExp(`[${ALPHABET}]{${SESSION_LENGTH + RANDOM_LENGTH}}`);

/** Whether foreign text may be a name created in some session. */
export const isMade = (name: string): boolean => MADE_PATTERN.test(name);

/** Whether foreign text may be the random part of a name. */
export const isRandom = (text: string): boolean => RANDOM_PATTERN.test(text);
