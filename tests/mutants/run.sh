#!/usr/bin/env bash
# The oracle's own proof: plants one bug after the other and shows that tests or simulator catch it.
#
# usage: tests/mutants/run.sh [NAME...]      MUTANT_SEEDS=1..30 JOBS=2 MUTANT_BOTH=1
# Each *.patch here is one bug (its first line says which). The tree is built once aside; each patch is applied to a copy, what
# is needed is built there again, and then it is run what may catch it, up to the first that does:
#   test_golden   the golden scenarios of the simulator,
#   test_...      the unit and contract tests of proto, storage and core: first those named like the changed file, then those of
#                 its layer, then the rest, each time the quick ones first (test_core_orders_random in a short form),
#   sweep-...     a short sweep of the simulator: tests/sweep/swarm.conf, then takeover.conf.
# With MUTANT_BOTH=1 the simulator and the tests are both asked about each mutant, which takes much longer.
# A program that does not end in time, when nothing else catches the mutant, is run again with three times as much; if it still
# does not end the mutant is shown as "timeout" and not counted as caught. A mutant that nothing catches fails the run, and so do
# a patch that no longer fits (check.sh says so sooner) and a tree that fails without any. The last line says how many of how many.
set -u
cd "$(dirname "$0")/../.." || exit 1
here=$PWD
seeds=${MUTANT_SEEDS:-1..30}
jobs_at_once=${JOBS:-2}
each_s=${MUTANT_SECONDS:-120}
both=${MUTANT_BOTH:-}
export CMOCKA_MESSAGE_OUTPUT=STANDARD ORDERS_RUNS=${ORDERS_RUNS:-50}
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

# Tests of what the mutants lie in; those of daemon, command and simulator are not asked, but for the contact schedules.
tests() {
	local f
	for f in tests/unit/test_*.c tests/contract/test_*.c; do
		case ${f##*/} in
		test_sim_contacts.c) echo build/tests/unit/test_sim_contacts ;; # of the core's promises, as a golden scenario is
		test_oracle*.c | test_golden.c | test_sim_*.c | test_drill*.c | test_workload.c | test_conduct.c | test_fault.c | test_client*.c | test_config.c | test_grant.c | test_inbox.c | test_link.c | test_output.c | test_proxy.c | test_shape.c | test_shaper.c) ;;
		*) f=${f#tests/} && echo "build/tests/${f%.c}" ;;
		esac
	done
}
mapfile -t unit < <(tests)
sweeps=(sweep-swarm sweep-takeover)

# Objects are kept, so that a test which did not change is only linked again.
build() { env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make --no-print-directory -s --eval=.SECONDARY: CFLAGS=-O1 "$@" >/dev/null; }

# targets PROGRAM...: what they are built as.
targets() { printf '%s\n' "$@" | sed 's|^sweep-.*|build/bin/estafette-sim|'; }

# run SECONDS PROGRAM: 0 when it succeeded, 1 when it failed, 2 when it did not end, 3 when it could not be run.
run() {
	local cmd=("$2")
	[[ $2 != sweep-* ]] || cmd=(build/bin/estafette-sim run "tests/sweep/${2#sweep-}.conf" --seeds "$seeds")
	{ timeout -k 5 "$1" "${cmd[@]}" >>log 2>&1; } 2>>log # the shell says of an abort that it was one
	case $? in
	0) return 0 ;;
	124 | 137) echo "time-out after $1 s: $2" >>log && return 2 ;;
	125 | 126 | 127) return 3 ;;
	*) return 1 ;;
	esac
}

# caught_by PROGRAM: sets found to its name, and to that of the first of its tests that failed when it says so.
caught_by() {
	local test
	test=$(sed -n 's/^\[  FAILED  \] \([^ ]*\).*/\1/p' log | head -n 1)
	found=${1##*/}${test:+:$test}
}

# ask PROGRAM...: builds and runs one after the other, up to the first that fails. Sets found: -, its name or BROKEN. Adds to slow.
found=- slow=()
ask() {
	local program wanted
	found=-
	mapfile -t wanted < <(targets "$@")
	build "${wanted[@]}" 2>>log || { found=BROKEN; return; }
	for program in "$@"; do
		run "$each_s" "$program"
		case $? in
		0) ;;
		1) caught_by "$program"; return ;;
		2) slow+=("$program") ;;
		*) found=BROKEN; return ;;
		esac
	done
}

# ask_again: those that ran out of time, when nothing caught the mutant: on a busy machine a first time-out says nothing.
ask_again() {
	local program
	[ "$found" = - ] || return
	for program in "${slow[@]}"; do
		run $((3 * each_s)) "$program"
		case $? in
		0) ;;
		1) caught_by "$program"; return ;;
		2) found=timeout ;;
		*) found=BROKEN; return ;;
		esac
	done
}

