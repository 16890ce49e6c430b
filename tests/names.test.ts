import assert from "node:assert/strict";
import { closeSync, existsSync, unlinkSync, writeFileSync } from "node:fs";
import { basename, isAbsolute, join } from "node:path";
import * as m from "#mod";
import * as source from "../mod.ts";
import { isSessionId, RANDOM_LENGTH, randomName, SESSION_LENGTH, sessionId } from "../lib/name.ts";
import { runtime } from "../lib/runtime/mod.ts";
import { moduleUrl, runChild } from "./support/child.ts";
import { creatorsOf } from "./support/creators.ts";
import { packageTest as test } from "./support/once.ts";
import { scratch } from "./support/scratch.ts";
import { bytesInTurn, constantBytes, heldLease, substitute, systemError } from "./support/substitute.ts";

/** The documented alphabet: one case, no look-alikes. */
const RANDOM = "[abcdefghijkmnpqrstuvwxyz23456789]";
const OWNED_NAME = new RegExp(`^tmp${RANDOM}{13}$`);
const SESSION_NAME = new RegExp(`^tmp${RANDOM}{21}$`);

const named = creatorsOf(m).filter(([, { unnamed }]) => !unnamed);

/** Calls each function that creates a name, and passes the name on. */
async function eachName(
  options: object,
  look: (name: string, reclaimable: boolean, of: string) => void,
): Promise<void> {
  for (const [of, creator] of named) {
    const made = await creator.make(m, options);
    try {
      assert.ok(isAbsolute(made.path!), of);
      assert.ok(existsSync(made.path!), of);
      look(basename(made.path!), creator.reclaimable, of);
    } finally {
      await made.remove();
    }
  }
}

test("C1 C5 the default name is tmp followed by random characters of the documented alphabet", async () => {
  await eachName({}, (name, reclaimable, of) => {
    assert.match(name, reclaimable ? SESSION_NAME : OWNED_NAME, of);
  });
});

test("C2 C3 a name consists of exactly the prefix, the random characters and the suffix", async () => {
  for (
    const { prefix, suffix } of [
      { prefix: "prefix" },
      { suffix: ".txt" },
      { prefix: "a", suffix: "_b" },
      { prefix: "_a", suffix: "bc" },
      { prefix: "", suffix: "" },
      { prefix: "with space ", suffix: ".tar.gz" },
    ]
  ) {
    await eachName({ prefix, suffix }, (name, reclaimable, of) => {
      const random = name.slice((prefix ?? "tmp").length, name.length - (suffix ?? "").length);
      assert.equal(name, (prefix ?? "tmp") + random + (suffix ?? ""), of);
      assert.match(random, new RegExp(`^${RANDOM}{${reclaimable ? 21 : 13}}$`), of);
    });
  }
});

test("C4 a name has 13 characters besides prefix and suffix, and 8 more if Mayfly removes it", async () => {
  await eachName({ prefix: "tmp", suffix: ".rs" }, (name, reclaimable, of) => {
    assert.equal(name.length, 3 + (reclaimable ? 8 : 0) + 13 + 3, of);
  });
  assert.equal(SESSION_LENGTH, 8);
  assert.equal(RANDOM_LENGTH, 13);
});

test("C4 a name carries no session id with delete: false", () => {
  const file = m.namedTemporaryFileSync({ delete: false });
  const directory = m.temporaryDirectorySync({ delete: false });
  try {
    assert.match(basename(file.path), OWNED_NAME);
    assert.match(basename(directory.path), OWNED_NAME);
  } finally {
    file.closeSync();
    unlinkSync(file.path);
    m.adoptDirectorySync(directory.path).removeSync();
  }
});

test("C5 each random byte maps to one of 32 characters, all equally likely", () => {
  const counts = new Map<string, number>();
  for (let byte = 0; byte < 256; byte++) {
    using _fixed = substitute({ runtime: { random: constantBytes(byte) } });
    const name = randomName();
    assert.equal(name, name[0].repeat(RANDOM_LENGTH));
    counts.set(name[0], (counts.get(name[0]) ?? 0) + 1);
  }
  assert.equal(counts.size, 32);
  assert.ok([...counts.values()].every((count) => count === 8));
  // Safe on case-insensitive file systems: no two characters differ only in case.
  assert.equal(new Set([...counts.keys()].map((character) => character.toLowerCase())).size, 32);
});

