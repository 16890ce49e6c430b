/**
 * Deno's permissions, queried so that Deno never prompts.
 *
 * @module
 */
import { coded } from "./codes.ts";
import type { DenoNamespace } from "./deno_namespace.ts";

/** Whether a permission is granted. Never prompts. */
export function granted(
  deno: Pick<DenoNamespace, "permissions">,
  name: string,
  detail: { [key: string]: string } = {},
): boolean {
  return deno.permissions.querySync({ name, ...detail }).state === "granted";
}

/** The flag that `Runtime.uid` needs. */
export const USER_FLAG = "--allow-sys=uid";

/** Refuses a call that would make Deno prompt: the user has never heard of a file that only Mayfly wants to read. */
export function requireGranted(
  deno: Pick<DenoNamespace, "permissions">,
  name: string,
  detail: { [key: string]: string } = {},
): void {
  if (granted(deno, name, detail)) return;
  throw coded("ERR_ACCESS_DENIED", `it needs --allow-${[name, ...Object.values(detail)].join("=")}`);
}