# ranked NAME: "rank seconds program" for each test: 0 is named like a file that the patch changes, 1 of the same layer, 2 another.
ranked() {
	local file stem layer program rank seconds
	while read -r seconds program; do
		rank=2
		while read -r file; do
			stem=${file##*/} stem=${stem%.[ch]} stem=${stem%s} layer=${file%/*}
			case $layer:$program in
			*/test_"$stem" | */test_"$stem"_* | */test_"$stem"s* | */test_core_"$stem"*) rank=0 ;;
			node/core:*/test_core* | storage:*/contract/*) [ $rank = 0 ] || rank=1 ;;
			proto:*/contract/* | proto:*/test_core*) ;;
			proto:*) [ $rank = 0 ] || rank=1 ;;
			esac
		done < <(sed -n 's|^+++ b/||p' "$here/tests/mutants/$1.patch")
		echo "$rank $seconds $program"
	done <"$work/times"
}

# mutant NAME: one line in $work/NAME.result: "NAME SIMULATOR UNIT".
mutant() {
	local name=$1 dir=$work/$1 sim=- test=- near rest
	cp -a "$work/base" "$dir" && cd "$dir" || return
	if ! patch -p1 -s -F0 --no-backup-if-mismatch <"$here/tests/mutants/$name.patch" >log 2>&1; then
		echo "$name STALE" >"$work/$name.result"
		cd "$here" && rm -rf "$dir"
		return
	fi
	mapfile -t near < <(ranked "$name" | sort -n | sed -n 's/^0 [^ ]* //p')
	mapfile -t rest < <(ranked "$name" | sort -n | sed -n 's/^[12] [^ ]* //p')
	if [ -n "$both" ]; then
		ask build/tests/unit/test_golden "${sweeps[@]}"; ask_again; sim=$found slow=()
		[ "$sim" = BROKEN ] || { ask "${near[@]}" "${rest[@]}"; ask_again; test=$found; }
	else
		ask build/tests/unit/test_golden "${near[@]}"
		[ "$found" != - ] || ask "${rest[@]}"
		[ "$found" != - ] || ask "${sweeps[@]}"
		ask_again
		case $found in
		test_golden* | sweep* | BROKEN) sim=$found ;;
		*) test=$found ;;
		esac
	fi
	echo "$name $sim $test" >"$work/$name.result"
	[ "$sim" != BROKEN ] || tail -n 5 log >"$work/$name.why"
	cd "$here" && rm -rf "$dir"
}

# Without any mutant all must succeed; how long each test takes decides on the order.
base() {
	local program from
	found=-
	for program in build/tests/unit/test_golden "${sweeps[@]}" "${unit[@]}"; do
		from=$EPOCHREALTIME
		run $((3 * each_s)) "$program" || { tail -n 30 log; echo "mutants: the tree fails without any mutant: $program"; return 1; }
		case $program in
		sweep-* | */test_golden) ;;
		*) awk -v a="$from" -v b="$EPOCHREALTIME" -v p="$program" 'BEGIN { printf "%.2f %s\n", b - a, p }' >>"$work/times" ;;
		esac
	done
}

names=("$@")
[ ${#names[@]} -gt 0 ] || mapfile -t names < <(cd tests/mutants && printf '%s\n' *.patch | sed 's/\.patch$//')
mkdir "$work/base"
cp -a Makefile conf node proto sim storage tests "$work/base/" || exit 1
echo "building the tree without a mutant, and running what may catch one ..."
mapfile -t wanted < <(targets build/tests/unit/test_golden "${sweeps[@]}" "${unit[@]}")
(cd "$work/base" && build -j"$jobs_at_once" "${wanted[@]}") || { echo "mutants: the tree does not build"; exit 1; }
(cd "$work/base" && base && rm -f log) || exit 1

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
	read -r _ sim test <"$work/$name.result" 2>/dev/null || sim=BROKEN test=-
	what='NOT CAUGHT'
	case $sim:$test in
	STALE:*) what='does not fit any more' ;;
	BROKEN:* | *:BROKEN) what="does not build: $(head -c 300 "$work/$name.why" 2>/dev/null)" ;;
	-:-) ;;
	-:timeout | timeout:- | timeout:timeout) what=timeout; by_time=$((by_time + 1)) ;;
	*) what=caught; caught=$((caught + 1)) ;;
	esac
	case $sim in test_golden* | sweep*) by_sim=$((by_sim + 1)) ;; esac
	case $test in test_*) by_unit=$((by_unit + 1)) ;; esac
	[ "$what" != caught ] || what="caught by $(printf '%s\n' "$sim" "$test" | grep -vx -e - | paste -sd, | sed 's/,/ and /')"
	printf '  %-34s %-60s %s\n' "$name" "$what" "$(head -n 1 "tests/mutants/$name.patch")"
done
[ -n "$both" ] || echo "each by the first that caught it; MUTANT_BOTH=1 asks both"
echo "$caught of ${#names[@]} mutants caught: $by_sim by the simulator, $by_unit by the unit tests; $by_time more only ran out of time"
[ $((caught + by_time)) = "${#names[@]}" ]
