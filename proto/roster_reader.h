/* roster_reader.h - what the readers of a roster's settings share. Private to roster_parse*.c. */
#ifndef PROTO_ROSTER_READER_H
#define PROTO_ROSTER_READER_H

#include "proto/roster.h"
#include "proto/setting.h"

/* What the readers know beside the settings: the `user` of struct settings. */
struct roster_reading {
	struct roster *roster; /* so far */
	bool allow_template;
};

static inline struct roster *roster_of(struct settings *ctx)
{
	return ((struct roster_reading *)ctx->user)->roster;
}

/* The member when it is there, else the group: where a message points. */
static inline const config_setting_t *member_or(const config_setting_t *group, const char *name)
{
	const config_setting_t *s = config_setting_get_member((config_setting_t *)group, name);
	return s ? s : group;
}

static inline bool fail_nomem(struct settings *ctx, const config_setting_t *s)
{
	return settings_fail(ctx, s, ERR_NOMEM, "%s: out of memory (free some and try again)", setting_name(s));
}

/* Readers for tables. Deadlines to int64_t[PREC_COUNT], sites to a struct roster. */
bool read_deadlines(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out);
bool read_sites(struct settings *ctx, const config_setting_t *list, const struct setting_spec *spec, void *out);

/* A string that names a site, as its number. */
bool read_site_ref(struct settings *ctx, const config_setting_t *elem, uint16_t *out);
/* A list of sites, each once, in the order of the text. out holds as many as the list. */
bool read_site_refs(struct settings *ctx, const config_setting_t *list, uint16_t *out, size_t *n_out);

#endif
