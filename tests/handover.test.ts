import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, fstatSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  fromDescriptor,
  namedTemporaryFile,
  spooledTemporaryFile,
  type TemporaryFile,
  temporaryFile,
} from "#mod";
import { firstOutput, runChild, runtimeCommand } from "./support/child.ts";
import { packageTest as test } from "./support/once.ts";
import { isWindows, noLinux } from "./support/platform.ts";
import { type Command, partnerCommand, partners } from "./support/runtimes.ts";
import { type Scratch, scratch } from "./support/scratch.ts";

const self = process.env.MAYFLY_TEST_RUNTIME ?? "this runtime";
const windows = isWindows && "programs and locks of POSIX";
const notPassedOn = isWindows && "Deno" in globalThis && "Deno passes no descriptors on, on Windows";

/** Contents that do not fit into a buffer, and differ everywhere. */
const numbers = (count: number): string => Array.from({ length: count }, (_, i) => `${i}\n`).join("");

/** Reads what it inherits, checks that it starts at the beginning, and answers in the file itself. */
const ANSWER = `
const file = m.fromDescriptor(3);
const before = file.position;
const text = file.textSync();
const size = await file.size();
await file.seek(0, "end");
await file.write("from the child");
await file.flush();
console.log(JSON.stringify({ before, size, last: text.slice(-10), length: text.length, after: file.position }));
file.closeSync();
`;

/** Runs one of the runtimes with a descriptor as its number 3; what it prints, as JSON. */
// deno-lint-ignore no-explicit-any -- what the code prints
function runWith(fd: number, { file, args }: Command): any {
  const { status, stdout, stderr } = spawnSync(file, args, { stdio: ["ignore", "pipe", "pipe", fd] });
  assert.equal(status, 0, String(stderr));
  return JSON.parse(String(stdout));
}

test(
  "a file without a name is passed on to a child of each runtime, which reads all of it and writes to it",
  { skip: notPassedOn },
  async () => {
    using place = scratch();
    assert.ok(partners.length > 0, "no runtime to pass a file on to");
    for (const name of partners) {
      await using file = await temporaryFile();
      const text = numbers(20_000);
      await file.write(text);
      const answer = runWith(file.fd, partnerCommand(name, place, ANSWER));
      assert.deepEqual(answer, {
        before: 0,
        size: text.length,
        last: text.slice(-10),
        length: text.length,
        after: text.length + "from the child".length,
      }, name);
      // The cursor of this handle is its own.
      assert.equal(file.position, text.length);
      assert.equal(await file.readText(), "from the child");
      console.log(`  ${self} → ${name}: ${answer.length} bytes read, ${"from the child".length} written`);
    }
  },
);

/** Each kind of file, with the same contents; small enough to be in a buffer or in memory still. */
const KINDS: { readonly [kind: string]: () => TemporaryFile | Promise<TemporaryFile> } = {
  unnamed: () => temporaryFile(),
  named: () => namedTemporaryFile(),
  spooled: () => spooledTemporaryFile(),
};

test("fd of each kind of file is one that a child inherits, with all that was written before", {
  skip: windows,
}, async () => {
  for (const [kind, open] of Object.entries(KINDS)) {
    await using file = await open();
    await file.write(`${kind} file`);
    const { fd } = file;
    assert.equal(file.fd, fd, "asking again opens no other");
    const script = 'cat <&3; printf " and more" >&3';
    // The offset of the descriptor is where nobody moved it.
    const { stdout } = spawnSync("sh", ["-c", script], { stdio: ["ignore", "pipe", "inherit", fd] });
    assert.equal(String(stdout), `${kind} file`);
    assert.equal(await file.text(), `${kind} file and more`);
    assert.equal(fstatSync(fd).size, `${kind} file and more`.length);
  }
});

/** Whether a number stands for a file; it may stand for another one soon after it was closed. */
function isOpenAs(fd: number, { dev, ino }: { dev: number; ino: number }): boolean {
  try {
    const now = fstatSync(fd);
    return now.dev === dev && now.ino === ino;
  } catch (error) {
    assert.equal((error as { code?: string }).code, "EBADF");
    return false;
  }
}

test("fd goes with its file", async () => {
  for (const open of Object.values(KINDS)) {
    const file = await open();
    const { fd } = file;
    const status = fstatSync(fd);
    assert.ok(isOpenAs(fd, status));
    await file.close();
    assert.ok(!isOpenAs(fd, status));
    assert.throws(() => file.fd, { code: "ERR_CLOSED" });
  }
});

test("a child still reads a file that its parent has disposed of", { skip: notPassedOn }, async () => {
  using place = scratch();
  for (const name of partners) {
    const file = await temporaryFile();
    await file.write("still here");
    const { file: program, args } = partnerCommand(
      name,
      place,
      `const file = m.fromDescriptor(3); console.log("open"); await new Promise((go) => process.stdin.once("data", go));
       console.log(await file.text()); await file.close(); process.exit(0);`,
    );
    const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit", file.fd] });
    const said: string[] = [];
    child.stdout!.setEncoding("utf8").on("data", (text) => said.push(text));
    const closed = once(child, "close");
    await firstOutput(child);
    await file[Symbol.asyncDispose]();
    child.stdin!.end("go");
    await closed;
    assert.equal(said.join(""), "open\nstill here\n", name);
  }
});

