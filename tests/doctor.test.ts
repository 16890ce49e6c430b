/**
 * What `mayfly doctor` says of this machine, and of others that a substitute stands for.
 *
 * @module
 */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync } from "node:fs";
import { test } from "node:test";
import { cleanersOf } from "../lib/cli/cleaners.ts";
import { syncIo } from "../lib/io.ts";
import { runSync } from "../lib/op.ts";
import type { Host } from "../lib/runtime/cli_host.ts";
import type { FileSystemStatus, Locks, Runtime, Signals } from "../lib/runtime/mod.ts";
import { configure } from "../lib/settings.ts";
import { leasesIn, plantLease } from "./support/leases.ts";
import { type Place, place, runInProcess } from "./support/in_process.ts";
import { isWindows, noLinux, noModes, noUsers } from "./support/platform.ts";
import { scratch } from "./support/scratch.ts";
import { changed, type Changes, substitute, systemError } from "./support/substitute.ts";

/** What is said of one thing. */
interface Finding {
  state: string;
  says: string;
  hint?: string;
}

/** What the doctor says of a thing, on a machine that differs from this one. */
async function of(name: string, here: Place, changes: Changes = {}): Promise<Finding> {
  using _ = substitute(changes);
  const { checks } = JSON.parse((await here.said("doctor", "--json")).stdout);
  const { name: _name, ...finding } = checks.find((check: { name: string }) => check.name === name);
  return finding;
}

test("mayfly doctor fits the terminal, narrow or not", async () => {
  for (const columns of [44, 60, 200]) {
    const { stdout } = await runInProcess(["doctor"], { columns });
    for (const line of stdout.trimEnd().split("\n")) {
      // A word that is longer than the room cannot be broken.
      const isWord = !line.slice("note  Temporary directory  ".length).includes(" ");
      assert.ok(line.length <= Math.min(columns, 80) || isWord, `${columns} columns: ${line}`);
    }
  }
});

test("mayfly doctor counts the leases of the living and of the dead, and names what helps", async () => {
  using here = place();
  assert.deepEqual(await of("Leases", here), { state: "ok", says: "None yet" });
  plantLease(here.path);
  assert.deepEqual(await of("Leases", here), {
    state: "note",
    says: "0 of running processes, 1 of dead ones",
    hint: "mayfly sweep",
  });
});

test("mayfly doctor says that leases which others may enter are not used", { skip: noModes }, async () => {
  using here = place();
  mkdirSync(leasesIn(here.path));
  chmodSync(leasesIn(here.path), 0o755);
  const { state, says } = await of("Leases", here);
  assert.equal(state, "no");
  assert.match(says, /other users can access it/);
});

test("mayfly doctor says that nobody can tell of leases from elsewhere", async () => {
  using here = place();
  plantLease(here.path, undefined, "elsewhere");
  assert.deepEqual(await of("Leases", here), {
    state: "note",
    says: "0 of running processes, 0 of dead ones, 1 of unknown ones",
  });
});

test("mayfly doctor says that no lease can be left without a user", { skip: noUsers }, async () => {
  using here = place();
  const { state, says } = await of("Leases", here, { runtime: { uid: () => undefined } });
  assert.deepEqual([state, /^Cannot be written/.test(says)], ["no", true]);
});

/** Makes file systems answer something else. */
const fileSystem = (changes: Partial<FileSystemStatus>): Changes => ({
  primitives: {
    fileSystem: (real, ...args) =>
      changed(real(...args as never[]), (found: FileSystemStatus) => ({ ...found, ...changes })),
  },
});

test("mayfly doctor names the file system, and says of what is in memory or on the network what helps", async () => {
  using here = place();
  const cases: [type: number, expected: Finding][] = [
    [0xef53, { state: "ok", says: "ext4" }],
    // As some systems give it: with a sign.
    [0x9123683e | 0, { state: "ok", says: "btrfs" }],
    [0x01021994, { state: "note", says: "tmpfs: files take up memory", hint: "findTmpdir({ disk: true })" }],
    [0x6969, { state: "note", says: "nfs: a network file system", hint: "Set TMPDIR to a local directory" }],
    [0xabc, { state: "ok", says: "Unknown type (0xabc)" }],
  ];
  for (const [type, expected] of cases) {
    assert.deepEqual(await of("File system", here, fileSystem({ type })), expected);
  }
});

