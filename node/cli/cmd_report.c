/* cmd_report.c - `report`: the counts of the annual reports, from the journal of one site. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "node/cli/commands.h"
#include "node/cli/export.h"
#include "node/cli/output.h"
#include "node/cli/report_count.h"
#include "node/cli/session.h"
#include "proto/cursor.h"
#include "proto/order.h"

/* Entries looked at in one transaction: one that is kept open makes the journal of a running node grow. */
#define LOOK_ENTRIES 4096
#define DEFAULT_BY "year,direction,precedence"
#define SEALED "(sealed)"
#define NO_KEY "(no key file)"

/* One pair of sites of an order: `to` may handle what is for `site`. */
struct served { uint16_t site, to; bool exercise; };

struct report {
	struct cli *cli;
	struct source s;
	char path[CONFIG_PATH_BYTES];
	int year;                      /* 0: all */
	struct wall from, to;
	bool local, copies, csv;
	struct count count;
	struct served *served;
	size_t n_served;
	uint64_t looked, of;           /* entries */
	uint64_t retired, unreadable, unopened;
	struct progress progress;
	struct buf room;
};

/* ---- arguments ------------------------------------------------------------------------------------------------------------- */

static int parse_time(const struct cli *cli, const char *option, const char *text, struct wall *out)
{
	if (wall_parse(text, out) == ERR_OK)
		return EXIT_OK;
	return cli_fail(cli, ERR_USAGE, "report: --%s %s: no time (write 2021-07-14T22:00:00Z)", option, text);
}

static int parse_year(const struct cli *cli, const char *text, int *out)
{
	char *end;
	long y = strtol(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != '\0' || y < 1970 || y > 9999)
		return cli_fail(cli, ERR_USAGE, "report: --year %s: no year (write 2021)", text);
	*out = (int)y;
	return EXIT_OK;
}

static int parse_by(struct report *r, const char *text)
{
	struct view bad;
	if (count_by_parse(text, &r->count.by, &bad) == ERR_OK)
		return EXIT_OK;
	return cli_fail(r->cli, ERR_USAGE, "report: --by %.*s: year, month, direction, site, originator, addressee, queue, channel, precedence or none, with commas between",
	                (int)bad.len, (const char *)bad.ptr);
}

static int read_arguments(struct report *r, int argc, char **argv)
{
	static const struct option options[] = {{"year", required_argument, NULL, 'y'}, {"by", required_argument, NULL, 'b'}, {"from", required_argument, NULL, 'f'},
	                                        {"to", required_argument, NULL, 't'},   {"local", no_argument, NULL, 'l'},    {"copies", no_argument, NULL, 'c'},
	                                        {"csv", no_argument, NULL, 'v'},        {NULL, 0, NULL, 0}};
	int c, status = parse_by(r, DEFAULT_BY);
	cli_options_begin();
	while (status == EXIT_OK && (c = cli_option(r->cli, argc, argv, options)) != -1) {
		switch (c) {
		case 'y': status = parse_year(r->cli, optarg, &r->year); break;
		case 'b': status = parse_by(r, optarg); break;
		case 'f': status = parse_time(r->cli, "from", optarg, &r->from); break;
		case 't': status = parse_time(r->cli, "to", optarg, &r->to); break;
		case 'l': r->local = true; break;
		case 'c': r->copies = true; break;
		case 'v': r->csv = true; break;
		default: return EXIT_USAGE;
		}
	}
	if (status != EXIT_OK)
		return status;
	if (argc - optind > 1)
		return cli_fail(r->cli, ERR_USAGE, "report: at most one folder or node.conf");
	if (r->csv && r->cli->json)
		return cli_fail(r->cli, ERR_USAGE, "report: one of --json and --csv");
	if (argc - optind == 1)
		snprintf(r->path, sizeof r->path, "%s", argv[optind]);
	else if (!session_conf(r->cli, r->path, &status))
		return status;
	return EXIT_OK;
}

/* ---- one message ----------------------------------------------------------------------------------------------------------- */

