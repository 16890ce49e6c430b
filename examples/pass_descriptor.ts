/**
 * One process writes a file that has no name, another reads it through an inherited file descriptor: no copy, no path
 * that anybody could open, and nothing left behind however the two end.
 *
 *     pass_descriptor.ts [MEBIBYTES]
 *
 * The default is a gigabyte. On Deno the writing process needs `--allow-read`, `--allow-write`, `--allow-env` and
 * `--allow-run`; the reading one needs nothing at all.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { fromDescriptor, type TemporaryFile, temporaryFile } from "mayfly";

const MEBIBYTE = 1024 ** 2;

/** The argument that selects the reading process. */
const READ = "--read";

/** The inherited descriptor: the first after the standard streams. */
const INHERITED = 3;

/** Fills the file with distinct chunks, and returns their digest. */
async function fill(file: TemporaryFile, mebibytes: number): Promise<string> {
  const hash = createHash("sha256");
  const chunk = new Uint8Array(MEBIBYTE);
  for (let i = 0; i < mebibytes; i++) {
    chunk.fill(i);
    hash.update(chunk);
    await file.write(chunk);
  }
  return hash.digest("hex");
}

/** Reads the whole file, one chunk at a time, and returns its digest. */
async function digest(file: TemporaryFile): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of file) hash.update(chunk);
  return hash.digest("hex");
}

/** Starts this script again, with the file as one of its descriptors. */
async function readInChild(file: TemporaryFile): Promise<void> {
  const script = fileURLToPath(import.meta.url);
  const run = "Deno" in globalThis ? ["run"] : process.execArgv;
  const child = spawn(process.execPath, [...run, script, READ], {
    stdio: ["ignore", "inherit", "inherit", file.fd],
  });
  const [status] = await once(child, "exit");
  if (status !== 0) throw new Error(`The reading process exited with status ${status}`);
}

async function writeAndPassOn(mebibytes: number): Promise<void> {
  await using file = await temporaryFile();
  console.log(`wrote ${mebibytes} MiB, sha256 ${await fill(file, mebibytes)}`);
  await readInChild(file);
}

async function readInherited(): Promise<void> {
  await using file = fromDescriptor(INHERITED);
  console.log(`read ${await file.size() / MEBIBYTE} MiB, sha256 ${await digest(file)}`);
}

const [argument = "1024"] = process.argv.slice(2);
if (argument === READ) await readInherited();
else await writeAndPassOn(Number(argument));
