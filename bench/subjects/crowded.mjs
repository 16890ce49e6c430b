import { rawSync } from "../harness/raw.mjs";
import { blocking } from "../harness/sample.mjs";

const bare = (size) => `bare calls beside ${size.toLocaleString("en")}`;
const ours = (size) => `namedTemporaryFileSync beside ${size.toLocaleString("en")}`;

export default {
  name: "crowded",
  title: "A named file in a directory with many others: create, close, remove",
  reference: bare(10),
  places: ["tmpfs"],
  rounds: 7,
  goals: [{ ours: ours(100_000), to: ours(10), atMost: 1.5 }],
  contenders({ m, dir, fs, kind, quick }) {
    return (quick ? [10, 1000] : [10, 1000, 100_000]).flatMap((size) => {
      const path = crowd(fs, `${dir}/${size}`, size);
      return [
        { name: bare(size), run: blocking(rawSync(path, fs, kind).named) },
        {
          name: ours(size),
          ours: true,
          run: blocking(() => m.namedTemporaryFileSync({ dir: path }).closeSync()),
        },
      ];
    });
  },
};

function crowd(fs, path, size) {
  fs.rmSync(path, { recursive: true, force: true });
  fs.mkdirSync(path);
  for (let i = 0; i < size; i++) fs.closeSync(fs.openSync(`${path}/${i}`, "w"));
  return path;
}
