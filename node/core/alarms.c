/* alarms.c - what a person has to know, before it is too late. An alarm is raised once, stays until its cause is gone, and
 * says what to do. */
#include <stdarg.h>
#include <stdio.h>

#include "node/core/core_int.h"

/* The last part of a handling time in which an unread message is an alarm already. */
#define DEADLINE_WARN_SHARE 5
#define LEASES_LOOKED_AT 4096

static void alarm_id(char id[80], const char *kind, const char *subject)
{
	snprintf(id, 80, "%s%s%s", kind, subject ? ":" : "", subject ? subject : "");
}

/* ---- which kinds are out: most are not, and clearing what is not out is asked for all the time ------------------------- */

#define COUNT_UNKNOWN (UINT16_MAX / 2)
#define ALARMS_OF_A_KIND 2000
static const char MANY_KIND[] = "alarms";

static uint16_t *kind_count(struct core *c, const char *kind)
{
	uint32_t h = 2166136261u; /* FNV-1a */

	for (; *kind; kind++)
		h = (h ^ (uint8_t)*kind) * 16777619u;
	return &c->alarms[h % ALARM_KINDS];
}

static enum err load_one(void *arg, const struct alarm_row *a)
{
	++*kind_count(arg, a->kind);
	return ERR_OK;
}

#define EXERCISE_PREFIX "exercise-"

const char *alarm_kind(bool exercise, const char *kind)
{
	static const char *const kinds[] = {EXERCISE_PREFIX "conflict", EXERCISE_PREFIX "dead-letter", EXERCISE_PREFIX "order",
					    EXERCISE_PREFIX "order-waits", EXERCISE_PREFIX "sealed", EXERCISE_PREFIX "takeover"};
	size_t n = sizeof kinds / sizeof *kinds, i = 0;

	if (!exercise)
		return kind;
	while (i < n && strcmp(kinds[i] + strlen(EXERCISE_PREFIX), kind) != 0)
		i++;
	assert(i < n);
	return kinds[i];
}

void alarms_load(struct core *c)
{
	memset(c->alarms, 0, sizeof c->alarms);
	/* With a row that cannot be read any kind may be out. */
	if (store_alarm_each(c->t, load_one, c))
		for (size_t i = 0; i < ALARM_KINDS; i++)
			c->alarms[i] = COUNT_UNKNOWN;
	memcpy(c->alarms_committed, c->alarms, sizeof c->alarms);
}

/* What others say can raise alarms without end; nobody reads so many of one kind, and the journal is not for them. */
static bool too_many(struct core *c, const char *kind)
{
	uint16_t n = *kind_count(c, kind);

	if (n < ALARMS_OF_A_KIND || n >= COUNT_UNKNOWN || strcmp(kind, MANY_KIND) == 0)
		return false;
	alarm_raise(c, MANY_KIND, kind, "look at those that are listed; the others are in the log", "%d alarms \"%s\" are out: no more of them are listed",
		    ALARMS_OF_A_KIND, kind);
	return true;
}

void alarm_raise(struct core *c, const char *kind, const char *subject, const char *todo, const char *fmt, ...)
{
	struct alarm_row a = {.active = true, .since = c->wall}, old;
	va_list ap;

	alarm_id(a.id, kind, subject);
	snprintf(a.kind, sizeof a.kind, "%s", kind);
	snprintf(a.todo, sizeof a.todo, "%s", todo);
	va_start(ap, fmt);
	vsnprintf(a.what, sizeof a.what, fmt, ap);
	va_end(ap);
	if (store_alarm_get(c->t, a.id, &old) == ERR_OK) {
		if (strcmp(old.what, a.what) == 0)
			return;
		a.since = old.since;
		memcpy(a.acknowledged, old.acknowledged, sizeof a.acknowledged);
	} else {
		effect_log(c->out, 4, "alarm %s: %s (%s)", a.id, a.what, a.todo);
		if (too_many(c, kind))
			return;
		++*kind_count(c, kind);
	}
	store_alarm_put(c->t, &a);
}

void alarm_clear(struct core *c, const char *kind, const char *subject)
{
	struct alarm_row a;
	uint16_t *count = kind_count(c, kind);
	char id[80];

	if (!*count)
		return;
	alarm_id(id, kind, subject);
	if (store_alarm_get(c->t, id, &a))
		return;
	store_alarm_del(c->t, id);
	if (--*count < ALARMS_OF_A_KIND && strcmp(kind, MANY_KIND) != 0)
		alarm_clear(c, MANY_KIND, kind);
	effect_log(c->out, 5, "alarm %s is over", id);
}

bool alarm_known(struct core *c, const char *id)
{
	struct alarm_row a;

	return store_alarm_get(c->t, id, &a) == ERR_OK;
}

