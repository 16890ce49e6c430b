import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { moduleUrl, runChild, runtimeCommand } from "../support/child.ts";
import { isDeno, isNode, isWindows, root } from "../support/platform.ts";
import { scratch } from "../support/scratch.ts";
import { noStrace, tracedChild } from "../support/strace.ts";

test("C261 C301 importing the module makes no file system call, adds no timer, no listener and no global property", async () => {
  const { said, stderr } = await runChild(
    `const calls = [];
     // The runtime itself reads the modules: files of the checkout by path or URL, then by descriptor.
     const isLoading = (first) =>
       typeof first === "number" || typeof first !== "function" && args.some((root) => String(first).includes(root));
     const watch = (target, names) => {
       for (const name of names) {
         const apply = (real, self, rest) => {
           if (!isLoading(rest[0])) calls.push(name);
           return Reflect.apply(real, self, rest);
         };
         if (typeof target?.[name] === "function") target[name] = new Proxy(target[name], { apply });
       }
     };
     const files = (target) => Object.keys(target ?? {}).filter((name) => /^[a-z]\\w*Sync$/.test(name));
     for (const timers of [globalThis, process.getBuiltinModule("node:timers")]) {
       watch(timers, ["setTimeout", "setInterval", "setImmediate", "queueMicrotask"]);
     }
     watch(Atomics, ["waitAsync"]);
     watch(globalThis, ["addEventListener"]);
     watch(process, ["on", "once", "addListener", "prependListener"]);
     watch(fs, files(fs));
     watch(globalThis.Deno, ["addSignalListener", ...files(globalThis.Deno)]);
     watch(globalThis.crypto, ["getRandomValues"]);
     const keys = Reflect.ownKeys(globalThis).length;
     await import(moduleUrl);
     say(calls); say(Reflect.ownKeys(globalThis).length - keys);
     (await import(moduleUrl)).namedTemporaryFileSync().closeSync();
     for (let turn = 0; turn < 10; turn++) await null;
     say([/openSync/, /setTimeout|waitAsync/, /prependListener|addEventListener/].map((name) => name.test(calls)));`,
    { bare: true, args: [root, pathToFileURL(root).href] },
  );
  // The control: the first use makes calls of each kind.
  assert.deepEqual(said, [[], 0, [true, true, true]], stderr);
});

test(
  "C301 importing the module accesses no temporary directory, /dev or host identity in /proc (skipped without strace)",
  {
    skip: noStrace !== false,
  },
  async () => {
    using place = scratch();
    const code = `const mark = (name) => { try { fs.rmdirSync("/mark/" + name); } catch {} };
    mark("start");
    const m = await import(moduleUrl);
    mark("end");
    m.namedTemporaryFileSync().closeSync();`;
    const { calls, status, stderr } = await tracedChild(code, { bare: true, env: { TMPDIR: place.path } });
    assert.equal(status, 0, stderr);
    const [start, end] = ["start", "end"].map((name) =>
      calls.findIndex(({ path }) => path === `/mark/${name}`)
    );
    assert.ok(start >= 0 && end > start);
    const touches = ({ path }: { path: string }): boolean =>
      path.startsWith(place.path) || /^\/dev\/|^\/proc\/(self\/ns|sys\/kernel)/.test(path);
    assert.deepEqual(calls.slice(start, end).filter(touches), []);
    assert.ok(calls.slice(end).filter(touches).length > 3, "the calls of the first use are recorded");
  },
);

test(
  "named files and empty directories do not load Deno's Node compatibility layer (skipped except on Deno)",
  {
    skip: !isDeno,
  },
  () => {
    using place = scratch();
    // A separate script: the code of other children begins with imports that load it.
    const script = join(place.path, "script.mjs");
    writeFileSync(
      script,
      `const isLoaded = () => "__nodeProcessBootstrapped" in Deno[Deno.internal];
    const said = [isLoaded()];
    const m = await import(${JSON.stringify(moduleUrl)});
    said.push(isLoaded());
    const file = m.namedTemporaryFileSync();
    file.writeSync("x");
    file.closeSync();
    const directory = await m.temporaryDirectory();
    const other = await directory.namedTemporaryFile();
    await other.write("x");
    await other.close();
    await directory.remove();
    await new Promise((resolve) => setTimeout(resolve, 400));
    said.push(isLoaded());
    // This needs Node's layer, so the mark must be there.
    m.temporaryFileSync().closeSync();
    said.push(isLoaded());
    console.log(JSON.stringify(said));`,
    );
    const [command, ...args] = runtimeCommand(script);
    // A directory without leases: except on Linux only Node's layer tells whether their process is alive.
    const env = { ...process.env, TMPDIR: place.path };
    const { stdout, stderr } = spawnSync(command, args, { encoding: "utf8", env });
    assert.deepEqual(JSON.parse(stdout || "null"), [false, false, false, true], stderr);
  },
);

test("creating a named file loads no slow built-in module (skipped where the runtime does not list them)", {
  skip: !isNode || isWindows && "Windows has no file of random bytes, which spares Node its cryptography",
}, async () => {
  // Not "os", which takes a fifth of a millisecond and provides the host name for the lease.
  const heavy = ["crypto", "perf_hooks", "worker_threads", "child_process"];
  const code = `const loaded = () => ${
    JSON.stringify(heavy)
  }.filter((name) => process.moduleLoadList.includes("NativeModule " + name));
    const before = loaded();
    const m = await import(moduleUrl);
    m.namedTemporaryFileSync().closeSync();
    process.on("exit", () => fs.writeSync(1, "\\u0001" + JSON.stringify(loaded().filter((name) => !before.includes(name))) + "\\n"));
    say(before.length < ${heavy.length});`;
  const { said, stderr } = await runChild(code, { bare: true });
  assert.deepEqual(said, [true, []], stderr);
});
