/**
 * A process that deletes what others create.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { firstOutput, runtimeCommand } from "./child.ts";
import { scratch } from "./scratch.ts";

const CLEANER = `import { readdirSync, rmSync, unlinkSync } from "node:fs";
import process from "node:process";
const [directory] = process.argv.slice(2);
process.stdout.write("ready");
for (;;) {
  for (const name of readdirSync(directory)) {
    const path = directory + "/" + name;
    try {
      unlinkSync(path);
    } catch (error) {
      if (error.code !== "ENOENT") try { rmSync(path, { recursive: true }); } catch {}
    }
  }
}`;

/** Runs `act` while another process repeatedly deletes everything in a directory. */
export async function whileCleaned(directory: string, act: () => void | Promise<void>): Promise<void> {
  using place = scratch();
  const script = join(place.path, "cleaner.mjs");
  writeFileSync(script, CLEANER);
  const [command, ...args] = runtimeCommand(script);
  const cleaner = spawn(command, [...args, directory], { stdio: ["ignore", "pipe", "ignore"] });
  const ended = new Promise((resolve) => cleaner.once("close", resolve));
  try {
    await firstOutput(cleaner);
    await act();
  } finally {
    cleaner.kill("SIGKILL");
    await ended;
  }
}
