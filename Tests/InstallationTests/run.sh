#!/usr/bin/env bash
# Installs into a folder away from this checkout, where the programs would find the model anyway: they must find the installed one, and a C
# program the header and the library.
#   Tests/InstallationTests/run.sh PROGRAMS LIBRARY      the folders where they were built
set -euo pipefail
cd "$(dirname "$0")/../.."
. Scripts/toolchain.sh
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
installed=$folder/usr
model=$installed/share/rudolph/rudolph-demo-int8.gguf

DESTDIR=$folder Scripts/install.sh /usr "$1" "$2"
"$installed/bin/rudolph-quant" verify "$model"
(cd / && env -u RUDOLPH_MODEL "$installed/bin/rudolph" tokenize кот) > "$folder/output" 2>&1 || true
grep -F "model: $model" "$folder/output" || { cat "$folder/output" >&2; exit 1; }
"$toolchain/bin/clang" -I "$installed/include" Examples/c/caption.c -L "$installed/lib" -lrudolph -lm -lomp5 -o "$folder/caption"
