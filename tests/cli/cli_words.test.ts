import assert from "node:assert/strict";
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { test } from "node:test";
import { parseArgs } from "node:util";
import { parseDuration, parseMode, suggestion } from "../../lib/cli/arguments.ts";
import { bar, cutStart, oneLine, sanitize, showBytes, twoColumns, wrap } from "../../lib/cli/text.ts";
import { delays } from "../../lib/operation/retry.ts";
import { cliHost, type Host } from "../../lib/runtime/cli_host.ts";
import { runtime } from "../../lib/runtime/mod.ts";
import { configure } from "../../lib/settings.ts";
import { place, runInProcess } from "../support/in_process.ts";
import { deadPid, plant, plantLease } from "../support/leases.ts";
import { isWindows, noLinks, noLinux, root } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";
import { substitute, systemError } from "../support/substitute.ts";

const COMMANDS = ["file", "dir", "run", "sweep", "usage", "doctor"];

const fits = (text: string): void =>
  assert.deepEqual(text.split("\n").filter((line) => line.length > 80), []);

test("mayfly --help, -h and help list every command in 80 columns", async () => {
  const results = await Promise.all([["--help"], ["-h"], ["help"]].map((args) => runInProcess(args)));
  for (const result of results) assert.deepEqual(result, { ...results[0], status: 0, stderr: "" });
  const { stdout } = results[0];
  for (const name of COMMANDS) assert.match(stdout, new RegExp(`^  ${name} +[A-Z]`, "m"));
  assert.match(stdout, /^Exit status:$/m);
  fits(stdout);
});

test("docs/command_line.md names every command", () => {
  const path = join(root, "docs/command_line.md");
  const document = readFileSync(path, "utf8");
  for (const name of COMMANDS) assert.match(document, new RegExp(`\`mayfly ${name}\\b`));
});

test("mayfly COMMAND --help lists its options, exit statuses and examples in 80 columns", async () => {
  for (const name of COMMANDS) {
    const { status, stdout, stderr } = await runInProcess([name, "--help"]);
    assert.deepEqual({ name, status, stderr }, { name, status: 0, stderr: "" });
    assert.deepEqual(await runInProcess(["help", name]), { status, stdout, stderr });
    assert.ok(stdout.startsWith(`Usage: mayfly ${name} `), stdout);
    for (
      const part of [/^Options:$/m, /^ {2}-h, --help /m, /^Exit status:\n {2}0 /m, /^Examples:\n {2}\S/m]
    ) {
      assert.match(stdout, part);
    }
    fits(stdout);
  }
});

test("mayfly without a command prints its help to standard error and exits with 2", async () => {
  const { status, stdout, stderr } = await runInProcess([]);
  assert.deepEqual({ status, stdout, stderr }, {
    status: 2,
    stdout: "",
    stderr: (await runInProcess(["help"])).stdout,
  });
});

const WRONG: [string[], RegExp][] = [
  [["fiel"], /Unknown command "fiel". Did you mean file\?$/],
  [["clean\u001b[31mup"], /Unknown command "clean\?\[31mup"$/],
  [["help", "nothing"], /Unknown command "nothing"$/],
  [["--dry-run"], /Unknown option --dry-run$/],
  [["file", "extra"], /"extra"/],
  [["file", "--", "extra"], /"extra"/],
  [["file", "--sufix", ".txt"], /Unknown option --sufix. Did you mean --suffix\?$/],
  [["file", "-x"], /Unknown option -x$/],
  [["file", "--suffix"], /--suffix needs a value: --suffix TEXT$/],
  [["file", "--suffix", "--json"], /--suffix needs a value/],
  [["file", "--json=yes"], /--json takes no value: got "yes"$/],
  [["file", "--constructor"], /Unknown option --constructor$/],
  [["file", "--mode", "rw"], /--mode .*"rw"$/],
  [["dir", "--mode", "1777"], /--mode .*"1777"$/],
  [["file", "--prefix", "../x"], /^mayfly file: --prefix must be without path separators/],
  [["dir", "--suffix=a:b"], /^mayfly dir: --suffix must be /],
  [["dir", "--dir", ""], /^mayfly dir: --dir must be a path/],
  [["run"], /No command given/],
  [["run", "--"], /No command given/],
  [["run", "--keep", "true"], /Unknown option --keep. Did you mean --keep-on-failure\?$/],
  [["sweep", "--older-than", "7d"], /--older-than and --prefix go together/],
  [["sweep", "--prefix", "x"], /--older-than and --prefix go together/],
  [["sweep", "--prefix", ""], /--older-than and --prefix go together/],
  [["sweep", "--prefix", "", "--older-than", "7d"], /--older-than and --prefix go together/],
  [["sweep", "--older-than", "7", "--prefix", "x"], /--older-than .*7d: got "7"$/],
  [["sweep", "--older-than=-7d", "--prefix", "x"], /--older-than .*"-7d"$/],
  [["sweep", "--dir", "."], /--dir needs --older-than/],
  [["usage", "--all"], /Unknown option --all$/],
  [["doctor", "now"], /"now"/],
];

