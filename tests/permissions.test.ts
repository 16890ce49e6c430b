/**
 * The public functions under the permission systems of Deno and Node, which permit only one directory.
 *
 * @module
 */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, realpathSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type ChildOptions,
  type ChildResult,
  firstOutput,
  runChild,
  runtimeCommand,
  startChild,
} from "./support/child.ts";
import { entry, startProgram } from "./support/cli.ts";
import { creators } from "./support/creators.ts";
import { leasesIn, plant } from "./support/leases.ts";
import { packageTest as test } from "./support/once.ts";
import { isBun, isDeno, noModes, noUsers, root } from "./support/platform.ts";
import { type Scratch, scratch } from "./support/scratch.ts";
import { noTerminal, onTerminal } from "./support/terminal.ts";

const notDeno = !isDeno && "only Deno prompts";
const notNode = (isDeno || isBun) && "Node's permission model";

/** Defines calls of all public functions that access a disk, besides the creators. */
const DEFINE_OTHERS = `
const { mkdirSync, writeFileSync } = fs;
const adoptable = (make) => { const path = dir + "/adoptable" + calls++; make(path); return path; };
let calls = 0;
const file = () => adoptable((path) => writeFileSync(path, "x", { mode: 0o600 }));
const directory = () => adoptable((path) => mkdirSync(path, { mode: 0o700 }));
const OTHERS = {
  adoptFile: async () => await (await m.adoptFile(file())).close(),
  adoptFileSync: () => m.adoptFileSync(file()).closeSync(),
  adoptDirectory: async () => await (await m.adoptDirectory(directory())).remove(),
  adoptDirectorySync: () => void m.adoptDirectorySync(directory()).removeSync(),
  writeFileAtomic: async () => { await m.writeFileAtomic(dir + "/target", "x"); fs.unlinkSync(dir + "/target"); },
  writeFileAtomicSync: () => { m.writeFileAtomicSync(dir + "/target", "x"); fs.unlinkSync(dir + "/target"); },
  "writeFileAtomic, not durable": async () => {
    await m.writeFileAtomic(dir + "/target", "x", { durable: false });
    fs.unlinkSync(dir + "/target");
  },
  findTmpdir: async () => void await m.findTmpdir({}),
  findTmpdirSync: () => void m.findTmpdirSync({}),
  tmpdir: () => void m.tmpdir(),
  diskSpace: async () => void await m.diskSpace(dir),
  diskSpaceSync: () => void m.diskSpaceSync(dir),
  usage: async () => void await m.usage(),
  usageSync: () => void m.usageSync(),
  sweep: async () => void await m.sweep(),
  sweepSync: () => void m.sweepSync?.(),
  watchSpace: () => m.watchSpace({ dir, minFree: 1 }, () => {})[Symbol.dispose](),
};
// On Node some of what they do needs more permissions.
const ON_DENO = {
  "namedTemporaryFile, with a lock, a blob and a second handle": async () => {
    const file = await m.namedTemporaryFile({ dir, mode: 0o640 });
    (await file.lock()).release();
    (await file.tryLock()).release();
    await (await file.blob()).text();
    await (await file.reopen()).close();
    await file.persist(dir + "/target", { overwrite: false });
    fs.unlinkSync(dir + "/target");
  },
  "temporaryFile, put in its place": async () => {
    const file = await m.temporaryFile({ dir });
    await file.write(new Uint8Array(5 * 1024 * 1024));
    await file.persist(dir + "/target", { mode: "umask" });
    fs.unlinkSync(dir + "/target");
  },
  "temporaryDirectorySync, full": () => {
    const made = m.temporaryDirectorySync({ dir });
    writeFileSync(made.join("x"), "");
    made.removeSync();
    if (fs.existsSync(made.path)) throw new Error("It is still there");
  },
  "temporaryDirectory, full, and put in its place": async () => {
    const made = await m.temporaryDirectory({ dir });
    await (await made.namedTemporaryFile()).write("x");
    await made.temporaryDirectory();
    await made.usage();
    await made.persist(dir + "/target");
    const again = await m.adoptDirectory(dir + "/target");
    await again.remove();
  },
};
if ("Deno" in globalThis) Object.assign(OTHERS, ON_DENO);`;

