/* series.c - samples for the picture: queue depth and oldest FLASH of each site, and when sites and links were up. */
#include <stdlib.h>
#include <string.h>

#include "sim/series.h"

static void *grown(void *p, size_t n, size_t size)
{
	void *more = realloc(p, n * size);

	if (!more)
		exit(1);
	return more;
}

struct series *series_new(const struct roster *roster, int64_t duration_us)
{
	struct series *s = calloc(1, sizeof *s);

	if (!s)
		exit(1);
	s->n_sites = roster->n_sites;
	s->numbers = grown(NULL, s->n_sites, sizeof *s->numbers);
	s->depth = grown(NULL, s->n_sites * SERIES_SAMPLES, sizeof *s->depth);
	s->flash_s = grown(NULL, s->n_sites * SERIES_SAMPLES, sizeof *s->flash_s);
	for (size_t i = 0; i < s->n_sites; i++)
		s->numbers[i] = roster->sites[i].number;
	s->step_us = duration_us / SERIES_SAMPLES > US_PER_S ? duration_us / SERIES_SAMPLES : US_PER_S;
	return s;
}

void series_free(struct series *s)
{
	if (!s)
		return;
	free(s->numbers);
	free(s->depth);
	free(s->flash_s);
	free(s->changes);
	free(s);
}

/* Two samples become one: the larger of each, since peaks are what one looks for. */
static void halve(struct series *s)
{
	for (size_t i = 0; i < s->n_sites; i++)
		for (size_t k = 0; k < SERIES_SAMPLES / 2; k++) {
			uint32_t *d = s->depth + i * SERIES_SAMPLES, *f = s->flash_s + i * SERIES_SAMPLES;

			d[k] = d[2 * k] > d[2 * k + 1] ? d[2 * k] : d[2 * k + 1];
			f[k] = f[2 * k] > f[2 * k + 1] ? f[2 * k] : f[2 * k + 1];
		}
	s->n /= 2;
	s->step_us *= 2;
}

void series_tick(struct series *s, struct oracle *o, int64_t now_us)
{
	while (now_us >= (int64_t)s->n * s->step_us) {
		if (s->n == SERIES_SAMPLES) {
			halve(s);
			continue;
		}
		for (size_t i = 0; i < s->n_sites; i++) {
			s->depth[i * SERIES_SAMPLES + s->n] = (uint32_t)oracle_depth(o, s->numbers[i]);
			s->flash_s[i * SERIES_SAMPLES + s->n] = (uint32_t)(oracle_oldest_flash(o, s->numbers[i]) / US_PER_S);
		}
		s->n++;
	}
	if (now_us > s->end_us)
		s->end_us = now_us;
}

/* Beyond this many the picture would be a grey band: what is counted goes on. */
#define CHANGES_MOST 200000

static void change(struct series *s, struct change c)
{
	if (s->n_changes == CHANGES_MOST) {
		s->changes_dropped++;
		return;
	}
	if (s->n_changes == s->cap_changes) {
		s->cap_changes = s->cap_changes ? 2 * s->cap_changes : 256;
		s->changes = grown(s->changes, s->cap_changes, sizeof *s->changes);
	}
	s->changes[s->n_changes++] = c;
}

void series_site(struct series *s, uint16_t site, bool up, int64_t now_us)
{
	change(s, (struct change){.at_us = now_us, .a = site, .up = up});
}

void series_link(struct series *s, uint16_t a, uint16_t b, bool up, int64_t now_us)
{
	change(s, (struct change){.at_us = now_us, .a = a < b ? a : b, .b = a < b ? b : a, .up = up});
}

void series_served(struct series *s, uint16_t site, const struct served *by, int64_t now_us)
{
	change(s, (struct change){.at_us = now_us, .a = site, .served = true, .by = *by});
}
