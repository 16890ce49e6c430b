/**
 * Runs a command unless it is already running.
 *
 *     single_instance.ts LOCK COMMAND [ARGUMENT ...]
 *
 * The lock is a kernel lock: it excludes `flock(1)` on the same file and every other program that uses `flock`, and the
 * kernel releases it however its process ends, so there is no stale lock to break. Exits with the status of the command,
 * or with 75 if another process holds the lock.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { runAsProgram } from "./program.ts";
import { openLockFile } from "./shared_state.ts";

/** `EX_TEMPFAIL`: try again later. */
const BUSY = 75;

/** Runs as a program. */
export async function command([lock, name, ...args]: string[]): Promise<number> {
  if (lock === undefined || name === undefined) {
    throw new Error("Usage: single_instance.ts LOCK COMMAND [ARGUMENT ...]");
  }
  await using file = await openLockFile(lock);
  await using held = await file.tryLock();
  if (held === null) {
    console.error(`single_instance: another process holds "${lock}"`);
    return BUSY;
  }
  const child = spawn(name, args, { stdio: "inherit" });
  const [status] = await once(child, "exit");
  return status ?? 1;
}

await runAsProgram(import.meta, command);
