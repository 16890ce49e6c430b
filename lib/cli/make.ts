/**
 * `mayfly file` and `mayfly dir`.
 *
 * @module
 */
import { mkdtempSync, mkstempSync } from "../create/mkstemp.ts";
import type { MakeOptions } from "../options/types.ts";
import type { Host } from "../runtime/cli_host.ts";
import { runtime } from "../runtime/mod.ts";
import { parseMode } from "./arguments.ts";
import { type Command, JSON_OPTION, type ParsedArguments, STATUS, write } from "./command.ts";

interface Kind {
  name: "file" | "dir";
  noun: string;
  mode: string;
  examples: readonly string[];
  /** Makes one and returns its path. */
  make(options: MakeOptions): string;
  remove(path: string): void;
}

/** `mayfly file` */
export const file: Command = command({
  name: "file",
  noun: "file",
  mode: "600",
  examples: ["report=$(mayfly file --suffix .csv) && trap 'rm -f \"$report\"' EXIT"],
  make(options) {
    const { path, fd } = mkstempSync(options);
    runtime.sync.close(fd);
    return path;
  },
  remove: (path) => runtime.sync.unlink(path),
});

/** `mayfly dir` */
export const dir: Command = command({
  name: "dir",
  noun: "directory",
  mode: "700",
  examples: ["work=$(mayfly dir --prefix build-) && trap 'rm -rf \"$work\"' EXIT"],
  make: mkdtempSync,
  remove: (path) => runtime.sync.removeDirectory(path),
});

function command(kind: Kind): Command {
  const { name, noun, mode, examples } = kind;
  return {
    name,
    synopsis: "[OPTIONS]",
    summary: `Create an empty ${noun} and print its path`,
    description: [
      `Creates an empty ${noun} that only you can ${
        name === "file" ? "read" : "enter"
      }, with an unguessable name, and prints its path, like mktemp(1). You have to remove it yourself.`,
      'For temporary files that are removed automatically, see "mayfly run --help".',
    ],
    options: {
      dir: {
        type: "string",
        value: "DIR",
        help: "Where to create it (default: TMPDIR, or the system default)",
      },
      prefix: { type: "string", value: "TEXT", help: 'Start of the name (default: "tmp")' },
      suffix: { type: "string", value: "TEXT", help: "End of the name, such as .txt" },
      mode: { type: "string", value: "BITS", help: `Permission bits in octal (default: ${mode})` },
      json: JSON_OPTION,
    },
    examples: [`mayfly ${name}`, ...examples],
    run: (host, given) => makeAndPrint(host, given, kind),
  };
}

async function makeAndPrint(host: Host, given: ParsedArguments, { make, remove }: Kind): Promise<number> {
  const mode = given.text("mode");
  const path = make({
    dir: given.text("dir"),
    prefix: given.text("prefix"),
    suffix: given.text("suffix"),
    mode: mode === undefined ? undefined : parseMode(mode, "--mode"),
  });
  try {
    await write(host, given.has("json") ? `${JSON.stringify({ path })}\n` : `${path}\n`);
  } catch (error) {
    // Nobody knows its path, so nobody would remove it.
    remove(path);
    throw error;
  }
  return STATUS.ok;
}
