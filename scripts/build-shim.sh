#!/bin/sh
# Builds the CNI plugin that container runtimes execute (src/cni/shim) as a static program: dist/cni/fibula, or the path given.
# Takes musl-gcc where there is one (30 KB), else the C compiler with a static libc (800 KB). CC overrides both.
#   scripts/build-shim.sh [OUTPUT]
set -eu
cd "$(dirname "$(readlink -f "$0")")/.."
output=${1:-dist/cni/fibula}

compiler=${CC:-}
if [ -z "$compiler" ]; then
  for each in musl-gcc cc gcc clang; do
    if command -v "$each" >/dev/null 2>&1; then
      compiler=$each
      break
    fi
  done
fi
if [ -z "$compiler" ]; then
  echo 'build-shim: no C compiler: install musl-tools (or gcc and the static libc), or set CC' >&2
  exit 1
fi

mkdir -p "$(dirname "$output")"
"$compiler" -std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -Wformat=2 -Wshadow -Wconversion \
  -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection -ffunction-sections -Wl,--gc-sections -Wl,-z,relro,-z,now,-z,noexecstack \
  -static -no-pie -fno-pie -s -o "$output.new" src/cni/shim/fibula-cni.c
mv "$output.new" "$output" # whole, or not at all
