import assert from "node:assert/strict";
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { readLease } from "../../lib/life/lease_file.ts";
import { type Liveness, livenessOf } from "../../lib/life/liveness.ts";
import { syncIo } from "../../lib/operation/io.ts";
import { runSync } from "../../lib/operation/op.ts";
import { firstOutput, startChild } from "../support/child.ts";
import { deadPid, home, leasesIn, plant, type Planted } from "../support/leases.ts";
import { packageTest as test } from "../support/once.ts";
import { noLinks } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";
import { type Changes, substitute, systemError } from "../support/substitute.ts";

/** Only Linux shows what other processes have open. */
const skip = process.platform !== "linux";

function livenessIn(directory: string, name: string): Liveness {
  const lease = runSync(readLease(syncIo(), leasesIn(directory), name));
  assert.ok(lease !== undefined, "the lease can be read");
  return runSync(livenessOf(syncIo(), lease));
}

/** Returns the liveness of a planted lease's process. */
const livenessOfPlanted = (directory: string, { path }: Planted): Liveness =>
  livenessIn(directory, basename(path));

test(
  "C265 livenessOf() returns alive while a process has its lease open, and dead after its end (skipped except on Linux)",
  { skip },
  async () => {
    using place = scratch();
    const code = `globalThis.file = m.namedTemporaryFileSync(); say("made"); setInterval(() => {}, 1000);`;
    const { child, result } = startChild(code, { env: { TMPDIR: place.path } });
    await firstOutput(child);
    const [name] = readdirSync(leasesIn(place.path));
    assert.equal(livenessIn(place.path, name), "alive");
    process.kill(child.pid!, "SIGKILL");
    await result;
    assert.equal(livenessIn(place.path, name), "dead");
  },
);

test(
  "C266 livenessOf() returns dead if the PID now belongs to a process without the lease open (skipped except on Linux)",
  { skip },
  () => {
    using place = scratch();
    // This process is alive and has the PID.
    const lease = plant(place.path, { pid: process.pid });
    assert.equal(livenessOfPlanted(place.path, lease), "dead");
    // Control: the PID is not what decides.
    const fd = openSync(lease.path, "r");
    assert.equal(livenessOfPlanted(place.path, lease), "alive");
    // Nor does the name: the open file is another one.
    renameSync(lease.path, `${lease.path}.old`);
    writeFileSync(lease.path, plantedText(place.path), { mode: 0o600 });
    assert.equal(livenessOfPlanted(place.path, lease), "dead");
    closeSync(fd);
    assert.equal(livenessOfPlanted(place.path, plant(place.path, { pid: deadPid() })), "dead");
  },
);

/** Returns the text of a dead process's lease. */
function plantedText(directory: string): string {
  const { host, namespace } = home();
  return `mayfly 1\npid 1\nnamespace ${namespace}\nhost ${host}\nmade ${directory}/tmp*\n`;
}

test("C265 livenessOf() returns unknown for a lease from another or an unknown host or PID namespace", () => {
  using place = scratch();
  const { host, namespace } = home();
  const made = `made ${place.path}/tmp*\n`;
  const texts = [
    `mayfly 1\nnamespace ${namespace}\nhost ${host}.elsewhere\n${made}`,
    `mayfly 1\nnamespace ${namespace}\nhost -\n${made}`,
    `mayfly 1\nnamespace ${namespace}\n${made}`,
    ...skip ? [] : [
      `mayfly 1\nnamespace pid:[1]\nhost ${host}\n${made}`,
      `mayfly 1\nnamespace -\nhost ${host}\n${made}`,
      `mayfly 1\nhost ${host}\n${made}`,
    ],
    `mayfly 1\n${made}`,
    `mayfly 1\nnamespace ${namespace}\n`,
    `mayfly 1\nhost ${host}.elsewhere\n`,
  ];
  for (const text of texts) {
    const lease = plant(place.path, { text });
    age(lease.path);
    assert.equal(livenessOfPlanted(place.path, lease), "unknown", text);
  }
  // That neither the lease nor this process knows its host or namespace does not make them the same.
  const unknown: (readonly [string, Changes["runtime"]])[] = [
    [`mayfly 1\nnamespace ${namespace}\n${made}`, { hostName: () => undefined }],
    ...skip ? [] : [[`mayfly 1\nhost ${host}\n${made}`, { processNamespace: () => undefined }] as const],
  ];
  for (const [text, changes] of unknown) {
    const lease = plant(place.path, { text });
    using _ = substitute({ runtime: changes });
    assert.equal(livenessOfPlanted(place.path, lease), "unknown", text);
  }
  // Control: the same lease from this host and namespace.
  const text = `mayfly 1\nnamespace ${namespace}\nhost ${host}\n${made}`;
  assert.equal(livenessOfPlanted(place.path, plant(place.path, { text })), "dead");
});