test("mayfly with wrong arguments exits with 2, names the error, suggests a correction and --help, and creates nothing", async () => {
  using here = place();
  for (const [args, message] of WRONG) {
    const { status, stdout, stderr } = await runInProcess(args);
    assert.deepEqual({ args, status, stdout }, { args, status: 2, stdout: "" }, stderr);
    const [line, hint, ...rest] = stderr.split("\n");
    assert.match(line, message);
    assert.match(hint, /^See "mayfly( \w+)? --help"\.$/);
    assert.deepEqual(rest, [""]);
  }
  assert.deepEqual(here.list(), []);
});

test("without a usable temporary directory, mayfly run exits with 125 and runs nothing, the other commands exit with 1", async () => {
  configure({ tmpdir: "/nonexistent" });
  try {
    const start: Host["start"] = () => assert.fail("started");
    const run = await runInProcess(["run", "true"], { start });
    assert.deepEqual({ ...run, stderr: "" }, { status: 125, stdout: "", stderr: "" });
    assert.match(run.stderr, /^mayfly run: Cannot find a usable directory.*\n$/);
    for (const name of ["file", "dir", "usage"]) {
      const { status, stderr } = await runInProcess([name]);
      assert.equal(status, 1);
      assert.match(
        stderr,
        new RegExp(`^mayfly ${name}: Cannot find a usable directory.*"/nonexistent" \\(ENOENT\\)\n$`),
      );
    }
    const doctor = await runInProcess(["doctor"]);
    assert.equal(doctor.status, 1);
    assert.match(
      doctor.stdout,
      /^no +Temporary directory +Tried "\/nonexistent" \(ENOENT\)\n +→ Set TMPDIR/m,
    );
  } finally {
    configure({ tmpdir: undefined });
  }
});

test("mayfly run exits with 126 and the system's message if the command cannot be started", async () => {
  using here = place();
  const start: Host["start"] = () => ({
    kill() {},
    ended: Promise.reject(Object.assign(new Error("too many processes"), { code: "EAGAIN" })),
  });
  assert.deepEqual(await runInProcess(["run", "true"], { start }), {
    status: 126,
    stdout: "",
    stderr: 'mayfly run: Cannot start "true": too many processes\n',
  });
  assert.deepEqual(here.names(), []);
});

test("mayfly run replaces control characters in the name of a command that it does not find", async () => {
  using _here = place();
  const start: Host["start"] = () => ({ kill() {}, ended: Promise.reject(systemError("ENOENT")) });
  assert.deepEqual(await runInProcess(["run", "\u001b[2J"], { start }), {
    status: 127,
    stdout: "",
    stderr: 'mayfly run: Cannot find the command "?[2J"\n',
  });
});

test("mayfly run exits with 1 and stops listening to signals on an unexpected error", async () => {
  using _here = place();
  let listening = false;
  const onSignals: Host["onSignals"] = () => (listening = true, () => listening = false);
  const start: Host["start"] = () => {
    assert.ok(listening);
    throw new Error("unforeseen");
  };
  const { status, stderr } = await runInProcess(["run", "true"], { start, onSignals });
  assert.deepEqual({ status, stderr, listening }, {
    status: 1,
    stderr: "mayfly run: unforeseen\n",
    listening: false,
  });
});

