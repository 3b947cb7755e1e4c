#!/usr/bin/env bash
# Checks that the layers keep to themselves: tests/layers.sh [BUILD]. Output is TAP.
#
# What a layer includes is read from its sources, what it calls and keeps from its built archive. The lists name what is
# allowed, so that a new call of the outside world has to be allowed here on purpose.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${1:-build}
tests=0 failed=0

# check NAME FINDINGS: passes when there are none.
check() {
	tests=$((tests + 1))
	if [ -z "$2" ]; then
		echo "ok $tests - $1"
	else
		failed=$((failed + 1))
		echo "not ok $tests - $1"
		head -n 20 <<<"$2" | sed 's/^/#   /'
	fi
}

# ---- includes ---------------------------------------------------------------------------------------------------

c_std='<(assert|ctype|endian|errno|inttypes|limits|math|stdalign|stdarg|stdbool|stddef|stdint|stdio|stdlib|string|strings|time)\.h>'

# includes FOLDER ALLOWED [FILES]: the #include lines of the folder's sources that the pattern does not allow.
includes() {
	find "$1" -name '*.[ch]' ${3:+-regex "$3"} -exec grep -HnE '^[[:space:]]*#[[:space:]]*include' {} + 2>/dev/null |
		grep -vE "include[[:space:]]+($2)"
}
# only HEADER PATTERN FILES: lines that include the header outside the files.
only() {
	grep -rnE --include='*.[ch]' "^[[:space:]]*#[[:space:]]*include[[:space:]]+[<\"]$1" proto storage node | grep -vE "^($2):"
}

check "proto includes only proto, the C library and its own libraries" \
	"$(includes proto "\"proto/|$c_std|<(sodium|zstd|zstd_errors|zdict|libconfig|arpa/inet)\.h>")"
check "storage includes only storage, proto, the C library, its trees and POSIX files" \
	"$(includes storage "\"(proto|storage)/|$c_std|<(lmdb|fcntl|unistd|dirent|sys/(stat|types|statvfs|file|uio|mman|resource))\.h>|<bsd/sys/tree\.h>")"
check "storage/store.h shows no LMDB type" "$(grep -nE 'MDB_|mdb_|lmdb' storage/store.h)"
check "node/core includes only node/core, storage/store.h, proto and the C library" \
	"$(includes node/core "\"(node/core|proto)/|\"storage/store\.h\"|$c_std")"
check "the daemon includes only the daemon, the core, storage and proto of ours" \
	"$(includes node/daemon '"(node/(daemon|core)|storage|proto)/|<')"
check "the client library includes only itself and proto of ours" "$(includes node/client '"(node/client|proto)/|<')"
check "the command includes only itself, the client library, the configuration, storage and proto of ours; the core where it asks about the past" \
	"$(includes node/cli '"(node/(cli|client)|storage|proto)/|"node/daemon/config\.h"|<|BELGIUM' | grep -vE '^node/cli/past\.c:.*"node/core/(apply|past)\.h"')"
check "sodium.h only in proto's crypt and minisign" "$(only 'sodium' 'proto/(crypt[a-z_0-9]*|minisign)\.c')"
check "zstd.h only in proto/pack.c" "$(only '(zstd|zdict)' 'proto/pack\.c')"
check "libconfig.h only where roster and configuration are parsed" \
	"$(only 'libconfig' '(proto/(roster_parse\.c|setting\.[ch])|node/daemon/config[a-z_]*\.[ch])')"
check "lmdb.h only in storage/lmdbkv.c" "$(only 'lmdb\.h' 'storage/lmdbkv\.c')"
check "zmq.h only in the daemon's transport, its parts and the ZAP handler" "$(only 'zmq' 'node/daemon/(transport|dialled|accepted|wire|poller|zap)\.[ch]')"

# ---- symbols ----------------------------------------------------------------------------------------------------

