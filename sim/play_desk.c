/* The desks that take: each person asks for a batch, deals with one message after another, and asks again. */
#include "proto/request.h"
#include "sim/play_int.h"

#include <stdio.h>
#include <stdlib.h>

static const struct drill_desk *desk_of(const struct play *p, const struct seat *s)
{
	return &p->d->desks[s->desk];
}

static size_t site_of(const struct play *p, const struct seat *s)
{
	(void)p;
	return s->site;
}

static void ask(struct play *p, struct seat *s, const struct buf *b)
{
	world_request(p->w, site_of(p, s), s->client, buf_view(b));
}

/* ---- tasks ------------------------------------------------------------------------------------------------------ */

static struct task *task_new(struct play *p, size_t seat, struct view id)
{
	struct task *t = calloc(1, sizeof *t);

	if (t == NULL) {
		p->nomem = true;
		return NULL;
	}
	*t = (struct task){.next = p->tasks, .p = p, .seat = seat, .sitting = p->seats[seat].sitting};
	memcpy(t->id.b, id.ptr, sizeof t->id.b);
	if (p->tasks)
		p->tasks->prev = t;
	p->tasks = t;
	return t;
}

static void task_free(struct task *t)
{
	if (t->prev)
		t->prev->next = t->next;
	else
		t->p->tasks = t->next;
	if (t->next)
		t->next->prev = t->prev;
	free(t);
}

/* At home by its name, as a guest with its site. */
static void put_queue(struct request_writer *rw, const struct play *p, const struct seat *s)
{
	const struct drill_desk *k = desk_of(p, s);
	char queue[LIMIT_ADDRESS_BYTES + 1];

	snprintf(queue, sizeof queue, "%s%s%s", s->guest ? drill_site_name(p->d, k->site) : "", s->guest ? "/" : "", k->queue);
	request_str(rw, F_QUEUE, queue);
}

static void take_more(struct play *p, struct seat *s)
{
	const struct drill_desk *k = desk_of(p, s);
	struct buf b = BUF_EMPTY;
	struct request_writer rw;

	if (s->client == 0 || s->in_hand > 0 || !s->done)
		return;
	s->done = false;
	s->take_tag = ++s->tag;
	request_begin(&rw, &b, REQ_TAKE, s->take_tag);
	put_queue(&rw, p, s);
	request_u32(&rw, F_COUNT, (uint32_t)k->batch);
	if (k->lease_us)
		request_u64(&rw, F_LEASE_US, (uint64_t)k->lease_us);
	request_str(&rw, F_EXERCISE, k->exercise);
	request_end(&rw);
	ask(p, s, &b);
	buf_release(&b);
}

static void leave(struct play *p, struct seat *s)
{
	if (s->client)
		world_client_close(p->w, site_of(p, s), s->client);
	s->client = 0;
	s->sitting++;
	s->in_hand = 0;
}

/* A message is dealt with: read, refused, given back; or the desk's program dies with it. */
static void task_done(void *arg, struct world *w, uint64_t cookie)
{
	static const uint8_t types[] = {[DESK_READ] = REQ_ACK, [DESK_REFUSE] = REQ_REFUSE, [DESK_RETURN] = REQ_RETURN};
	struct task *t = arg;
	struct play *p = t->p;
	struct seat *s = &p->seats[t->seat];
	struct buf b = BUF_EMPTY;
	struct request_writer rw;

	(void)w, (void)cookie;
	if (t->sitting != s->sitting) {
		task_free(t);
		return;
	}
	s->in_hand--;
	request_begin(&rw, &b, types[t->act], ++s->tag);
	put_queue(&rw, p, s);
	request_id(&rw, &t->id);
	if (t->act == DESK_REFUSE)
		request_str(&rw, F_REASON, "not for this desk");
	request_end(&rw);
	ask(p, s, &b);
	buf_release(&b);
	p->counts.read += t->act == DESK_READ;
	p->counts.turned_down += t->act == DESK_REFUSE;
	p->counts.returned += t->act == DESK_RETURN;
	if (t->act == DESK_REFUSE && p->watch)
		watch_fault(p->watch, FAULT_DESK_REFUSES);
	task_free(t);
	take_more(p, s);
}

static void crash(struct play *p, size_t seat, int64_t back_us)
{
	leave(p, &p->seats[seat]);
	p->counts.desk_crashes++;
	if (p->watch)
		watch_fault(p->watch, FAULT_DESK_CRASH);
	seat_again(p, seat, back_us);
}

