export default {
  name: "throughput",
  title: "Large and small reads and writes, compared with those of a descriptor",
  note: "Above 1 we are faster.",
  places: ["tmpfs"],
  runtimes: ["node24"],
  thorough: true,
  script: {
    file: "bench/throughput.mjs",
    within: true,
    args: ({ place }) => [place.path, "small"],
  },
};
