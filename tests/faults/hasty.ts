/**
 * A look for leftovers as it must not be: it reads the leases once, and believes them from then on. The positive control
 * of the looks that others interrupt.
 *
 * @module
 */
import type { Primitives } from "../../lib/runtime/mod.ts";
import { LEASES } from "./memory.ts";
import type { Look } from "./stage.ts";

const decoder = new TextDecoder();

/** Removes what leases say that no process has open any more. */
export const hastyLook: Look = function* ({ syncIo }) {
  const io = syncIo() as Primitives;
  const leases: { name: string; text: string }[] = [];
  for (const name of yield* names(io, LEASES)) {
    yield leases.push({ name, text: textOf(io, `${LEASES}/${name}`) });
  }
  for (const { name: lease, text } of leases) {
    const pid = /-(\d+)\.lease$/.exec(lease)![1];
    if ((yield* names(io, `/proc/${pid}/fd`)).length > 0) continue;
    for (const name of yield* names(io, "/tmp")) {
      const isOurs = name.includes(lease.slice(0, 8)) && !text.includes(`kept ${name}`);
      const isTaken = leases.some((other) => other.text.includes(`adopted /tmp/${name}`));
      if (isOurs && !isTaken) yield remove(io, `/tmp/${name}`);
    }
    yield remove(io, `${LEASES}/${lease}`);
  }
};

function* names(io: Primitives, path: string): Generator<unknown, string[], unknown> {
  const found: string[] = [];
  try {
    const listing = io.list(path);
    for (;;) {
      const batch = listing.next() as { name: string }[];
      if (batch.length === 0) break;
      found.push(...batch.map(({ name }) => name));
    }
    listing.close();
  } catch {
    // Nothing is there.
  }
  yield;
  return found;
}

function textOf(io: Primitives, path: string): string {
  const bytes = new Uint8Array(10_000), file = io.openFile(path, "read");
  const length = io.read(file, bytes, 0);
  io.close(file);
  return decoder.decode(bytes.subarray(0, length));
}

function remove(io: Primitives, path: string): void {
  try {
    io.unlink(path);
  } catch {
    // Somebody was faster.
  }
}
