#!/usr/bin/env bash
# Every test that needs no Python: kernels on x86-64 and under emulated ARM cores, the Embedded library on both, then the Swift tests.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=0
step() {
    echo "== $1"
    shift
    "$@" || { failed=1; echo "!! failed: $*" >&2; }
}
step 'kernels' make --no-print-directory -C Tests/KernelTests test BUILD="$PWD/build/kernel-tests"
step 'Embedded library' Tests/EmbeddedTests/run.sh
step 'Swift examples' swift build --package-path Examples/swift --scratch-path build/examples
# In a folder of their own: -enable-testing would make every other build start anew. The tests run the programs that are built with them.
step 'Swift' swift test -c release -Xswiftc -enable-testing --scratch-path build/swift-tests
[ $failed = 0 ] || { echo 'some tests failed' >&2; exit 1; }
echo 'all tests passed'
