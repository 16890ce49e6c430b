/** The fastest calls that a runtime offers without a library, all blocking: the base of all ratios. */

/** `O_TMPFILE`, which is not among the constants of any runtime. */
const O_TMPFILE = 0o20200000;

/** On Deno its own calls, except for what only its Node layer can do. */
export function rawSync(dir, fs, kind) {
  let number = 0;
  const path = () => `${dir}/raw${number++}`;
  const openUnnamed = () => fs.openSync(dir, fs.constants.O_RDWR | O_TMPFILE, 0o600);
  const { named, directory } = kind === "deno" ? ofDeno(path) : ofNode(path, fs);
  return { named, directory, openUnnamed, unnamed: () => fs.closeSync(openUnnamed()) };
}

function ofNode(path, fs) {
  return {
    named(name = path()) {
      fs.closeSync(fs.openSync(name, "wx+", 0o600));
      fs.unlinkSync(name);
    },
    directory(name = path()) {
      fs.mkdirSync(name, 0o700);
      fs.rmdirSync(name);
    },
  };
}

function ofDeno(path) {
  const { Deno } = globalThis;
  const options = { read: true, write: true, createNew: true, mode: 0o600 };
  return {
    named(name = path()) {
      Deno.openSync(name, options).close();
      Deno.removeSync(name);
    },
    directory(name = path()) {
      Deno.mkdirSync(name, { mode: 0o700 });
      Deno.removeSync(name);
    },
  };
}
