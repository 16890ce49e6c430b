import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, statSync, symlinkSync } from "node:fs";
import { basename, dirname, join, sep } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import * as m from "#mod";
import * as source from "../../mod.ts";
import { checkPath } from "../../lib/options/paths.ts";
import { runChild } from "../support/child.ts";
import { type Creator, creatorsOf } from "../support/creators.ts";
import { naiveName } from "../support/naive_create.ts";
import { packageTest } from "../support/once.ts";
import { isWindows, noLinks, noModes } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";
import { substitute } from "../support/substitute.ts";

const TRAVERSALS = [
  "../x",
  "x/../../y",
  "/abs",
  "a/b",
  "a/",
  "/",
  "..",
  ".",
  "a\\b",
  "\\",
  "..\\x",
  "\0",
  "a\0b",
  "/a/*foo",
  "a*/foo",
];

/** Values that are not primitive strings, although most convert to one. */
const NOT_STRINGS = (): unknown[] => [
  ["../x"],
  ["x"],
  [],
  Buffer.from("../x"),
  new TextEncoder().encode("x"),
  new String("x"),
  { toString: () => "../x" },
  changing(),
  new Proxy({}, { get: () => () => "x" }),
  new Proxy(new String("x"), {}),
  new Proxy(() => "x", {}),
  { [Symbol.toPrimitive]: () => "x" },
  Object.create(null),
  new Date(0),
  7,
  NaN,
  10n,
  true,
  false,
  null,
  Symbol("x"),
  () => "x",
];

/** An object that converts to a harmless string first, and then to a hostile one. */
function changing(): object {
  let looks = 0;
  return { toString: () => looks++ === 0 ? "ok" : "../x" };
}

const NOT_SIZES = [
  -1,
  -0.5,
  1.5,
  NaN,
  -Infinity,
  2 ** 53,
  "1",
  "",
  null,
  true,
  1n,
  [],
  [1],
  {},
  new Number(1),
  Symbol("1"),
  () => 1,
];
const NOT_FLAGS = [0, 1, "true", "", null, {}, [], new Boolean(true), Symbol("true"), () => true];

/** Values that each option refuses. Every option of every creator must be here. */
const REFUSED: { [option: string]: () => unknown[] } = {
  prefix: () => [...TRAVERSALS, ...NOT_STRINGS()],
  suffix: () => [...TRAVERSALS, ...NOT_STRINGS()],
  dir: () => [
    ...NOT_STRINGS(),
    "",
    "\0",
    "/tmp\0/x",
    "/tmp/\ud800",
    new URL("http://localhost/tmp"),
    new URL("data:,x"),
    new URL("file://elsewhere/tmp"),
    new URL("file:///tmp%2Fx"),
    new URL("file:///tmp/%00"),
    new URL("file:///tmp/%FF"),
    new Proxy(new URL("file:///tmp"), {}),
    Object.create(URL.prototype),
    new File([], "x"),
  ],
  minFree: () => NOT_SIZES,
  maxSize: () => NOT_SIZES,
  bufferSize: () => NOT_SIZES,
  maxMemory: () => NOT_SIZES,
  mode: () => [
    -1,
    0o1000,
    0o4755,
    0o10600,
    1.5,
    NaN,
    Infinity,
    "0600",
    "600",
    null,
    true,
    384n,
    {},
    [0o600],
    new Number(0o600),
  ],
  encoding: () => ["utf8", "UTF-8", "ascii", "buffer", "", null, 8, ["utf-8"], new String("utf-8"), {}],
  newline: () => ["", "\r", "\n\n", "\u2028", null, 10, ["\n"], new String("\n"), true],
  fatal: () => NOT_FLAGS,
  delete: () => NOT_FLAGS,
  deleteOnClose: () => NOT_FLAGS,
  ignoreCleanupErrors: () => NOT_FLAGS,
  signal: () => [
    null,
    true,
    "abort",
    5,
    {},
    [],
    { aborted: false },
    { aborted: false, addEventListener() {} },
    { aborted: false, throwIfAborted() {} },
    { addEventListener() {}, throwIfAborted() {} },
    new AbortController(),
    new EventTarget(),
    () => {},
  ],
};

