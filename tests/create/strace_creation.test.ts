import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import * as m from "#mod";
import { type Creator, creatorsOf, functionsOf, notCreators, replacers } from "../support/creators.ts";
import { packageTest as test } from "../support/once.ts";
import { elsewhere, noElsewhere } from "../support/places.ts";
import { scratch } from "../support/scratch.ts";
import { creates, noStrace, type SystemCall, tracedChild } from "../support/strace.ts";

const CREATORS = import.meta.resolve("../support/creators.ts");

/** The calls with a path in a directory. */
const below = (calls: SystemCall[], dir: string): SystemCall[] =>
  calls.filter(({ path }) => path === dir || path.startsWith(dir + "/"));

const changesMode = ({ name }: SystemCall): boolean => /^f?chmod/.test(name);

/** Runs every creator once in a directory of its own, so that each call can be attributed to its creator. */
const EACH = `import { creatorsOf } from ${JSON.stringify(CREATORS)};
m.tmpdir();
for (const [of, { make }] of creatorsOf(m)) {
  const dir = path.join(args[0], of);
  const options = args[1] === undefined ? {} : JSON.parse(args[1]);
  const made = await make(m, { dir, ...options });
  say([of, made.path, made.path === undefined ? undefined : fs.lstatSync(made.path).mode & 0o777]);
  await made.remove();
}`;

interface Traced {
  of: string;
  creator: Creator;
  /** The path, and the permission bits that it has in the end; null for a file without a name. */
  path: string | null;
  mode: number | null;
  calls: SystemCall[];
}

type Traces = { each: Traced[]; calls: SystemCall[]; all: SystemCall[] };

/** Traces the system calls of each creator in its directory, and of all of them with and without a path there. */
async function trace(umask: string, options?: object): Promise<Traces> {
  using place = scratch();
  for (const [of] of creatorsOf(m)) mkdirSync(join(place.path, of));
  const args = options === undefined ? [place.path] : [place.path, JSON.stringify(options)];
  const { calls, said, stderr } = await tracedChild(EACH, { umask, args, env: { TMPDIR: place.path } });
  assert.equal(said.length, creatorsOf(m).length, stderr);
  const each = creatorsOf(m).map(([of, creator]) => ({
    of,
    creator,
    path: said.find(([name]) => name === of)[1],
    mode: said.find(([name]) => name === of)[2],
    calls: below(calls, join(place.path, of)),
  }));
  return { each, calls: below(calls, place.path), all: calls };
}

let traced: Promise<Traces> | undefined;

/** The traces with the usual umask, made once for all tests. */
const usual = (): Promise<Traces> => traced ??= trace("022");

test("T7 support/creators.ts lists every exported function as creating something or not", () => {
  const known = new Set([...notCreators, ...replacers, ...creatorsOf(m).map(([name]) => name.split(" ")[0])]);
  const unknown = functionsOf(m).filter((name) => !known.has(name));
  assert.deepEqual(
    unknown,
    [],
    "add it to support/creators.ts, so that the permissions of what it creates are tested here",
  );
});

test(
  "T7 C60 C62 C77 C79 under any umask the creating call has mode 0600 or 0700, and no chmod follows",
  { skip: noStrace },
  async () => {
    for (const umask of ["000", "022", "077"]) {
      const { each, calls } = await (umask === "022" ? usual() : trace(umask));
      for (const { of, creator, calls } of each) {
        const creating = calls.filter(creates);
        assert.ok(creating.length >= 1, of);
        assert.equal(creating.some(({ name }) => name.startsWith("mkdir")), creator.kind === "directory", of);
      }
      // This includes what belongs to no creator, such as probes in the temporary directory.
      for (const { text, mode, name } of calls.filter(creates)) {
        assert.equal(mode, name.startsWith("mkdir") ? "0700" : "0600", `${umask}: ${name}(${text})`);
      }
      assert.deepEqual(calls.filter(changesMode), [], umask);
    }
  },
);

/** Each way to set the mode of a replacement, with the permission bits that others may get before it is in place. */
const REPLACEMENTS = [
  { options: { mode: "umask" }, others: 0o066 },
  { options: { mode: "private" }, others: 0 },
  { options: { mode: "existing" }, existing: 0o640, others: 0o040 },
  { options: { mode: "existing" }, existing: 0o600, others: 0 },
  { options: { mode: 0o600 }, others: 0 },
  { options: { mode: 0o640 }, others: 0o040 },
];

test(
  "T7 a replacement of a file never gives others more permissions before it is in place than after",
  {
    skip: noStrace,
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
        // A change by path could be redirected to another file.
        assert.deepEqual(staged.filter(changesMode), [], name);
      }
    }
  },
);

