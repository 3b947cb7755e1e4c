/* oracle_flash.c - FLASH is bounded: what a site, a link and a FLASH message on its way are to each other.
 *
 * The bound is judged where it can be known: between two sites that were up, well, and connected the whole time since the
 * message was there. It allows for the handshake, the latency, what losses keep back on a bad line, what is in the wire already,
 * and the FLASH messages that share the way, each to several custodians. Bulk has no part in it. */
#include "sim/oracle_int.h"

#define SETTLE_US (10 * US_PER_S)     /* connect, digests */
#define WINDOW_US US_PER_S            /* what is queued below a node is worth less: node/core/window.h */
#define WIRE_BYTES (128 * 1024)       /* or it is one frame of each lane, which an entry with a body of 64 KiB fills */
#define COPIES 4

static struct way *way_get(struct oracle *o, uint16_t a, uint16_t b)
{
	osite_get(o, a);
	osite_get(o, b);
	size_t i = (size_t)o->index[a] - 1, k = (size_t)o->index[b] - 1;

	return i < k ? &o->ways[i * o->cap_ways + k] : &o->ways[k * o->cap_ways + i];
}

void oracle_link(struct oracle *o, uint16_t a, uint16_t b, bool up, int64_t delay_us, int64_t rate_bps, int64_t stall_us)
{
	*way_get(o, a, b) = (struct way){.up = up, .since = o->now, .delay_us = delay_us, .rate_bps = rate_bps, .stall_us = stall_us};
}

void oracle_link_changed(struct oracle *o, uint16_t a, uint16_t b, int64_t delay_us, int64_t rate_bps, int64_t stall_us)
{
	const struct way *w = way_get(o, a, b);

	if (w->up && (w->delay_us != delay_us || w->rate_bps != rate_bps || w->stall_us != stall_us))
		oracle_link(o, a, b, true, delay_us, rate_bps, stall_us);
}

void oracle_site_up(struct oracle *o, uint16_t site, const struct incarnation *incarnation)
{
	struct osite *s = osite_get(o, site);

	s->named = incarnation != NULL;
	if (incarnation)
		s->incarnation = *incarnation;
	s->up = true;
	s->up_since = o->now;
}

void oracle_site_down(struct oracle *o, uint16_t site)
{
	osite_get(o, site)->up = false;
}

void oracle_site_troubled(struct oracle *o, uint16_t site, bool troubled)
{
	struct osite *s = osite_get(o, site);

	s->troubled = troubled;
	if (!troubled)
		s->clear_since = o->now;
}

void oracle_site_damaged(struct oracle *o, uint16_t site)
{
	osite_get(o, site)->flipped = true;
}

void flash_begin(struct oracle *o, uint32_t i)
{
	const struct item *m = &o->items[i];

	o->flash = oracle_room(o->flash, o->n_flash + 1, &o->cap_flash, sizeof *o->flash);
	o->flash[o->n_flash++] = (struct flash){.item = i};
	osite_get(o, m->addressee)->open_bytes += m->bytes;
	osite_get(o, o->streams[m->stream].name.originator)->open_bytes += m->bytes;
}

static void flash_end(struct oracle *o, size_t at)
{
	const struct item *m = &o->items[o->flash[at].item];

	osite_get(o, m->addressee)->open_bytes -= m->bytes;
	osite_get(o, o->streams[m->stream].name.originator)->open_bytes -= m->bytes;
	o->flash[at] = o->flash[--o->n_flash];
}

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* Judges one FLASH message on its way. True when it is late. */
static bool flash_late(struct oracle *o, struct flash *f)
{
	const struct item *m = &o->items[f->item];
	uint16_t from = o->streams[m->stream].name.originator;
	const struct osite *a = osite_get(o, from), *b = osite_get(o, m->addressee);
	const struct way *w = way_get(o, from, m->addressee);

	if (a->open_bytes + b->open_bytes > f->ahead)
		f->ahead = a->open_bytes + b->open_bytes;
	if (!a->up || !b->up || a->troubled || b->troubled || !w->up)
		return false;
	int64_t since = later(later(m->entered_at, w->since), later(later(a->up_since, b->up_since), later(a->clear_since, b->clear_since)));
	int64_t bound = SETTLE_US + WINDOW_US + 8 * w->delay_us + w->stall_us, bits = (int64_t)(COPIES * f->ahead + WIRE_BYTES) * 8;

	if (w->rate_bps)
		bound += bits * US_PER_S / w->rate_bps;
	o->v.checks[PROMISE_FLASH]++;
	if (o->now - since <= bound)
		return false;
	char text[MSGID_TEXT_BYTES];

	oracle_broken(o, PROMISE_FLASH, "%s from %s to %s is under way for %.1f s on a link that was up, where the wire explains %.1f s", item_text(m, text),
		      osite_name(o, from), osite_name(o, m->addressee), (double)(o->now - since) / US_PER_S, (double)bound / US_PER_S);
	return true;
}

static void flash_time(struct oracle *o, struct item *m)
{
	if (!(m->flags & ITEM_TIMED)) {
		times_add(&o->flash_times, o->now - m->entered_at);
		o->v.flash_count++;
	}
	m->flags |= ITEM_TIMED;
}

static bool is_flash(const struct oracle *o, const struct item *m)
{
	return m->precedence == PREC_FLASH && !m->exercise && o->streams[m->stream].name.originator != m->addressee;
}

void flash_elsewhere(struct oracle *o, uint32_t i)
{
	if (is_flash(o, &o->items[i]))
		flash_time(o, &o->items[i]);
}

void flash_arrived(struct oracle *o, uint32_t i)
{
	struct item *m = &o->items[i];

	if (!is_flash(o, m))
		return;
	flash_time(o, m);
	for (size_t k = 0; k < o->n_flash; k++)
		if (o->flash[k].item == i) {
			flash_late(o, &o->flash[k]);
			flash_end(o, k);
			return;
		}
}

/* Told once: a late one is taken off the list. */
void flash_look(struct oracle *o)
{
	for (size_t k = 0; k < o->n_flash;) {
		if ((o->items[o->flash[k].item].flags & ITEM_ENDED) || flash_late(o, &o->flash[k]))
			flash_end(o, k);
		else
			k++;
	}
}
