#include "tests/lib/store_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/crypt.h"
#include "storage/memkv.h"
#include "storage/record.h"

const struct store_birth fixture_birth = {
	.site = 15, .site_id = "cic-luik", .network = {{1, 2, 3}}, .how = BIRTH_FRESH, .born = {1626300000000000}};

void fixture_home(char *out, size_t size)
{
	const char *tmp = getenv("TMPDIR");
	snprintf(out, size, "%s/estafette-store-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(out));
}

void fixture_remove(const char *home)
{
	char command[300];
	assert_true(strstr(home, "/estafette-store-") != NULL);
	snprintf(command, sizeof command, "rm -rf '%s'", home);
	assert_int_equal(system(command), 0);
}

static enum err fail_hook(void *arg, uint64_t n)
{
	struct fixture *f = arg;
	return f->fail_with && n == f->fail_at ? f->fail_with : ERR_OK;
}

static int start(void **state, bool memory)
{
	struct fixture *f = calloc(1, sizeof *f);
	struct errmsg m;
	assert_non_null(f);
	assert_int_equal(crypt_start(), ERR_OK);
	f->memory = memory;
	*state = f;
	if (memory) {
		assert_int_equal(store_open_memory(&fixture_birth, &f->options, fail_hook, f, &f->s), ERR_OK);
		return 0;
	}
	fixture_home(f->home, sizeof f->home);
	snprintf(f->dir, sizeof f->dir, "%s/journal", f->home);
	assert_int_equal(store_create(f->dir, &fixture_birth, &f->options, &m), ERR_OK);
	assert_int_equal(store_open(f->dir, &f->options, &f->s, &m), ERR_OK);
	return 0;
}

int fixture_memory(void **state)
{
	return start(state, true);
}

int fixture_folder(void **state)
{
	return start(state, false);
}

int fixture_end(void **state)
{
	struct fixture *f = *state;
	store_close(f->s);
	if (!f->memory)
		fixture_remove(f->home);
	free(f);
	return 0;
}

void fixture_reopen(struct fixture *f)
{
	struct errmsg m = {0};
	if (f->memory)
		return;
	store_close(f->s);
	f->s = NULL;
	if (store_open(f->dir, &f->options, &f->s, &m))
		fail_msg("%s", m.text);
}

struct txn *begin_write(struct fixture *f)
{
	struct txn *t = NULL;
	assert_int_equal(txn_begin(f->s, true, &t), ERR_OK);
	return t;
}

struct txn *begin_read(struct fixture *f)
{
	struct txn *t = NULL;
	assert_int_equal(txn_begin(f->s, false, &t), ERR_OK);
	return t;
}

void commit(struct txn *t)
{
	assert_int_equal(txn_error(t), ERR_OK);
	assert_int_equal(txn_commit(t), ERR_OK);
}

struct hash hash_of(uint64_t n)
{
	return crypt_hash(HASH_SHARE, view_of(&n, sizeof n));
}

struct msgid id_of(uint64_t n)
{
	struct msgid id = {{0}};
	struct hash h = hash_of(n);
	for (size_t i = 0; i < 8; i++)
		id.b[i] = (uint8_t)(n >> (56 - 8 * i));
	memcpy(id.b + 8, h.b, 8);
	return id;
}

struct stream_name name_of(uint16_t n)
{
	return (struct stream_name){.originator = (uint16_t)(n + 1),
	                            .incarnation = {1626300000000000 + n, {1, 2, 3, 4, 5, 6, 7, (uint8_t)n}},
	                            .addressee = (uint16_t)(n + 2),
	                            .precedence = n % PREC_COUNT,
	                            .exercise = n % 2};
}

struct view bytes_of(uint64_t seed, size_t n)
{
	static uint8_t bytes[300000];
	struct rng r;
	struct hash h = hash_of(seed);
	assert_true(n <= sizeof bytes);
	rng_seed(&r, h.b);
	rng_bytes(&r, bytes, n);
	return view_of(bytes, n);
}

struct entry_row entry_of(uint32_t stream, uint64_t number, size_t envelope_bytes, size_t body_bytes)
{
	static uint8_t header[HEADER_BYTES], envelope[LIMIT_ENVELOPE_BYTES + 1], body[300000];
	struct entry_row row = {.stream = stream, .number = number, .stored = {1000 + (int64_t)number}, .from = 7};
	memcpy(header, bytes_of(number * 3 + stream * 1000003ULL, sizeof header).ptr, sizeof header);
	memcpy(envelope, bytes_of(number * 3 + 1 + stream * 1000003ULL, envelope_bytes).ptr, envelope_bytes);
	memcpy(body, bytes_of(number * 3 + 2 + stream * 1000003ULL, body_bytes).ptr, body_bytes);
	row.chain = hash_of(number ^ 0x5555);
	row.e.header = view_of(header, sizeof header);
	row.e.envelope = view_of(envelope, envelope_bytes);
	row.e.body = view_of(body, body_bytes);
	row.e.body_len = body_bytes;
	entry_hash(&row.e);
	return row;
}

void assert_same_entry(const struct entry_row *a, const struct entry_row *b)
{
	assert_int_equal(a->arrival, b->arrival);
	assert_int_equal(a->stream, b->stream);
	assert_int_equal(a->number, b->number);
	assert_true(hash_equal(&a->chain, &b->chain));
	assert_int_equal(a->stored.us, b->stored.us);
	assert_int_equal(a->from, b->from);
	assert_int_equal(a->body_no, b->body_no);
	assert_int_equal(a->body_class, b->body_class);
	assert_true(view_equal(a->e.header, b->e.header));
	assert_true(view_equal(a->e.envelope, b->e.envelope));
	assert_true(hash_equal(&a->e.header_hash, &b->e.header_hash));
	assert_true(hash_equal(&a->e.envelope_hash, &b->e.envelope_hash));
	assert_true(hash_equal(&a->e.body_hash, &b->e.body_hash));
	assert_int_equal(a->e.body_len, b->e.body_len);
	assert_int_equal(a->e.flags, b->e.flags);
}

/* The file also holds older copies of a page; all of them get the flip. */
static size_t flip_in_file(const char *path, struct view needle, unsigned bit)
{
	struct stat st;
	size_t count = 0;
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	uint8_t *map = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(map != MAP_FAILED);
	for (uint8_t *at = map, *end = map + st.st_size;; at++, count++) {
		at = memmem(at, (size_t)(end - at), needle.ptr, needle.len);
		if (!at)
			break;
		*at ^= (uint8_t)(1u << bit);
	}
	munmap(map, (size_t)st.st_size);
	close(fd);
	return count;
}

size_t fixture_flip(struct fixture *f, struct view needle, unsigned bit)
{
	char path[300];
	struct errmsg m = {0};
	if (f->memory)
		return memkv_flip(f->s->kv, needle, bit);
	snprintf(path, sizeof path, "%s/data.mdb", f->dir);
	store_close(f->s);
	f->s = NULL;
	size_t n = flip_in_file(path, needle, bit);
	if (store_open(f->dir, &f->options, &f->s, &m))
		fail_msg("%s", m.text);
	return n;
}