/** Reports for each public function whether it works, or how it fails. */
const TRY_ALL = `
import { creatorsOf } from ${JSON.stringify(import.meta.resolve("./support/creators.ts"))};
const [dir] = args;
${DEFINE_OTHERS}
const outcome = async (call) => {
  try { await call(); return "works"; }
  catch ({ name, code, message }) { return { name, code, message }; }
};
const found = {};
for (const [name, { make }] of creatorsOf(m)) {
  found[name + " in dir"] = await outcome(async () => await (await make(m, { dir })).remove());
  found[name] = await outcome(async () => await (await make(m)).remove());
}
for (const [name, call] of Object.entries(OTHERS)) {
  if (name.split(",")[0] in m) found[name] = await outcome(call);
}
say(found);`;

type Outcome = "works" | { name: string; code: string; message: string };

async function tryAll(
  place: Scratch,
  flags: string[],
  under: string[] = [],
  first = "",
): Promise<{ result: ChildResult; found: { [name: string]: Outcome } }> {
  const result = await runChild(first + TRY_ALL, {
    args: [place.path],
    flags,
    under,
    env: { TMPDIR: place.path },
  });
  assert.equal(result.status, 0, result.stderr + result.stdout);
  return { result, found: result.said[0] };
}

/** Asserts that everything works, except those functions that may fail with an error about a missing permission. */
function assertPermitted(found: { [name: string]: Outcome }, reason: RegExp, mayRefuse: string[]): void {
  assert.ok(Object.keys(found).length >= 2 * Object.keys(creators).length + 10);
  const refused = Object.entries(found).filter(([, outcome]) => outcome !== "works");
  const surprises = refused.filter(([name]) => !mayRefuse.includes(name));
  assert.deepEqual(surprises, []);
  for (const [name, outcome] of refused) {
    const { name: kind, code, message } = outcome as Exclude<Outcome, string>;
    assert.deepEqual({ name, kind, code }, { name, kind: "TempfileError", code: "ERR_ACCESS_DENIED" });
    assert.match(message, reason, name);
  }
}

test(
  "C299 public functions on Deno with one permitted directory work in it or report the missing permission, without a prompt",
  {
    skip: notDeno || noTerminal,
  },
  async () => {
    using place = scratch();
    const flags = [`--allow-read=${place.path}`, `--allow-write=${place.path}`];
    // Configured, since Deno does not let the library read the environment.
    const { result, found } = await tryAll(place, flags, onTerminal(), "m.configure({ tmpdir: args[0] });");
    assert.doesNotMatch(result.stdout, /Deno requests/);
    assertPermitted(found, /--allow-(sys|read|write)/, ["diskSpace", "diskSpaceSync", "watchSpace", "sweep"]);
    assert.deepEqual(place.names(), []);
  },
);

test(
  "C299 sweep() on Deno without --allow-sys=uid fails with an error that names it (not on Windows, where it is not needed)",
  {
    skip: notDeno || noUsers,
  },
  async () => {
    using place = scratch();
    const code = `m.configure({ tmpdir: args[0] });
  const outcome = (options) => m.sweep(options).catch(({ name, code, message }) => [name, code, message]);
  say([await outcome(), await outcome({ olderThan: 0, prefix: "old-" })]);`;
    mkdirSync(join(place.path, "old-own"));
    const flags = [`--allow-read=${place.path}`, `--allow-write=${place.path}`];
    const { said, stderr } = await runChild(code, { args: [place.path], flags });
    const refused = [
      "TempfileError",
      "ERR_ACCESS_DENIED",
      "Cannot sweep: it needs --allow-sys=uid (ERR_ACCESS_DENIED)",
    ];
    assert.deepEqual(said[0], [refused, refused], stderr);
    assert.deepEqual(place.names(), ["old-own"]);
  },
);

test(
  "C299 on Deno without a configured tmpdir, creators work in a permitted dir, else fail with ERR_NO_TMPDIR, without a prompt",
  {
    skip: notDeno || noTerminal,
  },
  async () => {
    using place = scratch();
    const flags = [`--allow-read=${place.path}`, `--allow-write=${place.path}`];
    const { result, found } = await tryAll(place, flags, onTerminal());
    assert.doesNotMatch(result.stdout, /Deno requests/);
    for (const [name, outcome] of Object.entries(found)) {
      if (name.endsWith(" in dir")) assert.equal(outcome, "works", name);
      else if (name in creators || name === "tmpdir") {
        const { code, message } = outcome as Exclude<Outcome, string>;
        assert.equal(code, "ERR_NO_TMPDIR", name);
        assert.match(
          message,
          /: tried "\/tmp" \(ERR_ACCESS_DENIED\), .*\. Permit it with --allow-read and --allow-write$/,
        );
      }
    }
    assert.deepEqual(place.names(), []);
  },
);

