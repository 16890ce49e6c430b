import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { basename, join } from "node:path";
import * as m from "#mod";
import * as source from "../../mod.ts";
import { runtime } from "../../lib/runtime/mod.ts";
import { sessionId } from "../../lib/name.ts";
import { runChild } from "../support/child.ts";
import { type Creator, creatorsOf } from "../support/creators.ts";
import { naiveDirectory, naiveFile } from "../support/naive_create.ts";
import { packageTest as test } from "../support/once.ts";
import { isDeno, isNode, noFifos, noLinks } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";
import { constantBytes, heldLease, type Stub, substitute, systemError } from "../support/substitute.ts";

const notNode = !isNode && "the permission model is Node's";
const notDeno = !isDeno && "permissions are Deno's";

const CREATORS = import.meta.resolve("../support/creators.ts");

/** The random part of a name that is drawn as zeros. */
const FIRST = "a".repeat(13);

/** A random source that returns zeros for the first name, and random bytes after it. */
function predictable(): (bytes: Uint8Array<ArrayBuffer>) => void {
  let drawn = false;
  return (bytes) => {
    crypto.getRandomValues(bytes);
    if (!drawn) bytes.fill(0, 0, 13);
    drawn = true;
  };
}

/** The name that a creator tries when the random source returns zeros. */
const expected = ({ reclaimable }: Creator): string => `tmp${reclaimable ? sessionId() : ""}${FIRST}`;

/** The directories of an attack: where the victim creates, and what it must not touch. */
function prepareAttack() {
  const place = scratch();
  const dir = join(place.path, "dir");
  const outside = join(place.path, "outside");
  mkdirSync(dir);
  mkdirSync(outside);
  writeFileSync(join(outside, "file"), "untouched", { mode: 0o640 });
  return {
    dir,
    outside,
    /** What must not change. */
    state: () => {
      const { mode, size, ino, mtimeMs } = statSync(join(outside, "file"));
      return {
        mode,
        size,
        ino,
        mtimeMs,
        names: readdirSync(outside),
        text: readFileSync(join(outside, "file"), "utf8"),
      };
    },
    [Symbol.dispose]: () => place[Symbol.dispose](),
  };
}

type Plant = (path: string, outside: string) => unknown;

function socket(path: string): () => void {
  const server = createServer().listen(path);
  return () => void server.close();
}

/** What an attacker can put where a name is expected. */
const PLANTS: { [kind: string]: Plant } = {
  "a file": (path) => writeFileSync(path, "planted"),
  "a directory": (path) => mkdirSync(path),
  "a directory with something in it": (path) => mkdirSync(join(path, "below"), { recursive: true }),
  "a link to a file": (path, outside) => symlinkSync(join(outside, "file"), path),
  "a link to nothing": (path, outside) => symlinkSync(join(outside, "new"), path),
  "a link to a directory": (path, outside) => symlinkSync(outside, path),
  "a link to itself": (path) => symlinkSync(path, path),
  "a hard link": (path, outside) => linkSync(join(outside, "file"), path),
  "a FIFO": (path) => void spawnSync("mkfifo", [path]),
  "a socket": socket,
};

const named = creatorsOf(source).filter(([, { unnamed }]) => !unnamed);

const attempts = (calls: { name: string }[]): number =>
  calls.filter(({ name }) => /^(createFile|createDescriptor|makeDirectory)$/.test(name)).length;

