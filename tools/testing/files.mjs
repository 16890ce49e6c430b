import { readdirSync, readFileSync } from "node:fs";
import { inRoot } from "../paths.mjs";

/** Run by a task of their own, since they need JSR. */
const elsewhere = ["std/"];

/** Marks a file whose tests are all skipped on the source: see tests/support/once.ts. */
const packageOnly = "packageTest as test";

/**
 * Returns the test files of one mode, as paths from the root with "/", sorted: those whose names contain one of the
 * filter's texts.
 */
export function testFiles(filter = "", mode = "dist") {
  return readdirSync(inRoot("tests"), { recursive: true })
    .map((name) => name.replaceAll("\\", "/"))
    .filter((name) => name.endsWith(".test.ts") && !elsewhere.some((folder) => name.startsWith(folder)))
    .filter((name) => filter.split(",").some((text) => name.includes(text)))
    .map((name) => `tests/${name}`)
    .filter((path) => mode !== "source" || !readFileSync(inRoot(path), "utf8").includes(packageOnly))
    .sort();
}
