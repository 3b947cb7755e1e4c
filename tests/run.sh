#!/usr/bin/env bash
# The one runner of all tests: tests/run.sh [NAME...]
#
# Without names: everything. A name is a suite's (`unit/test_id`, `san/unit/test_id`, `basic`, `san/crash`, `layers`), a
# pattern (`'san/*'`) or its last part (`test_id`: plain and sanitized). `tests/run.sh --list` shows them.
# Each suite is a program that prints TAP; two run at a time; each has a time limit, so that a hang is a failure.
# KEEP=1 keeps the temporary folder. The last line is "N passed, N failed"; the status is 0 only when none failed.
set -u
cd "$(dirname "$0")/.." || exit 1
exec </dev/null

jobs_at_once=2
# Sanitized runs say nothing about memory and speed, and are not what is installed; determinism compares both.
plain_only=' year large resume start install determinism live idle '
# A hang is a failure, and only that: what takes two minutes here may take eight on a machine that others use.
declare -A limit=([crash]=900 [san/crash]=1800 [live]=900)
default_limit=600

export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=0:exitcode=99:strict_string_checks=1}
# libconfig forgets a string that a syntax error cut off.
export LSAN_OPTIONS=${LSAN_OPTIONS:-suppressions=$PWD/tests/lib/lsan.supp:print_suppressions=0}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}
export CMOCKA_MESSAGE_OUTPUT=TAP PYTHONDONTWRITEBYTECODE=1

passed=0 failed=0 work='' failures=()
declare -A job_name=() job_start=()

# ---- what there is ------------------------------------------------------------------------------------------------

