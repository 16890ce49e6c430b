import assert from "node:assert/strict";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { programIn, startChild } from "../support/child.ts";
import {
  cliCommand,
  type CliOptions,
  type CliResult,
  mayfly,
  mayflyOnTerminal,
  printed,
  startProgram,
} from "../support/cli.ts";
import { plantLease } from "../support/leases.ts";
import { packageTest as test } from "../support/once.ts";
import { packageFilesLater, packageFilesOf } from "../support/package_files.ts";
import {
  isWindows,
  noLinks,
  noLinux,
  noModes,
  noPrograms,
  noSignals,
  root,
  underWine,
} from "../support/platform.ts";
import { memory, type Scratch, scratch } from "../support/scratch.ts";

/** Wine claims to have it, and it cannot be opened there. */
const noFullDevice: string | false = (isWindows || !existsSync("/dev/full")) && "needs /dev/full";

/** A temporary directory for one test, and how to run commands with it. */
interface Place extends Scratch {
  options: CliOptions;
  mayfly(...args: string[]): Promise<CliResult>;
  /** The names, without the directory of leases. */
  names(): string[];
}

function place(parent?: string): Place {
  const made = scratch(parent);
  const options = { env: { TMPDIR: made.path } };
  return {
    ...made,
    options,
    mayfly: (...args) => mayfly(args, options),
    names: () => made.list().filter((name) => !/^\.mayfly-(\d+|user)$/.test(name)),
  };
}

/** Returns what a command printed; fails unless it ended with 0 and an empty standard error. */
function succeeded({ status, signal, stdout, stderr }: CliResult): string {
  assert.deepEqual({ status, signal, stderr }, { status: 0, signal: null, stderr: "" }, stdout);
  return stdout;
}

test("mayfly --version prints the version in both manifests", async () => {
  const version = succeeded(await mayfly(["--version"]));
  for (const manifest of ["package.json", "deno.json"]) {
    assert.equal(version, `${JSON.parse(readFileSync(join(root, manifest), "utf8")).version}\n`);
  }
});

test(
  "mayfly with wrong arguments exits with 2 and prints only to standard error",
  { onOneNode: true },
  async () => {
    using here = place();
    const { status, stdout, stderr } = await here.mayfly("file", "--sufix", "x");
    assert.deepEqual({ status, stdout }, { status: 2, stdout: "" });
    assert.match(stderr, /^mayfly.*\nSee "mayfly.* --help"\.\n$/);
    assert.deepEqual(here.list(), []);
  },
);

test("mayfly file and dir create a file or directory that stays, and print its path", async () => {
  using here = place();
  const [file, dir] = await Promise.all(
    ["file", "dir"].map(async (name) => succeeded(await here.mayfly(name)).trim()),
  );
  assert.deepEqual([file, dir].map((path) => path.startsWith(join(here.path, "tmp"))), [true, true]);
  const [one, other] = [statSync(file), statSync(dir)];
  assert.deepEqual([one.isFile(), one.size, other.isDirectory()], [true, 0, true]);
  assert.deepEqual(here.names().length, 2);
});

test("mayfly file and dir accept --dir, --prefix, --suffix and --json", { onOneNode: true }, async () => {
  using here = place();
  mkdirSync(join(here.path, "a b"));
  const options = ["--dir", join(here.path, "a b"), "--prefix=job-", "--suffix", ".x", "--json"];
  await Promise.all(["file", "dir"].map(async (name) => {
    const { path, ...rest } = JSON.parse(succeeded(await here.mayfly(name, ...options)));
    assert.deepEqual(rest, {});
    assert.match(path, /[\\/]a b[\\/]job-[a-z2-9]{13}\.x$/);
  }));
  assert.equal(readdirSync(join(here.path, "a b")).length, 2);
});