static enum err keep_order(void *arg, const struct hash *hash, struct view blob)
{
	struct report *r = arg;
	struct hash id;
	struct order *o = malloc(sizeof *o);
	(void)hash;
	if (o == NULL)
		return ERR_NOMEM;
	enum err e = order_decode(blob, o, &id) == ERR_OK ? ERR_OK : ERR_DAMAGED;
	for (size_t i = 0; e == ERR_OK && i < o->n_assign; i++) {
		bool there = false;
		for (size_t k = 0; k < r->n_served && !there; k++)
			there = r->served[k].site == o->site && r->served[k].to == o->assign[i].to && r->served[k].exercise == (o->exercise[0] != '\0');
		struct served *more = there ? r->served : realloc(r->served, (r->n_served + 1) * sizeof *more);
		if (more == NULL)
			e = ERR_NOMEM;
		else if (!there)
			(r->served = more)[r->n_served++] = (struct served){o->site, o->assign[i].to, o->exercise[0] != '\0'};
	}
	free(o);
	return e == ERR_NOMEM ? e : ERR_OK;
}

struct happened { uint8_t event; uint16_t source; struct wall when; struct view by; };

/* The core's encoding (node/core/reports.c): u8 event, u16 source, i64 when, vec8 by, vec16 why. */
static bool next_event(struct rd *r, struct happened *out)
{
	if (r->err || !rd_left(r))
		return false;
	out->event = rd_u8(r);
	out->source = rd_u16(r);
	out->when.us = rd_i64(r);
	out->by = rd_vec8(r, LIMIT_USER_BYTES);
	rd_vec16(r, LIMIT_REASON_BYTES);
	return !r->err;
}

static bool was_lent_to(const struct report *r, struct view events, uint16_t addressee, uint16_t source)
{
	char name[LIMIT_NAME_BYTES + 1];
	struct rd rd = rd_init(events);
	struct happened h;
	while (next_event(&rd, &h))
		if (h.event == EVENT_LENT && h.source == addressee && (r->s.roster == NULL || view_equal(h.by, view_str(source_site(&r->s, source, name)))))
			return true;
	return false;
}

/* Whose word counts is as for the node itself: only the originator cancels, it may also let expire, and for the rest a site other
 * than the addressee must be named by an order, or the message was lent to it. */
static bool may_say(const struct report *r, const struct msg_row *row, const struct count_key *k, uint8_t event, uint16_t source)
{
	if (event == EVENT_CANCELLED || (event == EVENT_EXPIRED && source == k->originator))
		return source == k->originator;
	if (source == row->addressee)
		return true;
	for (size_t i = 0; i < r->n_served; i++)
		if (r->served[i].site == row->addressee && r->served[i].to == source && r->served[i].exercise == k->exercise)
			return true;
	return was_lent_to(r, row->events, row->addressee, source);
}

static void end_of(const struct report *r, const struct msg_row *row, struct count_message *m, bool *here)
{
	static const uint8_t rank[] = {[EVENT_READ] = 4, [EVENT_REFUSED] = 3, [EVENT_CANCELLED] = 2, [EVENT_EXPIRED] = 1};
	struct rd rd = rd_init(row->events);
	struct happened h;
	while (next_event(&rd, &h)) {
		bool handled = h.event == EVENT_READ || h.event == EVENT_REFUSED;
		if (!report_event_ends(h.event) || !may_say(r, row, &m->key, h.event, h.source))
			continue;
		if (h.event == EVENT_READ && (m->ended != EVENT_READ || h.when.us < m->read_us))
			m->read_us = h.when.us;
		if (!m->ended || rank[h.event] > rank[m->ended])
			m->ended = h.event;
		m->elsewhere |= handled && h.source != row->addressee;
		*here |= handled && h.source == store_birth(r->s.store)->site;
	}
}

static void put_text(char out[COUNT_TEXT_BYTES + 1], struct view v)
{
	size_t n = v.len < COUNT_TEXT_BYTES ? v.len : COUNT_TEXT_BYTES;
	if (n)
		memcpy(out, v.ptr, n);
	out[n] = '\0';
}

static void open_words(struct report *r, struct txn *t, const struct stream_row *s, const struct entry_row *row, struct count_key *k)
{
	struct envelope env = {0};
	const char *instead = r->s.keys ? SEALED : NO_KEY;
	bool opened = r->s.keys && source_envelope(&r->s, t, s, row, &r->room, &env);
	r->unopened += !opened;
	put_text(k->queue, opened ? env.queue : view_str(instead));
	put_text(k->channel, opened ? env.channel : view_str(instead));
	crypt_wipe(&env, sizeof env);
}

