/**
 * A pipeline of two processes that hand over temporary files. At every moment one of them is responsible for removal.
 *
 *     job_pipeline.ts INPUT RESULT
 *
 * The first process splits INPUT into jobs of some lines, one temporary file each, and passes their paths to the second,
 * which counts the words in each and writes the sum to RESULT. Ownership of a file changes in two steps: the receiver
 * adopts it and acknowledges, and only then does the sender release it. If either process is killed in between, the other
 * still removes the file; if both are killed, the next process that uses Mayfly removes it.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createReadStream } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { adoptFile, type NamedTemporaryFile, namedTemporaryFile, writeFileAtomic } from "mayfly";
import { runAsProgram } from "./program.ts";

/** The argument that selects the second process. */
const WORK = "--work";

/** Lines per job. */
const LINES = 1000;

/** Yields the jobs, each in a file that this process owns. */
async function* jobsOf(input: string): AsyncGenerator<NamedTemporaryFile> {
  let job: NamedTemporaryFile | undefined;
  let lines = 0;
  for await (const line of createInterface({ input: createReadStream(input), crlfDelay: Infinity })) {
    job ??= await namedTemporaryFile({ prefix: "job-", bufferSize: 64 * 1024 });
    await job.write(`${line}\n`);
    if (++lines % LINES > 0) continue;
    yield job;
    job = undefined;
  }
  if (job !== undefined) yield job;
}

/** Hands all jobs to a second process. */
async function send(input: string, result: string): Promise<number> {
  const script = fileURLToPath(import.meta.url);
  const run = "Deno" in globalThis ? ["run", "-A"] : process.execArgv;
  const worker = spawn(process.execPath, [...run, script, WORK, result], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const ended = once(worker, "exit");
  const answers = createInterface({ input: worker.stdout })[Symbol.asyncIterator]();
  for await (const job of jobsOf(input)) {
    await using file = job;
    await file.flush();
    worker.stdin.write(`${file.path}\n`);
    const { value: answer } = await answers.next();
    // From here on the second process owns it. Without the answer the end of the scope removes it.
    if (answer === `taken ${file.path}`) file.keep();
    else throw new Error(`the second process exited before it took "${file.path}"`);
  }
  worker.stdin.end();
  const [status] = await ended;
  return status ?? 1;
}

/** Processes jobs until there are no more. */
async function work(result: string): Promise<void> {
  let words = 0;
  for await (const path of createInterface({ input: process.stdin })) {
    await using file = await adoptFile(path);
    console.log(`taken ${path}`);
    for await (const line of file.lines()) words += line.split(/\s+/).filter(Boolean).length;
  }
  await writeFileAtomic(result, `${words}\n`);
}

/** Runs as either of the two processes. */
export async function command([first, second, ...rest]: string[]): Promise<number | void> {
  if (first === undefined || second === undefined || rest.length > 0) {
    throw new Error("Usage: job_pipeline.ts INPUT RESULT");
  }
  return first === WORK ? await work(second) : await send(first, second);
}

await runAsProgram(import.meta, command);
