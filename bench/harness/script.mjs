import { inRoot } from "../../tools/paths.mjs";
import { capture } from "../../tools/process.mjs";
import { prioritised } from "./priority.mjs";
import { environment, scriptCommand } from "./session.mjs";

/**
 * Runs a script that measures by itself and can also be run alone: its output is the result. With `within`, a subject
 * runs in the measured runtime; otherwise it runs in this one, once, and starts the others itself.
 */
export async function runScript({ subject, place, runtime }, { options, chosen }) {
  const { file, within, args, env = () => ({}) } = subject.script;
  const given = { place, runtimes: chosen, quick: options.quick };
  const command = within
    ? prioritised(scriptCommand(runtime, inRoot(file), ...args(given)))
    : [process.execPath, inRoot(file), ...args(given)];
  const { code, output } = await capture(command[0], command.slice(1), {
    env: { ...environment(place.path), ...env(given) },
  });
  const failures = code === 0 ? [] : [{ name: "(all)", ours: true, message: output.trim().slice(-2000) }];
  const result = {
    subject: subject.name,
    place: place.kind,
    runtime: runtime.name,
    contenders: [],
    failures,
  };
  return code === 0 ? { ...result, text: output.trim().replaceAll(place.path, place.kind) } : result;
}