test("mayfly doctor: little room, or few inodes, is worth a note; no word of inodes where there is no limit", async () => {
  using here = place();
  const disk = { blockSize: 1024, blocks: 1000, availableBlocks: 500, inodes: 100, freeInodes: 90 };
  const cases: [changes: Partial<FileSystemStatus>, expected: Finding][] = [
    [{}, { state: "ok", says: "500 KiB of 1000 KiB available, and 90 of 100 inodes free" }],
    [{ inodes: 0, freeInodes: 0 }, { state: "ok", says: "500 KiB of 1000 KiB available" }],
    [{ inodes: 0, freeInodes: 0, availableBlocks: 49 }, {
      state: "note",
      says: "49.0 KiB of 1000 KiB available",
      hint: "mayfly usage",
    }],
    [{ freeInodes: 4 }, {
      state: "note",
      says: "500 KiB of 1000 KiB available, and 4 of 100 inodes free",
      hint: "mayfly usage",
    }],
  ];
  for (const [changes, expected] of cases) {
    assert.deepEqual(await of("Free space", here, fileSystem({ ...disk, ...changes })), expected);
  }
});

test(
  "mayfly doctor: programs cannot be run from a directory that is mounted noexec; without /proc nobody knows",
  {
    skip: noLinux,
  },
  async () => {
    using here = place();
    for (const code of ["ENOENT", "EACCES", "EPERM"]) {
      const untold: Changes = {
        primitives: {
          readSystemFile() {
            throw systemError(code);
          },
        },
      };
      assert.deepEqual(await of("Executables", here, untold), {
        state: "ok",
        says: "Can be run, as far as can be determined",
      });
    }
    const mounted = (options: string): Changes => ({
      primitives: { readSystemFile: () => `25 1 8:1 / / ${options} shared:1 - ext4 /dev/sda1 rw\n` },
      runtime: { platform: "linux" },
    });
    assert.deepEqual(await of("Executables", here, mounted("rw,noexec")), {
      state: "note",
      says: "Cannot be run: mounted with noexec",
      hint: "findTmpdir({ exec: true })",
    });
    assert.deepEqual(await of("Executables", here, mounted("rw")), { state: "ok", says: "Can be run" });
  },
);

test("mayfly doctor: a file system that has no files without names is named with its reason", async () => {
  using here = place();
  const refuses: Changes = {
    primitives: {
      createUnnamed() {
        throw systemError("EOPNOTSUPP");
      },
    },
    runtime: { platform: "linux" },
  };
  const { state, says } = await of("Unnamed files", here, refuses);
  assert.equal(state, "note");
  assert.match(says, /^Have a name only for a moment.*\(EOPNOTSUPP\)$/);
});

test("mayfly doctor: locks that the runtime has no program for, fails to take, or that the platform lacks", async () => {
  using here = place();
  const failing = (code: string): Changes => {
    const locks: Locks = { tryAcquire: () => Promise.reject(systemError(code)), acquire: undefined };
    return { runtime: { locks } };
  };
  assert.deepEqual(await of("Locks", here, failing("ERR_UNSUPPORTED")), {
    state: "no",
    says: "The program flock(1) is missing",
    hint: "Install util-linux",
  });
  assert.deepEqual(await of("Locks", here, failing("ENOLCK")), { state: "no", says: "ENOLCK: injected" });
  assert.deepEqual(await of("Locks", here, { runtime: { locks: undefined } }), {
    state: "no",
    says: "None on this platform that other programs respect",
  });
  assert.deepEqual(here.names(), []);
});

/** A machine without descriptors that have paths, on some platform. */
const machine = (runtime: Partial<Runtime>): Changes => ({
  runtime: { anchor: () => undefined, removeTree: undefined, ...runtime },
});

test("mayfly doctor says what other platforms have in place of Linux's descriptors and files without names", async () => {
  using here = place();
  const removal = async (removeTree: Runtime["removeTree"]): Promise<Finding> =>
    await of("Removing trees", here, machine({ removeTree }));
  assert.deepEqual(await removal({ sync() {}, pooled: () => Promise.resolve() }), {
    state: "ok",
    says: "By the runtime, safe from renames by others",
  });
  assert.equal((await removal(undefined)).state, "note");
  const named = async (platform: Runtime["platform"]): Promise<string> =>
    (await of("Unnamed files", here, machine({ platform }))).says;
  assert.equal(await named("darwin"), "Have a name only for a moment");
  assert.equal(await named("windows"), "Have a name until they are closed");
  assert.deepEqual(await of("Executables", here, machine({ platform: "darwin" })), {
    state: "ok",
    says: "Can be run, as far as can be determined",
  });
});

