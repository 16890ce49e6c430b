import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, fstatSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  fromDescriptor,
  namedTemporaryFile,
  spooledTemporaryFile,
  type TemporaryFile,
  temporaryFile,
} from "#mod";
import { firstOutput, runChild } from "../support/child.ts";
import { example, run } from "../support/example.ts";
import { packageTest as test } from "../support/once.ts";
import { isWindows, noLinux } from "../support/platform.ts";
import { type Command, partnerCommand, partners } from "../support/runtimes.ts";
import { type Scratch, scratch } from "../support/scratch.ts";

const self = process.env.MAYFLY_TEST_RUNTIME ?? "this runtime";
const windows = isWindows && "programs and locks of POSIX";
const notPassedOn = isWindows && "Deno" in globalThis && "Deno passes no descriptors on, on Windows";

/** Contents that do not fit into a buffer, and have no repetition. */
const numbers = (count: number): string => Array.from({ length: count }, (_, i) => `${i}\n`).join("");

/** Reads the inherited file, reports its position before and after, and appends to it. */
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

/** Runs one of the runtimes with a descriptor as its number 3; returns the JSON that it prints. */
// deno-lint-ignore no-explicit-any -- what the code prints
function runWith(fd: number, { file, args }: Command): any {
  const { status, stdout, stderr } = spawnSync(file, args, { stdio: ["ignore", "pipe", "pipe", fd] });
  assert.equal(status, 0, String(stderr));
  return JSON.parse(String(stdout));
}

