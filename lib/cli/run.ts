/**
 * `mayfly run`.
 *
 * @module
 */
import { type TemporaryDirectory, temporaryDirectorySync } from "../directory.ts";
import { codeOf, type TempfileError } from "../errors.ts";
import { asyncIo } from "../operation/io.ts";
import { isTransient } from "../operation/retry.ts";
import type { Child, Host } from "../runtime/cli_host.ts";
import { type Command, UsageError } from "./command.ts";
import { sanitize } from "./text.ts";

/** Statuses that come from mayfly and not from the command, as those of env(1) and timeout(1). */
const FAILED = 125;
const NOT_STARTED = 126;
const NOT_FOUND = 127;

/** The signals that would end this process before it has removed anything; SIGUSR1 starts Node's debugger instead. */
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGBREAK"];

/** Those that the keys of a terminal also send to the command. */
const KEYBOARD_SIGNALS: ReadonlySet<string> = new Set(["SIGINT", "SIGQUIT", "SIGBREAK"]);

/** `mayfly run` */
export const run: Command = {
  name: "run",
  synopsis: "[--keep-on-failure] [--] COMMAND [ARGUMENT]...",
  summary: "Run a command with a temporary directory of its own",
  description: [
    "Runs a command with TMPDIR, TEMP and TMP set to a new directory that only you can enter. When the command exits, or a signal ends it, the directory is removed with everything in it.",
    "SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 are passed on to the command; those that a terminal sends, as for Ctrl-C, reach it directly. If mayfly itself is killed by SIGKILL, the next sweep removes the directory.",
    'On Windows, run batch files such as npm through cmd: "mayfly run cmd /c npm test".',
  ],
  options: {
    "keep-on-failure": {
      type: "boolean",
      help:
        "Keep the directory if the command exits with a status other than 0, and print its path on standard error",
    },
  },
  takesCommand: true,
  statuses: [
    ["0", "The command exited with 0"],
    ["N", "The command exited with N; 128 + N if signal N ended it"],
    ["2", "The command exited with 2, or the command line of mayfly is invalid"],
    ["125", "mayfly could not create the directory, or could not remove all of it after a status of 0"],
    ["126", "The command could not be started"],
    ["127", "The command was not found"],
  ],
  examples: ["mayfly run make test", "mayfly run --keep-on-failure -- sh -c 'sort big.csv > sorted.csv'"],
  async run(host, { operands: [command, ...args], has }) {
    if (command === undefined) throw new UsageError("No command given");
    let child: Child | undefined;
    const stop = host.onSignals(SIGNALS, (name) => {
      if (!KEYBOARD_SIGNALS.has(name) || !host.isForeground()) child?.kill(name);
    });
    try {
      // Nothing is awaited before the command runs, so that no signal arrives without a command to pass it on to.
      const directory = makeDirectory();
      const { path } = directory;
      child = host.start(command, args, { TMPDIR: path, TEMP: path, TMP: path });
      return await finish(host, directory, await outcome(child, command), has("keep-on-failure"));
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      await host.writeError(`mayfly run: ${sanitize(error.message)}\n`);
      return error.status;
    } finally {
      stop();
    }
  },
};

/** A failure with an exit status of its own. */
class Failure extends Error {
  readonly status: number;

  constructor(message: string, status: number) {
    super(message);
    this.status = status;
  }
}

function makeDirectory(): TemporaryDirectory {
  try {
    return temporaryDirectorySync({ prefix: "run-" });
  } catch (error) {
    throw new Failure((error as Error).message, FAILED);
  }
}

/** Returns the exit status of the command, or why it did not start. */
async function outcome(child: Child, command: string): Promise<number | Failure> {
  try {
    return await child.ended;
  } catch (error) {
    const code = codeOf(error);
    // The runtimes treat an empty name as a mistake of the caller.
    return code === "ENOENT" || command === ""
      ? new Failure(`Cannot find the command "${command}"`, NOT_FOUND)
      : new Failure(`Cannot start "${command}": ${REASONS[code] ?? (error as Error).message}`, NOT_STARTED);
  }
}

const REASONS: { readonly [code: string]: string } = {
  EACCES: "it is not a program, or you may not run it (EACCES)",
  E2BIG: "its arguments are too long (E2BIG)",
};

async function finish(
  host: Host,
  directory: TemporaryDirectory,
  ended: number | Failure,
  keepOnFailure: boolean,
): Promise<number> {
  if (keepOnFailure && typeof ended === "number" && ended !== 0) {
    const path = directory.keep();
    await host.writeError(`mayfly run: the command ended with status ${ended}; "${path}" is kept\n`);
    return ended;
  }
  const failure = await remove(directory);
  if (typeof ended !== "number") throw ended;
  if (failure !== undefined) throw new Failure(failure.message, ended === 0 ? FAILED : ended);
  return ended;
}

/** Milliseconds between attempts: what the command started in the background may take a while to exit. */
const RETRY_DELAYS = [50, 200, 500, 1000];

/** Removes the directory. Returns the error of the last attempt if all fail. */
async function remove(directory: TemporaryDirectory): Promise<TempfileError | undefined> {
  for (const delay of [...RETRY_DELAYS, undefined]) {
    try {
      await directory.remove();
      return undefined;
    } catch (error) {
      const failure = error as TempfileError;
      if (delay === undefined || !failure.leftovers.some(({ code }) => isTransient(code))) return failure;
      await asyncIo().sleep(delay);
    }
  }
}
