import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as m from "#mod";
import { runChild } from "../support/child.ts";
import { root } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";

/** Returns the code in the last column of every row, with the heading above it. */
function documentedCalls(): { library: string; code: string }[] {
  const found: { library: string; code: string }[] = [];
  let library = "";
  for (const line of readFileSync(join(root, "docs/coming_from.md"), "utf8").split("\n")) {
    if (line.startsWith("## ")) library = line.slice(3);
    const code = /\| `([^`]+)` +\|$/.exec(line)?.[1];
    if (code !== undefined && /[;}]$/.test(code)) found.push({ library, code });
  }
  return found;
}

/** Compiles `using`, which not every runtime under test has. */
async function lowered(code: string): Promise<string> {
  const { transform } = await import("esbuild");
  return (await transform(code, { target: "node20", format: "esm", loader: "js" })).code;
}

/** What the examples assume to be defined. */
const PRELUDE = `
  const use = () => {};
  const dir = fs.mkdtempSync(process.env.TMPDIR + "/given-");
  const path = dir + "/a", fresh = dir + "/b", data = "data";
  fs.writeFileSync(path, "old");`;

test("every call in the tables of docs/coming_from.md works on this runtime", async () => {
  using place = scratch();
  const all = documentedCalls();
  const libraries = new Set(all.map(({ library }) => library));
  assert.equal(libraries.size, 9, [...libraries].join());
  assert.ok(all.length > 50, `${all.length} calls`);
  const names = Object.keys(m).join(", ");
  const blocks = all.map(({ code }, index) =>
    `await (async () => {${PRELUDE}
    // In a scope of its own, since a call may declare the same names.
    await (async () => {${code}})();
    configure({ tmpdir: undefined });
    say(${index});
  })();`
  );
  const { said, status, stderr } = await runChild(
    await lowered(`const { ${names} } = m;\n${blocks.join("\n")}`),
    { env: { TMPDIR: place.path } },
  );
  assert.equal(stderr, "");
  assert.equal(status, 0);
  assert.deepEqual(said, all.map((_, index) => index));
});
