#!/usr/bin/env bash
# Installs into a folder away from this checkout, where the programs would find the model anyway: they must find the installed one and work with
# it, and a C program the header and the library, with which it must caption a picture.
#   Tests/InstallationTests/run.sh PROGRAMS LIBRARY      the folders where they were built
set -euo pipefail
cd "$(dirname "$0")/../.."
. Scripts/toolchain.sh
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
installed=$folder/usr
model=$installed/share/rudolph/rudolph-demo-int8.gguf

check() { # check NAME EXPECTED COMMAND...
    local name=$1 expected=$2 found ended=0
    shift 2
    found=$("$@" 2> "$folder/messages") || ended=$?
    [ "$found" = "$expected" ] && [ $ended = 0 ] && return
    echo "$name: expected \"$expected\" and status 0, found \"$found\" and $ended; its messages: $(cat "$folder/messages")" >&2
    exit 1
}

DESTDIR=$folder Scripts/install.sh /usr "$1" "$2"
"$installed/bin/rudolph-quant" verify "$model"

cd /
check 'rudolph tokenize' $'576\t▁кот' env -u RUDOLPH_MODEL "$installed/bin/rudolph" tokenize кот
grep -F "model: $model" "$folder/messages" || { echo "rudolph took another model: $(cat "$folder/messages")" >&2; exit 1; }
cd - > /dev/null

# The picture, made without any decoder, and its caption are those of Tests/EmbeddedTests.
{ printf 'P6 64 64 255\n'; for _ in $(seq 4096); do printf '\377\020\040'; done; } > "$folder/red.ppm"
"$toolchain/bin/clang" -I "$installed/include" Examples/c/caption.c -L "$installed/lib" -lrudolph -lm -lomp5 -o "$folder/caption"
check 'the C program' 'красный квадрат' "$folder/caption" "$model" "$folder/red.ppm"
echo 'the installed programs and the C program work'