/* The whole message is there: the person decides. One after another. */
static void decide(struct play *p, struct task *t)
{
	struct seat *s = &p->seats[t->seat];
	struct desk_choice c = workload_desk(p->load, s->desk);
	c.after_us /= p->speed;
	int64_t now = world_now(p->w).us;

	if (c.act == DESK_CRASH) {
		size_t seat = t->seat;
		task_free(t);
		crash(p, seat, c.after_us);
		return;
	}
	t->act = c.act;
	s->busy_until_us = (s->busy_until_us > now ? s->busy_until_us : now) + c.after_us;
	world_at(p->w, (struct mono){s->busy_until_us}, task_done, t, 0);
}

/* ---- what the node says --------------------------------------------------------------------------------------------- */

static void read_chunk(struct play *p, struct task *t)
{
	struct seat *s = &p->seats[t->seat];
	struct buf b = BUF_EMPTY;
	struct request_writer rw;

	t->read_tag = ++s->tag;
	request_begin(&rw, &b, REQ_READ, t->read_tag);
	request_id(&rw, &t->id);
	request_u32(&rw, F_INDEX, t->index);
	request_end(&rw);
	ask(p, s, &b);
	buf_release(&b);
}

static void on_taken(struct play *p, size_t seat, const struct request *r)
{
	struct view id = reply_value(r, F_ID, NULL);
	bool large = false;
	struct task *t = id.len == MSGID_BYTES ? task_new(p, seat, id) : NULL;

	if (t == NULL)
		return;
	p->counts.taken++;
	p->seats[seat].in_hand++;
	reply_value(r, F_BODY_BYTES, &large);
	if (large)
		read_chunk(p, t);
	else
		decide(p, t);
}

static struct task *reading(struct play *p, size_t seat, uint32_t tag)
{
	for (struct task *t = p->tasks; t; t = t->next)
		if (t->seat == seat && t->sitting == p->seats[seat].sitting && t->read_tag == tag)
			return t;
	return NULL;
}

/* A chunk of a large body, or that it cannot be had: then the message is given back. */
static void on_chunk(struct play *p, size_t seat, const struct request *r)
{
	struct task *t = reading(p, seat, r->tag);
	struct request_item last = {F_LAST, reply_value(r, F_LAST, NULL)};

	if (t == NULL)
		return;
	t->read_tag = 0;
	if (r->type == REPLY_ERROR) {
		t->act = DESK_RETURN;
		world_at(p->w, mono_add(world_now(p->w), NO_ROOM_US), task_done, t, 0);
	} else if (item_u8(&last)) {
		decide(p, t);
	} else {
		t->index++;
		read_chunk(p, t);
	}
}

static void on_reply(struct play *p, size_t seat, const struct request *r)
{
	struct seat *s = &p->seats[seat];

	if (r->type == REPLY_TAKEN && r->tag == s->take_tag)
		on_taken(p, seat, r);
	else if (r->tag == s->take_tag && r->type == REPLY_DONE)
		s->done = true;
	else if (r->tag == s->take_tag && r->type == REPLY_ERROR)
		leave(p, s), seat_again(p, seat, NO_ROOM_US);
	else if (r->type == REPLY_BODY || r->type == REPLY_ERROR)
		on_chunk(p, seat, r);
}

static void seat_hears(void *arg, struct world *w, size_t site, uint64_t client, struct view bytes)
{
	struct seat *s = arg;
	struct play *p = s->p;
	size_t seat = (size_t)(s - p->seats);
	struct request r;

	(void)w, (void)site;
	if (s->client != client)
		return;
	if (bytes.len == 0) {
		s->client = 0;
		leave(p, s);
		seat_again(p, seat, AGAIN_US);
		return;
	}
	while (s->client == client && next_reply(&bytes, &r))
		on_reply(p, seat, &r);
	take_more(p, s);
}

/* ---- coming and going ------------------------------------------------------------------------------------------------- */

static void sit_down(struct play *p, size_t seat)
{
	static const struct client_rights rights = {.name = "desk", .may_take = true, .precedence = PREC_ROUTINE};
	struct seat *s = &p->seats[seat];

	if (s->client || s->away)
		return;
	s->client = world_client_open(p->w, site_of(p, s), &rights, seat_hears, s);
	if (s->client == 0)
		return; /* desk_site_up comes */
	s->sitting++;
	s->done = true;
	s->busy_until_us = 0;
	take_more(p, s);
}

