import { spawnSync } from "node:child_process";

/** Above everything that takes turns: on a machine with other work the measured process then has its cores to itself. */
const REAL_TIME = ["chrt", "-f", "20"];

/** Whether we may. */
export const isRaised = spawnSync(REAL_TIME[0], [...REAL_TIME.slice(1), "true"]).status === 0;

/** 100,000 files that are open at once need as many descriptors; root may have them, others get what there is. */
const LIMITS = 'ulimit -n 200000 2>/dev/null || ulimit -n "$(ulimit -Hn)"; exec "$@"';

/** A command as it is measured. */
export const prioritised = (command) => ["sh", "-c", LIMITS, "sh", ...isRaised ? REAL_TIME : [], ...command];
