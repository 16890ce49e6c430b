/**
 * The architecture, as far as imports show it.
 *
 * @module
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { runChild } from "../support/child.ts";
import { scratch } from "../support/scratch.ts";

const root = process.env.MAYFLY_TEST_ROOT ?? process.cwd();

/** The files of the library, by their paths from the root. */
const files = ["mod.ts", ...sources("lib")];

function sources(directory: string): string[] {
  return readdirSync(join(root, directory), { withFileTypes: true }).flatMap((entry) => {
    const path = `${directory}/${entry.name}`;
    return entry.isDirectory() ? sources(path) : path.endsWith(".ts") ? [path] : [];
  });
}

const code = (file: string): string => withoutComments(readFileSync(join(root, file), "utf8"));

function withoutComments(text: string): string {
  return text.replace(/\/\*[^]*?\*\//g, "").replace(/(^|\s)\/\/.*$/gm, "");
}

const withoutStrings = (text: string): string => text.replace(/"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/g, '""');

/** What a file imports, as paths from the root. `import type` counts as well, since it is a dependency, too. */
function importsOf(file: string): string[] {
  const specifiers = [...code(file).matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)].map((match) =>
    match[1]
  );
  return specifiers.map((specifier) =>
    relative(root, join(root, dirname(file), specifier)).replaceAll("\\", "/")
  );
}

/** What only lib/runtime may mention. */
const RUNTIME =
  /\b(Deno|Bun)\s*[.[]|\bprocess\s*\.|\bglobalThis\s*\.\s*(Deno|Bun|process)\b|(?<![.\w])require\s*\(\s*""/;

test("only lib/runtime mentions Deno, Bun, process, node: modules or Deno's flags", () => {
  const knowing = files.filter((file) =>
    RUNTIME.test(withoutStrings(code(file))) || /"node:|--allow-/.test(code(file))
  );
  assert.deepEqual(knowing.filter((file) => !file.startsWith("lib/runtime/")), []);
  // Control: the pattern finds what it should.
  for (const name of ["deno", "bun", "node_like"]) assert.ok(code(`lib/runtime/${name}.ts`).length > 0);
  assert.ok(RUNTIME.test(withoutStrings("const x = Deno.cwd();")) && RUNTIME.test("process.exit(1)"));
});

test("lib/runtime is imported only through its mod.ts, except by lib/cli, and imports nothing from outside", () => {
  for (const file of files) {
    for (const imported of importsOf(file)) {
      const inside = file.startsWith("lib/runtime/"), into = imported.startsWith("lib/runtime/");
      if (inside) assert.ok(into, `${file} imports ${imported}`);
      const door = imported === "lib/runtime/mod.ts" || file.startsWith("lib/cli/");
      if (into && !inside) assert.ok(door, `${file} imports ${imported}`);
    }
  }
});

/** Folders, and what is above them, which they must not import. */
const BELOW: readonly (readonly [string, readonly string[]])[] = [
  ["lib/tree/", ["lib/file/", "lib/persist/", "lib/cli/", "lib/directory.ts", "lib/adopt.ts"]],
  ["lib/life/", ["lib/persist/", "lib/cli/", "lib/directory.ts", "lib/adopt.ts"]],
  ["lib/persist/", ["lib/cli/", "lib/directory.ts", "lib/adopt.ts"]],
  ["lib/file/", ["lib/cli/", "lib/directory.ts", "lib/adopt.ts"]],
  ["lib/", ["mod.ts", "cli.ts"]],
];

test("lib/tree, life, persist and file import nothing from the folders above them, lib nothing from mod.ts or cli.ts", () => {
  for (const [folder, above] of BELOW) {
    for (const file of files.filter((name) => name.startsWith(folder) && !name.startsWith("lib/cli/"))) {
      const wrong = importsOf(file).filter((imported) => above.some((place) => imported.startsWith(place)));
      assert.deepEqual(wrong, [], `${file} imports from above`);
    }
  }
});

test("every import is a file of the library, and mod.ts contains only named re-exports", () => {
  for (const file of files) {
    for (const imported of importsOf(file)) assert.ok(files.includes(imported), imported);
  }
  const statements = code("mod.ts").split(";").map((statement) => statement.trim()).filter((text) =>
    text !== ""
  );
  for (const statement of statements) assert.match(statement, /^export (type )?\{[^}]*\} from "[^"]+"$/);
});

test("C261 C301 importing the library makes no file system call, adds no listener and leaves no timer", async () => {
  using place = scratch();
  const { said, status, stderr, stdout } = await runChild(
    `const events = ["exit", "SIGINT", "SIGTERM", "SIGHUP", "uncaughtException", "unhandledRejection", "warning"];
     const count = () => events.map((name) => process.listenerCount(name));
     const before = count(), symbols = Object.getOwnPropertySymbols(globalThis).length;
     const calls = [];
     for (const name of Object.keys(fs)) {
       if (!name.endsWith("Sync")) continue;
       const original = fs[name];
       try { fs[name] = (...rest) => { if (!args.some((root) => String(rest[0]).includes(root))) calls.push([name, String(rest[0])]); return original(...rest); }; } catch {}
     }
     const m = await import(moduleUrl + "?again");
     say([count().join() === before.join(), Object.getOwnPropertySymbols(globalThis).length === symbols, calls]);
     say(typeof m.namedTemporaryFile);`,
    { bare: true, env: { TMPDIR: place.path }, args: [root, pathToFileURL(root).href] },
  );
  assert.deepEqual([status, stdout, stderr], [0, "", ""]);
  // The runtime itself reads the modules: files of the checkout by path or URL, then by descriptor.
  const [[listeners, symbols, calls], type] = said;
  const others = calls.filter(([, first]: [string, string]) => !/^\d+$/.test(first));
  assert.deepEqual([listeners, symbols, others, type], [true, true, [], "function"]);
  assert.deepEqual(place.list(), []);
});
