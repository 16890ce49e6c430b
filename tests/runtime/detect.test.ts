import assert from "node:assert/strict";
import { test } from "node:test";
import { detect } from "../../lib/runtime/detect.ts";
import { runtime } from "../../lib/runtime/mod.ts";

const deno = { version: { deno: "2.9.0" } };
const bun = { version: "1.4.0" };
const process = { versions: { node: "24.0.0" }, getBuiltinModule() {} };
const older = { versions: { node: "22.2.0" } };

test("detect() recognizes each runtime by its own globals, even if it also has those of another", () => {
  assert.equal(detect({ process }), "node");
  assert.equal(detect({ Bun: bun, process }), "bun");
  assert.equal(detect({ Deno: deno, process }), "deno");
});

test("detect() ignores shims of Deno and Bun that have no version", () => {
  assert.equal(detect({ Deno: {}, process }), "node");
  assert.equal(detect({ Deno: { version: {} }, Bun: {}, process }), "node");
});

test("detect() throws on unknown globals", () => {
  assert.throws(() => detect({}), /Mayfly needs Deno, Bun .* or Node/);
  assert.throws(() => detect({ process: {} }), /Mayfly needs Deno, Bun .* or Node/);
});

test("detect() throws with the required versions if Node or Bun is too old", () => {
  const needs = /Bun \(1\.4 or later\) or Node \(20\.16, 22\.3 or later\)/;
  assert.throws(() => detect({ process: older } as object), needs);
  assert.throws(() => detect({ Bun: { version: "1.2.5" }, process: older } as object), needs);
});

test("the runtime in use is the one that runs this test", () => {
  const name = globalThis.process.env.MAYFLY_TEST_RUNTIME?.replace(/\d+$/, "");
  if (name !== undefined) assert.equal(runtime.name, name);
  assert.equal(runtime.name, detect(globalThis as never));
});
