#include "proto/view.h"

#include "proto/limits.h"

bool view_to_str(struct view v, char *out, size_t size)
{
	bool whole = true;
	size_t n = 0;

	if (size == 0)
		return false;
	for (; n < v.len && v.ptr[n] != 0 && n < size - 1; n++)
		out[n] = (char)v.ptr[n];
	whole = n == v.len;
	out[n] = 0;
	return whole;
}

static bool is_lower(uint8_t c)
{
	return c >= 'a' && c <= 'z';
}

bool view_is_name(struct view v)
{
	if (v.len < 1 || v.len > LIMIT_NAME_BYTES || !is_lower(v.ptr[0]))
		return false;
	for (size_t i = 1; i < v.len; i++)
		if (!is_lower(v.ptr[i]) && !(v.ptr[i] >= '0' && v.ptr[i] <= '9') && v.ptr[i] != '-')
			return false;
	return true;
}

/* Length of the well-formed UTF-8 sequence at p (left > 0 bytes), 0 when there is none. The bounds of the second
 * byte are what keeps out overlong forms, surrogates and what lies beyond U+10FFFF. */
static size_t utf8_sequence(const uint8_t *p, size_t left)
{
	uint8_t lo = 0x80, hi = 0xbf;
	size_t n;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		n = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef)
		n = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (p[0] == 0xe0)
		lo = 0xa0;
	if (p[0] == 0xed)
		hi = 0x9f;
	if (p[0] == 0xf0)
		lo = 0x90;
	if (p[0] == 0xf4)
		hi = 0x8f;
	if (left < n || p[1] < lo || p[1] > hi)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

bool view_is_text(struct view v)
{
	for (size_t i = 0; i < v.len;) {
		size_t n = utf8_sequence(v.ptr + i, v.len - i);

		if (n == 0 || v.ptr[i] < 0x20 || v.ptr[i] == 0x7f)
			return false;
		i += n;
	}
	return true;
}
