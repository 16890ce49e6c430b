/**
 * The contract of `Primitives`, written once and held against both faces of the adapter in use.
 *
 * @module
 */
import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { codeOf } from "../lib/errors.ts";
import { type DirectoryEntry, type Primitives, runtime } from "../lib/runtime/mod.ts";
import { type Scratch, scratch } from "./support/scratch.ts";

/** The primitives, each answering with a promise. */
type Face = {
  [K in keyof Primitives]: Primitives[K] extends (...args: infer A) => infer R ? (...args: A) => Promise<R>
    : never;
};

/** The blocking face as if it were asynchronous, so that one contract serves both. */
const blocking = new Proxy(runtime.sync, {
  // deno-lint-ignore no-explicit-any -- any primitive
  get: (face: any, name) => async (...args: unknown[]) => await face[name](...args),
}) as unknown as Face;

const faces: readonly Face[] = [blocking, runtime.pooled as unknown as Face];

/** Runs a part of the contract on each face, in a directory of its own. */
async function onEachFace(
  part: (io: Face, at: (name: string) => string, place: Scratch) => Promise<void>,
) {
  for (const io of faces) {
    using place = scratch();
    await part(io, (name) => join(place.path, name), place);
  }
}

async function codeFrom(call: () => Promise<unknown>): Promise<string> {
  try {
    await call();
  } catch (error) {
    return codeOf(error);
  }
  return "nothing";
}

const bytes = (text: string) => new TextEncoder().encode(text);

test("createFile() and createDescriptor() create exclusively, with the mode, for reading and writing", () =>
  onEachFace(async (io, at) => {
    for (const name of ["createFile", "createDescriptor"] as const) {
      const path = at(name);
      const handle = await io[name](path, 0o600);
      assert.equal(statSync(path).mode & 0o777, 0o600);
      assert.equal(await io.write(handle, bytes("abc"), 0), 3);
      const into = new Uint8Array(3);
      assert.equal(await io.read(handle, into, 0), 3);
      assert.deepEqual(into, bytes("abc"));
      await io.close(handle);
      assert.equal(await codeFrom(() => io[name](path, 0o600)), "EEXIST");
      symlinkSync(at("nowhere"), at(`${name}-link`));
      assert.equal(await codeFrom(() => io[name](at(`${name}-link`), 0o600)), "EEXIST");
      assert.equal(existsSync(at("nowhere")), false);
      assert.equal(await codeFrom(() => io[name](at("missing/file"), 0o600)), "ENOENT");
    }
    const number = await io.createDescriptor(at("number"), 0o600);
    assert.equal(typeof number, "number");
    await io.close(number);
  }));

test("read() and write() work by offset, wherever the call before ended, and say 0 at the end", () =>
  onEachFace(async (io, at) => {
    const handle = await io.createFile(at("f"), 0o600);
    await io.write(handle, bytes("world"), 6);
    await io.write(handle, bytes("hello "), 0);
    const into = new Uint8Array(5);
    assert.equal(await io.read(handle, into, 6), 5);
    assert.deepEqual(into, bytes("world"));
    assert.equal(await io.read(handle, into, 11), 0);
    assert.equal(await io.read(handle, into, 0), 5);
    assert.deepEqual(into, bytes("hello"));
    await io.truncate(handle, 3);
    assert.equal((await io.statusOf(handle)).size, 3);
    await io.truncate(handle, 5);
    await io.synchronize(handle);
    await io.close(handle);
    assert.deepEqual(new Uint8Array(readFileSync(at("f"))), bytes("hel\0\0"));
  }));

test("openFile() and openDescriptor() open what exists", () =>
  onEachFace(async (io, at) => {
    writeFileSync(at("f"), "abc");
    for (const name of ["openFile", "openDescriptor"] as const) {
      const handle = await io[name](at("f"), "write");
      assert.equal(await io.write(handle, bytes("A"), 0), 1);
      await io.close(handle);
      const reading = await io[name](at("f"), "read");
      assert.notEqual(await codeFrom(() => io.write(reading, bytes("x"), 0)), "nothing");
      await io.close(reading);
      assert.equal(await codeFrom(() => io[name](at("missing"), "read")), "ENOENT");
    }
    assert.equal(readFileSync(at("f"), "utf8"), "Abc");
  }));

test("status(), statusOfTarget() and statusOf() tell kind, size, mode, links and owner", () =>
  onEachFace(async (io, at) => {
    writeFileSync(at("f"), "12345");
    chmodSync(at("f"), 0o640);
    linkSync(at("f"), at("second"));
    symlinkSync("f", at("link"));
    mkdirSync(at("d"));
    const file = await io.status(at("f"));
    assert.deepEqual([file.kind, file.size, file.mode, file.links, file.uid], [
      "file",
      5,
      0o640,
      2,
      process.getuid!(),
    ]);
    assert.equal(file.inode, lstatSync(at("f")).ino);
    assert.equal((await io.status(at("link"))).kind, "link");
    assert.equal((await io.statusOfTarget(at("link"))).inode, file.inode);
    assert.equal((await io.status(at("d"))).kind, "directory");
    const handle = await io.openFile(at("f"), "read");
    assert.deepEqual(await io.statusOf(handle), file);
    await io.close(handle);
    assert.equal(await codeFrom(() => io.status(at("missing"))), "ENOENT");
  }));

test("birth stays when the contents change, and differs for what was made anew", () =>
  onEachFace(async (io, at) => {
    mkdirSync(at("d"));
    const before = await io.status(at("d"));
    await new Promise((resolve) => setTimeout(resolve, 20));
    writeFileSync(at("d/inside"), "x");
    chmodSync(at("d"), 0o700);
    assert.equal((await io.status(at("d"))).birth, before.birth);
    mkdirSync(at("other"));
    // 0 where the file system records no births.
    if (before.birth !== 0) assert.notEqual((await io.status(at("other"))).birth, before.birth);
  }));

