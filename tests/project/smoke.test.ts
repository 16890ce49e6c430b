import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { namedTemporaryFile } from "#mod";
import { runChild } from "../support/child.ts";
import { noModes } from "../support/platform.ts";

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
  const { said, status, stderr } = await runChild(
    `const f = m.namedTemporaryFileSync(); say(f.path); try { fs.mkdirSync("x/y"); } catch (e) { say(e.code); } f.closeSync();
     fs.mkdirSync(args[0]); fs.chmodSync(args[0], 0); try { fs.readdirSync(args[0]); } catch (e) { say(e.code); } fs.rmdirSync(args[0]);`,
    { unprivileged: true, umask: "077", args: [`${process.env.TMPDIR ?? "/tmp"}/locked`] },
  );
  assert.equal(stderr, "");
  assert.equal(status, 0);
  assert.equal(said[2], "EACCES");
});