test("C6 C68 C75 100 files and 100 directories have 200 different names", () => {
  using place = scratch();
  const names = Array.from({ length: 100 }, () => {
    const { fd, path } = m.mkstempSync({ dir: place.path });
    closeSync(fd);
    return [basename(path), basename(m.mkdtempSync({ dir: place.path }))];
  }).flat();
  assert.equal(new Set(names).size, 200);
  assert.deepEqual(place.list(), names.sort());
});

const DRAW = `
const draw = () => Array.from({ length: 50 }, () => {
  const { fd, path } = m.mkstempSync({ prefix: "", dir: args[0] });
  fs.closeSync(fd);
  return path.slice(-13);
});
const session = () => {
  const file = m.namedTemporaryFileSync({ prefix: "", dir: args[0] });
  file.closeSync();
  return file.path.slice(-21, -13);
};
`;

test("C7 T14 two processes and a worker thread of each draw different names and have different session ids", async () => {
  using place = scratch();
  const worker = join(place.path, "worker.mjs");
  writeFileSync(
    worker,
    `import { parentPort, workerData } from "node:worker_threads"; import fs from "node:fs";
     import * as m from ${JSON.stringify(moduleUrl)}; const args = workerData;
     ${DRAW} parentPort.postMessage({ names: draw(), session: session() });`,
  );
  const code = `import { Worker } from "node:worker_threads"; ${DRAW}
    say({ names: draw(), session: session() });
    const worker = new Worker(new URL("file://" + args[1]), { workerData: args });
    worker.on("error", (error) => { throw error; });
    worker.on("message", (message) => { say(message); worker.terminate(); });`;
  const args = [place.path, worker];
  const children = await Promise.all([runChild(code, { args }), runChild(code, { args })]);
  const said = children.flatMap(({ said }) => said);
  assert.equal(said.length, 4, children.map(({ stderr }) => stderr).join());
  assert.equal(new Set(said.flatMap(({ names }) => names)).size, 4 * 50);
  assert.equal(new Set(said.map(({ session }) => session)).size, 4);
});

test("C8 all names of a module share one session id, also if the first are created concurrently", async () => {
  const code = `const made = await Promise.all(Array.from({ length: 20 }, (_, i) =>
      i % 2 ? m.namedTemporaryFile({ prefix: "" }) : m.temporaryDirectory({ prefix: "" })));
    say(made.map(({ path }) => path.slice(-21)));
    await Promise.all(made.map((each) => each[Symbol.asyncDispose]()));`;
  const { said: [names], stderr } = await runChild(code);
  assert.equal(stderr, "");
  assert.equal(new Set(names.map((name: string) => name.slice(0, 8))).size, 1);
  assert.equal(new Set(names.map((name: string) => name.slice(8))).size, 20);
  assert.equal(sessionId(), sessionId());
  assert.ok(isSessionId(sessionId()));
  for (const text of ["", "abcdefg", "abcdefghi", "abcdefg1", "ABCDEFGH", "abcdefg\n", "../../..."]) {
    assert.ok(!isSessionId(text), text);
  }
});

test("C9 after 3 collisions fresh random bytes are used, and the 4th name succeeds", async () => {
  using _lease = heldLease();
  for (const [of, creator] of creatorsOf(source).filter(([, { unnamed }]) => !unnamed)) {
    using place = scratch();
    const first = substitute({ runtime: { random: constantBytes(7) } });
    const before = await creator.make(source, { dir: place.path });
    first[Symbol.dispose]();
    using second = substitute({ runtime: { random: bytesInTurn(7) } });
    const after = await creator.make(source, { dir: place.path });
    const attempts = second.calls.filter(({ name }) =>
      /^(createFile|createDescriptor|makeDirectory)$/.test(name)
    );
    assert.equal(attempts.length, 4, of);
    assert.equal(place.list().length, 2, of);
    await after.remove();
    await before.remove();
  }
});

test("C5 each of the 13 characters comes from its own random byte, and no byte is used twice", () => {
  const used: number[] = [];
  const random = (bytes: Uint8Array): void => {
    for (let at = 0; at < bytes.length; at++) bytes[at] = at % 32;
    used.push(bytes.length);
  };
  using _counting = substitute({ runtime: { random } });
  const alphabet = "abcdefghijkmnpqrstuvwxyz23456789".repeat(2);
  assert.equal(randomName(), alphabet.slice(0, 13));
  assert.equal(randomName(), alphabet.slice(13, 26));
  assert.equal(randomName(), alphabet.slice(26, 39));
  assert.equal(used.length, 1);
});

