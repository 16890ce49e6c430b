/**
 * The report of `mayfly doctor`, on this machine and on others that a substitute runtime simulates.
 *
 * @module
 */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync } from "node:fs";
import { test } from "node:test";
import { cleanersOf } from "../../lib/cli/cleaners.ts";
import { syncIo } from "../../lib/operation/io.ts";
import { runSync } from "../../lib/operation/op.ts";
import type { Host } from "../../lib/runtime/cli_host.ts";
import { namedTemporaryFileSync } from "../../lib/file/named.ts";
import type { FileSystemStatus, Locks, Runtime, Signals } from "../../lib/runtime/mod.ts";
import { configure } from "../../lib/settings.ts";
import { type Place, place, runInProcess } from "../support/in_process.ts";
import { leasesIn, plantLease } from "../support/leases.ts";
import { isWindows, noLinux, noModes, noUsers } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";
import { changed, type Changes, substitute, systemError } from "../support/substitute.ts";

/** The result of one check. */
interface Finding {
  state: string;
  says: string;
  hint?: string;
}

/** Returns the result of a check by its name, on a machine with these differences from this one. */
async function findingOf(name: string, here: Place, changes: Changes = {}): Promise<Finding> {
  using _ = substitute(changes);
  const { checks } = JSON.parse((await here.said("doctor", "--json")).stdout);
  const { name: _name, ...finding } = checks.find((check: { name: string }) => check.name === name);
  return finding;
}

test("mayfly doctor fits its lines into the terminal, at most 80 columns", async () => {
  for (const columns of [20, 36, 44, 60, 200]) {
    const { stdout } = await runInProcess(["doctor"], { columns });
    for (const line of stdout.trimEnd().split("\n")) {
      // A word that is longer than the column is not broken.
      const isWord = !line.slice("note  Temporary directory  ".length).includes(" ");
      assert.ok(line.length <= Math.min(columns, 80) || isWord, `${columns} columns: ${line}`);
    }
  }
});

test("mayfly doctor counts the leases of running and of dead processes, and suggests mayfly sweep for the latter", async () => {
  using here = place();
  assert.deepEqual(await findingOf("Leases", here), { state: "ok", says: "None yet" });
  plantLease(here.path);
  assert.deepEqual(await findingOf("Leases", here), {
    state: "note",
    says: "0 of running processes, 1 of dead ones",
    hint: "mayfly sweep",
  });
});

test(
  "mayfly doctor counts the lease of this process as that of a running one (Linux)",
  { skip: noLinux },
  async () => {
    using here = place();
    using _file = namedTemporaryFileSync();
    assert.deepEqual(await findingOf("Leases", here), {
      state: "ok",
      says: "1 of running processes, 0 of dead ones",
    });
  },
);

test(
  "mayfly doctor reports a directory of leases that other users can access",
  { skip: noModes },
  async () => {
    using here = place();
    mkdirSync(leasesIn(here.path));
    chmodSync(leasesIn(here.path), 0o755);
    const { state, says } = await findingOf("Leases", here);
    assert.equal(state, "no");
    assert.match(says, /other users can access it/);
  },
);

test("mayfly doctor counts leases of other hosts as those of unknown processes", async () => {
  using here = place();
  plantLease(here.path, undefined, "elsewhere");
  assert.deepEqual(await findingOf("Leases", here), {
    state: "note",
    says: "0 of running processes, 0 of dead ones, 1 of unknown ones",
  });
});

test(
  "mayfly doctor reports that leases cannot be written if the user ID is unknown",
  { skip: noUsers },
  async () => {
    using here = place();
    const { state, says } = await findingOf("Leases", here, { runtime: { uid: () => undefined } });
    assert.deepEqual([state, /^Cannot be written/.test(says)], ["no", true]);
  },
);

/** Changes the reported status of every file system. */
const fileSystem = (changes: Partial<FileSystemStatus>): Changes => ({
  primitives: {
    fileSystem: (real, ...args) =>
      changed(real(...args as never[]), (found: FileSystemStatus) => ({ ...found, ...changes })),
  },
});

