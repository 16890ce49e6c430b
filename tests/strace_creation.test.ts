import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as m from "#mod";
import { type Creator, creatorsOf, functionsOf, notCreators, replacers } from "./support/creators.ts";
import { oncePerRuntime } from "./support/once.ts";
import { scratch } from "./support/scratch.ts";
import { creates, noStrace, type SystemCall, tracedChild } from "./support/strace.ts";

const CREATORS = import.meta.resolve("./support/creators.ts");

/** The calls below a directory. */
const below = (calls: SystemCall[], dir: string): SystemCall[] =>
  calls.filter(({ path }) => path === dir || path.startsWith(dir + "/"));

const changesMode = ({ name }: SystemCall): boolean => /^f?chmod/.test(name);

/** Runs every creator once in a directory of its own, so that each call can be told whose it is. */
const EACH = `import { creatorsOf } from ${JSON.stringify(CREATORS)};
m.tmpdir();
for (const [of, { make }] of creatorsOf(m)) {
  const dir = path.join(args[0], of);
  const options = args[1] === undefined ? {} : JSON.parse(args[1]);
  const made = await make(m, { dir, ...options });
  say([of, made.path]);
  await made.remove();
}`;

interface Traced {
  of: string;
  creator: Creator;
  path: string | undefined;
  calls: SystemCall[];
}

/** What each creator had the kernel do in its directory. */
async function trace(umask: string, options?: object): Promise<{ each: Traced[]; calls: SystemCall[] }> {
  using place = scratch();
  for (const [of] of creatorsOf(m)) mkdirSync(join(place.path, of));
  const args = options === undefined ? [place.path] : [place.path, JSON.stringify(options)];
  const { calls, said, stderr } = await tracedChild(EACH, { umask, args, env: { TMPDIR: place.path } });
  assert.equal(said.length, creatorsOf(m).length, stderr);
  const each = creatorsOf(m).map(([of, creator]) => ({
    of,
    creator,
    path: said.find(([name]) => name === of)[1],
    calls: below(calls, join(place.path, of)),
  }));
  return { each, calls: below(calls, place.path) };
}

test("T7 every function that the module exports is known to create, or not to (once a runtime)", {
  skip: oncePerRuntime,
}, () => {
  const known = new Set([...notCreators, ...replacers, ...creatorsOf(m).map(([name]) => name.split(" ")[0])]);
  const unknown = functionsOf(m).filter((name) => !known.has(name));
  assert.deepEqual(
    unknown,
    [],
    "add what creates to support/creators.ts: its permissions are then tested here",
  );
});

test(
  "T7 C60 C62 C77 C79 under every umask the creating call itself has mode 0600 or 0700, and none is changed later (once a runtime)",
  { skip: noStrace || oncePerRuntime },
  async () => {
    for (const umask of ["000", "022", "077"]) {
      const { each, calls } = await trace(umask);
      for (const { of, creator, calls } of each) {
        const creating = calls.filter(creates);
        assert.ok(creating.length >= 1, of);
        assert.equal(creating.some(({ name }) => name.startsWith("mkdir")), creator.kind === "directory", of);
      }
      // Also what belongs to no creator: probes, and whatever else comes to be in the temporary directory.
      for (const { text, mode, name } of calls.filter(creates)) {
        assert.equal(mode, name.startsWith("mkdir") ? "0700" : "0600", `${umask}: ${name}(${text})`);
      }
      assert.deepEqual(calls.filter(changesMode), [], umask);
    }
  },
);

/** Each way to say the mode of what replaces a file, with the permission bits that others may get on the way. */
const REPLACEMENTS = [
  { options: { mode: "umask" }, others: 0o066 },
  { options: { mode: "private" }, others: 0 },
  { options: { mode: "existing" }, existing: 0o640, others: 0o040 },
  { options: { mode: "existing" }, existing: 0o600, others: 0 },
  { options: { mode: 0o600 }, others: 0 },
  { options: { mode: 0o640 }, others: 0o040 },
];

test(
  "T7 what replaces a file never gives others more rights on the way than the result does (once a runtime)",
  {
    skip: noStrace || oncePerRuntime,
  },
  async () => {
    using place = scratch();
    const { calls, said, stderr } = await tracedChild(
      `for (const [index, { options, existing }] of JSON.parse(args[1]).entries()) {
       for (const name of JSON.parse(args[2])) {
         const dir = path.join(args[0], name + index);
         fs.mkdirSync(dir, { mode: 0o700 });
         if (existing !== undefined) {
           fs.closeSync(fs.openSync(path.join(dir, "target"), "w", 0o600));
           fs.chmodSync(path.join(dir, "target"), existing);
         }
         await m[name](path.join(dir, "target"), "x", options);
         say(fs.lstatSync(path.join(dir, "target")).mode & 0o077);
       }
     }`,
      { args: [place.path, JSON.stringify(REPLACEMENTS), JSON.stringify(replacers)], umask: "000" },
    );
    assert.deepEqual(said, REPLACEMENTS.flatMap(({ others }) => [others, others]), stderr);
    for (const [index, { options, others }] of REPLACEMENTS.entries()) {
      for (const name of replacers) {
        const dir = join(place.path, name + index);
        const staged = calls.filter(({ path }) => path.startsWith(join(dir, ".mayfly-")));
        assert.ok(staged.some(creates), name);
        for (const { mode, text } of staged.filter(creates)) {
          assert.equal(parseInt(mode!, 8) & 0o077 & ~others, 0, `${JSON.stringify(options)}: ${text}`);
        }
        // By path, a change could be led elsewhere.
        assert.deepEqual(staged.filter(changesMode), [], name);
      }
    }
  },
);

