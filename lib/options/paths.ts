/**
 * Validation of paths.
 *
 * @module
 */
import { invalid } from "../errors.ts";
import { absolute } from "../path.ts";
import { isWindows } from "../runtime/mod.ts";

/**
 * Checks a path: a non-empty string without NUL, or a `file:` URL, which is converted to a path. Relative paths are
 * resolved now, as the call may be delayed while the program changes its working directory.
 */
export function checkPath(value: unknown, option: string): string {
  const path = typeof value === "string" ? value : pathOfUrl(value, option);
  if (path === "") throw invalid(option, "a path, not an empty string", value);
  if (path.includes("\0")) throw invalid(option, "a path without NUL characters", value);
  if (!path.isWellFormed()) throw invalid(option, "a path without lone surrogates", value);
  return absolute(path);
}

function pathOfUrl(value: unknown, option: string): string {
  const { protocol, host, pathname } = partsOf(value, option);
  if (protocol !== "file:") throw invalid(option, "a file: URL", protocol);
  if (host !== "") throw invalid(option, "a file: URL without a host", host);
  if ((isWindows() ? /%2f|%5c/i : /%2f/i).test(pathname)) {
    throw invalid(option, "a file: URL without encoded slashes", pathname);
  }
  const path = decode(pathname, option);
  return isWindows() && /^\/[a-z]:/i.test(path) ? path.slice(1) : path;
}

/** How a URL is recognized, and read once: one of another realm, or from a test's simulated browser, works too. */
interface UrlLike {
  [Symbol.toStringTag]?: unknown;
  href: string;
}

/** An object that only inherits from URL, such as a Proxy, throws when its properties are read. */
function partsOf(value: unknown, option: string): URL {
  try {
    if ((value as UrlLike)[Symbol.toStringTag] === "URL") return new URL((value as UrlLike).href);
  } catch {
    // Not a usable URL either.
  }
  throw invalid(option, "a string or a file: URL", value);
}

function decode(text: string, option: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid(option, "a file: URL in UTF-8", text);
  }
}
