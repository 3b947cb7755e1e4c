/* A courier: a bundle is packed at one site, driven for a while, and taken in at another; again and again where a node is down. */
#include "proto/bundle.h"
#include "proto/request.h"
#include "sim/play_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TRIP_AGAIN_US (30 * US_PER_S)

enum trip_stage { TRIP_PACKS, TRIP_DRIVES, TRIP_UNPACKS, TRIP_OVER };

struct trip {
	struct trip *next;
	struct play *p;
	const struct drill_event *e;
	enum trip_stage stage;
	size_t site;             /* where the courier is, or goes */
	uint64_t client;
	uint32_t index;          /* of the step or piece that is asked for */
	struct buf stick;
	struct bundle_reader r;  /* of what was given */
	struct view head, end;   /* in stick */
	uint64_t messages, added, refused;
	char said[300];
};

static void trip_try(void *arg, struct world *w, uint64_t cookie);

/* ---- words ------------------------------------------------------------------------------------------------------------ */

static void tell(struct trip *t, const char *what)
{
	char text[300];

	snprintf(text, sizeof text, "courier from %s at %s: %.200s", drill_site_name(t->p->d, t->e->from.v[0]), world_site_id(t->p->w, t->site), what);
	if (t->p->watch && strcmp(text, t->said) != 0)
		watch_said(t->p->watch, text);
	memcpy(t->said, text, sizeof text);
}

static void leave(struct trip *t)
{
	if (t->client)
		world_client_close(t->p->w, t->site, t->client);
	t->client = 0;
}

static void again(struct trip *t, const char *why)
{
	char text[300];

	leave(t);
	snprintf(text, sizeof text, "not yet, %.220s; tried again every %d s", why, (int)(TRIP_AGAIN_US / US_PER_S));
	tell(t, text);
	world_at(t->p->w, mono_add(world_now(t->p->w), TRIP_AGAIN_US), trip_try, t, 0);
}

static void over(struct trip *t, const char *what)
{
	leave(t);
	tell(t, what);
	t->stage = TRIP_OVER;
	buf_release(&t->stick);
}

/* ---- requests ----------------------------------------------------------------------------------------------------------- */

static void ask(struct trip *t, struct request_writer *rw, struct buf *b)
{
	request_end(rw);
	world_request(t->p->w, t->site, t->client, buf_view(b));
	buf_release(b);
}

static void ask_step(struct trip *t)
{
	struct request_writer rw;
	struct buf b = BUF_EMPTY;

	request_begin(&rw, &b, REQ_PACK, 1);
	if (t->index) {
		request_u32(&rw, F_INDEX, t->index);
	} else {
		for (size_t i = 0; i < t->e->sites.n; i++)
			request_str(&rw, F_TO, drill_site_name(t->p->d, t->e->sites.v[i]));
		if (t->e->sites.n == 0)
			request_str(&rw, F_TO, "all");
		request_u8(&rw, F_PRECEDENCE, (uint8_t)t->e->value);
	}
	ask(t, &rw, &b);
}

/* As the command does: all of it is read before anything of it is given. */
static bool stick_whole(struct trip *t)
{
	struct bundle_reader r = BUNDLE_READER_NEW;
	struct view rest = buf_view(&t->stick);
	struct bundle_piece piece;
	size_t used;

	while (!r.ended) {
		if (bundle_next(&r, rest, &piece, &used))
			return false;
		if (piece.kind == BUNDLE_HEAD)
			t->head = piece.bytes;
		t->end = piece.bytes;
		rest = view_of(rest.ptr + used, rest.len - used);
	}
	return rest.len == 0;
}

static void give_head(struct trip *t)
{
	struct request_writer rw;
	struct buf b = BUF_EMPTY;

	t->r = BUNDLE_READER_NEW;
	t->messages = t->added = t->refused = 0;
	request_begin(&rw, &b, REQ_UNPACK, 1);
	request_field(&rw, F_PIECE, t->head);
	request_field(&rw, F_BLOB, t->end);
	ask(t, &rw, &b);
}

static void give_next(struct trip *t)
{
	struct request_writer rw;
	struct buf b = BUF_EMPTY;
	struct bundle_piece piece = {.kind = BUNDLE_HEAD};
	size_t used;
	char text[120];

	while (piece.kind == BUNDLE_HEAD)
		if (bundle_next(&t->r, view_of(t->stick.ptr + t->r.at, t->stick.len - t->r.at), &piece, &used))
			break;
	if (piece.kind != BUNDLE_FRAME) {
		snprintf(text, sizeof text, "taken in: %" PRIu64 " messages, %" PRIu64 " of them new%s", t->messages, t->added, t->refused ? "; not all of it" : "");
		over(t, text);
		return;
	}
	request_begin(&rw, &b, REQ_UNPACK, 1);
	request_u32(&rw, F_INDEX, (uint32_t)t->r.chain.pieces);
	request_field(&rw, F_PIECE, piece.bytes);
	ask(t, &rw, &b);
}

