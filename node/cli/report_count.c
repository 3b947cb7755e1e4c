#include "node/cli/report_count.h"

#include <stdlib.h>
#include <string.h>

#include "proto/buf.h"

/* ---- words ----------------------------------------------------------------------------------------------------------------- */

enum err count_by_parse(const char *text, unsigned *by, struct view *bad)
{
	static const struct { const char *word; unsigned by; } words[] = {
		{"none", 0},          {"year", BY_YEAR},           {"month", BY_YEAR | BY_MONTH}, {"direction", BY_DIRECTION}, {"site", BY_SITE},
		{"originator", BY_ORIGINATOR}, {"addressee", BY_ADDRESSEE}, {"queue", BY_QUEUE}, {"channel", BY_CHANNEL},     {"precedence", BY_PRECEDENCE},
	};
	*by = 0;
	for (const char *p = text;; p++) {
		size_t i = 0;
		*bad = view_of((const uint8_t *)p, strcspn(p, ","));
		while (i < sizeof words / sizeof words[0] && !view_equal(*bad, view_str(words[i].word)))
			i++;
		if (i == sizeof words / sizeof words[0])
			return ERR_FORMAT;
		*by |= words[i].by;
		p += bad->len;
		if (*p == '\0')
			return ERR_OK;
	}
}

const char *count_direction_name(unsigned d)
{
	static const char *const names[] = {"", "in", "out", "own", "served", "copy"};
	return d < sizeof names / sizeof names[0] ? names[d] : "";
}

void count_csv(struct buf *out, const char *text)
{
	bool formula = *text != '\0' && strchr("=+-@\t\r", *text) != NULL, quote = strpbrk(text, ",\"\r\n") != NULL;
	if (quote)
		buf_add_u8(out, '"');
	if (formula)
		buf_add_u8(out, '\'');
	for (; *text != '\0'; text++) {
		if (*text == '"')
			buf_add_u8(out, '"');
		buf_add_u8(out, (uint8_t)*text);
	}
	if (quote)
		buf_add_u8(out, '"');
}

/* ---- times to read ----------------------------------------------------------------------------------------------------------- */

static size_t step_of(int64_t us)
{
	unsigned top = 4;
	if (us < 16)
		return us < 0 ? 0 : (size_t)us;
	while (us >> (top + 1))
		top++;
	size_t step = (size_t)(top - 3) * 16 + (size_t)((us >> (top - 4)) & 15);
	return step < COUNT_STEPS ? step : COUNT_STEPS - 1;
}

/* The middle of what falls on a step. */
static int64_t step_middle(size_t step)
{
	if (step < 16)
		return (int64_t)step;
	unsigned shift = (unsigned)(step / 16 - 1);
	return ((int64_t)(16 + step % 16) << shift) + (((int64_t)1 << shift) >> 1);
}

int64_t count_median_us(const struct count_row *r)
{
	uint64_t seen = 0, middle = (r->read + 1) / 2;
	size_t step = 0;
	if (!r->read)
		return 0;
	while (step < COUNT_STEPS - 1 && (seen += r->steps[step]) < middle)
		step++;
	int64_t us = step_middle(step);
	return us < r->fastest_us ? r->fastest_us : us > r->slowest_us ? r->slowest_us : us;
}

int64_t count_permille(uint64_t part, uint64_t whole)
{
	return whole ? (int64_t)((part * 1000 + whole / 2) / whole) : 0;
}

/* ---- rows -------------------------------------------------------------------------------------------------------------------- */

static struct count_key key_asked(unsigned by, const struct count_key *k)
{
	struct count_key out = {.exercise = k->exercise};
	if (by & BY_YEAR)
		out.year = k->year;
	if (by & BY_MONTH)
		out.month = k->month;
	if (by & BY_DIRECTION)
		out.direction = k->direction;
	if (by & BY_ORIGINATOR)
		out.originator = k->originator;
	if (by & BY_ADDRESSEE)
		out.addressee = k->addressee;
	if (by & BY_QUEUE)
		memcpy(out.queue, k->queue, sizeof out.queue);
	if (by & BY_CHANNEL)
		memcpy(out.channel, k->channel, sizeof out.channel);
	if (by & BY_PRECEDENCE)
		out.precedence = k->precedence;
	return out;
}

