#!/usr/bin/env bash
# All fuzz targets under the sanitizers, each for ${FUZZ_SECONDS:-60} seconds, or for FUZZ_RUNS inputs when that is set:
#   FUZZ_RUNS=2000000 FUZZ_SEED=7 tests/fuzz/fuzz.sh [fuzz_frame...]
# A failure prints seed, run and input; `build/san/tests/fuzz/NAME --seed S --runs N` repeats it, and so does
# `build/san/tests/fuzz/NAME FILE` with the input's bytes in a file.
set -u
cd "$(dirname "$0")/../.." || exit 1
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:exitcode=99}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}

if [ -n "${FUZZ_RUNS:-}" ]; then
	how=(--runs "$FUZZ_RUNS")
else
	how=(--seconds "${FUZZ_SECONDS:-60}")
fi
how+=(--seed "${FUZZ_SEED:-$(date +%s)}")

make --no-print-directory SAN=1 fuzzers || exit 1
failed=0
for source in tests/fuzz/fuzz_*.c; do
	name=$(basename "$source" .c)
	[ $# -eq 0 ] || [[ " $* " == *" $name "* ]] || continue
	build/san/tests/fuzz/"$name" "${how[@]}" || failed=$((failed + 1))
done
[ "$failed" -eq 0 ] && echo "fuzz: all targets held" || echo "fuzz: $failed failed"
[ "$failed" -eq 0 ]