test("mayfly run tries again after a wait to remove its directory if it is still in use", async () => {
  using here = place();
  // More than one removal tries, which on Windows is more often.
  let refusals = delays({}).length + 5;
  const waits: number[] = [];
  const { after } = runtime;
  using _ = substitute({
    runtime: {
      // The runtime's own recursive removal would not go through the substitute.
      removeTree: undefined,
      after: (delay, call) => (waits.push(delay), after(0, call)),
    },
    primitives: {
      removeDirectory(real, ...args) {
        if (refusals > 0 && refusals-- > 0) throw systemError("EBUSY");
        return real(...args as never[]);
      },
    },
  });
  const start: Host["start"] = () => ({ kill() {}, ended: Promise.resolve(0) });
  assert.deepEqual(await runInProcess(["run", "true"], { start }), { status: 0, stdout: "", stderr: "" });
  // Longer than the waits between the tries of one removal.
  assert.deepEqual([here.names(), refusals, waits.filter((delay) => delay === 50)], [[], 0, [50]]);
});

test("mayfly sweep shows its progress if standard error is a terminal, and erases it at the end", async () => {
  using here = place();
  // Each reading of the clock is a second after the last.
  let now = 0;
  using _ = substitute({ runtime: { now: () => now += 1000 } });
  for (const name of ["build-1", "build-2"]) await here.said("file", "--prefix", `${name}-`);
  const args = ["sweep", "--older-than", "0s", "--prefix", "build-"];
  const watched = await runInProcess([...args, "--dry-run"], { stderrIsTty: true });
  assert.equal(watched.stderr, "\r\x1b[KFound 1…\r\x1b[KFound 2…\r\x1b[K");
  const alone = await runInProcess([...args, "--dry-run"]);
  assert.deepEqual({ ...alone, stdout: "" }, { status: 0, stdout: "", stderr: "" });
  const { stdout, stderr } = await runInProcess(args, { stderrIsTty: true });
  assert.equal(stderr, "\r\x1b[KRemoved 1…\r\x1b[KRemoved 2…\r\x1b[K");
  assert.match(stdout, /^Removed 2 entries, 0 B\n/);
});

test("mayfly sweep shows no progress on a terminal if it takes no time", async () => {
  using here = place();
  using _ = substitute({ runtime: { now: () => 1000 } });
  await here.said("file", "--prefix", "build-");
  const args = ["sweep", "--older-than", "0s", "--prefix", "build-", "--dry-run"];
  const { status, stderr } = await runInProcess(args, { stderrIsTty: true });
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
});

test("mayfly usage shows its progress every 100 ms at most", async () => {
  using here = place();
  let now = 0;
  for (let count = 0; count < 4; count++) await here.said("file");
  // Looking at a file takes 60 ms.
  using _ = substitute({
    primitives: {
      status(real, ...[path]: [string]) {
        if (basename(path).startsWith("tmp")) now += 60;
        return real(...[path] as never[]);
      },
    },
    runtime: { now: () => now },
  });
  const { stderr } = await runInProcess(["usage"], { stderrIsTty: true });
  assert.equal(stderr, "\r\x1b[KLooked at 2 of 4…\r\x1b[K");
});

test("mayfly usage shows its progress if standard error is a terminal, and erases it at the end", async () => {
  using here = place();
  let now = 0;
  using _ = substitute({ runtime: { now: () => now += 1000 } });
  await here.said("file");
  const { stderr } = await runInProcess(["usage"], { stderrIsTty: true });
  assert.equal(stderr, "\r\x1b[KLooked at 0 of 1…\r\x1b[K");
});

test("mayfly file, dir and sweep name a missing directory and exit with 1", async () => {
  const missing = ["--dir", "/nonexistent/here"];
  for (const args of [["file"], ["dir"], ["sweep", "--older-than", "0s", "--prefix", "x"]]) {
    const { status, stdout, stderr } = await runInProcess([...args, ...missing]);
    assert.deepEqual({ status, stdout }, { status: 1, stdout: "" });
    assert.match(
      stderr,
      new RegExp(`^mayfly ${args[0]}: Cannot \\w+ .*"/nonexistent/here".*\\(ENOENT\\)\n$`),
    );
  }
});

test("mayfly sweep names what cannot be removed on standard error and exits with 1", async () => {
  using here = place();
  await here.said("file", "--prefix", "stuck-");
  using _ = substitute({
    primitives: {
      unlink() {
        throw systemError("EROFS");
      },
    },
  });
  const { status, stdout, stderr } = await here.said("sweep", "--older-than", "0s", "--prefix", "stuck-");
  assert.deepEqual({ status, stdout }, { status: 1, stdout: "Nothing removed\n" });
  assert.match(stderr, /^mayfly sweep: Cannot remove "[^"]*[\\/]stuck-\w+" \(EROFS\)\n$/);
});

