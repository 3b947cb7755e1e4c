#!/usr/bin/env bash
# The oracle's own proof: plants one bug after the other and shows that tests or simulator catch it.
#
# usage: tests/mutants/run.sh [NAME...]      MUTANT_SEEDS=1..30 JOBS=2
# Each *.patch here is one bug (its first line says which). The tree is built once aside; each patch is applied to a copy, the
# copy is rebuilt, and then
#   simulator   runs the golden scenarios, then a short sweep, until something breaks,
#   unit        runs the unit and contract tests of proto, storage and core.
# A mutant at which they only run out of time, twice, the second time with three times as much, is shown as "timeout" and not counted
# as caught. A mutant that neither catches fails the run, and so does a patch that no longer fits. The last line says how many of how many.
set -u
cd "$(dirname "$0")/../.." || exit 1
here=$PWD
seeds=${MUTANT_SEEDS:-1..30}
jobs_at_once=${JOBS:-2}
each_s=${MUTANT_SECONDS:-120}
work=$(mktemp -d "${TMPDIR:-/tmp}/estafette-mutants.XXXXXX") || exit 1
running=()
cleanup() {
	local pid
	for pid in "${running[@]}"; do kill -TERM "$pid" 2>/dev/null; done
	wait
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# Tests of what the mutants lie in; those of daemon and command are not asked.
tests() {
	local f
	for f in tests/unit/test_*.c tests/contract/test_*.c; do
		case ${f##*/} in
		test_oracle.c | test_golden.c | test_sim_*.c | test_drill*.c | test_workload.c | test_client*.c | test_config.c | test_grant.c | test_inbox.c | test_link.c | test_output.c) ;;
		*) f=${f#tests/} && echo "build/tests/${f%.c}" ;;
		esac
	done
}
mapfile -t unit < <(tests)

build() { env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make --no-print-directory -s CFLAGS=-O1 build/bin/estafette-sim build/tests/unit/test_golden "${unit[@]}" >/dev/null; }

# run COMMAND...: 0 when it succeeded, 1 when it failed, 124 when it did not end, although it was given three times as much the
# second time: on a busy machine a first time-out says nothing.
run() {
	local s
	for s in "$each_s" $((3 * each_s)); do
		timeout -k 5 "$s" "$@" >>log 2>&1
		case $? in
		0) return 0 ;;
		124 | 137) echo "time-out after $s s: $*" >>log ;;
		*) return 1 ;;
		esac
	done
	return 124
}

# first_failure NAME COMMAND...: one after the other, up to the first that does not succeed. Sets $found: -, NAME or timeout.
found=
first_failure() {
	local as=$1 line status
	shift
	found=-
	for line in "$@"; do
		# shellcheck disable=SC2086
		run $line
		status=$?
		if [ $status = 1 ]; then found=$as; return; fi
		[ $status = 0 ] || { found=timeout; return; }
	done
}
simulator() { first_failure simulator build/tests/unit/test_golden "build/bin/estafette-sim run tests/sweep/swarm.conf --seeds $seeds" "build/bin/estafette-sim run tests/sweep/takeover.conf --seeds $seeds"; }
units() { first_failure unit "${unit[@]}"; }

# mutant NAME: one line in $work/NAME.result.
mutant() {
	local name=$1 dir=$work/$1 sim=- test=-
	cp -a "$work/base" "$dir" && cd "$dir" || return
	if ! patch -p1 -s -F2 --no-backup-if-mismatch <"$here/tests/mutants/$name.patch" >log 2>&1; then
		echo "$name STALE" >"$work/$name.result"
	elif ! build >log 2>&1; then
		echo "$name BROKEN" >"$work/$name.result"
		tail -n 5 log >"$work/$name.why"
	else
		simulator; sim=$found
		units; test=$found
		echo "$name $sim $test" >"$work/$name.result"
	fi
	cd "$here" && rm -rf "$dir"
}

names=("$@")
[ ${#names[@]} -gt 0 ] || mapfile -t names < <(cd tests/mutants && printf '%s\n' *.patch | sed 's/\.patch$//')
mkdir "$work/base"
cp -a Makefile conf node proto sim storage tests "$work/base/" || exit 1
echo "building the tree without a mutant ..."
(cd "$work/base" && build) || { echo "mutants: the tree does not build"; exit 1; }
(cd "$work/base" && simulator; sim=$found; units; [ "$sim$found" = -- ] || { cat log; exit 1; }) || { echo "mutants: the tree fails without any mutant"; exit 1; }

for name in "${names[@]}"; do
	while [ ${#running[@]} -ge "$jobs_at_once" ]; do
		wait -n "${running[@]}"
		mapfile -t running < <(jobs -rp)
	done
	mutant "$name" &
	running+=($!)
done
wait
running=()

caught=0 by_sim=0 by_unit=0 by_time=0
for name in "${names[@]}"; do
	read -r _ sim test <"$work/$name.result" 2>/dev/null || sim=BROKEN
	case $sim in
	STALE) what='does not fit any more' ;;
	BROKEN) what="does not build: $(head -c 300 "$work/$name.why" 2>/dev/null)" ;;
	*)
		what='NOT CAUGHT'
		case $sim$test in
		*simulator* | *unit*) what=caught; caught=$((caught + 1)) ;;
		*timeout*) what=timeout; by_time=$((by_time + 1)) ;;
		esac
		[ "$sim" != simulator ] || by_sim=$((by_sim + 1))
		[ "$test" != unit ] || by_unit=$((by_unit + 1))
		;;
	esac
	[ "$sim" = STALE ] || [ "$sim" = BROKEN ] && sim='' test=''
	printf '  %-34s %-10s %-10s %-5s %s\n' "$name" "$what" "$sim" "${test:-}" "$(head -n 1 "tests/mutants/$name.patch")"
done
echo "$caught of ${#names[@]} mutants caught: $by_sim by the simulator, $by_unit by the unit tests; $by_time more only ran out of time"
[ $((caught + by_time)) = "${#names[@]}" ]
