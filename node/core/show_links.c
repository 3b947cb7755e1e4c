/* When the bearers of a peer were up and down, as it was noted: linklog.h. */
#include <string.h>

#include "node/core/show_int.h"

/* The latest, and how far back they are looked for. */
#define HISTORY_ROWS 500
#define HISTORY_LOOK 20000

static const char *const states[] = {[LINK_IS_UNKNOWN] = "unknown", [LINK_IS_UP] = "up", [LINK_IS_DOWN] = "down"};

static void show_row(struct rows *r, const struct link_row *x)
{
	row_begin(r);
	row_time(r, "since", x->at);
	row_text(r, "bearer", x->peer ? x->bearer : "(this node)");
	row_text(r, "state", states[x->is]);
	row_number(r, "changes", x->more);
	row_text(r, "state_after", states[x->now_is]);
	row_time(r, "last", x->more ? x->last : (struct wall){0});
	row_time(r, "noted", x->noted);
	if (x->rtt_us)
		row_number(r, "rtt_ms", (x->rtt_us + 500) / 1000);
	else
		row_null(r, "rtt_ms");
	if (x->rate_bps)
		row_number(r, "rate_bps", x->rate_bps);
	else
		row_null(r, "rate_bps");
	row_end(r);
}

static bool is_of(const struct core *c, uint16_t site, const struct link_row *x)
{
	return !x->peer || (site != c->self && x->peer == site);
}

void show_link_history(struct rows *r, uint16_t site)
{
	struct core *c = r->c;
	uint64_t last = store_link_last(c->t), found[HISTORY_ROWS];
	struct link_row x;
	size_t n = 0;

	for (uint64_t i = last; i > 0 && last - i < HISTORY_LOOK && n < HISTORY_ROWS; i--)
		if (store_link_from(c->t, i, &x) == ERR_OK && x.number == i && is_of(c, site, &x))
			found[n++] = i;
	while (n-- > 0)
		if (store_link_from(c->t, found[n], &x) == ERR_OK)
			show_row(r, &x);
	for (size_t i = 0; i < c->linklog.n; i++) /* not stored yet */
		if (!c->linklog.list[i].adds && is_of(c, site, &c->linklog.list[i].row))
			show_row(r, &c->linklog.list[i].row);
}