test("mayfly sweep reports that there is nothing to remove", async () => {
  using here = place();
  assert.deepEqual(await here.said("sweep"), { status: 0, stdout: "Nothing to remove\n", stderr: "" });
  const { stdout } = await here.said("sweep", "--json");
  assert.deepEqual(JSON.parse(stdout), { dryRun: false, removed: [], kept: [], left: [], bytes: 0 });
});

test("mayfly usage of an empty directory shows empty bars", async () => {
  using here = place();
  const { stdout } = await here.said("usage");
  assert.match(stdout, /^other +0 +0 B +░+ +0%\n$/m);
  assert.doesNotMatch(stdout, /LARGEST|█|NaN/);
});

test("mayfly usage names the ten largest entries, and none that is empty", async () => {
  using here = place();
  for (let size = 0; size < 12; size++) writeFileSync(join(here.path, `size-${size}`), "x".repeat(size));
  const { stdout } = await here.said("usage");
  assert.deepEqual(stdout.match(/size-\d+$/gm), Array.from({ length: 10 }, (_, rank) => `size-${11 - rank}`));
  for (let size = 1; size < 12; size++) rmSync(join(here.path, `size-${size}`));
  assert.doesNotMatch((await here.said("usage")).stdout, /size-/);
});

test("mayfly usage omits the free space if reading it is not permitted", async () => {
  using here = place();
  using _ = substitute({
    primitives: {
      fileSystem() {
        throw systemError("ERR_ACCESS_DENIED");
      },
    },
  });
  const { status, stdout } = await here.said("usage");
  assert.equal(status, 0);
  assert.ok(stdout.startsWith(`${here.path}\n\nOWNER`), stdout);
});

test("mayfly usage names a temporary directory that cannot be listed", async () => {
  using here = place();
  using _ = substitute({
    primitives: {
      list(real, ...[path]: [string]) {
        if (path === here.path) throw systemError("EACCES");
        return real(...[path] as never[]);
      },
    },
  });
  const { status, stdout, stderr } = await here.said("usage");
  assert.deepEqual({ status, stdout, stderr }, {
    status: 1,
    stdout: "",
    stderr: `mayfly usage: Cannot list "${here.path}": permission denied (EACCES)\n`,
  });
});

test("mayfly usage shows full paths of entries elsewhere, counts symbolic links as 0 bytes and omits what vanishes", async () => {
  using here = place();
  using elsewhere = scratch();
  const { name } = plant(here.path, { lines: [`made ${elsewhere.path}/tmp*`] });
  const orphan = join(elsewhere.path, name());
  writeFileSync(orphan, "12345");
  if (!noLinks) symlinkSync("nowhere", join(here.path, "link"));
  writeFileSync(join(here.path, "vanishing"), "1234567");
  using _ = substitute({
    primitives: {
      status(real, ...[path]: [string]) {
        if (basename(path) === "vanishing") throw systemError("ENOENT");
        return real(...[path] as never[]);
      },
    },
  });
  const { stdout } = await here.said("usage");
  assert.match(stdout, /^orphaned +1 +5 B .* 100%$/m);
  assert.match(stdout, noLinks ? /^other +0 +0 B .* 0%$/m : /^other +1 +0 B .* 0%$/m);
  assert.ok(stdout.includes(`  ${orphan}\n`), stdout);
  assert.doesNotMatch(stdout, /vanishing/);
});

test("mayfly usage counts once an entry that one dead process had adopted from another", async () => {
  using here = place();
  const orphan = join(here.path, plant(here.path).name());
  writeFileSync(orphan, "12345");
  plant(here.path, { lines: [`adopted ${orphan}`] });
  const { owners } = JSON.parse((await here.said("usage", "--json")).stdout);
  assert.deepEqual(owners.orphaned, { entries: 1, bytes: 5 });
});