test(
  "C10 C11 C64 C65 C66 C82 T13 if the expected name is taken, the next is used and what is there is left untouched",
  { skip: noFifos },
  async () => {
    using _lease = heldLease();
    for (const [kind, plant] of Object.entries(PLANTS)) {
      for (const [of, creator] of named) {
        using here = prepareAttack();
        const path = join(here.dir, expected(creator));
        const stop = plant(path, here.outside);
        // A socket exists once its server listens, which not every runtime does at once.
        while (!readdirSync(here.dir).includes(basename(path))) {
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
        const [before, planted] = [here.state(), lstatSync(path)];
        using watched = substitute({ runtime: { random: predictable() } });
        const made = await creator.make(source, { dir: here.dir });
        const what = `${of}, ${kind}`;
        assert.equal(attempts(watched.calls), 2, what);
        assert.notEqual(made.path, path, what);
        const status = lstatSync(made.path!);
        assert.equal(creator.kind === "file" ? status.isFile() : status.isDirectory(), true, what);
        assert.equal(status.nlink, creator.kind === "file" ? 1 : lstatSync(here.outside).nlink, what);
        await made.remove();
        assert.deepEqual(here.state(), before, what);
        const after = lstatSync(path);
        assert.deepEqual([after.ino, after.mode, after.size, after.mtimeMs], [
          planted.ino,
          planted.mode,
          planted.size,
          planted.mtimeMs,
        ], what);
        if (typeof stop === "function") stop();
      }
    }
  },
);

test("C10 control: if nothing is planted at the expected name, it is used", async () => {
  using _lease = heldLease();
  for (const [of, creator] of named) {
    using here = prepareAttack();
    using _source = substitute({ runtime: { random: predictable() } });
    const made = await creator.make(source, { dir: here.dir });
    assert.equal(basename(made.path!), expected(creator), of);
    await made.remove();
  }
});

test("C64 C65 C82 T13 control: a naive creation follows planted links", { skip: noFifos }, () => {
  {
    using here = prepareAttack();
    symlinkSync(join(here.outside, "new"), join(here.dir, "name"));
    naiveFile(join(here.dir, "name"));
    assert.equal(readFileSync(join(here.outside, "new"), "utf8"), "secret");
  }
  {
    using here = prepareAttack();
    const path = join(here.dir, "name");
    naiveFile(path, () => symlinkSync(join(here.outside, "file"), path));
    assert.equal(here.state().text, "secret");
  }
  {
    using here = prepareAttack();
    symlinkSync(here.outside, join(here.dir, "name"));
    naiveFile(join(naiveDirectory(join(here.dir, "name")), "inside"));
    assert.ok(existsSync(join(here.outside, "inside")));
  }
});

test(
  "T13 C64 creation succeeds at the 20th attempt if a link is planted just before each of 19, and follows none",
  {
    skip: noFifos,
  },
  async () => {
    using _lease = heldLease();
    for (const [of, creator] of named) {
      using here = prepareAttack();
      const before = here.state();
      let planted = 0;
      const plantFirst: Stub = (real, path: string, ...rest: unknown[]) => {
        if (planted < 19) {
          symlinkSync(join(here.outside, planted % 2 ? "file" : "new"), path);
          planted++;
        }
        return real(path, ...rest);
      };
      using watched = substitute({
        primitives: { createFile: plantFirst, createDescriptor: plantFirst, makeDirectory: plantFirst },
      });
      const made = await creator.make(source, { dir: here.dir });
      assert.equal(attempts(watched.calls), 20, of);
      const names = watched.calls.filter(({ name }) => /^(create|makeDirectory)/.test(name)).map(({ args }) =>
        args[0]
      );
      assert.equal(new Set(names).size, 20, of);
      assert.ok(!lstatSync(made.path!).isSymbolicLink(), of);
      await made.remove();
      assert.deepEqual(here.state(), before, of);
      // The attacker's links are still there: removal did not touch them.
      assert.equal(readdirSync(here.dir).length, 19, of);
    }
  },
);

test("C12 C13 if the random source is constant, a second creation fails with EEXIST after 20 tries, the first is untouched", async () => {
  using _lease = heldLease();
  for (const [of, creator] of named) {
    using here = prepareAttack();
    const waits: number[] = [], { sleep, after } = runtime;
    using watched = substitute({
      runtime: {
        random: constantBytes(4),
        sleep: (milliseconds) => (waits.push(milliseconds), sleep(milliseconds)),
        after: (milliseconds, call) => (waits.push(milliseconds), after(milliseconds, call)),
      },
    });
    const first = await creator.make(source, { dir: here.dir });
    const { ino, mtimeMs } = lstatSync(first.path!);
    await assert.rejects(async () => await creator.make(source, { dir: here.dir }), {
      name: "TempfileError",
      code: "EEXIST",
      path: here.dir,
      message:
        `Cannot create a temporary ${creator.kind} in "${here.dir}": 20 random names are all taken (EEXIST)`,
    }, of);
    assert.deepEqual(waits, [], `${of} waits between attempts`);
    assert.equal(attempts(watched.calls), 21, of);
    assert.deepEqual([lstatSync(first.path!).ino, lstatSync(first.path!).mtimeMs], [ino, mtimeMs], of);
    assert.equal(readdirSync(here.dir).length, 1, of);
    await first.remove();
  }
});

test("C11 on EISDIR, creating a file tries another name, creating a directory fails", async () => {
  using _lease = heldLease();
  for (const [of, creator] of named) {
    using here = prepareAttack();
    let calls = 0;
    const once: Stub = (real, ...args) => {
      if (calls++ === 0) throw systemError("EISDIR");
      return real(...args);
    };
    using _odd = substitute({
      primitives: { createFile: once, createDescriptor: once, makeDirectory: once },
    });
    const making = (async () => await creator.make(source, { dir: here.dir }))();
    if (creator.kind === "file") await (await making).remove();
    else await assert.rejects(making, { code: "EISDIR" }, of);
    assert.equal(calls, creator.kind === "file" ? 2 : 1, of);
  }
});

test(
  "C64 C65 T13 without O_TMPFILE, an unnamed file is created at the next name if one is taken, and leaves no name",
  {
    skip: noFifos,
  },
  async () => {
    const refuse = (): never => {
      throw systemError("EOPNOTSUPP");
    };
    // Such a file is recorded in the lease until its name is removed.
    using _lease = heldLease();
    for (const [kind, plant] of Object.entries(PLANTS).filter(([kind]) => kind !== "a socket")) {
      for (const [of, creator] of creatorsOf(source).filter(([, { unnamed }]) => unnamed)) {
        using here = prepareAttack();
        const path = join(here.dir, `tmp${sessionId()}${FIRST}`);
        plant(path, here.outside);
        const before = here.state();
        using watched = substitute({
          primitives: { createUnnamed: refuse },
          runtime: { random: predictable() },
        });
        const made = await creator.make(source, { dir: here.dir });
        assert.equal(attempts(watched.calls), 2, `${of}, ${kind}`);
        assert.deepEqual(readdirSync(here.dir), [basename(path)], `${of}, ${kind}`);
        await made.remove();
        assert.deepEqual(here.state(), before, `${of}, ${kind}`);
      }
    }
  },
);

/** Runs each creator inside and outside of the granted directory, and with options that lead outside. */
const UNDER_PERMISSIONS = `import { creatorsOf } from ${JSON.stringify(CREATORS)};
const [inside, outside] = args;
const attempt = async (make, options) => {
  try { const made = await make(m, options); await made.remove(); return "made"; }
  catch (error) { return error.code ?? String(error); }
};
for (const [of, { make }] of creatorsOf(m)) {
  say([of, await attempt(make, { dir: inside }), await attempt(make, { dir: outside }),
    await attempt(make, { dir: inside, prefix: "../outside/x" }), await attempt(make, { dir: inside, suffix: "/../../outside/x" }),
    await attempt(make, { dir: inside + "/../outside" }), await attempt(make, { dir: inside + "/link" })]);
}
m.configure({ tmpdir: inside });
say(m.tmpdir());`;

/** What each creator answers inside and outside of the directory, and with options that lead outside. */
const DENIED = [
  "made",
  "ERR_ACCESS_DENIED",
  "ERR_INVALID_OPTION",
  "ERR_INVALID_OPTION",
  "ERR_ACCESS_DENIED",
  noLinks ? "ENOENT" : "ERR_ACCESS_DENIED",
];

/** Without permissions, only the prefix and the suffix are refused. */
const PERMITTED = [
  "made",
  "made",
  "ERR_INVALID_OPTION",
  "ERR_INVALID_OPTION",
  "made",
  noLinks ? "ENOENT" : "made",
];

async function underPermissions(flags: (inside: string) => string[], wanted: string[]): Promise<void> {
  using place = scratch();
  const [inside, outside] = ["inside", "outside"].map((name) => join(place.path, name));
  mkdirSync(inside);
  mkdirSync(outside);
  if (!noLinks) symlinkSync(outside, join(inside, "link"));
  const { said, stderr } = await runChild(UNDER_PERMISSIONS, {
    args: [inside, outside],
    flags: flags(inside),
  });
  assert.deepEqual(said, [...creatorsOf(m).map(([of]) => [of, ...wanted]), inside], stderr);
  assert.deepEqual([readdirSync(inside), readdirSync(outside)], [noLinks ? [] : ["link"], []]);
}

test(
  "T2 Deno's permissions for one directory suffice inside it, and no dir, prefix, suffix or link leads outside",
  {
    skip: notDeno,
  },
  async () => {
    await underPermissions(
      (inside) => [`--allow-read=${inside}`, `--allow-write=${inside}`, "--no-prompt"],
      DENIED,
    );
  },
);

test("T2 T5 control: without restricted permissions the same creators create outside the directory", async () => {
  await underPermissions(() => isDeno ? ["-A"] : [], PERMITTED);
});

test(
  "T5 Node's permissions for one directory suffice inside it; outside, creation fails with ERR_ACCESS_DENIED",
  { skip: notNode },
  async () => {
    const permission = Number(process.versions.node.split(".")[0]) < 23
      ? "--experimental-permission"
      : "--permission";
    await underPermissions(
      (inside) => [permission, "--allow-fs-read=*", `--allow-fs-write=${inside}/*`],
      DENIED,
    );
  },
);
