/* conflict.c - messages that two sites handled: found where the reports of both meet, told, and listed until a person signs
 * them off.
 *
 * A takeover of a site that was alive but cut off can end so, and no handling would have been worse; but never silently. */
#include <stdio.h>

#include "node/core/show_int.h"

static const char KIND_OF_ALARM[] = "conflict";

/* ---- who handled it --------------------------------------------------------------------------------------------------- */

/* Was it that site's to handle, by the roster or by any valid order? What others claim is no handling. */
static bool may_handle(const struct core *c, uint16_t site, uint16_t addressee, bool exercise)
{
	uint16_t sites[LIMIT_CUSTODIANS];
	size_t n = roster_custodians(c->roster, addressee, sites);

	for (size_t i = 0; i < n; i++)
		if (sites[i] == site)
			return true;
	return site == addressee || may_serve(c, site, addressee, exercise);
}

/* By time; between equal times by numbers, so that all nodes list the same whatever came first. */
static bool before(const struct conflict_row *row, size_t i, const struct msg_event *e)
{
	if (row->handler[i].when.us != e->when.us)
		return row->handler[i].when.us < e->when.us;
	return row->handler[i].site != e->source ? row->handler[i].site < e->source : row->handler[i].event <= e->event;
}

/* Of each site its first handling. */
static void handler_add(struct conflict_row *row, const struct msg_event *e)
{
	size_t at = 0;

	for (size_t i = 0; i < row->n; i++) {
		if (row->handler[i].site != e->source)
			continue;
		if (before(row, i, e))
			return;
		memmove(&row->handler[i], &row->handler[i + 1], (row->n - i - 1u) * sizeof row->handler[0]);
		row->n--;
		break;
	}
	while (at < row->n && before(row, at, e))
		at++;
	if (at == CONFLICT_HANDLERS)
		return;
	row->n += row->n < CONFLICT_HANDLERS;
	memmove(&row->handler[at + 1], &row->handler[at], (row->n - at - 1u) * sizeof row->handler[0]);
	row->handler[at].site = e->source;
	row->handler[at].event = e->event;
	row->handler[at].when = e->when;
	view_to_str(e->by, row->handler[at].by, sizeof row->handler[at].by);
}

static void handlers_of(const struct core *c, struct conflict_row *row, struct view events)
{
	struct msg_event e;

	while (events_next(&events, &e))
		if ((e.event == EVENT_READ || e.event == EVENT_REFUSED) && may_handle(c, e.source, row->addressee, row->exercise))
			handler_add(row, &e);
}

/* Does a list a site that b does not? */
static bool names_another(const struct conflict_row *a, const struct conflict_row *b)
{
	for (size_t i = 0; i < a->n; i++) {
		bool there = false;

		for (size_t k = 0; k < b->n; k++)
			there = there || b->handler[k].site == a->handler[i].site;
		if (!there)
			return true;
	}
	return false;
}

static bool same_handlers(const struct conflict_row *a, const struct conflict_row *b)
{
	bool same = a->n == b->n;

	for (size_t i = 0; same && i < a->n; i++)
		same = a->handler[i].site == b->handler[i].site && a->handler[i].event == b->handler[i].event &&
		       a->handler[i].when.us == b->handler[i].when.us && strcmp(a->handler[i].by, b->handler[i].by) == 0;
	return same;
}

/* ---- found, and told ---------------------------------------------------------------------------------------------------- */

/* What ended stands in no queue any more; its envelope says in which it stood. Empty when that cannot be opened here. */
static void queue_name(struct core *c, struct conflict_row *row)
{
	struct entry_row entry;
	struct envelope env;
	struct msg_row msg;
	struct header h;

	if (store_msg_get(c->t, &row->id, row->addressee, &msg) || !msg.arrival || store_entry_get(c->t, msg.arrival, &entry))
		return;
	struct stream *s = stream_by_local(c, entry.stream);

	if (!s || open_envelope(c, s, &entry, &h, &env) || !view_to_str(env.queue, row->queue, sizeof row->queue))
		row->queue[0] = '\0';
}