static void seat_due(void *arg, struct world *w, uint64_t cookie)
{
	struct play *p = arg;

	(void)w;
	p->seats[cookie].timer = false;
	sit_down(p, cookie);
}

void seat_again(struct play *p, size_t seat, int64_t after_us)
{
	if (p->seats[seat].timer)
		return;
	p->seats[seat].timer = true;
	world_at(p->w, mono_add(world_now(p->w), after_us), seat_due, p, seat);
}

void desk_site_up(struct play *p, size_t site)
{
	for (size_t i = 0; i < p->n_seats; i++)
		if (site_of(p, &p->seats[i]) == site && !p->seats[i].away)
			seat_again(p, i, AGAIN_US);
}

/* ---- people move with an order ------------------------------------------------------------------------------------- */

/* Does this order, or this lending, take the desk's queue to that site? Of areas and shares any queue has its part. */
static bool order_takes(const struct play *p, const struct drill_event *e, const struct drill_desk *k, uint16_t to)
{
	const char *name = drill_site_name(p->d, to);
	size_t len = strlen(name), queue = strlen(k->queue);

	if (e->what == DO_ASSIST)
		return e->from.v[0] == k->site && e->to.v[0] == to && strcmp(e->queue, k->queue) == 0 && !k->exercise[0];
	if (e->what != DO_RELOCATE || e->sites.v[0] != k->site || to == k->site || (e->flow[0] != '\0') != (k->exercise[0] != '\0'))
		return false;
	for (const char *at = e->text; *at; at += strcspn(at, " "), at += *at == ' ') {
		size_t all = strcspn(at, " ");

		if (strncmp(at, name, len) != 0 || (at[len] != ':' && len != all))
			continue;
		if (len == all || memchr(at, '=', all))
			return true;
		for (const char *q = at + len; q < at + all; q += 1 + strcspn(q + 1, ", "))
			if (strncmp(q + 1, k->queue, queue) == 0 && strcspn(q + 1, ", ") == queue)
				return true;
	}
	return false;
}

size_t desk_goes_to(const struct play *p, size_t desk, bool *out)
{
	size_t sites = drill_site_count(p->d), n = 0;

	for (uint16_t to = 0; to < sites; to++) {
		bool goes = false;

		for (size_t i = 0; i < p->d->n_events && !goes; i++)
			goes = (p->d->events[i].what == DO_RELOCATE || p->d->events[i].what == DO_ASSIST) && order_takes(p, &p->d->events[i], &p->d->desks[desk], to);
		if (out)
			out[to] = goes;
		n += goes;
	}
	return n;
}

/* They wait at the successors from the order on, and stay there: what is served at home they are not given there. */
void desks_follow(struct play *p, const struct drill_event *e)
{
	for (size_t i = 0; i < p->n_seats; i++) {
		struct seat *s = &p->seats[i];

		if (s->guest && !s->came && order_takes(p, e, desk_of(p, s), s->site)) {
			s->away = false;
			s->came = true;
			seat_again(p, i, AGAIN_US);
		}
	}
}

static bool struck(const struct play *p, const struct seat *s, const struct drill_event *e)
{
	const struct drill_desk *k = desk_of(p, s);

	return sites_has(&e->sites, s->site) && (e->queue[0] == '\0' || strcmp(e->queue, k->queue) == 0);
}

void desks_away(struct play *p, const struct drill_event *e, bool away)
{
	for (size_t i = 0; i < p->n_seats; i++) {
		if (!struck(p, &p->seats[i], e) || (p->seats[i].guest && !p->seats[i].came))
			continue;
		p->seats[i].away = away;
		if (away)
			leave(p, &p->seats[i]);
		else
			seat_again(p, i, AGAIN_US);
	}
}

void desks_return(struct play *p)
{
	for (size_t i = 0; i < p->n_seats; i++) {
		if (p->seats[i].guest && !p->seats[i].came)
			continue;
		p->seats[i].away = false;
		seat_again(p, i, AGAIN_US);
	}
}

void desks_crash(struct play *p, const struct drill_event *e)
{
	for (size_t i = 0; i < p->n_seats; i++)
		if (struck(p, &p->seats[i], e) && p->seats[i].client)
			crash(p, i, 30 * US_PER_S);
}

void desk_release(struct play *p)
{
	while (p->tasks)
		task_free(p->tasks);
	free(p->seats);
}
