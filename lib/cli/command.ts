/**
 * The interface of a command.
 *
 * @module
 */
import { failure } from "../errors.ts";
import type { Host, OptionType } from "../runtime/cli_host.ts";

/** An option, for parsing and for the help. */
export interface Option extends OptionType {
  /** The placeholder for its value in the help; only for options that take one. */
  value?: string;
  help: string;
}

/** Options by name. */
export interface Options {
  readonly [name: string]: Option;
}

/** The parsed arguments. */
export interface ParsedArguments {
  /** The value of an option; undefined if it was not given. */
  text(name: string): string | undefined;
  /** Whether a flag was given. */
  has(name: string): boolean;
  /** The words after the options. */
  operands: readonly string[];
}

/** A command. */
export interface Command {
  readonly name: string;
  /** The arguments, for the usage line. */
  readonly synopsis: string;
  /** One line. */
  readonly summary: string;
  /** The paragraphs of the help, and lists of words with their meanings. */
  readonly description: readonly (string | readonly (readonly [string, string])[])[];
  readonly options: Options;
  /** Whether another program's command line follows the options. */
  readonly takesCommand?: boolean;
  /** The exit statuses, if they differ from those of most commands. */
  readonly statuses?: readonly (readonly [status: string, meaning: string])[];
  readonly examples: readonly string[];
  /** @returns The exit status. */
  run(host: Host, given: ParsedArguments): Promise<number>;
}

/** The exit statuses of most commands. */
export const STATUS = { ok: 0, failed: 1, misused: 2 } as const;

/** The command line is wrong. */
export class UsageError extends Error {}

/** The option of commands that print a report. */
export const JSON_OPTION: Option = { type: "boolean", help: "Print a JSON document" };

/** Writes to standard output. Throws an error that says so if that fails. */
export async function write(host: Host, text: string): Promise<void> {
  try {
    await host.write(text);
  } catch (error) {
    throw failure("write to standard output", error);
  }
}

/** Prints a report as text or as JSON, as requested. */
export async function print(
  host: Host,
  given: ParsedArguments,
  report: object,
  asText: () => string,
): Promise<void> {
  await write(host, given.has("json") ? `${JSON.stringify(report, undefined, 2)}\n` : asText());
}