test(
  "C299 public functions on Deno with all permissions but one, which also denies /proc, work without a prompt",
  {
    skip: notDeno || noTerminal,
  },
  async () => {
    using place = scratch();
    for (const denied of ["--deny-env=MAYFLY_NONE", "--deny-import=example.com"]) {
      const { result, found } = await tryAll(place, ["-A", denied], onTerminal());
      assert.doesNotMatch(result.stdout, /Deno requests/);
      assertPermitted(found, /--allow-all/, []);
    }
    assert.deepEqual(place.names(), []);
  },
);

test(
  "C299 on Deno, full directories are removed after the program has revoked a permission, which also denies /proc",
  { skip: notDeno },
  async () => {
    using place = scratch();
    const code = `const full = async () => {
    const directory = await m.temporaryDirectory();
    fs.mkdirSync(directory.join("deep"));
    fs.writeFileSync(directory.join("deep", "file"), "");
    return directory;
  };
  await (await full()).remove();
  const earlier = await full();
  await Deno.permissions.revoke({ name: "net" });
  await earlier.remove();
  (await full()).removeSync();
  await full(); // For the exit.`;
    const { status, stderr } = await runChild(code, { flags: ["-A"], env: { TMPDIR: place.path } });
    assert.equal(status, 0, stderr);
    assert.deepEqual(place.names(), []);
  },
);

test(
  "C299 sweep() on Deno with one directory and --allow-sys=uid prompts neither for /proc nor for directories of other leases",
  {
    skip: notDeno || noTerminal || noUsers,
  },
  async () => {
    using place = scratch();
    using other = scratch();
    const holding = `const file = m.namedTemporaryFileSync({ dir: args[0] });
  say(file.path);
  process.stdin.resume();
  process.stdin.on("end", () => file.closeSync());`;
    const { child, result } = startChild(holding, {
      args: [other.path],
      env: { TMPDIR: place.path },
    });
    await firstOutput(child);
    mkdirSync(join(place.path, "old-own"));
    const flags = [`--allow-read=${place.path}`, `--allow-write=${place.path}`, "--allow-sys=uid"];
    const code = `m.configure({ tmpdir: args[0] });
  const { removed } = await m.sweep({ olderThan: 0, prefix: "old-" });
  console.log("swept " + removed.length);`;
    const { stdout } = await runChild(code, { args: [place.path], flags, under: onTerminal() });
    child.stdin!.end();
    await result;
    assert.doesNotMatch(stdout, /Deno requests/);
    assert.match(stdout, /swept 1/);
    assert.deepEqual([place.names(), other.names()], [[], []]);
  },
);

test(
  "C299 Deno with various subsets of the permissions never prompts",
  { skip: notDeno || noTerminal },
  async () => {
    using place = scratch();
    const here = [`--allow-read=${place.path}`, `--allow-write=${place.path}`];
    const parts = [
      [...here, "--allow-sys", "--allow-env"],
      [...here, "--allow-sys", "--allow-run"],
      [...here, "--allow-sys", "--allow-run", "--allow-env"],
      ["--allow-read", `--allow-write=${place.path}`, "--allow-sys"],
      ["--allow-read", "--allow-write", "--allow-run"],
      ["--allow-read", "--allow-write", "--allow-run", "--allow-env", "--allow-sys", "--allow-net"],
    ];
    const first = "m.configure({ tmpdir: args[0], reaper: true, signals: true, keepAlive: true });";
    for (const flags of parts) {
      const { result } = await tryAll(place, flags, onTerminal(), first);
      assert.doesNotMatch(result.stdout, /Deno requests/);
    }
    assert.deepEqual(place.names(), []);
  },
);

/** The flags for one directory, and the user's ID. */
const forDirectory = (path: string): string[] => [
  `--allow-read=${path}`,
  `--allow-write=${path}`,
  "--allow-sys=uid",
];

/** Runs code on a terminal, and asserts that it runs to its end, unprompted. */
async function runUnprompted(code: string, options: ChildOptions): Promise<ChildResult> {
  const result = await runChild(`${code}; console.log("the end");`, { ...options, under: onTerminal() });
  assert.doesNotMatch(result.stdout, /Deno requests/);
  assert.match(result.stdout, /the end/, result.stdout + result.stderr);
  return result;
}

test(
  "C299 background reclaim on Deno does not prompt for /proc/PID/fd of the process of an old empty lease",
  { skip: notDeno || noTerminal || noUsers },
  async () => {
    using place = scratch();
    const { path } = plant(place.path, { pid: process.pid, text: "" });
    utimesSync(path, 0, 0);
    const code = `m.configure({ tmpdir: args[0] });
  const file = m.namedTemporaryFileSync();
  await new Promise((resolve) => setTimeout(resolve, 200));
  file.closeSync()`;
    await runUnprompted(code, { args: [place.path], flags: forDirectory(place.path) });
    assert.equal(existsSync(path), true);
  },
);

