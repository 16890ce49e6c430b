import assert from "node:assert/strict";
import { test } from "node:test";
import { detect } from "../lib/runtime/detect.ts";
import { runtime } from "../lib/runtime/mod.ts";

const deno = { version: { deno: "2.9.0" } };
const bun = { version: "1.4.0" };
const process = { versions: { node: "24.0.0" }, getBuiltinModule() {} };
const older = { versions: { node: "22.2.0" } };

test("detect() tells each runtime by its own globals, also where it imitates another's", () => {
  assert.equal(detect({ process }), "node");
  assert.equal(detect({ Bun: bun, process }), "bun");
  assert.equal(detect({ Deno: deno, process }), "deno");
});

test("detect() is not deceived by a shim that has no version", () => {
  assert.equal(detect({ Deno: {}, process }), "node");
  assert.equal(detect({ Deno: { version: {} }, Bun: {}, process }), "node");
});

test("detect() refuses what it does not know", () => {
  assert.throws(() => detect({}), /Mayfly needs Deno, Bun .* or Node/);
  assert.throws(() => detect({ process: {} }), /Mayfly needs Deno, Bun .* or Node/);
});

test("detect() says which version of Node or Bun is needed where it is one too old to be used", () => {
  const needs = /Bun \(1\.4 or later\) or Node \(20\.16, 22\.3 or later\)/;
  assert.throws(() => detect({ process: older } as object), needs);
  assert.throws(() => detect({ Bun: { version: "1.2.5" }, process: older } as object), needs);
});

test("the runtime in use is the one that runs this test", () => {
  const name = globalThis.process.env.MAYFLY_TEST_RUNTIME?.replace(/\d+$/, "");
  if (name !== undefined) assert.equal(runtime.name, name);
  assert.equal(runtime.name, detect(globalThis as never));
});
