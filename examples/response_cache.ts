/**
 * A cache of HTTP responses on disk that survives a crash between any two lines.
 *
 *     response_cache.ts DIRECTORY URL
 *
 * Each response is one file: a line of JSON (address, status, headers), then the body as it came. `writeFileAtomic` puts
 * it in place in one step when the last byte has arrived and is on the disk. So what is at its path is always a whole
 * response, the old or the new one: there is no index that could disagree with the files, nothing to repair at the
 * start, and no lock. Two processes that fetch the same address both succeed, and the later one stays.
 *
 * The body goes to the disk chunk by chunk, never whole into memory.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { createReadStream, mkdirSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { Readable } from "node:stream";
import { writeFileAtomic } from "mayfly";
import { runAsProgram } from "./program.ts";

/** What is known of a response beside its body. */
interface Head {
  url: string;
  status: number;
  headers: [string, string][];
}

/** Bytes in which the first line must end. */
const LONGEST_HEAD = 64 * 1024;

const NEWLINE = 10;

/** Responses kept in a directory. */
export class ResponseCache {
  readonly #directory: string;

  /** @param directory Where to keep them; created if it is missing. */
  constructor(directory: string) {
    mkdirSync(directory, { recursive: true });
    this.#directory = directory;
  }

  /** The response from the cache, or from the network, which is then kept if it is a success. */
  async fetch(url: string): Promise<Response> {
    return this.match(url) ?? await this.#load(url);
  }

  /** The response from the cache, if it is there. */
  match(url: string): Response | undefined {
    const fd = openIfThere(this.#pathOf(url));
    if (fd === undefined) return undefined;
    // Head and body from one open file: another call may put a new response at the path at any moment.
    const { head, length } = readHead(fd);
    const body = Readable.toWeb(createReadStream("", { fd, start: length }));
    return new Response(body as ReadableStream<Uint8Array>, { status: head.status, headers: head.headers });
  }

  /** Fetches and keeps a response, in place of the one there was. */
  async refresh(url: string): Promise<void> {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`"${url}" answers with ${response.status}`);
    // A body that breaks off fails this call, and the file stays as it was.
    await writeFileAtomic(this.#pathOf(url), entry(url, response), { mode: "private" });
  }

  async #load(url: string): Promise<Response> {
    await this.refresh(url);
    return this.match(url)!;
  }

  #pathOf(url: string): string {
    return join(this.#directory, createHash("sha256").update(url).digest("hex"));
  }
}

/** What the file of a response consists of. */
async function* entry(url: string, response: Response): AsyncGenerator<string | Uint8Array> {
  // The body comes decoded, so what was said of its coding and its length is not true of it.
  const headers = [...response.headers].filter(([name]) => !/^content-(encoding|length)$/.test(name));
  const head: Head = { url, status: response.status, headers };
  yield `${JSON.stringify(head)}\n`;
  if (response.body !== null) yield* response.body as unknown as AsyncIterable<Uint8Array>;
}

function openIfThere(path: string): number | undefined {
  try {
    return openSync(path, "r");
  } catch (error) {
    if ((error as { code?: string }).code === "ENOENT") return undefined;
    throw error;
  }
}

/** The first line of a file, and where the body starts. */
function readHead(fd: number): { head: Head; length: number } {
  const start = new Uint8Array(LONGEST_HEAD);
  const end = start.subarray(0, readSync(fd, start, 0, LONGEST_HEAD, 0)).indexOf(NEWLINE);
  return { head: JSON.parse(new TextDecoder().decode(start.subarray(0, end))), length: end + 1 };
}

/** Runs as a program. */
export async function command([directory, url, ...rest]: string[]): Promise<void> {
  if (directory === undefined || url === undefined || rest.length > 0) {
    throw new Error("Usage: response_cache.ts DIRECTORY URL");
  }
  const response = await new ResponseCache(directory).fetch(url);
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    process.stdout.write(chunk);
  }
}

await runAsProgram(import.meta, command);
