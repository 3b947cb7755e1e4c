/* export_drill.c - a period of a journal as a drill of the simulator (sim/README.md): who sent what when, how large and how urgent, which orders
 * were given, and when its site's links were down (export_links.h). No body, no subject, no person, no reason; names of sites kept, or
 * replaced. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/cli/commands.h"
#include "node/cli/export_drill_int.h"
#include "proto/seal.h"

/* A drill takes so long at least: nodes need some seconds to start, and senders try again after eight. */
#define LENGTH_LEAST MINUTE_US
/* Entries looked at in one transaction. */
#define LOOK_ENTRIES 4096

/* ---- what the journal says -------------------------------------------------------------------------------------------------- */

/* The number of a short text, from 1; 0 for none, and when it cannot be a word of a drill. */
static enum err word_of(struct drill_out *d, struct view v, uint16_t *out)
{
	*out = 0;
	if (v.len == 0 || v.len > LIMIT_NAME_BYTES || !view_is_name(v))
		return ERR_OK;
	for (size_t i = 0; i < d->n_words; i++)
		if (view_equal(v, view_str(d->words[i].text))) {
			*out = (uint16_t)(i + 1);
			return ERR_OK;
		}
	if (d->n_words == UINT16_MAX)
		return ERR_TOO_LARGE;
	enum err e = export_room((void **)&d->words, d->n_words, &d->cap_words, sizeof *d->words);
	if (e != ERR_OK)
		return e;
	snprintf(d->words[d->n_words].text, sizeof d->words->text, "%.*s", (int)v.len, (const char *)v.ptr);
	*out = (uint16_t)++d->n_words;
	return ERR_OK;
}

static enum err tell_message(struct drill_out *d, const struct stream_row *stream, const struct header *h, const struct envelope *e)
{
	struct told t = {.at_us = h->sent.us, .from = stream->name.originator, .to = stream->name.addressee, .area = h->area,
	                 .precedence = stream->name.precedence, .exercise = stream->name.exercise};
	uint64_t size = e->body_bytes ? bucket_bytes(bucket_of(e->body_bytes)) : SIZE_LEAST;
	t.size = size < LIMIT_BODY_BYTES ? size : LIMIT_BODY_BYTES;
	t.expires_us = h->expires.us > h->sent.us ? (h->expires.us - h->sent.us + SECOND_US - 1) / SECOND_US * SECOND_US : 0;
	enum err err = word_of(d, e->queue, &t.queue);
	if (err == ERR_OK)
		err = word_of(d, e->exercise, &t.name);
	if (err == ERR_OK)
		err = word_of(d, e->channel, &t.channel);
	if (err == ERR_OK)
		err = export_room((void **)&d->told, d->n_told, &d->cap_told, sizeof *d->told);
	if (err == ERR_OK && d->n_told == EVENTS_MOST)
		return err_set(d->m, ERR_TOO_LARGE, "%.200s: over %d messages in this time, more than a drill takes (choose a shorter one)", d->s->dir, EVENTS_MOST);
	if (err == ERR_OK)
		d->told[d->n_told++] = t;
	return err;
}

static bool is_wanted(const struct drill_out *d, struct wall t)
{
	return t.us >= d->want->from.us && t.us < d->want->to.us;
}

static enum err some_entries(struct drill_out *d, struct txn *t, const struct stream_row *stream, uint64_t *next, struct buf *plain)
{
	struct header h;
	struct entry_row row;
	struct envelope envelope;
	enum err e = ERR_OK;
	for (unsigned looked = 0; e == ERR_OK && *next <= stream->held && looked < LOOK_ENTRIES; looked++, ++*next) {
		e = store_entry_find(t, stream->local, *next, &row);
		if (e != ERR_OK)
			return err_set(d->m, e, "%.200s: entry %" PRIu64 " of stream %" PRIu32 ": %s (journal verify says more)", d->s->dir, *next, stream->local, err_text(e));
		if (header_decode(row.e.header, &h) != ERR_OK || !is_wanted(d, h.sent))
			continue;
		e = drill_look_around(d, stream, &h, &row);
		if (e != ERR_OK || h.kind != KIND_MESSAGE)
			continue;
		if (source_envelope(d->s, t, stream, &row, plain, &envelope))
			e = tell_message(d, stream, &h, &envelope);
		else
			d->s->unopened++;
	}
	return e;
}

