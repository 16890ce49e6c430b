import { scripts } from "../harness/spawned.mjs";

const bare = (size) => `unlinkSync in an exit listener, ${size.toLocaleString("en")} files`;
const ours = (size) => `named files left open, ${size.toLocaleString("en")}`;

export default {
  name: "exit",
  title: "The exit of a process that holds many named files, per file",
  note:
    "From the last line of the script until the process is gone, with all files removed; includes the runtime's own exit.",
  reference: bare(10_000),
  places: ["tmpfs"],
  cold: true,
  rounds: 5,
  goals: [
    { ours: ours(10_000), to: ours(1000), atMost: 1.5 },
  ],
  contenders(context) {
    const script = scripts(context);
    const sizes = context.quick ? [1000] : [1000, 10_000];
    return sizes.flatMap((size) => [
      contender(bare(size), size, script(`bare${size}`, bareCode(size)), context),
      { ...contender(ours(size), size, script(`ours${size}`, ourCode(size)), context), ours: true },
    ]);
  },
};

function contender(name, count, script, { fs, dir }) {
  return {
    name,
    count,
    run: () => {
      const { said, ended } = script();
      const left = fs.readdirSync(dir).filter((entry) => /^(tmp|raw)/.test(entry));
      if (left.length) throw new Error(`${left.length} files are left`);
      return { time: (ended - said) * 1000 / count };
    },
  };
}

const NOW = "say(performance.timeOrigin + performance.now());";

const bareCode = (size) => `
  const paths = [];
  process.on("exit", () => { for (const path of paths) fs.unlinkSync(path); });
  for (let i = 0; i < ${size}; i++) {
    paths.push(dir + "/raw" + i);
    fs.openSync(paths[i], "wx+", 0o600);
  }
  ${NOW}`;

const ourCode = (size) => `
  const files = [];
  for (let i = 0; i < ${size}; i++) files.push(m.namedTemporaryFileSync());
  globalThis.files = files;
  ${NOW}`;
