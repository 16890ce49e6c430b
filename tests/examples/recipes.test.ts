/**
 * The recipes among the examples, each run as its reader would run it.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { record } from "../../examples/watch_space.ts";
import { receive, uploadServer } from "../../examples/secure_upload.ts";
import { firstOutput } from "../support/child.ts";
import { example, run, start } from "../support/example.ts";
import { pattern } from "../support/kinds.ts";
import { packageTest as test } from "../support/once.ts";
import { noMounts } from "../support/places.ts";
import { isDeno, shownMode } from "../support/platform.ts";
import { type Scratch, scratch } from "../support/scratch.ts";

const missing = (...programs: string[]): string | false =>
  programs.every((name) => spawnSync("sh", ["-c", `command -v ${name}`]).status === 0)
    ? false
    : `needs ${programs.join(", ")}`;

/** Creates an empty directory for temporary files; returns it with the environment that selects it. */
function ownTmpdir(place: Scratch): { path: string; env: { TMPDIR: string }; left(): string[] } {
  const path = join(place.path, "tmp");
  mkdirSync(path);
  return {
    path,
    env: { TMPDIR: path },
    left: () => readdirSync(path).filter((name) => !/^\.mayfly-(\d+|user)$/.test(name)),
  };
}

const PERMISSIONS = isDeno ? ["--allow-env", "--allow-run", "--allow-sys"] : [];

test(
  "job pipeline: two processes hand files over to each other, and the result is right with nothing left",
  { onOneNode: true },
  async () => {
    using place = scratch();
    const temporary = ownTmpdir(place);
    const input = join(place.path, "in"), result = join(place.path, "result");
    writeFileSync(input, "one two three\n\nfour\n".repeat(1500));
    const { env } = temporary;
    const { status, stderr } = await run(example("job_pipeline"), [input, result], {
      permissions: PERMISSIONS,
      env,
    });
    assert.deepEqual([status, stderr, readFileSync(result, "utf8"), temporary.left()], [0, "", "6000\n", []]);
  },
);

test(
  "job pipeline: the first process removes the files if the second fails before taking them over",
  { onOneNode: true },
  async () => {
    using place = scratch();
    const temporary = ownTmpdir(place);
    const input = join(place.path, "in");
    writeFileSync(input, "one\n");
    const nowhere = join(place.path, "missing", "result");
    const { env } = temporary;
    const { status, stderr } = await run(example("job_pipeline"), [input, nowhere], {
      permissions: PERMISSIONS,
      env,
    });
    assert.equal(status, 1);
    assert.match(stderr, /ENOENT/);
    assert.deepEqual(temporary.left(), []);
  },
);

const PNG = new Uint8Array([...[0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a], ...pattern(300_000)]);

