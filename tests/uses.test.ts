/**
 * What people have temporary files for, with the real thing at the other end.
 *
 * @module
 */
import assert from "node:assert/strict";
import { createServer, type IncomingMessage } from "node:http";
import { createServer as createConnection } from "node:net";
import { readdirSync } from "node:fs";
import process from "node:process";
import { pipeline, Readable } from "node:stream";
import { test } from "node:test";
import { namedTemporaryFile, spooledTemporaryFile, temporaryDirectory } from "#mod";
import { runChild } from "./support/child.ts";
import { scratch } from "./support/scratch.ts";

/** The part of SQLite's interfaces that Node's, Deno's and Bun's have in common. */
interface Database {
  exec(sql: string): unknown;
  prepare(sql: string): { all(): unknown[] };
  close(): void;
}

/** The runtime's own SQLite; undefined if it has none (Node 20). */
async function openDatabase(path: string): Promise<Database | undefined> {
  // Computed, so that nobody resolves what is not there.
  const from = (name: string) => import(name);
  if (process.versions.bun !== undefined) return new (await from("bun:sqlite")).Database(path);
  const sqlite = await from("node:sqlite").catch(() => undefined);
  return sqlite === undefined ? undefined : new sqlite.DatabaseSync(path);
}

test("a database in a temporary directory, with its journal, works and goes with the directory", async () => {
  using place = scratch();
  {
    await using directory = await temporaryDirectory({ dir: place.path });
    const database = await openDatabase(directory.join("data.db"));
    if (database !== undefined) {
      database.exec("pragma journal_mode = wal");
      database.exec("create table numbers (number integer)");
      database.exec("insert into numbers values (1), (2), (3)");
      assert.deepEqual(
        database.prepare("select sum(number) as sum from numbers").all().map((row) => ({ ...row as object })),
        [
          { sum: 6 },
        ],
      );
      assert.ok(readdirSync(directory.path).length >= 2, "the journal is beside the data");
      database.close();
    }
  }
  assert.deepEqual(place.list(), []);
});

/** A server of the runtime's own kind on a free port, until the end of the scope. */
interface Server extends AsyncDisposable {
  url: string;
}

type Handler = (request: Request) => Promise<Response>;

/** The part of the other runtimes' servers in use. */
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

test("a multipart upload to a real server is spooled: small parts stay in memory, large ones go to disk, and all come back whole", async () => {
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

test("a download from a real server is written as it arrives, and a file is served from its stream", async () => {
  await using source = await namedTemporaryFile();
  await source.write(LARGE);
  await using server = await serve(() => Promise.resolve(new Response(source.readable)));
  await using file = await namedTemporaryFile();
  const response = await fetch(server.url);
  assert.equal(await file.write(response), LARGE.length);
  assert.deepEqual(new Uint8Array(await new Response(file.readable).arrayBuffer()), LARGE);
});

test("a download that breaks off rejects, and leaves the file open with what came before", async () => {
  // Promises more than it sends.
  const server = createConnection((socket) => {
    socket.write("HTTP/1.1 200 OK\r\ncontent-length: 500000\r\n\r\n");
    socket.write(LARGE.subarray(0, 200_000), () => setTimeout(() => socket.destroy(), 50));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await using file = await namedTemporaryFile();
  const response = await fetch(`http://127.0.0.1:${port}/`);
  await assert.rejects(file.write(response));
  await new Promise((resolve) => server.close(resolve));
  const size = await file.size();
  assert.ok(size <= 200_000, `${size} bytes`);
  assert.deepEqual(await file.bytes(), LARGE.subarray(0, size));
});

/** What zone.js and its like do: the engine still makes promises of its own class, which is not the global one then. */
const OTHER_PROMISE = `
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

test("with another class in place of Promise, everything works through the thread pool and inline", async () => {
  using place = scratch();
  const code = `${OTHER_PROMISE}
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
