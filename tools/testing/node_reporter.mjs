// Runs inside Node's test process: writes one line of JSON when a test starts and ends. Node's own junit reporter writes
// only at the end, so that a crash would lose all results.

export default async function* (source) {
  for await (const { type, data } of source) {
    if (!/^test:(dequeue|pass|fail)$/.test(type) || data.details?.type === "suite") continue;
    yield JSON.stringify({ type, name: data.name, nesting: data.nesting, ...outcome(data) }) + "\n";
  }
  // Missing if a test called `process.exit(0)`.
  yield JSON.stringify({ type: "end" }) + "\n";
}

function outcome({ skip, todo, details }) {
  const error = details?.error?.cause ?? details?.error;
  return {
    skipped: (skip ?? todo ?? false) !== false,
    error: error && String(error.stack ?? error.message ?? error),
  };
}
