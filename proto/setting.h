/* setting.h - settings of a text in libconfig syntax, read by table.
 *
 * A table lists every setting that a group may have: its name, how it is read, where its value goes, whether it is
 * required, and its range. What is not in the table is an error, so that a mistyped setting is never silently
 * without effect. Every message is "file:line: what: why (what to do)".
 *
 * libconfig reads 4294967296 as 0 and follows @include; both are refused in the text before it sees them. */
#ifndef PROTO_SETTING_H
#define PROTO_SETTING_H

#include <libconfig.h>

#include "proto/err.h"
#include "proto/view.h"

/* One reading. err is 0 until the first failure; m (may be NULL) then holds its message. */
struct settings {
	const char *file; /* only named in messages */
	struct errmsg *m;
	enum err err;
	void *user;       /* for the readers of the caller */
};

struct setting_spec;
/* Reads s to out (base + offset). False after settings_fail. */
typedef bool setting_reader(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out);

struct setting_spec {
	const char *name;
	setting_reader *read;
	size_t offset;
	bool required;
	int64_t min, max; /* of a number; of a duration in microseconds; of a string or list, its length */
};

/* Parses text into cfg, which the caller initialised and destroys. ERR_FORMAT, ERR_TOO_LARGE, ERR_NOMEM. */
MUST_USE enum err settings_parse(struct settings *ctx, struct view text, size_t max_bytes, config_t *cfg);

/* Reads a group: each setting of it must be in the table, each required one be there; they are read in the table's
 * order, whatever their order in the text. Unset ones leave base as it was. */
bool settings_read(struct settings *ctx, const config_setting_t *group, const struct setting_spec *specs, size_t n, void *base);

/* "file:line: " and the rest, to m. Keeps the first failure. Returns false, for `return settings_fail(...)`. */
bool settings_fail(struct settings *ctx, const config_setting_t *where, enum err e, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* How the setting is called in messages: its name, or its list's when it is an element. */
const char *setting_name(const config_setting_t *s);

/* The text of a string setting, checked to be one of min..max bytes without control characters; NULL after settings_fail. */
const char *setting_string(struct settings *ctx, const config_setting_t *s, int64_t min, int64_t max);
/* The length of a list or array of min..max elements; -1 after settings_fail. */
int setting_list(struct settings *ctx, const config_setting_t *s, int64_t min, int64_t max);

/* Readers. out: uint16_t, uint32_t, unsigned, int64_t (duration), bool, and for a name char[LIMIT_NAME_BYTES + 1]. */
bool read_u16(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out);
bool read_u32(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out);
bool read_int(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out);
bool read_bool(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out);
bool read_duration(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out);
bool read_name(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out);

#endif