static bool in_time_asked(const struct report *r, int64_t us, struct count_key *k)
{
	struct tm tm;
	time_t s = (time_t)(us / US_PER_S);
	if ((r->local ? localtime_r(&s, &tm) : gmtime_r(&s, &tm)) == NULL)
		return false;
	k->year = (int16_t)(tm.tm_year + 1900);
	k->month = (uint8_t)(tm.tm_mon + 1);
	return us >= r->from.us && us < r->to.us && (!r->year || r->year == k->year);
}

static uint8_t direction_of(const struct report *r, const struct count_key *k, bool handled_here)
{
	uint16_t self = store_birth(r->s.store)->site;
	if (k->originator == self)
		return k->addressee == self ? COUNT_OWN : COUNT_OUT;
	if (k->addressee == self)
		return COUNT_IN;
	return handled_here ? COUNT_SERVED : COUNT_COPY;
}

static enum err count_entry(struct report *r, struct txn *t, const struct stream_row *s, const struct entry_row *row)
{
	struct count_message m = {0};
	struct header h;
	struct msg_row msg;
	bool here = false;
	if (header_decode(row->e.header, &h) != ERR_OK) {
		r->unreadable++;
		return ERR_OK;
	}
	if (h.kind != KIND_MESSAGE || !in_time_asked(r, h.sent.us, &m.key))
		return ERR_OK;
	m.key.exercise = s->name.exercise;
	m.key.originator = h.originator;
	m.key.addressee = s->name.addressee;
	m.key.precedence = h.precedence;
	m.sent_us = h.sent.us;
	m.handle_by_us = h.handle_by.us;
	enum err e = store_msg_get(t, &h.id, s->name.addressee, &msg);
	if (e != ERR_OK && e != ERR_NOT_FOUND) {
		r->unreadable++;
		return ERR_OK;
	}
	if (e == ERR_OK && msg.arrival && msg.arrival != row->arrival)
		return ERR_OK; /* the same message once more, in another stream: it is counted where its row says */
	if (e == ERR_OK)
		end_of(r, &msg, &m, &here);
	m.key.direction = direction_of(r, &m.key, here);
	if (m.key.direction == COUNT_COPY && !r->copies)
		return ERR_OK;
	if (r->count.by & BY_SEALED)
		open_words(r, t, s, row, &m.key);
	return count_add(&r->count, &m);
}

/* ---- the journal ------------------------------------------------------------------------------------------------------------ */

static enum err some_entries(struct report *r, struct txn *t, const struct stream_row *s, uint64_t *next)
{
	enum err e = ERR_OK;
	for (unsigned n = 0; e == ERR_OK && n < LOOK_ENTRIES && *next <= s->held; n++, ++*next) {
		struct entry_row row;
		enum err read = store_entry_find(t, s->local, *next, &row);
		if (read == ERR_IO)
			return read;
		if (read != ERR_OK)
			r->unreadable++;
		else
			e = count_entry(r, t, s, &row);
		r->looked++;
	}
	return e;
}

/* The progress is shown in bytes: the part of the file that the entries are. */
static bool show(struct report *r)
{
	struct store_space space;
	store_space(r->s.store, &space);
	uint64_t used = (uint64_t)space.used_bytes;
	return progress_show(&r->progress, r->of ? (uint64_t)((double)used * ((double)r->looked / (double)r->of)) : used, used) && !longwork_stopped();
}

static enum err walk_stream(struct report *r, const struct stream_row *s)
{
	enum err e = ERR_OK;
	for (uint64_t next = s->floor + 1; e == ERR_OK && next <= s->held;) {
		struct txn *t = NULL;
		e = txn_begin(r->s.store, false, &t);
		if (e == ERR_OK)
			e = some_entries(r, t, s, &next);
		txn_abort(t);
		if (e == ERR_OK && !show(r))
			e = ERR_CLOSED;
	}
	return e;
}

static enum err load_orders(struct report *r)
{
	struct txn *t = NULL;
	enum err e = txn_begin(r->s.store, false, &t);
	if (e == ERR_OK)
		e = store_state_each(t, STATE_KIND_ORDER, keep_order, r);
	txn_abort(t);
	return e == ERR_DAMAGED ? ERR_OK : e;
}

