/**
 * Deno's permissions, asked so that Deno never asks the user.
 *
 * @module
 */
import type { DenoNamespace } from "./deno_namespace.ts";

/** The permissions that together are `--allow-all`, without which Deno refuses every path below `/proc`. */
const ALL = ["read", "write", "run", "env", "net", "sys", "ffi"];

/** Whether a permission is granted; asking this way never prompts. */
export function granted(deno: DenoNamespace, name: string, detail: { [key: string]: string } = {}): boolean {
  return deno.permissions.querySync({ name, ...detail }).state === "granted";
}

/** Whether everything is granted. */
export const grantsAll = (deno: DenoNamespace): boolean => ALL.every((name) => granted(deno, name));

/** Refuses what Deno would ask the user about: nobody has heard of a file that only we want to look at. */
function refuse(flag: string): never {
  throw Object.assign(new Error(`it needs ${flag}`), { code: "ERR_ACCESS_DENIED" });
}

/** Refuses a file of the system that may not be read. */
export function requireSystem(deno: DenoNamespace, path: string): void {
  if (path.startsWith("/proc/") && !grantsAll(deno)) refuse("--allow-all");
  if (!granted(deno, "read", { path })) refuse(`--allow-read=${path}`);
}

/** Refuses to ask for the space of a file system where that is not permitted. */
export function requireStatfs(deno: DenoNamespace): void {
  if (!granted(deno, "sys", { kind: "statfs" })) refuse("--allow-sys=statfs");
}