test(
  "C299 mayfly usage and doctor on Deno prompt neither for directories in the leases of others nor for /proc",
  { skip: notDeno || noTerminal || noUsers },
  async () => {
    using place = scratch();
    using other = scratch();
    const { name } = plant(place.path, { pid: process.pid, lines: [`made ${other.path}/tmp*`] });
    writeFileSync(join(other.path, name()), "x");
    utimesSync(plant(place.path, { pid: process.pid, text: "" }).path, 0, 0);
    const flags = [...forDirectory(place.path), "--allow-env=TMPDIR,TEMP,TMP", "--allow-read=/run"];
    for (const command of ["usage", "doctor"]) {
      const line = [...onTerminal(), ...runtimeCommand(entry, flags), command];
      using program = startProgram(line, { env: { TMPDIR: place.path } });
      const { status, stdout } = await program.result;
      assert.doesNotMatch(stdout, /Deno requests/);
      assert.equal(status, 0, stdout);
    }
  },
);

test(
  "C299 Deno with --allow-run but without --allow-env does not prompt for the reaper or to link a large unnamed file",
  { skip: notDeno || noTerminal || noUsers },
  async () => {
    using place = scratch();
    const code = `m.configure({ tmpdir: args[0], reaper: true });
  m.namedTemporaryFileSync().closeSync();
  const large = m.temporaryFileSync();
  large.writeSync(new Uint8Array(5 * 1024 * 1024));
  large.persistSync(args[0] + "/large");
  await new Promise((resolve) => setTimeout(resolve, 50))`;
    const { stdout } = await runUnprompted(code, {
      args: [place.path],
      flags: [...forDirectory(place.path), "--allow-run"],
    });
    assert.match(stdout, /The reaper cannot be started: it needs --allow-env/);
    assert.equal(existsSync(join(place.path, "large")), true);
  },
);

test(
  "C299 Deno does not prompt for /proc/self/fd if the umask made a new file unreadable",
  { skip: notDeno || noTerminal || noModes },
  async () => {
    using place = scratch();
    const code = `m.configure({ tmpdir: args[0] });
  try { m.namedTemporaryFileSync(); } catch ({ code }) { console.log(code); }`;
    const { stdout } = await runUnprompted(code, {
      args: [place.path],
      flags: [`--allow-read=${place.path}`, `--allow-write=${place.path}`],
      unprivileged: true,
      umask: "0400",
    });
    assert.match(stdout, /EACCES/);
    assert.deepEqual(place.names(), []);
  },
);

test(
  "C299 adoptFile() on Deno does not prompt to write beside its creator's lease, and uses this process's lease instead",
  { skip: notDeno || noTerminal || noUsers },
  async () => {
    using place = scratch();
    const own = join(place.path, "own"), job = join(place.path, "job");
    for (const path of [own, job]) mkdirSync(path);
    const { name } = plant(place.path, { pid: process.pid, lines: [`made ${job}/tmp*`] });
    const path = join(job, name());
    writeFileSync(path, "x", { mode: 0o600 });
    const code = `m.configure({ tmpdir: args[0] });
  const file = m.adoptFileSync(args[1]);
  console.log(fs.readdirSync(args[2]).length);
  file.closeSync()`;
    const flags = [`--allow-read=${place.path}`, `--allow-write=${own},${job}`, "--allow-sys=uid"];
    const { stdout } = await runUnprompted(code, { args: [own, path, leasesIn(own)], flags });
    assert.match(stdout, /^1\r?$/m);
    assert.deepEqual([readdirSync(job), readdirSync(leasesIn(place.path)).length], [[], 1]);
  },
);

test("C299 control: Deno does prompt on that terminal", { skip: notDeno || noTerminal }, async () => {
  using place = scratch();
  const { stdout } = await runChild(`try { Deno.readTextFileSync("/etc/hostname"); } catch {}`, {
    flags: [`--allow-read=${place.path}`],
    under: onTerminal(),
  });
  assert.match(stdout, /Deno requests/);
});

/** Node's own flags: the library, the script of the child, and one directory. */
function nodeFlags(place: Scratch): string[] {
  const isOld = Number(process.versions.node.split(".")[0]) < 23;
  const scripts = realpathSync(tmpdir());
  return [
    isOld ? "--experimental-permission" : "--permission",
    "--no-warnings",
    ...[root, scripts].map((path) => `--allow-fs-read=${join(path, "*")}`),
    `--allow-fs-write=${join(place.path, "*")}`,
  ];
}

