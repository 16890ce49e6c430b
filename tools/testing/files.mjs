import { readdirSync } from "node:fs";
import { inRoot } from "../paths.mjs";

/** Run by a task of its own: it needs JSR. */
const elsewhere = ["std/"];

/** The test files, as paths from the root with "/", in a fixed order: those whose name has one of the filter's texts. */
export function testFiles(filter = "") {
  return readdirSync(inRoot("tests"), { recursive: true })
    .map((name) => name.replaceAll("\\", "/"))
    .filter((name) => name.endsWith(".test.ts") && !elsewhere.some((folder) => name.startsWith(folder)))
    .filter((name) => filter.split(",").some((text) => name.includes(text)))
    .map((name) => `tests/${name}`)
    .sort();
}
