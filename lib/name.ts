/**
 * Names that nobody can guess and no two processes share.
 *
 * @module
 */
import { type Runtime, runtime } from "./runtime/mod.ts";

/** 32 characters, so that five random bits choose one without bias; one case, for disks that ignore case; no look-alikes. */
const ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789";

const CODES = Uint8Array.from(ALPHABET, (character) => character.charCodeAt(0));

/** Characters of the random part of a name: 65 bits. */
export const RANDOM_LENGTH = 13;

/** Characters that say which module instance made a name: 40 bits. Not a secret, only distinct. */
export const SESSION_LENGTH = 8;

/** The first pool is small, for a quick start; the others are large, for few trips to the kernel. */
const FIRST_POOL = 1024;
const LATER_POOL = 16 * 1024;

let pool = new Uint8Array(0);
let used = 0;
let filledBy: Runtime | undefined;

function refill(): void {
  // Should the source fail, what is in the pool is no name: neither zeros nor bytes used before.
  filledBy = undefined;
  if (pool.byteLength !== LATER_POOL) {
    pool = new Uint8Array(pool.byteLength === 0 ? FIRST_POOL : LATER_POOL);
  }
  runtime.random(pool);
  used = 0;
  filledBy = runtime;
}

/** Forgets what is left of the pool: repeated collisions mean that somebody else draws the same bytes. */
export function refreshNames(): void {
  used = pool.byteLength;
}

/** The random part of a name. Each byte of the pool is used once. */
export function randomName(): string {
  if (used + RANDOM_LENGTH > pool.byteLength || filledBy !== runtime) refill();
  const codes = CODES, bytes = pool, at = used;
  used += RANDOM_LENGTH;
  // One call makes the string in a tenth of a microsecond; joining characters takes a whole one.
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

/** What all reclaimable names carry that this module instance makes now. */
export function sessionId(): string {
  return session ??= randomName().slice(0, SESSION_LENGTH);
}

/** Begins a new session: what was kept in an old one must never be taken for a leftover of the new. */
export function renewSession(): void {
  session = undefined;
}

const SESSION_PATTERN = new RegExp(`^[${ALPHABET}]{${SESSION_LENGTH}}$`);

const RANDOM_PATTERN = new RegExp(`^[${ALPHABET}]{${RANDOM_LENGTH}}$`);

/** Whether text from outside can be a session id. */
export const isSessionId = (text: string): boolean => SESSION_PATTERN.test(text);

const MADE_PATTERN = new RegExp(`[${ALPHABET}]{${SESSION_LENGTH + RANDOM_LENGTH}}`);

/** Whether text from outside can be a name that was made with some session. */
export const isMade = (name: string): boolean => MADE_PATTERN.test(name);

/** Whether text from outside can be the random part of a name. */
export const isRandom = (text: string): boolean => RANDOM_PATTERN.test(text);
