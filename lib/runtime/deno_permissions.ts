/**
 * Deno's permissions, asked so that Deno never asks the user.
 *
 * @module
 */
import { coded } from "./codes.ts";
import type { DenoNamespace } from "./deno_namespace.ts";

/** Whether a permission is granted; asking this way never prompts. */
export function granted(deno: DenoNamespace, name: string, detail: { [key: string]: string } = {}): boolean {
  return deno.permissions.querySync({ name, ...detail }).state === "granted";
}

/** The flag that `Runtime.uid` needs. */
export const USER_FLAG = "--allow-sys=uid";

/** Refuses what Deno would ask the user about: nobody has heard of a file that only we want to look at. */
function refuse(flag: string): never {
  throw coded("ERR_ACCESS_DENIED", `it needs ${flag}`);
}

/** Refuses a file of the system that may not be read. Whoever may has those of `/proc` refused by Deno, without a question. */
export function requireSystem(deno: DenoNamespace, path: string): void {
  if (!granted(deno, "read", { path })) refuse(`--allow-read=${path}`);
}

/** Refuses to ask for the space of a file system where that is not permitted. */
export function requireStatfs(deno: DenoNamespace): void {
  if (!granted(deno, "sys", { kind: "statfs" })) refuse("--allow-sys=statfs");
}
