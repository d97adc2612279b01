#!/usr/bin/env bash
# Make a program that was unpacked by scripts/unpack-debian.sh callable: a small script that runs it by its own loader.
#
#   scripts/wrap.sh ROOT PROGRAM       writes ROOT/bin/<name>, which works wherever ROOT is moved to
set -euo pipefail
root=$1
program=$2
mkdir -p "$root/bin"
name=$(basename "$program")
cat >"$root/bin/$name" <<WRAPPER
#!/bin/sh
root=\$(dirname "\$(dirname "\$(readlink -f "\$0")")")
loader=\$(find "\$root/" -name 'ld-linux*.so.*' ! -type d -print -quit)
libraries=\$(find "\$root/usr/lib" "\$root/lib" -maxdepth 1 -type d -name '*-linux-gnu*' 2>/dev/null | paste -sd:)
exec "\$loader" --library-path "\$libraries:\$root/usr/lib" "\$root/$program" "\$@"
WRAPPER
chmod +x "$root/bin/$name"
