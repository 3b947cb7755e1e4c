#include "proto/roster.h"

#include <stdio.h>
#include <stdlib.h>

void roster_free(struct roster *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->n_sites; i++)
		free(r->sites[i].queues);
	for (size_t i = 0; i < r->n_groups; i++)
		free(r->groups[i].members);
	free(r->sites);
	free(r->areas);
	free(r->groups);
	free(r->relocators);
	free(r->blob.ptr);
	free(r);
}

/* ---- lookups -------------------------------------------------------------------------------------------- */

const struct site *roster_site(const struct roster *r, uint16_t number)
{
	size_t low = 0, high = r->n_sites;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (r->sites[mid].number == number)
			return &r->sites[mid];
		if (r->sites[mid].number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

const struct site *roster_site_by_id(const struct roster *r, struct view id)
{
	for (size_t i = 0; i < r->n_sites; i++)
		if (view_equal(view_str(r->sites[i].id), id))
			return &r->sites[i];
	return NULL;
}

const struct site *roster_site_by_link(const struct roster *r, const char z85[41])
{
	if (!r->has_keys)
		return NULL;
	for (size_t i = 0; i < r->n_sites; i++)
		if (!r->sites[i].removed && strncmp(r->sites[i].link.z85, z85, 41) == 0)
			return &r->sites[i];
	return NULL;
}

const struct area *roster_area_by_id(const struct roster *r, struct view id)
{
	for (size_t i = 0; i < r->n_areas; i++)
		if (view_equal(view_str(r->areas[i].id), id))
			return &r->areas[i];
	return NULL;
}

const struct area *roster_area(const struct roster *r, uint16_t number)
{
	for (size_t i = 0; i < r->n_areas; i++)
		if (r->areas[i].number == number)
			return &r->areas[i];
	return NULL;
}

const struct group *roster_group_by_id(const struct roster *r, struct view id)
{
	for (size_t i = 0; i < r->n_groups; i++)
		if (view_equal(view_str(r->groups[i].id), id))
			return &r->groups[i];
	return NULL;
}

const struct group *roster_group(const struct roster *r, uint16_t number)
{
	for (size_t i = 0; i < r->n_groups; i++)
		if (r->groups[i].number == number)
			return &r->groups[i];
	return NULL;
}

const struct queue_def *site_queue(const struct site *s, struct view name)
{
	for (size_t i = 0; i < s->n_queues; i++)
		if (view_equal(view_str(s->queues[i].name), name))
			return &s->queues[i];
	return NULL;
}

const char *roster_site_name(const struct roster *r, uint16_t number, char out[LIMIT_NAME_BYTES + 1])
{
	const struct site *s = roster_site(r, number);
	if (s)
		return s->id;
	snprintf(out, LIMIT_NAME_BYTES + 1, number ? "site-%u" : "all", number);
	return out;
}

bool site_is_standby_of(const struct site *standby, const struct site *of)
{
	for (size_t i = 0; i < of->n_standbys; i++)
		if (of->standbys[i] == standby->number)
			return true;
	return false;
}

bool roster_has(const struct roster *r, uint16_t number)
{
	const struct site *s = roster_site(r, number);
	return s && !s->removed;
}

size_t roster_live(const struct roster *r)
{
	size_t n = 0;
	for (size_t i = 0; i < r->n_sites; i++)
		n += !r->sites[i].removed;
	return n;
}

const struct sign_public *site_identity(const struct site *s, size_t i)
{
	return i == 0 ? &s->identity : i <= s->n_former ? &s->former[i - 1] : NULL;
}

size_t roster_custodians(const struct roster *r, uint16_t addressee, uint16_t out[LIMIT_CUSTODIANS])
{
	static_assert(1 + LIMIT_STANDBYS <= LIMIT_CUSTODIANS, "an addressee and its standbys fit");
	const struct site *s = roster_site(r, addressee);
	if (s == NULL)
		return 0;
	size_t n = 0;
	if (!s->removed)
		out[n++] = addressee;
	for (size_t i = 0; i < s->n_standbys; i++)
		out[n++] = s->standbys[i];
	return n;
}

/* ---- addresses ------------------------------------------------------------------------------------------ */

/* What a person typed, safe to repeat in a message: other than printable ASCII becomes '?', long text is cut. */
static const char *shown(struct view v, char out[64])
{
	size_t n = v.len < 60 ? v.len : 60;
	for (size_t i = 0; i < n; i++)
		out[i] = v.ptr[i] >= 0x20 && v.ptr[i] < 0x7f ? (char)v.ptr[i] : '?';
	snprintf(out + n, 4, "%s", v.len > n ? "..." : "");
	return out;
}

static enum err split(struct view text, struct view *name, struct view *queue, struct errmsg *m)
{
	char typed[64];
	const uint8_t *slash = text.len ? memchr(text.ptr, '/', text.len) : NULL;
	if (slash == NULL)
		return err_set(m, ERR_FORMAT, "address \"%s\": no queue is named (write NAME/QUEUE, as in cic-luik/dispatch)",
			       shown(text, typed));
	*name = view_of(text.ptr, (size_t)(slash - text.ptr));
	*queue = view_of(slash + 1, text.len - name->len - 1);
	if (!view_is_name(*name) || !view_is_name(*queue))
		return err_set(m, ERR_FORMAT,
			       "address \"%s\": a part is not a name (write NAME/QUEUE in lower case letters, digits and '-', "
			       "as in cic-luik/dispatch)",
			       shown(text, typed));
	return ERR_OK;
}

/* Fills the sites of out from what name means. */
static enum err resolve_name(const struct roster *r, struct view name, struct address *out, struct errmsg *m)
{
	const struct site *site = roster_site_by_id(r, name);
	const struct area *area = site ? NULL : roster_area_by_id(r, name);
	const struct group *group = site || area ? NULL : roster_group_by_id(r, name);
	if (group) {
		out->group = group->number;
		out->n_sites = group->n_members;
		memcpy(out->sites, group->members, group->n_members * sizeof *group->members);
		return ERR_OK;
	}
	if (site == NULL && area == NULL) {
		char typed[64];
		return err_set(m, ERR_UNKNOWN_SITE, "%s: no such site, area or group in roster %u (compare its spelling with the roster)",
			       shown(name, typed), r->serial);
	}
	out->area = area ? area->number : 0;
	out->n_sites = 1;
	out->sites[0] = site ? site->number : area->site;
	return ERR_OK;
}

enum err roster_resolve(const struct roster *r, struct view text, struct address *out, struct errmsg *m)
{
	out->area = out->group = 0;
	out->n_sites = 0;
	out->queue[0] = '\0';
	struct view name, queue;
	enum err e = split(text, &name, &queue, m);
	if (e == ERR_OK)
		e = resolve_name(r, name, out, m);
	if (e != ERR_OK)
		return e;
	char typed[64], site_name[LIMIT_NAME_BYTES + 1];
	for (size_t i = 0; i < out->n_sites; i++) {
		const struct site *s = roster_site(r, out->sites[i]);
		if (s == NULL || site_queue(s, queue) == NULL)
			return err_set(m, ERR_UNKNOWN_QUEUE, "%s: %s has no such queue in roster %u (its first is %s)", shown(text, typed),
				       roster_site_name(r, out->sites[i], site_name), r->serial, s && s->n_queues ? s->queues[0].name : "none");
	}
	return view_to_str(queue, out->queue, sizeof out->queue) ? ERR_OK : ERR_FORMAT;
}

/* ---- cutting -------------------------------------------------------------------------------------------- */

static bool kept(const uint16_t *keep, size_t n, uint16_t number)
{
	for (size_t i = 0; i < n; i++)
		if (keep[i] == number)
			return true;
	return false;
}

/* Keeps those of list that are in keep, in their order; returns how many are left. */
static size_t cut_numbers(uint16_t *list, size_t len, const uint16_t *keep, size_t n)
{
	size_t left = 0;
	for (size_t i = 0; i < len; i++)
		if (kept(keep, n, list[i]))
			list[left++] = list[i];
	return left;
}

static void cut_sites(struct roster *r, const uint16_t *keep, size_t n)
{
	size_t left = 0;
	for (size_t i = 0; i < r->n_sites; i++) {
		struct site *s = &r->sites[i];
		if (!kept(keep, n, s->number)) {
			free(s->queues);
			continue;
		}
		s->n_standbys = cut_numbers(s->standbys, s->n_standbys, keep, n);
		if (left != i)
			r->sites[left] = *s;
		left++;
	}
	r->n_sites = left;
}

static void cut_areas(struct roster *r, const uint16_t *keep, size_t n)
{
	size_t left = 0;
	for (size_t i = 0; i < r->n_areas; i++)
		if (kept(keep, n, r->areas[i].site))
			r->areas[left++] = r->areas[i];
	r->n_areas = left;
}

/* A group without members would be an address that goes nowhere, so it goes too. */
static void cut_groups(struct roster *r, const uint16_t *keep, size_t n)
{
	size_t left = 0;
	for (size_t i = 0; i < r->n_groups; i++) {
		struct group *g = &r->groups[i];
		g->n_members = cut_numbers(g->members, g->n_members, keep, n);
		if (g->n_members == 0)
			free(g->members);
		else
			r->groups[left++] = *g;
	}
	r->n_groups = left;
}

/* A network of none but removed sites is none. */
static bool keeps_live(const struct roster *r, const uint16_t *keep, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (roster_has(r, keep[i]))
			return true;
	return false;
}

enum err roster_cut(struct roster *r, const uint16_t *keep, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (roster_site(r, keep[i]) == NULL)
			return ERR_UNKNOWN_SITE;
	if (!keeps_live(r, keep, n))
		return ERR_UNKNOWN_SITE;
	cut_sites(r, keep, n);
	cut_areas(r, keep, n);
	cut_groups(r, keep, n);
	r->n_relocators = cut_numbers(r->relocators, r->n_relocators, keep, n);
	if (r->quorum > roster_live(r))
		r->quorum = (unsigned)roster_live(r);
	r->hash = (struct hash){0}; /* there is no signed text of it any more */
	return ERR_OK;
}
