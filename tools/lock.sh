#!/bin/sh
# Make both hash locks anew from pyproject.toml. They name no index: pip uses the reader's own.
set -eu
cd "$(dirname "$0")/.."
UV=${UV:-uv}
compile() {
    "$UV" pip compile --quiet --python-version 3.11 --universal --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
        "$@" pyproject.toml
}
compile --group dev --output-file requirements-dev.lock
# What runs is what was tested: the same versions.
compile --group build --constraint requirements-dev.lock --output-file requirements.lock
if grep -nE '://|--find-links|index-url' requirements*.lock; then
    echo "A lock names an address: it must not." >&2
    exit 1
fi
