import { spawnSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { version as esbuild } from "esbuild";
import { build } from "../build.mjs";
import { inRoot, root } from "../paths.mjs";
import { run, stopChildrenOnSignals } from "../process.mjs";
import { testCommand } from "./commands.mjs";
import { testFiles } from "./files.mjs";
import { lower } from "./lower.mjs";
import { readReport } from "./reports.mjs";
import { counts, failures, table } from "./summary.mjs";

/** The chroot with Wine, created by `tools/windows_under_wine.sh`, and its contents by Wine's names. */
const chroot = join(process.env.MAYFLY_WINE, "root");
const disk = join(chroot, "wine/prefix/drive_c");
/** The path in Wine's registry, which overrides TEMP. */
const temporary = join(disk, "users/root/AppData/Local/Temp");
const runtimes = [
  { name: "node20", kind: "node", major: 20 },
  { name: "node22", kind: "node", major: 22 },
  { name: "node24", kind: "node", major: 24 },
  { name: "bun", kind: "bun" },
  { name: "deno", kind: "deno" },
];

/** Starting a program takes seconds there. */
const fileTimeout = 240_000;

const text = { type: "string" };
const { values } = parseArgs({ options: { only: text, filter: text } });
stopChildrenOnSignals();
prepare();
await build();
await lower();
copyProject();
const chosen = runtimes.filter(({ name }) => !values.only || values.only.split(",").includes(name));
const cells = [];
for (const runtime of chosen) cells.push(await runCell(runtime, testFiles(values.filter)));
console.log(`\nUnder Wine, an emulation\n${table(cells)}`);
process.exit(cells.some((cell) => counts(cell).failed > 0) ? 1 : 0);

/** Returns the environment of a program in the chroot. */
function environment(own = {}) {
  const variables = {
    HOME: "/root",
    PATH: "/usr/bin:/bin",
    LANG: "C.UTF-8",
    WINEPREFIX: "/wine/prefix",
    WINEDEBUG: "-all",
    DENO_DISABLE_NODE_SHIM: "1",
    DENO_NO_UPDATE_CHECK: "1",
    NO_COLOR: "1",
    ...own,
  };
  return Object.entries(variables).map(([name, value]) => `${name}=${value}`);
}

/** Creates Wine's own disk, once. */
function prepare() {
  mkdirSync(join(chroot, "wine"), { recursive: true });
  if (!existsSync(disk)) spawnSync("chroot", [chroot, "env", "-i", ...environment(), "wineboot", "-i"]);
}

/** Links are followed: removing a tree there goes through the links of the system below. */
function copyProject() {
  rmSync(join(disk, "project"), { recursive: true, force: true });
  mkdirSync(join(disk, "project"), { recursive: true });
  const wanted = [
    "mod.ts",
    "cli.ts",
    "lib",
    "tests",
    "examples",
    "tools",
    "docs",
    ".github",
    "dist",
    ".lowered",
    "node_modules",
  ];
  const files = ["package.json", "deno.json", "README.md", "tsconfig.json", ".gitattributes"];
  for (const name of [...wanted, ...files]) {
    if (existsSync(inRoot(name))) spawnSync("cp", ["-rL", inRoot(name), join(disk, "project")]);
  }
  forgetBirthsAndDevices();
  forgetMismatches();
  rmSync(join(disk, "runtimes"), { recursive: true, force: true });
  spawnSync("cp", ["-r", join(process.env.MAYFLY_WINE, "runtimes"), disk]);
  mkdirSync(join(disk, "reports"), { recursive: true });
}

/** Whether a removal by a test, which goes through links there, has spared the project. */
function projectIsWhole() {
  const some = [
    "package.json",
    "lib/operation/op.ts",
    ".lowered/lib/operation/op.js",
    "dist/mod.js",
    "node_modules/typescript/package.json",
  ];
  const wanted = [...some, ...testFiles(), "tests/support/child.ts"];
  return wanted.every((name) => existsSync(join(disk, "project", name)));
}

/**
 * Wine reports the last change of a file as its birth, so that every directory with contents would count as replaced, and
 * reports device 0 for what another process removes meanwhile. The copies of the library see a file system without birth
 * times, and take device 0 for drive C:.
 */
function forgetBirthsAndDevices() {
  const birth = /\bbirth: ?(\w+\.birthtimeMs|\w+\.birthtime\?\.getTime\(\) ?\?\? ?0)/g;
  const device = /\bdevice: ?\w+\.dev\b/g, driveC = 0x43000000;
  for (const folder of ["lib/runtime", "dist", ".lowered/lib/runtime", ".lowered/dist"]) {
    for (const name of readdirSync(join(disk, "project", folder))) {
      const path = join(disk, "project", folder, name);
      const text = readFileSync(path, "utf8");
      const changed = text.replace(birth, "birth: 0").replace(device, `$& || ${driveC}`);
      if (changed !== text) writeFileSync(path, changed);
    }
  }
}

/**
 * Bun opens package.json by the handle of its directory, which fails there, then by its path, and reports that on every
 * child's standard error. The copies of what collects that output drop those lines.
 */
function forgetMismatches() {
  const own = 'stderr.replace(/^Internal error: directory mismatch .*\\n/gm, "")';
  const result = [
    "resolve({ status, signal, stdout, stderr",
    `resolve({ status, signal, stdout, stderr: ${own}`,
  ];
  const places = {
    "support/child.ts": result,
    "support/cli.ts": result,
    "support/example.ts": result,
    "project/documents.test.ts": ["equal(stderr,", `equal(${own},`],
  };
  for (const [name, [from, to]] of Object.entries(places)) {
    const path = join(disk, "project/tests", name), text = readFileSync(path, "utf8");
    if (!text.includes(from)) throw new Error(`${path} collects what a child says in another way`);
    writeFileSync(path, text.replace(from, to));
  }
}

async function runCell(runtime, files) {
  const started = performance.now();
  const results = [];
  for (const file of files) {
    results.push(await runFile(runtime, file));
    announce(runtime, results.at(-1));
  }
  const cell = {
    runtime: runtime.name,
    mode: "dist",
    files: results,
    seconds: (performance.now() - started) / 1000,
  };
  const { passed, failed, skipped, seconds } = counts(cell);
  console.log(`${runtime.name}: ${passed} passed, ${failed} failed, ${skipped} skipped, ${seconds} s`);
  return cell;
}

/** A cell takes the better part of an hour: this shows its progress, and what has failed. */
function announce({ name }, file) {
  const { passed, failed, skipped, seconds } = counts({ files: [file], seconds: file.seconds });
  console.log(`  ${name} ${file.file}: ${passed} passed, ${failed} failed, ${skipped} skipped, ${seconds} s`);
  for (const failure of failures({ runtime: name, mode: "dist", files: [file] })) console.log(failure);
}

async function runFile(runtime, file) {
  const report = join(disk, "reports", `${runtime.name}.report`), log = join(disk, "reports", "log");
  rmSync(report, { force: true });
  const { args, cwd } = testCommand(runtime, "dist", file, inRoot("REPORT"));
  const own = {
    MAYFLY_TEST_RUNTIME: runtime.name,
    MAYFLY_TEST_MODE: "dist",
    MAYFLY_TEST_WINE: "1",
    MAYFLY_TEST_ROOT: "C:\\project",
    ESBUILD_BINARY_PATH: `C:\\runtimes\\esbuild-${esbuild}.exe`,
  };
  if (!projectIsWhole()) copyProject();
  rmSync(temporary, { recursive: true, force: true });
  mkdirSync(temporary, { recursive: true });
  const inside = `/wine/prefix/drive_c/project${cwd.slice(root.length)}`;
  const program = [
    "wine",
    `C:\\runtimes\\${runtime.name}.exe`,
    ...args.map((arg) => asWindows(arg, runtime)),
  ];
  // Node writes to a file there, but not to a pipe.
  const output = openSync(log, "w");
  const command = [chroot, "env", "-i", "-C", inside, ...environment(own), ...program];
  const end = await run("chroot", command, { stdio: ["ignore", output, output], timeout: fileTimeout });
  closeSync(output);
  // What the program started are not its children there, and would live on.
  if (end.timedOut) spawnSync("chroot", [chroot, "env", "-i", ...environment(), "wineserver", "-k"]);
  const { isWhole, tests } = readReport(runtime.kind, report);
  const isOk = isWhole && tests.length > 0;
  const error = readFileSync(log, "utf8").split("\n").slice(-15).join("\n");
  return {
    file,
    seconds: end.seconds,
    tests,
    troubles: isOk ? [] : [{ name: `(${end.timedOut ? "timed out" : "no whole report"})`, error }],
  };
}

/** Translates paths of the project, and of the report, to those of the program; a module to load must be a URL. */
function asWindows(argument, { name }) {
  const report = `C:\\reports\\${name}.report`;
  const project = argument.startsWith("--test-reporter=") ? "file:///C:/project" : "C:/project";
  return argument.replace(inRoot("REPORT"), report).replace(root, project);
}
