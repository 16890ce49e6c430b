export default {
  name: "atomic",
  title: "A file replaced in one step",
  note: "Above 1 we are faster.",
  peers: ["write-file-atomic", "atomically"],
  script: {
    file: "bench/atomic.mjs",
    within: true,
    runtimes: ["node24", "deno", "bun"],
    args: ({ place }) => ["speed", place.path],
    env: ({ quick }) => ({ ROUNDS: quick ? "1" : "5" }),
  },
};
