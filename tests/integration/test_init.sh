#!/bin/bash
# The commands that need no daemon: network init, keygen, roster. Usage: tests/integration/test_init.sh [--bin] BIN_DIR; prints TAP.
set -u
[ "${1:-}" = --bin ] && shift
bin=$(cd "${1:?usage: test_init.sh BIN_DIR}" && pwd) || exit 2
estafette=$bin/estafette
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 2
mkdir -m 700 run
export XDG_RUNTIME_DIR=$work/run
n=0 failed=0

# ok NAME COMMAND...: one test, passed when the command succeeds; what it printed is shown when not.
ok() {
	local name=$1
	shift
	n=$((n + 1))
	if "$@" >"$work/.out" 2>&1; then
		echo "ok $n - $name"
	else
		failed=$((failed + 1))
		echo "not ok $n - $name"
		sed 's/^/# /' "$work/.out"
	fi
}

# fails STATUS TEXT COMMAND...: it ends with that status and says the text on standard error.
fails() {
	local want=$1 text=$2 status
	shift 2
	"$@" 2>"$work/.err"
	status=$?
	cat "$work/.err"
	[ "$status" = "$want" ] && grep -qF -- "$text" "$work/.err" && [ "$(wc -l <"$work/.err")" = 1 ]
}

mode() { [ "$(stat -c %a "$2")" = "$1" ]; }
has() { grep -qF -- "$1" "$2"; }
no_leftovers() { [ -z "$(find "$1" -name '*.tmp-*' -print -quit)" ]; }
setting() { sed -n "s/^$1 = \"\\(.*\\)\";.*/\\1/p" "$2"; }

# ---- the whole Belgian network
ok 'init makes the Belgian network' "$estafette" network init net
cp .out init.out
ok 'it names the next command' has 'next: estafette network up net' init.out
ok 'fifteen sites have a folder' test "$(ls -d net/*/ | wc -l)" = 15
ok 'the roster names fifteen' test "$(grep -c '^		id = ' <(sed '/^areas/,$d' net/roster.conf))" = 15
ok 'authority.key is for its owner only' mode 600 net/authority.key
ok 'the keys of a site are for their owner only' mode 600 net/cic-luik/keys
ok 'the folder of a site is for its owner only' mode 700 net/cic-luik
ok 'every site has keys of its own' test "$(cat net/*/keys | grep '^identity' | sort -u | wc -l)" = 15
ok 'the roster verifies' "$estafette" roster verify net/roster.conf --pub net/authority.pub
if command -v minisign >/dev/null; then
	ok 'minisign itself verifies it' minisign -V -p net/authority.pub -m net/roster.conf
else
	n=$((n + 1))
	echo "ok $n - minisign itself verifies it # SKIP minisign is not installed"
fi
ports() { sed -n 's/.*tcp:\/\/127.0.0.1:\([0-9]*\)".*/\1/p' "$1/roster.conf"; }
ok 'one port a site' test "$(ports net | sort -u | wc -l)" = 15
ok 'below 32768' test "$(ports net | sort -n | tail -1)" -lt 32768
ok 'nothing is left beside it' no_leftovers .

# ---- node.conf
conf=net/cic-luik/node.conf
ok 'node.conf names its site' test "$(setting site $conf)" = cic-luik
for name in roster authority keys journal; do
	ok "node.conf: $name is absolute and there" test -e "$(setting $name $conf | grep '^/')"
done
ok 'node.conf: the socket lies in the folder of the site' test "$(setting socket $conf)" = "$work/net/cic-luik/socket"
ok 'node.conf: this user may do everything' has "uid = \"$(id -u)\"" $conf

# ---- what is there is not touched
sum=$(find net -type f -exec sha256sum {} + | sort | sha256sum)
ok 'init refuses a folder with something in it' fails 1 'estafette: net: it is there already' "$estafette" network init net
ok 'and with --json says exists' fails 1 '"code":"exists"' "$estafette" network init net --json
ok 'and changes nothing' test "$sum" = "$(find net -type f -exec sha256sum {} + | sort | sha256sum)"
echo x >file
ok 'init refuses a file' fails 1 'it is there already' "$estafette" network init file
ok 'the file is as it was' test "$(cat file)" = x
mkdir empty
ok 'init takes an empty folder' "$estafette" network init empty --sites cic-luik
ok 'init needs the folder that DIR lies in' fails 1 'missing/net' "$estafette" network init missing/net
ok 'nothing is left beside them' no_leftovers .

