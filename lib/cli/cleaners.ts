/**
 * Daemons that remove old files.
 *
 * @module
 */
import { codeOf } from "../errors.ts";
import type { Io } from "../operation/io.ts";
import type { Op } from "../operation/op.ts";
import { tried } from "../operation/tried.ts";
import { contains, joinPath } from "../path.ts";
import { DENIED, requireReadable } from "../permission.ts";
import { namesIn } from "../tree/list.ts";

/** A daemon that removes old files. */
export interface Cleaner {
  who: string;
  /** The age at which it removes files, in its own notation; undefined if it does not say. */
  age: string | undefined;
}

/**
 * The configuration directories of systemd-tmpfiles. A file in an earlier directory hides files of the same name in later
 * ones.
 */
const CONFIG_DIRECTORIES = [
  "/etc/tmpfiles.d",
  "/run/tmpfiles.d",
  "/usr/local/lib/tmpfiles.d",
  "/usr/lib/tmpfiles.d",
];

/** Exists while systemd is the init system. */
const SYSTEMD = "/run/systemd/system";

/** Programs started by cron, or by its replacements. */
const PROGRAMS: { readonly [path: string]: string } = {
  "/etc/cron.daily/tmpreaper": "tmpreaper",
  "/etc/cron.daily/tmpwatch": "tmpwatch",
  "/etc/periodic/daily/110.clean-tmps": "periodic(8)",
  "/usr/libexec/dirhelper": "dirhelper",
  "/usr/libexec/tmp_cleaner": "tmp_cleaner",
};

/** Returns the daemons that may remove old files from a directory. */
export function* cleanersOf(io: Io, directory: string): Op<Cleaner[]> {
  const found: Cleaner[] = [];
  const age = (yield* exists(io, SYSTEMD)) ? yield* configuredAge(io, directory) : undefined;
  if (age !== undefined) found.push({ who: "systemd-tmpfiles", age });
  for (const [path, who] of Object.entries(PROGRAMS)) {
    if (yield* exists(io, path)) found.push({ who, age: undefined });
  }
  return found;
}

function* exists(io: Io, path: string): Op<boolean> {
  requireReadable(path);
  try {
    yield io.statusOfTarget(path);
    return true;
  } catch (error) {
    if (codeOf(error) === DENIED) throw error;
    return false;
  }
}

/** Returns the age configured for the nearest directory. */
function* configuredAge(io: Io, directory: string): Op<string | undefined> {
  let best = { path: "", age: "-" };
  for (const text of yield* configurations(io)) {
    for (const line of text.split("\n")) {
      // type, path, mode, user, group, age
      const [type = "", path = "", , , , age = "-"] = line.trim().split(/\s+/);
      // Lines with an exclamation mark count only while the system starts.
      if (!/^[dDevqQ][^!]*$/.test(type) || !contains(path, directory)) continue;
      // Of several lines for one path the first counts.
      if (path.length > best.path.length) best = { path, age };
    }
  }
  return best.age === "-" ? undefined : best.age.replace(/^[^\d]*/, "");
}

function* configurations(io: Io): Op<string[]> {
  const files = new Map<string, string>();
  for (const directory of CONFIG_DIRECTORIES) {
    for (const name of yield* configFilesIn(io, directory)) {
      if (!files.has(name)) files.set(name, joinPath(directory, name));
    }
  }
  const texts: string[] = [];
  // They are read in the order of their names, whatever their directories.
  for (const name of [...files.keys()].sort()) {
    texts.push((yield* tried(() => io.readSystemFile(files.get(name)!))) ?? "");
  }
  return texts;
}

function* configFilesIn(io: Io, directory: string): Op<string[]> {
  try {
    requireReadable(directory);
    return yield* namesIn(io, directory, (name) => name.endsWith(".conf"));
  } catch {
    return [];
  }
}
