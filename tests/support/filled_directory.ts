/**
 * A directory with all kinds of contents, and the ways to persist it.
 *
 * @module
 */
import assert from "node:assert/strict";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { PersistDirectoryOptions, TemporaryDirectory } from "#mod";
import { temporaryDirectory as sourceDirectory } from "../../lib/directory.ts";
import { pattern, sameBytes } from "./kinds.ts";
import { isWindows, noLinks, shownMode } from "./platform.ts";
import type { Scratch } from "./scratch.ts";
import { systemError } from "./substitute.ts";

/** A way to persist a directory. */
export type Persist = (
  directory: TemporaryDirectory,
  path: string | URL,
  options?: PersistDirectoryOptions,
) => Promise<string>;

/** The asynchronous and the synchronous `persist`. */
export const variants: { readonly [name: string]: Persist } = {
  "async": (directory, path, options) => directory.persist(path, options),
  "sync": (directory, path, options) =>
    new Promise((resolve) => resolve(directory.persistSync(path, options))),
};

export const modeOf = (path: string): number => lstatSync(path).mode & 0o777;

/** Modes without some of the owner's or others' permissions. Directories on Windows have none. */
export const MODES: [name: string, mode: number][] = [
  ["sub/tool", 0o755],
  ["file", 0o440],
  ...isWindows ? [] : [["sub/empty", 0o500] as [string, number]],
];

export const LINKS: [name: string, target: string][] = noLinks === false
  ? [["sub/link", "../file"], ["dangling", "nowhere"]]
  : [];

/** Fills a directory with subdirectories, small, empty and large files, links, and restrictive modes. */
export function fill(path: string): void {
  mkdirSync(join(path, "sub", "empty"), { recursive: true });
  writeFileSync(join(path, "file"), "text");
  writeFileSync(join(path, "sub", "none"), "");
  writeFileSync(join(path, "sub", "large"), pattern(3 * 1024 ** 2 + 1));
  writeFileSync(join(path, "sub", "tool"), "#!/bin/sh\n");
  for (const [name, target] of LINKS) symlinkSync(target, join(path, name));
  for (const [name, mode] of MODES) chmodSync(join(path, name), mode);
}

/** Creates and fills a directory with the library's source, where primitives can be substituted. */
export async function filled(place: Scratch): Promise<TemporaryDirectory> {
  const directory = await sourceDirectory({ dir: place.path });
  fill(directory.path);
  return directory as unknown as TemporaryDirectory;
}

/** Asserts that a directory contains what `fill` creates. */
export function assertFilled(path: string): void {
  assert.equal(readFileSync(join(path, "file"), "utf8"), "text");
  assert.equal(statSync(join(path, "sub", "none")).size, 0);
  assert.ok(sameBytes(readFileSync(join(path, "sub", "large")), pattern(3 * 1024 ** 2 + 1)));
  for (const [name, mode] of MODES) assert.equal(modeOf(join(path, name)), shownMode(mode), name);
  for (const [name, target] of LINKS) assert.equal(readlinkSync(join(path, name)), target);
}

/** Returns a rename that fails with EXDEV for one source path, as if it were on another file system. */
export function crossDevice(
  path: string,
): (real: (...args: unknown[]) => unknown, from: string, to: string) => unknown {
  return (real, from, to) => {
    if (from === path) throw systemError("EXDEV");
    return real(from, to);
  };
}
