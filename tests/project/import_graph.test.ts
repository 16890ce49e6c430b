import assert from "node:assert/strict";
import { test } from "node:test";
import ts from "typescript";
import { importsOf, modules, nodesOf, specifiersOf } from "../support/modules.ts";
import { onceInAll } from "../support/once.ts";

test("the library imports only its own modules (once in all)", { skip: onceInAll }, () => {
  assert.ok(modules().length > 30);
  const foreign = modules().flatMap((module) => specifiersOf(module).filter((name) => !name.startsWith(".")));
  assert.deepEqual(foreign, []);
});

test("no module but cli.ts has a top-level await (once in all)", {
  skip: onceInAll,
}, () => {
  const inFunction = (node: ts.Node): boolean =>
    node.parent !== undefined && (ts.isFunctionLike(node.parent) || inFunction(node.parent));
  const waits = modules().flatMap(({ file, tree }) =>
    [...nodesOf(tree)].filter((node) => ts.isAwaitExpression(node) && !inFunction(node)).map(() => file)
  );
  assert.deepEqual(waits.filter((file) => file !== "cli.ts"), []);
});

/** From bottom to top; each imports only from its own layer and those below. What the users start with is on top. */
const LAYERS: readonly RegExp[] = [
  /^lib\/runtime\//,
  /^lib\/(options|operation|location)\/|^lib\/(disposal|errors|identity|inspect|name|path|permission|settings|utf8)\.ts$/,
  /^lib\/tree\//,
  /^lib\/life\//,
  /^lib\/create\//,
  /^lib\/(file|persist)\//,
  /^lib\/(?!cli\/)/,
];

function layerOf(file: string): number {
  const layer = LAYERS.findIndex((pattern) => pattern.test(file));
  return layer === -1 ? LAYERS.length : layer;
}

test("no module imports from a layer above its own (once in all)", {
  skip: onceInAll,
}, () => {
  const upward = modules().flatMap((module) =>
    importsOf(module).filter((target) => layerOf(target) > layerOf(module.file)).map((target) =>
      `${module.file} → ${target}`
    )
  );
  assert.deepEqual(upward, []);
});

test(
  "there are no import cycles, not even of types (once in all)",
  { skip: onceInAll },
  () => {
    const graph = new Map(modules().map((module) => [module.file, importsOf(module)]));
    const done = new Set<string>();
    const cycles: string[] = [];
    const visit = (file: string, way: string[]): void => {
      if (way.includes(file)) return void cycles.push([...way.slice(way.indexOf(file)), file].join(" → "));
      if (done.has(file)) return;
      for (
        const target of graph.get(file) ?? assert.fail(`${way.at(-1)} imports ${file}, which is not there`)
      ) {
        visit(target, [...way, file]);
      }
      done.add(file);
    };
    for (const file of graph.keys()) visit(file, []);
    assert.deepEqual(cycles, []);
  },
);

test(
  "every module is reachable from mod.ts or cli.ts (once in all)",
  { skip: onceInAll },
  () => {
    const graph = new Map(modules().map((module) => [module.file, importsOf(module)]));
    const reached = new Set(["mod.ts", "cli.ts"]);
    for (const file of reached) for (const target of graph.get(file)!) reached.add(target);
    assert.deepEqual([...graph.keys()].filter((file) => !reached.has(file)), []);
  },
);
