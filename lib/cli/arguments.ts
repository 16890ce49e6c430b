/**
 * Parsing the command line.
 *
 * @module
 */
import type { Host, Token } from "../runtime/cli_host.ts";
import { type Command, type Options, type ParsedArguments, UsageError } from "./command.ts";

/** Parses the arguments of a command. */
export function parseArguments(host: Host, command: Command, args: readonly string[]): ParsedArguments {
  const options: Options = { ...command.options, ...COMMON };
  const end = command.takesCommand ? endOfOptions(args) : args.length;
  const values = new Map<string, string | true>();
  for (const token of host.parseArgs(args.slice(0, end), options)) {
    if (token.kind === "option") values.set(token.name!, checkedValue(token, options));
    else if (token.kind === "positional") {
      throw new UsageError(`Unexpected argument "${token.value}": ${command.name} takes only options`);
    }
  }
  const operands = args.slice(args[end] === "--" ? end + 1 : end);
  return {
    text: (name) => values.get(name) as string | undefined,
    has: (name) => values.has(name),
    operands,
  };
}

/** The options that every command has. */
export const COMMON: Options = {
  help: { type: "boolean", short: "h", help: "Show this help" },
};

/** Returns where the other program's command line starts: its options are not ours. */
function endOfOptions(args: readonly string[]): number {
  const end = args.findIndex((arg) => arg === "--" || !arg.startsWith("-"));
  return end === -1 ? args.length : end;
}

function checkedValue({ name, rawName, value, inlineValue }: Token, options: Options): string | true {
  const option = Object.hasOwn(options, name!) ? options[name!] : undefined;
  if (option === undefined) {
    throw new UsageError(
      `Unknown option ${rawName}${suggestion(rawName!, Object.keys(options), "--")}`,
    );
  }
  if (option.type === "boolean") {
    if (value !== undefined) throw new UsageError(`${rawName} takes no value: got "${value}"`);
    return true;
  }
  // What looks like an option was hardly meant as a value, unless it is attached with "=".
  if (value === undefined || (value.startsWith("-") && inlineValue !== true)) {
    throw new UsageError(`${rawName} needs a value: ${rawName} ${option.value}`);
  }
  return value;
}

/** Suggests a known word: one that begins with the given one, or differs from it in at most two letters. */
export function suggestion(word: string, known: readonly string[], prefix = ""): string {
  const bare = word.slice(prefix.length);
  const most = Math.min(2, bare.length - 1);
  const near = known.find((candidate) => bare.length > 1 && candidate.startsWith(bare)) ??
    known.find((candidate) => distance(bare, candidate) <= most);
  return near === undefined ? "" : `. Did you mean ${prefix}${near}?`;
}

/** The number of letters to insert, remove or replace to get from one word to the other. */
function distance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (const [i, letter] of [...from].entries()) {
    const next = [i + 1];
    for (const [j, other] of [...to].entries()) {
      next.push(Math.min(next[j] + 1, row[j + 1] + 1, row[j] + (letter === other ? 0 : 1)));
    }
    row = next;
  }
  return row[to.length];
}

const UNITS: { readonly [unit: string]: number } = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** Parses a duration such as `7d` into milliseconds. */
export function parseDuration(text: string, option: string): number {
  const [, count, unit] = /^(\d+(?:\.\d+)?)(ms|[smhdw])$/.exec(text) ?? [];
  if (unit === undefined) {
    throw new UsageError(`${option} must be a duration such as 90s, 15m, 12h or 7d: got "${text}"`);
  }
  return Number(count) * UNITS[unit];
}

/** Parses permission bits in octal, as chmod(1) takes them. */
export function parseMode(text: string, option: string): number {
  if (!/^0?[0-7]{1,3}$/.test(text)) {
    throw new UsageError(`${option} must be permission bits such as 600 or 0750: got "${text}"`);
  }
  return parseInt(text, 8);
}
