#include "proto/setting.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/instant.h"
#include "proto/limits.h"

/* Deeper than any text of ours; libconfig recurses. */
#define NESTING_MAX 8
/* A longer file name keeps its end, so that the reason still fits the message. */
#define FILE_SHOWN_BYTES 160

static void fail_at(struct settings *ctx, unsigned line, enum err e, const char *fmt, va_list ap)
{
	if (ctx->err != ERR_OK)
		return;
	ctx->err = e;
	char why[sizeof ctx->m->text];
	vsnprintf(why, sizeof why, fmt, ap);
	const char *file = ctx->file ? ctx->file : "-";
	size_t n = strlen(file);
	bool cut = n > FILE_SHOWN_BYTES;
	err_set(ctx->m, e, "%s%s:%u: %s", cut ? "..." : "", cut ? file + n - FILE_SHOWN_BYTES : file, line, why);
}

bool settings_fail(struct settings *ctx, const config_setting_t *where, enum err e, const char *fmt, ...)
{
	unsigned line = config_setting_source_line(where);
	va_list ap;
	va_start(ap, fmt);
	fail_at(ctx, line ? line : 1, e, fmt, ap);
	va_end(ap);
	return false;
}

static bool fail_line(struct settings *ctx, unsigned line, enum err e, const char *fmt, ...) PRINTF_LIKE(4, 5);
static bool fail_line(struct settings *ctx, unsigned line, enum err e, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fail_at(ctx, line, e, fmt, ap);
	va_end(ap);
	return false;
}

/* ---- what libconfig would take silently ---------------------------------------------------------------- */

struct scan {
	struct settings *ctx;
	const char *pos, *end;
	unsigned line;
	int depth;
	char before; /* what stood before: a bracket, sign, or the beginning of a word, number or string */
	bool blank; /* only blanks since the line began: there, libconfig takes @include even inside a comment */
};

static char at(const struct scan *s, size_t ahead)
{
	return (size_t)(s->end - s->pos) > ahead ? s->pos[ahead] : '\0';
}

static void step(struct scan *s)
{
	if (*s->pos == '\n') {
		s->line++;
		s->blank = true;
	} else if (*s->pos != ' ' && *s->pos != '\t') {
		s->blank = false;
	}
	s->pos++;
}

static bool refuse_include(struct scan *s)
{
	return fail_line(s->ctx, s->line, ERR_FORMAT, "@include: not allowed, every setting is in this one file (copy the text to here)");
}

static bool is_include(const struct scan *s)
{
	return s->blank && s->end - s->pos >= 8 && memcmp(s->pos, "@include", 8) == 0;
}

/* Passes a string or comment up to and with its end. (libconfig does not release a string that never ends.) */
static bool skip_until(struct scan *s, const char *end, bool escapes)
{
	size_t n = strlen(end);
	unsigned begun = s->line;
	while (s->pos < s->end) {
		if (is_include(s))
			return refuse_include(s);
		if (escapes && *s->pos == '\\' && at(s, 1) != '\0') {
			step(s);
			step(s);
			continue;
		}
		bool found = (size_t)(s->end - s->pos) >= n && memcmp(s->pos, end, n) == 0;
		step(s);
		if (!found)
			continue;
		for (size_t i = 1; i < n; i++)
			step(s);
		return true;
	}
	if (escapes)
		return fail_line(s->ctx, begun, ERR_FORMAT, "the text: a string begins here and never ends (close it with '\"')");
	return true;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '*';
}

static void skip_name(struct scan *s)
{
	while (is_letter(at(s, 0)) || is_digit(at(s, 0)) || at(s, 0) == '-' || at(s, 0) == '_')
		step(s);
}

static bool scan_number(struct scan *s)
{
	if (*s->pos == '0' && (at(s, 1) == 'x' || at(s, 1) == 'X'))
		return fail_line(s->ctx, s->line, ERR_FORMAT, "a number: it is hexadecimal (write it in decimal)");
	int64_t value = 0;
	for (; is_digit(at(s, 0)); step(s)) {
		value = value * 10 + (*s->pos - '0');
		if (value > INT32_MAX)
			return fail_line(s->ctx, s->line, ERR_RANGE, "a number: it is larger than 2147483647 (no setting takes such a one)");
	}
	return true;
}

static bool scan_brackets(struct scan *s)
{
	char c = *s->pos;
	if (c == '(' || c == '[' || c == '{')
		s->depth++;
	else if ((c == ')' || c == ']' || c == '}') && s->depth > 0)
		s->depth--;
	if (s->depth > NESTING_MAX)
		return fail_line(s->ctx, s->line, ERR_FORMAT, "the text: brackets are nested more than %d deep (close some)", NESTING_MAX);
	step(s);
	return true;
}

