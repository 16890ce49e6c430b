/**
 * The few path operations needed, for both kinds of separators. Loading the runtime's own path module would take
 * milliseconds.
 *
 * @module
 */
import { isWindows, type Path, runtime } from "./runtime/mod.ts";
import { utf8 } from "./utf8.ts";

/** Joins a directory and a name. */
export function joinPath(directory: string, name: string): string;
export function joinPath(directory: Path, name: Path): Path;
export function joinPath(directory: Path, name: Path): Path {
  if (typeof directory !== "string" || typeof name !== "string") return joinBytes(directory, name);
  const separator = isWindows() ? "\\" : "/";
  return directory.endsWith(separator) ? directory + name : directory + separator + name;
}

const SLASH = 0x2f;

/** Only POSIX systems have names that are not valid text. */
function joinBytes(directory: Path, name: Path): Uint8Array {
  const start = bytesOf(directory);
  const slash = start.at(-1) === SLASH ? [] : [SLASH];
  return Uint8Array.of(...start, ...slash, ...bytesOf(name));
}

const bytesOf = (path: Path): Uint8Array => typeof path === "string" ? utf8.encode(path) : path;

/** A path for messages. */
export const shownPath = (path: Path): string =>
  typeof path === "string" ? path : new TextDecoder().decode(path);

/**
 * The start of the last component. In `C:file`, what follows the drive is relative to the working directory of that
 * drive.
 */
function lastComponent(path: string): number {
  if (!isWindows()) return path.lastIndexOf("/") + 1;
  return Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\"), /^[a-z]:/i.test(path) ? 1 : -1) + 1;
}

/** The last component. */
export const baseName = (path: string): string => path.slice(lastComponent(path));

/** Everything before the last component: `"."` for a bare name, the root for entries in it, the drive for `C:file`. */
export function parentOf(path: string): string {
  const end = lastComponent(path);
  if (end === 0) return ".";
  const parent = path.slice(0, end);
  return /^([a-z]:|[/\\]{2}[^/\\]+[/\\][^/\\]+)?[/\\]?$/i.test(parent) ? parent : parent.slice(0, -1);
}

/** Strips separators at the end, which would make `lstat` follow a link. */
export function withoutTrailingSeparators(path: string): string {
  return path.replace(isWindows() ? /(?<=[^:/\\])[/\\]+$/ : /(?<=[^/])\/+$/, "");
}

/** Whether a path ends without a name, so that it can only be a directory. Windows would take `file/.` for the file. */
export function isNameless(path: string): boolean {
  const name = baseName(path);
  return name === "" || isDots(name);
}

/** Windows strips trailing dots and spaces from a component, so one consisting of them may name another directory. */
const isDots = (part: string): boolean => isWindows() ? /^[. ]+$/.test(part) : part === "." || part === "..";

/** Whether a path starts at a root. */
export const isAbsolute = (path: string): boolean =>
  isWindows() ? /^([a-z]:)?[/\\]/i.test(path) : path.startsWith("/");

/**
 * Resolves a path against the current working directory. On Windows each drive has its own, which cannot be queried:
 * `C:file` is returned as it is.
 */
export function absolute(path: string): string {
  const cwd = isAbsolute(path) || (isWindows() && /^[a-z]:/i.test(path)) ? undefined : runtime.cwd();
  return cwd === undefined ? path : joinPath(cwd, path);
}

/** The components of a path; `undefined` if they lead above its start. */
export function componentsInside(path: string): string[] | undefined {
  const inside: string[] = [];
  for (const part of path.split(isWindows() ? /[/\\]/ : "/")) {
    if (part === "" || part === ".") continue;
    if (!isDots(part)) inside.push(part);
    else if (part !== ".." || inside.pop() === undefined) return undefined;
  }
  return inside;
}

/** Whether `path` is `directory` or inside it; both must be canonical. */
export function contains(directory: string, path: string): boolean {
  return path === directory || path.startsWith(joinPath(directory, ""));
}
