/**
 * Typical uses of temporary files, with real databases, servers and downloads.
 *
 * @module
 */
import assert from "node:assert/strict";
import { createServer, type IncomingMessage } from "node:http";
import { createServer as createConnection, type Socket } from "node:net";
import { readdirSync, statSync } from "node:fs";
import { isBuiltin } from "node:module";
import { pipeline, Readable } from "node:stream";
import { test } from "node:test";
import { namedTemporaryFile, spooledTemporaryFile, temporaryDirectory } from "#mod";
import { runChild } from "../support/child.ts";
import { isBun } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";

/** The part of SQLite's interfaces that Node's, Deno's and Bun's have in common. */
interface Database {
  exec(sql: string): unknown;
  prepare(sql: string): { all(): unknown[] };
  close(): void;
}

/** Opens a database with the runtime's own SQLite. */
async function openDatabase(path: string): Promise<Database> {
  // Computed, so that the type checker does not resolve modules of other runtimes.
  const from = (name: string) => import(name);
  if (isBun) return new (await from("bun:sqlite")).Database(path);
  return new (await from("node:sqlite")).DatabaseSync(path);
}

test(
  "an SQLite database in a temporary directory works, and is removed with its journal and the directory (skipped on Node 20)",
  {
    skip: !isBun && !isBuiltin("node:sqlite") && "Node 20 has no SQLite",
  },
  async () => {
    using place = scratch();
    {
      await using directory = await temporaryDirectory({ dir: place.path });
      const database = await openDatabase(directory.join("data.db"));
      database.exec("pragma journal_mode = wal");
      database.exec("create table numbers (number integer)");
      database.exec("insert into numbers values (1), (2), (3)");
      const rows = database.prepare("select sum(number) as sum from numbers").all();
      assert.deepEqual(rows.map((row) => ({ ...row as object })), [{ sum: 6 }]);
      assert.ok(readdirSync(directory.path).length >= 2, "the journal is in the directory too");
      database.close();
    }
    assert.deepEqual(place.list(), []);
  },
);

/** The runtime's own HTTP server on a free port, until the end of the scope. */
interface Server extends AsyncDisposable {
  url: string;
}

type Handler = (request: Request) => Promise<Response>;

/** The parts of Deno's and Bun's servers that are used here. */
interface Serving {
  Deno?: {
    serve(options: object, handler: Handler): { addr: { port: number }; shutdown(): Promise<void> };
  };
  Bun?: { serve(options: object): { port: number; stop(force: boolean): void } };
}

async function serve(handler: Handler): Promise<Server> {
  const { Deno, Bun } = globalThis as Serving;
  const at = (port: number): string => `http://127.0.0.1:${port}/`;
  if (Bun !== undefined) {
    const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: handler });
    return { url: at(server.port), [Symbol.asyncDispose]: () => Promise.resolve(server.stop(true)) };
  }
  if (Deno !== undefined) {
    const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, handler);
    return { url: at(server.addr.port), [Symbol.asyncDispose]: () => server.shutdown() };
  }
  const server = createServer(async (incoming, outgoing) => {
    const { status, body } = await handler(requestOf(incoming));
    outgoing.writeHead(status);
    if (body === null) outgoing.end();
    else pipeline(Readable.fromWeb(body as Parameters<typeof Readable.fromWeb>[0]), outgoing, () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return {
    url: at(port),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function requestOf(incoming: IncomingMessage): Request {
  const hasBody = incoming.method === "POST";
  const init = { method: incoming.method, headers: incoming.headers as HeadersInit, duplex: "half" };
  return new Request("http://localhost/", {
    ...init,
    ...hasBody ? { body: Readable.toWeb(incoming) as unknown as ReadableStream } : {},
  } as RequestInit);
}

const LARGE = new Uint8Array(3_000_000).map((_, index) => index * 7 + (index >> 8));

test("spooledTemporaryFile() stores the parts of a multipart upload unchanged: small ones in memory, large ones on disk", async () => {
  using place = scratch();
  const seen: unknown[] = [];
  await using server = await serve(async (request) => {
    for (const [name, part] of await request.formData()) {
      if (typeof part === "string") continue;
      await using spool = spooledTemporaryFile({ dir: place.path, maxMemory: 64 * 1024 });
      await spool.write(part);
      const back = await spool.bytes();
      seen.push([
        name,
        spool.rolled,
        back.length === part.size && back.every((byte, index) => byte === LARGE[index]),
      ]);
    }
    return new Response("taken");
  });
  const form = new FormData();
  form.set("small", new Blob([LARGE.subarray(0, 1000)]), "small.bin");
  form.set("large", new Blob([LARGE]), "large.bin");
  const answer = await fetch(server.url, { method: "POST", body: form });
  assert.equal(await answer.text(), "taken");
  assert.deepEqual(seen, [["small", false, true], ["large", true, true]]);
  assert.deepEqual(place.list(), []);
});

test("a response body can be written to a file, and a file's readable stream can be served as a response", async () => {
  await using source = await namedTemporaryFile();
  await source.write(LARGE);
  await using server = await serve(() => Promise.resolve(new Response(source.readable)));
  await using file = await namedTemporaryFile();
  const response = await fetch(server.url);
  assert.equal(await file.write(response), LARGE.length);
  assert.deepEqual(new Uint8Array(await new Response(file.readable).arrayBuffer()), LARGE);
});

test("write() of a download that breaks off rejects, and leaves the file open with what was received", async () => {
  const sockets: Socket[] = [];
  // The declared length exceeds what is sent.
  const server = createConnection((socket) => {
    sockets.push(socket);
    socket.write("HTTP/1.1 200 OK\r\ncontent-length: 500000\r\n\r\n");
    socket.write(LARGE.subarray(0, 200_000));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await using file = await namedTemporaryFile();
  const response = await fetch(`http://127.0.0.1:${port}/`);
  const written = assert.rejects(file.write(response));
  while (statSync(file.path).size === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  for (const socket of sockets) socket.destroy();
  await written;
  await new Promise((resolve) => server.close(resolve));
  const size = await file.size();
  assert.ok(size > 0 && size <= 200_000, `${size} bytes`);
  assert.deepEqual(await file.bytes(), LARGE.subarray(0, size));
});

/** Replaces the global Promise, as zone.js does. The engine still creates promises of its own class. */
const REPLACE_PROMISE = `
  const Own = Promise;
  globalThis.Promise = class Other {
    #own;
    constructor(start) { this.#own = new Own(start); }
    then(...listeners) { return this.#own.then(...listeners); }
    catch(listener) { return this.#own.catch(listener); }
    finally(listener) { return this.#own.finally(listener); }
    static resolve(value) { return Own.resolve(value); }
    static reject(reason) { return Own.reject(reason); }
  };`;

test("files and directories work through the thread pool and inline if another class replaces the global Promise", async () => {
  using place = scratch();
  const code = `${REPLACE_PROMISE}
    for (const inline of [false, undefined]) {
      m.configure({ inline });
      const directory = await m.temporaryDirectory({ dir: args[0] });
      const file = await directory.namedTemporaryFile();
      await file.write("hello");
      await m.writeFileAtomic(directory.join("out"), file.stream());
      const found = await m.adoptFile(directory.join("out"));
      say([await file.text(), await file.size(), await found.text()]);
      await found.persist(directory.join("again"));
      await file.close();
      await directory.remove();
    }`;
  const { said, status, stderr } = await runChild(code, { args: [place.path] });
  assert.deepEqual([status, stderr], [0, ""]);
  const each = ["hello", 5, "hello"];
  assert.deepEqual(said, [each, each]);
  assert.deepEqual(place.list(), []);
});
