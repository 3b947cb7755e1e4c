#include "node/daemon/inbox.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "proto/request.h"

struct inbox {
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	struct inbox_batch row[ROW_COUNT];
	size_t waiting[ROW_COUNT]; /* bytes not dealt with yet, an event counted with its size */
	size_t bound;
	bool kicked, stopped, starved;
	int room_fd;
};

enum err inbox_new(int64_t bound_bytes, int room_fd, struct inbox **out)
{
	struct inbox *b = calloc(1, sizeof *b);
	pthread_condattr_t attr;

	*out = b;
	if (!b)
		return ERR_NOMEM;
	b->bound = (size_t)bound_bytes;
	b->room_fd = room_fd;
	pthread_mutex_init(&b->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&b->cond, &attr);
	pthread_condattr_destroy(&attr);
	return ERR_OK;
}

void inbox_batch_clear(struct inbox_batch *b)
{
	b->n = 0;
	buf_clear(&b->bytes);
}

void inbox_batch_release(struct inbox_batch *b)
{
	free(b->ev);
	free(b->at);
	buf_release(&b->bytes);
	memset(b, 0, sizeof *b);
}

void inbox_free(struct inbox *b)
{
	if (!b)
		return;
	for (int i = 0; i < ROW_COUNT; i++)
		inbox_batch_release(&b->row[i]);
	pthread_cond_destroy(&b->cond);
	pthread_mutex_destroy(&b->mutex);
	free(b);
}

/* The bytes that an event borrows; NULL when it has none. */
static struct view *event_bytes(struct event *ev)
{
	if (ev->type == EVENT_FRAME)
		return &ev->u.frame.bytes;
	if (ev->type == EVENT_REQUEST)
		return &ev->u.request.bytes;
	if (ev->type == EVENT_STATE)
		return &ev->u.state.bytes;
	return NULL;
}

/* Whether a submission is FLASH or IMMEDIATE and comes whole. */
static bool is_urgent_submission(struct view fields)
{
	struct request_item item;
	bool urgent = false, whole = false;

	while (request_next(&fields, &item) == ERR_OK) {
		if (item.field == F_PRECEDENCE)
			urgent = item_ok(&item) && item_u8(&item) <= PREC_IMMEDIATE;
		whole = whole || item.field == F_BODY;
	}
	return urgent && whole;
}

/* Chunks go with the submission that they belong to, which does not come whole. What cannot be read is answered at once. */
static enum inbox_row row_of_request(struct view message)
{
	struct request r;

	if (request_decode(message, &r))
		return ROW_URGENT;
	if (r.type == REQ_CHUNK)
		return ROW_SUBMIT;
	return r.type == REQ_SUBMIT && !is_urgent_submission(r.fields) ? ROW_SUBMIT : ROW_URGENT;
}

/* The end of a client stays behind what it submitted. */
static enum inbox_row row_of(const struct event *ev)
{
	switch (ev->type) {
	case EVENT_FRAME:
		return ev->u.frame.lane == LANE_BULK ? ROW_BULK : ROW_URGENT;
	case EVENT_BEARER:
		return ev->u.bearer.lane == LANE_BULK ? ROW_BULK : ROW_URGENT;
	case EVENT_LINK_UP:
	case EVENT_LINK_DOWN:
		return ev->u.link.lane == LANE_BULK ? ROW_BULK : ROW_URGENT;
	case EVENT_REQUEST:
		return row_of_request(ev->u.request.bytes);
	case EVENT_CLIENT_CLOSED:
		return ROW_SUBMIT;
	default:
		return ROW_URGENT;
	}
}

static bool batch_grow(struct inbox_batch *b)
{
	size_t cap = b->cap ? b->cap * 2 : 256;
	struct event *ev = realloc(b->ev, cap * sizeof *ev);
	size_t *at;

	if (!ev)
		return false;
	b->ev = ev;
	at = realloc(b->at, cap * sizeof *at);
	if (!at)
		return false;
	b->at = at;
	b->cap = cap;
	return true;
}

