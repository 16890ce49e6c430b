import { existsSync, readFileSync } from "node:fs";

/**
 * Reads a report: `{ isWhole, tests }`, each test `{ name, outcome: "passed" | "failed" | "skipped", error? }`.
 * Top-level tests only, since Bun does not report the others.
 */
export function readReport(kind, path) {
  if (!existsSync(path)) return { isWhole: false, tests: [] };
  const text = readFileSync(path, "utf8");
  if (kind !== "node") return { isWhole: true, tests: fromJunit(text) };
  const events = text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
  const isWhole = events.some(({ type }) => type === "end");
  return { isWhole, tests: fromEvents(events.filter(({ type }) => type !== "end")) };
}

function fromEvents(events) {
  const ended = events.filter(({ type }) => type !== "test:dequeue");
  const unfinished = events.filter((event) => event.type === "test:dequeue" && !ended.some(isSame(event)));
  return [
    ...ended.filter(isTopLevel).map(({ type, name, skipped, error }) => ({
      name,
      outcome: skipped ? "skipped" : type === "test:pass" ? "passed" : "failed",
      error,
    })),
    ...unfinished.filter(isTopLevel).map(({ name }) => ({
      name,
      outcome: "failed",
      error: "The test process ended before this test did",
    })),
  ];
}

const isSame = (event) => ({ name, nesting }) => name === event.name && nesting === event.nesting;

const isTopLevel = ({ nesting }) => nesting === 0;

function fromJunit(text) {
  const cases = [...text.matchAll(/<testcase\b([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)].map(junitCase);
  // Deno lists a subtest as "test > subtest" after its test.
  return cases.filter(({ name }, index) =>
    !cases.slice(0, index).some((earlier) => name.startsWith(`${earlier.name} > `))
  );
}

function junitCase([, attributes, content = ""]) {
  const name = unescape(/\bname="([^"]*)"/.exec(attributes)?.[1] ?? "");
  const failure = /<(?:failure|error)\b([^>]*?)(?:\/>|>([\s\S]*?)<\/(?:failure|error)>)/.exec(content);
  if (failure) return { name, outcome: "failed", error: failureText(failure) };
  return { name, outcome: /<skipped\b/.test(content) ? "skipped" : "passed" };
}

function failureText([, attributes, content = ""]) {
  const message = /\bmessage="([^"]*)"/.exec(attributes)?.[1] ?? "";
  return unescape(content.trim() || message) || "Failed without a message";
}

function unescape(text) {
  const named = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };
  return text.replace(/&(?:#x([\da-f]+)|#(\d+)|(\w+));/gi, (all, hex, decimal, name) => {
    if (name) return named[name] ?? all;
    return String.fromCodePoint(hex ? parseInt(hex, 16) : Number(decimal));
  });
}
