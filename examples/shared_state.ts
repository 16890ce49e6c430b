/**
 * State in a JSON file that several processes change.
 *
 *     shared_state.ts FILE NAME     (adds one to the counter NAME, and prints all)
 *
 * Readers need no lock: `writeFileAtomic` replaces the file in one step, so what they read is whole. Writers need one,
 * or two of them would read the same state and one change would be lost.
 *
 * The lock is taken on a file of its own, which is created once and stays. A lock belongs to the file that is open, not
 * to its name. On the state file itself it would be worth nothing: each replacement is another file, so the next process
 * would lock that one while the one before still waits for the old. For the same reason the lock file is never removed,
 * and never opened by a call that could make a new one in its place. The system gives the lock back however the process
 * ends, so none is ever stale.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import { adoptFileSync, type NamedTemporaryFile, TempfileError, writeFileAtomic } from "mayfly";
import { runAsProgram } from "./program.ts";

/** Reads the state; `initial` if there is none yet. */
export async function readState<T>(path: string, initial: T): Promise<T> {
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    if ((error as { code?: string }).code === "ENOENT") return initial;
    throw error;
  }
}

/** Changes the state; of processes that do so at the same time, each sees what the others have made of it. */
export async function updateState<T>(path: string, initial: T, change: (state: T) => T): Promise<T> {
  await using file = await openLockFile(`${path}.lock`);
  await using _lock = await file.lock({ timeout: 30_000 });
  const state = change(await readState(path, initial));
  await writeFileAtomic(path, `${JSON.stringify(state)}\n`);
  return state;
}

/** Opens a file that is there to be locked, and creates it if it is missing. It is never removed. */
export async function openLockFile(path: string): Promise<NamedTemporaryFile> {
  try {
    // Of several processes that find none, one creates it.
    await writeFileAtomic(path, "", { overwrite: false, mode: "private" });
  } catch (error) {
    if (!(error instanceof TempfileError) || error.code !== "EEXIST") throw error;
  }
  const file = adoptFileSync(path);
  // In the same turn: not even a signal finds it among what is to be removed.
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
