/**
 * Removes what killed processes left, periodically.
 *
 *     periodic_purge.ts [PREFIX DAYS]
 *
 * What dead processes that used Mayfly left is removed whatever its age, because its ownership is recorded. Leftovers of
 * other programs can be recognized only by name and age: with PREFIX and DAYS, entries with this prefix that have not
 * changed for that long are removed too, if they belong to this user and are neither locked nor open.
 *
 * Once a day from cron, as the user who owns the files:
 *
 *     17 4 * * *  node /opt/app/periodic_purge.js build- 7
 *
 * or from systemd, with `mayfly-purge.service` and `mayfly-purge.timer` beside this file. The command line does the same:
 * `mayfly sweep --older-than 7d --prefix build-`.
 *
 * @module
 */
import { sweep } from "mayfly";
import { runAsProgram } from "./program.ts";

/** Milliseconds in a day. */
const DAY = 24 * 60 * 60 * 1000;

/** Runs as a program. Returns 1 if something could not be removed; cron mails the reason. */
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
