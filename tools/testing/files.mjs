import { readdirSync } from "node:fs";
import { inRoot } from "../paths.mjs";

/** Run by tasks of their own: `std` needs JSR, `faults` takes long. */
const elsewhere = ["std/", "faults/"];

/** The test files, as paths from the root with "/", in a fixed order. */
export function testFiles(filter = "") {
  return readdirSync(inRoot("tests"), { recursive: true })
    .map((name) => name.replaceAll("\\", "/"))
    .filter((name) => name.endsWith(".test.ts") && !elsewhere.some((folder) => name.startsWith(folder)))
    .filter((name) => name.includes(filter))
    .map((name) => `tests/${name}`)
    .sort();
}