/* Elsewhere it is a syntax error, too, but there libconfig does not release the string. */
static bool scan_string(struct scan *s)
{
	if (s->before == '\0' || strchr("=:([,\"", s->before) == NULL)
		return fail_line(s->ctx, s->line, ERR_FORMAT, "the text: a string where none can be (look for a missing '=', ',' or '\"' before it)");
	s->before = '"';
	step(s);
	return skip_until(s, "\"", true);
}

static bool scan_one(struct scan *s)
{
	char c = *s->pos;
	if (c == '\0')
		return fail_line(s->ctx, s->line, ERR_FORMAT, "the text: it holds a NUL byte (is this the right file?)");
	if (c == '@')
		return is_include(s) ? refuse_include(s) : fail_line(s->ctx, s->line, ERR_FORMAT, "the text: '@' outside quotes (remove it)");
	if (c == '"')
		return scan_string(s);
	if (c == '#' || (c == '/' && at(s, 1) == '/'))
		return skip_until(s, "\n", false);
	if (c == '/' && at(s, 1) == '*') {
		step(s);
		step(s);
		return skip_until(s, "*/", false);
	}
	if (c != ' ' && c != '\t' && c != '\n' && c != '\r' && c != '\f')
		s->before = c;
	if (is_digit(c))
		return scan_number(s);
	if (is_letter(c)) {
		skip_name(s);
		return true;
	}
	return scan_brackets(s);
}

static bool scan_text(struct settings *ctx, struct view text)
{
	const char *p = (const char *)text.ptr;
	struct scan s = {.ctx = ctx, .pos = p, .end = p + text.len, .line = 1, .blank = true};
	/* A NUL inside a string or comment would end the text early for libconfig. */
	const char *nul = text.len ? memchr(p, 0, text.len) : NULL;
	if (nul)
		s.end = nul + 1;
	while (s.pos < s.end)
		if (!scan_one(&s))
			return false;
	if (nul)
		return fail_line(ctx, s.line, ERR_FORMAT, "the text: it holds a NUL byte (is this the right file?)");
	return true;
}

enum err settings_parse(struct settings *ctx, struct view text, size_t max_bytes, config_t *cfg)
{
	if (text.len > max_bytes) {
		fail_line(ctx, 1, ERR_TOO_LARGE, "the text: it has %zu bytes, at most %zu are read (is this the right file?)", text.len, max_bytes);
		return ctx->err;
	}
	if (!scan_text(ctx, text))
		return ctx->err;
	char *copy = malloc(text.len + 1);
	if (copy == NULL) {
		fail_line(ctx, 1, ERR_NOMEM, "the text: out of memory (free some and try again)");
		return ctx->err;
	}
	if (text.len > 0)
		memcpy(copy, text.ptr, text.len);
	copy[text.len] = '\0';
	if (config_read_string(cfg, copy) != CONFIG_TRUE) {
		const char *why = config_error_text(cfg);
		fail_line(ctx, (unsigned)config_error_line(cfg), ERR_FORMAT,
			  "the text: %s (look here and just above for a missing ';' or '\"', a ',' too many, or a setting given twice)",
			  why ? why : "it cannot be read");
	}
	free(copy);
	return ctx->err;
}

/* ---- the table ------------------------------------------------------------------------------------------ */

const char *setting_name(const config_setting_t *s)
{
	while (s && !config_setting_name(s))
		s = config_setting_parent(s);
	return s ? config_setting_name(s) : "the text";
}

static const struct setting_spec *spec_of(const char *name, const struct setting_spec *specs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (name && strcmp(name, specs[i].name) == 0)
			return &specs[i];
	return NULL;
}

static bool fail_unknown(struct settings *ctx, const config_setting_t *s, const struct setting_spec *specs, size_t n)
{
	char known[200] = "";
	size_t len = 0;
	for (size_t i = 0; i < n && len < sizeof known; i++)
		len += (size_t)snprintf(known + len, sizeof known - len, "%s%s", i ? ", " : "", specs[i].name);
	return settings_fail(ctx, s, ERR_FORMAT, "%.60s: unknown setting (known here: %s)", setting_name(s), known);
}

bool settings_read(struct settings *ctx, const config_setting_t *group, const struct setting_spec *specs, size_t n, void *base)
{
	if (config_setting_type(group) != CONFIG_TYPE_GROUP)
		return settings_fail(ctx, group, ERR_FORMAT, "%.60s: not a group of settings (write { name = value; ... })", setting_name(group));
	int count = config_setting_length(group);
	for (int i = 0; i < count; i++) {
		const config_setting_t *s = config_setting_get_elem(group, (unsigned)i);
		if (!spec_of(config_setting_name(s), specs, n))
			return fail_unknown(ctx, s, specs, n);
	}
	for (size_t i = 0; i < n; i++) {
		const config_setting_t *s = config_setting_get_member((config_setting_t *)group, specs[i].name);
		if (s == NULL && specs[i].required)
			return settings_fail(ctx, group, ERR_FORMAT, "%s: missing (add %s = ...;)", specs[i].name, specs[i].name);
		if (s && !specs[i].read(ctx, s, &specs[i], (char *)base + specs[i].offset))
			return false;
	}
	return true;
}

