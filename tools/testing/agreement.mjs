/**
 * Returns tests that some cells ran and others did not. `deno test` passes a file that throws after its first `test()`,
 * and a test registered inside an `if` is an invisible skip: both show here.
 */
export function disagreements(cells) {
  const files = [...new Set(cells.flatMap((cell) => cell.files.map(({ file }) => file)))];
  return files.flatMap((file) => inFile(file, cells));
}

function inFile(file, cells) {
  const runs = cells.map(({ runtime, mode, files }) => ({
    cell: `${runtime} ${mode}`,
    ...files.find((result) => result.file === file),
  }));
  // A file that crashed has already been reported.
  const whole = runs.filter(({ tests, troubles }) => tests?.length > 0 && !troubles.some(isFatal));
  const names = new Set(whole.flatMap(({ tests }) => tests.map(({ name }) => name)));
  return [...names].flatMap((name) => {
    const without = whole.filter(({ tests }) => !tests.some((test) => test.name === name));
    return without.length ? [{ file, name, cells: without.map(({ cell }) => cell) }] : [];
  });
}

const isFatal = ({ name }) => !name.startsWith("(left behind");
