/**
 * The system calls of the library, as recorded by strace, and how they can fail.
 *
 * @module
 */

import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { moduleUrl } from "../support/child.ts";

const CREATES = ["EIO", "ENOSPC", "EMFILE", "EACCES", "EROFS", "EINTR"];
const LOOKS = ["EIO", "EACCES"], MAKES = ["EIO", "ENOSPC", "EACCES", "EROFS"];
const REMOVES = ["EIO", "EROFS", "EBUSY", "EACCES"], WRITES = ["EIO", "ENOSPC", "EINTR"];
const CHANGES = ["EIO", "EPERM", "EROFS"], READS = ["EIO", "EINTR"];

/** The system calls under test, and how each can fail. */
const CODES: { readonly [name: string]: readonly string[] } = {
  open: CREATES,
  openat: CREATES,
  close: READS,
  read: READS,
  pread64: READS,
  write: WRITES,
  pwrite64: WRITES,
  ftruncate: WRITES,
  fsync: WRITES,
  fdatasync: WRITES,
  rename: MAKES,
  renameat: MAKES,
  renameat2: MAKES,
  link: MAKES,
  linkat: MAKES,
  symlink: MAKES,
  symlinkat: MAKES,
  mkdir: MAKES,
  mkdirat: MAKES,
  unlink: REMOVES,
  unlinkat: REMOVES,
  rmdir: REMOVES,
  chmod: CHANGES,
  fchmod: CHANGES,
  fchmodat: CHANGES,
  fchown: CHANGES,
  utime: CHANGES,
  utimensat: CHANGES,
  stat: LOOKS,
  lstat: LOOKS,
  fstat: ["EIO"],
  newfstatat: LOOKS,
  statx: LOOKS,
  statfs: LOOKS,
  fstatfs: ["EIO"],
  readlink: LOOKS,
  readlinkat: LOOKS,
  getdents64: ["EIO"],
  flock: READS,
};

/** The calls that make the marks. */
const MARKING = "access,faccessat,faccessat2";

/** Failures that only creating calls can have. */
const FULL: readonly string[] = ["ENOSPC", "EROFS"];

/** A call of the library. */
export interface Call {
  name: string;
  /** As strace shows it. */
  text: string;
  /** Counts the calls of this name within the window, from 0. */
  index: number;
  /** Counts all calls of this name by the thread since tracing began, from 1. */
  number: number;
  /** Whether it is made at the end of the process, after the report. */
  atEnd: boolean;
}

/** What is done to a call. */
export interface Fault {
  call: Call;
  /** A code such as `EIO`, or `KILL`. */
  what: string;
}

/** Returns how a call can fail. */
export function codesFor({ name, text }: Call): readonly string[] {
  const creates = /O_CREAT|O_TMPFILE/.test(text);
  if (/^open/.test(name) && !creates) return CODES[name].filter((code) => !FULL.includes(code));
  return CODES[name];
}

const ENGINE = /^(\d+|AT_FDCWD)<(anon_inode|pipe|socket|\/dev\/(null|pts|tty)|\/memfd|.*code_cache)/;

/** The directory of the library, which an engine loads on demand. */
const LIBRARY = dirname(fileURLToPath(moduleUrl));

/** Whether a call is the engine's: files in which it looks for itself, and the process's own output. */
export const isEngines = ({ name, text }: Pick<Call, "name" | "text">): boolean =>
  text.includes(`${LIBRARY}/`) || ENGINE.test(text) || /^[012][<,]/.test(text) ||
  /"\/(sys|dev\/null)\b/.test(text) || !(name in CODES);

/** Returns the calls of the library: those between the marks. */
export function callsIn(log: string): Call[] {
  const counts = new Map<string, number>(), indexes = new Map<string, number>();
  const calls: Call[] = [];
  let isOn = false, atEnd = false;
  for (const [, name, text] of log.matchAll(/^(\w+)\((.*)$/gm)) {
    const mark = /"\/mayfly\/(on|off)"/.exec(text);
    const number = (counts.get(name) ?? 0) + 1;
    counts.set(name, number);
    atEnd ||= text.includes('{\\"end\\"');
    if (mark !== null) isOn = mark[1] === "on";
    if (mark !== null || !isOn || isEngines({ name, text })) continue;
    const index = indexes.get(name) ?? 0;
    indexes.set(name, index + 1);
    calls.push({ name, text, index, number, atEnd });
  }
  return calls.filter((call, at) => !isOnTheWay(call, calls[at + 1]));
}

/** Returns the call that was refused, the library's or the engine's. */
export function refusedIn(log: string): Pick<Call, "name" | "text"> | undefined {
  const [, name, text] = /^(\w+)\((.*) \(INJECTED\)$/m.exec(log) ?? [];
  return name === undefined ? undefined : { name, text };
}

/** How often a repeated call is tried, in a deep tree for example: the first times, and the last. */
const OFTEN = 2;

/** Returns the calls without those that resemble earlier and later ones. */
export function distinct(calls: readonly Call[]): Call[] {
  const alike = calls.map(({ name, text }) => name + likeness(text));
  return calls.filter((_, at) => {
    const before = alike.slice(0, at).filter((one) => one === alike[at]).length;
    return before < OFTEN || alike.lastIndexOf(alike[at]) === at;
  });
}

/** Returns the subject and manner of a call, without random names, depth, and result. */
function likeness(text: string): string {
  const [what] = /^.*?["<]\/[^">]*/.exec(text) ?? [""];
  const flags = /\b(O|AT|LOCK)_[A-Z_|]+/g;
  const path = what.replace(/[a-z2-9]{21}/g, "…").replace(/\d+/g, "N").replace(/(\/d)+(?=\/|$)/g, "/d");
  return [path, ...text.match(flags) ?? []].join(" ");
}

/** The components of a path are resolved one by one: only the last call is tried, and stands for all. */
function isOnTheWay({ name, text }: Call, next: Call | undefined): boolean {
  const path = /^"(.*?)"/.exec(text)?.[1];
  return name === "readlink" && next?.name === name && path !== undefined &&
    next.text.startsWith(`"${path}/`);
}

/** Formats a call for messages. */
export const textOf = (call: Pick<Call, "name" | "text"> | undefined): string =>
  call === undefined ? "" : `${call.name}(${call.text}`;

/** Returns the filters for strace: to record what the library calls, or to inject a fault into one call. */
export function filters(fault: Fault | undefined): string[] {
  if (fault === undefined) return ["-e", `trace=${optional(Object.keys(CODES))},${MARKING}`];
  const { call: { name, number }, what } = fault;
  const injected = what === "KILL" ? "signal=KILL" : `error=${what}`;
  // The calls that make the marks, and those that show that the report was made, besides the call itself.
  return [
    "-e",
    `trace=${name},write,stat,statx,newfstatat,${MARKING}`,
    "-e",
    `inject=${name}:${injected}:when=${number}`,
  ];
}

const optional = (names: string[]): string => names.map((name) => `?${name}`).join(",");

/** Returns the call that the fault hit: a run is conclusive only if that is the intended one. */
export function hitIndex({ call: { name, index, number } }: Fault, calls: readonly Call[]): number {
  const at = calls.findIndex((call) => call.name === name && call.index === index);
  return at >= 0 && calls[at].number === number ? at : -1;
}

/** Returns the descriptor that a refused close left open. */
export function keptBy(fault: Fault | undefined, call: Call | undefined): number | undefined {
  if (fault?.what === "KILL" || call?.name !== "close") return undefined;
  return Number.parseInt(call.text);
}
