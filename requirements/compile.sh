#!/bin/sh
# Make the locks and virtualenvs/*.txt anew from requirements/*.in. Needs uv; `-U` upgrades.
set -eu
cd "$(dirname "$0")"
compile() {
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-header --no-annotate --no-emit-index-url "$@"
}
compile "$@" -o dev.lock dev.in
grep -E '^[A-Za-z0-9].*==' dev.lock | sed 's/ *\\$//' >constraints.tmp
trap 'rm -f constraints.tmp' EXIT
for name in qold gateway topology; do
    compile -c constraints.tmp -o "$name.lock" "$name.in"
done
# A Storm worker installs its topology's list alone, from a temporary name: no -r.
for topology in ../topologies/*.py; do
    cp topology.lock "../virtualenvs/$(basename "$topology" .py).txt"
done
