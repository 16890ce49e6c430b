/**
 * `mayfly doctor`.
 *
 * @module
 */
import { mkstempSync } from "../create/mkstemp.ts";
import { codeOf } from "../errors.ts";
import { leaseDirectory, refusalOf } from "../life/lease_directory.ts";
import { listLeases } from "../life/list_leases.ts";
import { isInMemory } from "../location/find_tmpdir.ts";
import { mountOptions } from "../location/mounts.ts";
import { spaceOf } from "../location/space.ts";
import { candidates, probe } from "../location/tmpdir.ts";
import { type Io, syncIo } from "../operation/io.ts";
import { type Op, runSync } from "../operation/op.ts";
import type { Host } from "../runtime/cli_host.ts";
import { type FileSystemStatus, runtime } from "../runtime/mod.ts";
import { hasAnchors } from "../tree/dir_ref.ts";
import { cleanersOf } from "./cleaners.ts";
import { type Command, JSON_OPTION, print, STATUS } from "./command.ts";
import { COLUMNS, oneLine, showBytes, wrap } from "./text.ts";

/** `mayfly doctor` */
export const doctor: Command = {
  name: "doctor",
  synopsis: "[--json]",
  summary: "Check what this machine and runtime support",
  description: [
    "Checks everything that Mayfly relies on, and reports:",
    [
      ["ok", "works as well as it can"],
      ["note", "works in another way, or needs attention"],
      ["no", "does not work here"],
    ],
  ],
  options: { json: JSON_OPTION },
  statuses: [
    ["0", "There is a usable temporary directory"],
    ["1", "There is none"],
    ["2", "Invalid command line"],
  ],
  examples: ["mayfly doctor", "mayfly doctor --json"],
  async run(host, given) {
    const found = await runChecks(host);
    const columns = Math.min(host.columns ?? COLUMNS, COLUMNS);
    await print(host, given, { checks: found }, () => asText(found, columns));
    return found.some(({ name, state }) => name === "Temporary directory" && state === "no")
      ? STATUS.failed
      : STATUS.ok;
  },
};

/** The result of one check. */
interface Check {
  name: string;
  state: "ok" | "note" | "no";
  says: string;
  /** What can be done about it. */
  hint?: string;
}

type Finding = Omit<Check, "name">;

const ok = (says: string): Finding => ({ state: "ok", says });
const note = (says: string, hint?: string): Finding => ({ state: "note", says, hint });
const no = (says: string, hint?: string): Finding => ({ state: "no", says, hint });

async function runChecks(host: Host): Promise<Check[]> {
  const { directory, finding } = chooseDirectory();
  const checks: Check[] = [
    { name: "Runtime", ...ok(`${host.runtime} on ${host.machine}`) },
    { name: "Temporary directory", ...finding },
  ];
  const rest = directory === undefined ? [] : Object.entries(checksOf(directory));
  for (const [name, check] of rest) checks.push({ name, ...await runCheck(check) });
  const path = directory ?? candidates()[0];
  for (const { granted, flag, purpose } of host.permissions(path)) {
    if (!granted) checks.push({ name: "Permission", ...note(`Missing: needed to ${purpose}`, flag) });
  }
  return checks;
}

/** A check that fails is a finding as well. */
async function runCheck(check: () => Finding | Promise<Finding>): Promise<Finding> {
  try {
    return await check();
  } catch (error) {
    return codeOf(error) === "ERR_ACCESS_DENIED"
      ? note("Unknown: a permission is missing")
      : no((error as Error).message);
  }
}

function checksOf(directory: string): { [name: string]: () => Finding | Promise<Finding> } {
  const op = (check: (io: Io, directory: string) => Op<Finding>) => () => runSync(check(syncIo(), directory));
  return {
    "File system": op(fileSystem),
    "Free space": op(freeSpace),
    "Executables": op(executables),
    "Unnamed files": op(unnamedFiles),
    "Locks": () => locks(directory),
    "Removing trees": removal,
    "Signals": signals,
    "Leases": op(leases),
    "Old files": op(oldFiles),
  };
}

