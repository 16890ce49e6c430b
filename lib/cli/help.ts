/**
 * The text of `--help`.
 *
 * @module
 */
import { COMMON } from "./arguments.ts";
import type { Command, Option } from "./command.ts";
import { COLUMNS, twoColumns, wrap } from "./text.ts";

/** Returns the help of the whole program. */
export function overview(commands: readonly Command[]): string {
  return sections(
    "Usage: mayfly COMMAND [OPTIONS]",
    wrap("Temporary files and directories that are reliably removed.", COLUMNS),
    `Commands:\n${twoColumns(commands.map(({ name, summary }) => [name, summary]))}`,
    `Options:\n${
      twoColumns([
        ["-h, --help", "Show this help; after a command, the help of that command"],
        ["--version", "Print the version"],
      ])
    }`,
    exitStatuses(),
    'See "mayfly COMMAND --help". "mayfly run" exits with the status of its command.',
  );
}

/** Returns the help of one command. */
export function helpOf({ name, synopsis, description, options, statuses, examples }: Command): string {
  const shown = Object.entries({ ...options, ...COMMON });
  return sections(
    `Usage: mayfly ${name} ${synopsis}`,
    ...description.map((part) => typeof part === "string" ? wrap(part, COLUMNS) : twoColumns(part)),
    `Options:\n${twoColumns(shown.map(([long, option]) => [optionSyntax(long, option), option.help]))}`,
    exitStatuses(statuses),
    `Examples:\n${examples.map((example) => `  ${example}`).join("\n")}`,
  );
}

const sections = (...parts: string[]): string => `${parts.join("\n\n")}\n`;

function optionSyntax(name: string, { short, value }: Option): string {
  const long = value === undefined ? `--${name}` : `--${name} ${value}`;
  return short === undefined ? long : `-${short}, ${long}`;
}

/** The meanings of `STATUS`. */
const STATUSES: readonly (readonly [string, string])[] = [
  ["0", "Success"],
  ["1", "Failure; see standard error"],
  ["2", "Invalid command line"],
];

const exitStatuses = (statuses: readonly (readonly [string, string])[] = STATUSES): string =>
  `Exit status:\n${twoColumns(statuses)}`;
