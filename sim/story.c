#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "sim/story.h"

const char *story_kind_name(unsigned kind)
{
	static const char *const names[STORY_KINDS] = {"", "plan", "fault", "site", "link", "message", "note", "expect", "BROKEN"};

	return kind < STORY_KINDS ? names[kind] : "?";
}

void story_time(int64_t at_us, char *out, size_t size)
{
	int64_t ms = at_us / US_PER_MS, s = ms / 1000;
	int day = (int)(s / 86400), n = 0;

	if (day)
		n = snprintf(out, size, "%dd ", day);
	if (n < 0 || (size_t)n >= size)
		return;
	n += snprintf(out + n, size - (size_t)n, "%02d:%02d:%02d", (int)(s / 3600 % 24), (int)(s / 60 % 60), (int)(s % 60));
	if (ms % 1000 && (size_t)n < size)
		snprintf(out + n, size - (size_t)n, ".%03d", (int)(ms % 1000));
}

static void print_line(const struct story_line *l, FILE *out)
{
	char when[40];

	story_time(l->at_us, when, sizeof when);
	fprintf(out, "%-16s %-8s %s\n", when, story_kind_name(l->kind), l->text);
}

void story_tell(struct story *s, int64_t at_us, enum story_kind kind, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	s->count[kind]++;
	if (kind == STORY_MESSAGE && !s->verbose)
		return;
	/* Many small things do not crowd out the few large ones. */
	if ((kind == STORY_LINK || kind == STORY_NOTE) && s->count[kind] > STORY_MAX_LINES / 5) {
		s->dropped++;
		return;
	}
	if (s->n >= STORY_MAX_LINES && kind != STORY_BROKEN && kind != STORY_EXPECT) {
		s->dropped++;
		return;
	}
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (s->n == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 256;
		struct story_line *more = realloc(s->lines, cap * sizeof *more);

		if (!more) {
			s->dropped++;
			return;
		}
		s->lines = more;
		s->cap = cap;
	}
	struct story_line l = {.at_us = at_us, .kind = (uint8_t)kind, .text = strdup(text)};

	if (!l.text) {
		s->dropped++;
		return;
	}
	s->lines[s->n++] = l;
	if (s->follow)
		print_line(&l, s->follow);
}

void story_print(const struct story *s, FILE *out)
{
	for (size_t i = 0; i < s->n; i++)
		print_line(&s->lines[i], out);
	if (s->dropped)
		fprintf(out, "%-16s %-8s %zu more lines were not kept\n", "", "", s->dropped);
}

void story_release(struct story *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->lines[i].text);
	free(s->lines);
	*s = (struct story){0};
}
