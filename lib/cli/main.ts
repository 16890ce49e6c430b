/**
 * The command line.
 *
 * @module
 */
import { codeOf } from "../errors.ts";
import type { Host } from "../runtime/cli_host.ts";
import { parseArguments, suggestion } from "./arguments.ts";
import { type Command, STATUS, UsageError, write } from "./command.ts";
import { doctor } from "./doctor.ts";
import { helpOf, overview } from "./help.ts";
import { dir, file } from "./make.ts";
import { run } from "./run.ts";
import { sweep } from "./sweep.ts";
import { sanitize } from "./text.ts";
import { usage } from "./usage.ts";
import { VERSION } from "./version.ts";

const COMMANDS: readonly Command[] = [file, dir, run, sweep, usage, doctor];

/** Runs the command line, and sets the exit status. */
export async function main(host: Host): Promise<void> {
  const [name, ...rest] = host.args;
  const command = COMMANDS.find((candidate) => candidate.name === name);
  try {
    host.setStatus(
      command === undefined ? await withoutCommand(host, name, rest) : await runCommand(host, command, rest),
    );
  } catch (error) {
    await reportError(host, command, error);
  }
}

async function runCommand(host: Host, command: Command, args: readonly string[]): Promise<number> {
  const given = parseArguments(host, command, args);
  if (!given.has("help")) return await command.run(host, given);
  await write(host, helpOf(command));
  return STATUS.ok;
}

/** Handles a command line without a command. */
async function withoutCommand(
  host: Host,
  word: string | undefined,
  [about]: readonly string[],
): Promise<number> {
  if (word === "--version") await write(host, `${VERSION}\n`);
  else if (word === "--help" || word === "-h" || word === "help") await write(host, helpAbout(about));
  else if (word === undefined) return await showUsage(host);
  else if (word.startsWith("-")) throw new UsageError(`Unknown option ${word}`);
  else throw unknownCommand(word);
  return STATUS.ok;
}

/** A user without a command wants the list of commands; a script without one is wrong. */
async function showUsage(host: Host): Promise<number> {
  await host.writeError(overview(COMMANDS));
  return STATUS.misused;
}

function helpAbout(name: string | undefined): string {
  if (name === undefined) return overview(COMMANDS);
  const command = COMMANDS.find((candidate) => candidate.name === name);
  if (command === undefined) throw unknownCommand(name);
  return helpOf(command);
}

function unknownCommand(word: string): UsageError {
  return new UsageError(
    `Unknown command "${word}"${suggestion(word, COMMANDS.map(({ name }) => name))}`,
  );
}

async function reportError(host: Host, command: Command | undefined, error: unknown): Promise<void> {
  // A reader that has closed the pipe wants no more output, and no error message.
  if (codeOf(error) === "EPIPE") return host.setStatus(STATUS.failed);
  const misused = error instanceof UsageError || codeOf(error) === "ERR_INVALID_OPTION";
  host.setStatus(misused ? STATUS.misused : STATUS.failed);
  const name = command === undefined ? "mayfly" : `mayfly ${command.name}`;
  const help = misused ? `\nSee "${name} --help".` : "";
  await host.writeError(`${name}: ${sanitize(messageOf(error))}${help}\n`);
}

/** The library quotes its options; the command line spells them with dashes. */
function messageOf(error: unknown): string {
  return (error as Error).message.replace(/^Option "(\w+)"/, "--$1");
}
