/**
 * The contract of `Primitives`, written once and checked on both variants of the adapter in use, of the adapter for Deno
 * with a fake namespace, and of the fake runtime.
 *
 * @module
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { codeOf } from "../../lib/errors.ts";
import { denoRuntime } from "../../lib/runtime/deno.ts";
import { type DirectoryEntry, type Primitives, type Runtime, runtime } from "../../lib/runtime/mod.ts";
import { openIn } from "../support/descriptors.ts";
import { contentsOf, ROOT, statusOf } from "../support/fake_disk.ts";
import { fakeDeno } from "../support/fake_runtimes.ts";
import { FakeMachine, UID } from "../support/faulty_runtime.ts";
import { oncePerRuntime } from "../support/once.ts";
import { noDirectorySync, noLinks, noLinux, shownMode } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";

/** The primitives, each returning a promise. */
type Variant = {
  [K in keyof Primitives]: Primitives[K] extends (...args: infer A) => infer R ? (...args: A) => Promise<R>
    : never;
};

/** Access to the disk that bypasses the runtime under test. */
interface Outside {
  write(path: string, text: string): void;
  read(path: string): Uint8Array;
  mkdir(path: string): void;
  link(from: string, to: string): void;
  symlink(target: string, path: string): void;
  readlink(path: string): string;
  chmod(path: string, mode: number): void;
  status(path: string): { mode: number; inode: number };
  exists(path: string): boolean;
  list(path: string): string[];
  uid: number;
}

/** A runtime, the disk it works on, and a directory there. */
interface World extends Disposable {
  runtime: Runtime;
  outside: Outside;
  path: string;
  /** The path of a name in that directory. */
  at(name: string): string;
  /** The mode that a file with these permission bits reports. */
  shown(mode: number): number;
  /** Why it has no symbolic links, and no way to synchronize a directory; false if it has. */
  lacks: { links: string | false; directorySync: string | false };
}

/** The properties of POSIX file systems. */
const POSIX = {
  shown: (mode: number): number => mode,
  lacks: { links: false, directorySync: false },
} as const;

const HERE = { shown: shownMode, lacks: { links: noLinks, directorySync: noDirectorySync } };

const onRealDisk: Outside = {
  write: (path, text) => fs.writeFileSync(path, text),
  read: (path) => new Uint8Array(fs.readFileSync(path)),
  mkdir: (path) => void fs.mkdirSync(path),
  link: (from, to) => fs.linkSync(from, to),
  symlink: (target, path) => fs.symlinkSync(target, path),
  readlink: (path) => fs.readlinkSync(path),
  chmod: (path, mode) => fs.chmodSync(path, mode),
  status: (path) => {
    const { mode, ino } = fs.statSync(path);
    return { mode: mode & 0o777, inode: ino };
  },
  exists: (path) => fs.existsSync(path),
  list: (path) => fs.readdirSync(path).sort(),
  uid: process.getuid?.() ?? 0,
};

function onDisk(runtime: Runtime): World {
  const place = scratch(), { path } = place;
  const at = (name: string): string => join(path, name);
  return { ...HERE, runtime, outside: onRealDisk, path, at, [Symbol.dispose]: place[Symbol.dispose] };
}

function denoWorld(): World {
  const { deno, scope } = fakeDeno();
  return onDisk(denoRuntime(deno, scope));
}

/** @param numbers Whether its handles are numbers; otherwise objects, as on Deno. */
function fakeWorld(numbers: boolean): World {
  const machine = new FakeMachine({ numbers });
  const { disk } = machine, fake = machine.start();
  const { sync } = fake.runtime;
  const exists = (path: string): boolean => {
    try {
      return disk.find(ROOT, path, true) !== undefined;
    } catch {
      return false;
    }
  };
  const outside: Outside = {
    write(path, text) {
      const file = exists(path) ? sync.openFile(path, "write") : sync.createFile(path, 0o644);
      sync.write(file, bytes(text), 0);
      sync.close(file);
    },
    read: (path) => contentsOf(disk.find(ROOT, path, true)),
    mkdir: (path) => void disk.makeDirectory(fake, path, 0o777),
    link: (from, to) => disk.link(fake, disk.find(fake, from, false), to),
    symlink: (target, path) => disk.makeLink(fake, target, path),
    readlink: (path) => disk.readLink(fake, path),
    chmod: (path, mode) => void (disk.find(fake, path, true).mode = mode),
    status: (path) => statusOf(disk.find(ROOT, path, true)),
    exists,
    list: (path) => disk.list(fake, path).map(({ name }) => name).sort(),
    uid: UID,
  };
  const path = "/tmp", at = (name: string): string => `${path}/${name}`;
  return { ...POSIX, runtime: fake.runtime, outside, path, at, [Symbol.dispose]: () => fake.kill() };
}