/** Moves files and a tree to another file system; reports the names that others may then use, with their permission bits. */
const MOVE = `
const [dir, results] = args, at = (name) => path.join(results, name);
const named = m.namedTemporaryFileSync({ dir }), unnamed = m.temporaryFileSync({ dir });
for (const file of [named, unnamed]) file.writeSync("contents");
await named.persist(at("named"), { mode: "private" });
unnamed.persistSync(at("unnamed"), { mode: 0o640 });
const fill = (directory) => {
  fs.mkdirSync(directory.join("secret"), 0o700);
  for (const [name, mode] of [["secret/file", 0o600], ["shared", 0o640]]) fs.closeSync(fs.openSync(directory.join(name), "w", mode));
  return directory;
};
await fill(await m.temporaryDirectory({ dir })).persist(at("tree"));
fill(m.temporaryDirectorySync({ dir })).persistSync(at("tree, sync"));
for (const name of fs.readdirSync(results, { recursive: true }).sort()) {
  const { mode } = fs.lstatSync(at(name));
  if (!name.startsWith(".mayfly-") && (mode & 0o077) !== 0) say([name, (mode & 0o077).toString(8)]);
}`;

test(
  "T7 what persist() creates on another file system is private until it is complete, and no chmod by path follows",
  { skip: noStrace || noElsewhere },
  async () => {
    using from = scratch(elsewhere);
    using results = scratch();
    const { calls, said, stderr } = await tracedChild(MOVE, {
      args: [from.path, results.path],
      umask: "000",
      env: { TMPDIR: from.path },
    });
    assert.deepEqual(said, [["tree, sync/shared", "40"], ["tree/shared", "40"], ["unnamed", "40"]], stderr);
    const there = below(calls, results.path), created = there.filter(creates);
    // Two files, and two trees with four entries each.
    assert.ok(created.length >= 2 + 2 * 4, String(created.length));
    for (const { name, mode, text } of created) {
      assert.match(mode!, name.startsWith("mkdir") ? /^0700$/ : /^06[04]0$/, text);
    }
    assert.equal(created.filter(({ mode }) => mode === "0640").length, 1, "of the file with that mode");
    assert.deepEqual(there.filter(({ name }) => /^(chmod|fchmodat)/.test(name)), []);
  },
);

test(
  "C63 each creating open() has O_CREAT, O_EXCL, O_CLOEXEC and O_RDWR, in mkstemp() also O_NOFOLLOW",
  {
    skip: noStrace,
  },
  async () => {
    const { each, calls } = await usual();
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
      assert.deepEqual(calls.filter(creates).map(({ flags }) => flags.includes("O_NOFOLLOW")), [true], of);
    }
  },
);

/** The name of the first system call with a path. */
const firstAt = (calls: SystemCall[], path: string): string => calls.find((call) => call.path === path)!.name;

test(
  "C81 T10 the first call at the path of a directory is mkdir(), and no other call creates it",
  { skip: noStrace },
  async () => {
    const { each } = await usual();
    for (const { of, path, calls } of each.filter(({ creator }) => creator.kind === "directory")) {
      const atName = calls.filter((call) => call.path === path);
      assert.match(firstAt(calls, path!), /^mkdir(at)?$/, of);
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
  "T10 C62 after EEXIST another name is used, and no further call is made at the first",
  { skip: noStrace },
  async () => {
    using place = scratch();
    // The random names of the child cannot be predicted from here: it creates a link at each name itself, just before
    // using it.
    const { calls, said, stderr } = await tracedChild(
      `import { heldLease, substitute } from ${
        JSON.stringify(import.meta.resolve("../support/substitute.ts"))
      };
     import * as source from ${JSON.stringify(import.meta.resolve("../../mod.ts"))};
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
      // The planted link, and the one refused call.
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
  "T7 C83 a given mode is in the creating call, and in force in spite of the umask without a chmod by path",
  { skip: noStrace },
  async () => {
    const { each, all } = await trace("077", { mode: 0o750 });
    for (const { of, calls, path, mode } of each) {
      for (const { mode, text } of calls.filter(creates)) assert.equal(mode, "0750", `${of}: ${text}`);
      if (path !== null) assert.equal(mode, 0o750, of);
      // A chmod() by path could be redirected to another file.
      assert.deepEqual(calls.filter(changesMode), [], of);
    }
    assert.deepEqual(all.filter(({ name }) => name === "umask"), []);
  },
);

test(
  "T7 T10 control: the trace shows a mode changed after creation or too wide, and a name used before mkdir()",
  {
    skip: noStrace,
  },
  async () => {
    using place = scratch();
    const { calls } = await tracedChild(
      `fs.writeFileSync(args[0] + "/naive", "");
     fs.chmodSync(args[0] + "/naive", 0o600);
     fs.mkdirSync(args[0] + "/directory");
     fs.writeFileSync(args[0] + "/reserved", "");
     fs.unlinkSync(args[0] + "/reserved");
     fs.mkdirSync(args[0] + "/reserved");
     m.mkdtempSync({ dir: args[0] });`,
      { args: [place.path], umask: "000" },
    );
    const here = below(calls, place.path);
    assert.ok(here.filter(creates).some(({ mode }) => mode === "0666"));
    assert.ok(here.filter(creates).some(({ name, mode }) => name.startsWith("mkdir") && mode === "0777"));
    assert.ok(here.some(changesMode));
    assert.match(firstAt(here, join(place.path, "reserved")), /^open/);
    assert.ok(here.filter(creates).some(({ name, mode }) => name.startsWith("mkdir") && mode === "0700"));
  },
);