pure='mem(cpy|move|set|cmp|chr|rchr|mem)|str(len|nlen|cmp|ncmp|casecmp|ncasecmp|chr|rchr|chrnul|str|cspn|spn|pbrk|tol|toul|toll|toull|tod|cpy|ncpy|cat|dup|ndup|sep|tok_r|ftime|error_r|lcpy|lcat)'
pure+='|stpcpy|explicit_bzero|ffs(l|ll)?|malloc|calloc|realloc|aligned_alloc|reallocarray|free|abort|abs|labs|qsort(_r)?|bsearch|v?snprintf|v?asprintf|sscanf'
pure+='|__(isoc99_)?(sscanf|strtol|strtoul|strtoll|strtoull)|__errno_location|__ctype_(b|tolower|toupper)_loc|tolower|toupper|isdigit|isalnum|isxdigit|isspace|isprint'
pure+='|gmtime_r|timegm|localtime_r|sqrt|log|log2|pow|exp|floor|ceil|llround|__assert_fail|__stack_chk_fail|inet_pton|_GLOBAL_OFFSET_TABLE_|__x86\.[a-z_.0-9]*|__[a-z]+_chk'
files='open|openat|close|read|pread|write|pwrite|lseek|fsync|fdatasync|ftruncate|fallocate|posix_fallocate|posix_fadvise|f?stat|fstatat|lstat|statvfs|fstatvfs|mkdir|mkdirat|rename|renameat2?|unlink|unlinkat|rmdir'
files+='|flock|fcntl|access|opendir|fdopendir|readdir|closedir|dirfd|mmap|munmap|madvise|mkdtemp|sysconf|umask|strerror|getpid|getrlimit|dup'

# strangers ALLOWED LIB [LOWER...]: what LIB calls that neither it, nor a lower archive, nor the pattern provides.
strangers() {
	local allowed=$1 lib=$2
	comm -23 <(nm -u "$build/lib/$lib" | awk 'NF == 2 { print $2 }' | sort -u) \
		<(for l in "${@:2}"; do nm --defined-only "$build/lib/$l" | awk 'NF == 3 { print $3 }'; done | sort -u) |
		grep -vxE "$allowed"
}
# mutable LIB: objects in writable sections. Tables of pointers in .data.rel.ro are constant once loaded.
mutable() {
	objdump -t "$build/lib/$1" | awk '
		/file format/ { file = $1 }
		$0 ~ /[[:space:]](\.data|\.bss|\.tdata|\.tbss|\*COM\*)/ && $0 !~ /\.data\.rel\.ro/ && $(NF - 1) !~ /^0+$/ && $NF !~ /^\./ { print file " " $NF }'
}

for lib in proto storage core; do
	if ! [ -s "$build/lib/lib$lib.a" ]; then
		check "lib$lib.a is built" "$build/lib/lib$lib.a is missing: 'make check-layers' builds it"
		echo "1..$tests"
		exit 1
	fi
done
for lib in proto storage core; do
	# An empty archive would pass everything.
	check "lib$lib.a holds code" "$(nm --defined-only "$build/lib/lib$lib.a" 2>/dev/null | grep -q ' T ' || echo "no function in it")"
	check "lib$lib.a keeps no mutable file-scope data" "$(mutable "lib$lib.a")"
done
sodium='sodium_(init|memcmp|memzero|pad|unpad|bin2hex|hex2bin|bin2base64|base642bin|base64_encoded_len|increment|is_zero)|crypto_[a-z0-9_]+|randombytes_buf'
config='config_(init|destroy|read_string|lookup[a-z_0-9]*|error_[a-z]+|set_options|set_include_func|set_hook|setting_[a-z_0-9]+|root_setting)'
check "proto calls no file, socket, clock or environment" "$(strangers "$pure|$sodium|$config|ZSTD_[A-Za-z0-9_]+|ZDICT_[A-Za-z0-9_]+" libproto.a)"
check "only crypt_system_seed asks the system for randomness, and no layer calls it" "$(
	grep -rnE --include='*.[ch]' 'randombytes|_keygen\(|crypto_(box|sign|kx)_keypair\(|crypto_box_seal\(|getrandom|urandom' proto storage node/core |
		grep -vE 'proto/crypt\.c:[0-9]+:[[:space:]]randombytes_buf\(seed, 32\);'
	grep -rnE --include='*.c' '\bcrypt_system_seed\(' proto storage node/core | grep -v 'proto/crypt\.c:[0-9]*:void crypt_system_seed')"
check "storage calls files and LMDB, but no socket, clock, environment or random source" \
	"$(strangers "$pure|$files|mdb_[a-z0-9_]+" libstorage.a libproto.a)"
check "core calls storage and proto, and nothing of the outside world" \
	"$(strangers "$pure" libcore.a libstorage.a libproto.a)"
check "core calls storage only by its interface" \
	"$(comm -12 <(nm -u "$build/lib/libcore.a" | awk 'NF == 2 { print $2 }' | sort -u) \
		<(nm --defined-only "$build/lib/libstorage.a" | awk 'NF == 3 && $2 == "T" { print $3 }' | sort -u) |
		while read -r s; do grep -qw "$s" storage/store.h || echo "$s is not in storage/store.h"; done)"

echo "1..$tests"
[ "$failed" = 0 ]
