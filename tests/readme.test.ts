import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { moduleUrl, runtimeCommand } from "./support/child.ts";
import { noPrograms } from "./support/platform.ts";
import { scratch } from "./support/scratch.ts";

const root = process.env.MAYFLY_TEST_ROOT ?? fileURLToPath(new URL("..", import.meta.url));
const readme = readFileSync(join(root, "README.md"), "utf8");
const runtime = "Deno" in globalThis ? "Deno" : process.versions.bun ? "Bun" : "Node";
/** Node 20 and 22 do not run TypeScript with every syntax that the examples use. */
const readsTypeScript = runtime !== "Node" || parseInt(process.versions.node) >= 24;

interface Example {
  code: string;
  /** The heading it is below. */
  heading: string;
}

/** Returns the TypeScript code blocks, in order. */
function examples(): Example[] {
  const found: Example[] = [];
  let heading = "";
  for (const [, title, code] of readme.matchAll(/^#+ (.+)$|^```ts.*\n([^]*?)^```$/gm)) {
    if (code === undefined) heading = title;
    else found.push({ code, heading });
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

test("the README examples for all runtimes run and leave nothing", async () => {
  const common = examples().filter(({ heading }) => !["Node", "Bun", "Deno"].includes(heading));
  assert.ok(common.length > 0);
  for (const example of common) await execute(example);
});

test("the README example without the using syntax runs on every runtime and leaves nothing", async () => {
  const plain = examples().find(({ code }) => code.includes("finally"));
  assert.ok(plain);
  assert.doesNotMatch(plain.code, /using/);
  assert.equal(await execute(plain), "hello\n");
});

test("the README example of a failure prints the code and path that its comment states", async () => {
  const failing = examples().find(({ code }) => code.includes("error.path"));
  const said = /error\.path\); \/\/ "(.+)", "(.+)"$/m.exec(failing!.code);
  const [code, path] = (await execute(failing!)).trim().split(" ");
  assert.equal(code, said?.[1]);
  assert.match(path.replaceAll("\\", "/"), new RegExp(`^${said?.[2].replace("/…", ".+")}$`));
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
