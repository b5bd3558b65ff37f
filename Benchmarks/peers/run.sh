#!/usr/bin/env bash
# Builds ours, installs the peers in build/peers-venv at the first run (llama.cpp is compiled: ten minutes) and measures all of them.
#
#   Benchmarks/peers/run.sh [options of compare.py]
#   Benchmarks/peers/run.sh quality                    what each weight type loses
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
venv=$root/build/peers-venv
llama=llama-cpp-python==0.3.36

for product in rudolph rudolph-quant RudolphBenchmark; do
    swift build --package-path "$root" -c release --static-swift-stdlib --product $product >&2
done

# build_llama TARGET CMAKE-OPTION...: always from the sources, so that the instruction sets are those asked for.
build_llama() {
    echo "compiling llama.cpp for $1" >&2
    CMAKE_ARGS="${*:2} -DLLAVA_BUILD=OFF" CMAKE_BUILD_PARALLEL_LEVEL=$(nproc) \
        "$venv/bin/pip" install --quiet --no-deps --no-cache-dir --no-binary llama-cpp-python --target "$1" $llama
}

if [ ! -e "$venv/ready" ]; then
    echo "installing the peers in $venv" >&2
    [ -x "$venv/bin/pip" ] || "${PYTHON:-python3}" -m venv "$venv"
    parity=$root/Tests/Parity
    "$venv/bin/pip" install --quiet -r "$parity/requirements.txt"
    "$venv/bin/pip" install --quiet --no-deps --retries 1 -r "$parity/upstream.txt"
    "$venv/bin/pip" install --quiet -r "$here/requirements.txt"
    [ -d "$venv/llama-native" ] || build_llama "$venv/llama-native" -DGGML_NATIVE=ON
    if grep -q avx512f /proc/cpuinfo && [ ! -d "$venv/llama-avx2" ]; then
        build_llama "$venv/llama-avx2" -DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON
    fi
    touch "$venv/ready"
fi
if [ "${1:-}" = quality ]; then
    PYTHONPATH=$venv/llama-native exec "$venv/bin/python" "$here/quality.py"
fi
exec "$venv/bin/python" "$here/compare.py" "$@"