static enum err read_messages(struct drill_out *d)
{
	struct buf plain = BUF_EMPTY;
	enum err e = ERR_OK;
	for (size_t i = 0; e == ERR_OK && i < d->s->n_streams; i++) {
		const struct stream_row *stream = &d->s->streams[i];
		uint64_t next = stream->floor + 1;
		d->retired += stream->floor > 0;
		while (e == ERR_OK && next <= stream->held) {
			struct txn *t = NULL;
			e = txn_begin(d->s->store, false, &t);
			if (e == ERR_OK)
				e = some_entries(d, t, stream, &next, &plain);
			txn_abort(t);
			if (e == ERR_OK && longwork_stopped())
				e = err_set(d->m, ERR_CLOSED, "interrupted, nothing was left");
		}
	}
	if (plain.ptr)
		crypt_wipe(plain.ptr, plain.cap);
	buf_release(&plain);
	return e;
}

static enum err keep_order(void *arg, const struct hash *hash, struct view blob)
{
	struct drill_out *d = arg;
	struct given g = {.n_by = 1};
	(void)hash;
	/* One of a later kind is none that a drill could name. */
	if (order_decode(blob, &g.order, &g.id) != ERR_OK || g.order.issued.us >= d->want->to.us)
		return ERR_OK;
	g.order.points = view_of(NULL, 0);
	g.by[0] = g.order.issuer;
	enum err e = export_room((void **)&d->given, d->n_given, &d->cap_given, sizeof *d->given);
	if (e == ERR_OK)
		d->given[d->n_given++] = g;
	return e;
}

static enum err keep_endorsement(void *arg, const struct hash *hash, struct view blob)
{
	struct drill_out *d = arg;
	struct endorsement x;
	struct hash id;
	(void)hash;
	if (endorsement_decode(blob, &x, &id) != ERR_OK || !x.site)
		return ERR_OK;
	for (size_t i = 0; i < d->n_given; i++)
		if (hash_equal(&d->given[i].id, &x.order) && d->given[i].n_by <= ENDORSERS && d->given[i].by[0] != x.site)
			d->given[i].by[d->given[i].n_by++] = x.site;
	return ERR_OK;
}

static enum err read_orders(struct drill_out *d)
{
	struct txn *t = NULL;
	enum err e = txn_begin(d->s->store, false, &t);
	if (e == ERR_OK)
		e = store_state_each(t, STATE_KIND_ORDER, keep_order, d);
	if (e == ERR_OK)
		e = store_state_each(t, STATE_KIND_ENDORSEMENT, keep_endorsement, d);
	txn_abort(t);
	return e == ERR_OK ? e : err_set(d->m, e, "%.200s: reading the orders: %s (journal verify says more)", d->s->dir, err_text(e));
}

/* ---- what of it is told ------------------------------------------------------------------------------------------------------- */

static bool is_about_same(const struct order *a, const struct order *b)
{
	return a->site == b->site && order_of_network(a->kind) == order_of_network(b->kind) && strcmp(a->exercise, b->exercise) == 0;
}

/* An order from before the time counts when no later one of its chain was there at its beginning. */
static bool still_in_force(const struct drill_out *d, const struct order *o)
{
	for (size_t i = 0; i < d->n_given; i++) {
		const struct order *x = &d->given[i].order;
		if (is_about_same(x, o) && x->issued.us < d->start.us && x->epoch > o->epoch)
			return false;
	}
	return o->kind == ORDER_MINIMIZE ? o->until.us > d->start.us : o->kind == ORDER_RELOCATE || o->kind == ORDER_REVOKE;
}

