/* compare.h - two runs side by side: what would have been different.
 *
 * Each run's outcome is copied while it lives (compare_take is an outcome of struct conduct), so that the two may be run one after
 * the other; then they are shown as a table, as one line of JSON, or as a page. Sites and expectations are matched by name and by
 * text: one of them may be of one side only. */
#ifndef SIM_COMPARE_H
#define SIM_COMPARE_H

#include "sim/report.h"

/* name in JSON, what people read, time (in JSON: seconds) or a count */
#define COMPARE_LIST(X)                                                               \
	X(ACCEPTED, "accepted", "accepted", false)                                    \
	X(READ, "read", "read", false)                                                \
	X(REFUSED, "refused", "refused by desks", false)                              \
	X(EXPIRED, "expired", "expired", false)                                       \
	X(CANCELLED, "cancelled", "cancelled", false)                                 \
	X(WAITING, "waiting", "waiting at the end", false)                            \
	X(CONFLICTS, "conflicts", "handled twice, and reported", false)               \
	X(LOST, "lost", "lost", false)                                                \
	X(DESTROYED, "destroyed", "gone with a destroyed journal", false)             \
	X(FLASH_P50, "flash_p50_s", "FLASH to its addressee, half within", true)      \
	X(FLASH_P99, "flash_p99_s", "FLASH to its addressee, 99 % within", true)      \
	X(FLASH_MAX, "flash_max_s", "FLASH to its addressee, all within", true)       \
	X(READ_F50, "read_flash_p50_s", "FLASH at a desk, half within", true)         \
	X(READ_F99, "read_flash_p99_s", "FLASH at a desk, 99 % within", true)         \
	X(READ_I50, "read_immediate_p50_s", "IMMEDIATE at a desk, half within", true) \
	X(READ_I99, "read_immediate_p99_s", "IMMEDIATE at a desk, 99 % within", true) \
	X(READ_P50, "read_priority_p50_s", "PRIORITY at a desk, half within", true)   \
	X(READ_P99, "read_priority_p99_s", "PRIORITY at a desk, 99 % within", true)   \
	X(READ_R50, "read_routine_p50_s", "ROUTINE at a desk, half within", true)     \
	X(READ_R99, "read_routine_p99_s", "ROUTINE at a desk, 99 % within", true)     \
	X(CONVERGED, "converged_s", "all agreed, after the repair, within", true)     \
	X(MET, "expectations_met", "expectations met", false)                         \
	X(MISSED, "expectations_missed", "expectations missed", false)                \
	X(BROKEN, "promises_broken", "promises broken", false)

enum compare_figure {
#define X(name, json, text, time) FIGURE_##name,
	COMPARE_LIST(X)
#undef X
	FIGURES
};

/* Of one site: the most, and at each sample, of messages waiting and of seconds that its oldest FLASH was not read. */
struct side_site { char name[LIMIT_NAME_BYTES + 1]; uint32_t most, oldest; int64_t oldest_at_us; uint32_t *depth, *flash_s; };

struct side {
	const char *file, *set;       /* as on the command line; set NULL: as it is */
	char *drill, *title;
	char trace[65];
	int64_t virtual_us, value[FIGURES]; /* microseconds or counts; -1: none */
	bool taken, ok, cut_short;
	size_t n_sites, n_samples, n_expected;
	int64_t step_us, end_us;
	struct side_site *sites;
	struct expectation *expected;
};

/* arg: a struct side, with file and set filled. */
void compare_take(void *arg, const struct run *r);
void side_release(struct side *s);

/* The two, the seed of both, and the command that repeats it. */
struct comparison { struct side side[2]; uint64_t seed; const char *repeat; };
/* Both ran to their end and no promise was broken; expectations may be missed: that is what is looked at. */
bool compare_ok(const struct comparison *c);
void compare_text(const struct comparison *c, FILE *out);
/* One object on one line: seed, same, differ (names of figures), a and b (file, set, drill, trace, ok and the figures),
 * sites (site, a, b), expectations (at_s, text, a, b), repeat. */
void compare_json(const struct comparison *c, FILE *out);
MUST_USE enum err compare_html(const struct comparison *c, const char *path, struct errmsg *m);

/* For the forms: names, and pairs in one list, of sites and of expectations (NULL: that side has none). */
const char *figure_name(unsigned f);
const char *figure_text(unsigned f);
bool figure_is_time(unsigned f);
#define FIGURE_BYTES 40
void figure_format(unsigned f, int64_t value, char out[FIGURE_BYTES]);
void figure_difference(unsigned f, int64_t a, int64_t b, char out[FIGURE_BYTES]);
struct pair_site { const struct side_site *of[2]; };
struct pair_expected { const struct expectation *of[2]; size_t text; /* bytes of its text without what it turned out to be */ };
/* Freed by the caller; the program ends when there is no memory. */
struct pair_site *compare_sites(const struct comparison *c, size_t *n);
struct pair_expected *compare_expected(const struct comparison *c, size_t *n);
const char *expected_state(const struct expectation *e); /* "met", "missed", "skipped", "-" for NULL */

#endif
