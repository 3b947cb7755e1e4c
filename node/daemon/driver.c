#include "node/daemon/driver.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "node/core/apply.h"
#include "node/daemon/log.h"

/* What one commit takes of each row at most. A FLASH that comes during a commit waits for it and for its own, so what is
 * not urgent is kept to some tens of milliseconds of work. */
static const size_t commit_bytes[ROW_COUNT] = {[ROW_URGENT] = 2048 * 1024, [ROW_SUBMIT] = 512 * 1024, [ROW_BULK] = 512 * 1024};
/* Parcels kept for reuse; each keeps the room that its largest commit needed. */
#define SPARE_PARCELS 4

struct driver {
	struct driver_config c;
	pthread_t thread;
	struct inbox_batch rows[ROW_COUNT];
	size_t pos[ROW_COUNT];       /* events of rows that are applied */
	struct event *events;        /* commit_batch + 1 */
	pthread_mutex_t mutex;       /* of the parcels */
	struct parcel *first, *last, *spare;
	size_t n_spare;
	atomic_uint_fast64_t progress;
	atomic_bool finished;
};

struct mono driver_mono(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (struct mono){ts.tv_sec * US_PER_S + ts.tv_nsec / 1000};
}

struct wall driver_wall(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (struct wall){ts.tv_sec * US_PER_S + ts.tv_nsec / 1000};
}

static _Noreturn void die(const char *what, enum err e)
{
	log_line(LEVEL_CRITICAL, "%s: %s; the node ends at once, and the next start recovers what was committed", what, err_text(e));
	_exit(DRIVER_EXIT);
}

/* ---- parcels ------------------------------------------------------------------------------------------ */

static struct parcel *parcel_get(struct driver *d)
{
	struct parcel *p;

	pthread_mutex_lock(&d->mutex);
	p = d->spare;
	if (p) {
		d->spare = p->next;
		d->n_spare--;
	}
	pthread_mutex_unlock(&d->mutex);
	if (!p) {
		p = malloc(sizeof *p);
		if (!p)
			die("effects", ERR_NOMEM);
		p->effects = EFFECTS_EMPTY;
	}
	p->next = NULL;
	return p;
}

static void wake(struct driver *d)
{
	const uint64_t one = 1;

	/* it fails only when the counter is full, and then it is readable anyway */
	if (write(d->c.wake_fd, &one, sizeof one) < 0)
		return;
}

static void parcel_hand_out(struct driver *d, struct parcel *p)
{
	bool first;

	pthread_mutex_lock(&d->mutex);
	first = !d->first;
	if (first)
		d->first = p;
	else
		d->last->next = p;
	d->last = p;
	pthread_mutex_unlock(&d->mutex);
	if (first)
		wake(d);
}

struct parcel *driver_parcels(struct driver *d)
{
	struct parcel *p;

	pthread_mutex_lock(&d->mutex);
	p = d->first;
	d->first = d->last = NULL;
	pthread_mutex_unlock(&d->mutex);
	return p;
}

static void parcel_free(struct parcel *p)
{
	effects_release(&p->effects);
	free(p);
}

void driver_give_back(struct driver *d, struct parcel *p)
{
	bool keep;

	effects_clear(&p->effects);
	pthread_mutex_lock(&d->mutex);
	keep = d->n_spare < SPARE_PARCELS;
	if (keep) {
		p->next = d->spare;
		d->spare = p;
		d->n_spare++;
	}
	pthread_mutex_unlock(&d->mutex);
	if (!keep)
		parcel_free(p);
}

/* ---- wait, gather, apply ------------------------------------------------------------------------------ */

static void apply(struct driver *d, const struct event *events, size_t n)
{
	struct parcel *p = parcel_get(d);
	enum err e = core_apply(d->c.core, d->c.store, events, n, &p->effects);

	if (e)
		die("journal", e);
	if (p->effects.bad)
		die("effects", ERR_NOMEM);
	if (p->effects.n)
		parcel_hand_out(d, p);
	else
		driver_give_back(d, p);
}

static void apply_one(struct driver *d, enum event_type type)
{
	struct event ev = {.type = type, .now = driver_mono(), .wall = driver_wall()};

	apply(d, &ev, 1);
}

static size_t bytes_of(const struct event *ev)
{
	if (ev->type == EVENT_FRAME)
		return ev->u.frame.bytes.len;
	return ev->type == EVENT_REQUEST ? ev->u.request.bytes.len : 0;
}

