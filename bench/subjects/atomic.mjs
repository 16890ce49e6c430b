export default {
  name: "atomic",
  title: "A file replaced atomically",
  note: "Above 1 we are faster.",
  peers: ["write-file-atomic", "atomically"],
  runtimes: ["node24", "deno", "bun"],
  script: {
    file: "bench/atomic.mjs",
    within: true,
    args: ({ place }) => ["speed", place.path],
    env: ({ quick }) => ({ ROUNDS: quick ? "1" : "5" }),
  },
};
