const label = (size) => `${size.toLocaleString("en")} at once`;
const SIZES = [10, 100, 1000, 10_000];

export default {
  name: "bursts",
  title: "Concurrent named files, by their number: create, close, remove, per file",
  reference: label(10),
  places: ["tmpfs"],
  rounds: 7,
  goals: [1000, 10_000].map((size) => ({ ours: label(size), to: label(10), atMost: 1.5 })),
  contenders({ m }) {
    return SIZES.map((size) => ({
      name: label(size),
      ours: true,
      count: Math.max(size, 1000),
      run: async (count) => {
        for (let i = 0; i < count; i += size) await Promise.all(Array.from({ length: size }, () => one(m)));
      },
    }));
  },
};

async function one(m) {
  await (await m.namedTemporaryFile())[Symbol.asyncDispose]();
}
