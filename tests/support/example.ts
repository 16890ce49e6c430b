/**
 * The examples, run as programs.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { runtimeCommand } from "./child.ts";
import { isDeno } from "./platform.ts";

/** The permissions that all examples need on Deno. */
const PERMISSIONS = ["--no-prompt", "--allow-read", "--allow-write"];

/** The result of an example. */
export interface Ended {
  status: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
}

/** How to run an example. */
export interface StartOptions {
  /** A program to run it under. */
  under?: string[];
  /** Permissions that it needs on Deno beyond those for files. */
  permissions?: string[];
  env?: { [name: string]: string };
}

/** Returns the URL of an example. */
export const example = (name: string): URL => new URL(`../../examples/${name}.ts`, import.meta.url);

/** Starts an example as a program. Its standard input is a pipe, empty unless something is written to it. */
export function start(
  script: URL,
  args: string[],
  { under = [], permissions = [], env }: StartOptions = {},
): ChildProcess & { end: Promise<Ended> } {
  const flags = isDeno ? [...PERMISSIONS, ...permissions] : undefined;
  const [command, ...first] = [...under, ...runtimeCommand(fileURLToPath(script), flags)];
  const child = spawn(command, [...first, ...args], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  let stdout = "", stderr = "";
  child.stdout.setEncoding("latin1").on("data", (text) => stdout += text);
  child.stderr.setEncoding("utf8").on("data", (text) => stderr += text);
  const end = new Promise<Ended>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status, signal) => resolve({ status, signal, stdout, stderr }));
  });
  return Object.assign(child, { end });
}

/** Runs an example until it exits, with some standard input. */
export function run(
  script: URL,
  args: string[],
  options: StartOptions & { input?: string } = {},
): Promise<Ended> {
  const child = start(script, args, options);
  child.stdin!.end(options.input ?? "");
  return child.end;
}