static void address_text(const struct core *c, const struct conflict_row *row, char out[LIMIT_ADDRESS_BYTES + 2])
{
	char site[LIMIT_NAME_BYTES + 1];

	snprintf(out, LIMIT_ADDRESS_BYTES + 2, "%s%s%s", site_name(c, row->addressee, site), row->queue[0] ? "/" : "", row->queue);
}

/* "read by anna", "refused". */
#define HOW_BYTES (LIMIT_USER_BYTES + 24)
static void how_text(const struct conflict_row *row, size_t i, char out[HOW_BYTES])
{
	const char *by = row->handler[i].by;

	snprintf(out, HOW_BYTES, "%s%s%s", report_event_name(row->handler[i].event), by[0] ? " by " : "", by);
}

static void tell(struct core *c, const struct conflict_row *row)
{
	char id[MSGID_TEXT_BYTES], to[LIMIT_ADDRESS_BYTES + 2], list[CONFLICT_HANDLERS * (LIMIT_NAME_BYTES + HOW_BYTES + WALL_TEXT_BYTES + 16)];
	size_t at = 0;

	msgid_format(&row->id, id);
	address_text(c, row, to);
	for (size_t i = 0; i < row->n; i++) {
		char site[LIMIT_NAME_BYTES + 1], how[HOW_BYTES], when[WALL_TEXT_BYTES];

		how_text(row, i, how);
		wall_format(row->handler[i].when, 0, when);
		at += (size_t)snprintf(list + at, sizeof list - at, "%sby %s (%s, %s)", i ? " and " : "", site_name(c, row->handler[i].site, site), how, when);
	}
	alarm_raise(c, alarm_kind(row->exercise, KIND_OF_ALARM), id, "find out with both sites what each did, then sign it off with `estafette ack ID`",
		    "%smessage %s for %s was handled %s", row->exercise ? "exercise " : "", id, to, list);
}

void conflict_look(struct core *c, const struct msgid *id, uint16_t addressee, bool exercise, struct view events)
{
	struct conflict_row row = {.id = *id, .addressee = addressee, .exercise = exercise}, old;

	handlers_of(c, &row, events);
	if (row.n < 2)
		return;
	/* A row that cannot be read is made anew: the events say the same, and a person looks once more. */
	enum err e = store_conflict_get(c->t, id, addressee, &old);

	if (e && e != ERR_NOT_FOUND && e != ERR_DAMAGED) {
		txn_fail(c->t, e);
		return;
	}
	if (!e && same_handlers(&row, &old))
		return;
	if (!e && !names_another(&row, &old)) {
		memcpy(row.signed_off, old.signed_off, sizeof row.signed_off);
		row.signed_at = old.signed_at;
	}
	queue_name(c, &row);
	store_conflict_put(c->t, &row);
	if (!row.signed_off[0])
		tell(c, &row);
}

/* ---- the list, and its end ------------------------------------------------------------------------------------------------ */

/* The first at or after row's id and addressee; one that cannot be read is made anew, where its message is known. ERR_NOT_FOUND
 * at the end, ERR_DAMAGED for one to step over. */
static enum err conflict_from(struct core *c, struct conflict_row *row)
{
	struct buf events = BUF_EMPTY;
	struct msg_row msg;
	enum err e = store_conflict_from(c->t, &row->id, row->addressee, row);

	if (e != ERR_DAMAGED)
		return e;
	if (!msg_load(c, &row->id, row->addressee, &msg, &events))
		conflict_look(c, &row->id, row->addressee, (msg.flags & HEADER_EXERCISE) != 0, buf_view(&events));
	buf_release(&events);

	struct conflict_row again;

	e = store_conflict_get(c->t, &row->id, row->addressee, &again);
	if (!e)
		*row = again;
	return e ? ERR_DAMAGED : ERR_OK;
}