static int by_time(const void *a, const void *b)
{
	const struct told *x = a, *y = b;
	if (x->at_us != y->at_us)
		return x->at_us < y->at_us ? -1 : 1;
	if (x->from != y->from)
		return x->from < y->from ? -1 : 1;
	return x->to < y->to ? -1 : x->to > y->to;
}

static int by_issue(const void *a, const void *b)
{
	const struct order *x = &((const struct given *)a)->order, *y = &((const struct given *)b)->order;
	if (x->issued.us != y->issued.us)
		return x->issued.us < y->issued.us ? -1 : 1;
	return memcmp(((const struct given *)a)->id.b, ((const struct given *)b)->id.b, HASH_BYTES);
}

static enum err choose_time(struct drill_out *d)
{
	int64_t first = INT64_MAX, last = INT64_MIN;
	for (size_t i = 0; i < d->n_told; i++) {
		first = d->told[i].at_us < first ? d->told[i].at_us : first;
		last = d->told[i].at_us > last ? d->told[i].at_us : last;
	}
	for (size_t i = 0; i < d->n_given; i++) {
		int64_t at = d->given[i].order.issued.us;
		first = is_wanted(d, d->given[i].order.issued) && at < first ? at : first;
		last = is_wanted(d, d->given[i].order.issued) && at > last ? at : last;
	}
	if (first > last)
		return err_set(d->m, ERR_NOT_FOUND, "%.200s: no message of this time that %s opens, and no order (journal ls shows what is there)", d->s->dir,
		               d->s->unopened ? "a key here" : "the site");
	d->start.us = d->want->from.us == INT64_MIN ? first / MINUTE_US * MINUTE_US : d->want->from.us;
	d->end.us = d->want->to.us == INT64_MAX ? (last / MINUTE_US + 1) * MINUTE_US : d->want->to.us;
	if (d->end.us - d->start.us > LENGTH_MOST)
		return err_set(d->m, ERR_RANGE, "%.200s: this time is longer than the 366 days of a drill (give --from and --to)", d->s->dir);
	if (d->end.us - d->start.us < SECOND_US)
		return err_set(d->m, ERR_RANGE, "%.200s: this time is shorter than the second of a drill (give another --from or --to)", d->s->dir);
	return ERR_OK;
}

static enum err keep_orders_that_count(struct drill_out *d)
{
	size_t n = 0;
	bool *keep = calloc(d->n_given + 1, sizeof *keep);
	for (size_t i = 0; keep && i < d->n_given; i++)
		keep[i] = d->given[i].order.issued.us >= d->start.us ? d->given[i].order.kind != ORDER_LIFT : still_in_force(d, &d->given[i].order);
	/* A MINIMIZE that was lifted or replaced ends then. */
	for (size_t i = 0; keep && i < d->n_given; i++)
		for (size_t k = 0; d->given[i].order.kind == ORDER_MINIMIZE && k < d->n_given; k++) {
			const struct order *x = &d->given[k].order;
			if (is_about_same(x, &d->given[i].order) && x->epoch > d->given[i].order.epoch && x->issued.us < d->given[i].order.until.us)
				d->given[i].order.until = x->issued;
		}
	for (size_t i = 0; keep && i < d->n_given; i++)
		if (keep[i])
			d->given[n++] = d->given[i];
	free(keep);
	d->n_given = n;
	return keep ? ERR_OK : ERR_NOMEM;
}

static void name_site(struct drill_out *d, uint16_t number)
{
	if (number && !d->named[number]) {
		d->named[number] = 1;
		d->n_sites++;
	}
}

