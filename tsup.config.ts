import { existsSync } from "node:fs";
import { defineConfig } from "tsup";

export default defineConfig({
  entry: ["mod.ts", "cli.ts"].filter((file) => existsSync(file)),
  format: "esm",
  target: ["es2022", "node20"],
  platform: "node",
  // tsup itself sets `baseUrl`, which TypeScript 6 calls deprecated.
  dts: { compilerOptions: { ignoreDeprecations: "6.0" } },
  clean: true,
  // Each entry in one file: the library loads faster so, and carries nothing of the command line.
  splitting: false,
  treeshake: true,
  minify: false,
  // Without it `node:test` and its like lose their prefix, the only name they have.
  removeNodeProtocol: false,
});
