#!/bin/bash
# `make install` as a packager uses it: a PREFIX that the build did not know, into a DESTDIR. Usage: test_install.sh [--bin] BIN_DIR
set -u
cd "$(dirname "$0")/../.." || exit 2
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
n=0 failed=0

# ok NAME COMMAND...: one test, passed when the command succeeds; what it printed is shown when not.
ok() {
	local name=$1
	shift
	n=$((n + 1))
	if "$@" >"$work/out" 2>&1; then
		echo "ok $n - $name"
	else
		failed=$((failed + 1))
		echo "not ok $n - $name"
		sed 's/^/# /' "$work/out"
	fi
}
install_to() { (umask 077 && env -u MAKEFLAGS -u MFLAGS make --no-print-directory install DESTDIR="$work/root" PREFIX=/opt/e); }
all_readable() { [ -z "$(find "$root" ! -type l ! -perm -444 -print | tee /dev/stderr)" ]; }

root=$work/root/opt/e
ok "make install" install_to
ok "everybody can read what it installs" all_readable
ok "estafette.pc has its prefix" grep -qx 'prefix=/opt/e' "$root/lib/pkgconfig/estafette.pc"
ok "so has the unit" grep -q '^ExecStart=/opt/e/bin/estafetted ' "$root/lib/systemd/system/estafetted@.service"
cat >"$work/a.c" <<'EOF'
#include <estafette.h>
int main(void)
{
	estafette *h = estafette_new();
	int st = estafette_connect(h, "/nonexistent/socket");
	estafette_free(h);
	return st == ESTAFETTE_OK;
}
EOF
export PKG_CONFIG_PATH=$root/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$work/root
# shellcheck disable=SC2046 # words
ok "a program compiles with what pkg-config says" gcc -std=c99 -Wall -Wextra -pedantic -Werror -o "$work/a" "$work/a.c" $(pkg-config --cflags --libs estafette)
ok "and runs" env LD_LIBRARY_PATH="$root/lib" "$work/a"
ok "the static library stands alone" gcc -o "$work/b" -I"$root/include" "$work/a.c" "$root/lib/libestafette.a"
echo "1..$n"
[ "$failed" = 0 ]
