/**
 * `persist()` of a file: what arrives at the target, of which kinds of files, and the state of the handle.
 *
 * @module
 */
import assert from "node:assert/strict";
import { chmodSync, readFileSync, renameSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { basename, join, relative } from "node:path";
import {
  adoptFile,
  namedTemporaryFile,
  namedTemporaryFileSync,
  spooledTemporaryFile,
  temporaryFile,
} from "#mod";
import { namedTemporaryFile as sourceNamed } from "../../lib/file/named.ts";
import { spooledTemporaryFile as sourceSpooled } from "../../lib/file/spooled.ts";
import { runChild } from "../support/child.ts";
import { failureOf, kinds, pattern, sameBytes } from "../support/kinds.ts";
import { packageTest as test } from "../support/once.ts";
import { BIG, createdIn } from "../support/persisting.ts";
import { modeOf, namesLinger, shownMode } from "../support/platform.ts";
import { elsewhere, noElsewhere, variants, workspace } from "../support/places.ts";
import { scratch } from "../support/scratch.ts";
import { asWindows, type Stub, substitute, systemError } from "../support/substitute.ts";

test("C142 persist() to a new path keeps contents and mode, returns the canonical path, and closes the file", async () => {
  for (const [kind, open] of Object.entries(kinds)) {
    for (const [variant, persist] of Object.entries(variants)) {
      using place = workspace();
      const label = `${kind}, ${variant}`;
      const file = await open({ dir: place.temporary.path });
      await file.write("all of it");
      const target = join(place.results.path, "new");
      assert.equal(await persist(file, relative(process.cwd(), target)), target, label);
      assert.equal(readFileSync(target, "utf8"), "all of it", label);
      assert.equal(modeOf(target), shownMode(0o600), label);
      assert.ok(file.closed, label);
      assert.deepEqual([place.temporary.list(), place.results.list()], [[], ["new"]], label);
    }
  }
});

test("C142 persist() updates the path of a named file's handle", async () => {
  using place = workspace();
  const file = await namedTemporaryFile({ dir: place.temporary.path });
  const target = join(place.results.path, "new");
  await file.persist(target);
  assert.equal(file.path, target);
  assert.equal(String(file), target);
});

test("C147 C160 after persist() the handle's methods fail with ERR_CLOSED, and closing or disposing again removes nothing", async () => {
  for (const [kind, open] of Object.entries(kinds)) {
    for (const persist of Object.values(variants)) {
      using place = workspace();
      const target = join(place.results.path, "new");
      const file = await open({ dir: place.temporary.path });
      await file.write("x");
      await persist(file, target);
      assert.equal(await failureOf(() => file.write("y")), "ERR_CLOSED", kind);
      assert.equal(await failureOf(() => file.text()), "ERR_CLOSED", kind);
      assert.equal(
        await failureOf(() => file.persist(join(place.results.path, "again"))),
        "ERR_CLOSED",
        kind,
      );
      assert.equal(await failureOf(() => file.persistSync(target)), "ERR_CLOSED", kind);
      await file.close();
      file.closeSync();
      await file[Symbol.asyncDispose]();
      file[Symbol.dispose]();
      assert.equal(readFileSync(target, "utf8"), "x", kind);
      assert.deepEqual(place.results.list(), ["new"], kind);
    }
  }
});

test("C147 process exit does not remove persisted files", async () => {
  using place = workspace();
  const { said, stderr } = await runChild(
    `for (const [name, file] of Object.entries({
       named: await m.namedTemporaryFile({ dir: args[0] }), unnamed: await m.temporaryFile({ dir: args[0] }) })) {
       await file.write(name);
       say(await file.persist(path.join(args[1], name)));
     }
     process.exit(0);`,
    { args: [place.temporary.path, place.results.path] },
  );
  assert.equal(said.length, 2, stderr);
  assert.deepEqual([place.temporary.list(), place.results.list()], [[], ["named", "unnamed"]]);
});

test("C159 persist() renames a file created in the dir that the caller gave: it keeps its inode", async () => {
  for (const persist of Object.values(variants)) {
    using place = workspace();
    const file = await namedTemporaryFile({ dir: place.temporary.path });
    const { ino } = statSync(file.path);
    assert.equal(statSync(await persist(file, join(place.results.path, "new"))).ino, ino);
  }
});

test("C161 C163 closing or disposing of a file without persist() puts nothing in place; there is no replaceOnClose", async () => {
  for (const open of Object.values(kinds)) {
    using place = workspace();
    writeFileSync(join(place.results.path, "existing"), "foobar");
    const file = await open({ dir: place.temporary.path });
    await file.write("never");
    file[Symbol.dispose]();
    await file[Symbol.asyncDispose]();
    file[Symbol.dispose]();
    await file.close();
    assert.equal(readFileSync(join(place.results.path, "existing"), "utf8"), "foobar");
    assert.deepEqual([place.temporary.list(), place.results.list()], [[], ["existing"]]);
    assert.ok(!("replaceOnClose" in file));
  }
});

test("C165 concurrent calls of persist() to one path leave one of the files there, whole", async () => {
  using place = workspace();
  const target = join(place.results.path, "target");
  const contents = [pattern(300_000, 1), pattern(200_000, 2), pattern(100_000, 3)];
  for (let round = 0; round < 10; round++) {
    const opens = [namedTemporaryFile, temporaryFile, namedTemporaryFile];
    const files = await Promise.all(opens.map((open) => open({ dir: place.temporary.path })));
    await Promise.all(files.map((file, index) => file.write(contents[index])));
    await Promise.all(files.map((file) => file.persist(target, { durable: round === 0 })));
    const found = readFileSync(target);
    assert.ok(contents.some((content) => sameBytes(found, content)));
    assert.deepEqual([place.temporary.list(), place.results.list()], [[], ["target"]]);
  }
});

test("C167 persist() includes all awaited writes, buffered or not", async () => {
  for (const [kind, open] of Object.entries(kinds)) {
    for (const [variant, persist] of Object.entries(variants)) {
      using place = workspace();
      const file = await open({ dir: place.temporary.path, bufferSize: 1000 });
      const written: Uint8Array[] = [];
      for (const length of [10, 999, 1, 2500, 3]) {
        written.push(pattern(length, length));
        await file.write(written.at(-1)!);
      }
      const target = join(place.results.path, "new");
      await persist(file, target);
      assert.ok(
        sameBytes(readFileSync(target), new Uint8Array(await new Blob(written as BlobPart[]).arrayBuffer())),
        `${kind}, ${variant}`,
      );
    }
  }
});

test("C167 persist() waits for writes that were not awaited, also from a source; persistSync() fails with EBUSY meanwhile", async () => {
  using place = workspace();
  const file = await temporaryFile({ dir: place.temporary.path });
  const target = join(place.results.path, "new");
  async function* slowly(): AsyncGenerator<string> {
    for (let i = 0; i < 5; i++) {
      await new Promise((resolve) => setTimeout(resolve, 2));
      yield "chunk ";
    }
  }
  const writes = [file.write(slowly()), file.write("end")];
  assert.equal(await failureOf(() => file.persistSync(target)), "EBUSY");
  await file.persist(target);
  await Promise.all(writes);
  assert.equal(readFileSync(target, "utf8"), "chunk chunk chunk chunk chunk end");
});

test("C168 persist() on Windows retries a rename that an open file blocks, for 1 to 10 seconds, then fails and keeps the file", async () => {
  using place = workspace();
  const target = join(place.results.path, "target");
  writeFileSync(target, "old");
  const file = await sourceNamed({ dir: place.temporary.path });
  await file.write("new");
  for (const code of ["EBUSY", "EPERM", "EACCES"]) {
    const slept: number[] = [];
    const refuse = (): never => {
      throw systemError(code);
    };
    using watched = substitute(
      asWindows({ primitives: { rename: refuse }, runtime: { sleep: (ms) => void slept.push(ms) } }),
    );
    assert.equal(await failureOf(() => file.persistSync(target)), code);
    assert.equal(watched.of("rename").length, slept.length + 1);
    const total = slept.reduce((sum, milliseconds) => sum + milliseconds, 0);
    assert.ok(slept.length >= 5 && total >= 1000 && total <= 10_000, `${slept}`);
  }
  assert.equal(readFileSync(target, "utf8"), "old");
  assert.equal(await file.text(), "new");
  file.closeSync();
  assert.deepEqual([place.temporary.list(), place.results.list()], [[], ["target"]]);
});

test("C168 persist() on Windows reports a rename that fails for lack of space (ENOSPC) without a second attempt", async () => {
  using place = workspace();
  using file = await sourceNamed({ dir: place.temporary.path });
  const full = (): never => {
    throw systemError("ENOSPC");
  };
  using watched = substitute(asWindows({ primitives: { rename: full } }));
  assert.equal(await failureOf(() => file.persistSync(join(place.results.path, "target"))), "ENOSPC");
  assert.equal(watched.of("rename").length, 1);
});

test("C168 persist() on Windows succeeds as soon as the rename or link is no longer blocked", async () => {
  for (const persist of Object.values(variants)) {
    for (const [overwrite, step] of [[true, "rename"], [false, "link"]] as const) {
      using place = workspace();
      const file = await sourceNamed({ dir: place.temporary.path });
      await file.write("new");
      let failures = 2;
      const refuse: Stub = (real, ...args) => {
        if (failures-- > 0) throw systemError("EBUSY");
        return real(...args as unknown[]);
      };
      using watched = substitute(asWindows({ primitives: { [step]: refuse } }));
      await persist(file as never, join(place.results.path, "target"), { overwrite });
      assert.equal(watched.of(step).length, 3);
      assert.equal(watched.of("synchronizeDirectory").length, 0, "Windows has no such call");
      assert.equal(watched.of("changeMode").length + watched.of("changeOwner").length, 0);
      assert.deepEqual([place.temporary.list(), place.results.list()], [[], ["target"]]);
    }
  }
});

test("persist() on systems other than Windows does not retry a rename that fails", async () => {
  for (const platform of ["linux", "darwin"] as const) {
    using place = workspace();
    const file = await sourceNamed({ dir: place.temporary.path });
    using watched = substitute({
      primitives: {
        rename: () => {
          throw systemError("EPERM");
        },
      },
      runtime: { platform },
    });
    assert.equal(await failureOf(() => file.persist(join(place.results.path, "new"))), "EPERM");
    assert.equal(watched.of("rename").length, 1);
    file.closeSync();
  }
});

test("persist() fails with ERR_REPLACED and moves nothing if another file has replaced the temporary file at its path", async () => {
  for (const persist of Object.values(variants)) {
    using place = workspace();
    const target = join(place.results.path, "new");
    const file = await namedTemporaryFile({ dir: place.temporary.path });
    await file.write("mine");
    renameSync(file.path, join(place.temporary.path, "moved"));
    writeFileSync(file.path, "theirs");
    assert.equal(await failureOf(() => persist(file, target)), "ERR_REPLACED");
    assert.deepEqual(place.results.list(), []);
    assert.equal(readFileSync(file.path, "utf8"), "theirs");
    assert.equal(await file.text(), "mine");
    file.keep();
    await file.close();
  }
});

test("persist() of a named file whose name was removed copies its contents to the target", async () => {
  for (const persist of Object.values(variants)) {
    using place = workspace();
    const target = join(place.results.path, "new");
    const file = await namedTemporaryFile({ dir: place.temporary.path });
    await file.write("still there");
    unlinkSync(file.path);
    assert.equal(await persist(file, target), target);
    assert.equal(readFileSync(target, "utf8"), "still there");
    assert.deepEqual(place.results.list(), ["new"]);
  }
});

test("persist() of a named file to its own path, from which it was removed, puts it there to stay", {
  skip: namesLinger,
}, async () => {
  for (const persist of Object.values(variants)) {
    using place = workspace();
    const file = await namedTemporaryFile({ dir: place.temporary.path });
    await file.write("back again");
    unlinkSync(file.path);
    assert.equal(await persist(file, file.path), file.path);
    assert.equal(readFileSync(file.path, "utf8"), "back again");
  }
});

test("persist() of a second handle to a named file copies it, and leaves the original independent of the copy", async () => {
  using place = workspace();
  const file = await namedTemporaryFile({ dir: place.temporary.path });
  await file.write(pattern(BIG));
  const again = await file.reopen();
  const target = join(place.results.path, "new");
  await again.persist(target);
  assert.notEqual(statSync(target).ino, statSync(file.path).ino);
  await file.write("more", { at: 0 });
  assert.ok(sameBytes(readFileSync(target), pattern(BIG)), "later writes do not change the target");
  await file.close();
});

test("persist() of a file to its own path keeps it there", async () => {
  for (const persist of Object.values(variants)) {
    using place = workspace();
    const file = await namedTemporaryFile({ dir: place.temporary.path });
    await file.write("x");
    const name = basename(file.path);
    assert.equal(await persist(file, file.path), file.path);
    await file.close();
    assert.deepEqual(place.temporary.list(), [name]);
    assert.equal(readFileSync(file.path, "utf8"), "x");
  }
});

test(
  "persist() of a file that Mayfly is not to delete moves it within a file system, and leaves it after a copy to another",
  {
    skip: noElsewhere,
  },
  async () => {
    using here = scratch();
    using there = scratch(elsewhere);
    const moved = await namedTemporaryFile({ dir: here.path, delete: false });
    await moved.persist(join(here.path, "moved"));
    assert.deepEqual(here.list(), ["moved"]);
    const kept = await namedTemporaryFile({ dir: here.path });
    const path = kept.keep();
    await kept.persist(join(there.path, "copied"));
    assert.deepEqual(here.list(), [basename(path), "moved"].sort());
    assert.deepEqual(there.list(), ["copied"]);
  },
);

test("persist() moves an adopted file, and one created with deleteOnClose: false", async () => {
  using place = workspace();
  const path = join(place.temporary.path, "made elsewhere");
  writeFileSync(path, "adopted");
  chmodSync(path, 0o640);
  await (await adoptFile(path)).persist(join(place.results.path, "adopted"));
  const file = namedTemporaryFileSync({ dir: place.temporary.path, deleteOnClose: false });
  file.persistSync(join(place.results.path, "kept"));
  file[Symbol.dispose]();
  assert.deepEqual([place.temporary.list(), place.results.list()], [[], ["adopted", "kept"]]);
  assert.equal(modeOf(join(place.results.path, "adopted")), shownMode(0o640));
});

test("persist() validates its arguments before any system call", async () => {
  using place = workspace();
  const file = await sourceNamed({ dir: place.temporary.path });
  using watched = substitute();
  const target = join(place.results.path, "new");
  const wrong: [string, unknown, object?][] = [
    ["TypeError", ""],
    ["TypeError", "a\0b"],
    ["TypeError", 1],
    ["TypeError", null],
    ["TypeError", Object("x")],
    ["TypeError", ["x"]],
    ["TypeError", new URL("https://example.com/x")],
    ["TypeError", new URL("file:///a%00b")],
    ["TypeError", target, { overwrite: 1 }],
    ["TypeError", target, { durable: "yes" }],
    ["TypeError", target, { mode: "exact" }],
    ["TypeError", target, { links: "no" }],
    ["RangeError", target, { mode: 0o1000 }],
    ["RangeError", target, { mode: -1 }],
    ["RangeError", target, { mode: 1.5 }],
  ];
  for (const [kind, path, options] of wrong) {
    for (const persist of Object.values(variants)) {
      assert.equal(
        await failureOf(() => persist(file as never, path as string, options)),
        `${kind} ERR_INVALID_OPTION`,
        JSON.stringify([path, options]),
      );
    }
  }
  for (const options of [null, { signal: {} }]) {
    assert.equal(
      await failureOf(() => file.persist(target, options as never)),
      "TypeError ERR_INVALID_OPTION",
    );
  }
  assert.deepEqual(watched.calls, []);
  file.closeSync();
});

test("calls made while persist() waits for a write from a source do not overtake it, with or without a signal", async () => {
  for (const options of [{}, { signal: new AbortController().signal }]) {
    using place = workspace();
    const target = join(place.results.path, "target");
    await using file = await temporaryFile({ dir: place.temporary.path });
    const written = file.write(["a", "b"]);
    const persisted = file.persist(target, options);
    const late = assert.rejects(file.write("late"), { code: "ERR_CLOSED" });
    await written;
    assert.throws(() => file.writeSync("late"), { code: /EBUSY|ERR_CLOSED/ });
    await Promise.all([persisted, late]);
    assert.equal(readFileSync(target, "utf8"), "ab");
  }
});

test("persist() of a spooled file in memory creates a file beside the target, and none in its own directory", async () => {
  using place = workspace();
  const file = sourceSpooled({ dir: place.temporary.path });
  await file.write("small");
  using watched = substitute();
  await file.persist(join(place.results.path, "new"));
  assert.deepEqual(watched.of("createUnnamed"), []);
  assert.equal(createdIn(place.results, watched).length, 1);
  assert.deepEqual(createdIn(place.temporary, watched), []);
});

test("persist() of an empty spooled file creates an empty file; of a closed one it fails with ERR_CLOSED", async () => {
  using place = workspace();
  const file = spooledTemporaryFile({ dir: place.temporary.path });
  await file.persist(join(place.results.path, "empty"));
  assert.equal(statSync(join(place.results.path, "empty")).size, 0);
  const closed = spooledTemporaryFile({ dir: place.temporary.path });
  await closed.close();
  assert.equal(await failureOf(() => closed.persist(join(place.results.path, "none"))), "ERR_CLOSED");
  assert.deepEqual(place.results.list(), ["empty"]);
});