test("mayfly usage counts an entry as live if a live process has adopted it from a dead one", {
  skip: noLinux,
}, async () => {
  using here = place();
  const orphan = join(here.path, plant(here.path).name());
  writeFileSync(orphan, "12345");
  // Leases are listed in any order, so several of dead processes make it likely that one comes after the live one.
  const [live] = [process.pid, ...Array<number>(10).fill(deadPid())].map((pid) =>
    plant(here.path, { pid, lines: [`adopted ${orphan}`] })
  );
  // A process is alive as long as it has its lease open.
  const fd = openSync(live.path, "r");
  const { owners } = JSON.parse((await here.said("usage", "--json")).stdout);
  closeSync(fd);
  assert.deepEqual([owners.live, owners.orphaned.entries], [{ entries: 1, bytes: 5 }, 0]);
});

test("mayfly usage and doctor ignore what is not a lease or cannot be read", async () => {
  using here = place();
  const { path, name } = plant(here.path);
  writeFileSync(join(here.path, name()), "12345");
  const unreadable = plant(here.path), noFile = plant(here.path), leases = dirname(path);
  writeFileSync(join(leases, "notes.txt"), "no lease");
  // On Windows every name is valid Unicode.
  if (!isWindows) {
    writeFileSync(Buffer.concat([Buffer.from(join(leases, "no-text-")), Uint8Array.of(0xff)]), "");
  }
  rmSync(noFile.path);
  mkdirSync(noFile.path);
  using _ = substitute({
    primitives: {
      openFile(real, ...[path, ...rest]: [string, never]) {
        if (path === unreadable.path) throw systemError("EIO");
        return real(...[path, ...rest] as never[]);
      },
    },
  });
  const { status, stdout } = await here.said("usage");
  assert.equal(status, 0);
  assert.match(stdout, /^orphaned +1 +5 B/m);
  assert.match((await here.said("doctor")).stdout, /0 of running processes, 1 of dead ones/);
});

test("mayfly usage lists entries of another host's processes as unknown, and sweep keeps them", async () => {
  using here = place();
  writeFileSync(join(here.path, plantLease(here.path, deadPid(), "elsewhere")()), "12345");
  const { owners } = JSON.parse((await here.said("usage", "--json")).stdout);
  assert.deepEqual(owners.unknown, { entries: 1, bytes: 5 });
  assert.match((await here.said("usage")).stdout, /^unknown +1 +5 B +█+ 100%$/m);
  const { status, stdout } = await here.said("sweep");
  assert.deepEqual([status, stdout], [
    0,
    "Nothing to remove\nKept 1 (it is unknown whether its process is running)\n",
  ]);
  assert.equal(here.list().length, 2);
});

test("mayfly prints an unexpected error on one line and exits with 1", async () => {
  const { status, stderr } = await runInProcess(["doctor"], {
    permissions: () => {
      throw new Error("unforeseen \u001b[2J");
    },
  });
  assert.deepEqual({ status, stderr }, { status: 1, stderr: "mayfly doctor: unforeseen ?[2J\n" });
});

test("parseDuration() accepts a number with a unit, and throws otherwise", () => {
  const good = {
    "90s": 90_000,
    "15m": 900_000,
    "12h": 43_200_000,
    "7d": 604_800_000,
    "1w": 604_800_000,
    "1.5h": 5_400_000,
    "250ms": 250,
    "0s": 0,
  };
  for (const [text, expected] of Object.entries(good)) assert.equal(parseDuration(text, "--x"), expected);
  for (const text of ["", "7", "d", "-1d", "1 d", "1d2h", "1e3s", "٣d", ".5h", "1.h", "1D"]) {
    assert.throws(() => parseDuration(text, "--x"), /--x must be a duration/);
  }
});

test("parseMode() accepts up to three octal digits, and throws otherwise", () => {
  const good = { "600": 0o600, "0600": 0o600, "7": 7, "000": 0, "777": 0o777 };
  for (const [text, expected] of Object.entries(good)) assert.equal(parseMode(text, "--x"), expected);
  for (const text of ["", "8", "1777", "0o600", "u+x", "-1", "6 0"]) {
    assert.throws(() => parseMode(text, "--x"));
  }
});

test("suggestion() proposes a known word that is similar or begins with the given one", () => {
  const known = ["file", "dir", "sweep", "keep-on-failure"];
  const guessed = (word: string): string => suggestion(word, known);
  assert.equal(guessed("fil"), ". Did you mean file?");
  assert.equal(guessed("sweeep"), ". Did you mean sweep?");
  assert.equal(guessed("keep"), ". Did you mean keep-on-failure?");
  for (const word of ["", "x", "d", "remove", "constructor"]) assert.equal(guessed(word), "", word);
});

