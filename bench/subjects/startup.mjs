export default {
  name: "startup",
  title: "The start of a script",
  places: ["tmpfs"],
  script: {
    file: "bench/startup.mjs",
    args: ({ runtime, quick }) => ["--only", runtime.name, "--rounds", quick ? "2" : "7"],
  },
};
