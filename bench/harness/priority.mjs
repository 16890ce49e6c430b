import { spawnSync } from "node:child_process";

/**
 * Above everything else: on a machine with other work, the measured process then has its cores to itself. Its own threads
 * take turns (`-r`): if the first to run kept its core (`-f`), an event loop that polls a thread of the pool would keep
 * that thread from running.
 */
const REAL_TIME = ["chrt", "-r", "20"];

/** Whether we may raise the priority. */
export const isRaised = spawnSync(REAL_TIME[0], [...REAL_TIME.slice(1), "true"]).status === 0;

/** Some subjects hold 10,000 descriptors. */
const LIMITS = 'ulimit -n "$(ulimit -Hn)"; exec "$@"';

/** Returns the command with which a program is measured. */
export const prioritised = (command) => ["sh", "-c", LIMITS, "sh", ...isRaised ? REAL_TIME : [], ...command];