test(
  "mayfly file and dir create private files and directories, or with the mode of --mode",
  { onOneNode: true, skip: noModes },
  async () => {
    using here = place();
    const modes: [string[], number][] = [
      [["file"], 0o600],
      [["dir"], 0o700],
      [["file", "--mode", "0750"], 0o750],
      [["dir", "--mode", "0750"], 0o750],
    ];
    await Promise.all(modes.map(async ([args, expected]) => {
      assert.equal(statSync(succeeded(await here.mayfly(...args)).trim()).mode & 0o777, expected, `${args}`);
    }));
  },
);

test(
  "mayfly exits with 1 and names standard output and the reason if the device is full; file and dir leave nothing",
  { skip: noFullDevice },
  async () => {
    using here = place();
    const commands = [["file"], ["dir", "--json"], ["--version"]];
    await Promise.all(commands.map(async ([name, ...args]) => {
      const full = openSync("/dev/full", "w");
      const { status, stderr } = await mayfly([name, ...args], { ...here.options, stdout: full });
      closeSync(full);
      const who = name === "--version" ? "mayfly" : `mayfly ${name}`;
      const says = `${who}: Cannot write to standard output: no space left on device (ENOSPC)\n`;
      assert.deepEqual({ status, stderr }, { status: 1, stderr: says });
    }));
    assert.deepEqual(here.names(), []);
  },
);

test("mayfly exits with 1 and no error message if standard output has been closed", async () => {
  using here = place();
  using program = startProgram(cliCommand("doctor", "--json"), here.options);
  const { child, result } = program;
  child.stdout!.destroy();
  const { status, stderr } = await result;
  assert.deepEqual({ status, stderr }, { status: 1, stderr: "" });
});

test(
  "mayfly run keeps its exit status if standard error cannot be written",
  { onOneNode: true, skip: noFullDevice },
  async () => {
    using here = place();
    const ends = [[["run", "no-such-program"], 127], [
      ["run", "--keep-on-failure", "sh", "-c", "exit 3"],
      3,
    ]] as const;
    for (const [args, expected] of ends) {
      const command = ["sh", "-c", '"$@" 2> /dev/full', "sh", ...cliCommand(...args)];
      const { status, stdout } = await startProgram(command, here.options).result;
      assert.deepEqual({ args, status, stdout }, { args, status: expected, stdout: "" });
    }
  },
);

test(
  "mayfly run gives the command its standard streams and a private TMPDIR, TEMP and TMP, and removes it",
  async () => {
    using here = place();
    using programs = scratch();
    const command = programIn(
      programs.path,
      `import os from "node:os";
    const { TMPDIR, TEMP, TMP } = process.env;
    fs.mkdirSync(path.join(TMPDIR, "sub"));
    fs.writeFileSync(path.join(TMPDIR, "sub", "file"), "x");
    const made = fs.mkdtempSync(path.join(os.tmpdir(), "x"));
    process.stderr.write(fs.readFileSync(0).length + " bytes of input\\n");
    console.log(JSON.stringify({ paths: [TMPDIR, TEMP, TMP], made, mode: fs.statSync(TMPDIR).mode & 0o777 }));`,
    );
    const input = join(programs.path, "input");
    writeFileSync(input, "12345");
    const stdin = openSync(input, "r");
    const { status, stdout, stderr } = await mayfly(["run", "--", ...command], { ...here.options, stdin });
    closeSync(stdin);
    assert.deepEqual({ status, stderr }, { status: 0, stderr: "5 bytes of input\n" });
    const { paths: [path, ...same], made, mode } = JSON.parse(stdout);
    assert.ok(path.startsWith(join(here.path, "run-")), path);
    assert.deepEqual(same, [path, path]);
    assert.equal(mode, isWindows ? 0o666 : 0o700);
    assert.ok(made.startsWith(join(path, "x")));
    assert.deepEqual(here.names(), []);
  },
);

test(
  "mayfly run passes options after the command on to it, with and without --",
  { onOneNode: true },
  async () => {
    using programs = scratch();
    const echo = programIn(programs.path, "console.log(JSON.stringify(process.argv.slice(2)));");
    const results = await Promise.all([
      mayfly(["run", ...echo, "--json", "--", "-h", "a  b", ""]),
      mayfly(["run", "--keep-on-failure", "--", ...echo, "--json", "--", "-h", "a  b", ""]),
    ]);
    for (const result of results) {
      assert.deepEqual(JSON.parse(succeeded(result)), ["--json", "--", "-h", "a  b", ""]);
    }
  },
);