/* The key behind row's, false when there is none. */
static bool step(struct conflict_row *row)
{
	if (++row->addressee)
		return true;
	for (size_t i = MSGID_BYTES; i-- > 0;)
		if (++row->id.b[i])
			return true;
	return false;
}

enum err conflict_sign_off(struct core *c, const struct msgid *id, const char *by)
{
	struct conflict_row row = {.id = *id};
	char text[MSGID_TEXT_BYTES];
	bool found = false, exercise = false;
	enum err e;

	while (((e = conflict_from(c, &row)) == ERR_OK || e == ERR_DAMAGED) && msgid_equal(&row.id, id)) {
		if (!e) {
			found = true;
			exercise = row.exercise;
			if (!row.signed_off[0]) {
				view_to_str(view_str(by[0] ? by : "unknown"), row.signed_off, sizeof row.signed_off);
				row.signed_at = c->wall;
				store_conflict_put(c->t, &row);
			}
		}
		if (!step(&row))
			break;
	}
	if (!found)
		return ERR_NOT_FOUND;
	msgid_format(id, text);
	alarm_clear(c, alarm_kind(exercise, KIND_OF_ALARM), text);
	return ERR_OK;
}

void conflicts_open(struct core *c, uint64_t open[2])
{
	struct conflict_row row = {.addressee = 0};
	enum err e;

	open[0] = open[1] = 0;
	while ((e = conflict_from(c, &row)) == ERR_OK || e == ERR_DAMAGED) {
		open[row.exercise] += !e && !row.signed_off[0];
		if (!step(&row))
			break;
	}
}

static void line_add(struct buf *list, const char *text)
{
	if (list->len)
		buf_add(list, view_str("\n"));
	buf_add(list, view_str(text));
}

static void conflict_line(struct rows *r, const struct conflict_row *row, struct buf lists[3])
{
	char id[MSGID_TEXT_BYTES], to[LIMIT_ADDRESS_BYTES + 2];

	for (size_t i = 0; i < 3; i++)
		buf_clear(&lists[i]);
	for (size_t i = 0; i < row->n; i++) {
		char site[LIMIT_NAME_BYTES + 1], how[HOW_BYTES], when[WALL_TEXT_BYTES];

		how_text(row, i, how);
		wall_format(row->handler[i].when, 0, when);
		line_add(&lists[0], site_name(r->c, row->handler[i].site, site));
		line_add(&lists[1], when);
		line_add(&lists[2], how);
	}
	msgid_format(&row->id, id);
	address_text(r->c, row, to);
	row_begin(r);
	row_text(r, "id", id);
	row_text(r, "queue", to);
	row_list(r, "handlers", &lists[0]);
	row_list(r, "times", &lists[1]);
	row_list(r, "how", &lists[2]);
	row_flag(r, "signed_off", row->signed_off[0] != '\0');
	row_text(r, "by", row->signed_off);
	row_time(r, "signed_at", row->signed_at);
	row_flag(r, "exercise", row->exercise);
	row_end(r);
}

void show_conflicts(struct rows *r)
{
	struct buf lists[3] = {BUF_EMPTY, BUF_EMPTY, BUF_EMPTY};
	struct conflict_row row = {.addressee = 0};
	enum err e;

	while ((e = conflict_from(r->c, &row)) == ERR_OK || e == ERR_DAMAGED) {
		if (!e)
			conflict_line(r, &row, lists);
		if (!step(&row))
			break;
	}
	for (size_t i = 0; i < 3; i++)
		buf_release(&lists[i]);
}

bool conflict_known(struct core *c, const struct msgid *id)
{
	struct conflict_row row;
	uint16_t from = 0;

	while (store_conflict_from(c->t, id, from, &row) == ERR_OK && msgid_equal(&row.id, id)) {
		if (!row.signed_off[0])
			return true;
		if (row.addressee == UINT16_MAX)
			break;
		from = (uint16_t)(row.addressee + 1);
	}
	return false;
}
