import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ResponseCache } from "../../examples/response_cache.ts";
import { readState, updateState } from "../../examples/shared_state.ts";
import { download } from "../../examples/verified_download.ts";
import { runChild, runTogether, startChild } from "../support/child.ts";
import { example, start } from "../support/example.ts";
import { pattern, sameBytes } from "../support/kinds.ts";
import { packageTest as test } from "../support/once.ts";
import { isDeno, noLocks, noReplacing, noSignals } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";
import { noStrace } from "../support/strace.ts";

const CACHE = example("response_cache");
const STATE = example("shared_state");
const DOWNLOAD = example("verified_download");
/** For programs that connect to a server of a test. */
const permissions = ["--allow-net=127.0.0.1"];

/** Deno's flags for a child process that imports an example. */
const PROJECT_FLAGS = isDeno
  ? ["-A", "--config", fileURLToPath(new URL("../../deno.json", import.meta.url))]
  : undefined;

/** A local HTTP server, closed at the end of its scope. */
interface Served extends AsyncDisposable {
  url: string;
  requests: number;
}

async function serve(answer: (response: ServerResponse, request: IncomingMessage) => void): Promise<Served> {
  const server = createServer((request, response) => {
    served.requests++;
    answer(response, request);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const served: Served = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    requests: 0,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return served;
}

const BODY = pattern(500_000);

const bytesOf = async (response: Response): Promise<Uint8Array> =>
  new Uint8Array(await response.arrayBuffer());

/** Sends a part of the body and leaves the connection open. */
function sendPart(response: ServerResponse, length: number): void {
  response.writeHead(200, { "content-length": BODY.length });
  response.write(BODY.subarray(0, length));
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

test("response cache sends one request, and then returns the stored status, headers and body", async () => {
  using place = scratch();
  await using server = await serve((response) => {
    response.writeHead(203, { "content-type": "text/x-test", "x-own": "a" });
    response.end(BODY);
  });
  const cache = new ResponseCache(join(place.path, "made by the cache"));
  assert.equal(cache.match(server.url), undefined);
  for (let round = 0; round < 3; round++) {
    const response = await cache.fetch(server.url);
    assert.deepEqual(
      [response.status, response.headers.get("content-type"), response.headers.get("x-own")],
      [203, "text/x-test", "a"],
    );
    assert.ok(sameBytes(await bytesOf(response), BODY));
  }
  assert.equal(server.requests, 1);
  assert.equal(readdirSync(join(place.path, "made by the cache")).length, 1);
});

test("response cache stores an empty body, and no unsuccessful response", async () => {
  using place = scratch();
  let status = 404;
  await using server = await serve((response) => response.writeHead(status).end());
  const cache = new ResponseCache(place.path);
  await assert.rejects(cache.fetch(server.url), /responded with status 404/);
  assert.deepEqual(place.list(), []);
  status = 200;
  assert.equal((await bytesOf(await cache.fetch(server.url))).length, 0);
  assert.equal((await bytesOf(cache.match(server.url)!)).length, 0);
});

test("response cache keeps the old response when its replacement breaks off", async () => {
  using place = scratch();
  let broken = false;
  await using server = await serve((response) => {
    if (!broken) return void response.end(BODY);
    sendPart(response, 200_000);
    setTimeout(() => response.destroy(), 20);
  });
  const cache = new ResponseCache(place.path);
  await (await cache.fetch(server.url)).arrayBuffer();
  broken = true;
  await assert.rejects(cache.refresh(server.url));
  assert.ok(sameBytes(await bytesOf(cache.match(server.url)!), BODY));
  assert.equal(place.list().length, 1, "no other file remains");
});

test("response cache gives a reader the old response or the new one, complete, while it is replaced", {
  skip: noReplacing,
}, async () => {
  using place = scratch();
  const bodies = [pattern(300_000, 1), pattern(200_000, 2)];
  let sent = 0;
  await using server = await serve((response) => response.end(bodies[sent++ % 2]));
  const cache = new ResponseCache(place.path);
  await cache.refresh(server.url);
  let over = false;
  const seen = [0, 0];
  const reading = (async () => {
    while (!over) {
      const body = await bytesOf(cache.match(server.url)!);
      const which = bodies.findIndex((one) => sameBytes(one, body));
      assert.ok(which >= 0, `${body.length} bytes of neither`);
      seen[which]++;
    }
  })();
  const replacing = async (): Promise<void> => {
    for (let times = 0; times < 20 || Math.min(...seen) < 3 && times < 500; times++) {
      await cache.refresh(server.url);
    }
    over = true;
  };
  await Promise.all([reading, replacing()]);
  assert.ok(Math.min(...seen) >= 3, `${seen}`);
  assert.equal(place.list().length, 1);
});

test("a response of the response cache can be read completely after it was replaced", {
  skip: noReplacing,
}, async () => {
  using place = scratch();
  await using server = await serve((response) => response.end(BODY));
  const cache = new ResponseCache(place.path);
  await (await cache.fetch(server.url)).arrayBuffer();
  const reading = cache.match(server.url)!;
  await cache.refresh(server.url);
  assert.ok(sameBytes(await bytesOf(reading), BODY));
});

test(
  "response cache has the old response, or none, after its process was killed while receiving a body",
  { onOneNode: true },
  async () => {
    using place = scratch();
    using temporary = scratch();
    const old = join(place.path, "cache");
    let part: number | undefined;
    await using server = await serve((response) =>
      part === undefined ? void response.end(BODY) : sendPart(response, part)
    );
    await new ResponseCache(old).refresh(server.url);
    const both = `const { ResponseCache } = await import(${JSON.stringify(CACHE.href)});
      const [empty, old, url] = args;
      await Promise.all([new ResponseCache(empty).fetch(url), new ResponseCache(old).refresh(url)]);`;
    for (part of [0, 1, 100_000, 499_999]) {
      const empty = join(place.path, String(part)), before = server.requests;
      const { child, result } = startChild(both, {
        args: [empty, old, server.url],
        flags: PROJECT_FLAGS,
        env: { TMPDIR: temporary.path },
      });
      await until(() =>
        server.requests === before + 2 && (part === 0 || staged(empty) > 0 && staged(old) > 0)
      );
      child.kill("SIGKILL");
      assert.equal((await result).signal, "SIGKILL");
      removeStaged(old);
      assert.equal(new ResponseCache(empty).match(server.url), undefined, `${part} bytes`);
      assert.ok(sameBytes(await bytesOf(new ResponseCache(old).match(server.url)!), BODY), `${part} bytes`);
    }
  },
);

/** The total size of the files that are not yet renamed into place. */
function staged(directory: string): number {
  if (!existsSync(directory)) return 0;
  const names = readdirSync(directory).filter((name) => name.startsWith(".mayfly-"));
  return names.reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
}

test(
  "response cache has a complete response, or none, after its process was killed in fsync, rename or write",
  { skip: noStrace, onOneNode: true },
  async () => {
    using place = scratch();
    using temporary = scratch();
    await using server = await serve((response) => response.end(BODY));
    let killed = 0;
    for (
      const calls of [
        "fsync:signal=KILL:when=1",
        "?rename,?renameat,?renameat2:signal=KILL:when=1",
        "?pwrite64,?write:signal=KILL:when=40",
      ]
    ) {
      const directory = join(place.path, calls.replaceAll(/\W/g, ""));
      const names = calls.slice(0, calls.indexOf(":"));
      const tracer = [
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        `trace=${names}`,
        "-e",
        `inject=${calls}`,
      ];
      const child = start(CACHE, [directory, server.url], {
        permissions,
        under: tracer,
        env: { TMPDIR: temporary.path },
      });
      const { signal, stderr } = await child.end;
      if (signal === "SIGKILL") killed++;
      else assert.equal(stderr, "");
      const found = new ResponseCache(directory).match(server.url);
      if (found !== undefined) assert.ok(sameBytes(await bytesOf(found), BODY), calls);
    }
    assert.ok(killed >= 2, `${killed} killed`);
  },
);

test("the response cache program prints the body", { onOneNode: true }, async () => {
  using place = scratch();
  await using server = await serve((response) => response.end(BODY));
  const { stdout, stderr, status } = await start(CACHE, [place.path, server.url], { permissions }).end;
  assert.deepEqual([stderr, status], ["", 0]);
  assert.ok(sameBytes(new Uint8Array([...stdout].map((char) => char.charCodeAt(0))), BODY));
});

test(
  "the response cache program leaves no temporary file when it is terminated by SIGTERM",
  {
    onOneNode: true,
    skip: noSignals,
  },
  async () => {
    using place = scratch();
    await using server = await serve((response) => sendPart(response, 100_000));
    const child = start(CACHE, [place.path, server.url], { permissions });
    await until(() => staged(place.path) > 0);
    child.kill("SIGTERM");
    assert.equal((await child.end).signal, "SIGTERM");
    assert.deepEqual(place.list(), []);
  },
);

/** Removes the staged files of a killed process. */
function removeStaged(directory: string): void {
  for (const name of readdirSync(directory)) {
    if (name.startsWith(".mayfly-")) unlinkSync(join(directory, name));
  }
}

const noFlock = noLocks ||
  (isDeno || spawnSync("flock", ["--version"]).status === 0 ? false : "needs flock(1)");

test(
  "shared state changed by several processes at once loses no change, and every read gives a whole, later state",
  {
    skip: noFlock,
    onOneNode: true,
  },
  async () => {
    using place = scratch();
    const path = join(place.path, "state.json");
    let over = false, reads = 0, last = 0;
    const reading = (async () => {
      while (!over) {
        const state = await readState<{ [name: string]: number }>(path, {});
        const { count = 0 } = state;
        assert.deepEqual([state, count >= last], [count === 0 ? {} : { count }, true]);
        last = count;
        reads++;
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    })();
    const code = `const { updateState } = await import(${JSON.stringify(STATE.href)});
    for (let i = 0; i < 10; i++) await updateState(args[0], { count: 0 }, ({ count }) => ({ count: count + 1 }));
    say("done");`;
    const results = await Promise.all(
      ["a", "b", "c"].map(() => runChild(code, { args: [path], flags: PROJECT_FLAGS })),
    );
    over = true;
    await reading;
    for (const { said, stderr } of results) assert.deepEqual(said, ["done"], stderr);
    assert.deepEqual(await readState(path, {}), { count: 30 });
    assert.ok(reads > 5);
    assert.deepEqual(place.list(), ["state.json", "state.json.lock"]);
  },
);

test(
  "control: shared state without its lock loses changes",
  { onOneNode: true },
  async () => {
    using place = scratch();
    const path = join(place.path, "state.json");
    writeFileSync(path, '{"count":0}');
    const code = `
    for (let i = 0; i < 10; i++) {
      const { count } = JSON.parse(fs.readFileSync(args[0], "utf8"));
      await new Promise((resolve) => setTimeout(resolve, 20));
      await m.writeFileAtomic(args[0], JSON.stringify({ count: count + 1 }), { durable: false });
    }`;
    await runTogether(code, [[path], [path], [path]]);
    assert.ok((await readState(path, { count: 30 })).count < 30);
  },
);

test(
  "shared state keeps its lock file and its contents when a change throws",
  { skip: noFlock },
  async () => {
    using place = scratch();
    const path = join(place.path, "state.json");
    const inode = (): number => statSync(`${path}.lock`).ino;
    assert.deepEqual(await updateState(path, { list: [1] }, ({ list }) => ({ list: [...list, 2] })), {
      list: [1, 2],
    });
    const first = inode();
    await assert.rejects(
      updateState(path, {}, () => {
        throw new Error("no");
      }),
      /^Error: no$/,
    );
    assert.deepEqual(await readState(path, {}), { list: [1, 2] });
    await updateState(path, {}, (state) => state);
    assert.equal(inode(), first);
    writeFileSync(path, "{");
    await assert.rejects(updateState(path, {}, (state) => state), { name: "SyntaxError" });
    assert.equal(readFileSync(path, "utf8"), "{");
  },
);

test(
  "the shared state program counts, also after a process was killed while holding the lock",
  { skip: noFlock, onOneNode: true },
  async () => {
    using place = scratch();
    const path = join(place.path, "state.json");
    const holder = `const { updateState } = await import(${JSON.stringify(STATE.href)});
    await updateState(args[0], {}, (state) => { say("locked"); process.kill(process.pid, "SIGKILL"); return state; });`;
    const { said, signal } = await runChild(holder, { args: [path], flags: PROJECT_FLAGS });
    assert.deepEqual([said, signal], [["locked"], "SIGKILL"]);
    const [first, second] = [
      await start(STATE, [path, "visits"]).end,
      await start(STATE, [path, "visits"]).end,
    ];
    assert.deepEqual(
      [first.stdout, second.stdout],
      ['{"visits":1}\n', '{"visits":2}\n'],
      first.stderr + second.stderr,
    );
    const { status, stderr } = await start(STATE, []).end;
    assert.deepEqual([status, stderr], [1, "shared_state: Usage: shared_state.ts FILE NAME\n"]);
  },
);

const hashOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

test(
  "verified download puts a file with the expected hash in place, new or not, with the mode that the umask allows",
  async () => {
    using place = scratch();
    await using server = await serve((response) => response.end(BODY));
    const destination = join(place.path, "file");
    for (const hash of [hashOf(BODY), hashOf(BODY).toUpperCase()]) {
      assert.equal(await download(server.url, destination, hash), destination);
      assert.ok(sameBytes(readFileSync(destination), BODY));
      assert.equal(statSync(destination).mode & 0o777, 0o666 & ~process.umask());
      assert.deepEqual(place.list(), ["file"]);
      // What the next one replaces.
      writeFileSync(destination, "old");
      chmodSync(destination, 0o600);
    }
  },
);

test(
  "verified download with a wrong hash, an HTTP error, a broken connection or an abort keeps the old file only",
  async () => {
    using place = scratch();
    const destination = join(place.path, "file");
    writeFileSync(destination, "old");
    chmodSync(destination, 0o600);
    let answer = (response: ServerResponse): void => void response.end(BODY);
    await using server = await serve((response) => answer(response));
    await assert.rejects(
      download(server.url, destination, hashOf(BODY.subarray(1))),
      /has the hash [0-9a-f]{64}, not /,
    );
    answer = (response) => void response.writeHead(503).end("busy");
    await assert.rejects(download(server.url, destination, hashOf(BODY)), /responded with status 503/);
    answer = (response) => {
      sendPart(response, 200_000);
      setTimeout(() => response.destroy(), 20);
    };
    await assert.rejects(download(server.url, destination, hashOf(BODY)));
    answer = (response) => sendPart(response, 100_000);
    await assert.rejects(download(server.url, destination, hashOf(BODY), AbortSignal.timeout(100)), {
      name: "TimeoutError",
    });
    assert.equal(readFileSync(destination, "utf8"), "old");
    assert.deepEqual(place.list(), ["file"]);
  },
);

test(
  "the verified download program works with permission to read, write and use the network, and refuses a wrong hash",
  { onOneNode: true },
  async () => {
    using place = scratch();
    const destination = join(place.path, "file");
    await using server = await serve((response) => response.end(BODY));
    const { status, stdout, stderr } = await start(DOWNLOAD, [server.url, destination, hashOf(BODY)], {
      permissions,
    }).end;
    assert.deepEqual([status, stdout, stderr], [0, `${destination}\n`, ""]);
    const wrong = await start(DOWNLOAD, [server.url, destination, "00"], { permissions }).end;
    assert.equal(wrong.status, 1);
    assert.match(wrong.stderr, /^verified_download: ".*" has the hash /);
  },
);

test("the verified download program leaves no file when it is terminated by SIGTERM", {
  onOneNode: true,
  skip: noSignals,
}, async () => {
  using place = scratch();
  const destination = join(place.path, "file");
  await using server = await serve((response) => sendPart(response, 100_000));
  const child = start(DOWNLOAD, [server.url, destination, hashOf(BODY)], { permissions });
  await until(() =>
    place.list().some((name) => name.startsWith(".download-") && statSync(join(place.path, name)).size > 0)
  );
  child.kill("SIGTERM");
  assert.equal((await child.end).signal, "SIGTERM");
  assert.deepEqual(place.list(), []);
});