const char *setting_string(struct settings *ctx, const config_setting_t *s, int64_t min, int64_t max)
{
	const char *text = config_setting_get_string(s);
	if (config_setting_type(s) != CONFIG_TYPE_STRING || text == NULL) {
		settings_fail(ctx, s, ERR_FORMAT, "%.60s: not a text (put it in double quotes)", setting_name(s));
		return NULL;
	}
	size_t n = strlen(text);
	if (n < (size_t)min || n > (size_t)max) {
		settings_fail(ctx, s, ERR_RANGE, "%.60s: it has %zu characters (%lld to %lld are allowed)", setting_name(s), n, (long long)min,
			      (long long)max);
		return NULL;
	}
	if (!view_is_text(view_str(text))) {
		settings_fail(ctx, s, ERR_FORMAT, "%.60s: it holds control characters or bad UTF-8 (write it on one line, in UTF-8)",
			      setting_name(s));
		return NULL;
	}
	return text;
}

int setting_list(struct settings *ctx, const config_setting_t *s, int64_t min, int64_t max)
{
	int type = config_setting_type(s);
	if (type != CONFIG_TYPE_LIST && type != CONFIG_TYPE_ARRAY) {
		settings_fail(ctx, s, ERR_FORMAT, "%.60s: not a list (write ( first, second ))", setting_name(s));
		return -1;
	}
	int n = config_setting_length(s);
	if (n < min || n > max) {
		settings_fail(ctx, s, n > max ? ERR_TOO_LARGE : ERR_RANGE, "%.60s: the list has %d elements (%lld to %lld are allowed)",
			      setting_name(s), n, (long long)min, (long long)max);
		return -1;
	}
	return n;
}

static bool number(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, int *out)
{
	if (config_setting_type(s) != CONFIG_TYPE_INT)
		return settings_fail(ctx, s, ERR_FORMAT, "%.60s: not a whole number (write digits only, without quotes)", setting_name(s));
	*out = config_setting_get_int(s);
	if (*out < spec->min || *out > spec->max)
		return settings_fail(ctx, s, ERR_RANGE, "%.60s: %d is out of range (%lld to %lld are allowed)", setting_name(s), *out,
				     (long long)spec->min, (long long)spec->max);
	return true;
}

bool read_u16(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	assert(spec->min >= 0 && spec->max <= UINT16_MAX);
	int x;
	if (!number(ctx, s, spec, &x))
		return false;
	*(uint16_t *)out = (uint16_t)x;
	return true;
}

bool read_u32(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	assert(spec->min >= 0);
	int x;
	if (!number(ctx, s, spec, &x))
		return false;
	*(uint32_t *)out = (uint32_t)x;
	return true;
}

bool read_int(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	return number(ctx, s, spec, out);
}

bool read_bool(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	(void)spec;
	if (config_setting_type(s) != CONFIG_TYPE_BOOL)
		return settings_fail(ctx, s, ERR_FORMAT, "%.60s: neither true nor false (write one of them, without quotes)", setting_name(s));
	*(bool *)out = config_setting_get_bool(s) == CONFIG_TRUE;
	return true;
}

bool read_duration(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	const char *text = setting_string(ctx, s, 1, 32);
	if (text == NULL)
		return false;
	int64_t us;
	enum err e = duration_parse(text, &us);
	if (e == ERR_FORMAT)
		return settings_fail(ctx, s, e, "%.60s: \"%s\" is not a duration (write a number with ms, s, min, h or d)", setting_name(s), text);
	if (e != ERR_OK || us < spec->min || us > spec->max)
		return settings_fail(ctx, s, ERR_RANGE, "%.60s: \"%s\" is out of range (%llds to %lldd are allowed)", setting_name(s), text,
				     (long long)(spec->min / US_PER_S), (long long)(spec->max / US_PER_DAY));
	*(int64_t *)out = us;
	return true;
}

bool read_name(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	(void)spec;
	const char *text = setting_string(ctx, s, 1, LIMIT_NAME_BYTES);
	if (text == NULL)
		return false;
	if (!view_is_name(view_str(text)))
		return settings_fail(ctx, s, ERR_FORMAT, "%.60s: \"%s\" is not a name (lower case letters, digits and '-', a letter first)",
				     setting_name(s), text);
	memcpy(out, text, strlen(text) + 1);
	return true;
}