# ---- --sites, --base-port
ok 'init of three sites' "$estafette" network init three --sites cic-luik,cic-namen,cic-vlaams-brabant --base-port 23100
ok 'three folders' test "$(ls -d three/*/ | wc -l)" = 3
ok 'ports from the base on' test "$(ports three | tr '\n' ' ')" = '23100 23101 23102 '
ok 'the quorum stays within them' has 'quorum = 3;' three/roster.conf
ok 'standbys are cut to them' has 'standbys = ( "cic-vlaams-brabant", "cic-namen" )' three/roster.conf
ok 'a relocator that is not there is cut' has 'relocators = ();' three/roster.conf
ok 'a group that is empty is cut' bash -c '! grep -q all-ccpd three/roster.conf'
ok 'it verifies' "$estafette" roster verify three/roster.conf --pub three/authority.pub
ok 'a site that is not in the roster is refused' fails 1 'cic-parijs: no such site' "$estafette" network init x --sites cic-luik,cic-parijs
ok 'with its code' fails 1 '"code":"unknown_site"' "$estafette" --json network init x --sites cic-parijs
ok 'a site named twice is wrong usage' fails 2 'named twice' "$estafette" network init x --sites cic-luik,cic-luik
ok 'an empty site is refused' fails 1 'no such site' "$estafette" network init x --sites cic-luik,
ok 'init with two bearers' "$estafette" network init two --sites cic-luik,cic-namen --base-port 23200 --bearers 2
ok 'the second is dearer, on another port' has '{ name = "loopback-2"; endpoint = "tcp://127.0.0.1:23202"; cost = 20; }' two/roster.conf
ok 'nine bearers are too many' fails 2 '--bearers 9: 1 to 8' "$estafette" network init x --bearers 9
ok 'a base port that is none is wrong usage' fails 2 '--base-port 0' "$estafette" network init x --base-port 0
ok 'a base port too high is refused' fails 1 'over 65535' "$estafette" network init x --base-port 65530
ok 'no folder is wrong usage' fails 2 'it takes one folder' "$estafette" network init
ok 'an unknown option is wrong usage' fails 2 'unknown option --port' "$estafette" network init x --port 1
ok 'an option without its value is wrong usage' fails 2 '--sites lacks its value' "$estafette" network init x --sites
ok 'a refused init makes nothing' test ! -e x
ok '--json prints an object a site' bash -c "'$estafette' network init j --sites cic-luik,cic-namen --json | grep -c '^{.*\"conf\":\"$work/j/cic-.*/node.conf\".*}$' | grep -qx 2"

# ---- --roster: a full one and a wrong one
ok 'init from a full roster' "$estafette" network init again --roster three/roster.conf
ok 'its keys are new' bash -c '! cmp -s three/cic-luik/keys again/cic-luik/keys'
ok 'it verifies with its own authority' "$estafette" roster verify again/roster.conf --pub again/authority.pub
ok 'not with the other' fails 1 'signed by another key' "$estafette" roster verify again/roster.conf --pub three/authority.pub
sed 's/quorum/qorum/' net/roster.conf >wrong.conf
ok 'a mistake in a roster is named with its line' fails 1 'wrong.conf:5: qorum: unknown setting' "$estafette" network init x --roster wrong.conf
ok 'a roster that is not there is refused' fails 1 'nowhere.conf' "$estafette" network init x --roster nowhere.conf

# ---- any place
deep=$work/$(printf 'a%.0s' $(seq 60))/$(printf 'b%.0s' $(seq 60))
mkdir -p "$deep"
ok 'a long path' "$estafette" network init "$deep/net" --sites cic-luik,cic-namen
socket=$(setting socket "$deep/net/cic-luik/node.conf")
ok 'gets a short socket' test "${#socket}" -le 107 -a "${socket#"$XDG_RUNTIME_DIR"/}" != "$socket"
ok 'in a folder of this user only' mode 700 "$(dirname "$socket")"
ok 'another for each site' test "$socket" != "$(setting socket "$deep/net/cic-namen/node.conf")"
longest=$(printf 'n%.0s' $(seq 255))
ok 'the longest name' "$estafette" network init "$longest" --sites cic-luik
odd='a "quoted" \back é name'
ok 'a name with quotes and blanks' "$estafette" network init "$odd/" --sites cic-luik
ok 'is quoted in node.conf' has 'a \"quoted\" \\back é name/roster.conf"' "$odd/cic-luik/node.conf"
mkdir -m 755 loose
ok 'a runtime folder that others can enter is not used' bash -c "XDG_RUNTIME_DIR='$work/loose' '$estafette' network init '$deep/loose' --sites cic-luik && ! grep -q '$work/loose/' '$deep/loose/cic-luik/node.conf'"
rmdir "/tmp/estafette-$(id -u)" 2>/dev/null