/** Runs commands and checks that `mayfly run` ends with the statuses given and leaves nothing. */
async function expectEnds(here: Place, ends: [string[], number][]): Promise<void> {
  await Promise.all(ends.map(async ([command, expected]) => {
    const { status, signal, stderr } = await here.mayfly("run", ...command);
    assert.deepEqual({ command, status, signal }, { command, status: expected, signal: null }, stderr);
    assert.match(
      stderr,
      expected === 126 || expected === 127 ? /^mayfly run: Cannot (find|start) .*\n$/ : /^$/,
    );
  }));
  assert.deepEqual(here.names(), []);
}

test(
  "mayfly run exits with the command's status, with 127 if it is not found, and with 126 if it cannot be run",
  async () => {
    using here = place();
    using programs = scratch();
    const ending = (status: number): string[] =>
      isWindows ? programIn(programs.path, `process.exit(${status});`) : ["sh", "-c", `exit ${status}`];
    const text = join(programs.path, "notes.txt");
    writeFileSync(text, "no program\n");
    await expectEnds(here, [
      [ending(3), 3],
      [ending(255), 255],
      [["./no-such-program"], 127],
      [[""], 127],
      [
        [text],
        126,
      ],
    ]);
  },
);

test("mayfly run exits with 128 plus the signal number if a signal ended the command", {
  onOneNode: true,
  skip: noSignals,
}, async () => {
  using here = place();
  await expectEnds(here, [
    [["sh", "-c", 'echo x > "$TMPDIR/x"; kill -9 $$'], 137],
    [["sh", "-c", "kill -SEGV $$"], 139],
    [[here.path], 126],
  ]);
});

/** Prints "ready", and then each signal that it receives, until it has received six. */
const LISTENER = `
n=0; for name in INT TERM HUP QUIT USR1 USR2; do trap "echo got $name; n=\\$((n+1))" $name; done
echo x > "$TMPDIR/x"; echo ready; while [ $n -lt 6 ]; do sleep 0.02; done; exit 9`;

test(
  "mayfly run forwards SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2, exits with the command and removes its directory",
  {
    skip: noSignals,
  },
  async () => {
    using here = place();
    using program = startProgram(cliCommand("run", "sh", "-c", LISTENER), here.options);
    const { child, result } = program;
    await printed(child, "ready");
    for (const name of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const) {
      const received = printed(child, `got ${name.slice(3)}\n`);
      process.kill(child.pid!, name);
      await received;
    }
    const { status, signal, stdout } = await result;
    assert.deepEqual({ status, signal }, { status: 9, signal: null });
    assert.equal(stdout, "ready\ngot INT\ngot TERM\ngot HUP\ngot QUIT\ngot USR1\ngot USR2\n");
    assert.deepEqual(here.names(), []);
  },
);

test(
  "mayfly run continues if the command ignores a signal, and exits with 143 if SIGTERM ends it",
  { onOneNode: true, skip: noSignals },
  async () => {
    using here = place();
    const ignoringHup = `trap "" HUP; echo ready; while :; do sleep 0.02; done`;
    using program = startProgram(cliCommand("run", "sh", "-c", ignoringHup), here.options);
    const { child, result } = program;
    await printed(child, "ready");
    process.kill(child.pid!, "SIGHUP");
    await new Promise((resolve) => setTimeout(resolve, 150));
    assert.equal(here.names().length, 1);
    process.kill(child.pid!, "SIGTERM");
    const { status, signal } = await result;
    assert.deepEqual({ status, signal }, { status: 143, signal: null });
    assert.deepEqual(here.names(), []);
  },
);

