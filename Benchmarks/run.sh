#!/bin/sh
# Times the kernels, then every stage of the bundled model and of the packed model files that are named.
#
#   Benchmarks/run.sh [model.gguf ...]
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
make --silent -C "$root/Tests/KernelTests" bench
swift build --package-path "$root" -c release --static-swift-stdlib --product RudolphBenchmark
for model in "$root/Models/demo/rudolph-demo-int8.gguf" "$@"; do
    echo
    "$root/.build/release/RudolphBenchmark" "$model"
done