/* Every site that an event names, and the one whose journal this is; replaced names are given by rising number. */
static void name_sites(struct drill_out *d)
{
	uint16_t next = 0;
	name_site(d, store_birth(d->s->store)->site);
	for (size_t i = 0; i < d->n_told; i++) {
		name_site(d, d->told[i].from);
		name_site(d, d->told[i].to);
	}
	for (size_t i = 0; i < d->n_given; i++) {
		const struct given *g = &d->given[i];
		name_site(d, g->order.site);
		for (size_t k = 0; k < g->n_by; k++)
			name_site(d, g->by[k]);
		for (size_t k = 0; k < g->order.n_assign; k++)
			name_site(d, g->order.assign[k].to);
	}
	for (size_t i = 1; i < 65536; i++)
		if (d->named[i])
			d->named[i] = ++next;
}

/* Are the sites and queues those that the simulator knows by name? */
static enum err check_names(struct drill_out *d)
{
	struct roster *r = NULL;
	struct errmsg m;
	enum err e = roster_parse("conf/belgium.conf", belgium_conf(), NULL, true, &r, &m);
	if (e != ERR_OK)
		return err_set(d->m, e, "%s", m.text);
	for (size_t i = 1; e == ERR_OK && i < 65536; i++) {
		const struct site *ours = d->named[i] ? roster_site(d->s->roster, (uint16_t)i) : NULL;
		if (d->named[i] && (!ours || !roster_site_by_id(r, view_str(ours->id))))
			e = err_set(d->m, ERR_UNKNOWN_SITE, "site %s is none of the simulator's roster (give --names replace)", ours ? ours->id : "that left the roster");
	}
	for (size_t i = 0; e == ERR_OK && i < d->n_told; i++) {
		const struct site *ours = roster_site(d->s->roster, d->told[i].to), *theirs = roster_site_by_id(r, view_str(ours->id));
		const char *queue = d->told[i].queue ? d->words[d->told[i].queue - 1].text : "";
		if (!site_queue(theirs, view_str(queue)))
			e = err_set(d->m, ERR_UNKNOWN_QUEUE, "%s has no queue %s in the simulator's roster (give --names replace)", ours->id, queue);
	}
	for (size_t i = 0; e == ERR_OK && i < d->s->roster->n_areas; i++)
		if (d->named[d->s->roster->areas[i].site] && !roster_area_by_id(r, view_str(d->s->roster->areas[i].id)))
			e = err_set(d->m, ERR_UNKNOWN_SITE, "area %s is none of the simulator's roster (give --names replace)", d->s->roster->areas[i].id);
	roster_free(r);
	return e;
}

/* ---- writing it ------------------------------------------------------------------------------------------------------------------- */

void drill_put(struct drill_out *d, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (n >= 0)
		buf_add(&d->text, view_of((const uint8_t *)text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1));
}

void drill_span(struct drill_out *d, int64_t us)
{
	static const struct { const char *unit; int64_t us; } units[] = {{"d", 86400000000LL}, {"h", 3600000000LL}, {"min", MINUTE_US}, {"s", 1000000}, {"ms", 1000}, {"us", 1}};
	const char *space = "";
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
		if (us < units[i].us)
			continue;
		drill_put(d, "%s%" PRId64 "%s", space, us / units[i].us, units[i].unit);
		us %= units[i].us;
		space = " ";
	}
	if (!*space)
		drill_put(d, "0s");
}

const char *drill_site(const struct drill_out *d, uint16_t number, char out[LIMIT_NAME_BYTES + 1])
{
	if (!d->want->replace)
		return roster_site_name(d->s->roster, number, out);
	snprintf(out, LIMIT_NAME_BYTES + 1, "site-%03u", d->named[number]);
	return out;
}

/* A made network has two queues. */
static const char *queue_name(struct drill_out *d, const char *queue)
{
	if (!d->want->replace || strcmp(queue, "dispatch") == 0 || strcmp(queue, "messages") == 0)
		return queue;
	d->other_queues++;
	return "messages";
}

void drill_begin(struct drill_out *d, int64_t at_us, const char *what)
{
	drill_put(d, "%s\n  { at = \"", d->n_events++ ? "," : "");
	drill_span(d, at_us > d->start.us ? at_us - d->start.us : 0);
	drill_put(d, "\"; do = \"%s\";", what);
}

