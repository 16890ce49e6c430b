/**
 * The documents: examples that run, links that lead somewhere, tables that leave nothing out.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, posix } from "node:path";
import { test } from "node:test";
import * as m from "#mod";
import { moduleUrl, runtimeCommand } from "../support/child.ts";
import { onceInAll } from "../support/once.ts";
import { isWindows, noPrograms, root } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";

/** The text of each document, by its path. */
const documents = new Map(
  [".", "docs"].flatMap((folder) => readdirSync(join(root, folder)).map((name) => posix.join(folder, name)))
    .filter((path) => path.endsWith(".md"))
    .map((path) => [path, readFileSync(join(root, path), "utf8")]),
);
const readme = documents.get("README.md")!;
const RUNTIMES = ["Node", "Bun", "Deno"];
const runtime = "Deno" in globalThis ? "Deno" : process.versions.bun ? "Bun" : "Node";
/** Node 20 and 22 do not run TypeScript with every syntax that the examples use. */
const readsTypeScript = runtime !== "Node" || parseInt(process.versions.node) >= 24;

interface Example {
  code: string;
  /** The heading it is below. */
  heading: string;
  /** Whether the block is marked as no example for Deno. */
  isIgnored: boolean;
}

/** Returns the TypeScript code blocks of every document. */
function examples(): Example[] {
  const found: Example[] = [];
  let heading = "";
  const text = [...documents.values()].join("\n");
  for (const [, title, mark, code] of text.matchAll(/^#+ (.+)$|^```ts(.*)\n([^]*?)^```$/gm)) {
    if (code === undefined) heading = title;
    else found.push({ code, heading, isIgnored: mark === " ignore" });
  }
  return found;
}

/** Runs an example as a program of its own, asserts that it succeeds and leaves nothing, and returns its output. */
async function execute({ code }: Example): Promise<string> {
  using place = scratch();
  const temporary = join(place.path, "tmp");
  mkdirSync(temporary);
  const script = join(place.path, readsTypeScript ? "example.ts" : "example.mjs");
  const linked = code.replace(/"(mayfly|@mayfly\/tempfile)"/, JSON.stringify(moduleUrl));
  writeFileSync(script, readsTypeScript ? linked : await lowered(linked));
  const [command, ...args] = runtimeCommand(script);
  const env = { ...process.env, TMPDIR: temporary };
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: place.path, env, encoding: "utf8" });
  assert.equal(stderr, "", code);
  assert.equal(status, 0, code);
  // The lease directory may stay, as in every test.
  assert.deepEqual(readdirSync(temporary).filter((name) => !/^\.mayfly-(\d+|user)$/.test(name)), [], code);
  return stdout;
}

async function lowered(code: string): Promise<string> {
  const { transform } = await import("esbuild");
  return (await transform(code, { loader: "ts", target: "node20", format: "esm" })).code;
}

test(
  "the first README example for the runtime under test runs and leaves nothing",
  { skip: noPrograms },
  async () => {
    const first = examples().find(({ heading }) => heading === runtime);
    assert.ok(first);
    assert.equal(await execute(first), "hello\n");
  },
);

test("the examples for all runtimes in README and docs run and leave nothing", async () => {
  const common = examples().filter(({ heading, isIgnored }) => !RUNTIMES.includes(heading) && !isIgnored);
  assert.ok(common.length > 3, `${common.length} examples`);
  for (const example of common) await execute(example);
});

test("the README example without the using syntax runs on every runtime and leaves nothing", async () => {
  const plain = examples().find(({ code }) => code.includes("finally"));
  assert.ok(plain);
  assert.doesNotMatch(plain.code, /using/);
  assert.equal(await execute(plain), "hello\n");
});

test("the documented example of a failure prints the code and path that its comment states", async () => {
  const comment = /error\.path\); \/\/ "(.+)", "(.+)"$/m;
  const failing = examples().find(({ code }) => comment.test(code))!;
  const [, statedCode, statedPath] = comment.exec(failing.code)!;
  const [code, path] = (await execute(failing)).trim().split(" ");
  assert.equal(code, statedCode);
  assert.match(path.replaceAll("\\", "/"), new RegExp(`^${statedPath.replace("/…", ".+")}$`));
});

test("README lists the commands that set up a fresh machine, and those that install the package from each registry", () => {
  const { name } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const deno = JSON.parse(readFileSync(join(root, "deno.json"), "utf8"));
  const lines = readme.split("\n");
  for (const command of ["npm ci && npm run demo", "npm ci && npm test"]) assert.ok(lines.includes(command));
  for (const command of [`npm i ${name}`, `bun add ${name}`, `deno add jsr:${deno.name}`]) {
    assert.ok(lines.includes(command), command);
  }
});

/** Returns a document without its code blocks, whose comments look like headings. */
const prose = (path: string): string => documents.get(path)!.replaceAll(/^```[^]*?^```$/gm, "");

/** Returns the anchors that a rendered document has. */
const anchorsIn = (path: string): string[] =>
  [...prose(path).matchAll(/^#+ (.+)$/gm)].map(([, title]) =>
    title.toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-")
  );

/** Returns the links of a document to others and to itself: paths from the root, and anchors. */
const linksIn = (path: string): { to: string; anchor: string | undefined }[] =>
  [...prose(path).matchAll(/\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]+))?\)/g)].map(([, file, anchor]) => ({
    to: file === "" ? path : posix.join(posix.dirname(path), file),
    anchor,
  }));

test(
  "every relative link in a document leads to a file, and to a heading of it if there is an anchor (once)",
  {
    skip: onceInAll || isWindows && "not every document is there under Wine",
  },
  () => {
    const links = [...documents.keys()].flatMap((from) => linksIn(from).map((link) => ({ from, ...link })));
    assert.ok(links.length > 30 && links.some(({ anchor }) => anchor), `${links.length} links`);
    const broken = links.filter(({ to, anchor }) =>
      !existsSync(join(root, to)) || (anchor !== undefined && !anchorsIn(to).includes(anchor))
    );
    assert.deepEqual(broken, []);
  },
);

test(
  "docs/reference.md names every option, and every method and property or the one it is the twin of (once)",
  {
    skip: onceInAll,
  },
  async () => {
    const { inputs } = await import("../support/surface.ts");
    const options = inputs().filter(({ of, isOption }) => isOption && !of.startsWith("new "));
    const members = Object.values(m).flatMap((value) => Object.getOwnPropertyNames(value.prototype ?? {}))
      .filter((name) => !["constructor", "toString"].includes(name));
    assert.ok(
      options.length > 50 && members.length > 50,
      `${options.length} options, ${members.length} members`,
    );
    const names = new Set([
      ...options.map(({ name }) => name),
      ...members.map((name) => name.replace(/Sync$/, "")),
    ]);
    const reference = documents.get("docs/reference.md")!;
    const unnamed = [...names].filter((name) => !new RegExp(`\`${name}[\`(]`).test(reference));
    assert.deepEqual(unnamed, []);
  },
);

test("docs/reference.md lists the codes of all warnings, and no others (once)", { skip: onceInAll }, () => {
  const codes = (text: string): string[] => [...new Set(text.match(/\bMAYFLY_[A-Z_]+\b/g))].sort();
  const files = readdirSync(join(root, "lib"), { recursive: true }).map(String).filter((name) =>
    name.endsWith(".ts")
  );
  const library = files.map((name) => readFileSync(join(root, "lib", name), "utf8")).join("\n");
  assert.ok(codes(library).length > 5);
  assert.deepEqual(codes(documents.get("docs/reference.md")!), codes(library));
});