test("names: makeDirectory, link, symbolicLink, rename, unlink, removeDirectory, realPath, readLink", () =>
  onEachFace(async (io, at, place) => {
    await io.makeDirectory(at("d"), 0o700);
    assert.equal(statSync(at("d")).mode & 0o777, 0o700);
    assert.equal(await codeFrom(() => io.makeDirectory(at("d"), 0o700)), "EEXIST");
    writeFileSync(at("f"), "x");
    await io.link(at("f"), at("g"));
    assert.equal(await codeFrom(() => io.link(at("f"), at("g"))), "EEXIST");
    await io.rename(at("g"), at("h"));
    await io.symbolicLink("h", at("l"));
    assert.equal(await io.readLink(at("l")), readlinkSync(at("l")));
    assert.equal(await io.realPath(at("l")), at("h"));
    await io.unlink(at("l"));
    assert.deepEqual(place.list(), ["d", "f", "h"]);
    writeFileSync(at("d/inside"), "x");
    assert.match(await codeFrom(() => io.removeDirectory(at("d"))), /^(ENOTEMPTY|EEXIST)$/);
    assert.notEqual(await codeFrom(() => io.unlink(at("d"))), "nothing");
    await io.unlink(at("d/inside"));
    await io.removeDirectory(at("d"));
    assert.equal(await codeFrom(() => io.unlink(at("missing"))), "ENOENT");
    assert.equal(await codeFrom(() => io.removeDirectory(at("missing"))), "ENOENT");
  }));

test("changeMode() and touch() change what they name", () =>
  onEachFace(async (io, at) => {
    const handle = await io.createFile(at("f"), 0o600);
    await io.changeMode(handle, 0o644);
    await io.close(handle);
    assert.equal(statSync(at("f")).mode & 0o777, 0o644);
    await io.touch(at("f"), 86_400_000);
    assert.equal((await io.status(at("f"))).modified, 86_400_000);
  }));

test("list() gives every name with its kind, in batches, and an empty one at the end", () =>
  onEachFace(async (io, at) => {
    mkdirSync(at("d"));
    mkdirSync(at("d/sub"));
    for (let n = 0; n < 600; n++) writeFileSync(at(`d/f${n}`), "");
    const listing = await io.list(at("d"));
    const entries: DirectoryEntry[] = [];
    for (;;) {
      const batch = await listing.next();
      if (batch.length === 0) break;
      assert.ok(batch.length <= 256);
      entries.push(...batch);
    }
    listing.close();
    assert.equal(new Set(entries.map(({ name }) => name)).size, 601);
    assert.deepEqual(entries.filter(({ directory }) => directory).map(({ name }) => name), ["sub"]);
    assert.equal(await codeFrom(async () => await (await io.list(at("missing"))).next()), "ENOENT");
  }));

test("openDirectory() refuses links and files; an anchor names what the descriptor holds (Linux)", {
  skip: process.platform !== "linux",
}, () =>
  onEachFace(async (io, at) => {
    mkdirSync(at("d"));
    symlinkSync("d", at("link"));
    writeFileSync(at("f"), "x");
    assert.match(await codeFrom(() => io.openDirectory(at("link"))), /^(ELOOP|ENOTDIR)$/);
    assert.equal(await codeFrom(() => io.openDirectory(at("f"))), "ENOTDIR");
    const descriptor = await io.openDirectory(at("d"));
    await io.rename(at("d"), at("moved"));
    writeFileSync(`${runtime.anchor(descriptor)}/inside`, "x");
    assert.ok(existsSync(at("moved/inside")));
    await io.close(descriptor);
    const located = await io.locateDirectory(at("moved"));
    await io.changeModeAt(runtime.anchor(located)!, 0o711);
    await io.close(located);
    assert.equal(statSync(at("moved")).mode & 0o777, 0o711);
  }));

test(
  "createUnnamed() makes a file that no directory has (Linux)",
  { skip: process.platform !== "linux" },
  () =>
    onEachFace(async (io, _at, place) => {
      const descriptor = await io.createUnnamed(place.path, 0o600);
      const { links, mode } = await io.statusOf(descriptor);
      assert.deepEqual([links, mode, place.list()], [0, 0o600, []]);
      await io.close(descriptor);
    }),
);

test("fileSystem(), readSystemFile() and synchronizeDirectory() answer", () =>
  onEachFace(async (io, at, place) => {
    const { blockSize, blocks, availableBlocks } = await io.fileSystem(place.path);
    assert.ok(blockSize > 0 && blocks >= availableBlocks);
    writeFileSync(at("text"), "plain");
    assert.equal(await io.readSystemFile(at("text")), "plain");
    await io.synchronizeDirectory(place.path);
    assert.equal(await codeFrom(() => io.fileSystem(at("missing"))), "ENOENT");
  }));

test("random() fills all of what it is given, and no two alike", () => {
  const one = new Uint8Array(64), other = new Uint8Array(64);
  runtime.random(one);
  runtime.random(other);
  assert.notDeepEqual(one, other);
  assert.notDeepEqual(one.subarray(48), new Uint8Array(16));
});

test("later() calls once and can be called off; nextTurn() lets the event loop turn", async () => {
  const calls: string[] = [];
  runtime.later(5, () => calls.push("kept"));
  runtime.later(5, () => calls.push("called off"))();
  setTimeout(() => calls.push("timer"), 0);
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.deepEqual(calls.sort(), ["kept", "timer"]);
  let turned = false;
  Promise.resolve().then(() => turned = true);
  await runtime.nextTurn();
  assert.ok(turned);
});
