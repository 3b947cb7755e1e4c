#!/usr/bin/env bash
# The manual pages are correct mdoc. Output is TAP.
set -u
cd "$(dirname "$0")/.." || exit 1
n=0 bad=0
check() {
	n=$((n + 1))
	if [ -z "$2" ]; then echo "ok $n - $1"; else bad=$((bad + 1)); echo "not ok $n - $1"; sed 's/^/#   /' <<<"$2"; fi
}
for page in node/man/*.[1-8]; do
	[ -f "$page" ] || continue
	# Unknown cross references are the other pages, which are not installed here.
	check "$page is correct" "$(mandoc -T lint -W warning "$page" 2>&1 | grep -v 'referenced manual not found')"
done
for page in estafette.1 estafetted.8; do
	check "there is $page" "$([ -s "node/man/$page" ] || echo 'it is missing')"
done
echo "1..$n"
[ "$bad" = 0 ]