/* What the journal held when it was opened: a node that runs beside adds nothing to the count. */
static int walk(struct report *r)
{
	enum err e = load_orders(r);
	for (size_t i = 0; i < r->s.n_streams; i++) {
		r->of += r->s.streams[i].held - r->s.streams[i].floor;
		r->retired += r->s.streams[i].floor;
	}
	progress_begin(&r->progress, "report");
	for (size_t i = 0; e == ERR_OK && i < r->s.n_streams; i++)
		e = walk_stream(r, &r->s.streams[i]);
	progress_end(&r->progress);
	if (e == ERR_CLOSED)
		return cli_fail(r->cli, e, "report: interrupted, nothing was counted");
	if (e == ERR_TOO_LARGE)
		return cli_fail(r->cli, e, "report: more than %d rows (ask for fewer columns with --by, or a shorter time)", COUNT_ROWS);
	return e == ERR_OK ? EXIT_OK : cli_fail(r->cli, e, "report: %.300s: %s (journal verify says more)", r->s.dir, err_text(e));
}

/* ---- rows out --------------------------------------------------------------------------------------------------------------- */

#define MEMBERS 32
struct members {
	struct estafette_member m[MEMBERS];
	size_t n;
	char site[2][LIMIT_NAME_BYTES + 1], month[16], text[3][32];
};

static void add(struct members *x, struct estafette_member m)
{
	x->m[x->n++] = m;
}

static void add_keys(const struct report *r, const struct count_key *k, struct members *x)
{
	unsigned by = r->count.by;
	snprintf(x->month, sizeof x->month, "%04d-%02u", k->year % 10000, k->month % 100u);
	add(x, MEMBER_FLAG("exercise", k->exercise));
	if (by & BY_YEAR && !(by & BY_MONTH))
		add(x, MEMBER_NUMBER("year", k->year));
	if (by & BY_MONTH)
		add(x, MEMBER_TEXT("month", x->month));
	if (by & BY_DIRECTION)
		add(x, MEMBER_TEXT("direction", count_direction_name(k->direction)));
	if (by & BY_ORIGINATOR)
		add(x, MEMBER_TEXT("originator", source_site(&r->s, k->originator, x->site[0])));
	if (by & BY_ADDRESSEE)
		add(x, MEMBER_TEXT("addressee", source_site(&r->s, k->addressee, x->site[1])));
	if (by & BY_QUEUE)
		add(x, MEMBER_TEXT("queue", k->queue[0] ? k->queue : NULL));
	if (by & BY_CHANNEL)
		add(x, MEMBER_TEXT("channel", k->channel[0] ? k->channel : NULL));
	if (by & BY_PRECEDENCE)
		add(x, MEMBER_TEXT("precedence", precedence_name(k->precedence)));
}

static void add_all(const struct count_row *c, struct members *x)
{
	const struct { const char *name; uint64_t n; } numbers[] = {
		{"messages", c->messages}, {"urgent", c->urgent}, {"non_urgent", c->messages - c->urgent}, {"flash", c->flash}, {"read", c->read},
		{"in_time", c->in_time}, {"late", c->late}, {"flash_read", c->flash_read}, {"flash_in_time", c->flash_in_time}, {"refused", c->refused},
		{"cancelled", c->cancelled}, {"expired", c->expired}, {"open", c->open}, {"elsewhere", c->elsewhere},
		{"flash_permille", (uint64_t)count_permille(c->flash, c->messages)},
	};
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		add(x, MEMBER_NUMBER(numbers[i].name, (int64_t)numbers[i].n));
	struct estafette_member median = MEMBER_NUMBER("median_us", count_median_us(c)), slowest = MEMBER_NUMBER("slowest_us", c->slowest_us);
	if (!c->read)
		median.kind = slowest.kind = ESTAFETTE_NULL;
	add(x, median);
	add(x, slowest);
}

static const char *lasted(int64_t us, bool any, char out[32])
{
	static const struct { int64_t from, unit; const char *name; } units[] = {
		{2 * US_PER_DAY, US_PER_DAY, "d"}, {7200 * US_PER_S, 3600 * US_PER_S, "h"}, {120 * US_PER_S, 60 * US_PER_S, "min"}, {US_PER_S, US_PER_S, "s"}, {0, US_PER_MS, "ms"}};
	size_t i = 0;
	while (us < units[i].from)
		i++;
	snprintf(out, 32, "%.1f %s", (double)us / (double)units[i].unit, units[i].name);
	return any ? out : NULL;
}