enum err alarm_acknowledge(struct core *c, const char *id, const char *by)
{
	struct alarm_row a;
	enum err e = store_alarm_get(c->t, id, &a);

	if (e)
		return e;
	snprintf(a.acknowledged, sizeof a.acknowledged, "%s", by);
	store_alarm_put(c->t, &a);
	return ERR_OK;
}

struct active { bool exercise; unsigned n; };

static enum err count_active(void *arg, const struct alarm_row *a)
{
	struct active *x = arg;
	bool exercise = strncmp(a->kind, EXERCISE_PREFIX, strlen(EXERCISE_PREFIX)) == 0;

	x->n += a->active && !a->acknowledged[0] && exercise == x->exercise;
	return ERR_OK;
}

unsigned alarms_active(struct core *c, bool exercise)
{
	struct active x = {.exercise = exercise};
	enum err e = store_alarm_each(c->t, count_active, &x);

	(void)e; /* a damaged alarm row does not hide the others */
	return x.n;
}

/* ---- handling deadlines -------------------------------------------------------------------------------------------- */

struct due { int64_t by; struct msgid id; bool any; };

static void due_min(struct due *d, int64_t by, const struct msgid *id)
{
	if (by == INT64_MAX || (d->any && d->by <= by))
		return;
	*d = (struct due){.by = by, .id = *id, .any = true};
}

/* The earliest handle-by time among what waits: the first of what came back, and the first of the rest. */
static void due_waiting(struct core *c, const struct queue *q, uint8_t precedence, struct due *d)
{
	for (uint8_t fresh = 0; fresh < 2 && q->row.waiting[0][precedence]; fresh++) {
		struct place from = {.queue = q->row.local, .precedence = precedence, .fresh = fresh, .handle_by_us = INT64_MIN}, p;
		struct msgid id;

		if (store_place_from(c->t, &from, &p, &id) == ERR_OK && p.precedence == precedence && p.fresh == fresh)
			due_min(d, p.handle_by_us, &id);
	}
}

struct due_leases { struct core *c; struct due (*due)[PREC_COUNT]; size_t looked; };

static enum err due_lease(void *arg, const struct lease_row *l)
{
	struct due_leases *x = arg;

	if (++x->looked > LEASES_LOOKED_AT)
		return ERR_BUSY;
	for (size_t i = 0; i < x->c->n_queues; i++)
		if (x->c->queues[i].row.local == l->place.queue && !l->place.exercise && l->place.precedence < PREC_COUNT)
			due_min(&x->due[i][l->place.precedence], l->place.handle_by_us, &l->id);
	return ERR_OK;
}

/* A queue of ours by its name, one that is served here for another site with that. */
static const char *queue_label(const struct core *c, const struct queue *q, char out[LIMIT_ADDRESS_BYTES + 1])
{
	char site[LIMIT_NAME_BYTES + 1];

	if (q->row.site == c->self)
		snprintf(out, LIMIT_ADDRESS_BYTES + 1, "%s", q->row.name);
	else
		snprintf(out, LIMIT_ADDRESS_BYTES + 1, "%s/%s", site_name(c, q->row.site, site), q->row.name);
	return out;
}

void alarms_unserved(struct core *c, struct queue *q)
{
	char label[LIMIT_ADDRESS_BYTES + 1], subject[LIMIT_ADDRESS_BYTES + 16];

	alarm_clear(c, "unattended", queue_label(c, q, label));
	q->unattended_since = MONO_NEVER;
	for (unsigned p = 0; p < PREC_COUNT; p++) {
		snprintf(subject, sizeof subject, "%s:%s", label, precedence_name(p));
		alarm_clear(c, "deadline", subject);
	}
}

/* Returns when it has to be looked at again. */
static struct mono deadline_alarm(struct core *c, const struct queue *q, uint8_t precedence, const struct due *d)
{
	const struct site *site = roster_site(c->roster, q->row.site);
	const struct queue_def *def = site ? site_queue(site, view_str(q->row.name)) : NULL;
	int64_t span = (def ? def->deadline_us : c->roster->deadline_us)[precedence];
	char subject[LIMIT_ADDRESS_BYTES + 16], label[LIMIT_ADDRESS_BYTES + 1], id[MSGID_TEXT_BYTES], by[WALL_TEXT_BYTES];

