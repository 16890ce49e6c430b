import { blocking } from "../harness/sample.mjs";

const label = (size) => `beside ${size.toLocaleString("en")} that are held`;

export default {
  name: "live",
  title: "A named file beside many that are held: create, close, remove",
  note:
    "The held files are closed, so that they need no descriptors; they are removed at the end of their scope.",
  reference: label(10),
  places: ["tmpfs"],
  cold: true,
  rounds: 2,
  goals: [{ ours: label(100_000), to: label(10), atMost: 1.5 }],
  contenders({ m, quick }) {
    const held = [];
    const hold = (size) => {
      while (held.length > size) held.pop()[Symbol.dispose]();
      while (held.length < size) held.push(closed(m));
    };
    return (quick ? [10, 1000] : [10, 1000, 100_000]).map((size) => ({
      name: label(size),
      ours: true,
      count: 2000,
      prepare: () => hold(size),
      run: blocking(() => m.namedTemporaryFileSync().closeSync()),
    }));
  },
};

function closed(m) {
  const file = m.namedTemporaryFileSync({ deleteOnClose: false });
  file.closeSync();
  return file;
}
