/**
 * Removal with both methods of a directory, here and in child processes.
 *
 * @module
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import * as m from "#mod";
import { isBun, isDeno, root } from "./platform.ts";

/** Runs a test with `remove()` and with `removeSync()`, each with a directory of its own. */
export async function bothWays(
  test: (directory: m.TemporaryDirectory, remove: () => Promise<m.Leftover[]>) => unknown,
): Promise<void> {
  const one = await m.temporaryDirectory();
  await test(one, () => one.remove());
  const two = m.temporaryDirectorySync();
  await test(two, async () => await two.removeSync());
  for (const { path } of [one, two]) assert.ok(!existsSync(path), path);
}

/** For child processes: removes a directory with `remove()` and one with `removeSync()`, each filled by `fill(path)`. */
export const BOTH_WAYS: string = `
const attempt = async (call) => { try { return await call(); } catch (error) { return { code: error.code, leftovers: error.leftovers }; } };
async function bothWays(options, fill, look = () => {}) {
  for (const way of ["async", "sync"]) {
    const d = await m.temporaryDirectory(options);
    await fill(d.path, way);
    const left = await attempt(() => way === "async" ? d.remove() : d.removeSync());
    say({ way, path: d.path, left, gone: !fs.existsSync(d.path), seen: look(d.path) });
  }
}
const { spawnSync } = await import("node:child_process");
`;

/** Asserts of both removals by a child that they succeeded and left nothing. */
export const assertBothRemoved = (said: { left: unknown; gone: boolean }[]): void => {
  assert.deepEqual(said.map(({ left, gone }) => ({ left, gone })), [{ left: [], gone: true }, {
    left: [],
    gone: true,
  }]);
};

/** Flags that let a child read the library and its own script, and use `place`; undefined on Bun, which has none. */
export function restricted(place: string): string[] | undefined {
  if (isBun) return undefined;
  if (isDeno) return [`--allow-read`, `--allow-write=${place}`, `--allow-env`];
  const flag = Number(process.versions.node.split(".")[0]) < 22
    ? "--experimental-permission"
    : "--permission";
  return [
    flag,
    "--no-warnings",
    ...[root, place].map((path) => `--allow-fs-read=${join(path, "*")}`),
    `--allow-fs-write=${join(place, "*")}`,
  ];
}
