import { scripts } from "../harness/spawned.mjs";

const COUNT = 10_000;

export default {
  name: "memory",
  title: "Memory per held handle",
  note: `Of ${
    COUNT.toLocaleString("en")
  } handles, after a garbage collection; nothing is written, so there are no buffers.`,
  places: ["tmpfs"],
  cold: true,
  rounds: 2,
  count: 1,
  metrics: [{ key: "heap", title: "on the heap", unit: "bytes" }, {
    key: "rss",
    title: "of the process",
    unit: "bytes",
  }],
  goals: ["temporaryFile", "namedTemporaryFile", "temporaryDirectory", "spooledTemporaryFile"].map((
    ours,
  ) => ({
    ours,
    metric: "heap",
    below: 1024,
  })),
  contenders(context) {
    const script = scripts(context);
    const contender = (name, make, isOurs) => ({
      name,
      ours: isOurs,
      run: () => script(name.replace(/\W/g, ""), code(make))().said,
    });
    return [
      contender("a path and a descriptor", "openBare(i)", false),
      contender("temporaryFile", "m.temporaryFileSync()", true),
      contender("namedTemporaryFile", "m.namedTemporaryFileSync()", true),
      contender("temporaryDirectory", "m.temporaryDirectorySync()", true),
      contender("spooledTemporaryFile", "m.spooledTemporaryFile()", true),
    ];
  },
};

const code = (make) => `
  const openBare = (i) => {
    const path = dir + "/raw" + i, fd = fs.openSync(path, "w");
    fs.unlinkSync(path);
    return { path, fd, [Symbol.dispose]: () => fs.closeSync(fd) };
  };
  const make = (i) => (${make});
  const collect = () => { if (process.versions.bun) Bun.gc(true); else globalThis.gc(); };
  const measure = () => {
    collect();
    collect();
    const { heapUsed, external, rss } = process.memoryUsage();
    return { heap: heapUsed + external, rss };
  };
  // Warms up the compiler.
  for (let i = 0; i < 1000; i++) make(i)[Symbol.dispose]();
  const held = Array.from({ length: ${COUNT} }, () => undefined);
  const before = measure();
  for (let i = 0; i < held.length; i++) held[i] = make(i);
  const after = measure();
  say({ heap: (after.heap - before.heap) / ${COUNT}, rss: (after.rss - before.rss) / ${COUNT} });
  globalThis.held = held;
`;
