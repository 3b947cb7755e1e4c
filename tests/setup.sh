#!/usr/bin/env bash
# Installs the Debian packages that are missing, and only those. Silent when nothing is.
set -u

# package, and what it is for
needed() {
	cat <<'EOF'
gcc the C compiler
make the build
libc6-dev headers of the C library
pkg-config finds the libraries
liblmdb-dev the journal: LMDB
libzmq3-dev links between nodes: ZeroMQ with CURVE
libsodium-dev signatures, seals, hashes
libzstd-dev compression before sealing
libconfig-dev text of roster and configuration
libjansson-dev --json output
libsystemd-dev readiness and watchdog of the daemon
libcmocka-dev unit tests
libnl-route-3-dev rates of lines in live drills: the kernel's shapers
libbsd-dev ordered trees of the store in memory
minisign tests: the tool that must accept a signed roster
age tests: the tool that must open what an export seals for a person
patch tests: planted bugs must still fit the code
mandoc tests: the manual pages must be correct
python3 demo and integration tests
EOF
}

missing() {
	while read -r name why; do
		dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed || printf '%s %s\n' "$name" "$why"
	done < <(needed)
}

if ! command -v dpkg-query >/dev/null; then
	echo "setup: this is not a Debian system; needed are: $(needed | cut -d' ' -f1 | paste -sd' ')" >&2
	exit 1
fi
list=$(missing)
[ -n "$list" ] || exit 0
names=$(cut -d' ' -f1 <<<"$list")

if [ "$(id -u)" = 0 ]; then
	as_root=(env DEBIAN_FRONTEND=noninteractive)
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
	as_root=(sudo -n env DEBIAN_FRONTEND=noninteractive)
else
	as_root=()
fi

cannot() {
	{
		echo "setup: $1; these Debian packages are missing:"
		while read -r name why; do printf '  %-16s %s\n' "$name" "$why"; done <<<"$list"
		echo "setup: as root, run: apt-get install $(paste -sd' ' <<<"$names")"
	} >&2
	exit 1
}

[ ${#as_root[@]} -gt 0 ] || cannot "not root, and sudo needs a password"
echo "setup: installing $(paste -sd' ' <<<"$names")"
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
"${as_root[@]}" apt-get update </dev/null >"$log" 2>&1 || { tail -n 5 "$log" >&2; echo "setup: the package lists could not be renewed; trying with the old ones" >&2; }
# shellcheck disable=SC2086 # one word a package
"${as_root[@]}" apt-get install -y --no-install-recommends $names </dev/null >"$log" 2>&1 || { tail -n 5 "$log" >&2; cannot "apt-get failed"; }
list=$(missing)
[ -z "$list" ] || { names=$(cut -d' ' -f1 <<<"$list"); cannot "apt-get left some out"; }
