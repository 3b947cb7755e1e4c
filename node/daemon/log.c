#include "node/daemon/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "proto/instant.h"

#define LINE_BYTES 1024

static atomic_int max_level = LEVEL_INFO;
static bool under_systemd;

void log_start(void)
{
	under_systemd = getenv("JOURNAL_STREAM") != NULL;
}

void log_set_level(int max)
{
	max_level = max;
}

static size_t line_begin(char *line, int level)
{
	struct timespec ts;
	char text[WALL_TEXT_BYTES];

	if (under_systemd)
		return (size_t)snprintf(line, LINE_BYTES, "<%d>", level);
	clock_gettime(CLOCK_REALTIME, &ts);
	wall_format((struct wall){ts.tv_sec * US_PER_S + ts.tv_nsec / 1000}, 3, text);
	return (size_t)snprintf(line, LINE_BYTES, "%s estafetted: ", text);
}

/* Text of peers and clients may be in a line; it must not be able to begin another one. */
static void blank_controls(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = ' ';
}

void log_line(int level, const char *fmt, ...)
{
	char line[LINE_BYTES + 1];
	size_t at, len;
	va_list args;
	int n;

	if (level > max_level)
		return;
	at = line_begin(line, level);
	va_start(args, fmt);
	n = vsnprintf(line + at, LINE_BYTES - at, fmt, args);
	va_end(args);
	if (n < 0)
		return;
	len = at + (size_t)n < LINE_BYTES ? at + (size_t)n : LINE_BYTES - 1;
	blank_controls(line + at);
	line[len++] = '\n';
	/* a log that cannot be written must not stop the node */
	if (write(STDERR_FILENO, line, len) < 0)
		return;
}
