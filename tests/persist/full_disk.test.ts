import assert from "node:assert/strict";
import * as m from "#mod";
import { type ChildResult, runChild } from "../support/child.ts";
import { creatorsOf } from "../support/creators.ts";
import { packageTest as test } from "../support/once.ts";
import { noMounts, withTmpfs } from "../support/places.ts";
import { type Scratch, scratch } from "../support/scratch.ts";

/** The beginning of every child: creates an old target on a small disk, and defines how to check that nothing changed. */
const PRELUDE = `
const [disk, outside] = args;
const target = path.join(disk, "target");
const old = "old contents, to be found again\\n".repeat(100);
fs.writeFileSync(target, old);
const size = 1_000_000;
const bytes = new Uint8Array(size).fill(65);
const text = "A".repeat(size);
const code = async (call) => {
  try { await call(); return "done"; } catch (error) { return error.code ?? String(error); }
};
const free = () => { const { bfree, ffree } = fs.statfsSync(disk); return bfree + " " + ffree; };
const before = free();
/** Reports how a call ended, whether the old target is whole, what is in the directory, and whether all space is free again. */
const check = async (name, call) => {
  const end = await code(call);
  say([name, end, fs.readFileSync(target, "utf8") === old, fs.readdirSync(disk).join(), free() === before]);
};
`;

/** Runs a child on a disk of 64 KiB. */
async function onSmallDisk(code: string, options = "size=64k"): Promise<ChildResult & { outside: string[] }> {
  using place = diskAndOutside();
  const result = await runChild(PRELUDE + code, {
    args: [place.disk.path, place.outside.path],
    under: withTmpfs(place.disk.path, options),
  });
  assert.equal(result.status, 0, result.stderr);
  return { ...result, outside: place.outside.list() };
}

function diskAndOutside(): Disposable & { disk: Scratch; outside: Scratch } {
  const disk = scratch(), outside = scratch();
  return {
    disk,
    outside,
    [Symbol.dispose]() {
      disk[Symbol.dispose]();
      outside[Symbol.dispose]();
    },
  };
}

/** Asserts that each call failed with ENOSPC and changed nothing. */
function assertUntouched(said: unknown[], names: string[]): void {
  assert.deepEqual(said, names.map((name) => [name, "ENOSPC", true, "target", true]));
}

test(
  "C285 writeFileAtomic() of 1 MB to a disk of 64 KiB fails with ENOSPC for every kind of data, and changes nothing",
  {
    skip: noMounts,
  },
  async () => {
    const { said } = await onSmallDisk(`
    await check("string", () => m.writeFileAtomic(target, text));
    await check("bytes", () => m.writeFileAtomic(target, bytes));
    await check("Blob", () => m.writeFileAtomic(target, new Blob([bytes])));
    await check("Response", () => m.writeFileAtomic(target, new Response(bytes)));
    await check("stream", () => m.writeFileAtomic(target, new Blob([bytes]).stream()));
    await check("iterable", () => m.writeFileAtomic(target, (async function* () { for (;;) yield "A".repeat(1000); })()));
    await check("string, sync", () => m.writeFileAtomicSync(target, text));
    await check("bytes, sync", () => m.writeFileAtomicSync(target, bytes));
    await check("not durable", () => m.writeFileAtomic(target, bytes, { durable: false }));
    await check("not durable, sync", () => m.writeFileAtomicSync(target, bytes, { durable: false }));`);
    assertUntouched(said, [
      "string",
      "bytes",
      "Blob",
      "Response",
      "stream",
      "iterable",
      "string, sync",
      "bytes, sync",
      "not durable",
      "not durable, sync",
    ]);
  },
);

test(
  "C285 control: a writer that ignores failed writes leaves a truncated file in place on that disk",
  {
    skip: noMounts,
  },
  async () => {
    const { said } = await onSmallDisk(`
    const staged = target + ".tmp";
    const fd = fs.openSync(staged, "w");
    try { fs.writeSync(fd, bytes); } catch {}
    fs.closeSync(fd);
    fs.renameSync(staged, target);
    say(fs.statSync(target).size);`);
    assert.ok(said[0] > 0 && said[0] < 65536, `${said[0]} bytes`);
  },
);

test(
  "C149 C285 persist() of 1 MB from another disk to one of 64 KiB fails with ENOSPC, changes nothing there, and then succeeds elsewhere",
  {
    skip: noMounts,
  },
  async () => {
    const { said, outside } = await onSmallDisk(`
    const makers = {
      named: () => m.namedTemporaryFile({ dir: outside }),
      unnamed: () => m.temporaryFile({ dir: outside }),
      memory: async () => m.spooledTemporaryFile({ dir: outside, maxMemory: 2 ** 24 }),
      spooled: async () => m.spooledTemporaryFile({ dir: outside, maxMemory: 0 }),
    };
    for (const [kind, make] of Object.entries(makers)) {
      const file = await make();
      await file.write(bytes);
      await check(kind, () => file.persist(target));
      await check(kind + ", sync", () => file.persistSync(target));
      await check(kind + ", new", () => file.persist(path.join(disk, "new")));
      const found = await file.bytes();
      say([kind, found.length === size && found.every((byte) => byte === 65)]);
      say(fs.statSync(await file.persist(path.join(outside, kind))).size);
    }
    const large = await m.temporaryFile({ dir: outside });
    await large.write(new Uint8Array(6 * size));
    await check("large", () => large.persist(target));
    await large.close();`);
    const kinds = ["named", "unnamed", "memory", "spooled"];
    const untouched = (name: string): unknown => [name, "ENOSPC", true, "target", true];
    assert.deepEqual(said, [
      ...kinds.flatMap((kind) => [
        untouched(kind),
        untouched(`${kind}, sync`),
        untouched(`${kind}, new`),
        [kind, true],
        1_000_000,
      ]),
      untouched("large"),
    ]);
    assert.deepEqual(outside, [...kinds].sort());
  },
);

