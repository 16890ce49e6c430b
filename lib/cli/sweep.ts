/**
 * `mayfly sweep`.
 *
 * @module
 */
import type { SweepReport } from "../life/sweep.ts";
import { sweep as removeLeftovers } from "../sweep.ts";
import type { Host } from "../runtime/cli_host.ts";
import { parseDuration } from "./arguments.ts";
import { type Command, JSON_OPTION, type ParsedArguments, print, STATUS, UsageError } from "./command.ts";
import { type Show, withProgress } from "./progress.ts";
import { count, oneLine, showBytes } from "./text.ts";

/** `mayfly sweep` */
export const sweep: Command = {
  name: "sweep",
  synopsis: "[OPTIONS]",
  summary: "Remove what dead processes left behind",
  description: [
    "Removes what processes that used Mayfly left behind when they were killed, in the temporary directory and elsewhere. Only what belongs to processes that are certainly dead is removed. Programs that use Mayfly do the same along the way; this command does it now, and completely.",
    "With --older-than and --prefix it also removes what other programs left behind: your files and directories whose names start with that prefix, that have not changed for that long, and that no process has locked or, as far as can be determined, open; and what was left in other containers, or in this one before it was restarted. Links and anything on another device are kept.",
  ],
  options: {
    "dry-run": { type: "boolean", help: "Only list what would be removed" },
    "older-than": {
      type: "string",
      value: "AGE",
      help: "Minimum age, such as 90s, 15m, 12h or 7d; with --prefix",
    },
    prefix: { type: "string", value: "TEXT", help: "Start of these names; with --older-than" },
    dir: {
      type: "string",
      value: "DIR",
      help: "Where to look for these names (default: TMPDIR, or the system default)",
    },
    json: JSON_OPTION,
  },
  examples: [
    "mayfly sweep --dry-run",
    "mayfly sweep --older-than 7d --prefix build-",
  ],
  async run(host, given) {
    const report = await execute(host, given);
    const dryRun = given.has("dry-run");
    await print(host, given, { dryRun, ...report }, () => asText(report, dryRun));
    for (const { path, code } of report.left) {
      await host.writeError(`mayfly sweep: Cannot remove "${oneLine(path)}" (${code})\n`);
    }
    return report.left.length === 0 ? STATUS.ok : STATUS.failed;
  },
};

async function execute(host: Host, given: ParsedArguments): Promise<SweepReport> {
  const age = given.text("older-than"), prefix = given.text("prefix"), dir = given.text("dir");
  // An empty prefix matches every name, which would leave age alone.
  if (age === undefined ? prefix !== undefined : !prefix) {
    throw new UsageError(
      "--older-than and --prefix go together: age alone would match other programs' files",
    );
  }
  if (dir !== undefined && age === undefined) {
    throw new UsageError("--dir needs --older-than and --prefix; to sweep another directory, set TMPDIR");
  }
  let removed = 0;
  const remove = (show: Show): Promise<SweepReport> =>
    removeLeftovers({
      olderThan: age === undefined ? undefined : parseDuration(age, "--older-than"),
      prefix,
      dir,
      dryRun: given.has("dry-run"),
      onProgress: () => {
        removed++;
        show(() => `${given.has("dry-run") ? "Found" : "Removed"} ${removed}…`);
      },
    });
  return await withProgress(host, remove);
}

/** A dry run lists what it found: that is its purpose. */
function asText({ removed, bytes, kept, left }: SweepReport, dryRun: boolean): string {
  const lines = dryRun
    ? removed.map((one) => `${showBytes(one.bytes).padStart(9)}  ${oneLine(one.path)}`)
    : [];
  const all = count(removed.length, "entry", "entries");
  const verb = dryRun ? "Would remove" : "Removed";
  const nothing = left.length === 0 ? "Nothing to remove" : "Nothing removed";
  lines.push(removed.length === 0 ? nothing : `${verb} ${all}, ${showBytes(bytes)}`);
  for (const [reason, number] of reasons(kept)) lines.push(`Kept ${number} (${reason})`);
  return `${lines.join("\n")}\n`;
}

/** Counts what was kept by reason. The ages are dropped, since each would make a reason of its own. */
function reasons(kept: SweepReport["kept"]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { reason } of kept) {
    const plain = reason.replace(/^it changed \d+ seconds ago$/, "it changed recently");
    counts.set(plain, (counts.get(plain) ?? 0) + 1);
  }
  return counts;
}
