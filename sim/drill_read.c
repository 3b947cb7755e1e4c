#include "sim/drill_read.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

bool read_nomem(struct settings *ctx, const config_setting_t *s)
{
	return settings_fail(ctx, s, ERR_NOMEM, "%.60s: out of memory (free some and try again)", setting_name(s));
}

void *list_grow(void *list, size_t *n, size_t size)
{
	char **at = list, *more = *at;
	/* Room is doubled whenever the number is a power of two. */
	if ((*n & (*n - 1)) == 0) {
		more = realloc(*at, (*n ? 2 * *n : 1) * size);
		if (more == NULL)
			return NULL;
		*at = more;
	}
	memset(more + *n * size, 0, size);
	return more + (*n)++ * size;
}

/* ---- did you mean ------------------------------------------------------------------------------------------- */

#define NEAR_BYTES 48

static unsigned distance(const char *a, const char *b)
{
	unsigned row[NEAR_BYTES + 1];
	size_t na = strlen(a), nb = strlen(b);

	if (na > NEAR_BYTES || nb > NEAR_BYTES)
		return UINT32_MAX;
	for (unsigned j = 0; j <= nb; j++)
		row[j] = j;
	for (unsigned i = 1; i <= na; i++) {
		unsigned diagonal = row[0];
		row[0] = i;
		for (unsigned j = 1; j <= nb; j++) {
			unsigned best = diagonal + (a[i - 1] != b[j - 1]);
			diagonal = row[j];
			best = row[j] + 1 < best ? row[j] + 1 : best;
			row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
		}
	}
	return row[nb];
}

const char *nearest(const char *text, const char *(*name)(const void *arg, size_t i), const void *arg, size_t n)
{
	const char *best = NULL;
	unsigned least = (unsigned)strlen(text) / 2 + 1;

	for (size_t i = 0; i < n; i++) {
		unsigned far = distance(text, name(arg, i));
		if (far < least) {
			least = far;
			best = name(arg, i);
		}
	}
	return best;
}

/* ---- times and figures ----------------------------------------------------------------------------------------- */

/* One duration; beside the units of everywhere, microseconds, so that drawn times are written exactly. */
static bool part_parse(const char *text, int64_t *out)
{
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || digits > 15 || strcmp(text + digits, "us") != 0)
		return duration_parse(text, out) == ERR_OK;
	*out = strtoll(text, NULL, 10);
	return true;
}

/* A sum of durations apart by blanks: "1d 6h". */
static bool span_parse(const char *text, int64_t *out)
{
	char part[32];
	int64_t sum = 0, one;

	for (const char *p = text; *p;) {
		size_t n = strcspn(p, " ");
		if (n == 0 || n >= sizeof part)
			return false;
		memcpy(part, p, n);
		part[n] = '\0';
		if (!part_parse(part, &one))
			return false;
		sum += one; /* at most 20 parts of 100 years each */
		p += n;
		if (*p == ' ' && *++p == '\0')
			return false;
	}
	*out = sum;
	return text[0] != '\0';
}

static void span_text(int64_t us, char *out, size_t size)
{
	struct buf b = BUF_EMPTY;
	put_span(&b, us);
	snprintf(out, size, "%.*s", (int)b.len, b.ptr ? (const char *)b.ptr : "");
	buf_release(&b);
}

static bool span_in(struct settings *ctx, const config_setting_t *s, const char *text, int64_t us, int64_t min, int64_t max)
{
	char lo[64], hi[64];

	if (us >= min && us <= max)
		return true;
	span_text(min, lo, sizeof lo);
	span_text(max, hi, sizeof hi);
	return settings_fail(ctx, s, ERR_RANGE, "%.60s: \"%s\" is an impossible time here (%s to %s are allowed)", setting_name(s), text, lo, hi);
}