/** Counts how often a creator reads each option. */
async function optionsRead(
  { make }: Creator,
  values: { [name: string]: unknown } = {},
): Promise<Map<string, number>> {
  const reads = new Map<string, number>();
  const count = (name: string) => reads.set(name, (reads.get(name) ?? 0) + 1);
  const options = new Proxy({}, {
    get: (_, name) => (count(name as string), values[name as string]),
  });
  const own = { maxMemory: 0, bufferSize: 0 };
  const made = await make(creatorModule(options), own);
  await made.remove();
  return reads;
}

/** The creators bound to `options` themselves: spreading them, as the harness does, would lose a Proxy. */
function creatorModule(options: object): object {
  const functions = Object.entries(source).filter(([name]) => creatorNames.has(name));
  return Object.fromEntries(
    functions.map(([name, call]) => [name, () => (call as (o: object) => unknown)(options)]),
  );
}

const creatorNames = new Set(creatorsOf(source).map(([name]) => name.split(" ")[0]));
const all = creatorsOf(source).filter(([name]) => !name.includes(" "));

/** Checks that the error has the code and names the option. */
const rejection = (option: string) => (error: Error & { code?: string }): boolean => {
  assert.ok(error instanceof TypeError || error instanceof RangeError, `${error}`);
  assert.equal(error.code, "ERR_INVALID_OPTION");
  assert.match(error.message, new RegExp(`^Option "${option}" must be .+: got `));
  return true;
};

const shown = (value: unknown): string => {
  try {
    return `${typeof value} ${JSON.stringify(value)}`;
  } catch {
    return typeof value;
  }
};

test("T2 T3 C18 C20 C21 C22 C27 every creator refuses hostile values of each of its options, before any system call", async () => {
  for (const [of, creator] of all) {
    const options = [...(await optionsRead(creator)).keys()];
    assert.ok(options.length >= 6, of);
    for (const option of options) {
      const values = REFUSED[option];
      assert.ok(values !== undefined, `REFUSED has no values for the option "${option}" of ${of}`);
      using watched = substitute();
      for (const value of values()) {
        await assert.rejects(
          async () => await creator.make(source, { [option]: value }),
          rejection(option),
          `${of} ${option} ${shown(value)}`,
        );
      }
      assert.deepEqual(watched.calls, [], `${of} ${option}`);
    }
  }
});

test("T2 C19 the public creators refuse path traversal, and a backslash on every platform, and create nothing", async () => {
  using place = scratch();
  mkdirSync(join(place.path, "inner"));
  for (const [of, { make }] of creatorsOf(m)) {
    for (const option of ["prefix", "suffix"]) {
      for (const value of TRAVERSALS) {
        await assert.rejects(
          async () => await make(m, { dir: join(place.path, "inner"), [option]: value }),
          rejection(option),
          of,
        );
      }
    }
  }
  assert.deepEqual(readdirSync(place.path, { recursive: true }), ["inner"]);
});

test('T2 T3 T4 control: naive creations are led out of their directory by "../", also in an array, and into a sibling', () => {
  using place = scratch();
  const directory = join(place.path, "tmp");
  for (const path of [directory, `${directory}-evil`]) mkdirSync(path);
  mkdtempSync(`${directory}${sep}../outside-`);
  assert.match(place.list()[0], /^outside-/);
  assert.throws(() => naiveName(directory, "../tmp-evil/x"), { name: "TypeError" });
  naiveName(directory, ["../tmp-evil/x"] as unknown as string);
  assert.deepEqual(readdirSync(`${directory}-evil`), ["xname"]);
});

test("T3 showing a refused value in an error message does not run its code", () => {
  const trap = (): never => {
    throw new Error("ran");
  };
  const spy = new Proxy(() => {}, { get: trap, getPrototypeOf: trap, ownKeys: trap, has: trap });
  const bomb = {
    toString: trap,
    valueOf: trap,
    toJSON: trap,
    [Symbol.toPrimitive]: trap,
    get [Symbol.toStringTag]() {
      return trap();
    },
  };
  for (const option of ["prefix", "suffix", "mode", "minFree", "encoding", "newline", "delete", "fatal"]) {
    for (const value of [spy, bomb]) {
      assert.throws(() => m.namedTemporaryFileSync({ [option]: value }), rejection(option));
    }
  }
});

