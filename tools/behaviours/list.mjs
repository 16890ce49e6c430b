import { readFileSync } from "node:fs";
import { inRoot } from "../paths.mjs";

/** The committed list, as `{ number, offered, phases, text }`. */
export function readBehaviours(text = readFileSync(inRoot("tests/behaviours.txt"), "utf8")) {
  return text.split("\n").filter((line) => /^[CT]\d/.test(line)).map(parse);
}

function parse(line) {
  const [number, status, phases, ...text] = line.split(" | ");
  if (!["offered", "not offered"].includes(status)) throw new Error(`Unknown status "${status}" in: ${line}`);
  return { number, offered: status === "offered", phases: phases.split(", "), text: text.join(" | ") };
}
