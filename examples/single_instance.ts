/**
 * Runs a command unless it is running already.
 *
 *     single_instance.ts LOCK COMMAND [ARGUMENT ...]
 *
 * The lock is the kernel's: it excludes `flock(1)` on the same file and every other program that uses `flock`, and it is
 * gone with the process that has it, however that ends. So there is no stale lock to break. Ends with the status of the
 * command, or with 75 if somebody else has the lock.
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
    console.error(`single_instance: somebody else holds "${lock}"`);
    return BUSY;
  }
  const child = spawn(name, args, { stdio: "inherit" });
  const [status] = await once(child, "exit");
  return status ?? 1;
}

await runAsProgram(import.meta, command);
