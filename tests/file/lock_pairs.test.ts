import assert from "node:assert/strict";
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from "node:child_process";
import { createInterface } from "node:readline";
import { type FileLock, type NamedTemporaryFile, namedTemporaryFile } from "#mod";
import { packageTest as test } from "../support/once.ts";
import { hasPython, python3 } from "../support/python.ts";
import { type Command, partnerCommand, partners } from "../support/runtimes.ts";
import { type Scratch, scratch } from "../support/scratch.ts";

/**
 * Each program reads commands from its input, a line each: `x` and `s` try for the exclusive and the shared lock, and are
 * answered by "got" or "busy"; `u` releases it.
 */
const PYTHON = `
import fcntl, sys
f = open(sys.argv[1], "r+")
for line in sys.stdin:
    try:
        if line[0] == "u": fcntl.flock(f, fcntl.LOCK_UN)
        else: fcntl.flock(f, fcntl.LOCK_NB | (fcntl.LOCK_SH if line[0] == "s" else fcntl.LOCK_EX))
        print("got", flush=True)
    except BlockingIOError: print("busy", flush=True)
`;
const SHELL = `
exec 9<>"$1"
while read -r what; do
  if flock -n "-$what" 9; then echo got; else echo busy; fi
done
`;
const MAYFLY = `
const file = m.adoptFileSync(args[0]);
file.keep();
let lock;
let rest = "";
for await (const chunk of process.stdin) {
  const lines = (rest + chunk).split("\\n");
  rest = lines.pop();
  for (const line of lines) {
    if (line === "u") lock.release();
    else lock = await file.tryLock({ shared: line === "s" });
    console.log(lock === null ? "busy" : "got");
  }
}
`;

/** Another program that can lock a file. */
class Peer implements Disposable {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #answers: AsyncIterator<string>;

  constructor({ file, args }: Command) {
    this.#child = spawn(file, args, { stdio: ["pipe", "pipe", "pipe"] });
    this.#answers = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  async ask(what: "x" | "s" | "u"): Promise<string> {
    this.#child.stdin.write(`${what}\n`);
    const { value, done } = await this.#answers.next();
    if (done) throw new Error("the other program has ended");
    return value;
  }

  kill(): Promise<void> {
    const gone = new Promise<void>((resolve) => this.#child.on("close", () => resolve()));
    this.#child.kill("SIGKILL");
    return gone;
  }

  [Symbol.dispose](): void {
    this.#child.kill("SIGKILL");
  }
}

const linux = process.platform !== "linux" && "needs other programs that lock";

const has = (file: string, arg: string): boolean => spawnSync(file, [arg]).status === 0;

/** The available programs by the name of their column, each to be run with the path of a file. */
function commands(place: Scratch): [string, (path: string) => Command][] {
  const all: [string, boolean, (path: string) => Command][] = [
    ["python", hasPython, (path) => ({ file: python3, args: ["-c", PYTHON, path] })],
    ["flock(1)", has("flock", "--version"), (path) => ({ file: "sh", args: ["-c", SHELL, "sh", path] })],
    ...partners.map((name): [string, boolean, (path: string) => Command] => [
      name,
      true,
      (path) => partnerCommand(name, place, MAYFLY, [path]),
    ]),
  ];
  return all.filter(([, here]) => here).map(([name, , command]) => [name, command]);
}

/** The attempts by the name of their row; each leaves the lock free. */
const ATTEMPTS: { readonly [name: string]: (file: NamedTemporaryFile, peer: Peer) => Promise<boolean> } = {
  "is excluded by our exclusive lock": async (file, peer) => {
    using _lock = await file.lock();
    return await peer.ask("x") === "busy" && await peer.ask("s") === "busy";
  },
  "is excluded by our shared lock, unless it shares": async (file, peer) => {
    using _lock = await file.lock({ shared: true });
    return await peer.ask("x") === "busy" && await peer.ask("s") === "got" && await peer.ask("u") === "got";
  },
  "gets the lock that we release": async (file, peer) => {
    (await file.lock()).release();
    return await peer.ask("x") === "got" && await peer.ask("u") === "got";
  },
  "excludes our tryLock() and lock() by an exclusive lock": async (file, peer) => {
    const got = await peer.ask("x");
    const mine = [await file.tryLock(), await file.tryLock({ shared: true })];
    const waited = await file.lock({ timeout: 20 }).catch(({ code }) => code);
    await peer.ask("u");
    return got === "got" && mine.every((lock) => lock === null) && waited === "ETIMEDOUT";
  },
  "excludes us by a shared lock, unless we share": async (file, peer) => {
    const got = await peer.ask("s");
    const [exclusive, shared] = [await file.tryLock(), await file.tryLock({ shared: true })];
    shared?.release();
    await peer.ask("u");
    return got === "got" && exclusive === null && shared !== null;
  },
  "wakes us when it releases": async (file, peer) => {
    await peer.ask("x");
    const { waiting, isHeld } = waiter(file);
    const early = await isHeld();
    await peer.ask("u");
    (await waiting).release();
    return !early;
  },
  "wakes us when it is killed": async (file, peer) => {
    await peer.ask("x");
    const { waiting, isHeld } = waiter(file);
    const early = await isHeld();
    await peer.kill();
    (await waiting).release();
    return !early;
  },
};

/** Starts to wait for the lock; `isHeld` tells after a while whether it was acquired. */
function waiter(file: NamedTemporaryFile): { waiting: Promise<FileLock>; isHeld: () => Promise<boolean> } {
  let held = false;
  const waiting = file.lock({ timeout: 60_000 });
  waiting.then(() => held = true, () => {});
  return { waiting, isHeld: () => new Promise((resolve) => setTimeout(() => resolve(held), 40)) };
}

function table(columns: string[], rows: [string, string[]][]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  const line = (name: string, cells: string[]): string =>
    `  ${name.padEnd(width)}  ${cells.map((cell, i) => cell.padEnd(columns[i].length)).join("  ")}`;
  return [line("", columns), ...rows.map(([name, cells]) => line(name, cells))].join("\n");
}

test(
  "locks exclude, and are excluded by, Python's flock, flock(1) and each runtime",
  { skip: linux },
  async () => {
    using place = scratch();
    const columns = await Promise.all(
      commands(place).map(async ([name, command]) => {
        await using file = await namedTemporaryFile();
        using peer = new Peer(command(file.path));
        const results: boolean[] = [];
        for (const attempt of Object.values(ATTEMPTS)) results.push(await attempt(file, peer));
        return { name, results };
      }),
    );
    const rows = Object.keys(ATTEMPTS).map((name, i): [string, string[]] => [
      name,
      columns.map(({ results }) => results[i] ? "yes" : "NO"),
    ]);
    const self = process.env.MAYFLY_TEST_RUNTIME ?? "this runtime";
    const shown = table(columns.map(({ name }) => name), rows);
    console.log(`Locks of ${self}. The other program …\n${shown}`);
    assert.ok(columns.length > 0, "no other program to lock with");
    assert.deepEqual(columns.filter(({ results }) => results.includes(false)), [], shown);
  },
);
