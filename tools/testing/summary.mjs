const columns = ["passed", "failed", "skipped", "seconds"];

/** Returns the counts of one cell; a problem outside a test counts as a failure. */
export function counts({ files, seconds }) {
  const outcomes = files.flatMap(({ tests }) => tests).map(({ outcome }) => outcome);
  const count = (wanted) => outcomes.filter((outcome) => outcome === wanted).length;
  const troubles = files.flatMap((file) => file.troubles).length;
  return {
    passed: count("passed"),
    failed: count("failed") + troubles,
    skipped: count("skipped"),
    seconds: seconds.toFixed(1),
  };
}

/** Formats one row per runtime, with one group of columns each for source and dist. */
export function table(cells) {
  const modes = [...new Set(cells.map(({ mode }) => mode))];
  const names = [...new Set(cells.map(({ runtime }) => runtime))];
  const find = (name, mode) => cells.find((cell) => cell.runtime === name && cell.mode === mode);
  const groups = modes.map((mode) => mode.padStart(9 * columns.length)).join("  |");
  const head = modes.map(() => columns.map((column) => column.padStart(9)).join("")).join("  |");
  const rows = names.map((name) =>
    name.padEnd(8) + modes.map((mode) => row(counts(find(name, mode)))).join("  |")
  );
  return [" ".repeat(8) + groups, "runtime ".padEnd(8) + head, ...rows].join("\n");
}

const row = (values) => columns.map((column) => String(values[column]).padStart(9)).join("");

/** Returns every failure of a cell in full. */
export function failures({ runtime, mode, files }) {
  return files.flatMap(({ file, tests, troubles }) => {
    const failed = tests.filter(({ outcome }) => outcome === "failed");
    return [...failed, ...troubles].map(({ name, error }) =>
      `✗ ${runtime} ${mode} › ${file} › ${name}\n${indent(error)}\n`
    );
  });
}

const indent = (text = "") => text.replace(/^/gm, "    ");

/** Returns the sums over all cells. */
export function totals(cells) {
  const sum = (column) => cells.map(counts).reduce((total, values) => total + values[column], 0);
  return { passed: sum("passed"), failed: sum("failed"), skipped: sum("skipped") };
}

/** Returns the tests that every cell skipped. */
export function skippedEverywhere(cells) {
  const all = cells.flatMap(({ files }) => files).flatMap(({ file, tests }) =>
    tests.map(({ name, outcome }) => ({ label: `${file} › ${name}`, outcome }))
  );
  const ran = new Set(all.filter(({ outcome }) => outcome !== "skipped").map(({ label }) => label));
  return [...new Set(all.map(({ label }) => label))].filter((label) => !ran.has(label));
}