test("mayfly run on a terminal delivers Ctrl-C to the command once, and removes the directory", {
  onOneNode: true,
  skip: noPrograms,
}, async () => {
  using here = place();
  const counting = `trap 'n=$((n+1))' INT; n=0; echo ready
    i=0; while [ $n = 0 ] && [ $i -lt 3000 ]; do sleep 0.02; i=$((i+1)); done
    sleep 0.3; echo "got $n"; exit 4`;
  const { status, stdout } = await mayflyOnTerminal(["run", "sh", "-c", counting], "\x03", here.options);
  assert.match(stdout, /got 1\r\n/);
  assert.equal(status, 4);
  assert.deepEqual(here.names(), []);
});

test(
  "C254 mayfly run killed by SIGKILL leaves its directory, which the next sweep removes",
  async () => {
    using here = place();
    using programs = scratch();
    const command = programIn(
      programs.path,
      `fs.writeFileSync(path.join(process.env.TMPDIR, "x"), "x\\n");
    console.log("pid " + process.pid + " ready"); setTimeout(() => {}, 60_000);`,
    );
    using program = startProgram(cliCommand("run", ...command), here.options);
    const { child, result } = program;
    const pid = Number(/pid (\d+)/.exec(await printed(child, "ready"))![1]);
    child.kill("SIGKILL");
    endProcess(pid);
    assert.equal((await result).signal, "SIGKILL");
    assert.equal(here.names().length, 1);
    assert.match(succeeded(await here.mayfly("sweep")), /^Removed 1 entry, 2 B\n$/);
    assert.deepEqual(here.names(), []);
  },
);

/** Kills a process, which on Windows may have ended with its parent. */
function endProcess(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, "ESRCH");
  }
}

test(
  "mayfly run removes the directory even if a process that the command left running still writes to it",
  { onOneNode: true },
  async () => {
    using here = place();
    using programs = scratch();
    const writer = programIn(
      programs.path,
      `for (let i = 1; i < 3000; i++) fs.writeFileSync(path.join(process.env.TMPDIR, "f" + i), "x\\n");`,
    );
    const command = programIn(
      programs.path,
      `import { spawn } from "node:child_process";
    const [file, ...args] = ${JSON.stringify(writer)};
    spawn(file, args, { detached: true, stdio: "ignore" }).unref();
    while (!fs.existsSync(path.join(process.env.TMPDIR, "f20"))) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }`,
    );
    const { status, stderr } = await here.mayfly("run", ...command);
    assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
    assert.deepEqual(here.names(), []);
  },
);

test(
  "mayfly run leaves and reports a directory that replaced its own, and exits with 125 or the command's error status",
  { onOneNode: true },
  async () => {
    using here = place();
    using programs = scratch();
    const command = programIn(
      programs.path,
      `const { TMPDIR } = process.env, [aside, status] = process.argv.slice(2);
    fs.renameSync(TMPDIR, aside);
    fs.mkdirSync(TMPDIR);
    fs.writeFileSync(path.join(TMPDIR, "theirs"), "x");
    process.exit(Number(status));`,
    );
    await Promise.all([["0", 125], ["7", 7]].map(async ([ends, expected]) => {
      const aside = join(here.path, `moved${ends}`);
      const { status, stderr } = await here.mayfly("run", ...command, aside, String(ends));
      assert.equal(status, expected, stderr);
      assert.match(stderr, /^mayfly run: Cannot remove "[^"]*[\\/]run-\w+": .*\(ERR_REPLACED\)\n$/);
    }));
    for (const name of ["moved0", "moved7"]) assert.deepEqual(readdirSync(join(here.path, name)), []);
  },
);

