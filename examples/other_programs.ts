/**
 * Temporary files and directories as a workspace for other programs: `git`, `tar` and `sqlite3`.
 *
 *     other_programs.ts REPOSITORY ARCHIVE
 *
 * Writes the last commit of a git repository to a compressed archive, together with a database that lists its files.
 * Programs that need a path get one; those that write to standard output get a file descriptor. Whatever fails or is
 * interrupted, ARCHIVE is never incomplete, and the workspace is removed.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { dirname } from "node:path";
import { namedTemporaryFile, temporaryDirectory, type TemporaryFile } from "mayfly";
import { runAsProgram } from "./program.ts";

/** Runs a program until it exits; `input` and `output` are its standard input and output. */
async function run(
  command: string,
  args: string[],
  { input, output }: { input?: TemporaryFile; output?: TemporaryFile } = {},
): Promise<void> {
  const child = spawn(command, args, { stdio: [input?.fd ?? "ignore", output?.fd ?? "ignore", "inherit"] });
  const [status] = await once(child, "exit");
  if (status !== 0) throw new Error(`${command} exited with status ${status}`);
}

/** Creates a database from the output of `git ls-tree`: a path and a size in each line. */
async function listFiles(repository: string, database: string): Promise<void> {
  await using list = await namedTemporaryFile({ suffix: ".tsv" });
  const format = "--format=%(path)%x09%(objectsize)";
  await run("git", ["-C", repository, "ls-tree", "-r", format, "HEAD"], { output: list });
  // The path is generated: it contains no character that needs quoting.
  const create = "create table files (path text primary key, bytes integer)";
  await run("sqlite3", [database, create, ".mode tabs", `.import ${list.path} files`]);
}

/** Writes the archive, and returns its canonical path. */
export async function archive(repository: string, destination: string): Promise<string> {
  await using work = await temporaryDirectory({ prefix: "archive-" });
  await using tree = await work.namedTemporaryFile({ suffix: ".tar" });
  await run("git", ["-C", repository, "archive", "HEAD"], { output: tree });
  await listFiles(repository, work.join("files.db"));

  // In the destination's directory, so that persist() is a rename.
  await using result = await namedTemporaryFile({ dir: dirname(destination), prefix: ".archive-" });
  await run("tar", ["-rf", tree.path, "-C", work.path, "files.db"]);
  await run("gzip", ["-c", tree.path], { output: result });
  return await result.persist(destination, { mode: "umask" });
}

/** Runs as a program. */
export async function command([repository, destination, ...rest]: string[]): Promise<void> {
  if (repository === undefined || destination === undefined || rest.length > 0) {
    throw new Error("Usage: other_programs.ts REPOSITORY ARCHIVE");
  }
  console.log(await archive(repository, destination));
}

await runAsProgram(import.meta, command);
