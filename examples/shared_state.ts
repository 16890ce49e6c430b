/**
 * State in a JSON file that several processes update.
 *
 *     shared_state.ts FILE NAME     (increments the counter NAME, and prints all counters)
 *
 * Readers need no lock: `writeFileAtomic` replaces the file in one step, so they always read a complete state. Writers
 * need one, or two of them could read the same state and one update would be lost.
 *
 * The lock is taken on a separate file, which is created once and stays. A lock belongs to the open file, not to its
 * name. On the state file itself it would be useless: each update replaces the file, so the next process would lock the
 * new one while another still waits for the old. For the same reason the lock file is never removed, and never opened by a
 * call that could put a new one in its place. The system releases the lock however the process ends, so it is never stale.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import { adoptFileSync, type NamedTemporaryFile, TempfileError, writeFileAtomic } from "mayfly";
import { runAsProgram } from "./program.ts";

/** Reads the state; returns `initial` if there is none yet. */
export async function readState<T>(path: string, initial: T): Promise<T> {
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    if ((error as { code?: string }).code === "ENOENT") return initial;
    throw error;
  }
}

/** Updates the state. Concurrent updates run one after the other, and each sees the results of those before it. */
export async function updateState<T>(path: string, initial: T, change: (state: T) => T): Promise<T> {
  await using file = await openLockFile(`${path}.lock`);
  await using _lock = await file.lock({ timeout: 30_000 });
  const state = change(await readState(path, initial));
  await writeFileAtomic(path, `${JSON.stringify(state)}\n`);
  return state;
}

/** Opens a lock file, and creates it if it is missing. It is never removed. */
export async function openLockFile(path: string): Promise<NamedTemporaryFile> {
  try {
    // If several processes find it missing, one of them creates it.
    await writeFileAtomic(path, "", { overwrite: false, mode: "private" });
  } catch (error) {
    if (!(error instanceof TempfileError) || error.code !== "EEXIST") throw error;
  }
  const file = adoptFileSync(path);
  // In the same turn of the event loop, so that not even a signal handler can remove it.
  file.keep();
  return file;
}

/** Runs as a program. */
export async function command([path, name, ...rest]: string[]): Promise<void> {
  if (path === undefined || name === undefined || rest.length > 0) {
    throw new Error("Usage: shared_state.ts FILE NAME");
  }
  const state = await updateState<{ [name: string]: number }>(path, {}, (counters) => ({
    ...counters,
    [name]: (counters[name] ?? 0) + 1,
  }));
  console.log(JSON.stringify(state));
}

await runAsProgram(import.meta, command);