bool read_span(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	const char *text = setting_string(ctx, s, 1, 64);
	int64_t us;

	if (text == NULL)
		return false;
	if (!span_parse(text, &us))
		return settings_fail(ctx, s, ERR_FORMAT, "%.60s: \"%s\" is not a duration (write numbers with ms, s, min, h or d, as in \"1d 6h\")",
				     setting_name(s), text);
	if (!span_in(ctx, s, text, us, spec->min, spec->max))
		return false;
	*(int64_t *)out = us;
	return true;
}

bool read_signed_span(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	const char *text = setting_string(ctx, s, 1, 64);
	int64_t us;

	if (text == NULL)
		return false;
	bool minus = text[0] == '-';
	if (!span_parse(text + minus, &us))
		return settings_fail(ctx, s, ERR_FORMAT, "%.60s: \"%s\" is not a duration, with or without '-' (as in \"-5min\")",
				     setting_name(s), text);
	if (!span_in(ctx, s, text + minus, us, 0, spec->max))
		return false;
	*(int64_t *)out = minus ? -us : us;
	return true;
}

bool read_moment(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	const struct drill_reading *r = reading_of(ctx);
	const char *text = setting_string(ctx, s, 1, 64);
	int64_t last = r->drill->length_us + (r->ends ? r->drill->settle_us : 0), us;
	struct wall wall;

	(void)spec;
	if (text == NULL)
		return false;
	if (r->ends && strcmp(text, "end") == 0) {
		*(int64_t *)out = MONO_NEVER.us;
		return true;
	}
	if (wall_parse(text, &wall) == ERR_OK)
		us = wall.us - r->drill->start.us;
	else if (!span_parse(text, &us))
		return settings_fail(ctx, s, ERR_FORMAT,
				     "%.60s: \"%s\" is not a time (write the time since the start, as in \"1d 6h\", or \"2021-07-14T20:00:00Z\"%s)",
				     setting_name(s), text, r->ends ? ", or \"end\"" : "");
	if (!span_in(ctx, s, text, us, 0, last))
		return false;
	*(int64_t *)out = us;
	return true;
}

bool read_ppm(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	int64_t x;

	if (!read_ppm_value(ctx, s, spec, &x))
		return false;
	*(uint32_t *)out = (uint32_t)x;
	return true;
}

bool read_ppm_value(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	const char *text = setting_string(ctx, s, 1, 16);
	int64_t whole = 0, part = 0;
	int scale = 10000;
	const char *p = text;

	(void)spec;
	if (text == NULL)
		return false;
	for (; *p >= '0' && *p <= '9' && whole <= 100; p++)
		whole = 10 * whole + (*p - '0');
	if (*p == '.' && p > text)
		for (p++; *p >= '0' && *p <= '9' && scale > 1; p++) {
			scale /= 10;
			part += (*p - '0') * scale;
		}
	if (p == text || strcmp(p, "%") != 0 || whole * 10000 + part > 1000000)
		return settings_fail(ctx, s, ERR_FORMAT, "%.60s: \"%s\" is not a share (write 0%% to 100%%, as in \"0.5%%\")", setting_name(s), text);
	*(int64_t *)out = whole * 10000 + part;
	return true;
}

bool read_bit_rate(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	static const struct { const char *unit; int64_t bps; } units[] = {{"bit/s", 1}, {"kbit/s", 1000}, {"Mbit/s", 1000000}, {"Gbit/s", 1000000000}};
	const char *text = setting_string(ctx, s, 1, 32), *p = text;
	int64_t x = 0;

	(void)spec;
	if (text == NULL)
		return false;
	for (; *p >= '0' && *p <= '9' && x < 1000000; p++)
		x = 10 * x + (*p - '0');
	for (size_t i = 0; p > text && x > 0 && i < sizeof units / sizeof units[0]; i++)
		if (strcmp(p, units[i].unit) == 0) {
			*(int64_t *)out = x * units[i].bps;
			return true;
		}
	return settings_fail(ctx, s, ERR_FORMAT, "%.60s: \"%s\" is not a rate (write a number with bit/s, kbit/s, Mbit/s or Gbit/s)", setting_name(s), text);
}

