/**
 * `mayfly usage`.
 *
 * @module
 */
import { failure } from "../errors.ts";
import { leaseDirectory } from "../life/lease_directory.ts";
import { listLeases } from "../life/list_leases.ts";
import { type DiskSpace, diskSpace } from "../location/space.ts";
import { tmpdir } from "../location/tmpdir.ts";
import { asyncIo, type Io } from "../operation/io.ts";
import { type Op, runAsync } from "../operation/op.ts";
import { baseName, contains, joinPath } from "../path.ts";
import type { Host } from "../runtime/cli_host.ts";
import type { Status } from "../runtime/mod.ts";
import { namesIn } from "../tree/list.ts";
import { usageOf } from "../tree/usage.ts";
import { type Command, JSON_OPTION, print, STATUS } from "./command.ts";
import { type Show, withProgress } from "./progress.ts";
import { bar, COLUMNS, count, cutStart, oneLine, showBytes } from "./text.ts";

/** `mayfly usage` */
export const usage: Command = {
  name: "usage",
  synopsis: "[--json]",
  summary: "Show what is in the temporary directory, by owner",
  description: [
    "Shows how much the temporary directory contains, by owner:",
    [
      ["live", "belongs to a running process that uses Mayfly"],
      ["orphaned", 'left behind by such a process that died; "mayfly sweep" removes it'],
      ["unknown", "belongs to such a process on another host or in another container"],
      ["other", "belongs to another program or another user"],
    ],
    "Sizes are those of the contents, as far as you have permission to read them.",
  ],
  options: { json: JSON_OPTION },
  examples: ["mayfly usage", "TMPDIR=/var/tmp mayfly usage --json"],
  async run(host, given) {
    const found = await measure(host);
    await print(host, given, found, () => asText(found, host));
    return STATUS.ok;
  },
};

const OWNERS = ["live", "orphaned", "unknown", "other"] as const;
type Owner = (typeof OWNERS)[number];

interface Entry {
  path: string;
  owner: Owner;
  /** The process it belongs to, where a lease says so. */
  pid?: number;
  bytes: number;
}

interface Total {
  entries: number;
  bytes: number;
}

interface UsageReport {
  directory: string;
  /** Omitted if it may not be queried. */
  space?: DiskSpace;
  owners: { [owner in Owner]: Total };
  entries: Entry[];
}

async function measure(host: Host): Promise<UsageReport> {
  const directory = tmpdir();
  const entries = await withProgress(host, (show) => runAsync(collect(asyncIo(), directory, show)));
  entries.sort((one, other) => other.bytes - one.bytes);
  const owners = Object.fromEntries(OWNERS.map((owner) => [owner, sumOf(entries, owner)]));
  const space = await diskSpace(directory).catch(() => undefined);
  return { directory, space, owners: owners as UsageReport["owners"], entries };
}

function sumOf(entries: readonly Entry[], wanted: Owner): Total {
  const own = entries.filter(({ owner }) => owner === wanted);
  return { entries: own.length, bytes: own.reduce((sum, { bytes }) => sum + bytes, 0) };
}

const OWNER_OF = { alive: "live", dead: "orphaned", unknown: "unknown" } as const;

function* collect(io: Io, directory: string, show: Show): Op<Entry[]> {
  const known = new Map<string, { owner: Owner; pid?: number }>();
  for (const { pid, liveness, entries } of yield* listLeases(io)) {
    for (const { path } of entries) {
      // What a process took over from a dead one is on both leases.
      if (known.get(path)?.owner !== "live") known.set(path, { owner: OWNER_OF[liveness], pid });
    }
  }
  const paths = yield* pathsIn(io, directory);
  // Leases also list paths in other directories. Paths deeper in this one are counted with the entry that contains them.
  for (const path of known.keys()) if (!contains(directory, path)) paths.push(path);
  const found: Entry[] = [];
  for (const path of paths) {
    show(() => `Looked at ${found.length} of ${paths.length}…`);
    const bytes = yield* bytesOf(io, path);
    if (bytes !== undefined) found.push({ path, owner: "other", ...known.get(path), bytes });
  }
  return found;
}

/** Returns everything but the lease directory itself. */
function* pathsIn(io: Io, directory: string): Op<string[]> {
  const own = leaseDirectory();
  try {
    return (yield* namesIn(io, directory)).map((name) => joinPath(directory, name)).filter((path) =>
      path !== own
    );
  } catch (error) {
    throw failure(`list "${directory}"`, error, directory);
  }
}

/** Returns undefined if the path has been removed meanwhile. */
function* bytesOf(io: Io, path: string): Op<number | undefined> {
  try {
    const { kind, size }: Status = yield io.status(path);
    return kind === "directory" ? (yield* usageOf(io, path)).bytes : kind === "file" ? size : 0;
  } catch {
    return undefined;
  }
}

/** Number of entries shown one by one. */
const MAX_LARGEST = 10;

function asText({ directory, space, owners, entries }: UsageReport, host: Host): string {
  const columns = host.columns ?? COLUMNS;
  const shown = OWNERS.filter((owner) => owner !== "unknown" || owners.unknown.entries > 0);
  const total = shown.reduce((sum, owner) => sum + owners[owner].bytes, 0);
  const rows = shown.map((owner) => row(owner, owners[owner], total, columns));
  const largest = entries.filter(({ bytes }) => bytes > 0).slice(0, MAX_LARGEST);
  const parts = [
    `${oneLine(directory)}${space === undefined ? "" : `: ${available(space)}`}`,
    ["OWNER     ENTRIES       SIZE", ...rows].join("\n"),
  ];
  if (largest.length > 0) {
    const lines = largest.map((entry) => line(entry, directory, columns, host.columns !== undefined));
    parts.push(["LARGEST", ...lines].join("\n"));
  }
  if (owners.orphaned.entries > 0) {
    parts.push(
      `"mayfly sweep" removes ${count(owners.orphaned.entries, "orphaned entry", "orphaned entries")}.`,
    );
  }
  return `${parts.join("\n\n")}\n`;
}

const available = (space: DiskSpace): string =>
  `${showBytes(space.available)} of ${showBytes(space.total)} available`;

/** Width of a row before its bar, and of the percentage after it. */
const BEFORE_BAR = 31;
const AFTER_BAR = 6;

function row(owner: Owner, { entries, bytes }: Total, total: number, columns: number): string {
  const share = total === 0 ? 0 : bytes / total;
  const width = Math.max(5, Math.min(40, columns - BEFORE_BAR - AFTER_BAR));
  const numbers = `${owner.padEnd(9)}${String(entries).padStart(8)}${showBytes(bytes).padStart(11)}`;
  return `${numbers}   ${bar(share, width)}${`${Math.round(share * 100)}%`.padStart(5)}`;
}

function line({ path, owner, pid, bytes }: Entry, directory: string, columns: number, cut: boolean): string {
  const name = path === joinPath(directory, baseName(path)) ? baseName(path) : path;
  const whose = pid === undefined ? owner : `${owner} (${pid})`;
  const start = `${showBytes(bytes).padStart(9)}  ${whose.padEnd(18)}  `;
  return start + (cut ? cutStart(oneLine(name), columns - start.length) : oneLine(name));
}