test("a failure of the random source is reported, and stale bytes of the pool never become a name", async () => {
  // In a separate process: the first pools of a process differ in size, and a new one is all zeros.
  const { said, stderr } = await runChild(
    `import { substitute, systemError } from ${
      JSON.stringify(import.meta.resolve("./support/substitute.ts"))
    };
     import { randomName } from ${JSON.stringify(import.meta.resolve("../lib/name.ts"))};
     let failing = false;
     substitute({ runtime: { random(bytes) {
       if (failing) throw systemError("EIO");
       crypto.getRandomValues(bytes);
     } } });
     const names = [], codes = [];
     const draw = () => {
       try { for (let count = 0; count < 5000; count++) names.push(randomName()); } catch (error) { codes.push(error.code); }
     };
     for (let pools = 0; pools < 3; pools++) {
       failing = false;
       names.push(randomName());
       failing = true;
       for (let failures = 0; failures < 3; failures++) draw();
     }
     say([names.length, new Set(names).size, names.filter((name) => /^(.)\\1+$/.test(name)), codes]);`,
  );
  assert.equal(said.length, 1, stderr);
  const [drawn, different, uniform, codes] = said[0];
  assert.ok(drawn > 1000);
  assert.equal(different, drawn);
  assert.deepEqual(uniform, []);
  assert.deepEqual(codes, Array(9).fill("EIO"));
});

test(
  "T14 C6 a million names are all different, even if case is ignored",
  { onOneNode: true },
  () => {
    const names = new Set<string>();
    for (let count = 0; count < 1_000_000; count++) names.add(randomName());
    assert.equal(names.size, 1_000_000);
    for (const name of names) assert.ok(name === name.toLowerCase() && name.length === RANDOM_LENGTH);
  },
);

test("T14 names depend only on the runtime's cryptographic random source, whose bits are balanced", () => {
  const filling = new Uint8Array(64 * 1024);
  runtime.random(filling);
  const again = new Uint8Array(64 * 1024);
  runtime.random(again);
  assert.notDeepEqual(filling, again);
  const ones = filling.reduce((sum, byte) => sum + byte.toString(2).replaceAll("0", "").length, 0);
  // Half of the bits, give or take ten standard deviations.
  assert.ok(Math.abs(ones - 4 * filling.length) < 10 * Math.sqrt(2 * filling.length), `${ones}`);
  // The same bytes make the same name.
  const draw = (): string => {
    using _fixed = substitute({
      runtime: { random: (bytes) => bytes.set(filling.subarray(0, bytes.length)) },
    });
    return randomName();
  };
  assert.equal(draw(), draw());
});

test("C28 a name of 255 bytes is accepted, and one more fails with ENAMETOOLONG before any system call", async () => {
  const room = 255 - SESSION_LENGTH - RANDOM_LENGTH;
  const fits = [
    { prefix: "x".repeat(room) },
    { suffix: "x".repeat(room - 3) },
    { prefix: "é".repeat(room / 2 - 2), suffix: ".txt" },
    { prefix: "€".repeat(room / 3) },
    { prefix: "🐝".repeat(Math.floor(room / 4)) },
  ];
  for (const options of fits) {
    await eachName(options, (name, reclaimable) => {
      assert.ok(reclaimable ? Buffer.byteLength(name) > 251 : Buffer.byteLength(name) > 243, name);
    });
  }
  const tooLong = [
    { prefix: "x".repeat(room + 1) },
    { prefix: "x".repeat(300) },
    { suffix: "x".repeat(room - 2) },
    { prefix: "é".repeat(room / 2), suffix: "x" },
    { prefix: "€".repeat(room / 3 + 1) },
    { prefix: "🐝".repeat(room / 4 + 1) },
    { prefix: "x".repeat(1_000_000) },
  ];
  using watched = substitute();
  for (const options of tooLong) {
    for (const [of, creator] of creatorsOf(source)) {
      await assert.rejects(async () => await creator.make(source, options), {
        name: "TempfileError",
        code: "ENAMETOOLONG",
      }, of);
    }
  }
  assert.deepEqual(watched.calls, []);
});

