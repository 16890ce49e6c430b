/**
 * The few operations on paths that are needed, for both kinds of separators. Loading the runtime's own path module
 * would cost milliseconds.
 *
 * @module
 */
import { isWindows, type Path, runtime } from "./runtime/mod.ts";

/** The path of `name` in `directory`. */
export function joinPath(directory: string, name: string): string;
export function joinPath(directory: Path, name: Path): Path;
export function joinPath(directory: Path, name: Path): Path {
  if (typeof directory !== "string" || typeof name !== "string") return joinBytes(directory, name);
  const separator = isWindows() ? "\\" : "/";
  return directory.endsWith(separator) ? directory + name : directory + separator + name;
}

const SLASH = 0x2f;

/** Only POSIX systems have names that are no text. */
function joinBytes(directory: Path, name: Path): Uint8Array {
  const start = bytesOf(directory);
  const slash = start.at(-1) === SLASH ? [] : [SLASH];
  return Uint8Array.of(...start, ...slash, ...bytesOf(name));
}

const bytesOf = (path: Path): Uint8Array => typeof path === "string" ? new TextEncoder().encode(path) : path;

/** A path for messages. */
export const shownPath = (path: Path): string =>
  typeof path === "string" ? path : new TextDecoder().decode(path);

/** Where the last component starts. What follows the drive in `C:file` is relative to the current directory there. */
function lastComponent(path: string): number {
  if (!isWindows()) return path.lastIndexOf("/") + 1;
  return Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\"), /^[a-z]:/i.test(path) ? 1 : -1) + 1;
}

/** The last component. */
export const baseName = (path: string): string => path.slice(lastComponent(path));

/** Everything before the last component: `"."` for a bare name, the root for what is in the root, a drive for what follows it. */
export function parentOf(path: string): string {
  const end = lastComponent(path);
  if (end === 0) return ".";
  const parent = path.slice(0, end);
  return /^([a-z]:|[/\\]{2}[^/\\]+[/\\][^/\\]+)?[/\\]?$/i.test(parent) ? parent : parent.slice(0, -1);
}

/** The path without separators at its end, which would make `lstat` follow a link. */
export function withoutTrailingSeparators(path: string): string {
  return path.replace(isWindows() ? /(?<=[^:/\\])[/\\]+$/ : /(?<=[^/])\/+$/, "");
}

/** Whether a path ends with no name: it can mean nothing but a directory. Windows would take `file/.` for the file. */
export function isNameless(path: string): boolean {
  const name = baseName(path);
  return name === "" || isDots(name);
}

/** Windows drops dots and spaces at the end of a component: what is nothing else may name another directory. */
const isDots = (part: string): boolean => isWindows() ? /^[. ]+$/.test(part) : part === "." || part === "..";

/** Whether a path starts at a root. */
export const isAbsolute = (path: string): boolean =>
  isWindows() ? /^([a-z]:)?[/\\]/i.test(path) : path.startsWith("/");

/** The path as it is meant now, whatever the current directory is later. On Windows each drive has its own, which nobody tells. */
export function fromHere(path: string): string {
  const here = isAbsolute(path) || (isWindows() && /^[a-z]:/i.test(path)) ? undefined : runtime.cwd();
  return here === undefined ? path : joinPath(here, path);
}

/** The components of a path; `undefined` if they lead out of where they start. */
export function componentsInside(path: string): string[] | undefined {
  const inside: string[] = [];
  for (const part of path.split(isWindows() ? /[/\\]/ : "/")) {
    if (part === "" || part === ".") continue;
    if (!isDots(part)) inside.push(part);
    else if (part !== ".." || inside.pop() === undefined) return undefined;
  }
  return inside;
}

/** Whether `path` is `directory` or lies in it; both canonical. */
export function contains(directory: string, path: string): boolean {
  return path === directory || path.startsWith(joinPath(directory, ""));
}
