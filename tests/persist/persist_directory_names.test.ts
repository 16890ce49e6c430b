/**
 * `persist()` of a directory with names and links that are not text.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { temporaryDirectory as sourceDirectory } from "../../lib/directory.ts";
import { syncIo } from "../../lib/operation/io.ts";
import { runSync } from "../../lib/operation/op.ts";
import { contentsOf } from "../../lib/tree/list.ts";
import { assertFilled, crossDevice, filled, variants } from "../support/filled_directory.ts";
import { failureOf } from "../support/kinds.ts";
import { packageTest as test } from "../support/once.ts";
import { isDeno, noLinux } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";
import { substitute, systemError } from "../support/substitute.ts";

/** Fills a directory with directories, files and links whose names or targets are not valid UTF-8. */
function fillNonUtf8(path: string): void {
  const script =
    `cd "$1" && odd=$(printf 'x\\377') && mkdir -p "$odd/$odd" && printf text > "$odd/$odd/file" &&
    printf more > "$odd/a$odd" && chmod 640 "$odd/a$odd" && chmod 500 "$odd/$odd" && chmod 750 "$odd" &&
    ln -s "$odd/a$odd" "$odd/link$odd" && ln -s "$(printf '\\357\\273\\277')" mark && ln -s "$odd" link`;
  assert.equal(spawnSync("sh", ["-c", script, "sh", path]).status, 0);
}

/** Returns everything in a directory byte for byte: names, types, modes, link targets and contents. */
function bytesOf(path: string): string {
  const script =
    `cd "$1" && find . -printf '%p %y %m %l\\n' | LC_ALL=C sort && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 cat`;
  const { status, stdout } = spawnSync("sh", ["-c", script, "sh", path], { encoding: "latin1" });
  assert.equal(status, 0);
  return stdout;
}

test(
  "C148 a directory's persist() keeps names and links that are not UTF-8, renamed or copied (Linux; not Deno, whose names are text)",
  {
    skip: noLinux || isDeno && "Deno has only text as names",
  },
  async () => {
    for (const persist of Object.values(variants)) {
      for (const across of [false, true]) {
        using place = scratch();
        const target = join(place.path, "result");
        const directory = await sourceDirectory({ dir: place.path });
        fillNonUtf8(directory.path);
        const before = bytesOf(directory.path);
        assert.match(before, /\/x\xff\/linkx\xff l 777 x\xff\/ax\xff\n/);
        using _ = substitute(across ? { primitives: { rename: crossDevice(directory.path) } } : {});
        assert.equal(await persist(directory as never, target), target);
        assert.equal(bytesOf(target), before);
        assert.deepEqual(place.list(), ["result"]);
      }
    }
  },
);

test("C148 listing what is to be copied blames the runtime for a missing entry only if its name may not be text", () => {
  const cases = [["odd\uFFFD", "ENOENT", "EILSEQ"], ["odd\uFFFD", "EIO", "EIO"], [
    "plain",
    "ENOENT",
    "ENOENT",
  ]];
  for (const [name, code, expected] of cases) {
    const entries = [{ name, directory: false }], cause = systemError(code);
    const io = {
      ...syncIo(),
      list: () => ({ next: () => entries.splice(0), close() {} }),
      status() {
        throw cause;
      },
    };
    const blamed = {
      code: "EILSEQ",
      message: `this runtime cannot express the name "${join("top", name)}"`,
      cause,
    };
    assert.throws(() => runSync(contentsOf(io, "top")), expected === "EILSEQ" ? blamed : { code: expected });
  }
});

test(
  "C148 a directory's persist() that copies fails with EILSEQ on a name or link that is not UTF-8, and changes nothing (Deno on Linux)",
  {
    skip: noLinux || !isDeno && "other runtimes have names as bytes",
  },
  async () => {
    const fillWithLink = (path: string): void => {
      assert.equal(spawnSync("sh", ["-c", `ln -s "$(printf 'x\\377')" "$1/link"`, "sh", path]).status, 0);
    };
    for (const persist of Object.values(variants)) {
      for (const make of [fillNonUtf8, fillWithLink]) {
        using place = scratch();
        const directory = await sourceDirectory({ dir: place.path });
        make(directory.path);
        const before = bytesOf(directory.path);
        {
          using _ = substitute({ primitives: { rename: crossDevice(directory.path) } });
          const target = join(place.path, "result");
          assert.equal(await failureOf(() => persist(directory as never, target)), "EILSEQ");
        }
        assert.equal(bytesOf(directory.path), before);
        assert.equal(place.names().length, 1);
        // A user other than root cannot empty a locked directory, and Deno cannot address this one to unlock it.
        assert.equal(spawnSync("chmod", ["-R", "u+rwx", directory.path]).status, 0);
        await directory.remove();
      }
    }
  },
);

test("C148 a directory's persist() fails with EILSEQ if a listed name contains U+FFFD, as the runtime cannot address it", async () => {
  for (const persist of Object.values(variants)) {
    using place = scratch();
    const directory = await filled(place), { path } = directory;
    {
      const names = ["x\uFFFD"].map((name) => ({ name, directory: false }));
      using _ = substitute({ primitives: { list: () => ({ next: () => names.splice(0), close() {} }) } });
      assert.equal(await failureOf(() => persist(directory, join(place.path, "result"))), "EILSEQ");
    }
    assertFilled(path);
    await directory.remove();
    assert.deepEqual(place.names(), []);
  }
});
