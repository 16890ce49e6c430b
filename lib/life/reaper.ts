/**
 * A helper process that outlives this one and removes its leftovers at once.
 *
 * @module
 */
import { RANDOM_LENGTH } from "../name.ts";
import { isWindows, runtime } from "../runtime/mod.ts";

/**
 * Waits for the end of file on its standard input, which comes with the end of the process, however that ended, and
 * then does what the lease says. If the lease is gone, there is nothing to do.
 *
 * `$1` is the lease, `$2` the session, `$3` the pid of the process, which must no longer have the lease open. A line
 * `made /tmp/before*after` stands for the names with the session and random characters in place of the star. Links,
 * entries of other users and those that a process has kept or adopted, or has made or adopted something in, are left
 * alone. If anything is mounted inside an entry, all is left to the next process, whose removal does not cross mounts.
 * What could not be removed, or a process has adopted, given to another user or made something in, is left to it as
 * well, so the lease stays. So is a directory for temporary files with leases in it: only the next process finds out
 * whether theirs are alive.
 *
 * The lease is read again after all others: a process that keeps what it has adopted records that there before its own
 * lease goes. All are read twice: if something is handed over meanwhile, the leases of both may not have said so when
 * they were read.
 *
 * The shell itself makes every decision: a program that is missing must not look like an answer. On macOS, `mount` is
 * in no directory of the path that cron gives its jobs.
 */
const SCRIPT = `
trap '' INT TERM HUP
cd /
read -r _
[ -f "$1" ] || exit 0
for entry in "/proc/$3/fd"/*; do
  [ "$entry" -ef "$1" ] && exit 0
done
case $(cat /proc/self/mounts 2>/dev/null || /sbin/mount || echo "$2") in *"$2"*) exit 0 ;; esac
random='${"[a-z2-9]".repeat(RANDOM_LENGTH)}'
kept=
used=
left=
for pass in 1 2; do
  for lease in "\${1%/*}"/*.lease "$1"; do
    while IFS= read -r line; do
      case $line in
        "adopted "* | "given "*) left=yes ;;
        "kept "*) ;;
        "made "*) used=$used/$line; continue ;;
        *) continue ;;
      esac
      kept=$kept/\${line#* }/
    done < "$lease"
  done
done
while IFS= read -r line; do
  case $line in "made "*) made=\${line#made } ;; *) continue ;; esac
  form=\${made##*/}
  for entry in "\${made%/*}/\${form%%\\**}$2"$random"\${form#*\\*}"; do
    [ ! -L "$entry" ] && [ -O "$entry" ] || continue
    case $kept in *"/\${entry##*/}/"*) continue ;; esac
    case $used in *"/\${entry##*/}/"*) left=yes; continue ;; esac
    for lease in "$entry"/.mayfly-*/*.lease; do
      [ -e "$lease" ] && left=yes && continue 2
    done
    rm -rf -- "$entry"
    [ -e "$entry" ] && left=yes
  done
done < "$1"
[ -n "$left" ] || rm -f -- "$1"
`;

/** Whether there was a warning that no helper can be started. */
let warned = false;

/** Starts the helper for a lease. Returns a function that ends it. */
export function startReaper(lease: string, session: string): () => void {
  if (isWindows()) {
    warn("not on Windows");
    return () => {};
  }
  const args = ["-c", SCRIPT, "mayfly-reaper", lease, session, String(runtime.pid())];
  return runtime.startWatcher("/bin/sh", args, (error) => warn(error.message));
}

function warn(reason: string): void {
  if (warned) return;
  warned = true;
  runtime.warn(
    `The reaper cannot be started: ${reason}. If this process is killed, its leftovers wait for the next one`,
    "MAYFLY_NO_REAPER",
  );
}
