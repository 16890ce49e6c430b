/**
 * Deno's standard library with the directories and paths of this library. Run by `deno task test:std`, since it comes from JSR.
 *
 * @module
 */
import { assert, assertEquals, assertFalse, assertMatch, assertRejects } from "@std/assert";
import { copy, emptyDir, ensureDir, ensureFile, exists, existsSync, expandGlob, move, walk } from "@std/fs";
import { basename, dirname, fromFileUrl, isAbsolute, join, normalize, relative, toFileUrl } from "@std/path";
import {
  adoptDirectory,
  namedTemporaryFile,
  TempfileError,
  temporaryDirectory,
  tmpdir,
  writeFileAtomic,
} from "mayfly";

/** The paths below a directory, as `walk` finds them, without the directory itself. */
async function below(path: string): Promise<string[]> {
  const found: string[] = [];
  for await (const entry of walk(path)) if (entry.path !== path) found.push(relative(path, entry.path));
  return found.sort();
}

Deno.test("paths are absolute and normal, and a directory's join() agrees with @std/path", async () => {
  await using directory = await temporaryDirectory({ prefix: "a-" });
  await using file = await directory.namedTemporaryFile({ suffix: ".txt" });
  for (const path of [directory.path, file.path, tmpdir()]) {
    assert(isAbsolute(path));
    assertEquals(normalize(path), path);
    assertEquals(fromFileUrl(toFileUrl(path)), path);
  }
  assertEquals(dirname(file.path), directory.path);
  assertMatch(basename(directory.path), /^a-/);
  for (const segments of [["a"], ["a", "b"], ["a/b", "../c"], ["./a//b"]]) {
    assertEquals(directory.join(...segments), join(directory.path, ...segments));
  }
});

Deno.test("dir accepts a file: URL from @std/path", async () => {
  await using directory = await temporaryDirectory();
  await using file = await namedTemporaryFile({ dir: toFileUrl(directory.path) });
  assertEquals(dirname(file.path), directory.path);
});

Deno.test("exists() is true for a directory and its file, and false after the end of the scope", async () => {
  let paths: string[];
  {
    await using directory = await temporaryDirectory();
    await using file = await directory.namedTemporaryFile();
    paths = [directory.path, file.path];
    assert(await exists(directory.path, { isDirectory: true }));
    assert(await exists(file.path, { isFile: true, isReadable: true }));
  }
  for (const path of paths) assertFalse(existsSync(path));
});

Deno.test("ensureDir(), ensureFile() and walk() work in a directory, which is removed with its contents", async () => {
  let path: string;
  {
    await using directory = await temporaryDirectory();
    path = directory.path;
    await ensureDir(directory.join("a/b/c"));
    await ensureFile(directory.join("a/d/e.txt"));
    assertEquals(await below(path), ["a", "a/b", "a/b/c", "a/d", "a/d/e.txt"]);
    const globbed = await Array.fromAsync(expandGlob("**/*.txt", { root: path }));
    assertEquals(globbed.map(({ name }) => name), ["e.txt"]);
    assertEquals((await directory.usage()).files, 1);
  }
  assertFalse(await exists(path));
});

Deno.test("copy() copies a tree to another directory, symbolic links as links", async () => {
  await using from = await temporaryDirectory();
  await using to = await temporaryDirectory();
  await writeFileAtomic(from.join("a"), "contents");
  await Deno.symlink("a", from.join("link"));
  await copy(from.path, to.join("copied"));
  assertEquals(await below(to.path), ["copied", "copied/a", "copied/link"]);
  assertEquals(await Deno.readTextFile(to.join("copied/link")), "contents");
});

Deno.test("emptyDir() empties a directory that is then removed without an error", async () => {
  await using directory = await temporaryDirectory();
  await directory.namedTemporaryFile({ delete: false });
  await emptyDir(directory.path);
  assertEquals(await below(directory.path), []);
  await directory.remove();
});

Deno.test("move() moves a directory out of a temporary one, and it can then be adopted", async () => {
  await using outer = await temporaryDirectory();
  const target = outer.join("moved");
  {
    await using inner = await temporaryDirectory();
    await ensureFile(inner.join("kept/file"));
    await move(inner.join("kept"), target);
  }
  assert(await exists(join(target, "file")));
  await using adopted = await adoptDirectory(target);
  await adopted.remove();
  assertFalse(await exists(target));
});

Deno.test("assertRejects() accepts TempfileError as the class of an error", async () => {
  const error = await assertRejects(() => namedTemporaryFile({ dir: "/nonexistent" }), TempfileError);
  assertEquals([error.code, error.path], ["ENOENT", "/nonexistent"]);
});
