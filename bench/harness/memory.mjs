import fs from "node:fs";
import process from "node:process";

/** Returns how far the peak memory of the process rose while `action` ran, in MiB. */
export async function peak(action) {
  const before = process.memoryUsage.rss();
  const forgets = forgetPeak();
  await action();
  const highest = forgets ? statusOf("VmHWM") : process.resourceUsage().maxRSS;
  return Math.max(0, highest * 1024 - before) / 1024 ** 2;
}

/** The kernel keeps the peak; writing 5 here resets it. */
function forgetPeak() {
  try {
    fs.writeFileSync("/proc/self/clear_refs", "5");
    return true;
  } catch {
    return false;
  }
}

function statusOf(name) {
  const status = fs.readFileSync("/proc/self/status", "utf8");
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)[1]);
}