test("showBytes() uses the largest unit that fits, up to PiB", () => {
  const shown = {
    0: "0 B",
    1023: "1023 B",
    1024: "1.0 KiB",
    1536: "1.5 KiB",
    102_298: "99.9 KiB",
    102_400: "100 KiB",
    1_048_575: "1.0 MiB",
    1_048_576: "1.0 MiB",
  };
  for (const [bytes, text] of Object.entries(shown)) assert.equal(showBytes(Number(bytes)), text);
  assert.equal(showBytes(1023.5 * 1024), "1.0 MiB");
  assert.equal(showBytes(5 * 1024 ** 4), "5.0 TiB");
  assert.equal(showBytes(2 ** 70), "1048576 PiB");
});

test("bar() has the given width, and at least one block for a share above zero", () => {
  const drawn = [0, 0.001, 0.5, 0.999, 1, 2].map((share) => bar(share, 10));
  assert.deepEqual(drawn.map((text) => [text.length, text.replaceAll("░", "").length]), [
    [10, 0],
    [10, 1],
    [10, 5],
    [10, 10],
    [10, 10],
    [10, 10],
  ]);
});

test("sanitize() replaces control characters, wrap() and twoColumns() break lines, cutStart() shortens names at their start", () => {
  assert.equal(sanitize("a\u001b]0;x\u0007b\r\u202ec\td\ne"), "a?]0;x?b??c?d\ne");
  assert.equal(oneLine("a\nb"), "a?b");
  assert.equal(cutStart("abcdef", 6), "abcdef");
  assert.equal(cutStart("abcdef", 4), "…def");
  assert.equal(wrap("one two three", 7, "> "), "> one two\n> three");
  assert.equal(wrap("averylongword b", 5), "averylongword\nb");
  fits(twoColumns([["a", "word ".repeat(50).trim()], ["long-option VALUE", "word ".repeat(40).trim()]]));
});

interface FakePermissions {
  permission?: { has(scope: string, reference?: string): boolean };
}

/** Creates the host of a simulated process. */
function hostWith(changes: object, deno?: object): Host {
  const process_ = {
    versions: { node: "24.0.0", deno: "2.0.0" },
    platform: "linux",
    arch: "x64",
    argv: ["a", "b", "c"],
    getBuiltinModule() {},
    ...changes,
  };
  return cliHost(
    deno === undefined
      ? { process: process_ }
      : { process: process_, Deno: { version: { deno: "2.0.0" }, ...deno } },
  );
}

test("permissions() lists each permission with the flag that grants it, and none without a permission model", () => {
  assert.deepEqual(hostWith({}).permissions("/tmp"), []);
  const permission: FakePermissions["permission"] = {
    has: (scope, path) => scope === "fs.read" && path === "/tmp",
  };
  const node = hostWith({ permission }).permissions("/tmp").map(({ flag, granted }) => [flag, granted]);
  assert.deepEqual(node, [
    ["--allow-fs-read=/tmp", true],
    ["--allow-fs-write=/tmp", false],
    ["--allow-fs-read=/proc", false],
    ["--allow-child-process", false],
  ]);
  const querySync = ({ name, path }: { name: string; path?: string }): object => ({
    state: name === "sys" || path === "/tmp" ? "granted" : "prompt",
  });
  const deno = hostWith({}, { permissions: { querySync } }).permissions("/tmp");
  assert.deepEqual(deno.filter(({ granted }) => !granted).map(({ flag }) => flag), [
    "--allow-env=TMPDIR,TEMP,TMP",
    "--allow-run --allow-env",
    "--allow-all",
  ]);
  const denied = {
    querySync: ({ name }: { name: string }) => ({ state: "granted", partial: name === "net" }),
  };
  const most = hostWith({}, { permissions: denied }).permissions("/tmp");
  assert.deepEqual(most.filter(({ granted }) => !granted).map(({ flag }) => flag), ["--allow-all"]);
});

