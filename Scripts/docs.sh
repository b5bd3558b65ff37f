#!/usr/bin/env bash
# Serves the documentation of the Swift library, Sources/Rudolph/Rudolph.docc and what the sources say, until Ctrl-C.
#   Scripts/docs.sh [PORT]
set -euo pipefail
cd "$(dirname "$0")/.."
. Scripts/toolchain.sh
out=build/docs
mkdir -p "$out/symbols"
swiftc -swift-version 6 -package-name rudolph -module-name Rudolph -I CKernels/include -I Sources/CPlatform/include -I Sources/CRudolph/include \
    -emit-module -o "$out/Rudolph.swiftmodule" -emit-symbol-graph -emit-symbol-graph-dir "$out/symbols" $(find Sources/Rudolph -name '*.swift')
exec "$toolchain/bin/docc" preview Sources/Rudolph/Rudolph.docc --additional-symbol-graph-dir "$out/symbols" --output-path "$out/pages" \
    --diagnostic-level error --port "${1:-8080}"
