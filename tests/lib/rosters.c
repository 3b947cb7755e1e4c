/* rosters.c - see rosters.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/lib/rosters.h"

struct buf rosters_file(const char *path)
{
	struct buf b = BUF_EMPTY;
	FILE *f = fopen(path, "rb");
	assert_non_null(f); /* the tests run from the root of the repository */
	char part[4096];
	for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;)
		buf_add(&b, view_of(part, n));
	fclose(f);
	assert_true(buf_ok(&b));
	return b;
}

struct roster *rosters_belgium(void)
{
	struct buf text = rosters_file("conf/belgium.conf");
	struct roster *r;
	struct errmsg m = {0};
	enum err e = roster_parse("conf/belgium.conf", buf_view(&text), NULL, true, &r, &m);
	buf_release(&text);
	if (e != ERR_OK)
		fail_msg("%s", m.text);
	return r;
}

uint16_t rosters_number(const struct roster *r, const char *id)
{
	const struct site *s = roster_site_by_id(r, view_str(id));
	assert_non_null(s);
	return s->number;
}

struct site *rosters_site(struct roster *r, const char *id)
{
	return &r->sites[roster_site_by_id(r, view_str(id)) - r->sites];
}

struct site_keys rosters_keys(const struct site *s)
{
	uint8_t seed[32] = {7, (uint8_t)s->number};
	struct site_keys k;
	site_keys_make(seed, s->id, "be-police", &k);
	return k;
}

struct roster *rosters_enrolled(void)
{
	struct roster *r = rosters_belgium();
	for (size_t i = 0; i < r->n_sites; i++) {
		struct site *s = &r->sites[i];
		struct site_keys k = rosters_keys(s);
		s->identity = k.identity_public;
		s->link = k.link_public;
		s->sealing = k.sealing[0].pub;
		sealing_key_sign(&k.identity, s->number, &s->sealing, &s->sealing_signature);
		s->n_bearers = 2;
		s->bearers[0] = (struct bearer){.name = "loopback", .cost = 10, .bulk = true};
		snprintf(s->bearers[0].endpoint, sizeof s->bearers[0].endpoint, "tcp://127.0.0.1:%u", 20000 + s->number);
		s->bearers[1] = (struct bearer){.name = "satellite", .cost = 50, .rate_bps = 9600};
		snprintf(s->bearers[1].endpoint, sizeof s->bearers[1].endpoint, "tcp://[fd00::1]:%u", 20000 + s->number);
	}
	r->has_keys = true;
	return r;
}

struct buf rosters_text(const struct roster *r)
{
	struct buf b = BUF_EMPTY;
	assert_int_equal(roster_format(r, &b), ERR_OK);
	return b;
}

struct roster *rosters_parse(struct view text, const struct minisign_public *authority, bool template)
{
	struct roster *r;
	struct errmsg m = {0};
	if (roster_parse("t.conf", text, authority, template, &r, &m) != ERR_OK)
		fail_msg("%s", m.text);
	return r;
}

void rosters_same(const struct roster *a, const struct roster *b)
{
	struct buf diff = BUF_EMPTY;
	roster_diff(a, b, &diff);
	if (diff.len > 0)
		fail_msg("they differ: %.*s", (int)diff.len, (const char *)diff.ptr);
	buf_release(&diff);
	assert_int_equal(a->n_sites, b->n_sites);
	for (size_t i = 0; i < a->n_sites; i++) {
		const struct site *x = &a->sites[i], *y = &b->sites[i];
		assert_memory_equal(x->queues, y->queues, x->n_queues * sizeof *x->queues);
		assert_memory_equal(&x->sealing_signature, &y->sealing_signature, sizeof x->sealing_signature);
		assert_int_equal(x->n_bearers, y->n_bearers);
		for (size_t j = 0; j < x->n_bearers; j++)
			assert_int_equal(x->bearers[j].rate_bps, y->bearers[j].rate_bps);
	}
}

void rosters_diff(const struct roster *a, const struct roster *b, const char *expected)
{
	struct buf diff = BUF_EMPTY;
	roster_diff(a, b, &diff);
	buf_add_u8(&diff, 0);
	assert_string_equal((const char *)diff.ptr, expected);
	buf_release(&diff);
}