static int key_order(const struct count_key *a, const struct count_key *b)
{
	int d = a->exercise - b->exercise;
	d = d ? d : a->year - b->year;
	d = d ? d : a->month - b->month;
	d = d ? d : a->direction - b->direction;
	d = d ? d : a->originator - b->originator;
	d = d ? d : a->addressee - b->addressee;
	d = d ? d : strcmp(a->queue, b->queue);
	d = d ? d : strcmp(a->channel, b->channel);
	return d ? d : a->precedence - b->precedence;
}

/* Where it is, or belongs. */
static bool find(const struct count *c, const struct count_key *k, size_t *at)
{
	size_t low = 0, high = c->n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int d = key_order(&c->rows[mid]->key, k);
		if (d == 0) {
			*at = mid;
			return true;
		}
		if (d < 0)
			low = mid + 1;
		else
			high = mid;
	}
	*at = low;
	return false;
}

static enum err row_for(struct count *c, struct count_key k, struct count_row **out)
{
	size_t at;
	if (!find(c, &k, &at) && c->n >= COUNT_ROWS / 2) {
		/* What senders can choose freely must not use up the room. */
		strcpy(k.channel, c->by & BY_CHANNEL ? COUNT_OTHERS : "");
		strcpy(k.queue, c->by & BY_QUEUE ? COUNT_OTHERS : "");
	}
	if (!find(c, &k, &at)) {
		if (c->rows == NULL && (c->rows = calloc(COUNT_ROWS, sizeof(struct count_row *))) == NULL)
			return ERR_NOMEM;
		if (c->n == COUNT_ROWS)
			return ERR_TOO_LARGE;
		struct count_row *row = calloc(1, sizeof *row);
		if (row == NULL)
			return ERR_NOMEM;
		row->key = k;
		memmove(c->rows + at + 1, c->rows + at, (c->n - at) * sizeof(struct count_row *));
		c->rows[at] = row;
		c->n++;
	}
	*out = c->rows[at];
	return ERR_OK;
}

static void add_read(struct count_row *r, const struct count_message *m, bool flash)
{
	int64_t took = m->read_us > m->sent_us ? m->read_us - m->sent_us : 0;
	bool in_time = m->handle_by_us && m->read_us <= m->handle_by_us;
	if (!r->read || took < r->fastest_us)
		r->fastest_us = took;
	if (!r->read || took > r->slowest_us)
		r->slowest_us = took;
	r->steps[step_of(took)]++;
	r->read++;
	r->in_time += in_time;
	r->late += m->handle_by_us && !in_time;
	r->flash_read += flash;
	r->flash_in_time += flash && in_time;
}

enum err count_add(struct count *c, const struct count_message *m)
{
	struct count_row *r;
	bool flash = m->key.precedence == PREC_FLASH;
	enum err e = row_for(c, key_asked(c->by, &m->key), &r);
	if (e != ERR_OK)
		return e;
	r->messages++;
	r->flash += flash;
	r->urgent += flash || m->key.precedence == PREC_IMMEDIATE;
	r->elsewhere += m->elsewhere;
	switch (m->ended) {
	case EVENT_READ: add_read(r, m, flash); break;
	case EVENT_REFUSED: r->refused++; break;
	case EVENT_CANCELLED: r->cancelled++; break;
	case EVENT_EXPIRED: r->expired++; break;
	default: r->open++; break;
	}
	return ERR_OK;
}

void count_release(struct count *c)
{
	for (size_t i = 0; i < c->n; i++)
		free(c->rows[i]);
	free(c->rows);
	*c = (struct count){.by = c->by};
}
