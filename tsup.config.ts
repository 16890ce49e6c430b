import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { defineConfig, type Options } from "tsup";

const entries = ["mod.ts", "cli.ts"];

/**
 * Puts what is loaded with the library into one file. Left to itself esbuild makes one for each set of modules that the
 * entries and the lazily loaded modules happen to share; here every module needs all of the library, so there is but one
 * such set.
 */
const oneFile: NonNullable<Options["esbuildPlugins"]>[number] = {
  name: "one file for what is loaded at once",
  setup(build) {
    const library = resolve("mod.ts"), need = `\nimport ${JSON.stringify(library)};`;
    build.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      const contents = await readFile(path, "utf8");
      return { contents: path === library ? contents : contents + need, loader: "ts" };
    });
  },
};

/**
 * Tells Deno in the first line which types an entry of the JSR package has. There is none for Bun (`// @bun`), which would
 * spare it the translation of what it has not seen before: with it Bun asks for source maps under each uncaught error.
 */
const typesOfEntries: NonNullable<Options["plugins"]>[number] = {
  name: "types of entries",
  renderChunk(code, { entryPoint }) {
    // What is loaded when it is called for is an entry to esbuild too.
    if (!entries.includes(entryPoint ?? "")) return undefined;
    const [, hashbang = "", rest = ""] = /^(#!.*\n)?([^]*)$/.exec(code) ?? [];
    return { code: `${hashbang}// @ts-self-types="../${entryPoint}"\n${rest}` };
  },
};

/**
 * Makes `super()` a statement again, which esbuild makes part of an expression: TypeScript, compiling the package for less
 * than ES2022, then sets private fields before it.
 */
const callsOfSuper: NonNullable<Options["plugins"]>[number] = {
  name: "calls of super",
  renderChunk: (code) => ({ code: code.replace(/, super\((\w+)\), /g, "; super($1); ") }),
};

export default defineConfig({
  entry: entries,
  format: "esm",
  target: ["es2022", "node20"],
  platform: "node",
  // tsup itself sets `baseUrl`, which TypeScript 6 calls deprecated.
  dts: { compilerOptions: { ignoreDeprecations: "6.0" } },
  clean: true,
  // What only some programs need is loaded when it is called for, and what both entries need is there once.
  splitting: true,
  esbuildPlugins: [oneFile],
  plugins: [typesOfEntries, callsOfSuper],
  esbuildOptions(options) {
    // Else esbuild leaves out what `oneFile` imports, since the manifest says that nothing happens on import.
    options.ignoreAnnotations = true;
    options.minifySyntax = true;
  },
  // Without comments, white space and the names of variables there is half as much to parse. The names of functions and
  // classes stay, for stack traces; esbuild knows only all names or none.
  minify: "terser",
  terserOptions: {
    compress: false,
    // Else it renames what stands at the top level too, and with it the classes, which are variables there.
    module: false,
    parse: { module: true },
    mangle: { keep_fnames: true },
    // Runtimes show the whole line that threw. One other character would make V8 keep all of the source in two bytes each.
    format: { ascii_only: true, comments: /@ts-self-types/, max_line_len: 120, semicolons: false },
  },
  // Without it `node:test` and its like lose their prefix, the only name they have.
  removeNodeProtocol: false,
});
