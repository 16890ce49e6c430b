const bare = (size) => `rmSync, ${size.toLocaleString("en")} files`;
const ours = (size) => `remove, ${size.toLocaleString("en")} files`;

export default {
  name: "flat",
  title: "A directory with many files in it: remove, per file",
  reference: bare(1000),
  places: ["tmpfs"],
  cold: true,
  rounds: 2,
  goals: [{ ours: ours(100_000), to: ours(1000), atMost: 1.5 }],
  contenders({ m, dir, fs, quick }) {
    const fill = (path, size) => {
      fs.mkdirSync(path, { recursive: true });
      for (let i = 0; i < size; i++) fs.closeSync(fs.openSync(`${path}/${i}`, "w"));
    };
    return (quick ? [1000, 10_000] : [1000, 10_000, 100_000]).flatMap((size) => [
      {
        name: bare(size),
        count: size,
        prepare: () => fill(`${dir}/flat`, size),
        run: () => fs.rmSync(`${dir}/flat`, { recursive: true }),
      },
      {
        name: ours(size),
        ours: true,
        count: size,
        prepare: () => {
          const directory = m.temporaryDirectorySync();
          fill(directory.path, size);
          return directory;
        },
        run: async (_count, directory) => void await directory.remove(),
      },
    ]);
  },
};
