#!/usr/bin/env bash
# make demo: fifteen sites on this machine, one killed, nothing lost. tests/demo.sh [BIN]; see tests/demo.py.
set -u
cd "$(dirname "$0")/.." || exit 1
exec python3 -B tests/demo.py --bin "${1:-build/bin}" </dev/null
