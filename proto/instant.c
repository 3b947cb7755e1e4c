#include "proto/instant.h"

#include <stdio.h>
#include <string.h>

#define SECONDS_PER_DAY 86400LL
#define DAYS_PER_400_YEARS 146097LL
/* 0000-01-01 and the end of 9999, in seconds since 1970: what four digits of a year can say. */
#define FIRST_SECOND (-62167219200LL)
#define LAST_SECOND 253402300799LL
#define LONGEST_DURATION_US (100LL * 365 * US_PER_DAY + 25 * US_PER_DAY)

/* Days before each month in a year that begins in March, so that the leap day is the last. */
static const int days_before[13] = {0, 31, 61, 92, 122, 153, 184, 214, 245, 275, 306, 337, 366};

static int64_t days_from_date(int64_t year, int month, int day)
{
	int from_march = (month + 9) % 12;
	int64_t y = month < 3 ? year - 1 : year;
	int64_t leap_days;

	y += 400; /* so that the year 0 minus one divides downwards too */
	leap_days = y / 4 - y / 100 + y / 400;
	/* 719468 days lie between 0000-03-01 and 1970-01-01 */
	return y * 365 + leap_days + days_before[from_march] + day - 1 - 719468 - DAYS_PER_400_YEARS;
}

static void date_from_days(int64_t days, int *year, int *month, int *day)
{
	int64_t left = days + 719468 + DAYS_PER_400_YEARS;
	int64_t y = left / DAYS_PER_400_YEARS * 400;
	int m = 0;

	left %= DAYS_PER_400_YEARS;
	/* a guess that is at most one year too high, then corrected */
	y += left * 400 / DAYS_PER_400_YEARS + 1;
	while (days_from_date(y - 400, 3, 1) > days)
		y--;
	left = days - days_from_date(y - 400, 3, 1);
	while (left >= days_before[m + 1])
		m++;
	*day = (int)(left - days_before[m]) + 1;
	*month = m < 10 ? m + 3 : m - 9;
	*year = (int)(y - 400 + (*month < 3));
}

