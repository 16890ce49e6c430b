/**
 * `persist()` of a file: what is synchronized, and what happens if that fails.
 *
 * @module
 */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { namedTemporaryFile as sourceNamed } from "../../lib/file/named.ts";
import { temporaryFile as sourceUnnamed } from "../../lib/file/unnamed.ts";
import { runChild } from "../support/child.ts";
import { failureOf, pattern, sameBytes } from "../support/kinds.ts";
import { packageTest as test } from "../support/once.ts";
import { BIG, inMemory } from "../support/persisting.ts";
import { modeOf, noDirectorySync, shownMode } from "../support/platform.ts";
import { variants, workspace } from "../support/places.ts";
import { scratch } from "../support/scratch.ts";
import { noStrace } from "../support/strace.ts";
import { substitute, systemError } from "../support/substitute.ts";

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
      under: ["strace", "-f", "--seccomp-bpf", "-qq", "-y", "-o", log, ...TRACE_OPTIONS],
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
