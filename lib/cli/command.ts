/**
 * What a command of the command line is.
 *
 * @module
 */
import type { Host, OptionType } from "../runtime/cli_host.ts";

/** An option as it is parsed and shown. */
export interface Option extends OptionType {
  /** What its value is, for the help; only for those that have one. */
  value?: string;
  help: string;
}

/** Options by name. */
export interface Options {
  readonly [name: string]: Option;
}

/** What the caller gave. */
export interface Given {
  /** The value of an option; undefined if it was not given. */
  text(name: string): string | undefined;
  /** Whether a flag was given. */
  has(name: string): boolean;
  /** What follows the options. */
  operands: readonly string[];
}

/** A command. */
export interface Command {
  readonly name: string;
  /** What it is called with, behind its name. */
  readonly synopsis: string;
  /** One line. */
  readonly summary: string;
  /** Paragraphs of the help, and words with what they mean. */
  readonly description: readonly (string | readonly (readonly [string, string])[])[];
  readonly options: Options;
  /** Whether another program's command line follows the options. */
  readonly takesCommand?: boolean;
  /** Exit statuses, if they are not those that most commands have. */
  readonly statuses?: readonly (readonly [status: string, meaning: string])[];
  readonly examples: readonly string[];
  /** @returns The exit status. */
  run(host: Host, given: Given): Promise<number>;
}

/** The exit statuses that most commands have. */
export const STATUS = { ok: 0, failed: 1, misused: 2 } as const;

/** Says that the command line makes no sense. */
export class UsageError extends Error {}

/** The option that commands with a report have. */
export const JSON_OPTION: Option = { type: "boolean", help: "Print one JSON document" };

/** Prints a report in the form that was asked for. */
export async function print(host: Host, given: Given, report: object, asText: () => string): Promise<void> {
  await host.write(given.has("json") ? `${JSON.stringify(report, undefined, 2)}\n` : asText());
}