test(
  "mayfly run --keep-on-failure keeps the directory only if the command ran and failed",
  { onOneNode: true },
  async () => {
    using here = place();
    using programs = scratch();
    const command = programIn(
      programs.path,
      `fs.writeFileSync(path.join(process.env.TMPDIR, "x"), "x\\n"); process.exit(Number(process.argv[2]));`,
    );
    assert.equal(succeeded(await here.mayfly("run", "--keep-on-failure", "--", ...command, "0")), "");
    assert.equal((await here.mayfly("run", "--keep-on-failure", "no-such-program")).status, 127);
    assert.deepEqual(here.names(), []);
    const { status, stderr } = await here.mayfly("run", "--keep-on-failure", "--", ...command, "6");
    assert.equal(status, 6);
    const path = /"(.+)" is kept\n$/.exec(stderr)![1];
    assert.equal(readFileSync(join(path, "x"), "utf8"), "x\n");
    succeeded(await here.mayfly("sweep"));
    assert.ok(existsSync(path), "a sweep does not remove it");
  },
);

/** The owner of live processes' entries: only on Linux can a live process be told from another with the same PID. */
const LIVE = noLinux ? "unknown" : "live";
const WHY_KEPT = noLinux ? "it is unknown whether its process is running" : "its process is running";

const DEAD = 100;
const EACH = 100;

test(
  "C265 C268 mayfly sweep removes all leftovers of 100 dead processes, and nothing of live processes or other programs",
  { onOneNode: true, skip: underWine("each look-up compares a name with all ten thousand of the directory") },
  async () => {
    using here = place(memory);
    const living = [0, 1].map(() =>
      startChild(
        `m.configure({ reclaim: false });
       globalThis.made = Array.from({ length: 50 }, (_, i) => i % 5 ? m.namedTemporaryFileSync() : m.temporaryDirectorySync());
       say(made.map(({ path }) => path)); setInterval(() => {}, 1000);`,
        // As long as the test may take: these processes must outlive it.
        { ...here.options, timeout: 120_000 },
      )
    );
    const alive: string[] =
      (await Promise.all(living.map(async ({ child }) => JSON.parse((await printed(child, "\n")).slice(1)))))
        .flat();
    assert.equal(alive.length, 100);
    const plantDead = (): void => {
      const name = plantLease(here.path);
      for (let j = 0; j < EACH; j++) {
        const path = join(here.path, name());
        if (j % 10 === 0) mkdirSync(path);
        writeFileSync(j % 10 === 0 ? join(path, "file") : path, "1234567890");
      }
    };
    const strangers = ["tmp", "tmpabcdefghijkmnpqrstuvw", "notes.txt"];
    for (const name of strangers) writeFileSync(join(here.path, name), "");

    plantDead();
    const before = here.names();
    const dry = JSON.parse(succeeded(await here.mayfly("sweep", "--dry-run", "--json")));
    assert.deepEqual([dry.dryRun, dry.removed.length, dry.bytes], [true, EACH, EACH * 10]);
    assert.deepEqual(here.names(), before);

    for (let i = 1; i < DEAD; i++) plantDead();
    assert.equal(here.names().length, 100 + DEAD * EACH + strangers.length);
    const text = succeeded(await here.mayfly("sweep"));
    assert.equal(text, `Removed 10000 entries, 97.7 KiB\nKept 100 (${WHY_KEPT})\n`);
    assert.deepEqual(
      here.names(),
      [...alive.map((path) => path.slice(here.path.length + 1)), ...strangers].sort(),
    );
    for (const { child } of living) process.kill(child.pid!, "SIGTERM");
    await Promise.all(living.map(({ result }) => result));
  },
);

