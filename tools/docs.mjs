import { rmSync, writeFileSync } from "node:fs";
import { inRoot } from "./paths.mjs";
import { ending, run } from "./process.mjs";
import { runtimes } from "./runtimes.mjs";

/** The reference of the public API as a static site, generated from the comments in the source. Not committed. */
const site = inRoot(".site");
const [deno] = await runtimes(["deno"]);
rmSync(site, { recursive: true, force: true });
const end = await run(deno.bin, ["doc", "--html", "--name=Mayfly", `--output=${site}`, "mod.ts"]);
if (end.code !== 0) throw new Error(`deno doc ${ending(end)}`);
// GitHub Pages would leave out names that begin with an underscore.
writeFileSync(`${site}/.nojekyll`, "");
console.log(`Open ${site}/index.html`);
