#!/bin/sh
# Compares the two programs with the upstream Python packages.
#
#   Tests/Parity/run.sh [quick|full]
#
# quick (the default): the tokenizer, image preparation, small random models of many shapes, the image decoder, and every task on the
# demonstration model and on random ones. full: a random model of the 350M size as well (about 3 GB of memory). The packages go into a
# virtual environment in build/parity-venv, made at the first run.
# RUDOLPH_BIN names the folder of the programs, else .build/release; PYTHON the interpreter, else python3 (3.11 or later).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
scale=${1:-quick}
case $scale in
quick | full) ;;
*)
    echo "usage: $0 [quick|full]" >&2
    exit 64
    ;;
esac

export RUDOLPH_BIN="${RUDOLPH_BIN:-$root/.build/release}"
for program in rudolph rudolph-quant; do
    if [ ! -x "$RUDOLPH_BIN/$program" ]; then
        echo "$RUDOLPH_BIN/$program: not there; build it with: swift build -c release" >&2
        exit 1
    fi
done

venv=$root/build/parity-venv
if [ ! -e "$venv/ready" ]; then
    echo "Installing the upstream packages in $venv" >&2
    rm -rf "$venv"
    mkdir -p "$root/build"
    "${PYTHON:-python3}" -m venv "$venv"
    "$venv/bin/pip" install --quiet -r "$here/requirements.txt"
    "$venv/bin/pip" install --quiet --no-deps --retries 1 -r "$here/upstream.txt"
    # Compiled here, with the Cython and setuptools from above.
    "$venv/bin/pip" install --quiet --no-deps --no-build-isolation youtokentome==1.0.6
    touch "$venv/ready"
fi

# The reference's tensors are small: its threads would mostly wait for each other, on a machine with other work for most of an hour.
export OMP_NUM_THREADS=1
status=0
for test in tokenizer images model decoder tasks; do
    "$venv/bin/python" "$here/test_$test.py" "$scale" || status=1
done
# After a failure the files stay, to be looked at.
[ $status -ne 0 ] || rm -rf "$root/build/parity"
exit $status