test(
  "C300 public functions on Node with one writable directory work in it or report the missing permission",
  {
    skip: notNode,
  },
  async () => {
    using place = scratch();
    const { found } = await tryAll(place, nodeFlags(place));
    // Node forbids fsync() unless all permissions are granted.
    assertPermitted(found, /fsync API is disabled/, ["writeFileAtomic", "writeFileAtomicSync"]);
    assert.deepEqual(place.names(), []);
  },
);

test(
  "C300 a directory on Node with permission to read everything and write one directory is removed with its contents",
  {
    skip: notNode,
  },
  async () => {
    using place = scratch();
    const { said: [left], status, stderr } = await runChild(
      `const full = () => {
      const directory = m.temporaryDirectorySync();
      fs.mkdirSync(directory.join("a"));
      fs.writeFileSync(directory.join("a", "b"), "x");
      return directory;
    };
    full().removeSync();
    await full().remove();
    say(fs.readdirSync(args[0]).filter((name) => name.startsWith("tmp")));
    full();`,
      { args: [place.path], flags: [...nodeFlags(place), "--allow-fs-read=*"], env: { TMPDIR: place.path } },
    );
    assert.deepEqual([left, status], [[], 0], stderr);
    assert.deepEqual(place.names(), []);
  },
);

test(
  "C299 C300 every creator fails with one error that names the directory if it is not writable, and creates nothing",
  {
    skip: isBun && "Bun has no permissions",
  },
  async () => {
    using place = scratch();
    const other = join(place.path, "other");
    mkdirSync(other);
    const flags = isDeno
      ? [`--allow-read=${other}`, `--allow-write=${other}`, "--no-prompt"]
      : nodeFlags({ ...place, path: other });
    const code = `
    import { creatorsOf } from ${JSON.stringify(import.meta.resolve("./support/creators.ts"))};
    const found = {};
    for (const [name, { make }] of creatorsOf(m)) {
      try { await make(m, { dir: args[0] }); found[name] = "made"; }
      catch ({ name: kind, code, message }) { found[name] = [kind, code, message]; }
    }
    say(found);`;
    const { said: [found], stderr } = await runChild(code, {
      args: [place.path],
      flags,
      env: { TMPDIR: other },
    });
    assert.deepEqual(Object.keys(found ?? {}).sort(), Object.keys(creators).sort(), stderr);
    for (const [name, [kind, code, message]] of Object.entries<string[]>(found)) {
      assert.deepEqual({ name, kind, code }, { name, kind: "TempfileError", code: "ERR_ACCESS_DENIED" });
      assert.ok(message.includes(`"${place.path}"`), message);
    }
    assert.deepEqual(place.names(), ["other"]);
  },
);

test(
  "temporaryDirectorySync() on Deno with only read and write permission gives the directory exactly the given mode",
  {
    skip: notDeno || noModes,
  },
  async () => {
    using place = scratch();
    const flags = ["--no-prompt", `--allow-read=${place.path}`, `--allow-write=${place.path}`];
    const { said, stderr } = await runChild(
      `m.configure({ tmpdir: args[0] });
      const directory = m.temporaryDirectorySync({ mode: 0o775 });
      say(Deno.statSync(directory.path).mode & 0o777);
      directory.removeSync();`,
      { args: [place.path], flags, umask: "022" },
    );
    assert.deepEqual(said, [0o775], stderr);
  },
);

test(
  "C299 C300 if no temporary directory is permitted, the error lists those tried and names the flags that permit one",
  {
    skip: isBun && "Bun has no permissions",
  },
  async () => {
    using place = scratch();
    // Without a flag, a Deno process started through Deno's Node layer has all permissions.
    const flags = isDeno
      ? ["--no-prompt", `--allow-read=${root}`, `--allow-write=${root}`]
      : nodeFlags(place).filter((flag) => !flag.startsWith("--allow-fs-write"));
    const { said: [said], stderr } = await runChild(
      `try { say(["made", m.namedTemporaryFileSync().path]); } catch ({ code, message }) { say([code, message]); }`,
      { flags, env: { TMPDIR: place.path } },
    );
    assert.equal(said?.[0], "ERR_NO_TMPDIR", stderr);
    const named = isDeno ? "--allow-read and --allow-write" : "--allow-fs-read and --allow-fs-write";
    assert.ok(said[1].endsWith(`(ERR_ACCESS_DENIED). Permit it with ${named}`), said[1]);
    assert.deepEqual(place.names(), []);
  },
);