void wall_format(struct wall t, int digits, char out[WALL_TEXT_BYTES])
{
	int64_t us = t.us % US_PER_S, s = t.us / US_PER_S, of_day;
	int year, month, day, n;

	if (us < 0) {
		us += US_PER_S;
		s--;
	}
	if (s < FIRST_SECOND)
		s = FIRST_SECOND, us = 0;
	if (s > LAST_SECOND)
		s = LAST_SECOND, us = US_PER_S - 1;
	of_day = (s % SECONDS_PER_DAY + SECONDS_PER_DAY) % SECONDS_PER_DAY;
	date_from_days((s - of_day) / SECONDS_PER_DAY, &year, &month, &day);
	n = snprintf(out, WALL_TEXT_BYTES, "%04u-%02u-%02uT%02u:%02u:%02u", (unsigned)year % 10000, (unsigned)month % 100,
	             (unsigned)day % 100, (unsigned)(of_day / 3600) % 100, (unsigned)(of_day / 60 % 60), (unsigned)(of_day % 60));
	if (digits > 3)
		n += snprintf(out + n, WALL_TEXT_BYTES - (size_t)n, ".%06u", (unsigned)us % 1000000);
	else if (digits > 0)
		n += snprintf(out + n, WALL_TEXT_BYTES - (size_t)n, ".%03u", (unsigned)(us / 1000) % 1000);
	memcpy(out + n, "Z", 2);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Takes exactly n digits and then the character `after` (0 for none); false leaves *p where it was. */
static bool take(const char **p, int n, char after, int *out)
{
	int x = 0;

	for (int i = 0; i < n; i++) {
		if (!is_digit((*p)[i]))
			return false;
		x = x * 10 + (*p)[i] - '0';
	}
	if (after && (*p)[n] != after)
		return false;
	*p += n + (after != 0);
	*out = x;
	return true;
}

/* ".25" -> 250000; digits after the sixth are cut. */
static bool take_fraction(const char **p, int64_t *us)
{
	int64_t unit = US_PER_S / 10;

	*us = 0;
	if (**p != '.')
		return true;
	if (!is_digit(*++*p))
		return false;
	for (; is_digit(**p); ++*p, unit /= 10)
		*us += (**p - '0') * unit;
	return true;
}

/* "Z" or "+02:00" at the end of the text. */
static enum err take_offset(const char *p, int64_t *offset_s)
{
	int h, m, sign = *p == '-' ? -1 : 1;

	*offset_s = 0;
	if ((*p == 'Z' || *p == 'z') && p[1] == 0)
		return ERR_OK;
	if (*p != '+' && *p != '-')
		return ERR_FORMAT;
	p++;
	if (!take(&p, 2, ':', &h) || !take(&p, 2, 0, &m) || *p)
		return ERR_FORMAT;
	if (h > 23 || m > 59)
		return ERR_RANGE;
	*offset_s = sign * (h * 3600 + m * 60);
	return ERR_OK;
}

static int days_in_month(int year, int month)
{
	static const int days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return days[month - 1] + (month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
}

enum err wall_parse(const char *text, struct wall *out)
{
	const char *p = text;
	int year, month, day, h, m, s;
	int64_t us, offset, second;
	enum err e;

	if (!take(&p, 4, '-', &year) || !take(&p, 2, '-', &month) || !take(&p, 2, 0, &day) || (*p != 'T' && *p != 't'))
		return ERR_FORMAT;
	p++;
	if (!take(&p, 2, ':', &h) || !take(&p, 2, ':', &m) || !take(&p, 2, 0, &s) || !take_fraction(&p, &us))
		return ERR_FORMAT;
	e = take_offset(p, &offset);
	if (e)
		return e;
	/* 60 is a leap second; it is taken as the second after it */
	if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) || h > 23 || m > 59 || s > 60)
		return ERR_RANGE;
	second = days_from_date(year, month, day) * SECONDS_PER_DAY + h * 3600 + m * 60 + s - offset;
	if (second < FIRST_SECOND || second > LAST_SECOND)
		return ERR_RANGE;
	out->us = second * US_PER_S + us;
	return ERR_OK;
}

struct unit {
	const char *name;
	int64_t factor;
};

/* A whole number and a unit; *out is the product, which may be at most max. */
static enum err quantity_parse(const char *text, const struct unit *units, size_t n_units, int64_t max, int64_t *out)
{
	bool negative = *text == '-', over = false;
	int64_t x = 0;
	const char *p = text + negative;

	if (!is_digit(*p))
		return ERR_FORMAT;
	for (; is_digit(*p); p++) {
		over = over || x > (max - (*p - '0')) / 10;
		x = over ? max : x * 10 + (*p - '0');
	}
	if (strcmp(text, "0") == 0) {
		*out = 0;
		return ERR_OK;
	}
	for (size_t i = 0; i < n_units; i++) {
		if (strcmp(p, units[i].name) != 0)
			continue;
		if (over || negative || x > max / units[i].factor)
			return ERR_RANGE;
		*out = x * units[i].factor;
		return ERR_OK;
	}
	return ERR_FORMAT;
}

enum err duration_parse(const char *text, int64_t *out_us)
{
	static const struct unit units[] = {
		{"ms", US_PER_MS}, {"s", US_PER_S}, {"min", 60 * US_PER_S}, {"h", 3600 * US_PER_S}, {"d", US_PER_DAY},
	};

	return quantity_parse(text, units, sizeof units / sizeof units[0], LONGEST_DURATION_US, out_us);
}

enum err size_parse(const char *text, int64_t *out_bytes)
{
	static const struct unit units[] = {{"B", 1}, {"KiB", 1LL << 10}, {"MiB", 1LL << 20}, {"GiB", 1LL << 30}};

	return quantity_parse(text, units, sizeof units / sizeof units[0], 1LL << 62, out_bytes);
}
