import { readFileSync } from "node:fs";
import { inRoot } from "../paths.mjs";

/** The status of a behaviour: to be proved, left out, or beyond the platforms that the tests run on, with the reason. */
const STATUS = /^(?:offered|(not offered \(.+\))|(needs \w+ \(.+\)))$/;

/** Reads the committed list, as `{ number, offered, needs, text }`; `needs` is undefined if any platform will do. */
export function readBehaviours(text = readFileSync(inRoot("tests/behaviours.txt"), "utf8")) {
  return text.split("\n").filter((line) => /^[CT]\d/.test(line)).map(parse);
}

function parse(line) {
  const [number, status, ...text] = line.split(" | ");
  const [isKnown, notOffered, needs] = STATUS.exec(status) ?? [];
  if (isKnown === undefined) throw new Error(`Unknown status "${status}" in: ${line}`);
  return { number, offered: !notOffered, needs, text: text.join(" | ") };
}
