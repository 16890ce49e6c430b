/**
 * What processes leave that died, written by hand.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readlinkSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";

const ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789";

const random = (length: number): string =>
  Array.from({ length }, () => ALPHABET[Math.floor(Math.random() * ALPHABET.length)]).join("");

/** The number of a process that has ended. */
export const deadPid = (): number => spawnSync("true").pid;

/** Plants the lease of a dead process in a temporary directory; returns names as it would have made them. */
export function plantLease(
  directory: string,
  pid: number = deadPid(),
  host: string = hostname(),
): () => string {
  const session = random(8);
  const leases = join(directory, `.mayfly-${process.getuid!()}`);
  mkdirSync(leases, { recursive: true, mode: 0o700 });
  const namespace = readlinkSync("/proc/self/ns/pid");
  const text = `mayfly 1\npid ${pid}\nnamespace ${namespace}\nhost ${host}\nparent ${directory}\n`;
  writeFileSync(join(leases, `${session}-${pid}.lease`), text, { mode: 0o600 });
  return () => `tmp${session}${random(13)}`;
}
