/* watch_ask.c - a client of its own at each site that asks, for some of the messages, to be told when they are held, delivered
 * or read: so that the truth of these answers is looked at too. */
#include "sim/watch_int.h"

#define ASK_EVERY 13
static const uint8_t wanted[] = {STATE_HELD, STATE_READ, STATE_HELD_BY_STANDBY, STATE_DELIVERED};

struct ask { size_t site; struct msgid id; uint8_t want; };

struct asking {
	uint64_t *client;     /* by site; 0 for none */
	uint64_t accepted;
	uint32_t tag;
	size_t n, cap;
	struct ask *asks;     /* made once, kept: a timer knows them by number */
};

/* What it is answered the witness sees; here only the end of the connection counts. */
static void on_answer(void *arg, struct world *world, size_t site, uint64_t client, struct view bytes)
{
	struct watch *w = arg;

	(void)world;
	if (!bytes.len && w->asking->client[site] == client)
		w->asking->client[site] = 0;
}

static void ask(void *arg, struct world *world, uint64_t cookie)
{
	static const struct client_rights rights = {.name = "watch", .precedence = PREC_ROUTINE};
	struct watch *w = arg;
	const struct ask *a = &w->asking->asks[cookie];
	struct buf b = BUF_EMPTY;
	struct request_writer rw;

	if (!w->asking->client[a->site])
		w->asking->client[a->site] = world_client_open(world, a->site, &rights, on_answer, w);
	if (!w->asking->client[a->site])
		return; /* it is down */
	request_begin(&rw, &b, REQ_WAIT, ++w->asking->tag);
	request_id(&rw, &a->id);
	request_u8(&rw, F_STATE, a->want);
	request_end(&rw);
	if (buf_ok(&b))
		world_request(world, a->site, w->asking->client[a->site], buf_view(&b));
	buf_release(&b);
}

void asking_reply(struct watch *w, size_t site, struct view bytes)
{
	struct asking *k = w->asking;
	struct request r;
	struct request_item f;
	size_t len = 0;

	for (; bytes.len && request_length(bytes, &len) == ERR_OK && len && len <= bytes.len; bytes = view_of(bytes.ptr + len, bytes.len - len)) {
		if (bytes.ptr[5] != REPLY_ACCEPTED || ++k->accepted % ASK_EVERY || request_decode(view_of(bytes.ptr, len), &r))
			continue;
		while (request_next(&r.fields, &f) == ERR_OK) {
			if (f.field != F_ID || f.value.len != MSGID_BYTES)
				continue;
			if (k->n == k->cap) {
				k->cap = k->cap ? 2 * k->cap : 64;
				k->asks = watch_room(k->asks, k->cap, sizeof *k->asks);
			}
			k->asks[k->n] = (struct ask){.site = site, .want = wanted[k->n % sizeof wanted]};
			memcpy(k->asks[k->n].id.b, f.value.ptr, MSGID_BYTES);
			world_at(w->world, world_now(w->world), ask, w, k->n++);
		}
	}
}

void asking_begin(struct watch *w)
{
	w->asking = watch_room(NULL, 1, sizeof *w->asking);
	*w->asking = (struct asking){.client = watch_room(NULL, world_sites(w->world), sizeof *w->asking->client)};
	memset(w->asking->client, 0, world_sites(w->world) * sizeof *w->asking->client);
}

void asking_end(struct watch *w)
{
	if (!w->asking)
		return;
	free(w->asking->client);
	free(w->asking->asks);
	free(w->asking);
}
