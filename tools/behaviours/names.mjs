import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { inRoot } from "../paths.mjs";

/** Returns the behaviours that a test name mentions; of a range like "C226–C230" only the two it names. */
export const mentioned = (name) => [...name.matchAll(/\b[CT]\d+\b/g)].map(([number]) => number);

/** Returns the names of all tests as `{ file, name }`, read from the source: those of every platform, run or not. */
export function testNames() {
  return readdirSync(inRoot("tests"), { recursive: true })
    .filter((file) => file.endsWith(".test.ts"))
    .flatMap((file) => {
      const source = readFileSync(inRoot("tests", file), "utf8");
      return namesIn(source).map((name) => ({ file: join("tests", file), name }));
    });
}

/** Returns the string literals passed to `test(`, or to a helper of the tests whose name ends with it (`rootTest(`). */
export function namesIn(source) {
  const call = /(?<![.\w])(?:\w*T|t)est\(\s*(["'`])((?:\\.|(?!\1)[^\\])*)\1/g;
  return [...source.matchAll(call)].filter((match) => !isComment(source, match.index)).map(([, , name]) =>
    name
  );
}

function isComment(source, index) {
  const before = source.slice(source.lastIndexOf("\n", index) + 1, index);
  return /^\s*(\/\/|\/?\*)/.test(before);
}
