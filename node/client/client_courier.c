/* client_courier.c - bundles: packed by the node and given to the caller piece by piece, and the other way round. */
#include "node/client/client.h"

/* Steps of a packing, and pieces of a bundle, that are asked for before the first of them is answered. */
#define AHEAD 8

struct bundle_job {
	int (*write)(void *arg, const void *bytes, size_t n);
	void *arg;
	bool last, failed; /* all is there; write said stop */
};

int pack_piece(struct estafette *h, struct call *c, struct view fields)
{
	struct bundle_job *j = h->job;
	struct request_item i;
	struct view piece = {NULL, 0};
	bool last = false;
	while (request_next(&fields, &i) == ERR_OK) {
		if (i.field == F_PIECE)
			piece = i.value;
		if (i.field == F_LAST)
			last = item_u8(&i) != 0;
	}
	if (j != NULL && !c->orphan && !j->failed && !j->last) {
		j->failed = j->write(j->arg, piece.ptr, piece.len) != 0;
		j->last = last;
	}
	call_done(h, c, ESTAFETTE_OK);
	return ESTAFETTE_OK;
}

static int begin_step(struct estafette *h, const struct estafette_pack *p, uint32_t index, show_row row, void *arg, struct call **out)
{
	struct request_writer w;
	struct call *c = call_new(h, REQ_PACK);
	if (c == NULL)
		return client_nomem(h);
	c->row = row;
	c->row_arg = arg;
	*out = c;
	request_begin(&w, &h->out, REQ_PACK, c->r.tag);
	if (index != 0) {
		request_u32(&w, F_INDEX, index);
		return call_begin(h, c, &w);
	}
	for (size_t i = 0; i < p->n_sites; i++)
		request_str(&w, F_TO, p->sites[i]);
	request_u8(&w, F_PRECEDENCE, (uint8_t)p->precedence);
	if (p->max_bytes)
		request_u64(&w, F_SIZE, p->max_bytes);
	return call_begin(h, c, &w);
}

/* Some steps are always under way; their answers come in order. */
static int pack_steps(struct estafette *h, struct bundle_job *j, show_row row, void *arg, int timeout_ms)
{
	struct call *out[AHEAD];
	uint32_t asked = 1, had = 1;
	int st = ESTAFETTE_OK;
	while (st == ESTAFETTE_OK && !j->last && !j->failed) {
		for (; st == ESTAFETTE_OK && asked - had < AHEAD; asked++)
			if ((st = begin_step(h, NULL, asked, row, arg, &out[asked % AHEAD])) != ESTAFETTE_OK)
				break;
		if (asked != had && st == ESTAFETTE_OK)
			st = call_finish(h, out[had++ % AHEAD], NULL, timeout_ms);
	}
	/* What was asked for too much is answered too. */
	for (; had != asked; had++) {
		out[had % AHEAD]->orphan = true;
		out[had % AHEAD]->row = NULL;
	}
	return st;
}

int estafette_pack(estafette *h, const struct estafette_pack *p, int (*write)(void *arg, const void *bytes, size_t n), show_row row, void *arg, int timeout_ms)
{
	struct bundle_job j = {.write = write, .arg = arg};
	struct call *first = NULL;
	if (h->fd < 0 || p->size < sizeof *p || write == NULL || p->n_sites == 0 || p->precedence < ESTAFETTE_FLASH || p->precedence > ESTAFETTE_ROUTINE)
		return client_fail(h, ESTAFETTE_USAGE, "usage", "packing needs a connection, a size, sites, a precedence, and where to write");
	h->job = &j;
	int st = begin_step(h, p, 0, row, arg, &first);
	if (st == ESTAFETTE_OK)
		st = call_finish(h, first, NULL, timeout_ms);
	if (st == ESTAFETTE_OK)
		st = pack_steps(h, &j, row, arg, timeout_ms);
	h->job = NULL;
	return st == ESTAFETTE_OK && j.failed ? client_fail(h, ESTAFETTE_STOPPED, "closed", "the bundle was not written any further") : st;
}

static int unpack_call(struct estafette *h, show_row row, void *arg, struct call **out)
{
	if (h->fd < 0)
		return client_fail(h, ESTAFETTE_USAGE, "usage", "the handle is not connected");
	*out = call_new(h, REQ_UNPACK);
	if (*out == NULL)
		return client_nomem(h);
	(*out)->row = row;
	(*out)->row_arg = arg;
	return ESTAFETTE_OK;
}

int estafette_unpack(estafette *h, const void *head, size_t head_bytes, const void *end, size_t end_bytes, show_row row, void *arg, int timeout_ms)
{
	struct request_writer w;
	struct call *c = NULL;
	int st = unpack_call(h, row, arg, &c);
	if (st != ESTAFETTE_OK)
		return st;
	request_begin(&w, &h->out, REQ_UNPACK, c->r.tag);
	request_field(&w, F_PIECE, view_of(head, head_bytes));
	request_field(&w, F_BLOB, view_of(end, end_bytes));
	st = call_begin(h, c, &w);
	h->given = 0;
	return st == ESTAFETTE_OK ? call_finish(h, c, NULL, timeout_ms) : st;
}

int estafette_unpack_wait(estafette *h, size_t most, int timeout_ms)
{
	struct estafette_result r = ESTAFETTE_RESULT_INIT;
	int st = ESTAFETTE_OK;
	while (st == ESTAFETTE_OK && h->async > most) {
		st = estafette_result(h, &r, timeout_ms);
		if (st == ESTAFETTE_OK && r.status != ESTAFETTE_OK)
			st = client_fail(h, r.status, r.code, "%s", r.text);
	}
	return st;
}

int estafette_unpack_piece(estafette *h, const void *piece, size_t n, show_row row, void *arg, int timeout_ms)
{
	struct request_writer w;
	struct call *c = NULL;
	int st = estafette_unpack_wait(h, AHEAD - 1, timeout_ms);
	if (st == ESTAFETTE_OK)
		st = unpack_call(h, row, arg, &c);
	if (st != ESTAFETTE_OK)
		return st;
	c->async = true;
	request_begin(&w, &h->out, REQ_UNPACK, c->r.tag);
	request_u32(&w, F_INDEX, ++h->given);
	request_field(&w, F_PIECE, view_of(piece, n));
	st = call_begin(h, c, &w);
	if (st == ESTAFETTE_OK)
		h->async++;
	return st == ESTAFETTE_OK ? client_flush(h) : st;
}