test("mayfly doctor names the type of the file system, with a hint for one in memory or on the network", async () => {
  using here = place();
  const cases: [type: number, expected: Finding][] = [
    [0xef53, { state: "ok", says: "ext4" }],
    // Some systems return it as a signed number.
    [0x9123683e | 0, { state: "ok", says: "btrfs" }],
    [0x01021994, { state: "note", says: "tmpfs: files take up memory", hint: "findTmpdir({ disk: true })" }],
    [0x6969, { state: "note", says: "nfs: a network file system", hint: "Set TMPDIR to a local directory" }],
    [0xabc, { state: "ok", says: "Unknown type (0xabc)" }],
  ];
  for (const [type, expected] of cases) {
    assert.deepEqual(await findingOf("File system", here, fileSystem({ type })), expected);
  }
});

test("mayfly doctor notes low space and few free inodes, and omits inodes where they are not limited", async () => {
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
    assert.deepEqual(await findingOf("Free space", here, fileSystem({ ...disk, ...changes })), expected);
  }
});

test(
  "mayfly doctor notes a noexec mount, and says where it cannot be determined for lack of /proc",
  {
    skip: noLinux,
  },
  async () => {
    using here = place();
    for (const code of ["ENOENT", "EACCES", "EPERM"]) {
      const unreadable: Changes = {
        primitives: {
          readSystemFile() {
            throw systemError(code);
          },
        },
      };
      assert.deepEqual(await findingOf("Executables", here, unreadable), {
        state: "ok",
        says: "Can be run, as far as can be determined",
      });
    }
    const mounted = (options: string): Changes => ({
      primitives: { readSystemFile: () => `25 1 8:1 / / ${options} shared:1 - ext4 /dev/sda1 rw\n` },
      runtime: { platform: "linux" },
    });
    assert.deepEqual(await findingOf("Executables", here, mounted("rw,noexec")), {
      state: "note",
      says: "Cannot be run: mounted with noexec",
      hint: "findTmpdir({ exec: true })",
    });
    assert.deepEqual(await findingOf("Executables", here, mounted("rw")), {
      state: "ok",
      says: "Can be run",
    });
  },
);

test("mayfly doctor notes a file system that does not support unnamed files, with the error code", async () => {
  using here = place();
  const refuses: Changes = {
    primitives: {
      createUnnamed() {
        throw systemError("EOPNOTSUPP");
      },
    },
    runtime: { platform: "linux" },
  };
  const { state, says } = await findingOf("Unnamed files", here, refuses);
  assert.equal(state, "note");
  assert.match(says, /^Have a name only for a moment.*\(EOPNOTSUPP\)$/);
});

test("mayfly doctor reports locks that lack flock(1), fail, or are not supported by the platform", async () => {
  using here = place();
  const failing = (code: string): Changes => {
    const locks: Locks = { tryAcquire: () => Promise.reject(systemError(code)), acquire: undefined };
    return { runtime: { locks: () => Promise.resolve(locks) } };
  };
  assert.deepEqual(await findingOf("Locks", here, failing("ERR_UNSUPPORTED")), {
    state: "no",
    says: "The program flock(1) is missing",
    hint: "Install util-linux",
  });
  assert.deepEqual(await findingOf("Locks", here, failing("ENOLCK")), {
    state: "no",
    says: "ENOLCK: injected",
  });
  assert.deepEqual(await findingOf("Locks", here, { runtime: { locks: undefined } }), {
    state: "no",
    says: "None on this platform that other programs respect",
  });
  assert.deepEqual(here.names(), []);
});

/** Simulates a machine without paths of descriptors. */
const machine = (runtime: Partial<Runtime>): Changes => ({
  runtime: { anchor: () => undefined, removeTree: undefined, ...runtime },
});

test("mayfly doctor describes tree removal, unnamed files and executables on platforms other than Linux", async () => {
  using here = place();
  const removal = async (removeTree: Runtime["removeTree"]): Promise<Finding> =>
    await findingOf("Removing trees", here, machine({ removeTree }));
  assert.deepEqual(await removal({ sync() {}, pooled: () => Promise.resolve() }), {
    state: "ok",
    says: "By the runtime, safe from renames by others",
  });
  assert.equal((await removal(undefined)).state, "note");
  const named = async (platform: Runtime["platform"]): Promise<string> =>
    (await findingOf("Unnamed files", here, machine({ platform }))).says;
  assert.equal(await named("darwin"), "Have a name only for a moment");
  assert.equal(await named("windows"), "Have a name until they are closed");
  assert.deepEqual(await findingOf("Executables", here, machine({ platform: "darwin" })), {
    state: "ok",
    says: "Can be run, as far as can be determined",
  });
});

