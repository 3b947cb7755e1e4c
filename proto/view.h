/* view.h - borrowed bytes. A view owns nothing; the function that returns one says how long it lives. */
#ifndef PROTO_VIEW_H
#define PROTO_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct view {
	const uint8_t *ptr; /* may be NULL when len is 0 */
	size_t len;
};

static inline struct view view_of(const void *ptr, size_t len)
{
	return (struct view){ptr, len};
}

static inline struct view view_str(const char *s)
{
	return (struct view){(const uint8_t *)s, s ? strlen(s) : 0};
}

static inline bool view_equal(struct view a, struct view b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Copies at most size-1 bytes and a NUL. True when all of it fitted and no byte was NUL. */
bool view_to_str(struct view v, char *out, size_t size);

/* True for a name: 1..LIMIT_NAME_BYTES of a-z, 0-9 and '-', beginning with a letter. */
bool view_is_name(struct view v);

/* True for well-formed UTF-8 without control characters below 0x20 and without 0x7f. */
bool view_is_text(struct view v);

#endif
