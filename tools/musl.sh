#!/usr/bin/env bash
# Runs tests on Bun's build for musl, over Debian's musl.
#
#     tools/musl.sh [TEXT]...    # the test files whose names contain one of the texts; smoke without any
#
# Not a musl system: the C library is musl's, the C++ library is Debian's, with stubs for what it misses there. It shows
# how our code works with that C library. Needs Debian on x64, gcc, npm, and permission to install musl.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

[ -e /lib/ld-musl-x86_64.so.1 ] || apt-get install -qq -y --no-install-recommends musl >/dev/null
archive=$(cd "$work" && npm pack --silent @oven/bun-linux-x64-musl-baseline@1.4.5)
tar -xzf "$work/$archive" -C "$work" package/bin/bun
cp -L "$(gcc -print-file-name=libstdc++.so.6)" "$(gcc -print-file-name=libgcc_s.so.1)" "$work"

# What the C++ library needs from the loader of the other C library, under the name by which it asks for that.
gcc -w -shared -fPIC -nostdlib -x c -o "$work/ld-linux-x86-64.so.2" - <<'C'
typedef unsigned long size_t;
extern long syscall(long, ...);
extern size_t strftime_l(char *, size_t, const char *, const void *, void *);
unsigned arc4random(void) { unsigned v; syscall(318 /* getrandom */, &v, sizeof v, 0); return v; }
size_t __strftime_l(char *s, size_t m, const char *f, const void *t, void *l) { return strftime_l(s, m, f, t, l); }
int _dl_find_object(void *a, void *b) { return -1; }
int __cxa_thread_atexit_impl(void (*f)(void *), void *a, void *b) { return 0; }
int __cpu_indicator_init(void) { return 0; }
unsigned __cpu_model[4];
char __libc_single_threaded;
C

shopt -s nullglob
failed=0
for text in "${@:-smoke}"; do
  files=(tests/*"$text"*.test.ts tests/*/*"$text"*.test.ts)
  ((${#files[@]})) || failed=1
  for file in "${files[@]}"; do
    echo "$file"
    LD_LIBRARY_PATH=$work MAYFLY_TEST_ROOT=$PWD MAYFLY_TEST_RUNTIME=bun \
      "$work/package/bin/bun" test --timeout=120000 "./$file" >"$work/log" 2>&1 || { failed=1; cat "$work/log"; }
    grep -E '^ *[0-9]+ (pass|skip|fail)$' "$work/log"
  done
done
exit "$failed"
