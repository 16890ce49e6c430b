/**
 * Removes what killed processes left, now and then.
 *
 *     periodic_purge.ts [PREFIX DAYS]
 *
 * What processes with Mayfly left is removed whatever its age, since it is known who made it and that they are dead.
 * What others left is known by nothing but its name and age: with PREFIX and DAYS, what has this prefix and was not
 * changed for so long goes too, if it is this user's, and neither locked nor open.
 *
 * Once a day from cron, as the user whose files they are:
 *
 *     17 4 * * *  node /opt/app/periodic_purge.js build- 7
 *
 * or by systemd, with `mayfly-purge.service` and `mayfly-purge.timer` beside this file. The command line does the same:
 * `mayfly sweep --older-than 7d --prefix build-`.
 *
 * @module
 */
import { sweep } from "mayfly";
import { runAsProgram } from "./program.ts";

/** Milliseconds of a day. */
const DAY = 24 * 60 * 60 * 1000;

/** Runs as a program: fails if something could not be removed, so that cron writes a mail. */
export async function command([prefix, days, ...rest]: string[]): Promise<number> {
  const isWhole = (prefix === undefined) === (days === undefined);
  if (rest.length > 0 || !isWhole || (days !== undefined && !(Number(days) >= 0))) {
    throw new Error("Usage: periodic_purge.ts [PREFIX DAYS]");
  }
  const byAge = days === undefined ? {} : { prefix, olderThan: Number(days) * DAY };
  const { removed, bytes, left } = await sweep(byAge);
  if (removed.length > 0) console.log(`removed ${removed.length} with ${bytes} bytes`);
  for (const { path, code } of left) console.error(`periodic_purge: cannot remove "${path}": ${code}`);
  return left.length > 0 ? 1 : 0;
}

await runAsProgram(import.meta, command);
