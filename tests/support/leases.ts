/**
 * What dead processes leave behind, written by hand.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";

const ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789";

const random = (length: number): string =>
  Array.from({ length }, () => ALPHABET[Math.floor(Math.random() * ALPHABET.length)]).join("");

/** Starts a program, waits for its end, and returns its PID. A runtime takes ten times as long as a program that does nothing. */
export const endedProcess = (): number =>
  process.platform === "win32" ? spawnSync(process.execPath, ["--version"]).pid : spawnSync("true").pid;

let ended: number | undefined;

/** Returns the PID of a process that has exited. */
export const deadPid = (): number => ended ??= endedProcess();

/** Returns this user's directory of leases in a temporary directory. */
export const leasesIn = (directory: string): string =>
  join(directory, `.mayfly-${process.getuid?.() ?? "user"}`);

/** Returns the leases in a temporary directory by their names: their lines, without a partially written one. */
export function readLeases(directory: string): { [name: string]: string } {
  const leases = leasesIn(directory);
  const whole = (name: string): string => {
    const lines = readFileSync(join(leases, name), "utf8").split("\n").slice(0, -1);
    return lines.filter((line) => !line.endsWith("\r")).map((line) => `${line}\n`).join("");
  };
  return Object.fromEntries(readdirSync(leases).map((name) => [name, whole(name)]));
}

/** The contents of a planted lease, where they differ from the lease of a dead process of this machine. */
export interface Said {
  pid?: number;
  host?: string;
  namespace?: string;
  /** Lines after those that identify the process's host and namespace. */
  lines?: readonly string[];
  /** The whole text. */
  text?: string;
}

/** A lease, and names as its process would have created them. */
export interface Planted {
  /** The path of the lease. */
  path: string;
  session: string;
  name(prefix?: string, suffix?: string): string;
}

/** Returns the host and namespace of this machine's processes. */
export const home = (): { host: string; namespace: string } => ({
  host: hostname(),
  namespace: process.platform === "linux" ? readlinkSync("/proc/self/ns/pid") : "none",
});

/** Plants a lease in a temporary directory. */
export function plant(directory: string, said: Said = {}): Planted {
  const { pid = deadPid(), host, namespace, lines = [`made ${directory}/tmp*`] } = { ...home(), ...said };
  const text = said.text ??
    ["mayfly 1", `pid ${pid}`, `namespace ${namespace}`, `host ${host}`, ...lines, ""].join("\n");
  const session = random(8), leases = leasesIn(directory);
  mkdirSync(leases, { recursive: true, mode: 0o700 });
  const path = join(leases, `${session}-${pid}.lease`);
  writeFileSync(path, text, { mode: 0o600 });
  return { path, session, name: (prefix = "tmp", suffix = "") => prefix + session + random(13) + suffix };
}

/** Plants the lease of a dead process in a temporary directory; returns names as it would have created them. */
export function plantLease(directory: string, pid?: number, host?: string): () => string {
  const { name } = plant(directory, { ...pid === undefined ? {} : { pid }, ...host ? { host } : {} });
  return () => name();
}

interface Registry {
  entries: { size: number };
  leases: Iterable<{ discard(): void }> & { delete(lease: unknown): void };
}

/**
 * Waits until this process holds nothing, and discards its leases as the library does some time later, so that the next
 * thing it creates starts one.
 */
export async function withoutLease(): Promise<void> {
  const registry = (globalThis as { [key: symbol]: Registry | undefined })[Symbol.for("mayfly.registry")];
  if (registry === undefined) return;
  for (let tries = 0; registry.entries.size > 0; tries++) {
    if (tries === 1000) throw new Error("this process still holds something");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  for (const lease of registry.leases) {
    registry.leases.delete(lease);
    lease.discard();
  }
}
