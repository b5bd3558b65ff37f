#!/usr/bin/env bash
# Serves the documentation of the Swift libraries, their .docc folders and what the sources say, until Ctrl-C.
#   Scripts/docs.sh [PORT]
set -euo pipefail
cd "$(dirname "$0")/.."
. Scripts/toolchain.sh
out=build/docs
pages=$out/rudolph.docc
rm -rf "$pages"
mkdir -p "$out/symbols" "$pages"

symbols() { # symbols MODULE INCLUDES...
    local module=$1
    shift
    swiftc -swift-version 6 -package-name rudolph -module-name "$module" "${@/#/-I}" -emit-module -o "$out/$module.swiftmodule" \
        -emit-symbol-graph -emit-symbol-graph-dir "$out/symbols" $(find "Sources/$module" -name '*.swift')
    # docc shows one folder of pages, and what is edited at once.
    ln -s "$PWD/Sources/$module/$module.docc"/* "$pages"
}

symbols Rudolph CKernels/include Sources/CPlatform/include Sources/CRudolph/include
symbols ImageFiles Sources/CImageFiles/include Sources/CPlatform/include
exec "$toolchain/bin/docc" preview "$pages" --additional-symbol-graph-dir "$out/symbols" --output-path "$out/pages" \
    --diagnostic-level error --port "${1:-8080}"
