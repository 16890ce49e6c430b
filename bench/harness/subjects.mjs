import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { inRoot } from "../../tools/paths.mjs";
import { subjectNames } from "./options.mjs";

/** Loads the chosen subjects, each with the `file` it is in. */
export function loadSubjects({ subjects }) {
  return Promise.all(subjects.map(async (name) => {
    const file = subjectNames.includes(name) ? inRoot(`bench/subjects/${name}.mjs`) : resolve(name);
    if (!existsSync(file)) {
      throw new Error(`No such subject: "${name}". There are ${subjectNames.join(", ")}`);
    }
    return { file, ...(await import(pathToFileURL(file))).default };
  }));
}

/** Whether a subject applies to this kind of place. */
export const isSelected = ({ places = ["tmpfs", "disk"] }, kind) => places.includes(kind);

/** Returns a subject as it is in a place: on the disk some have other numbers. */
export const inPlace = (subject, kind) => (kind === "disk" ? { ...subject, ...subject.disk } : subject);

/**
 * Whether it is measured on a runtime: a long subject is measured on some only, unless runtimes were requested. Scripts
 * know only this library, so they compare no revisions.
 */
export function isMeasured({ runtimes, script, thorough }, runtime, { chosen, options }) {
  if (thorough && options.quick) return false;
  if (script && options.against !== undefined) return false;
  if (script && !script.within) return runtime === chosen[0];
  return options.isChoosing || (runtimes?.includes(runtime.name) ?? true);
}