/* A table that a screen holds. */
static void add_short(const struct count_row *c, struct members *x)
{
	int64_t permille = count_permille(c->flash, c->messages);
	snprintf(x->text[0], sizeof x->text[0], "%" PRId64 ".%" PRId64 " %%", permille / 10, permille % 10);
	add(x, MEMBER_NUMBER("messages", (int64_t)c->messages));
	add(x, MEMBER_NUMBER("urgent", (int64_t)c->urgent));
	add(x, MEMBER_NUMBER("non-urgent", (int64_t)(c->messages - c->urgent)));
	add(x, MEMBER_NUMBER("FLASH", (int64_t)c->flash));
	add(x, MEMBER_TEXT("share", x->text[0]));
	add(x, MEMBER_NUMBER("FLASH in time", (int64_t)c->flash_in_time));
	add(x, MEMBER_NUMBER("read", (int64_t)c->read));
	add(x, MEMBER_NUMBER("in time", (int64_t)c->in_time));
	add(x, MEMBER_NUMBER("elsewhere", (int64_t)c->elsewhere));
	add(x, MEMBER_TEXT("median", lasted(count_median_us(c), c->read > 0, x->text[1])));
	add(x, MEMBER_TEXT("slowest", lasted(c->slowest_us, c->read > 0, x->text[2])));
}

static int print_csv(const struct cli *cli, const struct members *x, bool names)
{
	struct buf line = BUF_EMPTY;
	char number[32];
	for (size_t i = 0; i < x->n; i++) {
		const struct estafette_member *m = &x->m[i];
		if (i)
			buf_add_u8(&line, ',');
		snprintf(number, sizeof number, "%" PRId64, m->number);
		const char *value = m->kind == ESTAFETTE_TEXT ? m->text : m->kind == ESTAFETTE_NUMBER ? number : m->kind == ESTAFETTE_FLAG ? (m->number ? "true" : "false") : "";
		count_csv(&line, names ? m->name : value);
	}
	bool good = buf_ok(&line);
	if (good)
		printf("%.*s\r\n", (int)line.len, (const char *)line.ptr);
	buf_release(&line);
	return good ? EXIT_OK : cli_fail(cli, ERR_NOMEM, "report: out of memory");
}

static int print_rows(const struct report *r)
{
	struct output o;
	int status = EXIT_OK;
	struct count_row nothing = {0};
	output_begin(&o, r->cli);
	for (size_t i = 0; status == EXIT_OK && i < r->count.n + (r->csv ? 1 : 0); i++) {
		bool names = r->csv && i == 0;
		const struct count_row *row = names ? &nothing : r->count.rows[i - (r->csv ? 1 : 0)];
		struct members x = {.n = 0};
		add_keys(r, &row->key, &x);
		(r->csv || r->cli->json ? add_all : add_short)(row, &x);
		if (r->csv)
			status = print_csv(r->cli, &x, names);
		else
			output_row(&o, x.m, x.n);
	}
	int ended = output_end(&o, r->csv ? NULL : "no messages");
	return status == EXIT_OK ? ended : status;
}

static int say_what_lacks(const struct report *r)
{
	if (r->unopened && r->s.keys)
		fprintf(stderr, "estafette: report: %" PRIu64 " messages no key of this site opens, their queue and channel are %s\n", r->unopened, SEALED);
	else if (r->unopened)
		fprintf(stderr, "estafette: report: queue and channel are sealed and no key file was found (name the node.conf of a site with its keys)\n");
	if (r->retired)
		fprintf(stderr, "estafette: report: %" PRIu64 " entries are retired from this journal and not counted\n", r->retired);
	if (r->unreadable)
		return cli_fail(r->cli, ERR_DAMAGED, "report: %" PRIu64 " entries could not be read and are not counted (journal verify says more)", r->unreadable);
	return EXIT_OK;
}

int cmd_report(struct cli *cli, int argc, char **argv)
{
	struct report r = {.cli = cli, .from = {INT64_MIN}, .to = {INT64_MAX}};
	int status = read_arguments(&r, argc, argv);
	if (status != EXIT_OK)
		return status;
	longwork_begin();
	tzset();
	status = source_open(&r.s, cli, r.path, r.count.by & BY_SEALED ? KEYS_IF_THERE : KEYS_NONE);
	if (status == EXIT_OK)
		status = walk(&r);
	if (status == EXIT_OK)
		status = print_rows(&r);
	if (status == EXIT_OK)
		status = say_what_lacks(&r);
	if (r.room.ptr)
		crypt_wipe(r.room.ptr, r.room.cap);
	buf_release(&r.room);
	count_release(&r.count);
	free(r.served);
	source_close(&r.s);
	return status;
}