const worlds: readonly (() => World)[] = [
  () => onDisk(runtime),
  denoWorld,
  () => fakeWorld(true),
  () => fakeWorld(false),
];

/** The blocking variant with promises, so that one contract serves both variants. */
const asPromises = (sync: Primitives): Variant =>
  new Proxy(sync, {
    // deno-lint-ignore no-explicit-any -- any primitive
    get: (variant: any, name) => async (...args: unknown[]) => await variant[name](...args),
  }) as unknown as Variant;

const variants: readonly ((runtime: Runtime) => Variant)[] = [
  ({ sync }) => asPromises(sync),
  ({ pooled }) => pooled as unknown as Variant,
];

/** Runs a part of the contract on each variant of each runtime, in a directory of its own, where it leaves nothing open. */
async function onEachFace(
  part: (io: Variant, at: (name: string) => string, world: World) => Promise<void>,
) {
  for (const make of worlds) {
    for (const variantOf of variants) {
      using world = make();
      await part(variantOf(world.runtime), world.at, world);
      if (world.outside === onRealDisk) assert.deepEqual(openIn(world.path), []);
    }
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
  onEachFace(async (io, at, { outside, shown, lacks }) => {
    for (const name of ["createFile", "createDescriptor"] as const) {
      const path = at(name);
      const handle = await io[name](path, 0o600);
      assert.equal(outside.status(path).mode, shown(0o600));
      assert.equal(await io.write(handle, bytes("abc"), 0), 3);
      const into = new Uint8Array(3);
      assert.equal(await io.read(handle, into, 0), 3);
      assert.deepEqual(into, bytes("abc"));
      await io.close(handle);
      assert.equal(await codeFrom(() => io[name](path, 0o600)), "EEXIST");
      if (!lacks.links) {
        outside.symlink(at("nowhere"), at(`${name}-link`));
        assert.equal(await codeFrom(() => io[name](at(`${name}-link`), 0o600)), "EEXIST");
        assert.equal(outside.exists(at("nowhere")), false);
      }
      assert.equal(await codeFrom(() => io[name](at("missing/file"), 0o600)), "ENOENT");
    }
    const number = await io.createDescriptor(at("number"), 0o600);
    assert.equal(typeof number, "number");
    await io.close(number);
  }));

test("read() and write() use the given offset, whatever the last call was, and read() returns 0 at the end", () =>
  onEachFace(async (io, at, { outside }) => {
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
    assert.deepEqual(outside.read(at("f")), bytes("hel\0\0"));
  }));

test("openFile() and openDescriptor() open what exists", () =>
  onEachFace(async (io, at, { outside }) => {
    outside.write(at("f"), "abc");
    for (const name of ["openFile", "openDescriptor"] as const) {
      const handle = await io[name](at("f"), "write");
      const into = new Uint8Array(3);
      assert.equal(await io.read(handle, into, 0), 3);
      assert.equal(await io.write(handle, bytes("A"), 0), 1);
      await io.close(handle);
      const reading = await io[name](at("f"), "read");
      assert.notEqual(await codeFrom(() => io.write(reading, bytes("x"), 0)), "nothing");
      await io.close(reading);
      assert.equal(await codeFrom(() => io[name](at("missing"), "read")), "ENOENT");
    }
    assert.deepEqual(outside.read(at("f")), bytes("Abc"));
  }));

test("write() to a file opened for appending writes at its end, whatever the offset", () =>
  onEachFace(async (io, at, { outside }) => {
    outside.write(at("f"), "a");
    const [one, other] = [await io.openFile(at("f"), "append"), await io.openFile(at("f"), "append")];
    for (const [handle, text] of [[one, "b"], [other, "cd"], [one, "e"], [other, "f"]] as const) {
      assert.equal(await io.write(handle, bytes(text), 1), text.length);
    }
    assert.equal((await io.statusOf(other)).size, 6);
    await io.truncate(other, 5);
    for (const handle of [one, other]) await io.close(handle);
    assert.deepEqual(outside.read(at("f")), bytes("abcde"));
  }));

test("status(), statusOfTarget() and statusOf() return kind, size, mode, links and owner", () =>
  onEachFace(async (io, at, { outside, shown, lacks }) => {
    outside.write(at("f"), "12345");
    outside.chmod(at("f"), 0o640);
    outside.link(at("f"), at("second"));
    outside.mkdir(at("d"));
    const file = await io.status(at("f"));
    assert.deepEqual([file.kind, file.size, file.mode, file.links, file.uid], [
      "file",
      5,
      shown(0o640),
      2,
      outside.uid,
    ]);
    assert.equal(file.inode, outside.status(at("f")).inode);
    assert.equal((await io.statusOfTarget(at("second"))).inode, file.inode);
    if (!lacks.links) {
      outside.symlink("f", at("link"));
      assert.equal((await io.status(at("link"))).kind, "link");
      assert.equal((await io.statusOfTarget(at("link"))).inode, file.inode);
    }
    assert.equal((await io.status(at("d"))).kind, "directory");
    const handle = await io.openFile(at("f"), "read");
    assert.deepEqual(await io.statusOf(handle), file);
    await io.close(handle);
    assert.equal(await codeFrom(() => io.status(at("missing"))), "ENOENT");
  }));

test("the birth time of a directory stays when its contents change, and differs for a new directory", () =>
  onEachFace(async (io, at, { outside }) => {
    outside.mkdir(at("d"));
    const before = await io.status(at("d"));
    await new Promise((resolve) => setTimeout(resolve, 20));
    outside.write(at("d/inside"), "x");
    outside.chmod(at("d"), 0o700);
    assert.equal((await io.status(at("d"))).birth, before.birth);
    outside.mkdir(at("other"));
    // 0 where the file system records no births.
    if (before.birth !== 0) assert.notEqual((await io.status(at("other"))).birth, before.birth);
  }));

test("names: makeDirectory, link, symbolicLink, rename, unlink, removeDirectory, realPath, readLink", () =>
  onEachFace(async (io, at, { outside, path, shown, lacks }) => {
    await io.makeDirectory(at("d"), 0o700);
    assert.equal(outside.status(at("d")).mode, shown(0o700));
    assert.equal(await codeFrom(() => io.makeDirectory(at("d"), 0o700)), "EEXIST");
    outside.write(at("f"), "x");
    await io.link(at("f"), at("g"));
    assert.equal(await codeFrom(() => io.link(at("f"), at("g"))), "EEXIST");
    await io.rename(at("g"), at("h"));
    assert.equal(await io.realPath(at("h")), at("h"));
    if (!lacks.links) {
      for (const [target, to] of [["h", "file"], ["d", "dir"]] as const) {
        await io.symbolicLink(target, at("l"), to);
        assert.equal(await io.readLink(at("l")), outside.readlink(at("l")));
        assert.equal(await io.realPath(at("l")), at(target));
        await io.unlink(at("l"));
      }
    }
    assert.deepEqual(outside.list(path), ["d", "f", "h"]);
    outside.write(at("d/inside"), "x");
    assert.match(await codeFrom(() => io.removeDirectory(at("d"))), /^(ENOTEMPTY|EEXIST)$/);
    assert.notEqual(await codeFrom(() => io.unlink(at("d"))), "nothing");
    await io.unlink(at("d/inside"));
    await io.removeDirectory(at("d"));
    assert.equal(await codeFrom(() => io.unlink(at("missing"))), "ENOENT");
    assert.equal(await codeFrom(() => io.removeDirectory(at("missing"))), "ENOENT");
  }));

test("changeMode() sets the mode of an open file, touch() the modification time of a path", () =>
  onEachFace(async (io, at, { outside, shown }) => {
    const handle = await io.createFile(at("f"), 0o600);
    await io.changeMode(handle, 0o444);
    await io.close(handle);
    assert.equal(outside.status(at("f")).mode, shown(0o444));
    outside.chmod(at("f"), 0o644);
    await io.touch(at("f"), 86_400_000);
    assert.equal((await io.status(at("f"))).modified, 86_400_000);
  }));

test("list() returns every name with its kind in batches, and an empty batch at the end (once a runtime)", {
  skip: oncePerRuntime,
}, () =>
  onEachFace(async (io, at, { outside }) => {
    outside.mkdir(at("d"));
    outside.mkdir(at("d/sub"));
    for (let n = 0; n < 600; n++) outside.write(at(`d/f${n}`), "");
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

test("openDirectory() refuses links and files; anchor() follows a directory that is moved (Linux)", {
  skip: noLinux,
}, () =>
  onEachFace(async (io, at, { outside, runtime }) => {
    outside.mkdir(at("d"));
    outside.symlink("d", at("link"));
    outside.write(at("f"), "x");
    assert.match(await codeFrom(() => io.openDirectory(at("link"))), /^(ELOOP|ENOTDIR)$/);
    assert.equal(await codeFrom(() => io.openDirectory(at("f"))), "ENOTDIR");
    const descriptor = await io.openDirectory(at("d"));
    await io.rename(at("d"), at("moved"));
    outside.write(`${runtime.anchor(descriptor)}/inside`, "x");
    assert.ok(outside.exists(at("moved/inside")));
    await io.close(descriptor);
    const located = await io.locateDirectory(at("moved"));
    await io.changeModeAt(runtime.anchor(located)!, 0o711);
    await io.close(located);
    assert.equal(outside.status(at("moved")).mode, 0o711);
  }));

test(
  "createUnnamed() creates a file without a name (Linux)",
  { skip: noLinux },
  () =>
    onEachFace(async (io, _at, { outside, path }) => {
      const descriptor = await io.createUnnamed(path, 0o600);
      const { links, mode } = await io.statusOf(descriptor);
      assert.deepEqual([links, mode, outside.list(path)], [0, 0o600, []]);
      await io.close(descriptor);
    }),
);

test("fileSystem() and readSystemFile() return what they name; synchronizeDirectory() succeeds", () =>
  onEachFace(async (io, at, { outside, path, lacks }) => {
    const { blockSize, blocks, availableBlocks } = await io.fileSystem(path);
    assert.ok(blockSize > 0 && blocks >= availableBlocks);
    outside.write(at("text"), "plain");
    assert.equal(await io.readSystemFile(at("text")), "plain");
    if (!lacks.directorySync) await io.synchronizeDirectory(path);
    assert.equal(await codeFrom(() => io.fileSystem(at("missing"))), "ENOENT");
  }));

test(
  "list() and synchronizeDirectory() leave no descriptor open (Linux)",
  { skip: noLinux },
  () =>
    onEachFace(async (io, at, { outside }) => {
      outside.mkdir(at("d"));
      await io.synchronizeDirectory(at("d"));
      const listing = await io.list(at("d"));
      assert.deepEqual(await listing.next(), []);
      listing.close();
    }),
);

test("random() fills the whole array, differently each time", () => {
  const one = new Uint8Array(64), other = new Uint8Array(64);
  runtime.random(one);
  runtime.random(other);
  assert.notDeepEqual(one, other);
  assert.notDeepEqual(one.subarray(48), new Uint8Array(16));
});

test("later() and after() call back once and can be cancelled; nextTurn() waits for a turn of the event loop", async () => {
  const calls: string[] = [];
  for (const wait of [runtime.later, runtime.after]) {
    wait(5, () => calls.push("kept"));
    wait(5, () => calls.push("called off"))();
  }
  setTimeout(() => calls.push("timer"), 0);
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.deepEqual(calls.sort(), ["kept", "kept", "timer"]);
  let turned = false;
  setImmediate(() => turned = true);
  await runtime.nextTurn();
  assert.ok(turned);
});