test("a length in characters and a number of inodes are not refused as numbers of bytes", () => {
  using file = source.temporaryFileSync();
  const counts: [string, (count: never) => unknown][] = [
    ["length", (count) => file.readTextSync(count)],
    ["minInodes", (minInodes) => source.watchSpace({ minInodes }, () => {})],
  ];
  for (const [option, call] of counts) {
    const refused = (wanted: string, got: string): object => ({
      message: `Option "${option}" must be ${wanted}: got ${got}`,
    });
    assert.throws(() => call(-1 as never), refused("a whole number, 0 or more", "-1"));
    assert.throws(() => call("1" as never), refused("a number", '"1"'));
  }
});

test("C23 T3 each option is read once, so that a getter cannot return another value after the check", async () => {
  for (const [of, creator] of all) {
    using place = scratch();
    const reads = await optionsRead(creator, { dir: place.path, maxMemory: 0, bufferSize: 0 });
    for (const [option, count] of reads) assert.equal(count, 1, `${of} reads "${option}" ${count} times`);
    assert.deepEqual(place.list(), [], of);
    for (const option of ["prefix", "suffix"]) {
      let looks = 0;
      const options = {
        dir: place.path,
        get [option]() {
          return looks++ === 0 ? "ok" : "../x";
        },
      };
      const made = await creator.make(creatorModule(options));
      assert.equal(looks, 1, of);
      if (made.path !== undefined) {
        assert.equal(dirname(made.path), place.path, of);
        assert.ok(basename(made.path).startsWith("ok") || basename(made.path).endsWith("ok"), of);
      }
      await made.remove();
    }
  }
});

test("C23 the methods of a directory read each option once, also inherited ones", () => {
  using directory = m.temporaryDirectorySync();
  for (const create of ["namedTemporaryFileSync", "temporaryDirectorySync"] as const) {
    let looks = 0;
    class Options {
      get prefix(): string {
        return looks++ === 0 ? "ok" : "../x";
      }
    }
    const made = directory[create](new Options());
    assert.equal(looks, 1);
    assert.equal(dirname(made.path), directory.path);
    assert.ok(basename(made.path).startsWith("ok"));
    made[Symbol.dispose]();
  }
});

test("C23 options changed after the call have no effect", async () => {
  using place = scratch();
  const options = { dir: place.path, prefix: "before" };
  const promise = m.namedTemporaryFile(options);
  options.prefix = "../after";
  await using file = await promise;
  assert.ok(basename(file.path).startsWith("before"));
});

test("C24 mixing strings and bytes in options is refused", async () => {
  for (const [of, { make }] of creatorsOf(m)) {
    for (
      const [option, options] of [
        ["suffix", { prefix: "a", suffix: Buffer.from("b") }],
        ["prefix", { prefix: new TextEncoder().encode("a"), suffix: "b" }],
        ["dir", { prefix: "a", dir: Buffer.from("/tmp") }],
      ] as const
    ) {
      await assert.rejects(async () => await make(m, options), rejection(option), of);
    }
  }
});

test("C25 options that are all undefined have the same effect as none, and the path is a string", async () => {
  const nothing = Object.fromEntries(Object.keys(REFUSED).map((option) => [option, undefined]));
  for (const [of, creator] of all.filter(([, { unnamed }]) => !unnamed)) {
    for (const options of [undefined, {}, nothing]) {
      const made = await creator.make(creatorModule(options as object));
      assert.equal(typeof made.path, "string", of);
      assert.match(basename(made.path!), /^tmp[a-z2-9]{13,21}$/, of);
      assert.equal(dirname(made.path!), source.tmpdir(), of);
      await made.remove();
    }
  }
});

