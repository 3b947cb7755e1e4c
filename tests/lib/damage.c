/* damage.c - see damage.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "storage/memkv.h"
#include "storage/record.h"
#include "tests/lib/damage.h"

void damage_record(struct world *w, size_t i, struct key k)
{
	uint8_t bytes[8192];
	struct view value;
	struct txn *t;

	assert_int_equal(txn_begin(w->node[i].store, false, &t), ERR_OK);
	assert_int_equal(kv_get(t->k, k.db, key_view(&k), &value), ERR_OK);
	size_t len = value.len;

	assert_true(len <= sizeof bytes);
	memcpy(bytes, value.ptr, len);
	txn_abort(t);
	assert_int_equal(memkv_flip(w->node[i].store->kv, view_of(bytes, len), 3), 1);
}
