/**
 * The system calls of the library, as strace wrote them down, and how they can fail.
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

/** The system calls that are tried, and how each can fail. */
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

/** By these the marks are made. */
const MARKING = "access,faccessat,faccessat2";

/** What only creating can meet. */
const FULL: readonly string[] = ["ENOSPC", "EROFS"];

/** A call of the library. */
export interface Call {
  name: string;
  /** As strace shows it. */
  text: string;
  /** The name, and for a look at processes what it is at. */
  kind: string;
  /** Counts the calls of this kind within the window, from 0. */
  index: number;
  /** Counts all that the thread made of this name since it is traced, from 1. */
  number: number;
  /** Whether it is made at the end of the process, after the report. */
  atEnd: boolean;
}

/** What is done to a call. */
export interface Fault {
  call: Call;
  /** `EIO`, say; or `KILL`. */
  what: string;
}

/** How a call can fail. */
export function codesFor({ name, text }: Call): readonly string[] {
  const creates = /O_CREAT|O_TMPFILE/.test(text);
  if (/^open/.test(name) && !creates) return CODES[name].filter((code) => !FULL.includes(code));
  return CODES[name];
}

const ENGINE = /^(\d+|AT_FDCWD)<(anon_inode|pipe|socket|\/dev\/(null|pts|tty)|\/memfd|.*code_cache)/;

/** Where the library itself is, which an engine loads when it is asked for. */
const LIBRARY = dirname(fileURLToPath(moduleUrl));

/** Files in which an engine looks for itself, and what the process says of itself. */
export const isEngines = ({ name, text }: Pick<Call, "name" | "text">): boolean =>
  text.includes(`${LIBRARY}/`) || ENGINE.test(text) || /^[012][<,]/.test(text) ||
  /"\/(sys|dev\/null)\b/.test(text) || !(name in CODES);

/** The calls of the library: those between the marks. */
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
    const kind = name + (shapeOf(text) ?? "");
    const index = indexes.get(kind) ?? 0;
    indexes.set(kind, index + 1);
    calls.push({ name, text, kind, index, number, atEnd });
  }
  return calls.filter((call, at) => !isOnTheWay(call, calls[at + 1]) && !isRepeated(call));
}

/** The call that was refused, the library's or the engine's. */
export function refusedIn(log: string): Pick<Call, "name" | "text"> | undefined {
  const [, name, text] = /^(\w+)\((.*) \(INJECTED\)$/m.exec(log) ?? [];
  return name === undefined ? undefined : { name, text };
}

/** How often a call is tried that is made again and again, in a deep tree say: the first times, and the last. */
const OFTEN = 2;

/** The calls without those that are like ones before and after. */
export function distinct(calls: readonly Call[]): Call[] {
  const alike = calls.map(({ name, text }) => name + likeness(text));
  return calls.filter((_, at) => {
    const before = alike.slice(0, at).filter((one) => one === alike[at]).length;
    return before < OFTEN || alike.lastIndexOf(alike[at]) === at;
  });
}

/** What a call is about and how, without the names that chance gives, depth, and what came of it. */
function likeness(text: string): string {
  const [what] = /^.*?["<]\/[^">]*/.exec(text) ?? [""];
  const flags = /\b(O|AT|LOCK)_[A-Z_|]+/g;
  const path = what.replace(/[a-z2-9]{21}/g, "…").replace(/\d+/g, "N").replace(/(\/d)+(?=\/|$)/g, "/d");
  return [path, ...text.match(flags) ?? []].join(" ");
}

/** What a look at processes is about, whichever they are, and whatever the answer is; undefined for all other calls. */
const shapeOf = (text: string): string | undefined =>
  /["<](\/proc\/\d+\/[^">]*)/.exec(text.replace(/ = \d+<.*/, ""))?.[1].replace(/\d+/g, "N");

/** How many processes there are, and what they have open, is not the same twice: the first look stands for all. */
const isRepeated = ({ name, kind, index }: Call): boolean => kind !== name && index > 0;

/** What a path leads through is asked for one name after another: only the last is tried, which stands for all. */
function isOnTheWay({ name, text }: Call, next: Call | undefined): boolean {
  const path = /^"(.*?)"/.exec(text)?.[1];
  return name === "readlink" && next?.name === name && path !== undefined &&
    next.text.startsWith(`"${path}/`);
}

/** For messages. */
export const textOf = (call: Pick<Call, "name" | "text"> | undefined): string =>
  call === undefined ? "" : `${call.name}(${call.text}`;

/** What strace is told: to write down what the library calls, or to spoil one call. */
export function filters(fault: Fault | undefined): string[] {
  if (fault === undefined) return ["-e", `trace=${optional(Object.keys(CODES))},${MARKING}`];
  const { call: { name, number }, what } = fault;
  const injected = what === "KILL" ? "signal=KILL" : `error=${what}`;
  // What is marked by, and what tells that the report was made, beside the call itself.
  return [
    "-e",
    `trace=${name},write,stat,statx,newfstatat,${MARKING}`,
    "-e",
    `inject=${name}:${injected}:when=${number}`,
  ];
}

const optional = (names: string[]): string => names.map((name) => `?${name}`).join(",");

/** Which call the fault met: only if it is the one that it was meant for does the run tell us anything. */
export function meeting({ call: { kind, index, number } }: Fault, calls: readonly Call[]): number {
  const at = calls.findIndex((call) => call.kind === kind && call.index === index);
  return at >= 0 && calls[at].number === number ? at : -1;
}

/** The descriptor that a close was kept from closing. */
export function keptBy(fault: Fault | undefined, call: Call | undefined): number | undefined {
  if (fault?.what === "KILL" || call?.name !== "close") return undefined;
  return Number.parseInt(call.text);
}
