import { inRoot } from "./paths.mjs";
import { capture } from "./process.mjs";

/** Builds `dist/`. If that fails, prints the output and exits, since nothing after it would mean anything. */
export async function build() {
  const { code, output } = await capture(process.execPath, [inRoot("node_modules/tsup/dist/cli-default.js")]);
  if (code === 0) return;
  console.error(output);
  console.error("The build failed");
  process.exit(1);
}