static const char *queue_of(struct drill_out *d, const struct told *t)
{
	return queue_name(d, t->queue ? d->words[t->queue - 1].text : "");
}

static void put_exercise(struct drill_out *d, const struct told *t)
{
	if (t->exercise)
		drill_put(d, " exercise = \"%s\";", t->name && !d->want->replace ? d->words[t->name - 1].text : "exercise");
}

static void put_message(struct drill_out *d, const struct told *t)
{
	char name[2][LIMIT_NAME_BYTES + 1];
	const struct area *area = t->area && !d->want->replace ? roster_area(d->s->roster, t->area) : NULL;
	drill_begin(d, t->at_us, "send");
	drill_put(d, " from = \"%s\"; to = \"%s/%s\"; precedence = \"%s\"; size = \"%" PRIu64 "B\";", drill_site(d, t->from, name[0]),
	    area && area->site == t->to ? area->id : drill_site(d, t->to, name[1]), queue_of(d, t),
	    precedence_name(t->precedence), t->size);
	put_exercise(d, t);
	if (t->channel && !d->want->replace)
		drill_put(d, " channel = \"%s\";", d->words[t->channel - 1].text);
	if (t->expires_us && t->expires_us <= LENGTH_MOST) {
		drill_put(d, " expires = \"");
		drill_span(d, t->expires_us);
		drill_put(d, "\";");
	}
	drill_put(d, " }");
}

/* In percent, rounded at both ends, so that all together stay 100. */
static int share_percent(const struct assignment *a)
{
	return (a->until * 100 + SHARES / 2) / SHARES - (a->from * 100 + SHARES / 2) / SHARES;
}

static void put_assignment(struct drill_out *d, const struct assignment *a)
{
	char name[LIMIT_NAME_BYTES + 1];
	const struct area *area = a->what == ASSIGN_AREA && !d->want->replace ? roster_area(d->s->roster, a->area) : NULL;
	drill_put(d, "\"%s", drill_site(d, a->to, name));
	if (a->what == ASSIGN_QUEUE)
		drill_put(d, ":%s", queue_name(d, a->queue));
	else if (area)
		drill_put(d, ":area=%s", area->id);
	else if (a->what == ASSIGN_SHARE)
		drill_put(d, ":share=%d%%", share_percent(a));
	drill_put(d, "\"");
}

/* A made network has no areas and two queues, and without them it would be another order. */
static bool can_be_told(const struct drill_out *d, const struct order *o)
{
	for (size_t i = 0; i < o->n_assign; i++) {
		const struct assignment *a = &o->assign[i];
		bool known = strcmp(a->queue, "dispatch") == 0 || strcmp(a->queue, "messages") == 0;
		if (a->what == ASSIGN_AREA && (d->want->replace || !roster_area(d->s->roster, a->area)))
			return false;
		if ((a->what == ASSIGN_QUEUE && d->want->replace && !known) || (a->what == ASSIGN_SHARE && share_percent(a) < 1))
			return false;
	}
	return true;
}

static void put_order(struct drill_out *d, const struct given *g)
{
	const struct order *o = &g->order;
	char name[LIMIT_NAME_BYTES + 1];
	int64_t at = o->issued.us > d->start.us ? o->issued.us : d->start.us;
	drill_begin(d, at, order_kind_name(o->kind));
	if (o->kind != ORDER_MINIMIZE)
		drill_put(d, " site = \"%s\";", drill_site(d, o->site, name));
	if (o->kind == ORDER_RELOCATE) {
		drill_put(d, " to = (");
		for (size_t i = 0; i < o->n_assign; i++) {
			drill_put(d, i ? ", " : " ");
			put_assignment(d, &o->assign[i]);
		}
		drill_put(d, " );");
	}
	if (o->kind == ORDER_MINIMIZE) {
		drill_put(d, " precedence = \"%s\"; for = \"", precedence_name(o->precedence));
		drill_span(d, o->until.us - at > SECOND_US ? o->until.us - at : SECOND_US);
		drill_put(d, "\";");
	}
	drill_put(d, " by = (");
	for (size_t i = 0; i < g->n_by; i++)
		drill_put(d, "%s\"%s\"", i ? ", " : " ", drill_site(d, g->by[i], name));
	drill_put(d, " );");
	if (o->exercise[0] && (o->kind == ORDER_RELOCATE || o->kind == ORDER_HANDBACK))
		drill_put(d, " exercise = \"%s\";", !d->want->replace && view_is_name(view_str(o->exercise)) ? o->exercise : "exercise"); /* as of its messages */
	drill_put(d, " }");
}

