import { readFileSync } from "node:fs";
import { join } from "node:path";
import { capture } from "../../tools/process.mjs";
import { prioritised } from "./priority.mjs";
import { environment, taskCommand } from "./session.mjs";

/** Iterations that are traced: enough that what a runtime does now and then adds nothing. */
const COUNT = 200;

/** Calls that concern files; the rest is memory, threads and the event loop. */
const FILES =
  /^(open|close|creat|unlink|mkdir|rmdir|rename|link|symlink|f?stat|lstat|newfstatat|statx|f?chmod|p?read|p?write|getdents|access|faccessat|lseek|fcntl|statfs|readlink|ftruncate|fallocate|copy_file)/;

/** Returns the system calls of one iteration of each contender: `{ subject, runtime, name, all, files }`. */
export async function trace({ subject, place, runtime }, { places, revisions: [{ library }] }) {
  const log = join(places.work, "trace");
  const task = {
    subject: subject.file,
    library,
    dir: place.path,
    place: place.kind,
    milliseconds: 0,
    trace: COUNT,
  };
  const command = prioritised(["strace", "-f", "-qq", "-o", log, ...taskCommand(runtime, task)]);
  const { code, output } = await capture(command[0], command.slice(1), { env: environment(place.path) });
  const said = output.split("\n").find((line) => line.startsWith("\u0001"));
  if (code !== 0 || said === undefined) {
    console.error(`No system calls of ${subject.name} on ${runtime.name}: ${output.trim().slice(-2000)}`);
    return [];
  }
  const { names, failures } = JSON.parse(said.slice(1));
  const lines = readFileSync(log, "latin1").split("\n");
  return names.filter(({ name }) => !failures.some((failure) => failure.name === name))
    .map(({ name }, index) => ({
      subject: subject.name,
      runtime: runtime.name,
      name,
      ...between(lines, `"/mark/${index}-start"`, `"/mark/${index}-end"`),
    }));
}

function between(lines, start, end) {
  const at = (mark) => lines.findIndex((line) => line.includes(mark));
  const names = lines.slice(at(start) + 1, at(end)).flatMap((line) => /^\d+ +(\w+)\(/.exec(line)?.[1] ?? []);
  return { all: names.length / COUNT, files: names.filter((name) => FILES.test(name)).length / COUNT };
}