test("permissions() asks for exactly what each flag grants", () => {
  const allowed = (permissions: ReturnType<Host["permissions"]>): string[] =>
    permissions.filter(({ granted }) => granted).map(({ flag }) => flag);
  const has = (): boolean => true;
  for (const { flag } of hostWith({ permission: { has } }).permissions("/tmp")) {
    const [, scope, path] = /^--allow-(fs-read|fs-write|child)(?:-process)?(?:=(.*))?$/.exec(flag)!;
    const only = {
      has: (asked: string, reference?: string) => asked === scope.replace("-", ".") && reference === path,
    };
    assert.deepEqual(allowed(hostWith({ permission: only }).permissions("/tmp")), [flag]);
  }
  const onDeno = (state: (descriptor: object) => boolean) => {
    const querySync = (descriptor: object) => ({ state: state(descriptor) ? "granted" : "prompt" });
    return allowed(hostWith({}, { permissions: { querySync } }).permissions("/tmp"));
  };
  const all = onDeno(() => true);
  assert.deepEqual(all, [
    "--allow-read=/tmp",
    "--allow-write=/tmp",
    "--allow-env=TMPDIR,TEMP,TMP",
    ...["uid", "hostname", "statfs"].map((kind) => `--allow-sys=${kind}`),
    "--allow-run --allow-env",
    "--allow-all",
  ]);
  for (const flags of all) {
    if (flags === "--allow-all") continue;
    const granted = flags.split(" ").flatMap((flag) => {
      const [name, values = ""] = flag.slice("--allow-".length).split("=");
      return values.split(",").map((value) => `${name} ${value}`);
    });
    assert.deepEqual(onDeno((asked) => granted.includes(textOf(asked))), [flags]);
  }
  function textOf(descriptor: object): string {
    const [name, value = ""] = Object.values(descriptor);
    return `${name} ${value}`;
  }
});

test("writeError() adds only one error listener, however often it is called", async () => {
  let listeners = 0;
  const stderr = { on: () => listeners++, write: (_: string, done: () => void) => done() };
  const host = hostWith({ stderr });
  for (let i = 0; i < 11; i++) await host.writeError("Removed…");
  assert.equal(listeners, 1);
});

test("start() reports a missing program as ENOENT, even if the runtime says so only in the message, as Deno on Windows does", async () => {
  const ends = async (message: string, code?: string): Promise<unknown> => {
    const error = Object.assign(new Error(message), code === undefined ? {} : { code });
    const on = (event: string, listener: (error: Error) => void): void => {
      if (event === "error") listener(error);
    };
    const host = hostWith({ env: {}, getBuiltinModule: () => ({ spawn: () => ({ on }) }) });
    return await host.start("x", [], {}).ended.catch((error) => error.code);
  };
  assert.equal(await ends("Failed to spawn 'C:\\x': File not found"), "ENOENT");
  assert.equal(
    await ends("Failed to spawn 'x': no path to search and provided name is not an absolute path"),
    "ENOENT",
  );
  assert.equal(await ends("Failed to spawn 'C:\\x': Bad EXE format for %1. (os error 193)"), undefined);
  assert.equal(await ends("spawn x EACCES: File not found", "EACCES"), "EACCES");
});

test("isForeground() compares the process group with the terminal's, and without /proc asks whether standard input is a terminal", () => {
  const host = (stat: string | Error, isTTY: boolean): Host =>
    hostWith({
      stdin: { isTTY },
      getBuiltinModule: () => ({
        readFileSync() {
          if (stat instanceof Error) throw stat;
          return stat;
        },
      }),
    });
  const stat = (terminal: number, group: number, foreground: number): string =>
    `77 (a ) b) S 1 ${group} 70 ${terminal} ${foreground} 4194304 0`;
  const cases: [string | Error, boolean, boolean][] = [
    [stat(34816, 77, 77), false, true],
    [stat(34816, 77, 80), true, false],
    [stat(0, 77, -1), true, false],
    [stat(0, -1, -1), false, false],
    [systemError("ENOENT"), true, true],
    [systemError("ENOENT"), false, false],
  ];
  for (const [text, isTTY, expected] of cases) {
    assert.equal(host(text, isTTY).isForeground(), expected, String(text));
  }
});

