/**
 * An HTTP server that takes uploads of unknown size from people who are not to be trusted.
 *
 *     secure_upload.ts DIRECTORY [PORT]     (then: curl -T picture.png http://127.0.0.1:PORT/)
 *
 * A body is collected where nobody else can see it: in memory while it is small, then in a file that has no name. Only
 * when it is complete, not too large, and what it should be does it appear in DIRECTORY, whole, named by its hash, for
 * this user alone. A sender that breaks off, a disk that is full and a process that is killed leave nothing.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { join } from "node:path";
import { spooledTemporaryFile, TempfileError } from "mayfly";
import { runAsProgram } from "./program.ts";

/** Bytes of the largest upload. */
const LARGEST = 10 * 1024 ** 2;

/** Bytes of an upload that are kept in memory. */
const IN_MEMORY = 64 * 1024;

/** How every PNG file begins. */
const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);

/** What is answered. */
interface Answer {
  status: number;
  text: string;
}

/** Takes one upload. */
export async function receive(body: AsyncIterable<Uint8Array>, directory: string): Promise<Answer> {
  await using file = spooledTemporaryFile({ dir: directory, maxMemory: IN_MEMORY, maxSize: LARGEST });
  try {
    await file.write(body);
    const start = new Uint8Array(SIGNATURE.length);
    await file.readInto(start, { at: 0 });
    if (!start.every((byte, index) => byte === SIGNATURE[index])) {
      return { status: 415, text: "not a PNG file" };
    }
    const hash = createHash("sha256");
    for await (const chunk of file) hash.update(chunk);
    const name = `${hash.digest("hex")}.png`;
    await file.persist(join(directory, name), { overwrite: false, mode: "private" });
    return { status: 201, text: name };
  } catch (error) {
    return answerTo(error);
  }
}

/** What a failure means to the sender. */
function answerTo(error: unknown): Answer {
  const code = error instanceof TempfileError ? error.code : undefined;
  if (code === "EEXIST") return { status: 200, text: "known already" };
  if (code === "EFBIG") return { status: 413, text: `larger than ${LARGEST} bytes` };
  if (code === "ENOSPC") return { status: 507, text: "no room" };
  throw error;
}

/** A server that keeps what it receives in `directory`. */
export function uploadServer(directory: string): Server {
  return createServer(async (request: IncomingMessage, response) => {
    const { status, text } = await receive(request, directory).catch((error) => {
      // The sender has gone, or something is wrong here: neither is for the sender to read.
      if (!request.destroyed) console.error(error);
      return { status: 500, text: "not taken" };
    });
    // What was not read is not waited for.
    response.writeHead(status, { connection: "close" }).end(`${text}\n`);
  });
}

/** Runs as a program. */
export async function command([directory, port = "0", ...rest]: string[]): Promise<void> {
  if (directory === undefined || rest.length > 0) throw new Error("Usage: secure_upload.ts DIRECTORY [PORT]");
  const server = uploadServer(directory);
  await new Promise<void>((resolve) => server.listen(Number(port), "127.0.0.1", resolve));
  console.log(`http://127.0.0.1:${(server.address() as { port: number }).port}/`);
}

await runAsProgram(import.meta, command);
