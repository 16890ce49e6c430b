/**
 * Deno's permissions, queried so that Deno never prompts.
 *
 * @module
 */
import { coded } from "./codes.ts";
import type { DenoNamespace } from "./deno_namespace.ts";

/** Whether a permission is granted. Never prompts. */
export function granted(deno: DenoNamespace, name: string, detail: { [key: string]: string } = {}): boolean {
  return deno.permissions.querySync({ name, ...detail }).state === "granted";
}

/** The flag that `Runtime.uid` needs. */
export const USER_FLAG = "--allow-sys=uid";

/** Refuses a call that would make Deno prompt: the user has never heard of a file that only Mayfly wants to read. */
function refuse(flag: string): never {
  throw coded("ERR_ACCESS_DENIED", `it needs ${flag}`);
}

/**
 * Refuses to read a system file without permission. With it, Deno may still refuse those of `/proc`, but without a
 * prompt.
 */
export function requireRead(deno: DenoNamespace, path: string): void {
  if (!granted(deno, "read", { path })) refuse(`--allow-read=${path}`);
}

/** Refuses to query the space of a file system without permission. */
export function requireStatfs(deno: DenoNamespace): void {
  if (!granted(deno, "sys", { kind: "statfs" })) refuse("--allow-sys=statfs");
}
