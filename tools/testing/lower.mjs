import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { transform } from "esbuild";
import { inRoot } from "../paths.mjs";

const folders = ["lib", "tests", "examples"];
const modules = ["mod.ts", "cli.ts"];

/** The tree for runtimes without TypeScript and `using`. */
export const lowered = inRoot(".lowered");

/** The name of a source file in the lowered tree. */
export const loweredName = (file) => file.replace(/\.ts$/, ".js");

/**
 * Writes `.lowered/`: every module of the project for Node 20, one by one and not bundled, so that the source itself is
 * tested; a copy of `dist/`; and a package.json whose `#mod` leads there.
 */
export async function lower() {
  const files = [...modules.filter((file) => existsSync(inRoot(file))), ...folders.flatMap(filesIn)];
  removeStale(new Set(files.map(loweredName)));
  await Promise.all(files.map(lowerFile));
  rmSync(join(lowered, "dist"), { recursive: true, force: true });
  cpSync(inRoot("dist"), join(lowered, "dist"), { recursive: true });
  writeFileSync(join(lowered, "package.json"), JSON.stringify(adaptedManifest(), null, 2));
}

function filesIn(folder) {
  if (!existsSync(inRoot(folder))) return [];
  return readdirSync(inRoot(folder), { recursive: true })
    .map((name) => join(folder, name))
    .filter((file) => statSync(inRoot(file)).isFile());
}

async function lowerFile(file) {
  const target = join(lowered, loweredName(file));
  mkdirSync(dirname(target), { recursive: true });
  const source = readFileSync(inRoot(file));
  writeFileSync(target, file.endsWith(".ts") ? await lowerText(file, source.toString()) : source);
}

async function lowerText(file, source) {
  const { code } = await transform(source, {
    loader: "ts",
    target: "node20",
    sourcefile: file,
    // As type stripping does: an import stays even if only its types are used, unless it says `type`.
    tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } },
  });
  return renameSpecifiers(code);
}

/** Renames any relative string that ends in `.ts`: `new URL("./child.ts", import.meta.url)` must find its file too. */
function renameSpecifiers(code) {
  return code.replace(/(["'`])(\.{1,2}\/[^"'`\n]*)\.ts\1/g, "$1$2.js$1");
}

function adaptedManifest() {
  const manifest = JSON.parse(readFileSync(inRoot("package.json"), "utf8"));
  return { ...manifest, imports: { "#mod": { dist: "./dist/mod.js", default: "./mod.js" } } };
}

function removeStale(wanted) {
  for (const folder of folders.filter((name) => existsSync(join(lowered, name)))) {
    for (const name of readdirSync(join(lowered, folder), { recursive: true })) {
      const file = join(folder, name);
      if (statSync(join(lowered, file)).isFile() && !wanted.has(file)) rmSync(join(lowered, file));
    }
  }
}