/* Desks at every queue that a message went to, each exercise apart. */
static enum err put_desks(struct drill_out *d)
{
	const struct told **of = calloc(d->n_told + 1, sizeof *of);
	char name[LIMIT_NAME_BYTES + 1];
	size_t n = 0, k;
	if (of == NULL)
		return ERR_NOMEM;
	drill_put(d, "desks = (");
	for (size_t i = 0; i < d->n_told; i++) {
		const struct told *t = &d->told[i];
		for (k = 0; k < n && (of[k]->to != t->to || of[k]->queue != t->queue || of[k]->exercise != t->exercise || of[k]->name != t->name); k++)
			;
		if (k < n)
			continue;
		of[n++] = t;
		drill_put(d, "%s\n  { sites = \"%s\"; queue = \"%s\"; handling = \"30s\";", k ? "," : "", drill_site(d, t->to, name), queue_of(d, t));
		put_exercise(d, t);
		drill_put(d, " }");
	}
	drill_put(d, "\n);\n");
	free(of);
	return ERR_OK;
}

/* Whose view it is, and what it does not say. */
static void put_head(struct drill_out *d)
{
	const struct store_birth *b = store_birth(d->s->store);
	char from[WALL_TEXT_BYTES], to[WALL_TEXT_BYTES], room_of_name[LIMIT_NAME_BYTES + 1];
	const char *name = drill_site(d, b->site, room_of_name);
	wall_format(d->start, 6, from);
	wall_format(d->end, 6, to);
	drill_put(d, "# What the journal of %s holds of the time from %s to %s: its view, not that of the network.\n", name, from, to);
	drill_put(d, "# It has what %s sent and received, and what it kept for others as far as its keys open it. %zu messages, each for one addressee (one to a\n"
	       "# group is a message for each member that this journal knows of), %zu orders.\n", name, d->n_told, d->n_given);
	drill_put(d, "# Left out: %" PRIu64 " messages of this time that no key of the site opens", d->s->unopened);
	drill_put(d, d->retired ? "; and what was retired: %" PRIu64 " streams no longer begin at their first entry.\n" : ".\n", d->retired);
	drill_put(d, "# Sizes are rounded up to those of the journal. Bodies, subjects, people and reasons are not told, nor that a message was cancelled.\n");
	if (d->want->replace)
		drill_put(d, "# Names are replaced; sites are in the order of their numbers, and the next ones of the list are their standbys. Channels, areas and names of\n"
		       "# exercises are left out. %" PRIu64 " times a queue other than dispatch and messages is told as messages.\n", d->other_queues);
	else
		drill_put(d, "# The roster is the simulator's own, cut to the sites that are named here.\n");
	drill_put_links_head(d, name);
	drill_put(d, "# What desks did is not told: here they take 30 s a message.\n");
	drill_put(d, "# An order that was in force at the beginning is given at 0s.\n");
	drill_put(d, "drill = \"outage\";\nabout = \"the view of %s\";\nstart = \"%s\";\nlength = \"", name, from);
	drill_span(d, d->end.us - d->start.us < LENGTH_LEAST ? LENGTH_LEAST : d->end.us - d->start.us);
	drill_put(d, "\";\n");
}

