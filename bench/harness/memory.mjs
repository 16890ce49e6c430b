import fs from "node:fs";
import process from "node:process";

/** How much more memory the process took at its highest while `action` ran than before: MiB. */
export async function peak(action) {
  const before = process.memoryUsage.rss();
  const forgets = forgetPeak();
  await action();
  const highest = forgets ? statusOf("VmHWM") : process.resourceUsage().maxRSS;
  return Math.max(0, highest * 1024 - before) / 1024 ** 2;
}

/** The kernel keeps the highest; writing 5 here makes it begin anew. */
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
