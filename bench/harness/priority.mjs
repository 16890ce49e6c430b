import { spawnSync } from "node:child_process";

/** Above everything that takes turns: on a machine with other work the measured process then has its cores to itself. */
const REAL_TIME = ["chrt", "-f", "20"];

/** Whether we may. */
export const isRaised = spawnSync(REAL_TIME[0], [...REAL_TIME.slice(1), "true"]).status === 0;

/** Some subjects hold 10,000 descriptors. */
const LIMITS = 'ulimit -n "$(ulimit -Hn)"; exec "$@"';

/** A command as it is measured. */
export const prioritised = (command) => ["sh", "-c", LIMITS, "sh", ...isRaised ? REAL_TIME : [], ...command];
