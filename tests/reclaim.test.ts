import assert from "node:assert/strict";
import { appendFileSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { test } from "node:test";
import { syncIo } from "../lib/io.ts";
import { nothingYet, reclaim } from "../lib/life/reclaim.ts";
import { runSync } from "../lib/op.ts";
import { type Primitives, runtime, substituteRuntime } from "../lib/runtime/mod.ts";
import { configure } from "../lib/settings.ts";
import { deadPid, plantLease } from "./support/leases.ts";
import { scratch } from "./support/scratch.ts";

test("C265 what a process keeps while another looks whether it lives is not taken for a leftover", () => {
  using place = scratch();
  const pid = deadPid();
  const name = plantLease(place.path, pid);
  const [kept, left] = [join(place.path, name()), join(place.path, name())];
  writeFileSync(kept, "");
  mkdirSync(left);
  const leases = join(place.path, `.mayfly-${process.getuid!()}`);
  const lease = join(leases, readdirSync(leases)[0]);
  configure({ tmpdir: place.path });
  const { sync } = runtime;
  const list: Primitives["list"] = (path) => {
    // The last thing that the process did before it was seen to be dead.
    if (path === `/proc/${pid}/fd`) appendFileSync(lease, `kept ${basename(kept)}\n`);
    return sync.list(path);
  };
  const undo = substituteRuntime({ ...runtime, sync: { ...sync, list } });
  try {
    const report = nothingYet();
    runSync(reclaim(syncIo(), {
      dryRun: false,
      onRemoved: () => {},
      checkpoint: () => {},
      reportKept: true,
      ending: false,
    }, report));
    assert.deepEqual(report.removed.map(({ path }) => path), [left]);
  } finally {
    undo();
    configure({ tmpdir: undefined });
  }
  assert.deepEqual([existsSync(kept), existsSync(left), existsSync(lease)], [true, false, false]);
});
