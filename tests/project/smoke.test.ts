import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { namedTemporaryFile } from "#mod";
import { runChild } from "../support/child.ts";
import { noModes } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";

test("C107 C108 C111 a named file exists in its scope and is removed at its end", async () => {
  let path: string;
  {
    await using file = await namedTemporaryFile();
    path = file.path;
    assert.ok(existsSync(path));
  }
  assert.ok(!existsSync(path));
});

test("the library works in a child process without root privileges", { skip: noModes }, async () => {
  using place = scratch();
  const { said, status, stderr } = await runChild(
    `const file = m.namedTemporaryFileSync();
     say(fs.existsSync(file.path));
     file.closeSync();
     say(fs.existsSync(file.path));
     fs.mkdirSync(args[0], 0);
     try { fs.readdirSync(args[0]); } catch (error) { say(error.code); }`,
    { unprivileged: true, args: [join(place.path, "locked")] },
  );
  // The control: root could read the directory.
  assert.deepEqual([said, status, stderr], [[true, false, "EACCES"], 0, ""]);
});
