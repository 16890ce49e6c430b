/**
 * A download that appears only when it is complete and is what it should be.
 *
 *     verified_download.ts URL DESTINATION SHA256
 *
 * It goes to a temporary file in the directory of the destination, so that putting it in place is a rename. What is
 * verified is what the disk gives back, not what the network gave. If anything goes wrong, a broken connection, a full
 * disk, another hash, Ctrl-C, the destination stays as it was and the temporary file goes.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { dirname } from "node:path";
import { namedTemporaryFile } from "mayfly";
import { runAsProgram } from "./program.ts";

/** Downloads `url` to `destination` if it has the SHA-256 hash `expected`, in hexadecimal. Returns its canonical path. */
export async function download(
  url: string,
  destination: string,
  expected: string,
  signal?: AbortSignal,
): Promise<string> {
  await using file = await namedTemporaryFile({ dir: dirname(destination), prefix: ".download-", signal });
  const response = await fetch(url, { signal });
  if (!response.ok) throw new Error(`"${url}" answers with ${response.status}`);
  await file.write(response);

  // In pieces: `crypto.subtle` would want the whole file in memory.
  const hash = createHash("sha256");
  for await (const chunk of file) hash.update(chunk);
  const found = hash.digest("hex");
  if (found !== expected.toLowerCase()) throw new Error(`"${url}" has the hash ${found}, not ${expected}`);

  return await file.persist(destination, { mode: "umask", signal });
}

/** Runs as a program. */
export async function command([url, destination, expected, ...rest]: string[]): Promise<void> {
  if (expected === undefined || rest.length > 0) {
    throw new Error("Usage: verified_download.ts URL DESTINATION SHA256");
  }
  console.log(await download(url, destination, expected));
}

await runAsProgram(import.meta, command);
