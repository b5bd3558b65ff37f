#!/usr/bin/env bash
# Builds the static library: librudolph.a and rudolph.h, without a Swift runtime.
#   Scripts/build-library.sh [x86_64|aarch64] [FOLDER] [serial]
# A program links it with -lm and, unless it is serial, an OpenMP runtime (-lomp5, -lgomp).
set -euo pipefail
cd "$(dirname "$0")/.."
arch=${1:-$(uname -m)}
out=${2:-build/lib/$arch}
serial=${3:-}

. Scripts/toolchain.sh
clang=$toolchain/bin/clang
archiver=$toolchain/bin/llvm-ar
case $arch in
    x86_64)  swift_target=x86_64-unknown-linux-gnu;  c_target=x86_64-linux-gnu ;;
    aarch64) swift_target=aarch64-none-none-elf;     c_target=aarch64-linux-gnu ;;
    *) echo "$0: architecture $arch, expected x86_64 or aarch64" >&2; exit 64 ;;
esac

mkdir -p "$out/objects" "$out/include"
rm -f "$out"/objects/*.o "$out/librudolph.a"
includes=(-I CKernels/include -I Sources/CPlatform/include -I Sources/CRudolph/include)

for source in $(find CKernels Sources/CPlatform -name '*.c'); do
    "$clang" --target=$c_target -O2 -fPIC -ffunction-sections -fdata-sections ${serial:+-DRK_SERIAL} "${includes[@]}" \
        -c "$source" -o "$out/objects/$(echo "${source%.c}" | tr / _).o"
done
# The kernels are C: with -O instead of -Osize this is 97 KB larger, and 48 texts of the 350M model take as long.
swiftc -swift-version 6 -package-name rudolph -target $swift_target -enable-experimental-feature Embedded -wmo -parse-as-library -Osize \
    -Xcc -fPIC -module-name Rudolph "${includes[@]}" -c $(find Sources/Rudolph -name '*.swift') -o "$out/objects/Rudolph.o"
# Lower-casing needs Unicode's tables, which the toolchain ships as an archive of its own.
(cd "$out/objects" && "$archiver" x "$toolchain/lib/swift/embedded/$swift_target/libswiftUnicodeDataTables.a")
"$archiver" rcs "$out/librudolph.a" "$out"/objects/*.o
cp Sources/CRudolph/include/rudolph.h "$out/include/"
rm -r "$out/objects"
echo "$out/librudolph.a: $(stat -c %s "$out/librudolph.a") bytes"
