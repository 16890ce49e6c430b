/**
 * `persist()` of a file: what arrives at the target, by a rename, a link or a copy; durability, failures and aborts.
 *
 * @module
 */
import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import {
  adoptFile,
  namedTemporaryFile,
  namedTemporaryFileSync,
  type SpooledOptions,
  spooledTemporaryFile,
  temporaryFile,
} from "#mod";
import { held } from "../../lib/life/registry.ts";
import { runtime } from "../../lib/runtime/mod.ts";
import { configure } from "../../lib/settings.ts";
import { namedTemporaryFile as sourceNamed } from "../../lib/file/named.ts";
import { spooledTemporaryFile as sourceSpooled } from "../../lib/file/spooled.ts";
import { temporaryFile as sourceUnnamed } from "../../lib/file/unnamed.ts";
import { runChild } from "../support/child.ts";
import { failureOf, kinds, pattern, sameBytes } from "../support/kinds.ts";
import { packageTest as test } from "../support/once.ts";
import { modeOf, noDirectorySync, noPosixPaths, noSignals, shownMode } from "../support/platform.ts";
import { elsewhere, noElsewhere, variants, workspace } from "../support/places.ts";
import { type Scratch, scratch } from "../support/scratch.ts";
import { noStrace } from "../support/strace.ts";
import { asWindows, type Stub, type Substitute, substitute, systemError } from "../support/substitute.ts";

/** Large enough for an unnamed file to be linked rather than copied. */
const BIG = 5 * 1024 ** 2;

const inMemory = (options: SpooledOptions) => sourceSpooled({ maxMemory: 2 * BIG, ...options });

/** Returns the files that were created in a directory. A lease may be created elsewhere at any time. */
function createdIn({ path }: Scratch, watched: Substitute): string[] {
  return watched.of("createFile").map(([created]) => created as string).filter((file) =>
    dirname(file) === path
  );
}

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

test(
  "C105 persist() of a large unnamed file links its descriptor to the target, whole and with one link, without a copy",
  {
    skip: runtime.linkDescriptor === undefined && "needs a platform that gives descriptors names",
  },
  async () => {
    for (const [variant, persist] of Object.entries(variants)) {
      using place = workspace();
      const linked: number[] = [];
      const { sync, pooled } = runtime.linkDescriptor!;
      using watched = substitute({
        runtime: {
          linkDescriptor: {
            sync: (descriptor, path) => (linked.push(descriptor), sync(descriptor, path)),
            pooled: (descriptor, path) => (linked.push(descriptor), pooled(descriptor, path)),
          },
        },
      });
      const file = await sourceUnnamed({ dir: place.temporary.path });
      const data = pattern(BIG);
      await file.write(data);
      const { fd } = file;
      const target = join(place.results.path, "new");
      await persist(file as never, target);
      assert.deepEqual(linked, [fd], variant);
      assert.deepEqual(createdIn(place.results, watched), [], "nothing was copied");
      assert.ok(sameBytes(readFileSync(target), data), variant);
      assert.equal(statSync(target).nlink, 1);
      assert.equal(modeOf(target), 0o600);
      assert.deepEqual(place.results.list(), ["new"]);
    }
  },
);

