/**
 * The package as users have it: packed, and installed into a project.
 *
 * @module
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { onceInAll, oncePerKind, oncePerRuntime } from "../support/once.ts";
import { isBun, isDeno, noRelativePaths, root } from "../support/platform.ts";
import { emptyProject, must, noNpm, type Project, project } from "../support/project.ts";

const tool = (...path: string[]): string => join(root, "node_modules", ...path);

/** A program that calls the common functions, and prints "fine". */
const PROGRAM = `
const file = await m.namedTemporaryFile({ suffix: ".txt" });
await file.write("hello");
const directory = m.temporaryDirectorySync();
await m.writeFileAtomic(directory.join("a"), await file.text());
const spool = m.spooledTemporaryFile({ maxMemory: 2 });
spool.writeSync("on disk");
await spool.persist(directory.join("b"));
const lock = process.platform === "win32" ? undefined : await file.tryLock();
lock?.release();
const { files } = await directory.usage();
if (files !== 2) throw new Error(files + " files");
for await (const line of file.lines()) if (line !== "hello") throw new Error(line);
await file.close();
directory.removeSync();
console.log("fine");
`;

const AS_MODULE = `import * as m from "mayfly";\n${PROGRAM}`;
const AS_COMMONJS = `const m = require("mayfly");\n(async () => {${PROGRAM}})();`;

/** Asserts that only the lease directory is left in the project's temporary directory. */
function assertNothingLeft({ path }: Project): void {
  const left = readdirSync(join(path, "tmp")).filter((name) =>
    !/^\.mayfly-(\d+|user)$|^node-compile-cache$/.test(name)
  );
  assert.deepEqual(left, []);
}