test(
  "C149 a directory's persist() of 1 MB to a disk of 64 KiB fails with ENOSPC, changes nothing there, and then succeeds elsewhere",
  {
    skip: noMounts,
  },
  async () => {
    const { said, outside } = await onSmallDisk(`
    const directory = await m.temporaryDirectory({ dir: outside });
    fs.mkdirSync(directory.join("sub"));
    fs.writeFileSync(directory.join("sub", "small"), "small");
    fs.writeFileSync(directory.join("large"), bytes);
    await check("async", () => directory.persist(path.join(disk, "tree")));
    await check("sync", () => directory.persistSync(path.join(disk, "tree")));
    await directory.persist(path.join(outside, "tree"));
    say(fs.readdirSync(path.join(outside, "tree")).sort());`);
    assertUntouched(said.slice(0, 2), ["async", "sync"]);
    assert.deepEqual([said[2], outside], [["large", "sub"], ["tree"]]);
  },
);

test(
  "C285 write() of 1 MB to a file on a disk of 64 KiB fails with ENOSPC; the file stays usable and its space is freed",
  {
    skip: noMounts,
  },
  async () => {
    const { said } = await onSmallDisk(`
    const makers = {
      named: () => m.namedTemporaryFile({ dir: disk }),
      unnamed: () => m.temporaryFile({ dir: disk }),
      spooled: async () => m.spooledTemporaryFile({ dir: disk, maxMemory: 10 }),
    };
    const writes = {
      "bytes": (file) => file.write(bytes),
      "string": (file) => file.write(text),
      "bytes, sync": (file) => file.writeSync(bytes),
      "stream": (file) => file.write(new Blob([bytes])),
      "small writes": async (file) => { for (let i = 0; i < 1000; i++) await file.write(bytes.subarray(0, 1000)); await file.flush(); },
    };
    for (const [kind, make] of Object.entries(makers)) {
      for (const [way, write] of Object.entries(writes)) {
        const file = await make();
        await file.write("begin");
        const end = await code(() => write(file));
        const { position } = file;
        // Removes what was written, so that there is space again.
        await file.truncate(5);
        await file.seek(5);
        await file.write(" and end");
        const contents = await file.text();
        const persisted = await file.persist(path.join(disk, "new"));
        const whole = fs.readFileSync(persisted, "utf8") === contents;
        fs.unlinkSync(persisted);
        say([kind, way, end, contents, whole, fs.readdirSync(disk).join(), free() === before]);
      }
    }`);
    const failed = ["ENOSPC", "begin and end", true, "target", true];
    const ways = ["bytes", "string", "bytes, sync", "stream", "small writes"];
    assert.deepEqual(
      said,
      ["named", "unnamed", "spooled"].flatMap((kind) => ways.map((way) => [kind, way, ...failed])),
    );
  },
);

test("C285 disposal of a file whose write failed with ENOSPC throws nothing more and leaves nothing", {
  skip: noMounts,
}, async () => {
  const { said } = await onSmallDisk(`
    for (const make of [m.namedTemporaryFile, m.temporaryFile]) {
      await check("await using", async () => {
        const file = await make({ dir: disk });
        try { await file.write(bytes); } finally { await file[Symbol.asyncDispose](); }
      });
      await check("using", () => {
        const file = (make === m.temporaryFile ? m.temporaryFileSync : m.namedTemporaryFileSync)({ dir: disk });
        try { file.writeSync(bytes); } finally { file[Symbol.dispose](); }
      });
    }`);
  assertUntouched(said, ["await using", "using", "await using", "using"]);
});

test(
  "C285 without a free inode, writeFileAtomic(), persist() and all creators fail with ENOSPC and change nothing",
  {
    skip: noMounts,
  },
  async () => {
    // Two inodes: enough for the root of the file system and the target.
    const { said } = await onSmallDisk(
      `
    const file = await m.namedTemporaryFile({ dir: outside });
    await file.write("small");
    await check("writeFileAtomic", () => m.writeFileAtomic(target, "small"));
    await check("writeFileAtomicSync", () => m.writeFileAtomicSync(target, "small"));
    await check("persist", () => file.persist(target));
    await check("persistSync", () => file.persistSync(target));
    const { creatorsOf } = await import(${JSON.stringify(import.meta.resolve("../support/creators.ts"))});
    for (const [name, { make }] of creatorsOf(m)) await check(name, () => make(m, { dir: disk }));
    await check("minFree", () => m.namedTemporaryFile({ dir: disk, minFree: 1 }));
    await file.close();`,
      "size=64k,nr_inodes=2",
    );
    assertUntouched(said, [
      "writeFileAtomic",
      "writeFileAtomicSync",
      "persist",
      "persistSync",
      ...creatorsOf(m).map(([name]) => name),
      "minFree",
    ]);
  },
);

test("C285 minFree fails with ENOSPC before anything is created, and accepts exactly the available space", {
  skip: noMounts,
}, async () => {
  const { said } = await onSmallDisk(`
    const { available } = m.diskSpaceSync(disk);
    for (const make of [m.namedTemporaryFile, m.temporaryFile, m.temporaryDirectory]) {
      await check("more", () => make({ dir: disk, minFree: available + 1 }));
      const made = await make({ dir: disk, minFree: available });
      await made[Symbol.asyncDispose]();
    }`);
  assertUntouched(said, ["more", "more", "more"]);
});
