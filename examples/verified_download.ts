/**
 * A download that appears only when it is complete and its hash is correct.
 *
 *     verified_download.ts URL DESTINATION SHA256
 *
 * It is written to a temporary file in the directory of the destination, so that `persist()` is a rename. The hash is
 * computed from what the disk returns, not from what the network sent. If anything goes wrong (a broken connection, a
 * full disk, a wrong hash, Ctrl-C), the destination is unchanged and the temporary file is removed.
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
  if (!response.ok) throw new Error(`"${url}" responded with status ${response.status}`);
  await file.write(response);

  // In chunks: `crypto.subtle` would need the whole file in memory.
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
