export default {
  name: "throughput",
  title: "Large and small reads and writes, beside those of a descriptor",
  note: "Above 1 we are faster.",
  places: ["tmpfs"],
  script: {
    file: "bench/throughput.mjs",
    within: true,
    runtimes: ["node24", "deno", "bun"],
    args: ({ place }) => [place.path, "small"],
  },
};