test("C27 a file: URL is accepted as dir in place of its path, percent-encoding included", async () => {
  using place = scratch();
  const odd = join(place.path, isWindows ? "ü %41#;&b" : "ü %41#?;&b");
  mkdirSync(odd);
  for (const [of, { make }] of creatorsOf(m)) {
    const urls = [
      pathToFileURL(odd),
      pathToFileURL(odd + "/"),
      new URL(pathToFileURL(odd).href.replace("//", "//localhost")),
    ];
    for (const dir of urls) {
      const made = await make(m, { dir });
      if (made.path !== undefined) assert.equal(dirname(made.path), odd, of);
      await made.remove();
    }
  }
  assert.deepEqual(readdirSync(odd), []);
});

packageTest(
  "C27 a file: URL is accepted if the global URL class was replaced, and a plain object with href is refused",
  async () => {
    const { said } = await runChild(`
    const { pathToFileURL } = await import("node:url");
    const place = await m.temporaryDirectory();
    const dir = pathToFileURL(place.path);
    globalThis.URL = class extends URL {};
    for (const url of [dir, new URL(dir)]) {
      const made = await m.temporaryDirectory({ dir: url });
      say(made.path.startsWith(place.path));
    }
    await m.mkdtemp({ dir: { href: dir.href } }).catch((error) => say(error.name));
    await place.remove();
  `);
    assert.deepEqual(said, [true, true, "TypeError"]);
  },
);

test("C27 a file: URL with a drive letter is an absolute path on POSIX, and a path on that drive on Windows", () => {
  const asked = (platform: "linux" | "windows"): unknown => {
    using watched = substitute({
      primitives: {
        realPath: () => {
          throw Object.assign(new Error("ENOENT"), { code: "ENOENT" });
        },
      },
      runtime: { platform },
    });
    assert.throws(() => source.mkdtempSync({ dir: new URL("file:///c:/a%20b") }), { code: "ENOENT" });
    return watched.of("realPath")[0][0];
  };
  assert.equal(asked("linux"), "/c:/a b");
  assert.equal(asked("windows"), "c:/a b");
});

test("T3 options that are not an object are refused before any system call", async () => {
  for (const [of, creator] of all) {
    using watched = substitute();
    for (const options of [null, "x", "", 5, true, [], ["a"], Symbol("x"), () => {}, 1n]) {
      await assert.rejects(
        async () => await creator.make(creatorModule(options as object)),
        rejection("options"),
        `${of} ${shown(options)}`,
      );
    }
    assert.deepEqual(watched.calls, [], of);
  }
});

/** The methods of a directory that create something in it. */
const METHODS = [
  "namedTemporaryFile",
  "namedTemporaryFileSync",
  "temporaryDirectory",
  "temporaryDirectorySync",
] as const;

test("T3 the methods of a directory refuse the same options, and fail with ERR_CLOSED after its removal", async () => {
  using directory = m.temporaryDirectorySync();
  for (const method of METHODS) {
    const create = async (options?: object): Promise<unknown> => await directory[method](options);
    for (const options of [null, "x", 5, [], () => {}]) {
      await assert.rejects(create(options as object), rejection("options"), method);
    }
    for (const option of ["prefix", "suffix"]) {
      for (const value of [...TRAVERSALS, ...NOT_STRINGS()]) {
        await assert.rejects(create({ [option]: value }), rejection(option), `${method} ${shown(value)}`);
      }
    }
  }
  assert.deepEqual(readdirSync(directory.path), []);
  directory.removeSync();
  for (const method of METHODS) {
    await assert.rejects(async () => await directory[method](), { code: "ERR_CLOSED" }, method);
  }
});