# ---- keygen
ok 'keygen for a site' "$estafette" keygen --site cic-luik --out luik.keys
cp .out luik.lines
ok 'its file is for its owner only' mode 600 luik.keys
ok 'it begins as documented' test "$(head -2 luik.keys | tr '\n' ' ')" = 'estafette-keys 1 site cic-luik '
secret=$(sed -n 's/^identity //p' luik.keys)
ok 'it prints the public lines' test "$(grep -cE '^(identity|sealing|sealing-signature|link) = ".*";$' luik.lines)" = 4
ok 'and no secret' bash -c "! grep -qF '$secret' luik.lines"
ok 'it does not overwrite' fails 1 'luik.keys: it is there already' "$estafette" keygen --site cic-luik --out luik.keys
ok 'the file is as it was' has "$secret" luik.keys
ok 'a site outside the roster needs its number' fails 1 'give --number N' "$estafette" keygen --site pz-gent --out gent.keys
ok 'and is made with it' "$estafette" keygen --site pz-gent --number 77 --network be-zones --out gent.keys
ok 'the network is in the file' has 'network be-zones' gent.keys
ok 'keygen without --out is wrong usage' fails 2 '--out is missing' "$estafette" keygen --site cic-luik
ok 'keygen of a bad name is wrong usage' fails 2 'a name is' "$estafette" keygen --site CIC --out x
ok 'keygen for an authority' "$estafette" keygen --authority --out auth
ok 'its secret is for its owner only' mode 600 auth.key
ok 'it does not overwrite either half' fails 1 'auth.pub: it is there already' "$estafette" keygen --authority --out auth

# ---- roster: enrol a site anew, sign, verify, compare
replace_keys() {
	python3 - "$1" "$2" <<'PY'
import re, sys
roster, lines = open(sys.argv[1]).read(), open(sys.argv[2]).read()
head, rest = roster.split('id = "cic-luik"', 1)
for name, value in re.findall(r'^([a-z-]+) = (".*");$', lines, re.M):
    rest = re.sub(r'(\t%s = )".*?";' % name, lambda m: m.group(1) + value + ';', rest, count=1)
sys.stdout.write((head + 'id = "cic-luik"' + rest).replace('serial = 1;', 'serial = 2;'))
PY
}
replace_keys three/roster.conf luik.lines >new.conf
ok 'sign' "$estafette" roster sign new.conf --key auth.key
ok 'verify' "$estafette" roster verify new.conf --pub auth.pub
ok 'sign again replaces the signature' "$estafette" roster sign new.conf --key auth.key
ok 'diff shows what changed' bash -c "'$estafette' roster diff three/roster.conf new.conf | tr '\n' ';' | grep -qxF '~ serial: 1 -> 2;~ cic-luik: identity key changed;~ cic-luik: sealing key changed;~ cic-luik: link key changed;'"
ok 'diff of one with itself is empty' bash -c "[ -z \"\$('$estafette' roster diff new.conf new.conf)\" ]"
ok 'diff --json prints objects' bash -c "'$estafette' roster diff three/roster.conf new.conf --json | head -1 | grep -qxF '{\"change\":\"~ serial: 1 -> 2\"}'"
ok 'show' "$estafette" roster show new.conf
cp .out show.out
ok 'show names the sites' has 'cic-vlaams-brabant' show.out
ok 'show --json' bash -c "'$estafette' roster show new.conf --json | head -1 | grep -q '\"serial\":2,\"sites\":3'"
sed 's/quorum = 3/quorum = 1/' new.conf >altered.conf
cp new.conf.minisig altered.conf.minisig
ok 'an altered roster does not verify' fails 1 'does not fit the text' "$estafette" roster verify altered.conf --pub auth.pub
ok 'one without a signature does not either' fails 1 'wrong.conf.minisig' "$estafette" roster verify wrong.conf --pub auth.pub
ok 'a wrong roster is not signed' fails 1 'wrong.conf:5: qorum' "$estafette" roster sign wrong.conf --key auth.key
ok 'and gets no signature' test ! -e wrong.conf.minisig
replace_keys three/roster.conf <(sed 's/^sealing-signature/ignored/' luik.lines) >halfway.conf
ok 'keys without their signature are not signed' fails 1 "not site cic-luik's" "$estafette" roster sign halfway.conf --key auth.key
ok 'a public key cannot sign' fails 1 "not an authority's secret key" "$estafette" roster sign new.conf --key auth.pub
ok 'a missing key is wrong usage' fails 2 'roster sign FILE --key KEY' "$estafette" roster sign new.conf
ok 'an unknown verb is wrong usage' fails 2 'what to do is missing or unknown' "$estafette" roster frobnicate new.conf

echo "1..$n"
[ "$failed" = 0 ]
