/**
 * Formatting text for people.
 *
 * @module
 */

/** The width if the terminal does not report one. */
export const COLUMNS = 80;

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** Formats bytes in the largest fitting unit, with one decimal below 100. */
export function showBytes(bytes: number): string {
  let value = bytes, unit = 0;
  // A value that would round up to the next unit is shown in it.
  while (value >= 1023.5 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 99.95 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

/** Formats a number with its noun. */
export function count(number: number, one: string, many: string): string {
  return `${number} ${number === 1 ? one : many}`;
}

// deno-lint-ignore no-control-regex -- control characters are what it looks for
const CONTROLS = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;

/** Replaces what terminals interpret: anybody can create a file with such a name in a shared directory. */
export const sanitize = (text: string): string => text.replace(CONTROLS, "?");

/** Formats a name so that it stays on one line. */
export const oneLine = (text: string): string => sanitize(text).replaceAll("\n", "?");

/** A bar of `width` characters, filled to a share of 1. Anything above zero shows. */
export function bar(share: number, width: number): string {
  const filled = share <= 0 ? 0 : Math.min(width, Math.max(1, Math.round(share * width)));
  return "█".repeat(filled) + "░".repeat(width - filled);
}

/** Keeps the end of a text that is too long: names differ at their end. */
export function cutStart(text: string, width: number): string {
  return text.length <= width ? text : `…${text.slice(text.length - Math.max(width - 1, 0))}`;
}

/** Breaks a paragraph into indented lines of at most `width` characters. */
export function wrap(text: string, width: number, indent = ""): string {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last === undefined || last.length - indent.length + 1 + word.length > width) {
      lines.push(indent + word);
    } else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines.join("\n");
}

/** Formats pairs in two columns, the second wrapped. */
export function twoColumns(pairs: readonly (readonly [string, string])[]): string {
  const width = Math.max(...pairs.map(([first]) => first.length)) + 2;
  const hanging = " ".repeat(2 + width);
  const lines = pairs.map(([first, second]) =>
    `  ${first.padEnd(width)}${wrap(second, COLUMNS - hanging.length, hanging).trimStart()}`
  );
  return lines.join("\n");
}
