/**
 * The runtime in use. The only door into this folder.
 *
 * @module
 */
import { type BunNamespace, bunRuntime } from "./bun.ts";
import { denoRuntime } from "./deno.ts";
import type { DenoNamespace, DenoScope } from "./deno_namespace.ts";
import { detect, type Globals } from "./detect.ts";
import { nodeRuntime } from "./node.ts";
import type { NodeProcess } from "./node_like.ts";
import type { Runtime } from "./types.ts";

export { attempt } from "./attempt.ts";
export { coded, systemCode } from "./codes.ts";
export { USER_FLAG } from "./deno_permissions.ts";
export { INSPECTIONS } from "./inspection.ts";

export type {
  DirectoryEntry,
  EndSignal,
  FileSystemStatus,
  Handle,
  Kind,
  Listing,
  Locks,
  Path,
  Pooled,
  Primitives,
  Runtime,
  Signals,
  Status,
} from "./types.ts";

type Scope = Globals & { Bun: BunNamespace; Deno: DenoNamespace; process: NodeProcess };

const ADAPTERS: { [name in Runtime["name"]]: (scope: Scope) => Runtime } = {
  deno: (scope) => denoRuntime(scope.Deno, scope as unknown as DenoScope),
  bun: (scope) => bunRuntime(scope.process, scope.Bun),
  node: (scope) => nodeRuntime(scope.process),
};

/** Creates the adapter that fits the globals. Pure: touches neither the file system nor the process. */
export function adapterFor(scope: object): Runtime {
  return ADAPTERS[detect(scope as Globals)](scope as Scope);
}

/** The runtime in use. */
export let runtime: Runtime = adapterFor(globalThis);

/** Whether this is Windows, which has no modes, and where the runtimes report no owners of files. */
export const isWindows = (): boolean => runtime.platform === "windows";

/** Replaces the runtime in use, for tests that make primitives fail. Returns how to undo that. */
export function substituteRuntime(other: Runtime): () => void {
  const before = runtime;
  runtime = other;
  return () => {
    runtime = before;
  };
}
