/* What fills a journal: the sums are those of the file and of its records, by whichever way it is cut. */
#include "tests/lib/store_fixture.h"

#include <string.h>

#include "storage/usage.h"

#define ENTRIES 300

static void put_entry(struct txn *t, const struct stream_row *s, uint64_t n, const struct body_row *apart)
{
	static uint8_t header[HEADER_BYTES];
	struct entry_row row = entry_of(s->local, n, 100, apart ? 0 : n % 4 ? 300 : 9000);
	struct header h = {.kind = KIND_MESSAGE, .precedence = PREC_PRIORITY, .id = id_of(s->local * 1000 + n), .originator = s->name.originator};
	header_encode(&h, header);
	row.e.header = view_of(header, sizeof header);
	row.body_class = s->name.exercise ? BODY_EXERCISE : BODY_OPERATIONAL;
	if (apart) {
		row.body_no = apart->body_no;
		row.e.body_len = apart->sealed_len;
	}
	store_entry_append(t, &row);
	if (n % 3)
		return;
	struct place p = {.queue = 1, .exercise = s->name.exercise, .precedence = PREC_PRIORITY, .fresh = 1, .handle_by_us = (int64_t)n, .arrival = row.arrival};
	struct msg_row m = {.id = h.id, .addressee = s->name.addressee, .arrival = row.arrival, .flags = s->name.exercise ? HEADER_EXERCISE : 0, .place_arrival = row.arrival, .place = p, .state = 1};
	store_place_put(t, &p, &h.id);
	store_msg_put(t, &m);
}

static void fill(struct fixture *f)
{
	struct txn *t = begin_write(f);
	struct queue_row q = {.site = 3, .name = "dispatch"};
	struct body_row shared = {.class = BODY_OPERATIONAL, .whole = true, .hash = hash_of(77), .sealed_len = 50000, .refs = 2};
	store_queue_add(t, &q);
	store_body_add(t, &shared);
	store_body_put_part(t, BODY_OPERATIONAL, shared.body_no, 0, 0, bytes_of(5, 50000));
	for (int x = 0; x < 2; x++) {
		struct stream_row s = {.name = name_of((uint16_t)(4 + x))};
		s.name.exercise = x == 1;
		store_stream_add(t, &s);
		for (uint64_t n = 1; n <= ENTRIES; n++)
			put_entry(t, &s, n, x == 0 && (n == 7 || n == 8) ? &shared : NULL);
	}
	commit(t);
}

struct seen { uint64_t entries, bytes, bodies, exercise, waiting, shared; };

static enum err see(void *arg, const struct usage_entry *e)
{
	struct seen *s = arg;
	s->entries++;
	s->bytes += e->bytes;
	s->bodies += e->body_bytes;
	s->exercise += e->exercise;
	s->waiting += e->queue == 1;
	s->shared += e->body_bytes > 50000;
	return ERR_OK;
}

static void test_sums(void **state)
{
	struct fixture *f = *state;
	struct seen s = {0};
	struct usage u;
	uint64_t pages = 0, tables = 0, classes = 0;

	fill(f);
	/* Some are taken away again, so that pages become free. */
	struct txn *t = begin_write(f);
	while (!store_body_del(t, BODY_EXERCISE, ENTRIES + 4, 64))
		;
	commit(t);
	assert_int_equal(store_usage(f->s, see, &s, &u), ERR_OK);
	for (int db = 0; db < USAGE_DATABASES; db++)
		pages += u.pages[db];
	for (int x = 0; x < USAGE_TABLES; x++)
		tables += u.table[x].bytes;
	for (int c = 0; c < USAGE_CLASSES; c++)
		for (int k = 0; k < USAGE_KINDS; k++)
			classes += u.of[c][k].bytes;
	assert_int_equal((pages + u.own_pages + u.free_pages) * u.page_bytes + u.tail_bytes, u.file_bytes);
	assert_int_equal(f->memory, u.page_bytes == 0);
	assert_int_equal(tables, classes);
	assert_int_equal(s.entries, 2 * ENTRIES);
	assert_int_equal(s.exercise, ENTRIES);
	assert_int_equal(s.waiting, 2 * ENTRIES / 3);
	assert_int_equal(s.shared, 1); /* two have it, and it fills the file once */
	assert_int_equal(u.damaged, 0);
	/* Every body here is an entry's. */
	assert_int_equal(s.bytes, u.of[USAGE_OPERATIONAL][USAGE_HEADERS].bytes + u.of[USAGE_EXERCISE][USAGE_HEADERS].bytes);
	assert_int_equal(s.bodies, u.of[USAGE_OPERATIONAL][USAGE_BODIES].bytes + u.of[USAGE_EXERCISE][USAGE_BODIES].bytes);
	assert_true(u.of[USAGE_EXERCISE][USAGE_BODIES].bytes < u.of[USAGE_OPERATIONAL][USAGE_BODIES].bytes);
	assert_string_equal(usage_table_name(16), "entry");
	assert_string_equal(usage_database_of(49), "bodies");
	assert_null(usage_table_name(127));
}

static enum err stop(void *arg, const struct usage_entry *e)
{
	(void)arg, (void)e;
	return ERR_REFUSED;
}

static void test_stops(void **state)
{
	struct fixture *f = *state;
	struct usage u;

	assert_int_equal(store_usage(f->s, see, &(struct seen){0}, &u), ERR_OK);
	assert_int_equal(u.table[16].records, 0);
	fill(f);
	assert_int_equal(store_usage(f->s, stop, NULL, &u), ERR_REFUSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {ON_BOTH(test_sums), ON_BOTH(test_stops)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