static enum err write_text(struct drill_out *d, const char *file)
{
	struct tofile f;
	if (!buf_ok(&d->text))
		return err_set(d->m, ERR_NOMEM, "out of memory");
	if (d->text.len > TEXT_MOST)
		return err_set(d->m, ERR_TOO_LARGE, "%.200s: %zu messages of this time are more than the 8 MiB of a drill hold (choose a shorter one)", d->s->dir, d->n_told);
	enum err e = tofile_begin(&f, file, d->m);
	if (e == ERR_OK) {
		e = tofile_write(&f, buf_view(&d->text));
		e = e == ERR_OK ? tofile_finish(&f, d->m) : err_set(d->m, e, "%.300s: cannot be written: %s", file, err_text(e));
	}
	tofile_release(&f);
	return e;
}

/* The events come first into the text: what their names leave out is counted in the head. */
static enum err put_all(struct drill_out *d)
{
	struct buf events, tail;
	size_t m = 0;
	drill_put(d, "events = (");
	drill_put_links(d);
	for (size_t k = 0; k < d->n_given; k++) {
		if (!can_be_told(d, &d->given[k].order))
			return err_set(d->m, ERR_REFUSED, "an order of this time assigns what this drill cannot name: an area, a queue, or less than 1%% (%s)",
			               d->want->replace ? "give --names keep, or another time" : "choose another time");
		for (; m < d->n_told && d->told[m].at_us < d->given[k].order.issued.us; m++)
			put_message(d, &d->told[m]);
		put_order(d, &d->given[k]);
	}
	for (; m < d->n_told; m++)
		put_message(d, &d->told[m]);
	drill_put(d, "\n);\n");
	events = d->text;
	d->text = (struct buf)BUF_EMPTY;
	drill_put_network(d);
	enum err e = put_desks(d);
	tail = d->text;
	d->text = (struct buf)BUF_EMPTY;
	put_head(d);
	buf_add(&d->text, buf_view(&tail));
	buf_add(&d->text, buf_view(&events));
	if (e != ERR_OK || !buf_ok(&tail) || !buf_ok(&events))
		e = err_set(d->m, ERR_NOMEM, "out of memory");
	buf_release(&tail);
	buf_release(&events);
	return e;
}

static enum err make(struct drill_out *d, const char *file)
{
	enum err e = read_messages(d);
	if (e == ERR_OK)
		e = read_orders(d);
	if (e == ERR_OK)
		e = choose_time(d);
	if (e == ERR_OK)
		e = keep_orders_that_count(d);
	if (e != ERR_OK)
		return e;
	name_sites(d);
	e = drill_read_links(d);
	if (e != ERR_OK)
		return e;
	if (d->n_told)
		qsort(d->told, d->n_told, sizeof *d->told, by_time);
	if (d->n_given)
		qsort(d->given, d->n_given, sizeof *d->given, by_issue);
	if (d->n_told + d->n_given > EVENTS_MOST)
		return err_set(d->m, ERR_TOO_LARGE, "%.200s: over %d events in this time, more than a drill takes (choose a shorter one)", d->s->dir, EVENTS_MOST);
	if (!d->want->replace)
		e = check_names(d);
	if (e == ERR_OK)
		e = put_all(d);
	return e == ERR_OK ? write_text(d, file) : e;
}

enum err export_drill(struct source *s, const struct drill_wanted *want, const char *file, struct counts *n, struct errmsg *m)
{
	struct drill_out *d = calloc(1, sizeof *d);
	enum err e = d ? ERR_OK : ERR_NOMEM;
	m->text[0] = '\0';
	if (d) {
		*d = (struct drill_out){.s = s, .want = want, .m = m};
		e = make(d, file);
		n->entries = d->n_told;
		free(d->told);
		free(d->given);
		free(d->words);
		drill_links_free(d);
		buf_release(&d->text);
	}
	free(d);
	return e == ERR_OK || m->text[0] ? e : err_set(m, e, "%.200s: %s", s->dir, err_text(e));
}