/* ---- answers --------------------------------------------------------------------------------------------------------------- */

static void row_heard(struct trip *t, const struct request *r)
{
	struct request_item f;
	struct view name = {NULL, 0};

	for (struct view rest = r->fields; request_next(&rest, &f) == ERR_OK;) {
		if (f.field == F_NAME)
			name = f.value;
		else if (f.field == F_NUMBER && view_equal(name, view_str("messages")))
			t->messages += t->stage == TRIP_UNPACKS ? item_u64(&f) : 0;
		else if (f.field == F_NUMBER && view_equal(name, view_str("new_messages")))
			t->added += item_u64(&f);
		else if (f.field == F_TEXT && view_equal(name, view_str("code")))
			t->refused += !view_equal(f.value, view_str(err_code(ERR_NOT_PERMITTED)));
	}
}

static void piece_heard(struct trip *t, const struct request *r)
{
	struct request_item last = {F_LAST, reply_value(r, F_LAST, NULL)};
	char text[120];

	buf_add(&t->stick, reply_value(r, F_PIECE, NULL));
	t->index++;
	if (!item_u8(&last)) {
		ask_step(t);
		return;
	}
	snprintf(text, sizeof text, "packed, on the way to %s", drill_site_name(t->p->d, t->e->to.v[0]));
	leave(t);
	tell(t, text);
	t->p->nomem = t->p->nomem || !buf_ok(&t->stick);
	t->stage = TRIP_DRIVES;
	world_at(t->p->w, mono_add(world_now(t->p->w), t->e->value_us), trip_try, t, 0);
}

static void refused_heard(struct trip *t, const struct request *r)
{
	char code[32], why[200];

	view_to_str(reply_value(r, F_CODE, NULL), code, sizeof code);
	view_to_str(reply_value(r, F_TEXT, NULL), why, sizeof why);
	enum err e = err_from_code(code);

	if (e == ERR_BUSY || e == ERR_FULL || e == ERR_CLOSED)
		again(t, why);
	else
		over(t, why);
}

static void trip_hears(void *arg, struct world *w, size_t site, uint64_t client, struct view bytes)
{
	struct trip *t = arg;
	struct request r;

	(void)w, (void)site;
	if (t->client != client || t->stage == TRIP_OVER)
		return;
	if (bytes.len == 0) {
		t->client = 0;
		again(t, "its node went down before it was done");
	}
	while (t->client == client && t->stage != TRIP_OVER && next_reply(&bytes, &r)) {
		if (r.type == REPLY_ROW)
			row_heard(t, &r);
		else if (r.type == REPLY_PIECE)
			piece_heard(t, &r);
		else if (r.type == REPLY_DONE)
			give_next(t);
		else if (r.type == REPLY_ERROR)
			refused_heard(t, &r);
	}
}

/* ---- tries -------------------------------------------------------------------------------------------------------------------- */

static void trip_try(void *arg, struct world *w, uint64_t cookie)
{
	static const struct client_rights rights = {.name = "duty-officer", .may_operate = true, .precedence = PREC_ROUTINE};
	struct trip *t = arg;

	(void)cookie;
	if (t->stage == TRIP_OVER || t->client)
		return;
	if (t->stage == TRIP_DRIVES) {
		t->site = t->e->to.v[0];
		t->stage = TRIP_UNPACKS;
		if (!stick_whole(t)) {
			over(t, "the bundle is not whole");
			return;
		}
	}
	t->client = world_client_open(w, t->site, &rights, trip_hears, t);
	if (!t->client) {
		again(t, "its node is down");
	} else if (t->stage == TRIP_PACKS) {
		t->index = 0;
		buf_clear(&t->stick);
		ask_step(t);
	} else {
		give_head(t);
	}
}

void courier_goes(struct play *p, const struct drill_event *e)
{
	struct trip *t = calloc(1, sizeof *t);

	if (t == NULL) {
		p->nomem = true;
		return;
	}
	*t = (struct trip){.next = p->trips, .p = p, .e = e, .site = e->from.v[0], .stick = BUF_EMPTY};
	p->trips = t;
	trip_try(t, p->w, 0);
}

void courier_release(struct play *p)
{
	while (p->trips) {
		struct trip *t = p->trips;

		p->trips = t->next;
		buf_release(&t->stick);
		free(t);
	}
}