test(
  "parent and child exclude each other by locks on a file that was passed on",
  { skip: noLinux },
  async () => {
    using place = scratch();
    await using file = await temporaryFile();
    using _lock = await file.lock();
    const code = `const file = m.fromDescriptor(3);
    const lock = await file.tryLock();
    console.log(JSON.stringify(lock === null ? "taken" : "free")); file.closeSync();`;
    for (const name of partners) {
      assert.equal(runWith(file.fd, partnerCommand(name, place, code)), "taken", name);
    }
    _lock.release();
    for (const name of partners) {
      assert.equal(runWith(file.fd, partnerCommand(name, place, code)), "free", name);
    }
  },
);

test("a file that was passed on can be passed on again", { skip: windows }, async () => {
  using place = scratch();
  await using file = await temporaryFile();
  await file.write("from hand to hand");
  const code = `const { spawnSync } = process.getBuiltinModule("node:child_process");
    const file = m.fromDescriptor(3);
    const { stdout } = spawnSync("cat", ["/proc/self/fd/3"], { stdio: ["ignore", "pipe", "inherit", file.fd] });
    console.log(JSON.stringify(String(stdout))); file.closeSync();`;
  for (const name of partners) {
    assert.equal(runWith(file.fd, partnerCommand(name, place, code)), "from hand to hand", name);
  }
});

test("fromDescriptor() takes over a descriptor of its own process, with a cursor at the start, and closes it", () => {
  using place = scratch();
  const path = join(place.path, "file");
  writeFileSync(path, "contents");
  const fd = openSync(path, "r+");
  const file = fromDescriptor(fd, { encoding: "latin1" });
  assert.deepEqual([file.position, file.closed, file.fd], [0, false, fd]);
  assert.equal(file.readTextSync(4), "cont");
  file.writeSync("é", { at: 0 });
  assert.equal(file.textSync(), "éontents");
  const status = fstatSync(fd);
  file.closeSync();
  assert.ok(!isOpenAs(fd, status));
  // It has no name to be removed by.
  assert.deepEqual(place.list(), ["file"]);
});

/** A shell, as a parent that tells no runtime anything, opens one of each and runs a program. */
const opening = ({ path }: Scratch): string[] => [
  "sh",
  "-c",
  `d=$1; shift; echo contents > "$d/file"; exec 3<> "$d/file" 4< "$d" 6< /dev/null; : | exec "$@" 5<&0`,
  "sh",
  path,
];

const REFUSED = `
for (const fd of [3, 4, 5, 6, 77]) {
  try { const file = m.fromDescriptor(fd); say(file.textSync()); file.closeSync(); } catch (e) { say([e.name, e.code]); }
}
for (const fd of [4, 5, 6]) say(fs.existsSync("/proc/self/fd/" + fd));
`;

test(
  "fromDescriptor() takes a file and refuses directories, pipes, devices and closed numbers, which stay as they are",
  { skip: noLinux },
  async () => {
    using place = scratch();
    const { said, stderr } = await runChild(REFUSED, { under: opening(place) });
    assert.equal(stderr, "");
    assert.deepEqual(said, [
      "contents\n",
      ["TempfileError", "EINVAL"],
      ["TempfileError", "EINVAL"],
      ["TempfileError", "EINVAL"],
      ["TempfileError", "EBADF"],
      true,
      true,
      true,
    ]);
  },
);

test("fromDescriptor() refuses what is no descriptor number before it does anything", () => {
  for (const fd of ["3", null, undefined, 3n, {}]) {
    assert.throws(() => fromDescriptor(fd as number), { name: "TypeError", code: "ERR_INVALID_OPTION" });
  }
  for (const fd of [-1, 1.5, NaN, Infinity, 2 ** 31]) {
    assert.throws(() => fromDescriptor(fd), { name: "RangeError", code: "ERR_INVALID_OPTION" });
  }
  using place = scratch();
  const fd = openSync(join(place.path, "file"), "w+");
  assert.throws(() => fromDescriptor(fd, { encoding: "utf-7" as "utf-8" }), { code: "ERR_INVALID_OPTION" });
  closeSync(fd);
});

/** Deno's reading process is given nothing: a parent on Deno says which numbers are for it. */
const GRANTS = ["--allow-read", "--allow-write", "--allow-env", "--allow-run"];

test(
  "the example passes a file of many chunks on, and the child reads what was written",
  { skip: notPassedOn },
  () => {
    const script = fileURLToPath(new URL("../examples/pass_descriptor.ts", import.meta.url));
    const [file, ...args] = runtimeCommand(script, "Deno" in globalThis ? GRANTS : undefined);
    const { status, stdout, stderr } = spawnSync(file, [...args, "3"], {
      env: { ...process.env, NO_COLOR: "1" },
    });
    assert.deepEqual([status, String(stderr)], [0, ""]);
    const [wrote, read, ...rest] = String(stdout).split("\n");
    assert.match(wrote, /^wrote 3 MiB, sha256 [0-9a-f]{64}$/);
    assert.equal(read, wrote.replace("wrote", "read"));
    assert.deepEqual(rest, [""]);
  },
);
