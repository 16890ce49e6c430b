/**
 * What names look like that were made with a session: the caller's prefix, the session, the random part, the caller's
 * suffix. Whoever looks for leftovers takes nothing else for one: not the journal that a program keeps beside its file,
 * nor what a user has renamed.
 *
 * @module
 */
import { isRandom, RANDOM_LENGTH, SESSION_LENGTH } from "../name.ts";

/** Stands for the session and the random part. No prefix or suffix may contain it. */
const OURS = "*";

/** The form of the names with a prefix and a suffix. */
export const formOf = (prefix: string, suffix: string): string => prefix + OURS + suffix;

/** Whether text from outside is a form. */
export const isForm = (text: string): boolean => text.split(OURS).length === 2;

/** The forms that a name may have: more than one where a prefix or a suffix is itself a name with the session. */
export function formsOf(name: string, session: string): string[] {
  const forms: string[] = [];
  for (let at = name.indexOf(session); at !== -1; at = name.indexOf(session, at + 1)) {
    const random = at + SESSION_LENGTH, end = random + RANDOM_LENGTH;
    if (isRandom(name.slice(random, end))) forms.push(formOf(name.slice(0, at), name.slice(end)));
  }
  return forms;
}
