/**
 * An HTTP server that accepts uploads of unknown size from untrusted clients.
 *
 *     secure_upload.ts DIRECTORY [PORT]     (then: curl -T picture.png http://127.0.0.1:PORT/)
 *
 * A body is collected where no other user can see it: in memory while it is small, then in a file without a name. Only if
 * it is complete, not too large, and a PNG file does it appear in DIRECTORY, whole, named after its hash, and private to
 * this user. An aborted upload, a full disk and a killed process leave nothing.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { join } from "node:path";
import { spooledTemporaryFile, TempfileError } from "mayfly";
import { runAsProgram } from "./program.ts";

/** The largest accepted upload, in bytes. */
const LARGEST = 10 * 1024 ** 2;

/** Bytes of an upload to keep in memory. */
const IN_MEMORY = 64 * 1024;

/** The signature at the start of every PNG file. */
const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);

/** The response to an upload. */
interface Answer {
  status: number;
  text: string;
}

/** Receives one upload. */
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

/** Maps a failure to a response. */
function answerTo(error: unknown): Answer {
  const code = error instanceof TempfileError ? error.code : undefined;
  if (code === "EEXIST") return { status: 200, text: "known already" };
  if (code === "EFBIG") return { status: 413, text: `larger than ${LARGEST} bytes` };
  if (code === "ENOSPC") return { status: 507, text: "not enough space" };
  throw error;
}

/** Creates a server that stores uploads in `directory`. */
export function uploadServer(directory: string): Server {
  return createServer(async (request: IncomingMessage, response) => {
    const { status, text } = await receive(request, directory).catch((error) => {
      // The client has disconnected, or the server is at fault: the client gets no details.
      if (!request.destroyed) console.error(error);
      return { status: 500, text: "not stored" };
    });
    // Do not wait for the rest of the body.
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