test("C105 persist() copies a large unnamed file if its descriptor cannot be linked", {
  skip: runtime.linkDescriptor === undefined && "needs a platform that gives descriptors names",
}, async () => {
  using place = workspace();
  let tried = 0;
  const refuse = (): never => {
    tried++;
    throw systemError("EIO");
  };
  using _ = substitute({
    runtime: { linkDescriptor: { sync: refuse, pooled: () => Promise.resolve().then(refuse) } },
  });
  for (const persist of Object.values(variants)) {
    const file = await sourceUnnamed({ dir: place.temporary.path });
    const data = pattern(BIG);
    await file.write(data);
    const target = join(place.results.path, "new");
    await persist(file as never, target);
    assert.ok(sameBytes(readFileSync(target), data));
    assert.deepEqual(place.results.list(), ["new"]);
  }
  assert.equal(tried, 2, "both variants try to link before they copy");
  const names = held().entries.map(({ path }) => path);
  assert.equal(
    names.some((path) => path?.startsWith(place.results.path)),
    false,
    "no path stays in the registry",
  );
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

test(
  "C148 persist() to another file system copies beside the target, syncs, renames, and removes the temporary file",
  {
    skip: noElsewhere,
  },
  async () => {
    for (const open of [sourceNamed, sourceUnnamed, inMemory]) {
      for (const [variant, persist] of Object.entries(variants)) {
        using temporary = scratch(elsewhere);
        using results = scratch();
        const target = join(results.path, "new");
        const file = await open({ dir: temporary.path, mode: 0o644 });
        const data = pattern(3 * 1024 ** 2 + 17);
        await file.write(data);
        using watched = substitute();
        assert.equal(await persist(file as never, target), target);
        const [staged] = createdIn(results, watched);
        assert.deepEqual(
          watched.calls.map(({ name }) => name).filter((name) => /^(synchronize|rename)/.test(name)),
          ["synchronize", "rename", "synchronizeDirectory"],
          variant,
        );
        assert.deepEqual(watched.of("rename").map((args) => args.slice(0, 2)), [[staged, target]]);
        assert.ok(sameBytes(readFileSync(target), data));
        assert.equal(modeOf(target), 0o644);
        assert.deepEqual([temporary.list(), results.list()], [[], ["new"]]);
      }
    }
  },
);

test("C148 persist() copies if the rename fails with EXDEV, as between two mounts of one device", async () => {
  for (const persist of Object.values(variants)) {
    using place = workspace();
    const file = await sourceNamed({ dir: place.temporary.path });
    await file.write("across");
    using _ = substitute({
      primitives: {
        rename: (real, from: string, to: string) => {
          if (from.startsWith(place.temporary.path)) throw systemError("EXDEV");
          return real(from, to);
        },
      },
    });
    const target = join(place.results.path, "new");
    await persist(file as never, target);
    assert.equal(readFileSync(target, "utf8"), "across");
    assert.deepEqual([place.temporary.list(), place.results.list()], [[], ["new"]]);
  }
});

test("C149 C286 persist() whose copy fails with ENOSPC or EDQUOT leaves target and temporary file whole, and no partial copy", async () => {
  for (const code of ["ENOSPC", "EDQUOT"]) {
    for (const persist of Object.values(variants)) {
      using place = workspace();
      const target = join(place.results.path, "target");
      writeFileSync(target, "old");
      const file = await sourceUnnamed({ dir: place.temporary.path });
      const data = pattern(3 * 1024 ** 2);
      await file.write(data);
      await file.flush();
      {
        let writes = 0;
        using _ = substitute({
          primitives: {
            write: (real, ...args) => {
              if (++writes === 2) throw systemError(code);
              return real(...args as unknown[]);
            },
          },
        });
        assert.equal(await failureOf(() => persist(file as never, target)), code);
        assert.equal(writes, 2);
      }
      assert.equal(readFileSync(target, "utf8"), "old");
      assert.deepEqual(place.results.list(), ["target"]);
      assert.ok(sameBytes(await file.bytes(), data));
      await persist(file as never, target);
      assert.ok(sameBytes(readFileSync(target), data));
    }
  }
});

test("C149 persist() fails with EIO instead of storing a truncated file if the source ends early while it is copied", async () => {
  using place = workspace();
  const target = join(place.results.path, "target");
  const file = await sourceUnnamed({ dir: place.temporary.path });
  await file.write(pattern(3 * 1024 ** 2));
  await file.flush();
  let reads = 0;
  using _ = substitute({
    primitives: { read: (real, ...args) => ++reads === 2 ? 0 : real(...args as unknown[]) },
  });
  assert.equal(await failureOf(() => file.persistSync(target)), "EIO");
  assert.deepEqual(place.results.list(), []);
  file.closeSync();
});

/** Persists a file of each kind, synchronously or asynchronously, into a directory of its own. */
const DURABLE_PERSISTS = `
for (const results of args.slice(1)) {
  const [kind, variant] = path.basename(results).split(" ");
  const dir = args[0];
  const file = kind === "named" ? await m.namedTemporaryFile({ dir }) : await m.temporaryFile({ dir });
  await file.write(new Uint8Array(kind === "big" ? ${BIG} : 1000).fill(7));
  const target = path.join(results, "target");
  variant === "sync" ? file.persistSync(target) : await file.persist(target);
  say(fs.statSync(target).size);
}`;

const TRACE_OPTIONS = ["-e", "trace=write,writev,pwrite64,pwritev,fsync,fdatasync,rename,renameat,renameat2"];

/** Returns the step, at most one, that a line of the trace shows for the files in one of the two directories. */
function stepIn(temporary: string, results: string, line: string): string[] {
  if (/\brename/.test(line)) return line.includes(`"${join(results, "target")}"`) ? ["rename"] : [];
  const [, call, path] = /\b(f(?:data)?sync|p?writev?(?:64)?)\(\d+<(.*?)>/.exec(line) ?? [];
  const step = call?.includes("write") ? "write to" : "sync of";
  if (path === results) return [`${step} the directory`];
  const inResults = path?.startsWith(`${results}/`), inTemporary = path?.startsWith(`${temporary}/`);
  return inResults || inTemporary ? [`${step} the ${inResults ? "staged" : "temporary"} file`] : [];
}

test(
  "C151 a durable persist() writes the file, calls fsync on it, then rename, then fsync on the directory",
  {
    skip: noStrace,
  },
  async () => {
    using place = workspace();
    using logs = scratch();
    const log = join(logs.path, "log");
    const runs = ["named", "unnamed", "big"].flatMap((kind) =>
      ["sync", "async"].map((variant) => `${kind} ${variant}`)
    );
    const results = runs.map((name) => join(place.results.path, name));
    for (const path of results) mkdirSync(path);
    const { said, stderr } = await runChild(DURABLE_PERSISTS, {
      args: [place.temporary.path, ...results],
      under: ["strace", "-f", "-qq", "-y", "-o", log, ...TRACE_OPTIONS],
    });
    assert.deepEqual(said, [1000, 1000, 1000, 1000, BIG, BIG], stderr);
    const lines = readFileSync(log, "utf8").split("\n");
    let from = 0;
    for (const path of results) {
      const end = lines.findIndex((line) => stepIn("", path, line).includes("sync of the directory")) + 1;
      const steps = lines.slice(from, end).flatMap((line) => stepIn(place.temporary.path, path, line));
      // A named file is itself renamed, and a large unnamed one is linked first. A small unnamed one is copied.
      const file = path.endsWith("/unnamed sync") || path.endsWith("/unnamed async") ? "staged" : "temporary";
      const written = `write to the ${file} file`;
      // Large files take several writes, and what is copied was written to the temporary file before.
      const order = steps.filter((step, index) =>
        step === written ? steps[index + 1] !== step : !step.startsWith("write")
      );
      assert.deepEqual(order, [written, `sync of the ${file} file`, "rename", "sync of the directory"], path);
      from = end;
    }
  },
);

test("C151 persist() with durable: false syncs neither file nor directory", async () => {
  for (const open of [sourceNamed, sourceUnnamed]) {
    using place = workspace();
    const file = await open({ dir: place.temporary.path });
    await file.write("x");
    using watched = substitute();
    await file.persist(join(place.results.path, "new"), { durable: false });
    assert.deepEqual([watched.of("synchronize"), watched.of("synchronizeDirectory")], [[], []]);
    assert.equal(watched.of("rename").length, 1);
  }
});

test("C152 persist() whose fsync fails does not rename, and leaves the target and the temporary file as they were", async () => {
  for (const [kind, open] of Object.entries({ named: sourceNamed, unnamed: sourceUnnamed, inMemory })) {
    for (const size of [10, BIG]) {
      using place = workspace();
      const target = join(place.results.path, "target");
      writeFileSync(target, "old");
      chmodSync(target, 0o644);
      const file = await open({ dir: place.temporary.path });
      const data = pattern(size);
      await file.write(data);
      for (const [variant, persist] of Object.entries(variants)) {
        using watched = substitute({
          primitives: {
            synchronize: () => {
              throw systemError("EIO");
            },
          },
        });
        assert.equal(
          await failureOf(() => persist(file as never, target)),
          "EIO",
          `${kind} ${size} ${variant}`,
        );
        assert.equal(watched.of("rename").length, 0);
      }
      assert.equal(readFileSync(target, "utf8"), "old");
      assert.deepEqual(place.results.list(), ["target"]);
      assert.ok(sameBytes(await file.bytes(), data));
      if (kind === "named") {
        assert.equal(modeOf((file as { path?: string }).path!), shownMode(0o600), "the mode is restored");
      }
      await file.persist(target);
      assert.ok(sameBytes(readFileSync(target), data));
      assert.equal(modeOf(target), shownMode(0o644));
    }
  }
});

test(
  "C152 persist() that cannot sync the directory fails with an error saying the file is in place, and closes the handle",
  {
    skip: noDirectorySync,
  },
  async () => {
    for (const [kind, open] of Object.entries({ named: sourceNamed, unnamed: sourceUnnamed })) {
      for (const [variant, persist] of Object.entries(variants)) {
        using place = workspace();
        const target = join(place.results.path, "target");
        writeFileSync(target, "old");
        const file = await open({ dir: place.temporary.path });
        await file.write("new");
        using _ = substitute({
          primitives: {
            synchronizeDirectory: () => {
              throw systemError("EIO");
            },
          },
        });
        const error = await persist(file as never, target).then(() => undefined, (error) => error);
        assert.equal(error?.code, "EIO", `${kind}, ${variant}`);
        assert.match(error.message, /target" is in place, but it may not survive a power cut.*\(EIO\)$/);
        assert.ok(file.closed);
        if (kind === "named") assert.equal((file as { path?: string }).path, target);
        await file.close();
        assert.equal(readFileSync(target, "utf8"), "new");
        assert.deepEqual([place.temporary.list(), place.results.list()], [[], ["target"]]);
      }
    }
  },
);

test("C152 persist() succeeds on a file system that cannot sync directories", async () => {
  for (const code of ["EINVAL", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"]) {
    using place = workspace();
    const file = await sourceNamed({ dir: place.temporary.path });
    using _ = substitute({
      primitives: {
        synchronizeDirectory: () => {
          throw systemError(code);
        },
      },
    });
    await file.persist(join(place.results.path, "new"));
    assert.deepEqual(place.results.list(), ["new"]);
  }
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

test(
  "persist() of an unnamed file copies, syncs, renames and syncs again where descriptors cannot be linked, as on macOS",
  {
    skip: noPosixPaths,
  },
  async () => {
    using place = workspace();
    using watched = substitute({
      runtime: { platform: "darwin", linkDescriptor: undefined, anchor: () => undefined },
    });
    const file = await sourceUnnamed({ dir: place.temporary.path });
    const data = pattern(BIG);
    await file.write(data);
    const target = join(place.results.path, "new");
    await file.persist(target);
    assert.ok(sameBytes(readFileSync(target), data));
    const steps = watched.calls.map(({ name }) => name).filter((name) => /^(synchronize|rename)/.test(name));
    assert.deepEqual(steps, ["synchronize", "rename", "synchronizeDirectory"]);
    assert.deepEqual([place.temporary.list(), place.results.list()], [[], ["new"]]);
  },
);

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

test("persist() aborted by its signal while it waits for a write with a stalled source puts nothing in place", async () => {
  using place = workspace();
  const target = join(place.results.path, "target");
  await using file = await temporaryFile({ dir: place.temporary.path });
  let end!: () => void;
  async function* source(): AsyncGenerator<string> {
    yield "abc";
    await new Promise<void>((resolve) => end = resolve);
  }
  const written = file.write(source());
  const controller = new AbortController(), reason = new Error("enough");
  const persisted = file.persist(target, { signal: controller.signal });
  while (end === undefined) await new Promise((resolve) => setTimeout(resolve, 1));
  controller.abort(reason);
  await assert.rejects(persisted, reason);
  end();
  assert.equal(await written, 3);
  assert.equal(await file.text(), "abc");
  assert.deepEqual(place.results.list(), []);
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

test("persist() with an aborted signal, or aborted between the steps of a copy, rejects and changes nothing", async () => {
  using place = workspace();
  const target = join(place.results.path, "target");
  writeFileSync(target, "old");
  const file = await sourceUnnamed({ dir: place.temporary.path });
  await file.write(pattern(3 * 1024 ** 2));
  await file.flush();
  const reason = new Error("enough");
  const aborted = { signal: AbortSignal.abort(reason) };
  await assert.rejects(file.persist(target, aborted), reason);
  assert.throws(() => file.persistSync(target, aborted as object), (error) => error === reason);
  for (const step of ["createFile", "write", "synchronize"] as const) {
    const controller = new AbortController();
    using watched = substitute({
      primitives: {
        [step]: (real: (...args: unknown[]) => unknown, ...args: unknown[]) => {
          controller.abort(reason);
          return real(...args);
        },
      },
    });
    await assert.rejects(file.persist(target, { signal: controller.signal }), reason);
    assert.ok(watched.of(step).length > 0);
    assert.deepEqual(place.results.list(), ["target"]);
  }
  assert.equal(readFileSync(target, "utf8"), "old");
  assert.ok(sameBytes(await file.bytes(), pattern(3 * 1024 ** 2)));
  await file.persist(target);
  assert.ok(sameBytes(readFileSync(target), pattern(3 * 1024 ** 2)));
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

test(
  "SIGTERM during persist() of a large file, with signals: true, leaves the old target and nothing beside it",
  {
    skip: noSignals,
  },
  async () => {
    using place = workspace();
    const target = join(place.results.path, "target");
    writeFileSync(target, "old");
    const { said, signal, stderr } = await runChild(
      `m.configure({ signals: true });
     const file = m.spooledTemporaryFile({ dir: args[0], maxMemory: 2 ** 26 });
     await file.write(new Uint8Array(2 ** 25));
     const timer = setInterval(() => {
       if (fs.readdirSync(path.dirname(args[1])).length < 2) return;
       say("staged");
       clearInterval(timer);
       process.kill(process.pid, "SIGTERM");
     }, 0);
     await file.persist(args[1]);
     await new Promise((resolve) => setTimeout(resolve, 5000));`,
      { args: [place.temporary.path, target] },
    );
    assert.deepEqual([said, signal], [["staged"], "SIGTERM"], stderr);
    assert.equal(readFileSync(target, "utf8"), "old");
    assert.deepEqual([place.temporary.list(), place.results.list()], [[], ["target"]]);
  },
);

test("persist() aborted while it syncs the file puts nothing in place, and leaves the file unchanged", async () => {
  using place = workspace();
  const target = join(place.results.path, "old");
  writeFileSync(target, "old", { mode: 0o644 });
  const file = await sourceNamed({ dir: place.temporary.path });
  await file.write("new");
  const controller = new AbortController(), reason = new Error("no longer");
  {
    using _ = substitute({
      primitives: {
        synchronize: (real, ...args) => (controller.abort(reason), real(...args as unknown[])),
      },
    });
    await assert.rejects(file.persist(target, { signal: controller.signal }), reason);
  }
  assert.deepEqual([readFileSync(target, "utf8"), place.results.list()], ["old", ["old"]]);
  assert.deepEqual([modeOf(file.path), await file.text()], [shownMode(0o600), "new"]);
  await file.persist(target, { signal: new AbortController().signal });
  assert.equal(readFileSync(target, "utf8"), "new");
});

test(
  "C105 persist() of a large unnamed file removes a link that was created although the call failed, and copies",
  {
    skip: runtime.linkDescriptor === undefined && "needs a platform that gives descriptors names",
  },
  async () => {
    for (const persist of Object.values(variants)) {
      using place = workspace();
      const { sync, pooled } = runtime.linkDescriptor!;
      const made: string[] = [];
      using _ = substitute({
        runtime: {
          linkDescriptor: {
            sync(descriptor, path) {
              sync(descriptor, path);
              made.push(path);
              throw systemError("EIO");
            },
            async pooled(descriptor, path) {
              await pooled(descriptor, path);
              made.push(path);
              throw systemError("EIO");
            },
          },
        },
      });
      const file = await sourceUnnamed({ dir: place.temporary.path });
      const data = pattern(BIG);
      await file.write(data);
      const target = join(place.results.path, "new");
      await persist(file as never, target);
      assert.deepEqual([made.length, existsSync(made[0])], [1, false]);
      assert.ok(sameBytes(readFileSync(target), data));
      assert.deepEqual([statSync(target).nlink, place.results.list()], [1, ["new"]]);
    }
  },
);

test("process exit does not wait for a rename that the thread pool has already done, and keeps the target", async () => {
  using place = workspace();
  const target = join(place.results.path, "new");
  const file = await sourceNamed({ dir: place.temporary.path });
  configure({ inline: false });
  try {
    let waits = 0;
    using watched = substitute({
      primitives: {
        rename(_real, ...[from, to]: [string, string]) {
          renameSync(from, to);
          return new Promise(() => {});
        },
      },
      runtime: { sleep: () => waits++ },
    });
    void file.persist(target);
    while (watched.of("rename").length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    const entry = held().entries.find(({ path }) => path === file.path);
    assert.deepEqual([entry!.discard(), waits, existsSync(target)], [true, 0, true]);
  } finally {
    configure({ inline: undefined });
  }
});