test(
  "C63 every open that creates is O_CREAT, O_EXCL, O_CLOEXEC and O_RDWR, and mkstemp's O_NOFOLLOW (once a runtime)",
  {
    skip: noStrace || oncePerRuntime,
  },
  async () => {
    const { each, calls } = await trace("022");
    const opens = calls.filter((call) => creates(call) && call.name.startsWith("open"));
    assert.ok(opens.length >= each.filter(({ creator }) => creator.kind === "file").length);
    for (const { text, flags } of opens) {
      const wanted = flags.includes("O_TMPFILE") ? [] : ["O_CREAT", "O_EXCL"];
      for (const flag of [...wanted, "O_CLOEXEC", "O_RDWR"]) {
        assert.ok(flags.includes(flag), `${flag}: ${text}`);
      }
      assert.ok(!flags.includes("O_TRUNC"), text);
    }
    for (const { of, calls } of each.filter(({ of }) => of.startsWith("mkstemp"))) {
      assert.ok(calls.filter(creates).every(({ flags }) => flags.includes("O_NOFOLLOW")), of);
    }
  },
);

test(
  "C81 T10 the first and only call that creates a directory is mkdir, and nothing was at its name before (once a runtime)",
  { skip: noStrace || oncePerRuntime },
  async () => {
    const { each } = await trace("022");
    for (const { of, path, calls } of each.filter(({ creator }) => creator.kind === "directory")) {
      const atName = calls.filter((call) => call.path === path);
      assert.match(atName[0].name, /^mkdir(at)?$/, of);
      assert.equal(atName[0].answer, "0", of);
      assert.equal(calls.filter(creates).length, 1, of);
      assert.equal(
        calls.filter(({ name, path: at }) =>
          /^(unlink|rename)/.test(name) && at === path && !name.includes("at")
        ).length,
        0,
        of,
      );
    }
  },
);

test(
  "T10 C62 EEXIST leads to a new name: nothing is done to what has the old one (once a runtime)",
  { skip: noStrace || oncePerRuntime },
  async () => {
    using place = scratch();
    // The source of random bytes is the child's own: names of one character after a prefix cannot be had, so the child
    // plants the name that it is about to use, between drawing and creating.
    const { calls, said, stderr } = await tracedChild(
      `import { heldLease, substitute } from ${
        JSON.stringify(import.meta.resolve("./support/substitute.ts"))
      };
     import * as source from ${JSON.stringify(import.meta.resolve("../mod.ts"))};
     import { creatorsOf } from ${JSON.stringify(CREATORS)};
     const lease = heldLease();
     for (const [of, { make, unnamed }] of creatorsOf(source)) {
       if (unnamed) continue;
       const dir = fs.mkdtempSync(path.join(args[0], "victim-"));
       let planted;
       const plant = (real, at, ...rest) => {
         if (planted === undefined) fs.symlinkSync("/nowhere", planted = at);
         return real(at, ...rest);
       };
       substitute({ primitives: { createFile: plant, createDescriptor: plant, makeDirectory: plant } });
       const made = await make(source, { dir });
       say([of, planted, made.path]);
       await made.remove();
     }
     lease[Symbol.dispose]();`,
      { args: [place.path] },
    );
    assert.equal(said.length, creatorsOf(m).filter(([, { unnamed }]) => !unnamed).length, stderr);
    for (const [of, planted, made] of said) {
      const atPlant = calls.filter(({ path, text }) => path === planted || text.includes(`"${planted}"`));
      // The attacker's link, and our one refused call.
      assert.deepEqual(
        atPlant.map(({ name }) => name.replace(/at$/, "")).sort(),
        [of.includes("irectory") || of.includes("mkd") ? "mkdir" : "open", "symlink"].sort(),
        of,
      );
      const refused = atPlant.find(({ name }) => !name.startsWith("symlink"))!;
      assert.match(refused.answer, /^-1 EEXIST/, of);
      assert.notEqual(made, planted, of);
    }
  },
);

test(
  "T7 C83 a mode of the caller's is in the creating call too, and what the umask took is put back through a descriptor (once a runtime)",
  { skip: noStrace || oncePerRuntime },
  async () => {
    const { each, calls } = await trace("077", { mode: 0o750 });
    for (const { of, calls } of each) {
      for (const { mode, text } of calls.filter(creates)) assert.equal(mode, "0750", `${of}: ${text}`);
      // By path, a chmod could be led elsewhere.
      assert.deepEqual(calls.filter(changesMode), [], of);
    }
    assert.equal(calls.filter(({ name }) => name === "umask").length, 0);
  },
);

test(
  "T7 the harness sees a mode that is changed after the creation, and one that is too wide (once a runtime)",
  {
    skip: noStrace || oncePerRuntime,
  },
  async () => {
    using place = scratch();
    const { calls } = await tracedChild(
      `fs.writeFileSync(args[0] + "/naive", "");
     fs.chmodSync(args[0] + "/naive", 0o600);
     fs.mkdirSync(args[0] + "/directory");
     m.mkdtempSync({ dir: args[0] });`,
      { args: [place.path], umask: "000" },
    );
    const here = below(calls, place.path);
    assert.ok(here.filter(creates).some(({ mode }) => mode === "0666"));
    assert.ok(here.filter(creates).some(({ name, mode }) => name.startsWith("mkdir") && mode === "0777"));
    assert.ok(here.some(changesMode));
    assert.ok(here.filter(creates).some(({ name, mode }) => name.startsWith("mkdir") && mode === "0700"));
  },
);