test("C28 ENAMETOOLONG of the file system is passed on without a second attempt", async () => {
  using _lease = heldLease();
  const refuse = (): never => {
    throw systemError("ENAMETOOLONG");
  };
  using place = scratch();
  const primitives = { createFile: refuse, createDescriptor: refuse, makeDirectory: refuse };
  for (const [of, creator] of creatorsOf(source).filter(([, { unnamed }]) => !unnamed)) {
    using watched = substitute({ primitives });
    await assert.rejects(async () => await creator.make(source, { dir: place.path }), {
      name: "TempfileError",
      code: "ENAMETOOLONG",
      path: place.path,
    }, of);
    assert.equal(watched.calls.filter(({ name }) => name in primitives).length, 1, of);
  }
  assert.deepEqual(place.list(), []);
});

test("C29 non-ASCII prefixes and suffixes appear unchanged in the directory, and lone surrogates are refused", async () => {
  using place = scratch();
  for (const prefix of ["é", "日本語-", "🐝", "👩‍👩‍👧", "e\u0301", "ｆｕｌｌ"]) {
    await eachName({ prefix, suffix: prefix, dir: place.path }, (name, _, of) => {
      assert.ok(name.startsWith(prefix) && name.endsWith(prefix), of);
      assert.deepEqual(place.list(), [name], of);
    });
  }
  for (const text of ["\ud800", "\udfff", "a\ud83d", "\udc1da", "\udc1d\ud83d"]) {
    for (const option of ["prefix", "suffix", "dir"]) {
      for (const [of, creator] of creatorsOf(m)) {
        await assert.rejects(async () => await creator.make(m, { [option]: text }), {
          name: "TypeError",
          code: "ERR_INVALID_OPTION",
          message: new RegExp(`"${option}".*surrogate`),
        }, of);
      }
    }
  }
});

test("C30 a prefix may begin with a dash, and the returned path is absolute", async () => {
  using place = scratch();
  await eachName({ prefix: "-rf", dir: place.path }, (name) => assert.ok(name.startsWith("-rf")));
  for (const [of, creator] of named) {
    const made = await creator.make(m, { prefix: "--", dir: "." });
    assert.ok(isAbsolute(made.path!), of);
    await made.remove();
  }
});

const HOSTILE = [
  "<",
  ">",
  ":",
  '"',
  "|",
  "?",
  "*",
  "a:s",
  ":stream",
  "x\u0001",
  "\t",
  "\n",
  "\r",
  "\x7f",
  "\x9b",
  "\x85",
];
const DEVICES = [
  "con.",
  "NUL.",
  "aux.c",
  "PrN.x",
  "com1.",
  "COM0.",
  "lpt9.txt",
  "com¹.",
  "nul .",
  "conin$.",
  "CONOUT$.x",
];

test("C31 T6 names that are invalid, a stream or a device on Windows are refused on every platform", async () => {
  const refused = [
    ...HOSTILE.flatMap((text) => [{ prefix: text }, { suffix: text }, { prefix: `a${text}b` }]),
    ...[".", " ", "x.", "x ", ".txt. ", "..", "...", ". ."].map((suffix) => ({ suffix })),
    ...DEVICES.map((prefix) => ({ prefix })),
  ];
  using watched = substitute();
  for (const options of refused) {
    for (const [of, creator] of creatorsOf(source)) {
      await assert.rejects(async () => await creator.make(source, options), {
        name: "TypeError",
        code: "ERR_INVALID_OPTION",
        message: new RegExp(`^Option "${Object.keys(options)[0]}" must be .+: got (?!undefined)`),
      }, `${of} ${JSON.stringify(options)}`);
    }
  }
  assert.deepEqual(watched.calls, []);
});

test("C31 T6 names that only resemble a Windows device are accepted: more letters, at the end, or after a dot", async () => {
  for (
    const options of [
      { prefix: "con" },
      { prefix: "console." },
      { prefix: "falcon." },
      { prefix: "aux" },
      { prefix: "com10." },
      { prefix: ".hidden" },
      { prefix: "a." },
      { prefix: "a " },
      { suffix: ".nul" },
      { suffix: "con.txt" },
      { suffix: "nul.é" },
      { suffix: "." + "x" },
      { prefix: "a..b", suffix: "..c" },
    ]
  ) {
    await eachName(options, (name) => {
      assert.ok(name.startsWith(options.prefix ?? "tmp") && name.endsWith(options.suffix ?? ""));
    });
  }
});