	if (!d->any && !*kind_count(c, "deadline"))
		return MONO_NEVER;
	snprintf(subject, sizeof subject, "%s:%s", queue_label(c, q, label), precedence_name(precedence));
	if (!d->any || c->wall.us < d->by - span / DEADLINE_WARN_SHARE) {
		alarm_clear(c, "deadline", subject);
		return d->any ? mono_of_wall(c, d->by - span / DEADLINE_WARN_SHARE) : MONO_NEVER;
	}
	msgid_format(&d->id, id);
	wall_format((struct wall){d->by}, 0, by);
	alarm_raise(c, "deadline", subject, "take it and acknowledge it, or put more people on this queue",
		    "%s %s message in %s%s%s %s %s: %s", precedence == PREC_IMMEDIATE ? "an" : "a", precedence_name(precedence), q->row.site == c->self ? c->me->id : "", q->row.site == c->self ? "/" : "", label,
		    c->wall.us < d->by ? "should be read by" : "should have been read by", by, id);
	return c->wall.us < d->by ? mono_of_wall(c, d->by) : MONO_NEVER;
}

static struct mono deadlines_look(struct core *c)
{
	struct due(*due)[PREC_COUNT] = calloc(c->n_queues ? c->n_queues : 1, sizeof *due);
	struct due_leases leases = {.c = c, .due = due};

	struct mono next = MONO_NEVER;

	if (!due)
		return next;
	for (size_t i = 0; i < c->n_queues; i++)
		for (uint8_t p = 0; p < PREC_COUNT && c->queues[i].served[0]; p++)
			due_waiting(c, &c->queues[i], p, &due[i][p]);
	enum err e = store_lease_each(c->t, due_lease, &leases);

	(void)e; /* more leases than are looked at: the first ones are the oldest */
	for (size_t i = 0; i < c->n_queues; i++)
		for (uint8_t p = 0; p < PREC_COUNT && c->queues[i].served[0]; p++)
			next = mono_min(next, deadline_alarm(c, &c->queues[i], p, &due[i][p]));
	free(due);
	return next;
}

static bool queue_attended(const struct core *c, const struct queue *q)
{
	for (size_t i = 0; i < c->n_takes; i++)
		if (!c->takes[i].done && !c->takes[i].exercise && c->takes[i].queue == q->row.local)
			return true;
	return false;
}

/* FLASH waits and nobody takes: the duty officer has to know before the deadline does. */
static struct mono unattended_look(struct core *c)
{
	struct mono next = MONO_NEVER;

	for (size_t i = 0; i < c->n_queues; i++) {
		struct queue *q = &c->queues[i];
		char label[LIMIT_ADDRESS_BYTES + 1];
		uint64_t n = q->row.waiting[0][PREC_FLASH];

		if (!q->served[0] || !n || queue_attended(c, q)) {
			if (q->served[0] && q->unattended_since.us != MONO_NEVER.us)
				alarm_clear(c, "unattended", queue_label(c, q, label));
			q->unattended_since = MONO_NEVER;
			continue;
		}
		if (q->unattended_since.us == MONO_NEVER.us)
			q->unattended_since = c->now;
		if (c->now.us - q->unattended_since.us < c->config.unattended_us)
			next = mono_min(next, mono_add(q->unattended_since, c->config.unattended_us));
		else
			alarm_raise(c, "unattended", queue_label(c, q, label), "send somebody to this desk, or take from it elsewhere",
				    "FLASH waits in %s%s%s and nobody takes from it", q->row.site == c->self ? c->me->id : "", q->row.site == c->self ? "/" : "",
				    queue_label(c, q, label));
	}
	return next;
}

static void space_look(struct core *c)
{
	struct store_space s;

	store_space(c->store, &s);
	int percent = space_percent(c);

	if (percent >= 80)
		alarm_raise(c, "space", NULL, "raise `quota` in node.conf or free space on the disk of the journal",
			    "the journal has used more than %s of its room%s%s%s", percent >= 95 ? "95 %" : "80 %",
			    s.used_bytes < s.quota_bytes / 2 ? "; its disk is nearly full" : "", room_refuses(c)[0] ? "; not taken from desks: " : "", room_refuses(c));
	else
		alarm_clear(c, "space", NULL);
}

static void recovery_look(struct core *c)
{
	uint16_t waits_for = 0;
	char name[LIMIT_NAME_BYTES + 1];

	if (c->recovery_waived && recovery_done(c, &waits_for))
		recovery_put(c, RECOVERED);
	if (!c->recovering)
		return;
	if (!recovery_done(c, &waits_for)) {
		alarm_raise(c, "recovering", NULL, "wait until it is reached, or waive it with `estafette release` when it is gone",
			    "this node's journal was lost: it hands out nothing until %s has shown what was read", site_name(c, waits_for, name));
		return;
	}
	recovery_put(c, RECOVERED);
	effect_log(c->out, 5, "recovery: what standbys hold of this site is here again; queues are open");
}

struct mono alarms_look(struct core *c)
{
	recovery_look(c);
	space_look(c);
	return mono_min(deadlines_look(c), unattended_look(c));
}
