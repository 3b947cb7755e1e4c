/* Journals copied and put back, and second copies of a site that run beside the first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "storage/record.h"
#include "storage/verify.h"
#include "tests/lib/world.h"

struct row { enum kv_db db; size_t at, key_len, value_len; };
struct world_image {
	struct row *rows;
	size_t n, cap;
	struct buf bytes;
};

static void row_add(struct world_image *im, enum kv_db db, struct view key, struct view value)
{
	if (im->n == im->cap) {
		im->cap = im->cap ? 2 * im->cap : 1024;
		im->rows = realloc(im->rows, im->cap * sizeof *im->rows);
		assert_non_null(im->rows);
	}
	im->rows[im->n++] = (struct row){db, im->bytes.len, key.len, value.len};
	buf_add(&im->bytes, key);
	buf_add(&im->bytes, value);
}

static struct world_image *copy_of(struct store *s)
{
	struct world_image *im = calloc(1, sizeof *im);
	struct kv_txn *t;

	assert_non_null(im);
	assert_int_equal(kv_begin(s->kv, false, &t), ERR_OK);
	for (enum kv_db db = 0; db < DB_COUNT; db++) {
		uint8_t from[KEY_BYTES_MAX + 1] = {0};
		size_t len = 1;
		struct view key, value;

		while (kv_seek(t, db, view_of(from, len), &key, &value) == ERR_OK) {
			row_add(im, db, key, value);
			memcpy(from, key.ptr, key.len);
			from[key.len] = 0; /* the next key that there can be */
			len = key.len + 1;
		}
	}
	kv_abort(t);
	assert_true(buf_ok(&im->bytes));
	return im;
}

struct world_image *world_copy(struct world *w, size_t i)
{
	return copy_of(w->node[i].store);
}

void world_image_free(struct world_image *im)
{
	free(im->rows);
	buf_release(&im->bytes);
	free(im);
}

void world_put_back(struct world *w, size_t i, const struct world_image *im)
{
	struct world_image *old = copy_of(w->node[i].store);
	struct kv_txn *t;

	assert_false(w->node[i].up);
	assert_int_equal(kv_begin(w->node[i].store->kv, true, &t), ERR_OK);
	for (size_t k = 0; k < old->n; k++)
		kv_del(t, old->rows[k].db, view_of(old->bytes.ptr + old->rows[k].at, old->rows[k].key_len));
	for (size_t k = 0; k < im->n; k++) {
		const struct row *r = &im->rows[k];
		uint8_t *to = kv_reserve(t, r->db, view_of(im->bytes.ptr + r->at, r->key_len), r->value_len, KV_PUT);

		assert_non_null(to);
		memcpy(to, im->bytes.ptr + r->at + r->key_len, r->value_len);
	}
	w->node[i].fail_at = 0;
	assert_int_equal(kv_commit(t), ERR_OK);
	world_image_free(old);
}

size_t world_twin(struct world *w, size_t i, const struct world_image *im)
{
	size_t twin = w->n++;

	assert_true(w->n <= WORLD_NODES);
	w->node[twin] = (struct world_node){.up = false};
	w->keys[twin] = w->keys[i];
	w->number[twin] = w->number[i];
	for (size_t k = 0; k < twin; k++)
		w->node[twin].cut[k] = w->node[k].cut[twin] = k != i && w->node[i].cut[k];
	w->node[i].cut[twin] = w->node[twin].cut[i] = true;
	world_open_store(w, twin, im ? BIRTH_FRESH : BIRTH_LOST);
	if (im)
		world_put_back(w, twin, im);
	return twin;
}

void world_verify(struct world *w, size_t i)
{
	struct verify_result r;

	assert_int_equal(verify_run(w->node[i].store, NULL, &r), ERR_OK);
	for (size_t k = 0; k < r.n_findings; k++)
		print_error("%s: %s\n", w->keys[i].site, r.finding[k]);
	assert_int_equal(r.wrong, 0);
}
