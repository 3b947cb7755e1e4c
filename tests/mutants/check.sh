#!/usr/bin/env bash
# Every planted bug still fits the tree, exactly, and says what it is. Output is TAP. It builds nothing; run.sh does.
set -u
cd "$(dirname "$0")/../.." || exit 1
n=0 bad=0
check() {
	n=$((n + 1))
	if [ -z "$2" ]; then echo "ok $n - $1"; else bad=$((bad + 1)); echo "not ok $n - $1"; sed 's/^/#   /' <<<"$2"; fi
}

# stale PATCH: why it does not fit, and what to do. Nothing is written.
stale() {
	local said
	said=$(patch -p1 -s -F0 --dry-run --force <"$1" 2>&1) && return
	echo "$said"
	echo "the code around it has changed: plant the bug that its first line names by hand, and put the output of"
	echo "'git diff -U1' below that line (tests/README.md, Planted bugs)"
}

for patch in tests/mutants/*.patch; do
	check "$patch fits the tree" "$(stale "$patch")"
done
check "the first line of each says what the bug is" \
	"$(for patch in tests/mutants/*.patch; do head -n 1 "$patch" | grep -qE '^["A-Z].*\.$' || echo "$patch"; done)"
echo "1..$n"
[ "$bad" = 0 ]