bool read_size(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	const char *text = setting_string(ctx, s, 1, 32);
	int64_t x;

	if (text == NULL)
		return false;
	if (size_parse(text, &x) != ERR_OK || x < spec->min || x > spec->max)
		return settings_fail(ctx, s, ERR_FORMAT, "%.60s: \"%s\" is not a size of %" PRId64 " to %" PRId64 " bytes (write it with B, KiB or MiB)",
				     setting_name(s), text, spec->min, spec->max);
	*(int64_t *)out = x;
	return true;
}

bool read_whole(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	int x;

	if (!read_int(ctx, s, spec, &x))
		return false;
	*(int64_t *)out = x;
	return true;
}

bool read_text(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	const char *text = setting_string(ctx, s, 1, spec->max);

	if (text == NULL)
		return false;
	memcpy(out, text, strlen(text) + 1);
	return true;
}

bool read_dos(struct settings *ctx, const config_setting_t *s, uint64_t allowed, const char *name, const char *what, uint64_t *out)
{
	int n = setting_list(ctx, s, 1, DO_COUNT);

	for (int i = 0; i < n; i++) {
		const config_setting_t *e = config_setting_get_elem(s, (unsigned)i);
		const char *text = setting_string(ctx, e, 1, LIMIT_NAME_BYTES);
		unsigned k = 0;

		if (text == NULL)
			return false;
		while (k < DO_COUNT && strcmp(text, drill_do_name((enum drill_do)k)) != 0)
			k++;
		if (k == DO_COUNT || !(allowed >> k & 1))
			return settings_fail(ctx, e, ERR_FORMAT, "%s: \"%s\" is not %s", name, text, what);
		*out |= UINT64_C(1) << k;
	}
	return n > 0;
}

bool read_precedence(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	const char *text = setting_string(ctx, s, 1, 32);
	enum precedence p;

	(void)spec;
	if (text == NULL)
		return false;
	if (precedence_parse(text, &p) != ERR_OK)
		return settings_fail(ctx, s, ERR_FORMAT, "%.60s: \"%s\" is not a precedence (flash, immediate, priority, routine)", setting_name(s), text);
	*(uint8_t *)out = (uint8_t)p;
	return true;
}

bool read_precedence_value(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	uint8_t p = 0;

	if (!read_precedence(ctx, s, spec, &p))
		return false;
	*(int64_t *)out = p;
	return true;
}

bool read_bearer_ref(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	const struct drill *d = drill_of(ctx);
	const char *text = setting_string(ctx, s, 1, LIMIT_NAME_BYTES);

	(void)spec;
	if (text == NULL)
		return false;
	for (size_t i = 0; i < d->n_bearers; i++)
		if (strcmp(text, d->bearers[i].name) == 0) {
			*(int *)out = (int)i;
			return true;
		}
	return settings_fail(ctx, s, ERR_NOT_FOUND, "%.60s: \"%s\" is not a bearer of this drill (name one of network.bearers)", setting_name(s), text);
}

bool read_beside(struct settings *ctx, const config_setting_t *s, const char *name, struct buf *out, char *path, size_t path_size)
{
	const char *file = drill_of(ctx)->file, *slash = strrchr(file, '/');
	char piece[4096];
	size_t n;

	snprintf(path, path_size, "%.*s%s", slash && name[0] != '/' ? (int)(slash + 1 - file) : 0, file, name);
	FILE *f = fopen(path, "r");
	if (f == NULL)
		return settings_fail(ctx, s, ERR_IO, "%.60s: cannot read %.200s: %m (tables are looked for beside the drill)", setting_name(s), path);
	while ((n = fread(piece, 1, sizeof piece, f)) > 0 && out->len <= DRILL_TEXT_BYTES)
		buf_add(out, view_of(piece, n));
	bool bad = ferror(f) != 0 || out->len > DRILL_TEXT_BYTES;
	fclose(f);
	if (bad || !buf_ok(out))
		return settings_fail(ctx, s, ERR_IO, "%.60s: cannot read %.200s as a whole (is it the right file?)", setting_name(s), path);
	return true;
}
