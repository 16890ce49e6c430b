/**
 * An on-disk cache of HTTP responses that survives a crash at any point.
 *
 *     response_cache.ts DIRECTORY URL
 *
 * Each response is one file: a line of JSON (URL, status, headers), then the body as received. `writeFileAtomic` puts it
 * at its path in one step, once the last byte has arrived and is on disk. So there is always a whole response at the
 * path, the old or the new one: there is no index that could disagree with the files, nothing to repair on start-up, and
 * no lock. If two processes fetch the same URL, both succeed, and the later one wins.
 *
 * The body is written to disk chunk by chunk, and is never held in memory as a whole.
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

/** The metadata of a response. */
interface Head {
  url: string;
  status: number;
  headers: [string, string][];
}

/** The maximum length of the first line, in bytes. */
const LONGEST_HEAD = 64 * 1024;

const NEWLINE = 10;

/** A cache of responses in a directory. */
export class ResponseCache {
  readonly #directory: string;

  /** @param directory Where to keep the responses; created if it is missing. */
  constructor(directory: string) {
    mkdirSync(directory, { recursive: true });
    this.#directory = directory;
  }

  /** Returns the response from the cache, or else from the network; a successful one is cached. */
  async fetch(url: string): Promise<Response> {
    return this.match(url) ?? await this.#load(url);
  }

  /** Returns the response from the cache; undefined if there is none. */
  match(url: string): Response | undefined {
    const fd = openIfThere(this.#pathOf(url));
    if (fd === undefined) return undefined;
    // Read head and body from one open file: another call may replace the file at the path at any moment.
    const { head, length } = readHead(fd);
    const body = Readable.toWeb(createReadStream("", { fd, start: length }));
    return new Response(body as ReadableStream<Uint8Array>, { status: head.status, headers: head.headers });
  }

  /** Fetches and caches a response, replacing the previous one. */
  async refresh(url: string): Promise<void> {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`"${url}" responded with status ${response.status}`);
    // An interrupted body fails this call, and the file is unchanged.
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

/** Yields the contents of a response's file. */
async function* entry(url: string, response: Response): AsyncGenerator<string | Uint8Array> {
  // fetch() has decoded the body, so these two headers no longer describe it.
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

/** Reads the first line of a file; returns it with the offset of the body. */
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