test("mayfly doctor: signals that end nothing, or are handled only where that is asked for", async () => {
  using here = place();
  const signals = { names: () => ["SIGTERM"], countable: false } as unknown as Signals;
  const { state, says, hint } = await of("Signals", here, { runtime: { signals } });
  assert.deepEqual([state, hint], ["note", "configure({ signals: true })"]);
  assert.match(says, /^SIGTERM remove nothing unless the program asks for it/);
  const first = { ...signals, names: () => [], countable: true };
  assert.deepEqual(await of("Signals", here, { runtime: { signals: first } }), {
    state: "note",
    says: "Do not end the first process of a container, which has to listen to them itself",
  });
});

test("mayfly doctor says which variable led to the directory, and why those before it did not", async () => {
  using here = scratch();
  // Those of the system are found by variables on Windows.
  const system = isWindows ? { SystemRoot: process.env.SystemRoot! } : {};
  const variables = (set: { [name: string]: string }): Changes => ({
    runtime: {
      env: (name) => ({ ...system, ...set } as typeof set)[name],
      temporaryDirectory: () => undefined,
    },
  });
  const says = async (changes: Changes): Promise<Finding> => {
    // Other checks ask for the directory in use, which is looked for anew.
    configure({ tmpdir: undefined });
    using _ = substitute(changes);
    const { stdout } = await runInProcess(["doctor", "--json"]);
    return JSON.parse(stdout).checks[1];
  };
  try {
    assert.deepEqual(await says(variables({ TMPDIR: "/nonexistent", TMP: here.path })), {
      name: "Temporary directory",
      state: "note",
      says: `${here.path}, from TMP; not "/nonexistent" (ENOENT)`,
    });
    assert.match((await says(variables({}))).says, /^(\/|C:\\)\w+.*, the system default: .* are not set$/);
    const { says: own } = await says(variables({ TMPDIR: "/nonexistent" }));
    assert.match(own, /^(\/|C:\\)\w+.*, the system default; not "\/nonexistent" \(ENOENT\)$/);
    assert.doesNotMatch(own, /not set/);
  } finally {
    configure({ tmpdir: undefined });
  }
});

test("mayfly doctor: a directory that anybody may rename things in is used for want of a better one", {
  skip: noModes,
}, async () => {
  using here = place();
  chmodSync(here.path, 0o777);
  const { status, stdout } = await here.said("doctor", "--json");
  const [, { state, says, hint }] = JSON.parse(stdout).checks;
  assert.deepEqual([status, state, hint], [0, "note", "chmod +t"]);
  assert.match(says, /as there is no safer one.*world-writable without the sticky bit/);
});

test("mayfly doctor: where nothing is permitted, the permissions are what helps, with 1", async () => {
  using _here = place();
  using _ = substitute({ runtime: { mayWrite: () => false } });
  const { status, stdout } = await runInProcess(["doctor", "--json"], {
    permissions: (path) => [{ granted: false, flag: `--allow-write=${path}`, purpose: "create files" }],
  });
  const { checks } = JSON.parse(stdout);
  const [, found, missing, ...rest] = checks;
  assert.deepEqual([status, found.state, found.hint], [1, "no", "Grant the permissions below"]);
  assert.match(missing.hint, /^--allow-write=(\/|[A-Z]:\\)/);
  assert.deepEqual(rest, []);
});

test("mayfly doctor without permissions says what cannot be told, and which flag would help", async () => {
  using here = place();
  const denied = (): never => {
    throw systemError("ERR_ACCESS_DENIED");
  };
  using _ = substitute({
    primitives: { fileSystem: denied, readSystemFile: denied },
    runtime: { mayRead: (path) => path === here.path },
  });
  const permissions: Host["permissions"] = (path) => [
    { granted: false, flag: `--allow-it=${path}`, purpose: "do it" },
    { granted: true, flag: "--allow-other", purpose: "do the other thing" },
  ];
  const { status, stdout } = await runInProcess(["doctor"], { permissions });
  assert.equal(status, 0);
  // What is mounted how, the doctor asks on Linux.
  for (const name of ["File system", "Free space", ...noLinux ? [] : ["Executables"], "Old files"]) {
    assert.match(stdout, new RegExp(`^note +${name} +Unknown: a permission is missing$`, "m"));
  }
  // A long path stands in a line of its own.
  assert.match(stdout, /^note +Permission +Missing: needed to do it\n +→\s+--allow-it=/m);
  assert.ok(stdout.endsWith(`--allow-it=${here.path}\n`), stdout);
  assert.doesNotMatch(stdout, /--allow-other/);
});