test(
  "the packed package contains modules, types and documents, and works where npm has installed it by import, require() and as a program (once a runtime)",
  {
    skip: oncePerRuntime || noNpm,
  },
  () => {
    using user = emptyProject();
    const quiet = ["--json", "--silent", "--ignore-scripts"];
    const [packed] = JSON.parse(must(user.exec("npm", "pack", root, ...quiet)).stdout);
    const offline = ["--offline", "--silent", "--no-audit", "--no-fund"];
    must(user.exec("npm", "install", ...offline, `./${packed.filename}`));

    const names: string[] = packed.files.map(({ path }: { path: string }) => path).sort();
    const others = names.filter((name) => !/^(dist|docs)\//.test(name));
    assert.deepEqual(others, ["CHANGELOG.md", "LICENSE", "README.md", "package.json"]);
    const inFolder = (folder: string): string[] =>
      names.filter((name) => name.startsWith(`${folder}/`)).map((name) => name.slice(folder.length + 1));
    // The other tests copy this folder.
    assert.deepEqual(inFolder("dist"), readdirSync(join(root, "dist")).sort());
    const all = readdirSync(join(root, "docs")).sort();
    // Nothing that is packed links to it.
    const documents = all.filter((name) => name !== "walk.md");
    assert.deepEqual(inFolder("docs"), documents);
    for (const name of ["README.md", ...documents.map((name) => `docs/${name}`)]) {
      assert.doesNotMatch(readFileSync(join(root, name), "utf8"), /walk\.md/, name);
    }
    assert.deepEqual(names.filter((name) => !/\.(js|d\.ts|md|json)$|^LICENSE$/.test(name)), []);
    for (const name of names) {
      const installed = readFileSync(join(user.path, "node_modules/mayfly", name));
      assert.deepEqual(installed, readFileSync(join(root, name)), name);
    }
    assert.ok(existsSync(join(user.path, "node_modules", ".bin", "mayfly")));

    user.write("module.mjs", AS_MODULE);
    assert.equal(must(user.run("module.mjs")).stdout, "fine\n");
    user.write("common.cjs", AS_COMMONJS);
    assert.equal(must(user.run("common.cjs")).stdout, "fine\n");
    const help = must(user.run(join("node_modules", "mayfly", "dist", "cli.js"), "--help"));
    assert.match(help.stdout, /mayfly run/);
    assertNothingLeft(user);
  },
);

const TYPED = `
import { configure, namedTemporaryFile, temporaryDirectory, temporaryFileSync, TempfileError } from "mayfly";
import type * as m from "mayfly";

type Options = [
  m.NamedFileOptions, m.SpooledOptions, m.DirectoryOptions, m.MakeOptions, m.AdoptFileOptions, m.AdoptDirectoryOptions,
  m.At, m.LockOptions, m.PersistOptions, m.PersistDirectoryOptions, m.WriteFileAtomicOptions,
  m.TmpdirRequirements, m.WatchSpaceOptions, m.SweepOptions, m.Settings,
];
type Undefined<Of> = { [I in keyof Of]: { [Option in keyof Of[I]]-?: undefined } };
export const passOn = (options: Undefined<Options>): Options => options;

export async function main(): Promise<string> {
  await using file = await namedTemporaryFile({ suffix: ".txt" });
  await file.write(new Uint8Array([1, 2, 3]));
  using scratch = temporaryFileSync();
  scratch.writeSync("x");
  await using directory = await temporaryDirectory();
  configure({ tmpdir: undefined, keepAlive: undefined }); // as documented
  // @ts-expect-error -- control: the types are read, and say no.
  directory.temporaryFileSync({ mode: "rw" });
  try {
    return directory.join("a") + (await file.text());
  } catch (error) {
    if (error instanceof TempfileError) return error.code;
    throw error;
  }
}
`;

const NODE_STREAMS = `
import { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { temporaryFile } from "mayfly";

export async function main(): Promise<void> {
  await using file = await temporaryFile();
  await pipeline(Readable.fromWeb(file.stream()), Writable.fromWeb(file.writable));
  await pipeline(file, Writable.fromWeb(file.writable));
  await file.write(Readable.from(file));
}
`;

/** Returns the documented compiler options for runtimes without `using`. */
function documentedOptions(): object {
  const [, json] = /^```json\n([^]*?)^```$/m.exec(readFileSync(join(root, "docs/node.md"), "utf8"))!;
  return JSON.parse(json).compilerOptions;
}

test(
  "C302 using compiles against the packed types, strictly and without @types, with bundler and Node resolution and the documented options (once)",
  {
    skip: onceInAll,
  },
  () => {
    using user = project();
    user.write("user.ts", TYPED);
    const common = {
      strict: true,
      exactOptionalPropertyTypes: true,
      target: "es2022",
      lib: ["es2023", "esnext.disposable", "dom", "dom.iterable"],
      types: [],
    };
    const documented = documentedOptions();
    const kinds = [
      { ...common, moduleResolution: "nodenext", module: "nodenext" },
      { ...common, moduleResolution: "bundler", module: "esnext" },
      documented,
    ];
    user.write("streams.ts", NODE_STREAMS);
    for (const options of kinds) {
      // Its own declarations are not checked, which takes the compiler seconds.
      const compilerOptions = {
        typeRoots: [tool("@types")],
        ...options,
        noEmit: true,
        skipDefaultLibCheck: true,
      };
      const files = options === documented ? ["user.ts", "streams.ts"] : ["user.ts"];
      user.write("tsconfig.json", JSON.stringify({ compilerOptions, files }));
      const { status, stdout } = user.exec(process.execPath, tool("typescript/bin/tsc"), "-p", ".");
      assert.deepEqual([status, stdout], [0, ""]);
    }
  },
);

test("bundles made by esbuild and Vite run without the package (once on Node, Deno and Bun)", {
  skip: oncePerKind || noNpm,
}, () => {
  using user = project();
  user.write("main.mjs", AS_MODULE);
  must(user.exec(
    tool(".bin", "esbuild"),
    ...[
      "main.mjs",
      "--bundle",
      "--format=esm",
      "--splitting",
      "--minify",
      "--platform=node",
      "--outdir=esbuild",
    ],
  ));
  user.write(
    "vite.config.mjs",
    `export default { logLevel: "error", build: { ssr: "main.mjs", outDir: "vite", target: "node20" },
    ssr: { noExternal: true, external: [] } };`,
  );
  must(user.exec(tool(".bin", "vite"), "build"));
  rmSync(join(user.path, "node_modules"), { recursive: true });
  for (const folder of ["esbuild", "vite"]) {
    const main = readdirSync(join(user.path, folder)).find((name) => name.startsWith("main."));
    assert.equal(must(user.run(join(folder, main!))).stdout, "fine\n", folder);
  }
  assertNothingLeft(user);
});

test("the package runs when TypeScript has compiled it to CommonJS, as transforms of Jest do (once)", {
  skip: onceInAll,
}, async () => {
  // Here, since it takes a third of a second to load.
  const { default: ts } = await import("typescript");
  using user = project();
  const dist = join(user.path, "node_modules/mayfly/dist");
  // Before ES2022 there are no private fields: TypeScript writes other code for them.
  for (const target of ["ES2022", "ES2018"] as const) {
    const compilerOptions = {
      allowJs: true,
      module: ts.ModuleKind.CommonJS,
      target: ts.ScriptTarget[target],
    };
    for (const fileName of readdirSync(dist).filter((name) => name.endsWith(".js"))) {
      const text = readFileSync(join(dist, fileName), "utf8");
      user.write(`${target}/${fileName}`, ts.transpileModule(text, { compilerOptions, fileName }).outputText);
    }
    user.write(`${target}/package.json`, '{ "type": "commonjs" }');
    user.write(`${target}/main.js`, AS_COMMONJS.replace('"mayfly"', '"./mod.js"'));
    assert.equal(must(user.run(`${target}/main.js`)).stdout, "fine\n", target);
    assertNothingLeft(user);
  }
});

test("a program made by bun build --compile runs without the package (once, on Bun)", {
  skip: oncePerRuntime || (!isBun && "needs Bun") || noRelativePaths,
}, () => {
  using user = project();
  user.write("main.mjs", AS_MODULE);
  must(user.exec(process.execPath, "build", "--compile", "main.mjs", "--outfile", "main"));
  rmSync(join(user.path, "node_modules"), { recursive: true });
  assert.equal(must(user.exec(join(user.path, "main"))).stdout, "fine\n");
  assertNothingLeft(user);
});

test(
  "a program made by deno compile runs without the package (once, on Deno, where DENORT_BIN names its runtime)",
  {
    skip: oncePerRuntime || (!isDeno && "needs Deno") ||
      (process.env.DENORT_BIN === undefined && "npm's Deno comes without the runtime that is compiled in"),
  },
  () => {
    using user = project();
    user.write("main.mjs", AS_MODULE);
    must(user.exec(process.execPath, "compile", "-A", "--output", "main", "main.mjs"));
    rmSync(join(user.path, "node_modules"), { recursive: true });
    assert.equal(must(user.exec(join(user.path, "main"))).stdout, "fine\n");
    assertNothingLeft(user);
  },
);