/* One batch: how many events it has, and what of them came from which row. */
struct batch {
	size_t n;
	size_t events[ROW_COUNT], bytes[ROW_COUNT];
};

/* Takes events off one row until the batch has `most`. */
static void gather_row(struct driver *d, struct batch *b, enum inbox_row row, size_t most)
{
	const struct inbox_batch *from = &d->rows[row];

	while (d->pos[row] < from->n && b->n < most && b->bytes[row] < commit_bytes[row]) {
		d->events[b->n] = from->ev[d->pos[row]++];
		b->bytes[row] += bytes_of(&d->events[b->n++]);
		b->events[row]++;
	}
}

static bool exhausted(const struct driver *d, enum inbox_row row)
{
	return d->pos[row] == d->rows[row].n;
}

/* Submissions wait until the urgent row is empty, which keeps each client's order, and have a quarter of a batch; so has
 * the bulk lane, always, so that its acknowledgements do not run out of time. */
static void gather(struct driver *d, struct batch *b)
{
	size_t most = d->c.commit_batch + b->n, quarter = d->c.commit_batch / 4 + 1;
	size_t kept = exhausted(d, ROW_BULK) ? 0 : quarter;

	gather_row(d, b, ROW_URGENT, most - kept);
	if (exhausted(d, ROW_URGENT))
		gather_row(d, b, ROW_SUBMIT, b->n + quarter < most - kept ? b->n + quarter : most - kept);
	gather_row(d, b, ROW_BULK, most);
}

/* Applies one batch of what is in the rows, and a tick when one is due. */
static void step(struct driver *d)
{
	struct event tick = {.type = EVENT_TICK, .now = driver_mono(), .wall = driver_wall()};
	struct batch b = {0};

	if (!mono_before(tick.now, core_deadline(d->c.core)))
		d->events[b.n++] = tick;
	gather(d, &b);
	if (!b.n)
		return;
	for (size_t i = 0; i < b.n; i++) {
		d->events[i].now = tick.now;
		d->events[i].wall = tick.wall;
	}
	apply(d, d->events, b.n);
	for (int i = 0; i < ROW_COUNT; i++) {
		if (b.events[i])
			inbox_done(d->c.inbox, (enum inbox_row)i, b.events[i], b.bytes[i]);
		if (!exhausted(d, (enum inbox_row)i))
			continue;
		inbox_batch_clear(&d->rows[i]);
		d->pos[i] = 0;
	}
}

static void *run(void *arg)
{
	struct driver *d = arg;

	pthread_setname_np(pthread_self(), "journal");
	apply_one(d, EVENT_START);
	for (;;) {
		struct mono until = mono_min(core_deadline(d->c.core), mono_add(driver_mono(), US_PER_S));

		if (!inbox_take(d->c.inbox, until.us, d->rows))
			break;
		d->progress++;
		step(d);
	}
	apply_one(d, EVENT_STOP);
	d->finished = true;
	wake(d);
	return NULL;
}

/* ---- life --------------------------------------------------------------------------------------------- */

enum err driver_start(const struct driver_config *config, struct driver **out)
{
	struct driver *d = calloc(1, sizeof *d);

	*out = NULL;
	if (!d)
		return ERR_NOMEM;
	d->c = *config;
	pthread_mutex_init(&d->mutex, NULL);
	d->events = calloc(config->commit_batch + 1, sizeof *d->events);
	if (!d->events || pthread_create(&d->thread, NULL, run, d) != 0) {
		pthread_mutex_destroy(&d->mutex);
		free(d->events);
		free(d);
		return ERR_NOMEM;
	}
	*out = d;
	return ERR_OK;
}

static void parcels_free(struct parcel *p)
{
	while (p) {
		struct parcel *next = p->next;

		parcel_free(p);
		p = next;
	}
}

void driver_join(struct driver *d)
{
	if (!d)
		return;
	pthread_join(d->thread, NULL);
	parcels_free(d->first);
	parcels_free(d->spare);
	for (int i = 0; i < ROW_COUNT; i++)
		inbox_batch_release(&d->rows[i]);
	pthread_mutex_destroy(&d->mutex);
	free(d->events);
	free(d);
}

uint64_t driver_progress(const struct driver *d)
{
	return d->progress;
}

bool driver_finished(const struct driver *d)
{
	return d->finished;
}