test("mayfly doctor: what Node does not permit to be looked at is not taken for missing", async () => {
  using here = place();
  const denied: Changes = {
    primitives: {
      statusOfTarget() {
        throw systemError("ERR_ACCESS_DENIED");
      },
    },
  };
  assert.deepEqual(await of("Old files", here, denied), {
    state: "note",
    says: "Unknown: a permission is missing",
  });
  const unseen: Changes = {
    primitives: {
      status(real, ...[path]: [string]) {
        if (path.includes(".mayfly-")) throw systemError("EACCES");
        return real(...[path] as never[]);
      },
    },
  };
  assert.deepEqual(await of("Leases", here, unseen), { state: "no", says: "EACCES: injected" });
});

/** A machine that has some files, one of which may be unreadable, as far as what is told of daemons is concerned. */
function machineWith(files: { [path: string]: string | Error }): Changes {
  const inside = (path: string): string[] =>
    Object.keys(files).filter((file) => file.startsWith(`${path}/`)).map((file) =>
      file.slice(path.length + 1)
    );
  return {
    primitives: {
      statusOfTarget: (_real, path: string) => {
        if (files[path] === undefined && inside(path).length === 0) throw systemError("ENOENT");
      },
      readSystemFile: (_real, path: string) => {
        if (files[path] instanceof Error) throw files[path];
        return files[path];
      },
      list: (_real, path: string) => {
        const names = inside(path).map((name) => ({ name, directory: false }));
        if (names.length === 0) throw systemError("ENOENT");
        return { next: () => names.splice(0), close() {} };
      },
    },
    runtime: { platform: "linux" },
  };
}

/** The daemons found on such a machine. */
function cleaners(files: { [path: string]: string | Error }, directory: string): object[] {
  using _ = substitute(machineWith(files));
  return runSync(cleanersOf(syncIo(), directory));
}

test("daemons that remove old files are found by their configuration, the nearest line counts", () => {
  const systemd = { "/run/systemd/system/x": "" };
  const tmp = "# comment\nq /tmp 1777 root root 10d\nq /var/tmp 1777 root root 30d\nx /tmp/snap-*\n";
  const usual = { ...systemd, "/usr/lib/tmpfiles.d/tmp.conf": tmp };
  assert.deepEqual(cleaners(usual, "/tmp"), [{ who: "systemd-tmpfiles", age: "10d" }]);
  assert.deepEqual(cleaners(usual, "/var/tmp/mine"), [{ who: "systemd-tmpfiles", age: "30d" }]);
  assert.deepEqual(cleaners(usual, "/home/me/tmp"), []);
  assert.deepEqual(cleaners(usual, "/tmpfs"), []);
  assert.deepEqual(cleaners({ "/usr/lib/tmpfiles.d/tmp.conf": tmp }, "/tmp"), [], "systemd does not run");
  const hidden = { ...usual, "/etc/tmpfiles.d/tmp.conf": "D! /tmp 1777 root root -\n" };
  assert.deepEqual(cleaners(hidden, "/tmp"), []);
  const nearer = { ...usual, "/etc/tmpfiles.d/mine.conf": "d /tmp/mine 0700 me me mM:2h" };
  assert.deepEqual(cleaners(nearer, "/tmp/mine"), [{ who: "systemd-tmpfiles", age: "2h" }]);
  const unreadable = { ...usual, "/etc/tmpfiles.d/secret.conf": systemError("EACCES") };
  assert.deepEqual(cleaners(unreadable, "/tmp"), [{ who: "systemd-tmpfiles", age: "10d" }]);
  for (const program of ["/etc/cron.daily/tmpreaper", "/usr/libexec/tmp_cleaner"]) {
    assert.deepEqual(cleaners({ [program]: "" }, "/tmp"), [{
      who: program.split("/").at(-1),
      age: undefined,
    }]);
  }
});

test("mayfly doctor says which daemons remove old files, after how long, and what protects from them", {
  skip: noLinux,
}, async () => {
  using here = place();
  const machine = machineWith({
    "/run/systemd/system/x": "",
    "/etc/tmpfiles.d/mine.conf": `d ${here.path} 0700 me me 10d`,
    "/etc/cron.daily/tmpwatch": "",
  });
  assert.deepEqual(await of("Old files", here, machine), {
    state: "note",
    says: "Are removed by systemd-tmpfiles (after 10d), tmpwatch",
    hint: "configure({ keepAlive: true }) protects what is in use",
  });
});
