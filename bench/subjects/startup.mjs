export default {
  name: "startup",
  title: "Startup of a script",
  places: ["tmpfs"],
  script: {
    file: "bench/startup.mjs",
    args: ({ runtimes, quick }) => [
      "--only",
      runtimes.map(({ name }) => name).join(),
      "--rounds",
      quick ? "1" : "5",
    ],
  },
};