static bool batch_add(struct inbox_batch *b, const struct event *ev, struct view bytes)
{
	if (b->n == b->cap && !batch_grow(b))
		return false;
	b->at[b->n] = b->bytes.len;
	buf_add(&b->bytes, bytes);
	if (!buf_ok(&b->bytes)) {
		b->bytes.bad = false; /* what was there is still whole */
		return false;
	}
	b->ev[b->n++] = *ev;
	return true;
}

static size_t waiting_in_all(const struct inbox *b)
{
	size_t all = 0;

	for (int i = 0; i < ROW_COUNT; i++)
		all += b->waiting[i];
	return all;
}

/* Whether the bound lets it in. What cannot be sent again always may come. */
static bool fits(const struct inbox *b, const struct event *ev, enum inbox_row row, size_t cost)
{
	if (ev->type == EVENT_FRAME)
		return waiting_in_all(b) + cost <= b->bound;
	if (ev->type == EVENT_REQUEST)
		return b->waiting[row] + cost <= b->bound / (row == ROW_SUBMIT ? 4 : 2);
	return true;
}

bool inbox_add(struct inbox *b, const struct event *ev)
{
	struct event copy = *ev;
	struct view *bytes = event_bytes(&copy);
	size_t cost = sizeof copy + (bytes ? bytes->len : 0);
	enum inbox_row row = row_of(ev);
	bool ok;

	pthread_mutex_lock(&b->mutex);
	ok = fits(b, ev, row, cost) && batch_add(&b->row[row], &copy, bytes ? *bytes : view_of(NULL, 0));
	if (ok)
		b->waiting[row] += cost;
	else if (ev->type == EVENT_REQUEST)
		b->starved = true;
	pthread_mutex_unlock(&b->mutex);
	return ok;
}

void inbox_kick(struct inbox *b)
{
	pthread_mutex_lock(&b->mutex);
	if (b->row[ROW_URGENT].n || b->row[ROW_SUBMIT].n || b->row[ROW_BULK].n) {
		b->kicked = true;
		pthread_cond_signal(&b->cond);
	}
	pthread_mutex_unlock(&b->mutex);
}

void inbox_stop(struct inbox *b)
{
	pthread_mutex_lock(&b->mutex);
	b->stopped = true;
	pthread_cond_signal(&b->cond);
	pthread_mutex_unlock(&b->mutex);
}

/* The views were left pointing anywhere while their buffer could still move. */
static void batch_point(struct inbox_batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		struct view *v = event_bytes(&b->ev[i]);

		if (v)
			v->ptr = b->bytes.ptr + b->at[i];
	}
}

static bool wait_until(struct inbox *b, int64_t until_us)
{
	struct timespec ts = {until_us / US_PER_S, until_us % US_PER_S * 1000};

	return pthread_cond_timedwait(&b->cond, &b->mutex, &ts) == 0;
}

bool inbox_take(struct inbox *b, int64_t until_us, struct inbox_batch into[ROW_COUNT])
{
	bool have = false, more;

	for (int i = 0; i < ROW_COUNT; i++)
		have = have || into[i].n;
	pthread_mutex_lock(&b->mutex);
	while (!have && !b->kicked && !b->stopped && wait_until(b, until_us))
		;
	b->kicked = false;
	for (int i = 0; i < ROW_COUNT; i++) {
		struct inbox_batch empty = into[i];

		if (empty.n || !b->row[i].n)
			continue;
		into[i] = b->row[i];
		b->row[i] = empty;
		batch_point(&into[i]);
		have = true;
	}
	more = have || !b->stopped;
	pthread_mutex_unlock(&b->mutex);
	return more;
}

void inbox_done(struct inbox *b, enum inbox_row row, size_t events, size_t bytes)
{
	const uint64_t one = 1;
	bool tell;

	pthread_mutex_lock(&b->mutex);
	bytes += events * sizeof(struct event);
	assert(bytes <= b->waiting[row]);
	b->waiting[row] -= bytes;
	tell = b->starved && b->waiting[ROW_SUBMIT] < b->bound / 8 && b->waiting[ROW_URGENT] < b->bound / 4;
	if (tell)
		b->starved = false;
	pthread_mutex_unlock(&b->mutex);
	/* an eventfd is full only when it was written already */
	if (tell && write(b->room_fd, &one, sizeof one) < 0)
		return;
}
