/* big_journal JOURNAL COUNT - makes a journal large: its newest message is put into its queue so many times more, each under an
 * id, an entry number and an arrival number of its own. The daemon must be down. For tests of how fast a node starts;
 * the chain of hashes does not hold for what is added. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/store.h"

#define A_COMMIT 20000

struct pattern {
	struct entry_row entry;
	struct msg_row msg;
	struct stream_row stream;
	struct queue_row queue;
	struct header header;
	uint8_t bytes[4096];   /* the views of the entry point here */
	uint8_t events[4096];
	size_t used;
};

static struct view keep(struct pattern *p, struct view v)
{
	struct view copy = view_of(p->bytes + p->used, v.len);

	if (p->used + v.len > sizeof p->bytes)
		return view_of(NULL, 0);
	memcpy(p->bytes + p->used, v.ptr, v.len);
	p->used += v.len;
	return copy;
}

static enum err find_stream(void *arg, const struct stream_row *row)
{
	struct pattern *p = arg;

	if (row->local == p->entry.stream)
		p->stream = *row;
	return ERR_OK;
}

static enum err find_queue(void *arg, const struct queue_row *row)
{
	struct pattern *p = arg;

	if (row->local == p->msg.place.queue)
		p->queue = *row;
	return ERR_OK;
}

/* What belongs to the entry beside it: its stream and, when it is a message that waits, its row and its queue. */
static enum err find_rest(struct txn *t, struct pattern *p)
{
	enum err e = header_decode(p->entry.e.header, &p->header);

	if (!e)
		e = store_stream_each(t, find_stream, p);
	if (!e)
		e = store_msg_get(t, &p->header.id, p->stream.name.addressee, &p->msg);
	if (!e && p->msg.place_arrival != p->entry.arrival)
		e = ERR_NOT_FOUND;
	if (!e && p->msg.events.len > sizeof p->events)
		e = ERR_TOO_LARGE;
	if (e)
		return e;
	memcpy(p->events, p->msg.events.ptr, p->msg.events.len);
	p->msg.events.ptr = p->events;
	return store_queue_each(t, find_queue, p);
}

/* The newest entry that has a place in a queue. */
static enum err find_pattern(struct txn *t, struct pattern *p)
{
	for (uint64_t arrival = store_last_arrival(t); arrival > 0; arrival--) {
		if (store_entry_get(t, arrival, &p->entry) || find_rest(t, p))
			continue;
		enum err e = store_entry_get(t, arrival, &p->entry);
		p->entry.e.envelope = keep(p, p->entry.e.envelope);
		return e;
	}
	return ERR_NOT_FOUND;
}

/* n is added to the random half of the id. */
static void number_id(struct msgid *id, uint64_t n)
{
	for (int i = MSGID_BYTES - 1; n > 0 && i >= 8; i--, n >>= 8) {
		n += id->b[i];
		id->b[i] = (uint8_t)n;
	}
}

static void add_one(struct txn *t, struct pattern *p, uint64_t n)
{
	struct entry_row row = p->entry;
	struct msg_row msg = p->msg;
	struct header h = p->header;
	uint8_t header[HEADER_BYTES];

	number_id(&h.id, n);
	header_encode(&h, header);
	row.e.header = view_of(header, sizeof header);
	row.e.body = view_of(NULL, 0);
	row.body_no = 0;
	row.number = ++p->stream.held;
	store_entry_append(t, &row);
	msg.id = h.id;
	msg.arrival = msg.place_arrival = msg.place.arrival = row.arrival;
	store_msg_put(t, &msg);
	store_place_put(t, &msg.place, &msg.id);
	p->queue.waiting[msg.place.exercise][msg.place.precedence]++;
}

static enum err grow(struct store *s, struct pattern *p, uint64_t count)
{
	for (uint64_t n = 1; n <= count;) {
		struct txn *t;
		enum err e = txn_begin(s, true, &t);
		if (e)
			return e;
		for (unsigned i = 0; i < A_COMMIT && n <= count; i++)
			add_one(t, p, n++);
		store_stream_put(t, &p->stream);
		store_queue_put(t, &p->queue);
		e = txn_commit(t);
		if (e)
			return e;
	}
	return ERR_OK;
}

int main(int argc, char **argv)
{
	struct store *s = NULL;
	struct txn *t = NULL;
	struct errmsg m = {0};
	static struct pattern p;
	enum err e = argc == 3 ? store_open(argv[1], NULL, &s, &m) : ERR_USAGE;

	if (!e)
		e = txn_begin(s, false, &t);
	if (!e) {
		e = find_pattern(t, &p);
		txn_abort(t);
	}
	if (!e)
		e = grow(s, &p, strtoull(argv[2], NULL, 10));
	if (e)
		fprintf(stderr, "big_journal: %s %s\n", err_text(e), m.text);
	store_close(s);
	return e ? 1 : 0;
}