const VARIABLES = ["TMPDIR", "TEMP", "TMP"];

/** The directory in use and why, chosen as `tmpdir()` chooses it. */
function chooseDirectory(): { directory: string | undefined; finding: Finding } {
  const rejected: string[] = [];
  let unsafe: string | undefined;
  for (const candidate of candidates()) {
    const result = probe(candidate);
    if (typeof result === "string") {
      const says = `${result}, ${reasonFor(candidate)}`;
      return {
        directory: result,
        finding: rejected.length === 0 ? ok(says) : note(`${says}; not ${rejected.join(", ")}`),
      };
    }
    unsafe ??= result.unsafe;
    rejected.push(`"${result.path}" (${result.reason})`);
  }
  const says = `Tried ${rejected.join(", ")}`;
  if (unsafe !== undefined) {
    return { directory: unsafe, finding: note(`${unsafe}, as there is no safer one. ${says}`, "chmod +t") };
  }
  const hint = says.includes("ERR_ACCESS_DENIED")
    ? "Grant the permissions below"
    : "Set TMPDIR to a directory that you can write to";
  return { directory: undefined, finding: no(says, hint) };
}

function reasonFor(path: string): string {
  const variable = VARIABLES.find((name) => runtime.env(name) === path);
  if (variable !== undefined) return `from ${variable}`;
  const unset = VARIABLES.every((name) => !runtime.env(name));
  return unset ? "the system default: TMPDIR, TEMP and TMP are not set" : "the system default";
}

/** File systems by their Linux magic numbers. */
const FILE_SYSTEMS: ReadonlyMap<number, string> = new Map([
  [0xef53, "ext4"],
  [0x58465342, "xfs"],
  [0x9123683e, "btrfs"],
  [0x2fc12fc1, "zfs"],
  [0xf2f52010, "f2fs"],
  [0x794c7630, "overlay"],
  [0x01021994, "tmpfs"],
  [0x858458f6, "ramfs"],
  [0x6969, "nfs"],
  [0xff534d42, "cifs"],
  [0xfe534d42, "smb2"],
  [0x01021997, "9p"],
  [0x65735546, "fuse"],
]);

const ON_NETWORK: ReadonlySet<string> = new Set(["nfs", "cifs", "smb2", "9p"]);

function* fileSystem(io: Io, directory: string): Op<Finding> {
  const { type }: FileSystemStatus = yield io.fileSystem(directory);
  // Some systems report a signed number.
  const name = FILE_SYSTEMS.get(type >>> 0);
  if (name === undefined) return ok(`Unknown type (0x${(type >>> 0).toString(16)})`);
  if (isInMemory(type)) return note(`${name}: files take up memory`, "findTmpdir({ disk: true })");
  return ON_NETWORK.has(name)
    ? note(`${name}: a network file system`, "Set TMPDIR to a local directory")
    : ok(name);
}

/** Free space below this share deserves a note. */
const LOW_SHARE = 0.05;

function* freeSpace(io: Io, directory: string): Op<Finding> {
  const { total, available, inodes } = yield* spaceOf(io, directory);
  const files = inodes === undefined ? "" : `, and ${inodes.free} of ${inodes.total} inodes free`;
  const says = `${showBytes(available)} of ${showBytes(total)} available${files}`;
  const little = available < total * LOW_SHARE ||
    (inodes !== undefined && inodes.free < inodes.total * LOW_SHARE);
  return little ? note(says, "mayfly usage") : ok(says);
}

function* executables(io: Io, directory: string): Op<Finding> {
  const options = yield* mountOptions(io, directory);
  if (options === undefined) return ok("Can be run, as far as can be determined");
  return options.includes("noexec")
    ? note("Cannot be run: mounted with noexec", "findTmpdir({ exec: true })")
    : ok("Can be run");
}

