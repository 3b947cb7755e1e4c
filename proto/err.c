#include "proto/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *code, *text;
} errors[ERR_COUNT] = {
#define X(name, c, t) [ERR_##name] = {#c, t},
	ERR_LIST(X)
#undef X
};

static unsigned known(enum err e)
{
	return (unsigned)e < ERR_COUNT ? (unsigned)e : ERR_INTERNAL;
}

const char *err_code(enum err e)
{
	return errors[known(e)].code;
}

const char *err_text(enum err e)
{
	return errors[known(e)].text;
}

enum err err_from_code(const char *code)
{
	for (unsigned e = 0; code && e < ERR_COUNT; e++)
		if (strcmp(errors[e].code, code) == 0)
			return (enum err)e;
	return ERR_INTERNAL;
}

enum err err_set(struct errmsg *m, enum err e, const char *fmt, ...)
{
	va_list args;

	if (!m)
		return e;
	m->code = e;
	va_start(args, fmt);
	vsnprintf(m->text, sizeof m->text, fmt, args);
	va_end(args);
	return e;
}
