/* Backups: whatever bytes stand under hashes that fit are taken whole or refused with a sentence, and never break the reader. The input
 * is a file without its end, behind it u32 where the index begins; the end with its hashes is made here, as an attacker could. */
#include "storage/backup.h"

#include "storage/backup_int.h"
#include "tests/lib/fuzz_driver.h"

static enum err to_buf(void *arg, struct view v)
{
	buf_add(arg, v);
	return ERR_OK;
}

static enum err from_buf(void *arg, uint64_t at, uint8_t *out, size_t n)
{
	const struct buf *b = arg;

	fuzz_assert(at + n <= b->len);
	memcpy(out, b->ptr + at, n);
	return ERR_OK;
}

bool fuzz_seed(unsigned n, struct buf *out)
{
	struct store_birth birth = {.site = 3, .site_id = "cic-luik", .how = BIRTH_FRESH, .born = {5}};
	struct backup_result r;
	struct backup_out to = {to_buf, out};
	struct errmsg m;
	struct store *s;
	struct txn *t;
	uint8_t value[40] = {(uint8_t)n};

	fuzz_assert(store_open_memory(&birth, NULL, NULL, NULL, &s) == ERR_OK && txn_begin(s, true, &t) == ERR_OK);
	for (uint8_t k = 0; k < 3 + n; k++)
		store_meta_put(t, META_OTHER + k, view_of(value, sizeof value));
	fuzz_assert(txn_commit(t) == ERR_OK && backup_write(s, (struct wall){9}, NULL, &to, NULL, &r, &m) == ERR_OK);
	store_close(s);
	struct rd rd = rd_init(view_of(out->ptr + out->len - BACKUP_END_BYTES, 8));
	uint64_t index = rd_u64(&rd);
	out->len -= BACKUP_END_BYTES;
	buf_add_u32(out, (uint32_t)index);
	return n < 2;
}

/* The end that fits. False: the place of the index is none. */
static bool finish(const uint8_t *data, size_t len, struct buf *file)
{
	struct rd rd = rd_init(view_of(data + len - 4, 4));
	uint32_t index = rd_u32(&rd), header;

	len -= 4;
	if (index > len || len < BACKUP_MAGIC_BYTES + 5)
		return false;
	rd = rd_init(view_of(data + BACKUP_MAGIC_BYTES + 1, 4));
	header = rd_u32(&rd);
	if (header > len - BACKUP_MAGIC_BYTES - 5)
		header = 0;
	struct hash h = crypt_hash2(HASH_BACKUP, view_of(data, BACKUP_MAGIC_BYTES + 5 + header), view_of(data + index, len - index));

	buf_add(file, view_of(data, len));
	buf_add_u64(file, index);
	buf_add_u64(file, len - index);
	buf_add(file, view_of(h.b, HASH_BYTES));
	h = crypt_hash(HASH_BACKUP, buf_view(file));
	buf_add(file, view_of(h.b, HASH_BYTES));
	return buf_ok(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct buf file = BUF_EMPTY;
	struct backup *b = NULL;
	struct backup_result r;
	struct errmsg m = {0};
	enum err e = ERR_FORMAT;

	if (len < 4 || !finish(data, len, &file))
		goto out;
	struct backup_in in = {from_buf, &file, file.len};

	e = backup_open(&in, "fuzz", &b, &m);
	if (!e)
		e = backup_check(&b, 1, NULL, &r, &m);
	fuzz_assert(!e || (m.code == e && m.text[0]));
	fuzz_assert(e || r.records == backup_about(b)->records);
out:
	backup_close(b);
	buf_release(&file);
	return e ? -1 : 0;
}
