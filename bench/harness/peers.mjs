import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { inRoot } from "../../tools/paths.mjs";
import { capture } from "../../tools/process.mjs";

const manifest = JSON.parse(readFileSync(inRoot("bench/package.json"), "utf8"));

/** Pinned versions, so that results are comparable. */
export const peerVersions = manifest.dependencies;

export async function installPeers() {
  if (Object.entries(peerVersions).every(isInstalled)) return;
  console.log("Fetching the packages to compare with");
  const quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--silent"];
  const { code, output } = await capture("npm", ["ci", "--prefix", inRoot("bench"), ...quiet]);
  if (code !== 0) throw new Error(`npm ci --prefix bench failed: ${output}`);
}

function isInstalled([name, version]) {
  const file = inRoot("bench/node_modules", name, "package.json");
  return existsSync(file) && JSON.parse(readFileSync(file, "utf8")).version === version;
}

const require = createRequire(pathToFileURL(inRoot("bench/package.json")));

/** Loads a package in the measured runtime. */
export async function peer(name) {
  const module = await import(pathToFileURL(require.resolve(name)));
  return module.default ?? module;
}
