/**
 * A helper that outlives the process, to remove what it leaves at once.
 *
 * @module
 */
import { runtime } from "../runtime/mod.ts";

/**
 * Waits until its standard input ends, which the end of the process brings about whatever ended it, and then does what
 * the lease says. A lease that is gone says that there is nothing to do.
 *
 * `$1` is the lease, `$2` the session, `$3` the process, which must not have the lease open any more. A line
 * `made /tmp/before*after` stands for the names with the session and 13 random characters in place of the star; links are
 * left alone.
 */
const SCRIPT = `
trap '' INT TERM HUP
read -r _
[ -f "$1" ] || exit 0
ls -l "/proc/$3/fd" 2>/dev/null | grep -qF -e "$1" && exit 0
random=$(printf '%13s' | sed 's/ /[a-z2-9]/g')
kept=$(sed -n 's/^kept //p' "$1")
sed -n 's/^made //p' "$1" | while IFS= read -r made; do
  form=\${made##*/}
  for entry in "\${made%/*}/\${form%%\\**}$2"$random"\${form#*\\*}"; do
    [ -L "$entry" ] && continue
    [ -e "$entry" ] || continue
    printf '%s\\n' "$kept" | grep -qxF -e "\${entry##*/}" && continue
    rm -rf -- "$entry"
  done
done
rm -f -- "$1"
`;

/** Starts the helper for a lease. Returns how to end it; undefined where none can be started. */
export function startReaper(lease: string, session: string): (() => void) | undefined {
  if (runtime.platform === "windows") return undefined;
  return runtime.startWatcher("/bin/sh", [
    "-c",
    SCRIPT,
    "mayfly-reaper",
    lease,
    session,
    String(runtime.pid()),
  ]);
}
