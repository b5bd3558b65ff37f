#!/usr/bin/env bash
# Installs the two programs, the demo model, which they find from where they are, and the static library with its header.
#   Scripts/install.sh PREFIX [PROGRAMS [LIBRARY]]   from the folders where they were built; DESTDIR comes before PREFIX
set -euo pipefail
cd "$(dirname "$0")/.."
prefix=${DESTDIR:-}$1
programs=${2:-.build/release}
library=${3:-build/lib/$(uname -m)}

# Only the copying may need to be root: root seldom has Swift on PATH.
existing=$prefix
until [ -e "$existing" ]; do existing=$(dirname "$existing"); done
sudo=
if [ ! -w "$existing" ]; then
    command -v sudo >/dev/null || { echo "please install as root, or into a PREFIX that you may write to: $existing is none" >&2; exit 1; }
    sudo=sudo
fi

$sudo install -d "$prefix"/{bin,lib,include,share/rudolph}
$sudo install "$programs/rudolph" "$programs/rudolph-quant" "$prefix/bin"
$sudo install -m 644 Models/demo/rudolph-demo-int8.gguf "$prefix/share/rudolph"
$sudo install -m 644 "$library/librudolph.a" "$prefix/lib"
$sudo install -m 644 "$library/include/rudolph.h" "$prefix/include"
echo "installed in $prefix: bin/rudolph bin/rudolph-quant share/rudolph/rudolph-demo-int8.gguf lib/librudolph.a include/rudolph.h"
