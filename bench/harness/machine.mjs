import { spawnSync } from "node:child_process";
import { statfsSync } from "node:fs";
import { arch, cpus, loadavg, platform, release, totalmem } from "node:os";
import { peerVersions } from "./peers.mjs";
import { isRaised } from "./priority.mjs";

/** Common file systems are given by name, others by number. */
const FILE_SYSTEMS = new Map([[0xef53, "ext4"], [0x01021994, "tmpfs"], [0x58465342, "xfs"], [
  0x9123683e,
  "btrfs",
]]);

/** Describes the machine, as lines of Markdown. */
export function machine({ places, loop }, runtimes) {
  const [{ model }] = cpus();
  const gigabytes = Math.round(totalmem() / 1024 ** 3);
  const others = [loop.c && version("cc"), loop.python && version("python3")].filter(Boolean);
  return [
    `- Date: ${new Date().toISOString().slice(0, 10)}`,
    `- Machine: ${cpus().length} × ${model.trim()}, ${gigabytes} GiB, ${platform()} ${release()} ${arch()}`,
    `- Places: ${places.measured.map(({ kind, path }) => `${kind} (${fileSystem(path)})`).join(", ")}`,
    `- Load at the start and at the end: ${
      [...loadAtStart, loadavg()[0]].map((load) => load.toFixed(1)).join(", ")
    }`,
    `- Measured with real-time priority: ${isRaised ? "yes (`chrt -r 20`)" : "no, it is not permitted"}`,
    `- Runtimes: ${runtimes.map(({ name, bin }) => `${name} (${version(bin)})`).join(", ")}`,
    `- Compared with: ${
      Object.entries(peerVersions).map(([name, number]) => `${name} ${number}`).join(", ")
    }`,
    ...others.length ? [`- Other languages: ${others.join(", ")}`] : [],
  ];
}

const loadAtStart = [loadavg()[0]];

function version(program) {
  const { stdout } = spawnSync(program, ["--version"], { encoding: "utf8" });
  return stdout.split("\n")[0].trim();
}

function fileSystem(path) {
  const { type } = statfsSync(path);
  return FILE_SYSTEMS.get(type) ?? `0x${type.toString(16)}`;
}
