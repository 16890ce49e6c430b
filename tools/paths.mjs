import { fileURLToPath } from "node:url";
import { join } from "node:path";

export const root = fileURLToPath(new URL("..", import.meta.url)).replace(/[\\/]$/, "");

/** Returns a path inside the project. */
export const inRoot = (...segments) => join(root, ...segments);
