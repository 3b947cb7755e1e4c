#!/usr/bin/env bash
# Figures as ratios to this machine's own limits: tests/bench/bench.sh [BUILD] [MESSAGES]
#
# Two sites in a temporary folder on a real disk (BENCH_DATA, default /var/tmp). A producer at Namen has 256 submissions of
# 1 KiB in flight to a queue at Luik; a consumer takes and acknowledges them there. "Accepted" and "read" each mean a
# synced commit at both ends. Machines differ and are noisy: compare ratios, and only within one run.
set -eu
cd "$(dirname "$0")/../.."
build=${1:-build} n=${2:-100000}
for program in "$build/bin/estafette" "$build/tests/bench/e2e" "$build/tests/bench/limits"; do
	[ -x "$program" ] || { echo "bench: $program is missing (run make all benches)" >&2; exit 1; }
done
data=$(mktemp -d "${BENCH_DATA:-/var/tmp}/estafette-bench.XXXXXX")
net=$data/net
finish() {
	trap - EXIT
	[ ! -d "$net" ] || "$build/bin/estafette" network down "$net" >/dev/null || true
	rm -rf "$data"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
value() { awk -v key="$2" '$1 == key { print $2 }' "$1"; }
socket() { sed -n 's/^ *socket *= *"\(.*\)";.*/\1/p' "$net/$1/node.conf"; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.3f", (b > 0 ? a / b : 0) }'; }
base=0

# run NAME MESSAGES [OPTION...]: one producer and one consumer; results in $data/NAME.pub and .sub.
run() {
	local name=$1 count=$2 consumer
	shift 2
	"$build/tests/bench/e2e" sub -s "$(socket cic-luik)" -q dispatch -n "$count" -b "$base" -w 2048 -t 240 -i 30 >"$data/$name.sub" &
	consumer=$!
	sleep 0.3
	"$build/tests/bench/e2e" pub -s "$(socket cic-namen)" -q cic-luik/dispatch -n "$count" -b "$base" -t 200 "$@" >"$data/$name.pub"
	wait "$consumer"
	base=$((base + count))
	[ "$(value "$data/$name.sub" received)" = "$count" ] || { echo "bench: $name: $(value "$data/$name.sub" received) of $count came" >&2; exit 1; }
}
throughput() {
	awk -v n="$(value "$data/$1.sub" received)" -v a="$(value "$data/$1.pub" start_ns)" -v b="$(value "$data/$1.sub" last_ns)" \
		'BEGIN { printf "%.0f", n / ((b - a) / 1e9) }'
}

"$build/tests/bench/limits" "$data" 2 >"$data/limits"
"$build/bin/estafette" network init "$net" --sites cic-luik,cic-namen >/dev/null
"$build/bin/estafette" network up "$net" >/dev/null
run warm 2000 -w 256
run full "$n" -w 256
run wide "$n" -w 4096
run slow 1000 -r 100
lmdb=$(value "$data/limits" lmdb_rate) curve=$(value "$data/limits" curve_rate)
full=$(throughput full) wide=$(throughput wide)
cpu=$(awk -v a="$(value "$data/full.pub" cpu_s)" -v b="$(value "$data/full.sub" cpu_s)" -v n="$n" 'BEGIN { printf "%.1f", (a + b) / n * 1e6 }')
cat <<TABLE
this machine: LMDB, 1 KiB records, 100 a commit           $lmdb /s
this machine: CURVE on loopback, 64 KiB frames            $curve /s
end to end, $n of 1 KiB, 256 in flight                $full /s    $(ratio "$full" "$lmdb") of LMDB, $(ratio "$full" $((curve * 64))) of CURVE
end to end, $n of 1 KiB, 4096 in flight               $wide /s    $(ratio "$wide" "$lmdb") of LMDB
accepted, 256 in flight: rate, p50, p99                   $(value "$data/full.pub" ack_rate) /s, $(value "$data/full.pub" ack_p50_us) us, $(value "$data/full.pub" ack_p99_us) us
at 100 a second: send to consumer, p50 and p99            $(value "$data/slow.sub" e2e_p50_us) us, $(value "$data/slow.sub" e2e_p99_us) us
at 100 a second: send to accepted, p50 and p99            $(value "$data/slow.pub" ack_p50_us) us, $(value "$data/slow.pub" ack_p99_us) us
client library, producer and consumer together            $cpu us CPU a message
TABLE
