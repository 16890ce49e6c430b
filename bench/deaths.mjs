/**
 * What each way to end a process leaves behind: this library beside others.
 *
 *     node bench/deaths.mjs            (bun, deno run -A)
 *
 * Each process makes a file and a directory with a file in it, as the library's documentation shows, and ends. Counts
 * what is left of the two, immediately and after the next process of the same kind has exited.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const dist = new URL("../dist/mod.js", import.meta.url).href;

/** How each library makes a file and a directory that it should remove. */
const LIBRARIES = {
  mayfly: `import { namedTemporaryFile, temporaryDirectory } from "${dist}";
    const file = await namedTemporaryFile();
    const directory = await temporaryDirectory();
    fs.writeFileSync(directory.join("a"), "x");`,
  tmp: `import tmp from "tmp"; tmp.setGracefulCleanup();
    tmp.fileSync();
    fs.writeFileSync(tmp.dirSync({ unsafeCleanup: true }).name + "/a", "x");`,
  "tmp-promise": `import tmp from "tmp-promise"; tmp.setGracefulCleanup();
    await tmp.file();
    fs.writeFileSync((await tmp.dir({ unsafeCleanup: true })).path + "/a", "x");`,
  temp: `import temp from "temp"; temp.track();
    temp.openSync("a");
    fs.writeFileSync(temp.mkdirSync("a") + "/a", "x");`,
  tempy: `import { temporaryWrite, temporaryDirectory } from "tempy";
    await temporaryWrite("x");
    fs.writeFileSync(temporaryDirectory() + "/a", "x");`,
  "fs.mkdtemp": `import os from "node:os";
    fs.writeFileSync(os.tmpdir() + "/a" + process.pid, "x");
    fs.writeFileSync(fs.mkdtempSync(os.tmpdir() + "/a") + "/a", "x");`,
};

const raise = (signal) => `process.kill(process.pid, "${signal}"); setInterval(() => {}, 1000);`;

const WAYS = {
  return: "",
  throw: `setTimeout(() => { throw new Error("uncaught"); });`,
  rejection: `Promise.reject(new Error("unhandled")); setTimeout(() => {}, 100);`,
  "process.exit": "process.exit(3);",
  SIGINT: raise("SIGINT"),
  SIGTERM: raise("SIGTERM"),
  SIGHUP: raise("SIGHUP"),
  abort: "process.abort();",
  SIGKILL: raise("SIGKILL"),
};

const run = globalThis.Deno ? ["run", "-A", "--no-check"] : [];
const count = (path) => readdirSync(path).filter((name) => !/^\.mayfly-\d+$/.test(name)).length;

/** Returns how many of the two are left immediately, and after the next process. */
function left(make, way) {
  const place = mkdtempSync(join(tmpdir(), "deaths-"));
  // Next to the packages, so that they are found.
  const script = fileURLToPath(new URL(`death-${process.pid}.mjs`, import.meta.url));
  const env = { ...process.env, TMPDIR: place };
  const live = (end) => {
    writeFileSync(script, `import fs from "node:fs"; import process from "node:process";\n${make}\n${end}`);
    spawnSync(process.execPath, [...run, script], { env, stdio: "ignore" });
  };
  try {
    live(way);
    const atOnce = count(place);
    live("");
    // Leftovers of the next process itself do not count as those of the first.
    const own = way === "" ? atOnce : leftByReturn.get(make);
    if (way === "") leftByReturn.set(make, atOnce);
    return [atOnce, count(place) - own];
  } finally {
    rmSync(script);
    rmSync(place, { recursive: true });
  }
}

const leftByReturn = new Map();
const names = Object.keys(LIBRARIES);
console.log(`Left of a file and a directory: at once → after the next process. ${process.version}`);
console.log(`| way to end | ${names.join(" | ")} |`);
console.log(`| --- |${" --- |".repeat(names.length)}`);
for (const [name, way] of Object.entries(WAYS)) {
  const cells = names.map((library) => left(LIBRARIES[library], way).join(" → "));
  console.log(`| ${name} | ${cells.join(" | ")} |`);
}
