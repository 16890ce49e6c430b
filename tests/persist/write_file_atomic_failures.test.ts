/**
 * `writeFileAtomic()` when system calls fail or do less than asked.
 *
 * @module
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { held } from "../../lib/life/registry.ts";
import { sourceVariants } from "../support/atomic_writes.ts";
import { failureOf, pattern, sameBytes } from "../support/kinds.ts";
import { packageTest as test } from "../support/once.ts";
import { noDirectorySync } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";
import { substitute, systemError } from "../support/substitute.ts";

test("C152 C286 writeFileAtomic() that fails in any write, size check, sync, close or rename leaves the old file and nothing beside it", async () => {
  const failures = [
    ["write", "ENOSPC"],
    ["write", "EDQUOT"],
    ["statusOf", "EIO"],
    ["synchronize", "EIO"],
    ["synchronize", "EDQUOT"],
    ["close", "EDQUOT"],
    ["rename", "EROFS"],
    ["createFile", "EDQUOT"],
  ] as const;
  for (const [step, code] of failures) {
    for (const [variant, write] of Object.entries(sourceVariants)) {
      using place = scratch();
      const path = join(place.path, "file");
      await write(path, "old");
      using _ = substitute({
        primitives: {
          [step]: (real: (...args: unknown[]) => unknown, ...args: unknown[]) => {
            if (step === "close") real(...args);
            throw systemError(code);
          },
        },
      });
      const error = await write(path, "new").then(() => undefined, (error) => error);
      assert.equal(error?.code, code, `${step} ${variant}`);
      assert.equal(error.name, "TempfileError");
      assert.equal(readFileSync(path, "utf8"), "old");
      assert.deepEqual(place.list(), ["file"], `${step} ${variant}`);
      const names = held().entries.map(({ path }) => path);
      assert.equal(
        names.some((name) => name?.startsWith(place.path)),
        false,
        `${step} ${variant}: still in the registry`,
      );
    }
  }
});

test("writeFileAtomic() completes short writes, and fails with EIO if bytes reported as written are missing from the file", async () => {
  for (const write of Object.values(sourceVariants)) {
    using place = scratch();
    const path = join(place.path, "file");
    const data = pattern(100_000);
    await write(path, "warm");
    {
      using watched = substitute({
        primitives: {
          write: (real, handle: unknown, bytes: Uint8Array, at: number) =>
            real(handle, bytes.subarray(0, 33_333), at),
        },
      });
      await write(path, data);
      assert.equal(watched.of("write").length, 4);
      assert.ok(sameBytes(readFileSync(path), data));
    }
    for (const lie of [(bytes: Uint8Array) => bytes.byteLength, () => 0]) {
      using _ = substitute({
        primitives: { write: (_real, _handle: unknown, bytes: Uint8Array) => lie(bytes) },
      });
      assert.equal(await failureOf(() => write(path, "never arrives")), "EIO");
      assert.ok(sameBytes(readFileSync(path), data));
      assert.deepEqual(place.list(), ["file"]);
    }
  }
});

test(
  "writeFileAtomic() that cannot sync the directory fails with an error saying that the file is in place",
  {
    skip: noDirectorySync,
  },
  async () => {
    for (const write of Object.values(sourceVariants)) {
      using place = scratch();
      const path = join(place.path, "file");
      using _ = substitute({
        primitives: {
          synchronizeDirectory: () => {
            throw systemError("EIO");
          },
        },
      });
      await assert.rejects(write(path, "new"), {
        code: "EIO",
        message: /is in place, but it may not survive/,
      });
      assert.equal(readFileSync(path, "utf8"), "new");
      await write(path, "newer", { durable: false });
      assert.equal(readFileSync(path, "utf8"), "newer");
      assert.deepEqual(place.list(), ["file"]);
    }
  },
);
