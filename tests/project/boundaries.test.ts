/**
 * What only lib/runtime may know, and who may import it.
 *
 * @module
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";
import { root } from "../support/platform.ts";

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
  // Control: the patterns find what they should.
  for (const name of ["deno", "bun", "node_like"]) {
    assert.ok(knowing.includes(`lib/runtime/${name}.ts`), name);
  }
  for (const text of ["Deno.cwd()", "process.exit(1)", "globalThis.Bun", 'require("fs")']) {
    assert.match(withoutStrings(text), RUNTIME);
  }
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

test("mod.ts contains only named re-exports", () => {
  const statements = code("mod.ts").split(";").map((statement) => statement.trim()).filter((text) =>
    text !== ""
  );
  for (const statement of statements) assert.match(statement, /^export (type )?\{[^}]*\} from "[^"]+"$/);
});