# The suites by name, in the order in which they run: short ones first, the longest of the rest first.
all_suites() {
	local f name
	for f in tests/unit/test_*.c tests/contract/test_*.c; do
		[ -f "$f" ] && name=${f#tests/} && printf '%s\nsan/%s\n' "${name%.c}" "${name%.c}"
	done
	for f in tests/fuzz/fuzz_*.c; do [ -f "$f" ] && name=${f#tests/} && echo "san/${name%.c}"; done
	printf '%s\n' layers man mutants
	for name in crash demo large $(integration_names); do
		[ "$name" = demo ] || [ -n "$(integration_file "$name")" ] || continue
		case "$plain_only demo " in *" $name "*) ;; *) echo "san/$name" ;; esac
		echo "$name"
	done
}
integration_names() {
	local f name
	for f in tests/integration/test_*.{py,sh}; do
		[ -f "$f" ] && name=${f##*/test_} && name=${name%.*} && [ "$name" != large ] && echo "$name"
	done
}
integration_file() {
	local f
	for f in "tests/integration/test_$1".{py,sh} "tests/integration/$1.py"; do
		if [ -f "$f" ]; then echo "$f"; return; fi
	done
}

# selected NAME PATTERN...: whether one of the patterns means the suite.
selected() {
	local name=$1 pattern
	shift
	for pattern in "$@"; do
		# shellcheck disable=SC2053 # it is a pattern
		[[ $name == $pattern || $name == */$pattern ]] && return 0
	done
	return 1
}

# command NAME: sets cmd to what runs the suite.
command_of() {
	local name=$1 build=build
	[[ $name == san/* ]] && build=build/san && name=${name#san/}
	case $name in
	unit/* | contract/*) cmd=("$build/tests/$name") ;;
	fuzz/*) cmd=("$build/tests/$name" --runs "${FUZZ_RUNS:-20000}") ;;
	layers) cmd=(tests/layers.sh build) ;;
	man) cmd=(tests/man.sh) ;;
	mutants) cmd=(tests/mutants/check.sh) ;;
	demo) cmd=(tests/demo.sh build/bin) ;;
	crash)
		# Under sanitizers a restart takes several times as long; what they look for shows in fewer.
		cmd=(tests/integration/crash.py --bin "$build/bin" --kills "${KILLS:-$([ "$build" = build ] && echo 200 || echo 60)}")
		;;
	*)
		cmd=("$(integration_file "$name")" --bin "$build/bin")
		[[ ${cmd[0]} == *.sh ]] && cmd=("${cmd[0]}" "$build/bin")
		;;
	esac
}

# ---- running ------------------------------------------------------------------------------------------------------

# A job's process is `timeout`, which hands a signal on to all that it started.
end_jobs() {
	local pid
	for pid in "${!job_name[@]}"; do kill -TERM "$pid" 2>/dev/null; done
	for pid in "${!job_name[@]}"; do wait "$pid" 2>/dev/null; done
	job_name=()
}
finish() {
	end_jobs
	[ -z "$work" ] || end_leftovers "$work" >/dev/null
	[ -z "$work" ] || [ -n "${KEEP:-}" ] || rm -rf "$work"
}
trap finish EXIT
trap 'echo "tests: interrupted" >&2; exit 130' INT
trap 'echo "tests: ended" >&2; exit 143' TERM

# end_leftovers FOLDER: kills, by id, daemons that a suite left running on its folder, and names them.
end_leftovers() {
	local proc words
	for proc in /proc/[0-9]*; do
		mapfile -d '' -t words 2>/dev/null <"$proc/cmdline" || continue
		[[ ${words[0]:-} == *estafetted && ${words[2]:-} == "$1"/* ]] || continue
		kill -KILL "${proc#/proc/}" 2>/dev/null && echo "# left a daemon running: process ${proc#/proc/}"
	done
}

seconds() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.1f s", b - a }'; }

start_job() {
	local name=$1 cmd folder
	folder=$work/${name//\//.}
	mkdir -p "$folder/tmp"
	command_of "$name"
	# Only what was started here is ended: `timeout` by its id, and it passes the signal to its own group.
	TMPDIR=$folder/tmp timeout -k 20 "${limit[$name]:-$default_limit}" "${cmd[@]}" >"$folder/out" 2>&1 &
	job_name[$!]=$name
	job_start[$!]=$EPOCHREALTIME
}

# tap FILE: "ok, not ok, planned" of a suite's output.
tap() {
	awk '/^ok /{ ok++ } /^not ok /{ no++ } /^1\.\.[0-9]+/{ sub(/^1\.\./, ""); plan += $1 } END { print ok + 0, no + 0, plan + 0 }' "$1"
}

# first_failed NAME FILE WHY: one line for the end of the run: the suite, and what failed in it first.
first_failed() {
	local name=$1 line
	line=$(grep -m 1 -A 2 '^not ok' "$2" | tr '\n' ' ')
	printf '%s: %s' "$name" "${3:+$3; }${line:-$(tail -n 3 "$2" | tr '\n' ' ')}" | cut -c 1-300
}

end_job() {
	local pid=$1 status=$2 name=${job_name[$1]} took folder ok no plan why=''
	took=$(seconds "${job_start[$pid]}" "$EPOCHREALTIME")
	unset "job_name[$pid]"
	folder=$work/${name//\//.}
	end_leftovers "$folder/tmp" >>"$folder/out"
	read -r ok no plan < <(tap "$folder/out")
	if [ "$ok $no $plan" = "0 0 0" ] && [ "$status" = 0 ]; then
		ok=1 # a program of one test: its status is the answer
	elif [ "$status" = 124 ] || [ "$status" = 137 ]; then
		why="no end within ${limit[$name]:-$default_limit} s"
	elif [ "$status" != 0 ] && [ "$no" = 0 ]; then
		why="ended with status $status"
	elif [ $((ok + no)) != "$plan" ]; then
		why="planned $plan tests and ran $((ok + no))"
	fi
	if grep -q '^# left a daemon running' "$folder/out"; then why=${why:+$why, }'left daemons running'; fi
	[ -z "$why" ] || no=$((no + 1))
	passed=$((passed + ok)) failed=$((failed + no))
	if [ "$no" = 0 ]; then
		printf '  %-34s %4d passed  %12s\n' "$name" "$ok" "$took"
		rm -rf "$folder"
	else
		printf '  %-34s %4d passed, %d FAILED  %s%s\n' "$name" "$ok" "$no" "$took" "${why:+  ($why)}"
		failures+=("$(first_failed "$name" "$folder/out" "$why")")
		if grep -q '^not ok' "$folder/out"; then
			# what failed with what was said about it, and the end of the output
			grep -A 25 '^not ok' "$folder/out" | grep -v '^ok ' | head -n 120 | sed 's/^/    | /'
			[ -z "$why" ] || tail -n 40 "$folder/out" | sed 's/^/    | /'
		else
			tail -n 80 "$folder/out" | sed 's/^/    | /'
		fi
	fi
}

run_all() {
	local name pid status
	for name in "$@"; do
		while [ ${#job_name[@]} -ge $jobs_at_once ]; do
			wait -n -p pid "${!job_name[@]}"
			status=$?
			end_job "$pid" "$status"
		done
		start_job "$name"
	done
	while [ ${#job_name[@]} -gt 0 ]; do
		wait -n -p pid "${!job_name[@]}"
		status=$?
		end_job "$pid" "$status"
	done
}

# build WHAT MAKE-ARGUMENTS: one line, or the whole output when it fails.
build() {
	local what=$1 from=$EPOCHREALTIME
	shift
	# Not a part of the make that may have started us: it has no jobs to give.
	if env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make --no-print-directory -j2 "$@" >"$work/build.out" 2>&1; then
		printf '  %-34s %4s         %12s\n' "build ($what)" '' "$(seconds "$from" "$EPOCHREALTIME")"
	else
		sed 's/^/    | /' "$work/build.out"
		echo "  build ($what) FAILED"
		echo "$passed passed, $((failed + 1)) failed"
		exit 1
	fi
}

# ---- main ---------------------------------------------------------------------------------------------------------

mapfile -t suites < <(all_suites)
if [ "${1:-}" = --list ]; then printf '%s\n' "${suites[@]}"; exit 0; fi
if [ $# -gt 0 ]; then
	chosen=()
	for name in "${suites[@]}"; do if selected "$name" "$@"; then chosen+=("$name"); fi; done
	if [ ${#chosen[@]} = 0 ]; then
		echo "tests: no suite fits: $* (tests/run.sh --list shows them)" >&2
		exit 2
	fi
	suites=("${chosen[@]}")
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/estafette-tests.XXXXXX") || exit 1
from=$EPOCHREALTIME
# goals: reads suites' names, says what they need to be built.
goals() {
	local name
	while read -r name; do
		case ${name#san/} in
		unit/* | contract/*) echo tests ;;
		fuzz/*) echo fuzzers ;;
		layers) printf 'build/lib/lib%s.a\n' proto storage core ;;
		man | mutants) ;;
		start) printf '%s\n' all build/tests/bench/big_journal ;;
		*) echo all ;;
		esac
	done | sort -u
}
mapfile -t plain < <(printf '%s\n' "${suites[@]}" | grep -v '^san/' | goals)
mapfile -t san < <(printf '%s\n' "${suites[@]}" | grep '^san/' | goals)
[ ${#plain[@]} = 0 ] || build plain "${plain[@]}"
[ ${#san[@]} = 0 ] || build sanitized SAN=1 "${san[@]}"
run_all "${suites[@]}"
echo "  all in $(seconds "$from" "$EPOCHREALTIME")"
for line in "${failures[@]}"; do echo "  FAILED $line"; done
[ -z "${KEEP:-}" ] || echo "  kept: $work"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
