/**
 * Programs that each have one defect, and ignore every failure: the positive control of the scenarios.
 *
 * @module
 */
import type { Scenario, World } from "./scenarios.ts";

/** A scenario, the message that exposes its defect, and a system call whose failure does so on a real disk. */
export interface Careless extends Scenario {
  shows: RegExp;
  failing: RegExp;
}

const OLD = "the old contents", NEW = "the new contents, ".repeat(42);
const TARGET = "/home/user/target", WRITES = /^p?write/;

const replaces: Pick<Scenario, "prepare" | "either"> = {
  prepare: ({ at, plant }) => plant(at(TARGET), OLD),
  either: { [TARGET]: [OLD, NEW] },
};

/** Makes calls until one fails, and ignores the failure. */
async function silently(program: () => void): Promise<void> {
  await Promise.resolve();
  try {
    program();
  } catch {
    // As if all were well.
  }
}

/** Writes in three calls, which fail in three ways: a runtime repeats some of them by itself. */
function write({ system }: World, file: ReturnType<World["system"]["createFile"]>): void {
  const bytes = new TextEncoder().encode(NEW), third = bytes.length / 3;
  for (let at = 0; at < bytes.length; at += third) system.write(file, bytes.subarray(at, at + third), at);
}

export const CARELESS: { readonly [name: string]: Careless } = {
  "leaves the file": {
    shows: /left unreported|reclaimed/,
    failing: /^unlink/,
    run: (_m, { at, system }) =>
      silently(() => {
        const path = at("/tmp/careless");
        system.close(system.createFile(path, 0o600));
        system.unlink(path);
      }),
  },
  "leaves it open": {
    shows: /no descriptor is lost/,
    failing: WRITES,
    run: (_m, world) =>
      silently(() => {
        const { at, mine, system } = world;
        const file = system.createFile(mine(at("/tmp/careless")), 0o600);
        write(world, file);
        system.close(file);
      }),
  },
  "writes in place": {
    ...replaces,
    shows: /is whole/,
    failing: WRITES,
    run: (_m, world) =>
      silently(() => {
        const { at, system } = world;
        const file = system.openFile(at(TARGET), "write");
        system.truncate(file, 0);
        write(world, file);
        system.close(file);
      }),
  },
  "renames what was not written": {
    ...replaces,
    shows: /is whole/,
    failing: WRITES,
    async run(_m, world) {
      const { at, mine, system } = world;
      const path = mine(at("/home/user/new"));
      const file = system.createFile(path, 0o600);
      await silently(() => write(world, file));
      system.close(file);
      system.rename(path, at(TARGET));
    },
  },
};