test(
  "a child process of each runtime can read all of an inherited unnamed file, and write to it",
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

/** Opens each kind of file. What the tests write is so short that it is still in a buffer or in memory. */
const KINDS: { readonly [kind: string]: () => TemporaryFile | Promise<TemporaryFile> } = {
  unnamed: () => temporaryFile(),
  named: () => namedTemporaryFile(),
  spooled: () => spooledTemporaryFile(),
};

test("fd of each kind of file is a descriptor that a child can inherit, with everything written before", {
  skip: windows,
}, async () => {
  for (const [kind, open] of Object.entries(KINDS)) {
    await using file = await open();
    await file.write(`${kind} file`);
    const { fd } = file;
    assert.equal(file.fd, fd, "reading fd again opens no other descriptor");
    const script = 'cat <&3; printf " and more" >&3';
    // The descriptor's own offset is still at the start.
    const { stdout } = spawnSync("sh", ["-c", script], { stdio: ["ignore", "pipe", "inherit", fd] });
    assert.equal(String(stdout), `${kind} file`);
    assert.equal(await file.text(), `${kind} file and more`);
    assert.equal(fstatSync(fd).size, `${kind} file and more`.length);
  }
});

/** Whether a descriptor is open for a file; after closing, its number may soon be that of another one. */
function isOpenAs(fd: number, { dev, ino }: { dev: number; ino: number }): boolean {
  try {
    const now = fstatSync(fd);
    return now.dev === dev && now.ino === ino;
  } catch (error) {
    assert.equal((error as { code?: string }).code, "EBADF");
    return false;
  }
}

test("closing a file of any kind closes its fd", async () => {
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

test(
  "a child can still read an inherited file that its parent has disposed of",
  { onOneNode: true, skip: notPassedOn },
  async () => {
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
  },
);

/** Asks one child after the other, and returns their answers. */
async function askAll(children: readonly ChildProcess[]): Promise<string[]> {
  const answers: string[] = [];
  for (const child of children) {
    const ended = once(child, "close").then(() => Promise.reject(new Error("The child ended")));
    const answer = Promise.race([once(child.stdout!, "data"), ended]);
    child.stdin!.write("?");
    answers.push(String((await answer)[0]).trim());
  }
  return answers;
}

test(
  "a lock that the parent holds on an inherited file excludes the child until it is released",
  { onOneNode: true, skip: noLinux },
  async () => {
    using place = scratch();
    await using file = await temporaryFile();
    using lock = await file.lock();
    // It asks whenever it is told to.
    const code = `const file = m.fromDescriptor(3);
    for await (const _ of process.stdin) {
      const lock = await file.tryLock();
      lock?.release();
      console.log(lock === null ? "taken" : "free");
    }
    file.closeSync();`;
    const children = partners.map((name) => {
      const { file: program, args } = partnerCommand(name, place, code);
      return spawn(program, args, { stdio: ["pipe", "pipe", "inherit", file.fd] });
    });
    try {
      assert.deepEqual(await askAll(children), partners.map(() => "taken"));
      lock.release();
      assert.deepEqual(await askAll(children), partners.map(() => "free"));
    } finally {
      for (const child of children) child.kill("SIGKILL");
    }
  },
);

test(
  "a child can pass an inherited file on to its own child",
  { onOneNode: true, skip: windows },
  async () => {
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
  },
);

test(
  "fromDescriptor(0) takes over the standard input, if that is a file",
  { onOneNode: true, skip: windows },
  () => {
    using place = scratch();
    const input = join(place.path, "input");
    writeFileSync(input, "standard input");
    const code = `console.log(JSON.stringify([0, -0].map((fd) => m.fromDescriptor(fd).textSync())));`;
    for (const name of partners) {
      const { file, args } = partnerCommand(name, place, code);
      const shell = ["-c", 'exec "$@" <>"$0"', input, file, ...args];
      const { stdout, stderr } = spawnSync("sh", shell, { encoding: "utf8" });
      assert.equal(stdout, '["standard input","standard input"]\n', `${name}: ${stderr}`);
    }
  },
);

test("fromDescriptor() takes over a descriptor of the same process, starts at position 0, and closes it", () => {
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
  // The file itself is not removed.
  assert.deepEqual(place.list(), ["file"]);
});

/** A shell as the parent, which opens a descriptor of each kind and runs a program. */
const opening = ({ path }: Scratch): string[] => [
  "sh",
  "-c",
  `d=$1; shift; echo contents > "$d/file"; exec 3<> "$d/file" 4< "$d" 6< /dev/null; : | exec "$@" 5<&0`,
  "sh",
  path,
];

const REFUSED = `
for (const fd of [3, 4, 5, 6, 77]) {
  try { const file = m.fromDescriptor(fd); say(file.textSync()); file.closeSync(); } catch (e) { say([e.name, e.code, e.message]); }
}
for (const fd of [4, 5, 6]) say(fs.existsSync("/proc/self/fd/" + fd));
`;

test(
  "fromDescriptor() accepts a file, and rejects directories, pipes, devices and closed descriptors, which it leaves open",
  { skip: noLinux },
  async () => {
    using place = scratch();
    const { said, stderr } = await runChild(REFUSED, { under: opening(place) });
    assert.equal(stderr, "");
    assert.deepEqual(said, [
      "contents\n",
      ...[4, 5, 6].map((fd) => [
        "TempfileError",
        "EINVAL",
        `Cannot use descriptor ${fd}: it is not a regular file (EINVAL)`,
      ]),
      ["TempfileError", "EBADF", "Cannot use descriptor 77: bad file descriptor (EBADF)"],
      true,
      true,
      true,
    ]);
  },
);

test("fromDescriptor() rejects invalid descriptor numbers and options", () => {
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

test(
  "examples/pass_descriptor.ts: the child reads the same 3 MiB that the parent wrote",
  { onOneNode: true, skip: notPassedOn },
  async () => {
    const permissions = ["--allow-env", "--allow-run"];
    const { status, stdout, stderr } = await run(example("pass_descriptor"), ["3"], {
      permissions,
      env: { NO_COLOR: "1" },
    });
    assert.deepEqual([status, stderr], [0, ""]);
    const [wrote, read, ...rest] = stdout.split("\n");
    assert.match(wrote, /^wrote 3 MiB, sha256 [0-9a-f]{64}$/);
    assert.equal(read, wrote.replace("wrote", "read"));
    assert.deepEqual(rest, [""]);
  },
);
