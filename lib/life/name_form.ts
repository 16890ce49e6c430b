/**
 * The form of a name made with a session: the caller's prefix, `*` for the session and the random part, the caller's
 * suffix. A leftover must match a recorded form exactly: neither the journal that a program keeps beside its file nor
 * an entry that a user has renamed is taken for one.
 *
 * @module
 */
import { isRandom, RANDOM_LENGTH, SESSION_LENGTH } from "../name.ts";

/** Stands for the session and the random part. No prefix or suffix may contain it. */
const STAR = "*";

/** The form of the names with a prefix and a suffix. */
export const formOf = (prefix: string, suffix: string): string => prefix + STAR + suffix;

/** Returns the forms that a name may have: more than one if a prefix or suffix is itself a name with the session. */
export function formsOf(name: string, session: string): string[] {
  const forms: string[] = [];
  for (let at = name.indexOf(session); at !== -1; at = name.indexOf(session, at + 1)) {
    const random = at + SESSION_LENGTH, end = random + RANDOM_LENGTH;
    if (isRandom(name.slice(random, end))) forms.push(formOf(name.slice(0, at), name.slice(end)));
  }
  return forms;
}