test(
  "mayfly sweep --older-than --prefix removes old entries with the prefix, and reports why it keeps others",
  { onOneNode: true, skip: noLinks },
  async () => {
    using here = place();
    const dir = join(here.path, "shared");
    mkdirSync(dir);
    const old = new Date(Date.now() - 3 * 86_400_000);
    for (const name of ["build-old", "build-new", "other-old"]) writeFileSync(join(dir, name), "123");
    mkdirSync(join(dir, "build-tree"));
    writeFileSync(join(dir, "build-tree", "file"), "1234");
    symlinkSync(join(dir, "other-old"), join(dir, "build-link"));
    for (const name of ["build-tree/file", "build-tree", "build-old", "other-old"]) {
      utimesSync(join(dir, name), old, old);
    }
    const options = ["sweep", "--older-than", "2d", "--prefix", "build-", "--dir", dir];
    const dry = succeeded(await here.mayfly(...options, "--dry-run"));
    assert.match(dry, /^ +4 B {2}.*build-tree\n|^ +3 B {2}.*build-old\n/);
    assert.match(dry, /^Would remove 2 entries, 7 B\n/m);
    assert.equal(readdirSync(dir).length, 5);
    const text = succeeded(await here.mayfly(...options));
    assert.match(text, /^Removed 2 entries, 7 B\n/);
    assert.match(text, /^Kept 1 \(it is a symbolic link\)$/m);
    assert.match(text, /^Kept 1 \(it changed recently\)$/m);
    assert.deepEqual(readdirSync(dir).sort(), ["build-link", "build-new", "other-old"]);
  },
);

/** A name with a terminal escape sequence, where the platform allows it. */
const HARMFUL = isWindows ? "red" : "red\u001b[31m\nname";

/** Fills a directory with entries of each kind of owner. Returns how to end the live process among them. */
async function inhabited(here: Place): Promise<{ pid: number; end: () => Promise<unknown> }> {
  const { child, result } = startChild(
    `m.configure({ reclaim: false });
     globalThis.made = [m.temporaryDirectorySync({ suffix: "-" + "long".repeat(40) }), m.namedTemporaryFileSync()];
     fs.writeFileSync(made[0].join("file"), new Uint8Array(3000)); made[1].writeSync(new Uint8Array(1000));
     say("ready"); setInterval(() => {}, 1000);`,
    here.options,
  );
  await printed(child, "ready");
  writeFileSync(join(here.path, plantLease(here.path)()), "x".repeat(4000));
  mkdirSync(join(here.path, "stranger", "deep"), { recursive: true });
  writeFileSync(join(here.path, "stranger", "deep", "file"), "x".repeat(2000));
  writeFileSync(join(here.path, HARMFUL), "x");
  return {
    pid: child.pid!,
    end: () => (process.kill(child.pid!, "SIGTERM"), result),
  };
}

test(
  "mayfly usage shows live, orphaned and other entries with bars, largest first, and removes nothing",
  { onOneNode: true },
  async () => {
    using here = place();
    const { pid, end } = await inhabited(here);
    const before = here.list();
    // One after the other: each probes the directory with a file at its start, which the other would count.
    const plain = await here.mayfly("usage"), json = await here.mayfly("usage", "--json");
    const text = succeeded(plain), report = JSON.parse(succeeded(json));
    assert.deepEqual(here.list(), before);
    await end();

    assert.match(text, new RegExp(`^${LIVE} +2 +3\\.9 KiB +█+░+ +40%$`, "m"));
    assert.match(text, /^orphaned +1 +3\.9 KiB +█+░+ +40%$/m);
    assert.match(text, /^other +2 +2\.0 KiB +█+░+ +20%$/m);
    assert.match(text, /LARGEST\n +3\.9 KiB {2}orphaned \(\d+\) +tmp\w+\n/);
    assert.match(text, new RegExp(`^ +2\\.9 KiB {2}${LIVE} \\(\\d+\\)`, "m"));
    assert.ok(text.includes(`  ${isWindows ? "red" : "red?[31m?name"}\n`), text);
    assert.match(text, /\n"mayfly sweep" removes 1 orphaned entry\.\n$/);

    const { directory, owners, entries, space } = report;
    assert.equal(directory, here.path);
    assert.ok(space.available > 0 && space.total >= space.available);
    assert.deepEqual(owners, {
      live: { entries: 0, bytes: 0 },
      unknown: { entries: 0, bytes: 0 },
      [LIVE]: { entries: 2, bytes: 4000 },
      orphaned: { entries: 1, bytes: 4000 },
      other: { entries: 2, bytes: 2001 },
    });
    assert.deepEqual(entries.map(({ bytes }: { bytes: number }) => bytes), [4000, 3000, 2000, 1000, 1]);
    assert.equal(entries[1].pid, pid);
    assert.equal(entries[2].path, join(here.path, "stranger"));
  },
);