function* unnamedFiles(io: Io, directory: string): Op<Finding> {
  if (runtime.platform === "windows") return note("Have a name until they are closed");
  const instead = "Have a name only for a moment";
  if (runtime.platform !== "linux") return note(instead);
  try {
    yield io.close(yield io.createUnnamed(directory, 0o600));
    return ok("Never have a name (O_TMPFILE)");
  } catch (error) {
    return note(`${instead}: O_TMPFILE fails here (${codeOf(error)})`);
  }
}

async function locks(directory: string): Promise<Finding> {
  const { locks } = runtime;
  if (locks === undefined) return no("None on this platform that other programs respect");
  const { tryAcquire } = await locks();
  const { path, fd } = mkstempSync({ dir: directory });
  try {
    runtime.sync.close((await tryAcquire(path, false))!);
    return ok("Exclude other programs (flock)");
  } catch (error) {
    if (codeOf(error) === "ERR_UNSUPPORTED") {
      return no("The program flock(1) is missing", "Install util-linux");
    }
    throw error;
  } finally {
    runtime.sync.close(fd);
    runtime.sync.unlink(path);
  }
}

function removal(): Finding {
  if (hasAnchors()) return ok("By descriptor, safe from renames by others");
  return runtime.removeTree?.pooled !== undefined
    ? ok("By the runtime, safe from renames by others")
    : note("By path: others must not be able to rename anything in the tree");
}

function signals(): Finding {
  const { signals } = runtime;
  const names = signals.names().join(", ");
  if (names === "") {
    return note("Do not end the first process of a container, which has to listen to them itself");
  }
  return signals.countable
    ? ok(`${names} remove everything, unless the program listens to them itself`)
    : note(
      `${names} remove nothing unless the program asks for it: other listeners cannot be counted here`,
      "configure({ signals: true })",
    );
}

function* leases(io: Io): Op<Finding> {
  const directory = leaseDirectory();
  if (directory === undefined) {
    return no("Cannot be written: the user ID is not known. Leftovers of a crash stay");
  }
  try {
    const refusal = refusalOf(directory, yield io.status(directory));
    if (refusal !== undefined) {
      return no(`"${directory}" is not used: ${refusal}. Leftovers of a crash stay`, `rm -r "${directory}"`);
    }
  } catch (error) {
    if (codeOf(error) === "ENOENT") return ok("None yet");
    throw error;
  }
  const found = yield* listLeases(io);
  const live = found.filter(({ liveness }) => liveness === "alive").length;
  const dead = found.filter(({ liveness }) => liveness === "dead").length;
  const says = `${live} of running processes, ${dead} of dead ones`;
  const unknown = found.length - live - dead;
  if (dead > 0) return note(says, "mayfly sweep");
  return unknown === 0 ? ok(says) : note(`${says}, ${unknown} of unknown ones`);
}

function* oldFiles(io: Io, directory: string): Op<Finding> {
  const found = yield* cleanersOf(io, directory);
  if (found.length === 0) return ok("Found no daemon that removes them");
  const list = found.map(({ who, age }) => age === undefined ? who : `${who} (after ${age})`).join(", ");
  return note(`Are removed by ${list}`, "configure({ keepAlive: true }) protects what is in use");
}

function asText(checks: readonly Check[], columns: number): string {
  const width = Math.max(...checks.map(({ name }) => name.length)) + 2;
  const lines = checks.flatMap(({ name, state, says, hint }) => {
    const start = `${state.padEnd(6)}${name.padEnd(width)}`;
    const indent = " ".repeat(start.length), room = columns - start.length;
    return [
      start + wrap(oneLine(says), room, indent).trimStart(),
      ...hint === undefined ? [] : [wrap(oneLine(`→ ${hint}`), room, indent)],
    ];
  });
  return `${lines.join("\n")}\n`;
}