test(
  "T1 a symbolic link given as dir is resolved, and the methods of a directory refuse dir and prefixes with a path",
  { skip: noLinks },
  async () => {
    using place = scratch();
    const root = join(place.path, "root");
    const outside = join(place.path, "outside");
    mkdirSync(root);
    mkdirSync(outside);
    symlinkSync(outside, join(root, "evil"));
    // The caller's own choice: it is followed, and the path shows it.
    const made = m.namedTemporaryFileSync({ dir: join(root, "evil") });
    assert.equal(dirname(made.path), outside);
    made.closeSync();
    // The directory of a handle is a root that no option leads out of.
    const directory = m.adoptDirectorySync(root);
    for (
      const dir of [
        "evil",
        "evil/",
        "./evil",
        "evil/../evil",
        join(root, "evil"),
        join(root, "evil") + "/",
        outside,
        "..",
        pathToFileURL(outside),
      ]
    ) {
      for (const options of [{ dir }, { dir, prefix: "x" }] as object[]) {
        for (const method of METHODS) {
          await assert.rejects(async () => await directory[method](options), rejection("dir"), method);
        }
      }
    }
    for (const text of ["evil/", "evil/x", "../outside/x", "./evil/x"]) {
      for (const method of METHODS) {
        await assert.rejects(async () => await directory[method]({ prefix: text }), rejection("prefix"));
        await assert.rejects(async () => await directory[method]({ suffix: text }), rejection("suffix"));
      }
    }
    assert.deepEqual(readdirSync(outside), []);
    assert.deepEqual(readdirSync(root), ["evil"]);
    directory.keep();
  },
);

test("T4 join() refuses paths outside the directory, also siblings whose name begins with the same text", () => {
  using place = scratch();
  const root = join(place.path, "tmp");
  mkdirSync(root);
  mkdirSync(root + "-evil");
  const directory = m.adoptDirectorySync(root);
  for (
    const path of [
      "../tmp-evil/f",
      "..",
      "../tmp/f",
      "a/../../tmp-evil/f",
      "./../tmp-evil",
      root + "-evil/f",
      root,
      "/",
    ]
  ) {
    assert.throws(() => directory.join(path), rejection("segments"), path);
    assert.throws(() => directory.join("a", "..", path), rejection("segments"), path);
  }
  assert.throws(() => directory.join("..", "tmp-evil", "f"), rejection("segments"));
  assert.throws(() => directory.join("..", basename(root), "f"), rejection("segments"));
  assert.equal(directory.join("-evil", "f"), root + sep + "-evil" + sep + "f");
  assert.equal(directory.join("a/../..b"), root + sep + "..b");
  assert.equal(directory.join(), root);
  directory.keep();
});

test("T3 join() accepts only strings without NUL", () => {
  using directory = m.temporaryDirectorySync();
  for (const value of NOT_STRINGS()) {
    assert.throws(() => directory.join(value as string), rejection("segments"), shown(value));
    assert.throws(() => directory.join("a", value as string), rejection("segments"), shown(value));
  }
  assert.throws(() => directory.join("a\0b"), rejection("segments"));
});

test("C83 an explicit mode is exact for files and directories, from no bits to 0777", {
  skip: noModes,
}, async () => {
  using place = scratch();
  for (const [of, { make, kind }] of creatorsOf(m).filter(([, { unnamed }]) => !unnamed)) {
    for (
      const mode of kind === "file"
        ? [0o640, 0o600, 0o666, 0o777, 0o400, 0]
        : [0o750, 0o700, 0o755, 0o777, 0o500]
    ) {
      const made = await make(m, { mode, dir: place.path });
      assert.equal(statSync(made.path!).mode & 0o777, mode, `${of} ${mode.toString(8)}`);
      await made.remove();
    }
  }
});

test("a file: URL with an encoded backslash is refused on Windows, where that separates names", () => {
  const url = new URL("file:///C:/tmp/a%5C..%5cb");
  {
    using _posix = substitute({ runtime: { platform: "linux" } });
    assert.equal(checkPath(new URL("file:///tmp/a%5Cb"), "dir"), "/tmp/a\\b");
  }
  using _windows = substitute({ runtime: { platform: "windows" } });
  assert.equal(checkPath(new URL("file:///C:/tmp/a"), "dir"), "C:/tmp/a");
  assert.throws(() => checkPath(url, "dir"), {
    code: "ERR_INVALID_OPTION",
    message: /^Option "dir" must be a file: URL without encoded slashes/,
  });
});
