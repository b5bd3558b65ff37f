#!/usr/bin/env bash
# Counts the guest instructions of a caption under QEMU: of the image encoder, of reading the prompt, of each token; exactly, one thread.
#   Benchmarks/arm/count.sh MODEL.gguf [TOKENS] [FOLDER]      CORES="cortex-a72 cortex-a76" for some cores only
# Needs Debian's qemu-user (the static build has no plugins), gcc-aarch64-linux-gnu and libc6-dev-arm64-cross. RUDOLPH-350M takes
# some minutes for each core. FOLDER (build/arm) keeps MODEL-CORE.txt for predict.py.
set -euo pipefail
model=$(readlink -f "$1") tokens=${2:-30} out=${3:-}
cd "$(dirname "$0")/../.."
out=${out:-build/arm}
clang=${CLANG:-clang}
mkdir -p "$out"
Scripts/build-library.sh aarch64 "$out/lib" serial
"$clang" -O2 -shared -fPIC -fvisibility=hidden Benchmarks/arm/count_plugin.c -o "$out/libcount.so"
"$clang" --target=aarch64-linux-gnu -O2 -static -I "$out/lib/include" Benchmarks/arm/count.c "$out/lib/librudolph.a" -lm -Wl,--gc-sections \
    -o "$out/count"
for core in ${CORES:-cortex-a53 cortex-a72 cortex-a76 max}; do
    name=$out/$(basename "$model" .gguf)-$core
    qemu-aarch64 -cpu "$core" -plugin "$out/libcount.so" -d plugin -D "$name.functions" "$out/count" "$model" "$tokens" > "$name.marks"
    # "number stage function instructions": the program says what begins at each mark, the plugin what ran after it.
    awk 'NR == FNR { stage[FNR] = $1 == 0 ? "image" : $1 == 1 ? "read-" $3 : "token-" $2; next }
         $1 in stage { print $1, stage[$1], $2, $3 }' "$name.marks" "$name.functions" > "$name.txt"
    rm "$name.functions" "$name.marks"
    echo "$core"
    awk '{ total[$1] += $4; stage[$1] = $2 } END { for (i = 1; i in total; i++) printf "  %-10s %15.0f\n", stage[i], total[i] }' "$name.txt"
done
