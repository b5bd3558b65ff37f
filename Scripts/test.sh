#!/usr/bin/env bash
# Every test that needs no Python: kernels and the Embedded library on this machine and, on x86-64, under emulated ARM cores, then the Swift tests.
set -euo pipefail
cd "$(dirname "$0")/.."
host=$(uname -m)
failed=0

step() { # step NAME COMMAND...
    local name=$1 start=$SECONDS
    echo "== $name"
    shift
    "$@" || { failed=1; echo "!! failed: $*" >&2; }
    echo "== $name ($((SECONDS - start)) s)"
}

[ "$host" = x86_64 ] || echo "skipped, as this machine is $host: everything for x86-64, and emulated ARM cores"
step 'kernels' make --no-print-directory -C Tests/KernelTests test BUILD="$PWD/build/kernel-tests"
step 'Embedded library' Tests/EmbeddedTests/run.sh
step 'Swift examples' swift build --package-path Examples/swift --scratch-path build/examples
# In a folder of their own: -enable-testing would make every other build start anew. The tests run the programs that are built with them.
step 'Swift' swift test -c release -Xswiftc -enable-testing --scratch-path build/swift-tests
step 'installation' Tests/InstallationTests/run.sh build/swift-tests/release "build/embedded-test/$host"
[ $failed = 0 ] || { echo "some tests failed ($SECONDS s)" >&2; exit 1; }
echo "all tests passed ($SECONDS s)"
