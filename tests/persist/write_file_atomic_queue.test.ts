/**
 * Overlapping calls of `writeFileAtomic()` for one path.
 *
 * @module
 */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomic } from "#mod";
import { writeFileAtomic as sourceAtomic } from "../../lib/persist/write_file_atomic.ts";
import { runChild } from "../support/child.ts";
import { failureOf } from "../support/kinds.ts";
import { packageTest as test } from "../support/once.ts";
import { noLinks } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";
import { substitute } from "../support/substitute.ts";

test(
  "C165 calls of writeFileAtomic() for one file in one process run in the order they were made, also through different paths",
  { skip: noLinks },
  async () => {
    using place = scratch();
    mkdirSync(join(place.path, "real"));
    symlinkSync("real", join(place.path, "link"));
    const path = join(place.path, "real", "file"), alias = join(place.path, "link", "file");
    const order: number[] = [];
    const call = async (number: number): Promise<void> => {
      async function* slow(): AsyncGenerator<string> {
        await new Promise((resolve) => setTimeout(resolve, 10 - 2 * number));
        yield String(number);
      }
      await writeFileAtomic(number % 2 ? alias : path, slow(), { durable: false });
      order.push(number);
      assert.equal(readFileSync(path, "utf8"), String(number));
    };
    await Promise.all([0, 1, 2, 3, 4].map(call));
    assert.deepEqual(order, [0, 1, 2, 3, 4]);
  },
);

test("C165 writeFileAtomic() keeps the order of calls for one file, also if the thread pool is slow to resolve the first path", async () => {
  using place = scratch();
  const path = join(place.path, "file"), alias = `${place.path}/./file`, order: string[] = [];
  let answer = (): void => {};
  let late: Promise<void> | undefined = new Promise((resolve) => answer = resolve);
  using _runtime = substitute({
    primitives: {
      statusOfTarget(real, of: string) {
        const wait = late;
        late = undefined;
        return wait === undefined ? real(of) : wait.then(() => real(of));
      },
    },
  });
  const call = async (at: string, data: string): Promise<void> => {
    await sourceAtomic(at, data, { durable: false });
    order.push(data);
  };
  const calls = [call(path, "1"), call(alias, "2"), call(path, "3")];
  await call(join(place.path, "other"), "another name");
  answer();
  await Promise.all(calls);
  assert.deepEqual(order, ["another name", "1", "2", "3"]);
  assert.equal(readFileSync(path, "utf8"), "3");
});

test("C165 a failed call of writeFileAtomic() does not block the next call for its path", async () => {
  using place = scratch();
  const path = join(place.path, "file");
  async function* failing(): AsyncGenerator<string> {
    yield "part";
    await Promise.resolve();
    throw new Error("source failed");
  }
  const [first, second] = await Promise.allSettled([
    writeFileAtomic(path, failing()),
    writeFileAtomic(path, "good"),
  ]);
  assert.equal((first as PromiseRejectedResult).reason.message, "source failed");
  assert.equal(second.status, "fulfilled");
  assert.equal(readFileSync(path, "utf8"), "good");
  assert.deepEqual(place.list(), ["file"]);
});

test("C165 processes that replace one file concurrently, by persist() and writeFileAtomic(), leave a whole file of one of them, and nothing else", async () => {
  using place = scratch();
  const target = join(place.path, "target");
  const code = `
    const text = (n) => (args[1] + " " + n + "\\n").repeat(1000);
    const options = { durable: false };
    for (let n = 0; n < 50; n++) {
      if (n % 2 === 0) await m.writeFileAtomic(args[0], text(n), options);
      else {
        const file = n % 4 === 1 ? await m.namedTemporaryFile() : await m.temporaryFile();
        await file.write(text(n));
        await file.persist(args[0], options);
      }
    }
    say(text(49));`;
  const results = await Promise.all(["a", "b", "c"].map((name) => runChild(code, { args: [target, name] })));
  const last = results.map(({ said, stderr }) => (assert.equal(said.length, 1, stderr), said[0]));
  assert.ok(last.includes(readFileSync(target, "utf8")));
  assert.deepEqual(place.list(), ["target"]);
});

test("C165 a queued call of writeFileAtomic() can be aborted at once, and the call after it still waits for the first one", async () => {
  using place = scratch();
  const path = join(place.path, "file");
  let go!: () => void;
  const gate = new Promise<void>((resolve) => go = resolve);
  async function* held(): AsyncGenerator<string> {
    await gate;
    yield "first";
  }
  const first = writeFileAtomic(path, held());
  const controller = new AbortController();
  const second = writeFileAtomic(path, "second", { signal: controller.signal });
  const third = writeFileAtomic(path, "third");
  controller.abort(new Error("no longer"));
  await assert.rejects(second, /no longer/);
  assert.equal(place.list().includes("file"), false);
  go();
  await Promise.all([first, third]);
  assert.equal(readFileSync(path, "utf8"), "third");
});

test("writeFileAtomic() fails if its buffer is transferred while the call is queued, and the old file stays", async () => {
  using place = scratch();
  const path = join(place.path, "file");
  const first = writeFileAtomic(path, "first"), data = new Uint8Array(100);
  const second = failureOf(() => writeFileAtomic(path, data));
  structuredClone(data, { transfer: [data.buffer] });
  await first;
  assert.equal(await second, "TypeError ERR_INVALID_OPTION");
  assert.equal(readFileSync(path, "utf8"), "first");
  assert.deepEqual(place.names(), ["file"]);
});