test("C299 the CLI host on Deno makes no call that would prompt if a permission is missing", async () => {
  const querySync = (): object => ({ state: "prompt" });
  const prompts: string[] = [];
  const unexpected = (): never => {
    prompts.push("prompt");
    throw new Error("this would prompt");
  };
  const host = hostWith({
    stdin: { isTTY: true },
    env: new Proxy({}, { ownKeys: unexpected }),
    getBuiltinModule: () => ({ readFileSync: unexpected, spawn: unexpected }),
  }, { permissions: { querySync } });
  assert.equal(host.isForeground(), true);
  const refusal = { code: "ERR_ACCESS_DENIED", message: "it needs --allow-env" };
  await assert.rejects(host.start("program", [], {}).ended, refusal);
  // With the permission to read the environment, but not to run programs, which sending a signal needs.
  const onlyEnv = {
    querySync: ({ name }: { name: string }) => ({ state: name === "env" ? "granted" : "prompt" }),
  };
  const spawn = (): object => ({ pid: 1234, on() {} });
  const other = hostWith({ kill: unexpected, getBuiltinModule: () => ({ spawn }) }, { permissions: onlyEnv });
  other.start("program", [], {}).kill("SIGTERM");
  assert.deepEqual(prompts, []);
});

test("mayfly run on Windows does not forward SIGINT and SIGBREAK, which the command receives from the console itself", async () => {
  using here = place();
  const missing = { readFileSync: () => assert.fail("no /proc") };
  const { isForeground } = hostWith({
    platform: "win32",
    stdin: { isTTY: false },
    getBuiltinModule: () => missing,
  });
  const sent: string[] = [];
  let send!: (name: string) => void;
  const onSignals: Host["onSignals"] = (names, listener) => {
    send = (name) => names.includes(name) ? listener(name) : assert.fail(`${name} ends mayfly`);
    return () => {};
  };
  const start: Host["start"] = () => ({
    kill: (name) => sent.push(name),
    ended: Promise.resolve(0).finally(() => ["SIGINT", "SIGBREAK", "SIGTERM"].forEach(send)),
  });
  assert.equal((await runInProcess(["run", "true"], { start, onSignals, isForeground })).status, 0);
  assert.deepEqual([sent, here.names()], [["SIGTERM"], []]);
});

test("start() rejects its promise if spawn() throws", async () => {
  const host = hostWith({
    getBuiltinModule: () => ({
      spawn() {
        throw systemError("ENOENT");
      },
    }),
  });
  const child = host.start("missing", [], {});
  child.kill("SIGTERM");
  await assert.rejects(child.ended, { code: "ENOENT" });
});

test("start() sends no signal to a program that has exited, whose PID may have been reused", async () => {
  const sent: string[] = [];
  let exit!: (status: number, signal: null) => void;
  const on = (event: string, listener: typeof exit): void => {
    if (event === "exit") exit = listener;
  };
  const kill = (pid: number, signal: string): void => void sent.push(`${signal} ${pid}`);
  const child = hostWith({ kill, getBuiltinModule: () => ({ spawn: () => ({ pid: 1234, on }) }) }).start(
    "x",
    [],
    {},
  );
  child.kill("SIGHUP");
  exit(3, null);
  child.kill("SIGTERM");
  assert.deepEqual([await child.ended, sent], [3, ["SIGHUP 1234"]]);
});

test("start() resolves to 128 plus the signal number, or 128 for an unknown signal", async () => {
  const ended = (signal: string) => {
    const on = (event: string, tell: (...said: unknown[]) => void) => event === "exit" && tell(null, signal);
    const modules = { spawn: () => ({ on }), constants: { signals: { SIGTERM: 15 } } };
    return hostWith({ getBuiltinModule: () => modules }).start("program", [], {}).ended;
  };
  assert.deepEqual(await Promise.all([ended("SIGTERM"), ended("SIGELSEWHERE")]), [143, 128]);
});

test("the host's parseArgs() returns the same tokens as Node's", () => {
  const options = { dir: { type: "string" }, json: { type: "boolean" } } as const;
  const args = ["--dir=-x", "--json", "word", "--", "--dir"];
  const { tokens } = parseArgs({ args, options, strict: false, allowPositionals: true, tokens: true });
  assert.deepEqual(cliHost(globalThis).parseArgs(args, options), tokens);
  assert.deepEqual(tokens.map(({ kind }) => kind), [
    "option",
    "option",
    "positional",
    "option-terminator",
    "positional",
  ]);
});