test(
  "mayfly usage fits its lines into the terminal's width",
  { onOneNode: true, skip: noPrograms },
  async () => {
    using here = place();
    const { end } = await inhabited(here);
    const { stdout } = await mayflyOnTerminal(["usage"], "", here.options);
    await end();
    // Deno itself writes escape sequences if standard error is a terminal.
    // deno-lint-ignore no-control-regex -- terminal escape sequences
    const lines = stdout.replace(/\u001b\[\d*[A-Z]/g, "").split(/\r\n?/);
    assert.ok(lines.every((line) => line.length <= 80), stdout);
    assert.match(stdout, /…\w+-?(long)+\r\n/);
  },
);

test(
  "mayfly usage includes entries in other directories that leases record",
  { onOneNode: true },
  async () => {
    using here = place();
    using elsewhere = scratch();
    const { child, result } = startChild(
      `globalThis.made = m.namedTemporaryFileSync({ dir: args[0] }); made.writeSync("12345"); say(made.path); setInterval(() => {}, 1000);`,
      { ...here.options, args: [elsewhere.path] },
    );
    await printed(child, "\n");
    const { owners, entries } = JSON.parse(succeeded(await here.mayfly("usage", "--json")));
    process.kill(child.pid!, "SIGTERM");
    await result;
    assert.deepEqual(owners[LIVE], { entries: 1, bytes: 5 });
    assert.ok(entries[0].path.startsWith(elsewhere.path));
  },
);

test(
  "mayfly doctor prints all checks as text and as JSON, and leaves nothing",
  async () => {
    using here = place();
    const [text, json] = (await Promise.all([here.mayfly("doctor"), here.mayfly("doctor", "--json")])).map(
      succeeded,
    );
    const { checks } = JSON.parse(json);
    const names: string[] = checks.map(({ name }: { name: string }) => name);
    for (
      const name of [
        "Runtime",
        "Temporary directory",
        "File system",
        "Free space",
        "Unnamed files",
        "Locks",
        "Leases",
      ]
    ) {
      assert.ok(names.includes(name), name);
      assert.match(text, new RegExp(`^(ok|note|no) +${name}  `, "m"));
    }
    for (const { state, says } of checks) {
      assert.ok(["ok", "note", "no"].includes(state));
      assert.ok(says.length > 0);
    }
    const [runtime, place_] = checks;
    assert.match(runtime.says, /^(node|deno|bun) \d+\.\d+\.\d+ on \w+ /);
    assert.ok(runtime.says.includes(` on ${process.platform} `), runtime.says);
    assert.deepEqual(place_, { name: "Temporary directory", state: "ok", says: `${here.path}, from TMPDIR` });
    assert.ok(text.split("\n").every((line) => line.length <= 80), text);
    assert.deepEqual(here.list(), []);
  },
);

test("the package exports the command line as its bin and as ./cli", { inAll: true }, () => {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  assert.equal(manifest.bin.mayfly, "dist/cli.js");
  assert.equal(manifest.exports["./cli"].default, "./dist/cli.js");
  assert.equal(JSON.parse(readFileSync(join(root, "deno.json"), "utf8")).exports["./cli"], "./dist/cli.js");
  assert.match(readFileSync(join(root, "dist/cli.js"), "utf8"), /^#!\/usr\/bin\/env node\n/);
  assert.equal(statSync(join(root, "dist/cli.js")).mode & 0o111, isWindows ? 0 : 0o111);
});

test("the library's bundles contain no code of the command line", { inAll: true }, () => {
  const mark = /parseArgs|Usage: mayfly/, library = packageFilesOf("mod.js");
  assert.match(packageFilesOf("cli.js").get("cli.js")!, mark);
  for (const name of [...library.keys(), ...packageFilesLater(library)]) {
    for (const [file, text] of packageFilesOf(name)) assert.doesNotMatch(text, mark, file);
  }
});
