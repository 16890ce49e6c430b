/**
 * Records standard input, and stops before the disk is full.
 *
 *     watch_space.ts DESTINATION MEBIBYTES
 *
 * Other programs need the disk too. When less than MEBIBYTES MiB are available, the recording ends, and what was recorded
 * so far is moved to DESTINATION by a rename, which needs no further space.
 *
 * @module
 */
import { dirname } from "node:path";
import process from "node:process";
import { diskSpace, namedTemporaryFile, watchSpace } from "mayfly";
import { runAsProgram } from "./program.ts";

const MEBIBYTE = 1024 ** 2;

/** Why a recording ended. */
export type End = "complete" | "low on space";

/** Records until the source ends or fewer than `floor` bytes are available. */
export async function record(
  source: AsyncIterable<Uint8Array>,
  destination: string,
  floor: number,
): Promise<End> {
  const dir = dirname(destination);
  await using file = await namedTemporaryFile({ dir, prefix: ".recording-", minFree: floor });
  let low = false;
  using _watch = watchSpace({ dir, minFree: floor, interval: 100 }, () => low = true);
  for await (const chunk of source) {
    if (low) break;
    await file.write(chunk);
  }
  await file.persist(destination, { mode: "umask" });
  return low ? "low on space" : "complete";
}

/** Runs as a program. */
export async function command([destination, mebibytes, ...rest]: string[]): Promise<void> {
  const floor = Number(mebibytes) * MEBIBYTE;
  if (destination === undefined || rest.length > 0 || !(floor >= 0)) {
    throw new Error("Usage: watch_space.ts DESTINATION MEBIBYTES");
  }
  const end = await record(process.stdin, destination, floor);
  const { available } = await diskSpace(dirname(destination));
  console.log(`${end}; ${Math.floor(available / MEBIBYTE)} MiB are available`);
}

await runAsProgram(import.meta, command);
