#!/usr/bin/env bash
# Builds the static library in the Embedded dialect for this machine and, on x86-64, for ARM, links the programs of Examples/c with it and runs
# them: what `rudolph caption`, `classify` and `complete` give must come out on every kind of core, a picture that is drawn beside another must be
# the one that is drawn by itself, and bad input must be an error message and not a crash. The program in rudolph.h's comment must be C and C++,
# and the program of Benchmarks/arm fit the header.
set -euo pipefail
cd "$(dirname "$0")/../.."
model=Models/demo/rudolph-demo-int8.gguf
out=build/embedded-test
. Scripts/toolchain.sh
clang=$toolchain/bin/clang
host=$(uname -m)
mkdir -p "$out"
passed=0 failed=0

check() { # check NAME STATUS EXPECTED COMMAND...
    local name=$1 status=$2 expected=$3 found ended=0
    shift 3
    found=$("$@" 2>&1) || ended=$?
    if [ "$found" = "$expected" ] && [ $ended = "$status" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$name: expected \"$expected\" and status $status, found \"$found\" and $ended" >&2
    fi
}

# A picture without any decoder: a flat red square and a broken one. As a PNG file, `rudolph caption --greedy` gives the red one this caption.
expected='красный квадрат'
# As `rudolph complete красное --greedy` continues it.
continued='красное яблоко'
{ printf 'P6 64 64 255\n'; for _ in $(seq 4096); do printf '\377\020\040'; done; } > "$out/red.ppm"
printf 'P6 64 64 255\nshort' > "$out/short.ppm"
head -c 100000 "$model" > "$out/cut.gguf"
# The second half of a model is nothing but weights: here they are no numbers.
half=$(($(stat -c %s "$model") / 2))
{ head -c $half "$model"; head -c $half /dev/zero | tr '\0' '\377'; } > "$out/damaged.gguf"
{
    sed -n '/^\/\/     #include/,/^\/\/     }$/s|^//     \{0,1\}||p' Sources/CRudolph/include/rudolph.h
    echo 'int main(void) { return caption(NULL, 0, 0) != RUDOLPH_SYSTEM; }'
} > "$out/usage.c"

for arch in $host $([ "$host" != x86_64 ] || echo aarch64); do
    Scripts/build-library.sh $arch "$out/$arch"
    for name in caption classify complete draw; do
        "$clang" --target=$arch-linux-gnu -O2 -Wall -Wextra -Werror -I "$out/$arch/include" Examples/c/$name.c "$out/$arch/librudolph.a" -lm \
            $([ $arch = "$host" ] && echo -lomp5 || echo -lgomp) -Wl,--gc-sections -o "$out/$name-$arch"
    done
    program=$out/caption-$arch
    if [ $arch = "$host" ]; then
        runners=(env)
        check "the program that counts instructions" 0 "" "$clang" -Wall -Wextra -Werror -I "$out/$arch/include" -fsyntax-only Benchmarks/arm/count.c
        for language in c c++; do
            "$clang" -x $language -Wall -Wextra -Werror -I "$out/$arch/include" "$out/usage.c" -x none "$out/$arch/librudolph.a" -lm -lomp5 \
                -o "$out/usage"
            check "rudolph.h's program in $language" 0 "rudolph.gguf: cannot be opened: No such file or directory" "$out/usage"
        done
    else
        runners=()
        for core in cortex-a53 cortex-a72 cortex-a76 max; do
            runners+=("qemu-aarch64-static -L /usr/aarch64-linux-gnu -cpu $core")
        done
    fi
    for runner in "${runners[@]}"; do
        check "$runner, caption" 0 "$expected" $runner "$program" "$model" "$out/red.ppm"
        check "$runner, classify" 0 "$expected" $runner "$out/classify-$arch" "$model" "$out/red.ppm" кошка "$expected" 'зелёный круг'
        check "$runner, complete" 0 "$continued" $runner "$out/complete-$arch" "$model" красное
        mkdir -p "$out/both" "$out/second"
        rm -f "$out/both"/*.ppm "$out/second"/*.ppm
        drawing=($runner "$PWD/$out/draw-$arch" "$PWD/$model")
        check "$runner, draw" 0 $'1.ppm\n2.ppm' env -C "$out/both" "${drawing[@]}" 1 яблоко кошка
        check "$runner, draw the second" 0 1.ppm env -C "$out/second" "${drawing[@]}" 2 кошка
        check "$runner, the second drawing" 0 "" cmp "$out/both/2.ppm" "$out/second/1.ppm"
        check "$runner, the size of a drawing" 0 12301 stat -c %s "$out/both/1.ppm"
    done
    check "$arch, no room" 1 "what the text begins with takes 32 of 32 tokens and leaves no room to go on" \
        ${runners[0]} "$out/complete-$arch" "$model" "$(printf 'красное %.0s' $(seq 40))"
    check "$arch, no model" 1 "missing.gguf: cannot be opened: No such file or directory" ${runners[0]} "$program" missing.gguf "$out/red.ppm"
    check "$arch, no picture" 1 "$out/short.ppm: cannot be read as a binary PPM of 8 bits" ${runners[0]} "$program" "$model" "$out/short.ppm"
    while read -r name words; do
        ended=0
        ${runners[0]} "$program" "$out/$name.gguf" "$out/red.ppm" 2> "$out/message" > /dev/null || ended=$?
        if [ $ended = 1 ] && grep -q "$words" "$out/message"; then
            passed=$((passed + 1))
        else
            failed=$((failed + 1))
            echo "$arch: the $name model gave status $ended and: $(cat "$out/message")" >&2
        fi
    done <<< $'cut cut off or damaged\ndamaged are not finite'
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