test("mayfly doctor notes signals that are handled only on request, and those that do not end a container's PID 1", async () => {
  using here = place();
  const signals = { names: () => ["SIGTERM"], countable: false } as unknown as Signals;
  const { state, says, hint } = await findingOf("Signals", here, { runtime: { signals } });
  assert.deepEqual([state, hint], ["note", "configure({ signals: true })"]);
  assert.match(says, /^SIGTERM remove nothing unless the program asks for it/);
  const first = { ...signals, names: () => [], countable: true };
  assert.deepEqual(await findingOf("Signals", here, { runtime: { signals: first } }), {
    state: "note",
    says: "Do not end the first process of a container, which has to listen to them itself",
  });
});

test("mayfly doctor reports which variable gave the temporary directory, and why the ones before it did not", async () => {
  using here = scratch();
  // Windows names its system directories by variables.
  const system = isWindows ? { SystemRoot: process.env.SystemRoot! } : {};
  const variables = (set: { [name: string]: string }): Changes => ({
    runtime: {
      env: (name) => ({ ...system, ...set } as typeof set)[name],
      temporaryDirectory: () => undefined,
    },
  });
  const says = async (changes: Changes): Promise<Finding> => {
    // Makes the library look for the directory again.
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

test("mayfly doctor notes a world-writable directory without the sticky bit, used for lack of a safer one", {
  skip: noModes,
}, async () => {
  using here = place();
  chmodSync(here.path, 0o777);
  const { status, stdout } = await here.said("doctor", "--json");
  const [, { state, says, hint }] = JSON.parse(stdout).checks;
  assert.deepEqual([status, state, hint], [0, "note", "chmod +t"]);
  assert.match(says, /as there is no safer one.*world-writable without the sticky bit/);
});

test("mayfly doctor exits with 1 and lists the missing permissions if no directory is writable", async () => {
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

test("mayfly doctor without permissions reports what is unknown, and the flags that would grant them", async () => {
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
  // Only on Linux are the mount options read.
  for (const name of ["File system", "Free space", ...noLinux ? [] : ["Executables"], "Old files"]) {
    assert.match(stdout, new RegExp(`^note +${name} +Unknown: a permission is missing$`, "m"));
  }
  // A long flag has a line of its own.
  assert.match(stdout, /^note +Permission +Missing: needed to do it\n +→\s+--allow-it=/m);
  assert.ok(stdout.endsWith(`--allow-it=${here.path}\n`), stdout);
  assert.doesNotMatch(stdout, /--allow-other/);
});

test("mayfly doctor exits with 0 if there is a usable directory, whatever else does not work", async () => {
  using here = place();
  using _ = substitute({ runtime: { locks: undefined } });
  const { status, stdout } = await here.said("doctor");
  assert.match(stdout, /^no +Locks/m);
  assert.equal(status, 0);
});

test("mayfly doctor does not take paths for missing if access to them is denied", async () => {
  using here = place();
  const denied: Changes = {
    primitives: {
      statusOfTarget() {
        throw systemError("ERR_ACCESS_DENIED");
      },
    },
  };
  assert.deepEqual(await findingOf("Old files", here, denied), {
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
  assert.deepEqual(await findingOf("Leases", here, unseen), { state: "no", says: "EACCES: injected" });
});

/** Simulates a Linux machine with these files, for the search for daemons; an error as contents makes a file unreadable. */
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

/** Returns the daemons found on such a machine. */
function cleaners(files: { [path: string]: string | Error }, directory: string): object[] {
  using _ = substitute(machineWith(files));
  return runSync(cleanersOf(syncIo(), directory));
}

test("cleanersOf() finds daemons that remove old files by their configuration, where the line nearest to the path counts", () => {
  const systemd = { "/run/systemd/system/x": "" };
  const tmp = "# comment\nq /tmp 1777 root root 10d\nq /var/tmp 1777 root root 30d\nx /tmp/snap-*\n";
  const usual = { ...systemd, "/usr/lib/tmpfiles.d/tmp.conf": tmp };
  assert.deepEqual(cleaners(usual, "/tmp"), [{ who: "systemd-tmpfiles", age: "10d" }]);
  assert.deepEqual(cleaners(usual, "/var/tmp/mine"), [{ who: "systemd-tmpfiles", age: "30d" }]);
  assert.deepEqual(cleaners(usual, "/home/me/tmp"), []);
  assert.deepEqual(cleaners(usual, "/tmpfs"), []);
  assert.deepEqual(cleaners({ "/usr/lib/tmpfiles.d/tmp.conf": tmp }, "/tmp"), [], "systemd is not running");
  const hidden = { ...usual, "/etc/tmpfiles.d/tmp.conf": "D! /tmp 1777 root root -\n" };
  assert.deepEqual(cleaners(hidden, "/tmp"), []);
  const nearer = { ...usual, "/etc/tmpfiles.d/mine.conf": "d /tmp/mine 0700 me me mM:2h" };
  assert.deepEqual(cleaners(nearer, "/tmp/mine"), [{ who: "systemd-tmpfiles", age: "2h" }]);
  const noConfiguration = { ...usual, "/etc/tmpfiles.d/README": "d /tmp/mine 0700 me me 2h" };
  assert.deepEqual(cleaners(noConfiguration, "/tmp/mine"), [{ who: "systemd-tmpfiles", age: "10d" }]);
  for (const type of "dDevqQ") {
    const file = { ...systemd, "/etc/tmpfiles.d/mine.conf": `${type} /mine 0700 me me 3h` };
    assert.deepEqual(cleaners(file, "/mine"), [{ who: "systemd-tmpfiles", age: "3h" }], type);
  }
  const unreadable = { ...usual, "/etc/tmpfiles.d/secret.conf": systemError("EACCES") };
  assert.deepEqual(cleaners(unreadable, "/tmp"), [{ who: "systemd-tmpfiles", age: "10d" }]);
  for (const program of ["/etc/cron.daily/tmpreaper", "/usr/libexec/tmp_cleaner"]) {
    assert.deepEqual(cleaners({ [program]: "" }, "/tmp"), [{
      who: program.split("/").at(-1),
      age: undefined,
    }]);
  }
});

test("cleanersOf() applies, of several lines for one path, the one in the file whose name comes first, in whatever directory", () => {
  const line = (age: string): string => `q /tmp 1777 root root ${age}\n`;
  const systemd = { "/run/systemd/system/x": "", "/usr/lib/tmpfiles.d/tmp.conf": line("10d") };
  const expected = (age: string): object[] => [{ who: "systemd-tmpfiles", age }];
  for (const [name, age] of [["a.conf", "5d"], ["z.conf", "10d"], ["tmp.conf", "5d"]]) {
    assert.deepEqual(
      cleaners({ ...systemd, [`/etc/tmpfiles.d/${name}`]: line("5d") }, "/tmp"),
      expected(age),
    );
  }
  const last = { "/run/systemd/system/x": "", "/etc/tmpfiles.d/z.conf": line("5d") };
  assert.deepEqual(
    cleaners({ ...last, "/usr/lib/tmpfiles.d/tmp.conf": line("1d") + line("2d") }, "/tmp"),
    expected("1d"),
  );
  for (const type of ["q!", "D-!"]) {
    const atBoot = { ...systemd, "/etc/tmpfiles.d/a.conf": `${type} /tmp 1777 root root 5d\n` };
    assert.deepEqual(
      cleaners(atBoot, "/tmp"),
      expected("10d"),
      `${type} counts only while the system starts`,
    );
  }
});

test("C299 cleanersOf() does not list directories that may not be read, for which Deno would prompt", () => {
  const { primitives, runtime } = machineWith({ "/run/systemd/system/x": "" });
  using watched = substitute({
    primitives,
    runtime: { ...runtime, mayRead: (path) => !path.endsWith("tmpfiles.d") },
  });
  assert.deepEqual([runSync(cleanersOf(syncIo(), "/tmp")), watched.of("list")], [[], []]);
});

test("mayfly doctor lists the daemons that remove old files with their ages, and suggests keepAlive", {
  skip: noLinux,
}, async () => {
  using here = place();
  const machine = machineWith({
    "/run/systemd/system/x": "",
    "/etc/tmpfiles.d/mine.conf": `d ${here.path} 0700 me me 10d`,
    "/etc/cron.daily/tmpwatch": "",
  });
  assert.deepEqual(await findingOf("Old files", here, machine), {
    state: "note",
    says: "Are removed by systemd-tmpfiles (after 10d), tmpwatch",
    hint: "configure({ keepAlive: true }) protects what is in use",
  });
});