test(
  "secure upload: a PNG file is stored privately under its hash; other data is refused and leaves nothing",
  async () => {
    using place = scratch();
    const server = uploadServer(place.path);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(server.address() as { port: number }).port}/`;
    const put = async (body: Uint8Array<ArrayBuffer>): Promise<[number, string]> => {
      const response = await fetch(url, { method: "PUT", body });
      return [response.status, (await response.text()).trim()];
    };
    const [status, name] = await put(PNG);
    assert.equal(status, 201);
    assert.deepEqual(place.names(), [name]);
    assert.deepEqual(new Uint8Array(readFileSync(join(place.path, name))), PNG);
    assert.equal(statSync(join(place.path, name)).mode & 0o777, shownMode(0o600));
    assert.deepEqual(await put(PNG), [200, "known already"]);
    assert.deepEqual(await put(new TextEncoder().encode("#!/bin/sh")), [415, "not a PNG file"]);
    assert.deepEqual(place.names(), [name]);
    await new Promise((resolve) => server.close(resolve));
  },
);

test(
  "secure upload: an endless body is refused at the limit, and an interrupted one leaves nothing",
  async () => {
    using place = scratch();
    let sent = 0;
    const endless = async function* (): AsyncGenerator<Uint8Array> {
      for (;; sent++) {
        await Promise.resolve();
        yield new Uint8Array(1024 ** 2);
      }
    };
    assert.equal((await receive(endless(), place.path)).status, 413);
    assert.ok(sent <= 11, `${sent} MiB were taken`);
    const broken = async function* (): AsyncGenerator<Uint8Array> {
      yield PNG;
      await Promise.reject(new Error("gone"));
    };
    await assert.rejects(receive(broken(), place.path), /gone/);
    assert.deepEqual(place.names(), []);
  },
);

test(
  "other programs: git, sqlite3 and tar work on paths and descriptors of temporary files, and the archive is whole",
  {
    onOneNode: true,
    skip: missing("git", "sqlite3", "tar", "gzip"),
  },
  async () => {
    using place = scratch();
    const temporary = ownTmpdir(place);
    const repository = join(place.path, "repository"), destination = join(place.path, "out.tar.gz");
    mkdirSync(repository);
    writeFileSync(join(repository, "a file.txt"), "contents\n");
    const identity = ["-c", "user.name=A", "-c", "user.email=a@example.com"];
    for (const args of [["init", "-q"], ["add", "."], [...identity, "commit", "-qm", "first"]]) {
      assert.equal(spawnSync("git", ["-C", repository, ...args]).status, 0);
    }
    const { env } = temporary;
    const ended = await run(example("other_programs"), [repository, destination], {
      permissions: PERMISSIONS,
      env,
    });
    assert.deepEqual([ended.status, ended.stderr, ended.stdout], [0, "", `${destination}\n`]);
    const unpacked = join(place.path, "unpacked");
    mkdirSync(unpacked);
    assert.equal(spawnSync("tar", ["-xzf", destination, "-C", unpacked]).status, 0);
    assert.deepEqual(readdirSync(unpacked).sort(), ["a file.txt", "files.db"]);
    const query = spawnSync("sqlite3", [join(unpacked, "files.db"), "select * from files"], {
      encoding: "utf8",
    });
    assert.equal(query.stdout, "a file.txt|9\n");
    assert.deepEqual(temporary.left(), []);

    const failed = await run(example("other_programs"), [place.path, destination], {
      permissions: PERMISSIONS,
      env,
    });
    assert.equal(failed.status, 1);
    assert.deepEqual(place.list(), ["out.tar.gz", "repository", "tmp", "unpacked"]);
  },
);

test(
  "single instance: a second one exits with 75 while the first runs, and flock(1) does not get the lock either",
  {
    onOneNode: true,
    skip: missing("flock"),
  },
  async () => {
    using place = scratch();
    const lock = join(place.path, "lock");
    const permissions = PERMISSIONS;
    const first = start(example("single_instance"), [lock, "cat"], { permissions });
    // It holds the lock once its command echoes.
    first.stdin!.write("running\n");
    await firstOutput(first);
    const second = await run(example("single_instance"), [lock, "echo", "never"], { permissions });
    assert.deepEqual([second.status, second.stdout], [75, ""]);
    assert.equal(spawnSync("flock", ["-n", lock, "true"]).status, 1);
    first.stdin!.end();
    assert.equal((await first.end).status, 0);
    const third = await run(example("single_instance"), [lock, "sh", "-c", "exit 3"], { permissions });
    assert.equal(third.status, 3);
  },
);

test(
  "periodic purge: only files that are old and have the prefix are removed",
  { onOneNode: true },
  async () => {
    using place = scratch();
    const { env, left, path } = ownTmpdir(place);
    const longAgo = new Date(Date.now() - 10 * 24 * 60 * 60 * 1000);
    for (const name of ["build-old", "other-old", "build-new"]) writeFileSync(join(path, name), "12345");
    for (const name of ["build-old", "other-old"]) utimesSync(join(path, name), longAgo, longAgo);
    const purge = (...args: string[]) =>
      run(example("periodic_purge"), args, { permissions: PERMISSIONS, env });
    const nothing = await purge();
    assert.deepEqual([nothing.status, nothing.stdout, nothing.stderr], [0, "", ""]);
    const { status, stdout, stderr } = await purge("build-", "7");
    assert.deepEqual([status, stdout, stderr], [0, "removed 1 with 5 bytes\n", ""]);
    assert.deepEqual(left().sort(), ["build-new", "other-old"]);
    assert.equal((await purge("build-")).status, 1);
  },
);

test("watching space: a recording is put in place when its source ends", { onOneNode: true }, async () => {
  using place = scratch();
  const destination = join(place.path, "recording");
  const ended = await run(example("watch_space"), [destination, "1"], {
    permissions: PERMISSIONS,
    input: "said",
  });
  assert.deepEqual([ended.status, ended.stderr], [0, ""]);
  assert.match(ended.stdout, /^complete; \d+ MiB are available\n$/);
  assert.equal(readFileSync(destination, "utf8"), "said");
});

test("watching space: a recording ends, whole, before the disk is full", {
  onOneNode: true,
  skip: noMounts,
}, async () => {
  const mount = `mount -t tmpfs -o size=8m,mode=1777 none /mnt && "$@" && stat -c "%s bytes" /mnt/recording`;
  const under = ["unshare", "-m", "sh", "-c", mount, "sh"];
  const child = start(example("watch_space"), ["/mnt/recording", "4"], { permissions: PERMISSIONS, under });
  child.stdin!.on("error", () => {});
  let sent = 0;
  const timer = setInterval(() => {
    sent += 16 * 1024;
    child.stdin!.write(new Uint8Array(16 * 1024));
  }, 5);
  const { status, stdout, stderr } = await child.end;
  clearInterval(timer);
  assert.deepEqual([status, stderr], [0, ""]);
  const [, available, bytes] = /^low on space; (\d) MiB are available\n(\d+) bytes\n$/.exec(stdout) ??
    assert.fail(stdout);
  assert.ok(Number(available) < 4 && Number(bytes) > 4 * 1024 ** 2 - 1 && Number(bytes) <= sent, stdout);
});

test("watching space: nothing is recorded if too little space is available from the start", async () => {
  using place = scratch();
  const nothing = (async function* (): AsyncGenerator<Uint8Array> {})();
  await assert.rejects(record(nothing, join(place.path, "recording"), 2 ** 52), { code: "ENOSPC" });
  assert.deepEqual(place.names(), []);
});
