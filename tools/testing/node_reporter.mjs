// Runs inside Node's test process: one line of JSON when a test begins and ends. Node's own junit
// reporter writes at the end only, so that a crash would take all results with it.

export default async function* (source) {
  for await (const { type, data } of source) {
    if (!/^test:(dequeue|pass|fail)$/.test(type) || data.details?.type === "suite") continue;
    yield JSON.stringify({ type, name: data.name, nesting: data.nesting, ...outcome(data) }) + "\n";
  }
  // Missing when a test called `process.exit(0)`.
  yield JSON.stringify({ type: "end" }) + "\n";
}

function outcome({ skip, todo, details }) {
  const error = details?.error?.cause ?? details?.error;
  return {
    skipped: (skip ?? todo ?? false) !== false,
    error: error && String(error.stack ?? error.message ?? error),
  };
}