test(
  "C265 livenessOf() returns unknown if /proc hides the process or is missing (skipped except on Linux)",
  { skip },
  () => {
    using place = scratch();
    const lease = plant(place.path);
    const hiding = (code: string, own: boolean): Changes => ({
      primitives: {
        list: (real, path: string) => {
          if (path.startsWith("/proc/")) throw systemError(code);
          return real(path);
        },
        readLink: (real, path: string) => {
          if (own && path.startsWith("/proc/")) throw systemError(code);
          return real(path);
        },
      },
    });
    for (
      const [code, own] of [["EACCES", false], ["EPERM", false], ["EMFILE", false], ["ENOENT", true]] as const
    ) {
      using _ = substitute(hiding(code, own));
      assert.equal(livenessOfPlanted(place.path, lease), "unknown", code);
    }
    {
      using _ = substitute({
        primitives: {
          statusOfTarget() {
            throw systemError("EACCES");
          },
        },
      });
      const own = plant(place.path, { pid: process.pid });
      assert.equal(livenessOfPlanted(place.path, own), "unknown", "what is open cannot be inspected");
    }
    // With `hidepid`, /proc does not show processes with privileges that this one lacks, but they can be signalled.
    for (const code of ["ENOENT", "ESRCH"]) {
      for (
        const [exists, expected] of [[true, "unknown"], [undefined, "unknown"], [false, "dead"]] as const
      ) {
        using _ = substitute({ ...hiding(code, false), runtime: { processExists: () => exists } });
        assert.equal(livenessOfPlanted(place.path, lease), expected, code);
      }
    }
  },
);

test("C266 livenessOf() returns dead only if no process has the PID where open files cannot be listed", () => {
  using place = scratch();
  const answers = [[false, "dead"], [true, "unknown"], [undefined, "unknown"]] as const;
  const { path } = plant(place.path, { namespace: "-" });
  const lease = runSync(readLease(syncIo(), leasesIn(place.path), basename(path)))!;
  for (const platform of ["darwin", "windows", "other"] as const) {
    for (const [exists, expected] of answers) {
      using _ = substitute({ runtime: { platform, processExists: () => exists } });
      assert.equal(runSync(livenessOf(syncIo(), lease)), expected, platform);
    }
    // Asking would load the Node layer on Deno.
    using _ = substitute({ runtime: { platform, processExists: () => assert.fail("this process exists") } });
    assert.equal(runSync(livenessOf(syncIo(), { ...lease, pid: process.pid })), "unknown", platform);
  }
});

/** An hour. */
const OLD = 3_600_000;

function age(path: string): void {
  const then = (Date.now() - OLD) / 1000;
  utimesSync(path, then, then);
}

test(
  "C277 livenessOf() does not return dead for an unfinished lease that is recent or open (skipped except on Linux)",
  { skip },
  () => {
    using place = scratch();
    for (
      const text of [
        "",
        "may",
        "mayfly 1\n",
        "mayfly 1\npid 7\nnames",
        "mayfly 1\nnamespace -\nhost -\n",
        "\0\xff\n\n\n",
      ]
    ) {
      const lease = plant(place.path, { text });
      assert.equal(livenessOfPlanted(place.path, lease), "unknown", "its process may be about to write it");
      age(lease.path);
      assert.equal(livenessOfPlanted(place.path, lease), "dead");
    }
    const own = plant(place.path, { text: "", pid: process.pid });
    age(own.path);
    const fd = openSync(own.path, "r");
    assert.equal(livenessOfPlanted(place.path, own), "alive");
    closeSync(fd);
    assert.equal(livenessOfPlanted(place.path, own), "dead");
    // A lease with records is never dead because of its age.
    const records = [`made ${place.path}/tmp*\n`, `adopted ${join(place.path, own.name())}\n`];
    for (const lines of [...records, records.join("")]) {
      const lease = plant(place.path, { text: `mayfly 1\n${lines}` });
      age(lease.path);
      assert.equal(livenessOfPlanted(place.path, lease), "unknown", lines);
    }
  },
);

test("C278 readLease() returns undefined for a file that is too large or is not named as a lease, a directory or a link", () => {
  using place = scratch();
  const read = (name: string): unknown => runSync(readLease(syncIo(), leasesIn(place.path), name));
  const lease = plant(place.path), { session } = lease, text = readFileSync(lease.path);
  const beside = (name: string): string => join(leasesIn(place.path), name);
  const misnamed = [
    "x.lease",
    // With a PID of its own: some file systems ignore case.
    `${session.toUpperCase()}-3.lease`,
    `${session}-1.lease.bak`,
    `${session}--1.lease`,
  ];
  for (const name of misnamed) writeFileSync(beside(name), text, { mode: 0o600 });
  mkdirSync(beside(`${session}-1.lease`));
  const notFiles = [`${session}-1.lease`];
  if (!noLinks) {
    symlinkSync(lease.path, beside(`${session}-2.lease`));
    notFiles.push(`${session}-2.lease`);
  }
  for (const name of [...misnamed, ...notFiles, "../../etc/passwd", `${session}-../..lease`]) {
    assert.equal(read(name), undefined, name);
  }
  // Control: the same text under the name of a lease.
  assert.ok(read(basename(lease.path)) !== undefined);
  truncateSync(lease.path, 4 * 1024 * 1024 + 1);
  assert.equal(read(basename(lease.path)), undefined);
});

test("C278 readLease() skips paths that are not absolute or not canonical, which this library never records", () => {
  using place = scratch();
  const recorded = (lines: (name: string) => string[]): unknown => {
    const lease = plant(place.path);
    writeFileSync(lease.path, `mayfly 1\n${lines(lease.name()).join("\n")}\n`);
    const { made, adopted } = runSync(readLease(syncIo(), leasesIn(place.path), basename(lease.path)))!;
    return [made.size, adopted.size];
  };
  for (
    const directory of ["relative", ".", "..", `${place.path}/..`, `${place.path}/./a`, `${place.path}/../a`]
  ) {
    const lines = (name: string): string[] => [`made ${directory}/tmp*`, `adopted ${directory}/${name}`];
    assert.deepEqual(recorded(lines), [0, 0], directory);
  }
  // Control: the same records with the path of a directory.
  assert.deepEqual(recorded((name) => [`made ${place.path}/tmp*`, `adopted ${place.path}/${name}`]), [1, 1]);
});
