import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { basename, dirname, join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import {
  adoptFile,
  namedTemporaryFile,
  namedTemporaryFileSync,
  spooledTemporaryFile,
  TempfileError,
  temporaryFile,
} from "#mod";
import { held } from "../lib/life/registry.ts";
import { runtime } from "../lib/runtime/mod.ts";
import { configure } from "../lib/settings.ts";
import { namedTemporaryFile as sourceNamed } from "../lib/file/named.ts";
import { spooledTemporaryFile as sourceSpooled } from "../lib/file/spooled.ts";
import { temporaryFile as sourceUnnamed } from "../lib/file/unnamed.ts";
import { writeFileAtomicSync as sourceWriteSync } from "../lib/persist/write_file_atomic.ts";
import { othersMayEnter, runChild } from "./support/child.ts";
import { readLeases } from "./support/leases.ts";
import { failureOf, kinds, pattern, sameBytes } from "./support/kinds.ts";
import { packageTest as test } from "./support/once.ts";
import {
  isWindows,
  noDirectorySync,
  noFifos,
  noLinks,
  noLinux,
  noModes,
  noPosixPaths,
  noReplacing,
  noSignals,
  shownMode,
} from "./support/platform.ts";
import { elsewhere, faces, noElsewhere, notRoot } from "./support/places.ts";
import { type Scratch, scratch } from "./support/scratch.ts";
import { noStrace } from "./support/strace.ts";
import { asWindows, type Stub, type Substitute, substitute, systemError } from "./support/substitute.ts";

/** Larger than what is worth copying. */
const BIG = 5 * 1024 ** 2;

const modeOf = (path: string): number => statSync(path).mode & 0o777;

/** The files that were created in a directory. The lease, a file elsewhere, may be made at any time. */
function createdIn({ path }: Scratch, watched: Substitute): string[] {
  return watched.of("createFile").map(([created]) => created as string).filter((file) =>
    dirname(file) === path
  );
}

/** Directories for the temporary files and for the results. */
function rooms(): Disposable & { temporary: Scratch; results: Scratch } {
  const temporary = scratch(), results = scratch();
  return {
    temporary,
    results,
    [Symbol.dispose]() {
      temporary[Symbol.dispose]();
      results[Symbol.dispose]();
    },
  };
}

test("C142 persist() to a new path puts the contents there with the mode of the temporary file, returns the canonical path, and closes", async () => {
  for (const [kind, open] of Object.entries(kinds)) {
    for (const [face, persist] of Object.entries(faces)) {
      using place = rooms();
      const label = `${kind}, ${face}`;
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

test("C142 persist() shows the new path on the handle of a named file", async () => {
  using place = rooms();
  const file = await namedTemporaryFile({ dir: place.temporary.path });
  const target = join(place.results.path, "new");
  await file.persist(target);
  assert.equal(file.path, target);
  assert.equal(String(file), target);
});

test("C155 persist() keeps a mode that the temporary file was given, also where it is copied", {
  skip: noModes,
}, async () => {
  for (const [kind, open] of Object.entries(kinds)) {
    using place = rooms();
    const file = await open({ dir: place.temporary.path, mode: 0o640 });
    await file.write("x");
    assert.equal(modeOf(await file.persist(join(place.results.path, "new"))), 0o640, kind);
  }
});

test("C105 persist() of a large file without a name links it into place, whole and with one name", {
  skip: runtime.linkDescriptor === undefined && "needs a platform that gives descriptors names",
}, async () => {
  for (const [face, persist] of Object.entries(faces)) {
    using place = rooms();
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
    assert.deepEqual(linked, [fd], face);
    assert.deepEqual(createdIn(place.results, watched), [], "nothing was copied");
    assert.ok(sameBytes(readFileSync(target), data), face);
    assert.equal(statSync(target).nlink, 1);
    assert.equal(modeOf(target), 0o600);
    assert.deepEqual(place.results.list(), ["new"]);
  }
});

test("C105 persist() copies a large file without a name where it cannot be linked", {
  skip: runtime.linkDescriptor === undefined && "needs a platform that gives descriptors names",
}, async () => {
  using place = rooms();
  let tried = 0;
  const refuse = (): never => {
    tried++;
    throw systemError("EIO");
  };
  using _ = substitute({
    runtime: { linkDescriptor: { sync: refuse, pooled: () => Promise.reject(refuse) } },
  });
  for (const persist of Object.values(faces)) {
    const file = await sourceUnnamed({ dir: place.temporary.path });
    const data = pattern(BIG);
    await file.write(data);
    const target = join(place.results.path, "new");
    await persist(file as never, target);
    assert.ok(sameBytes(readFileSync(target), data));
    assert.deepEqual(place.results.list(), ["new"]);
  }
  assert.equal(tried, 1, "asked before copying");
  const names = held().entries.map(({ path }) => path);
  assert.equal(
    names.some((path) => path?.startsWith(place.results.path)),
    false,
    "no name stays on the books",
  );
});

test("C106 C144 persist() with overwrite: false onto a file fails with EEXIST, leaves both intact, and succeeds at another path", async () => {
  for (const [kind, open] of Object.entries(kinds)) {
    for (const [face, persist] of Object.entries(faces)) {
      using place = rooms();
      const label = `${kind}, ${face}`;
      const taken = join(place.results.path, "taken"), free = join(place.results.path, "free");
      writeFileSync(taken, "foobar");
      const file = await open({ dir: place.temporary.path });
      await file.write("mine");
      assert.equal(await failureOf(() => persist(file, taken, { overwrite: false })), "EEXIST", label);
      assert.equal(readFileSync(taken, "utf8"), "foobar", label);
      assert.equal(await file.text(), "mine", label);
      await file.write(" and more");
      assert.equal(await persist(file, free, { overwrite: false }), free, label);
      assert.equal(readFileSync(free, "utf8"), "mine and more", label);
      assert.deepEqual(place.results.list(), ["free", "taken"], label);
      assert.deepEqual(place.temporary.list(), [], label);
    }
  }
});

test("C144 persist() with overwrite: false does not replace what appears after it looked", async () => {
  for (const open of [sourceNamed, sourceUnnamed]) {
    for (const [face, persist] of Object.entries(faces)) {
      using place = rooms();
      const target = join(place.results.path, "target");
      const file = await open({ dir: place.temporary.path });
      await file.write("mine");
      using _ = substitute({
        primitives: {
          link: (real, from: string, to: string) => (writeFileSync(to, "theirs"), real(from, to)),
        },
      });
      assert.equal(
        await failureOf(() => persist(file as never, target, { overwrite: false })),
        "EEXIST",
        face,
      );
      assert.equal(readFileSync(target, "utf8"), "theirs");
      assert.equal(await file.text(), "mine");
      await file.close();
      assert.deepEqual([place.temporary.list(), place.results.list()], [[], ["target"]]);
    }
  }
});

test("C145 persist() onto a directory fails with EISDIR, or EEXIST where nothing is to be replaced, and leaves both as they were", async () => {
  for (const [kind, open] of Object.entries(kinds)) {
    for (const persist of Object.values(faces)) {
      using place = rooms();
      const full = join(place.results.path, "full"), empty = join(place.results.path, "empty");
      mkdirSync(full);
      mkdirSync(empty);
      writeFileSync(join(full, "file"), "x");
      const file = await open({ dir: place.temporary.path });
      await file.write("mine");
      for (const path of [full, empty, `${full}/`, `${full}/.`, `${full}/..`]) {
        assert.equal(await failureOf(() => persist(file, path)), "EISDIR", `${kind} ${path}`);
        const careful = () => persist(file, path, { overwrite: false });
        assert.equal(await failureOf(careful), "EEXIST", `${kind} ${path}`);
      }
      assert.equal(await file.text(), "mine");
      await file.close();
      assert.deepEqual([place.results.list(), existsSync(join(full, "file"))], [["empty", "full"], true]);
    }
  }
});

test("C146 persist() into a missing directory fails with ENOENT, and can be called again", async () => {
  for (const [kind, open] of Object.entries(kinds)) {
    for (const persist of Object.values(faces)) {
      using place = rooms();
      const file = await open({ dir: place.temporary.path });
      await file.write("mine");
      const missing = join(place.results.path, "missing");
      const error = await persist(file, join(missing, "new")).then(() => undefined, (error) => error);
      assert.ok(error instanceof TempfileError, kind);
      assert.equal(error.code, "ENOENT");
      assert.match(error.message, /Cannot put a file at .*missing/);
      assert.ok(!file.closed);
      mkdirSync(missing);
      await persist(file, join(missing, "new"));
      assert.equal(readFileSync(join(missing, "new"), "utf8"), "mine");
    }
  }
});

test("C147 C160 after persist() every use says ERR_CLOSED, and closing and disposing again removes nothing", async () => {
  for (const [kind, open] of Object.entries(kinds)) {
    using place = rooms();
    const target = join(place.results.path, "new");
    const file = await open({ dir: place.temporary.path });
    await file.write("x");
    await file.persist(target);
    assert.equal(await failureOf(() => file.write("y")), "ERR_CLOSED", kind);
    assert.equal(await failureOf(() => file.text()), "ERR_CLOSED", kind);
    assert.equal(await failureOf(() => file.persist(join(place.results.path, "again"))), "ERR_CLOSED", kind);
    assert.equal(await failureOf(() => file.persistSync(target)), "ERR_CLOSED", kind);
    await file.close();
    file.closeSync();
    await file[Symbol.asyncDispose]();
    file[Symbol.dispose]();
    assert.equal(readFileSync(target, "utf8"), "x", kind);
    assert.deepEqual(place.results.list(), ["new"], kind);
  }
});

test("C147 the end of the process removes nothing that was persisted", async () => {
  using place = rooms();
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
    for (const open of [sourceNamed, sourceUnnamed]) {
      for (const [face, persist] of Object.entries(faces)) {
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
          face,
        );
        assert.deepEqual(watched.of("rename").map((args) => args.slice(0, 2)), [[staged, target]]);
        assert.ok(sameBytes(readFileSync(target), data));
        assert.equal(modeOf(target), 0o644);
        assert.deepEqual([temporary.list(), results.list()], [[], ["new"]]);
      }
    }
  },
);

test("C148 persist() between mounts of one device, where a rename fails with EXDEV, copies", async () => {
  using place = rooms();
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
  await file.persist(target);
  assert.equal(readFileSync(target, "utf8"), "across");
  assert.deepEqual([place.temporary.list(), place.results.list()], [[], ["new"]]);
});

test("C149 C286 persist() whose copy fails half-way, by a full disk or a quota, leaves no part, nothing beside the target, and the file whole", async () => {
  for (const code of ["ENOSPC", "EDQUOT"]) {
    for (const persist of Object.values(faces)) {
      using place = rooms();
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

test("C149 persist() from which a source is taken while it is copied fails with EIO rather than put a short file in place", async () => {
  using place = rooms();
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

test(
  "C150 persist() onto a link replaces the link, which lends the new file no rights",
  { skip: noLinks },
  async () => {
    for (const [kind, open] of Object.entries(kinds)) {
      for (const persist of Object.values(faces)) {
        using place = rooms();
        const pointee = join(place.results.path, "pointee"), link = join(place.results.path, "link");
        writeFileSync(pointee, "old", { mode: 0o666 });
        symlinkSync("pointee", link);
        const file = await open({ dir: place.temporary.path });
        await file.write("new");
        assert.equal(await persist(file, link), link);
        assert.ok(lstatSync(link).isFile(), kind);
        assert.equal(modeOf(link), shownMode(0o600), kind);
        assert.equal(readFileSync(pointee, "utf8"), "old");
      }
    }
  },
);

test("C150 persist() with links: follow replaces what a chain of links leads to, and keeps the links", {
  skip: noLinks,
}, async () => {
  for (const persist of Object.values(faces)) {
    using place = rooms();
    const { path } = place.results;
    mkdirSync(join(path, "sub"));
    writeFileSync(join(path, "sub", "file"), "old");
    chmodSync(join(path, "sub", "file"), 0o640);
    symlinkSync("sub/second", join(path, "first"));
    symlinkSync(join(path, "sub", "file"), join(path, "sub", "second"));
    const file = await namedTemporaryFile({ dir: place.temporary.path });
    await file.write("new");
    assert.equal(await persist(file, join(path, "first"), { links: "follow" }), join(path, "sub", "file"));
    assert.equal(readFileSync(join(path, "first"), "utf8"), "new");
    assert.equal(modeOf(join(path, "first")), shownMode(0o640));
    assert.equal(readlinkSync(join(path, "first")), "sub/second");
    assert.ok(lstatSync(join(path, "sub", "second")).isSymbolicLink());
  }
});

test(
  "C150 persist() with links: follow fails with EILSEQ at a link that leads to no text, and puts nothing anywhere (Linux)",
  {
    skip: noLinux,
  },
  async () => {
    using place = rooms();
    const { path } = place.results, link = join(path, "link");
    assert.equal(spawnSync("sh", ["-c", `ln -s "$(printf 'x\\377')" "$1"`, "sh", link]).status, 0);
    // What the target looks like when it is read as text.
    writeFileSync(join(path, "x\uFFFD"), "another");
    for (const [face, persist] of Object.entries(faces)) {
      const file = await namedTemporaryFile({ dir: place.temporary.path });
      assert.equal(await failureOf(() => persist(file, link, { links: "follow" })), "EILSEQ", face);
      await file.close();
    }
    assert.deepEqual(place.results.list(), ["link", "x\uFFFD"]);
    assert.equal(readFileSync(join(path, "x\uFFFD"), "utf8"), "another");
  },
);

test(
  "C150 persist() never creates a file through a link that leads nowhere, and says ELOOP of one that leads to itself",
  { skip: noLinks },
  async () => {
    using place = rooms();
    const dangling = join(place.results.path, "dangling"), loop = join(place.results.path, "loop");
    symlinkSync("planted", dangling);
    symlinkSync("loop", loop);
    const file = await namedTemporaryFile({ dir: place.temporary.path });
    assert.equal(await failureOf(() => file.persist(dangling, { links: "follow" })), "ENOENT");
    assert.equal(await failureOf(() => file.persist(loop, { links: "follow" })), "ELOOP");
    assert.equal(await failureOf(() => file.persist(dangling, { overwrite: false })), "EEXIST");
    assert.deepEqual(place.results.list(), ["dangling", "loop"]);
    assert.ok(lstatSync(dangling).isSymbolicLink());
    await file.persist(dangling);
    assert.ok(lstatSync(dangling).isFile());
    assert.deepEqual(place.results.list(), ["dangling", "loop"]);
  },
);

/** Persists a file of each kind by each face, into a directory of its own. */
const ORDER = `
for (const results of args.slice(1)) {
  const [kind, face] = path.basename(results).split(" ");
  const dir = args[0];
  const file = kind === "named" ? await m.namedTemporaryFile({ dir }) : await m.temporaryFile({ dir });
  await file.write(new Uint8Array(kind === "big" ? ${BIG} : 1000).fill(7));
  const target = path.join(results, "target");
  face === "sync" ? file.persistSync(target) : await file.persist(target);
  say(fs.statSync(target).size);
}`;

const TRACE = ["-e", "trace=fsync,fdatasync,rename,renameat,renameat2"];

/** What a line of the trace says about one of two directories. */
function stepIn(temporary: string, results: string, line: string): string[] {
  if (/\brename/.test(line)) return line.includes(`"${join(results, "target")}"`) ? ["rename"] : [];
  const path = /\bf(?:data)?sync\(\d+<(.*?)>/.exec(line)?.[1];
  if (path === results) return ["sync of the directory"];
  const inResults = path?.startsWith(`${results}/`), inTemporary = path?.startsWith(`${temporary}/`);
  return inResults || inTemporary ? [`sync of the ${inResults ? "staged" : "temporary"} file`] : [];
}

test(
  "C151 a durable persist() asks the system to sync the file, to rename it, and to sync the directory, in this order",
  {
    skip: noStrace,
  },
  async () => {
    using place = rooms();
    using logs = scratch();
    const log = join(logs.path, "log");
    const runs = ["named", "unnamed", "big"].flatMap((kind) =>
      ["sync", "async"].map((face) => `${kind} ${face}`)
    );
    const results = runs.map((name) => join(place.results.path, name));
    for (const path of results) mkdirSync(path);
    const { said, stderr } = await runChild(ORDER, {
      args: [place.temporary.path, ...results],
      under: ["strace", "-f", "-qq", "-y", "-o", log, ...TRACE],
    });
    assert.deepEqual(said, [1000, 1000, 1000, 1000, BIG, BIG], stderr);
    const lines = readFileSync(log, "utf8").split("\n");
    let from = 0;
    for (const path of results) {
      const end = lines.findIndex((line) => stepIn("", path, line).includes("sync of the directory")) + 1;
      const order = lines.slice(from, end).flatMap((line) => stepIn(place.temporary.path, path, line));
      // Only a file with a name is renamed itself; a large one without is linked first, a small one copied.
      const file = path.endsWith("/unnamed sync") || path.endsWith("/unnamed async") ? "staged" : "temporary";
      assert.deepEqual(order, [`sync of the ${file} file`, "rename", "sync of the directory"], path);
      from = end;
    }
  },
);

test("C151 persist() with durable: false waits for no disk", async () => {
  for (const open of [sourceNamed, sourceUnnamed]) {
    using place = rooms();
    const file = await open({ dir: place.temporary.path });
    await file.write("x");
    using watched = substitute();
    await file.persist(join(place.results.path, "new"), { durable: false });
    assert.deepEqual([watched.of("synchronize"), watched.of("synchronizeDirectory")], [[], []]);
    assert.equal(watched.of("rename").length, 1);
  }
});

test("C152 persist() whose fsync fails does not rename, and leaves the target and the temporary file as they were", async () => {
  for (const [kind, open] of Object.entries({ named: sourceNamed, unnamed: sourceUnnamed })) {
    for (const size of [10, BIG]) {
      using place = rooms();
      const target = join(place.results.path, "target");
      writeFileSync(target, "old");
      chmodSync(target, 0o644);
      const file = await open({ dir: place.temporary.path });
      const data = pattern(size);
      await file.write(data);
      for (const [face, persist] of Object.entries(faces)) {
        using watched = substitute({
          primitives: {
            synchronize: () => {
              throw systemError("EIO");
            },
          },
        });
        assert.equal(await failureOf(() => persist(file as never, target)), "EIO", `${kind} ${size} ${face}`);
        assert.equal(watched.of("rename").length, 0);
      }
      assert.equal(readFileSync(target, "utf8"), "old");
      assert.deepEqual(place.results.list(), ["target"]);
      assert.ok(sameBytes(await file.bytes(), data));
      if (kind === "named") {
        assert.equal(modeOf((file as { path?: string }).path!), shownMode(0o600), "it got its mode back");
      }
      await file.persist(target);
      assert.ok(sameBytes(readFileSync(target), data));
      assert.equal(modeOf(target), shownMode(0o644));
    }
  }
});

test("C152 persist() whose directory cannot be synchronized says that the file is in place, and is closed", {
  skip: noDirectorySync,
}, async () => {
  for (const [kind, open] of Object.entries({ named: sourceNamed, unnamed: sourceUnnamed })) {
    for (const [face, persist] of Object.entries(faces)) {
      using place = rooms();
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
      assert.equal(error?.code, "EIO", `${kind}, ${face}`);
      assert.match(error.message, /target" is in place, but it may not survive a power cut.*\(EIO\)$/);
      assert.ok(file.closed);
      if (kind === "named") assert.equal((file as { path?: string }).path, target);
      await file.close();
      assert.equal(readFileSync(target, "utf8"), "new");
      assert.deepEqual([place.temporary.list(), place.results.list()], [[], ["target"]]);
    }
  }
});

test("C152 persist() takes a file system that cannot synchronize directories as it is", async () => {
  for (const code of ["EINVAL", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"]) {
    using place = rooms();
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

test(
  "C153 differs: persist() gives a new file the temporary file's own 0600, and one that replaces another the other's mode",
  { skip: noModes },
  async () => {
    for (const [kind, open] of Object.entries(kinds)) {
      for (const persist of Object.values(faces)) {
        using place = rooms();
        const fresh = join(place.results.path, "fresh"), existing = join(place.results.path, "existing");
        writeFileSync(existing, "old");
        chmodSync(existing, 0o644);
        for (const [path, mode] of [[fresh, 0o600], [existing, 0o644]] as const) {
          const file = await open({ dir: place.temporary.path });
          await file.write("new");
          await persist(file, path);
          assert.equal(modeOf(path), mode, kind);
        }
      }
    }
  },
);

/** Persists a file of each kind under the umask of the child with some mode, and says the modes of the results. */
const MODES = `
const [dir, results, ...modes] = args;
for (const given of modes) {
  const mode = given === "default" ? undefined : /^[0-7]+$/.test(given) ? parseInt(given, 8) : given;
  for (const kind of ["namedTemporaryFile", "temporaryFile", "spooledTemporaryFile"]) {
    const file = await m[kind]({ dir });
    await file.write("written");
    const target = path.join(results, kind + given);
    await file.persist(target, { mode });
    const { mode: found, size } = fs.statSync(target);
    say([given, (found & 0o777).toString(8), size]);
  }
}`;

async function modesUnder(umask: string, modes: string[]): Promise<{ [given: string]: string }> {
  using place = rooms();
  const { said, stderr } = await runChild(MODES, {
    args: [place.temporary.path, place.results.path, ...modes],
    umask,
    unprivileged: true,
  });
  assert.equal(said.length, modes.length * 3, stderr);
  assert.ok(said.every(([, , size]) => size === 7));
  const found = new Set(said.map(([given, mode]) => `${given}=${mode}`));
  assert.equal(found.size, modes.length, "the same for each kind");
  return Object.fromEntries(said.map(([given, mode]) => [given, mode]));
}

test("C154 persist() under a hostile umask still gives the file its 0600", { skip: noModes }, async () => {
  assert.deepEqual(await modesUnder("0377", ["default", "private"]), { default: "600", private: "600" });
});

test(
  "C155 persist() with a number gives exactly that mode, whatever the umask",
  { skip: noModes },
  async () => {
    assert.deepEqual(await modesUnder("0022", ["654"]), { 654: "654" });
    assert.deepEqual(await modesUnder("0077", ["654"]), { 654: "654" });
  },
);

test('C156 differs: persist() ignores the umask for a number; mode: "umask" gives 0666 less the umask', {
  skip: noModes,
}, async () => {
  assert.deepEqual(await modesUnder("0012", ["777", "umask"]), { 777: "777", umask: "664" });
});

test(
  "C157 differs: persist() with existing takes the mode of the replaced file, and has no fallback but the temporary file's own",
  { skip: noModes },
  async () => {
    for (const open of Object.values(kinds)) {
      using place = rooms();
      const existing = join(place.results.path, "existing"), absent = join(place.results.path, "absent");
      writeFileSync(existing, "old");
      chmodSync(existing, 0o754);
      for (
        const [path, mode, expected] of [[existing, "existing", 0o754], [absent, "existing", 0o600], [
          join(place.results.path, "static"),
          0o612,
          0o612,
        ]] as const
      ) {
        const file = await open({ dir: place.temporary.path });
        await file.persist(path, { mode });
        assert.equal(modeOf(path), expected);
      }
    }
  },
);

test(
  "C158 differs: there is no ignoreUmask: persist() with a number is exact, and wins over the mode of the replaced file",
  { skip: noModes },
  async () => {
    assert.deepEqual(await modesUnder("0077", ["644", "632"]), { 644: "644", 632: "632" });
    using place = rooms();
    const existing = join(place.results.path, "existing");
    writeFileSync(existing, "old");
    chmodSync(existing, 0o765);
    await (await namedTemporaryFile({ dir: place.temporary.path })).persist(existing, { mode: 0o632 });
    assert.equal(modeOf(existing), 0o632);
  },
);

test("C159 persist() renames a file from the dir that the caller gave: it stays the same inode", async () => {
  using place = rooms();
  const file = await namedTemporaryFile({ dir: place.temporary.path });
  const { ino } = statSync(file.path);
  assert.equal(statSync(await file.persist(join(place.results.path, "new"))).ino, ino);
});

test("C161 C163 without persist(), however it is closed or disposed, nothing appears at a new path and an old file stays; replaceOnClose is not offered", async () => {
  for (const open of Object.values(kinds)) {
    using place = rooms();
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

test("C162 persist() by root keeps the owner and group of the replaced file", { skip: notRoot }, async () => {
  for (const open of Object.values(kinds)) {
    for (const persist of Object.values(faces)) {
      using place = rooms();
      const target = join(place.results.path, "target");
      writeFileSync(target, "old");
      chmodSync(target, 0o660);
      chownSync(target, 1234, 4321);
      const file = await open({ dir: place.temporary.path });
      await file.write("new");
      await persist(file, target);
      const { uid, gid } = statSync(target);
      assert.deepEqual([uid, gid, modeOf(target)], [1234, 4321, 0o660]);
    }
  }
});

/** How what is at a path is replaced, by processes that are killed before it is. */
const REPLACING = [
  "m.writeFileAtomicSync(args[0], 'new');",
  "m.namedTemporaryFileSync({ dir: path.dirname(args[0]) }).persistSync(args[0]);",
];

test(
  "C162 C265 killed before the rename, root leaves nothing for long of what it has given to the owner of the file to be replaced",
  { skip: notRoot },
  async () => {
    for (const code of REPLACING) {
      using place = scratch();
      const target = join(place.path, "target"), env = { TMPDIR: place.path };
      writeFileSync(target, "old");
      chownSync(target, 1234, 4321);
      const dies = `(globalThis.Deno ?? fs).renameSync = () => process.kill(process.pid, "SIGKILL"); ${code}`;
      assert.equal((await runChild(dies, { args: [target], env })).signal, "SIGKILL");
      const left = place.list().filter((name) => name !== "target" && !name.startsWith(".mayfly-0"));
      assert.deepEqual(left.map((name) => statSync(join(place.path, name)).uid), [1234]);
      await runChild("await m.sweep();", { env });
      assert.deepEqual(place.list(), [".mayfly-0", "target"]);
      assert.deepEqual(readLeases(place.path), {});
      assert.equal(readFileSync(target, "utf8"), "old");
    }
  },
);

/** Replaces files of somebody else's group. */
const STRANGER = `
const [dir, ...targets] = args;
for (const target of targets) {
  const file = await m.namedTemporaryFile({ dir });
  await file.write("new");
  await file.persist(target);
  await m.writeFileAtomic(target, "newer");
  const { uid, gid, mode } = fs.statSync(target);
  say([uid, gid, (mode & 0o777).toString(8)]);
}`;

test(
  "C162 persist() and writeFileAtomic() by a user who may not keep the group give his own group no more than others had [needs root, and a checkout that others may enter]",
  {
    skip: notRoot || !othersMayEnter(),
  },
  async () => {
    using place = rooms();
    chmodSync(place.temporary.path, 0o777);
    chmodSync(place.results.path, 0o777);
    const targets = [0o660, 0o664, 0o640, 0o604].map((mode) => {
      const path = join(place.results.path, mode.toString(8));
      writeFileSync(path, "old");
      chmodSync(path, mode);
      chownSync(path, 1234, 4321);
      return path;
    });
    const { said, stderr } = await runChild(STRANGER, {
      args: [place.temporary.path, ...targets],
      under: ["setpriv", "--reuid=1500", "--regid=1500", "--clear-groups"],
    });
    assert.deepEqual(said, [[1500, 1500, "600"], [1500, 1500, "644"], [1500, 1500, "600"], [
      1500,
      1500,
      "644",
    ]], stderr);
  },
);

test(
  "C162 persist() by a member of the group keeps group and mode where the owner cannot be kept [needs root, and a checkout that others may enter]",
  {
    skip: notRoot || !othersMayEnter(),
  },
  async () => {
    using place = rooms();
    chmodSync(place.temporary.path, 0o777);
    chmodSync(place.results.path, 0o777);
    const target = join(place.results.path, "shared");
    writeFileSync(target, "old");
    chownSync(target, 1234, 4321);
    chmodSync(target, 0o660);
    const { said, stderr } = await runChild(STRANGER, {
      args: [place.temporary.path, target],
      under: ["setpriv", "--reuid=1500", "--regid=1500", "--groups=4321"],
    });
    assert.deepEqual(said, [[1500, 4321, "660"]], stderr);
  },
);

test("C162 persist() keeps neither hard links to the replaced file nor, as documented, its extended attributes", async () => {
  using place = rooms();
  const target = join(place.results.path, "target"), other = join(place.results.path, "other");
  writeFileSync(target, "old");
  linkSync(target, other);
  const file = await namedTemporaryFile({ dir: place.temporary.path });
  await file.write("new");
  await file.persist(target);
  assert.equal(readFileSync(other, "utf8"), "old");
  // A new inode: whatever belonged to the old one stays with it.
  assert.notEqual(statSync(target).ino, statSync(other).ino);
});

test("C165 two calls of persist() for one path at a time leave one of the two files, whole", async () => {
  using place = rooms();
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

test("C166 differs: links are not made here, but persist() replaces one in a single step, without a moment of absence", async () => {
  using place = rooms();
  const link = join(place.results.path, "link");
  symlinkSync("nowhere", link);
  const file = await sourceNamed({ dir: place.temporary.path });
  using watched = substitute();
  await file.persist(link);
  const changing = watched.calls.filter(({ name }) =>
    /^(unlink|link|rename|symbolicLink|createFile)$/.test(name)
  );
  assert.deepEqual(changing.map(({ name, args }) => [name, args[1]]), [["rename", link]]);
});

test("C167 persist() has everything up to the last awaited write, buffered or not", async () => {
  for (const [kind, open] of Object.entries(kinds)) {
    for (const [face, persist] of Object.entries(faces)) {
      using place = rooms();
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
        `${kind}, ${face}`,
      );
    }
  }
});

test("C167 persist() waits for calls that were not awaited, also for a source that is still being written", async () => {
  using place = rooms();
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

test("C168 persist() on Windows tries a rename again that somebody's open file is in the way of, then fails and keeps the file", async () => {
  using place = rooms();
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

test("C168 persist() on Windows succeeds when what was in the way of the rename or the link has gone", async () => {
  for (const persist of Object.values(faces)) {
    for (const [overwrite, step] of [[true, "rename"], [false, "link"]] as const) {
      using place = rooms();
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
      assert.equal(watched.of("synchronizeDirectory").length, 0, "there is no such call on Windows");
      assert.equal(watched.of("changeMode").length + watched.of("changeOwner").length, 0);
      assert.deepEqual([place.temporary.list(), place.results.list()], [[], ["target"]]);
    }
  }
});

test("persist() elsewhere than on Windows does not wait for a rename that is refused", async () => {
  for (const platform of ["linux", "darwin"] as const) {
    using place = rooms();
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

test("persist() where the platform gives descriptors no names, as on macOS, copies, syncs, renames, syncs", {
  skip: noPosixPaths,
}, async () => {
  using place = rooms();
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
});

test("persist() of a file that another has taken the place of fails with ERR_REPLACED and moves neither", async () => {
  for (const persist of Object.values(faces)) {
    using place = rooms();
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

test("persist() of a file whose name something has removed saves its contents by a copy", async () => {
  for (const persist of Object.values(faces)) {
    using place = rooms();
    const target = join(place.results.path, "new");
    const file = await namedTemporaryFile({ dir: place.temporary.path });
    await file.write("still there");
    unlinkSync(file.path);
    assert.equal(await persist(file, target), target);
    assert.equal(readFileSync(target, "utf8"), "still there");
    assert.deepEqual(place.results.list(), ["new"]);
  }
});

test("persist() of a second handle on a file leaves the file alone and copies it", async () => {
  using place = rooms();
  const file = await namedTemporaryFile({ dir: place.temporary.path });
  await file.write(pattern(BIG));
  const again = await file.reopen();
  const target = join(place.results.path, "new");
  await again.persist(target);
  assert.notEqual(statSync(target).ino, statSync(file.path).ino);
  await file.write("more", { at: 0 });
  assert.ok(sameBytes(readFileSync(target), pattern(BIG)), "later writes go elsewhere");
  await file.close();
});

test(
  "persist() onto another name of the same file gives that name a file of its own and removes the temporary name",
  { skip: noReplacing },
  async () => {
    for (const persist of Object.values(faces)) {
      using place = rooms();
      const file = await namedTemporaryFile({ dir: place.temporary.path });
      await file.write("x");
      const target = join(place.results.path, "name");
      linkSync(file.path, target);
      await persist(file, target);
      assert.equal(readFileSync(target, "utf8"), "x");
      assert.equal(statSync(target).nlink, 1);
      assert.deepEqual([place.temporary.list(), place.results.list()], [[], ["name"]]);
    }
  },
);

test("persist() of a file to its own path keeps it there", async () => {
  for (const persist of Object.values(faces)) {
    using place = rooms();
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
  "persist() of what Mayfly was not to delete: a rename moves it, a copy to another file system leaves it",
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

test("persist() of an adopted file, and of one that close() alone does not delete, moves it", async () => {
  using place = rooms();
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

/** Persists to a path as it is given, and looks for the file at the canonical one. */
async function putAt(place: Scratch, given: string | URL, canonical: string): Promise<void> {
  const file = await namedTemporaryFile({ dir: place.path });
  assert.equal(await file.persist(given), canonical);
  assert.ok(existsSync(canonical));
}

test("persist() takes relative paths and file: URLs, and returns the canonical path", async () => {
  using place = rooms();
  const { path } = place.results;
  await putAt(place.temporary, relative(process.cwd(), join(path, "a")), join(path, "a"));
  await putAt(place.temporary, pathToFileURL(join(path, "b c%")), join(path, "b c%"));
});

test("persist() takes paths through links, and returns the canonical path", { skip: noLinks }, async () => {
  using place = rooms();
  const { path } = place.results;
  mkdirSync(join(path, "real"));
  symlinkSync("real", join(path, "link"));
  await putAt(place.temporary, join(path, "link", "a"), join(path, "real", "a"));
  await putAt(place.temporary, `${path}/link/../real//./b`, join(path, "real", "b"));
});

test("persist() refuses a path with a separator at its end, one through a file, and a root", async () => {
  using place = rooms();
  const { path } = place.results;
  writeFileSync(join(path, "file"), "old");
  const file = await namedTemporaryFile({ dir: place.temporary.path });
  const refusals: [string, string][] = [
    [`${path}/new/`, "ENOTDIR"],
    [`${path}/new//`, "ENOTDIR"],
    [`${path}/file/`, "ENOTDIR"],
    [`${path}/file/.`, "ENOTDIR"],
    // On Windows what is below a file is merely not there.
    [`${path}/file/x`, isWindows ? "ENOENT" : "ENOTDIR"],
    [".", "EISDIR"],
    ["..", "EISDIR"],
    ["/", "EISDIR"],
    // On Windows what cannot be a name is merely not there.
    [join(path, "x".repeat(300)), isWindows ? "ENOENT" : "ENAMETOOLONG"],
  ];
  for (const [given, code] of refusals) {
    for (const persist of Object.values(faces)) {
      assert.equal(await failureOf(() => persist(file, given)), code, given);
    }
  }
  assert.deepEqual([place.results.list(), readFileSync(join(path, "file"), "utf8")], [["file"], "old"]);
  await file.close();
});

test("persist() on Windows refuses a path that ends with nothing but dots, which the system would drop", async () => {
  using place = rooms();
  const old = join(place.results.path, "file");
  writeFileSync(old, "old");
  const drop = (path: string): string => path.replace(/[\\/][. ]+$/, "");
  using watched = substitute(asWindows({
    primitives: {
      status: (real, path: string) => real(drop(path)),
      realPath: (real, path: string) => real(drop(path)),
    },
  }));
  const file = await sourceNamed({ dir: place.temporary.path });
  for (const end of ["/.", "\\.", "\\...", "\\ ."]) {
    for (const [face, persist] of Object.entries(faces)) {
      assert.equal(await failureOf(() => persist(file as never, old + end)), "ENOTDIR", `${end} ${face}`);
    }
  }
  assert.equal(watched.of("rename").length, 0);
  assert.equal(readFileSync(old, "utf8"), "old");
  file.closeSync();
});

test("persist() on Windows takes a path that is relative to the current directory of a drive", async () => {
  using place = rooms();
  // What the system says of the drive alone.
  const realPath = (real: (path: string) => unknown, path: string): unknown =>
    real(path === "C:" ? place.results.path : path);
  using _ = substitute(asWindows({ primitives: { realPath } }));
  for (const [face, persist] of Object.entries(faces)) {
    const file = await sourceNamed({ dir: place.temporary.path });
    await persist(file as never, `C:${face}`);
  }
  assert.deepEqual(place.results.list(), Object.keys(faces));
});

test("persist() checks what it is given before any system call", async () => {
  using place = rooms();
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
    for (const persist of Object.values(faces)) {
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

/** Listens at a path until the end of the scope. */
async function socketAt(path: string): Promise<AsyncDisposable> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return { [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())) };
}

test(
  "persist() refuses to replace a pipe, a socket, and a link to one, with EINVAL",
  { skip: noFifos },
  async () => {
    using place = rooms();
    const { path } = place.results;
    spawnSync("mkfifo", [join(path, "pipe")]);
    symlinkSync("pipe", join(path, "link"));
    await using _socket = await socketAt(join(path, "socket"));
    for (const [kind, open] of Object.entries(kinds)) {
      const file = await open({ dir: place.temporary.path });
      await file.write("x");
      for (const name of ["pipe", "socket", "link"]) {
        for (const persist of Object.values(faces)) {
          for (const links of ["replace", "follow"] as const) {
            const error = await persist(file, join(path, name), { links }).then(
              () => undefined,
              (error) => error,
            );
            assert.equal(error?.code, "EINVAL", `${kind} ${name} ${links}`);
            assert.match(error.message, /device, pipe or socket/);
          }
        }
      }
      assert.equal(await file.text(), "x");
      await file.close();
    }
    assert.ok(lstatSync(join(path, "pipe")).isFIFO());
    assert.ok(lstatSync(join(path, "link")).isSymbolicLink());
    assert.ok(lstatSync(join(path, "socket")).isSocket());
  },
);

test(
  "persist() and writeFileAtomic() refuse to replace a device, even as root",
  { skip: notRoot },
  async () => {
    using place = rooms();
    const device = join(place.results.path, "null"), link = join(place.results.path, "link");
    // A node of its own, with the numbers of /dev/null.
    const made = spawnSync("mknod", [device, "c", "1", "3"]);
    assert.equal(made.status, 0, String(made.stderr));
    symlinkSync("null", link);
    const { said, stderr } = await runChild(
      `for (const target of args.slice(1)) {
       const file = await m.namedTemporaryFile({ dir: args[0] });
       for (const call of [() => file.persist(target), () => file.persistSync(target),
         () => m.writeFileAtomic(target, "x"), async () => m.writeFileAtomicSync(target, "x")]) {
         try { await call(); say("replaced"); } catch (error) { say(error.code); }
       }
       await file.close();
     }`,
      { args: [place.temporary.path, device, link] },
    );
    assert.deepEqual(said, Array(8).fill("EINVAL"), stderr);
    assert.ok(lstatSync(device).isCharacterDevice());
    assert.deepEqual(place.results.list(), ["link", "null"]);
  },
);

test("persist() is aborted by its signal while it waits for a source that says nothing more, and puts nothing in place", async () => {
  using place = rooms();
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

test("persist() is aborted by its signal: at once, and between the steps of a copy, leaving everything as it was", async () => {
  using place = rooms();
  const target = join(place.results.path, "target");
  writeFileSync(target, "old");
  const file = await sourceUnnamed({ dir: place.temporary.path });
  await file.write(pattern(3 * 1024 ** 2));
  await file.flush();
  const reason = new Error("enough");
  await assert.rejects(file.persist(target, { signal: AbortSignal.abort(reason) }), reason);
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

test(
  "persist() that may not write to the directory of the target fails with EACCES and leaves the file as it was",
  {
    skip: noModes,
  },
  async () => {
    using place = rooms();
    const target = join(place.results.path, "target");
    writeFileSync(target, "old");
    chmodSync(target, 0o644);
    const { said, stderr } = await runChild(
      `const [dir, target] = args;
     fs.chmodSync(path.dirname(target), 0o555);
     for (const make of [m.namedTemporaryFile, m.temporaryFile, m.spooledTemporaryFile]) {
       const file = await make({ dir });
       await file.write("new");
       for (const call of [() => file.persist(target), async () => file.persistSync(target)]) {
         try { await call(); say("put"); } catch (error) { say([error.code, await file.text()]); }
       }
       if (file.path) say((fs.statSync(file.path).mode & 0o777).toString(8));
       await file.close();
     }
     fs.chmodSync(path.dirname(target), 0o755);`,
      { args: [place.temporary.path, target], unprivileged: true },
    );
    const failed = ["EACCES", "new"];
    assert.deepEqual(said, [failed, failed, "600", failed, failed, failed, failed], stderr);
    assert.equal(readFileSync(target, "utf8"), "old");
    assert.deepEqual([place.temporary.list(), place.results.list()], [[], ["target"]]);
  },
);

test("persist() of a spool in memory writes to the disk only beside its target", async () => {
  using place = rooms();
  const file = sourceSpooled({ dir: place.temporary.path });
  await file.write("small");
  using watched = substitute();
  await file.persist(join(place.results.path, "new"));
  assert.deepEqual(watched.of("createUnnamed"), []);
  assert.equal(createdIn(place.results, watched).length, 1);
  assert.deepEqual(createdIn(place.temporary, watched), []);
});

test("persist() of an empty spool, and of one that is closed, is told apart", async () => {
  using place = rooms();
  const file = spooledTemporaryFile({ dir: place.temporary.path });
  await file.persist(join(place.results.path, "empty"));
  assert.equal(statSync(join(place.results.path, "empty")).size, 0);
  const closed = spooledTemporaryFile({ dir: place.temporary.path });
  await closed.close();
  assert.equal(await failureOf(() => closed.persist(join(place.results.path, "none"))), "ERR_CLOSED");
  assert.deepEqual(place.results.list(), ["empty"]);
});

test("persist() of a big file ended by SIGTERM in the middle leaves the old target and nothing beside it", {
  skip: noSignals,
}, async () => {
  using place = rooms();
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
});

test("persist() that is aborted while it waits for the disk puts nothing in place, and leaves the file as it was", async () => {
  using place = rooms();
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
  "C105 persist() of a large file takes away the name that a program has made which then failed, and copies",
  {
    skip: runtime.linkDescriptor === undefined && "needs a platform that gives descriptors names",
  },
  async () => {
    for (const persist of Object.values(faces)) {
      using place = rooms();
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

test(
  "C162 persist() whose owner cannot be set for another reason than a want of rights fails, and leaves all as it was (skipped: needs root)",
  {
    skip: notRoot,
  },
  async () => {
    using place = rooms();
    const target = join(place.results.path, "old");
    writeFileSync(target, "old");
    chownSync(target, 1234, 1234);
    const file = await sourceNamed({ dir: place.temporary.path });
    await file.write("new");
    {
      using _ = substitute({
        primitives: {
          changeOwner() {
            throw systemError("EIO");
          },
        },
      });
      assert.equal(await failureOf(() => file.persist(target)), "EIO");
    }
    const { uid } = statSync(target);
    assert.deepEqual([readFileSync(target, "utf8"), uid, await file.text()], ["old", 1234, "new"]);
    await file.close();
  },
);

test(
  "C162 writeFileAtomic() takes each way in which a system says that a file may not be given away as it is, and gives the group no more than others have (skipped: needs root)",
  {
    skip: notRoot,
  },
  () => {
    const ways = ["EPERM", "EACCES", "EINVAL", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "ERR_ACCESS_DENIED"];
    for (const code of ways) {
      using place = scratch();
      const target = join(place.path, "old");
      writeFileSync(target, "old");
      chmodSync(target, 0o664);
      chownSync(target, 1234, 1234);
      using _ = substitute({
        primitives: {
          changeOwner() {
            throw systemError(code);
          },
        },
      });
      sourceWriteSync(target, "new");
      const { uid, mode } = statSync(target);
      assert.deepEqual([readFileSync(target, "utf8"), uid, mode & 0o777], ["new", 0, 0o644], code);
    }
  },
);

test("a file that the thread pool has put in place when the process ends is not waited for, and stays", async () => {
  using place = rooms();
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
