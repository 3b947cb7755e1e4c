/* drill_read.h - readers that the parts of a drill share. Private to drill*.c.
 *
 * ctx->user is a struct drill_reading. Each reader writes to `out` what its comment says, and says in its message what was
 * expected. */
#ifndef SIM_DRILL_READ_H
#define SIM_DRILL_READ_H

#include "proto/setting.h"
#include "sim/drill.h"

struct drill_reading {
	struct drill *drill;
	struct roster *all;       /* every site of the Belgian roster, also those that the drill leaves out; NULL for a made network */
	struct drill_sites *from; /* what "others" is the rest of; NULL where that word means nothing */
	bool ends;                /* read_moment takes "end", and times of the settling */
};

static inline struct drill_reading *reading_of(struct settings *ctx) { return ctx->user; }
static inline struct drill *drill_of(struct settings *ctx) { return reading_of(ctx)->drill; }

/* settings_read with a table that is an array. */
#define READ_TABLE(ctx, s, table, base) settings_read(ctx, s, table, sizeof(table) / sizeof(table)[0], base)

bool read_nomem(struct settings *ctx, const config_setting_t *s);
/* int64_t: "90s", "1d 6h 30min" */
bool read_span(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out);
/* int64_t: as read_span, or with a '-' before it */
bool read_signed_span(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out);
/* int64_t: since the start of the drill; a span, or RFC 3339; within the timetable (with reading.ends: or the settling, "end") */
bool read_moment(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out);
bool read_ppm(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out);      /* uint32_t: "0.5%" */
bool read_ppm_value(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out);/* the same to int64_t */
bool read_bit_rate(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out); /* int64_t: "64kbit/s" */
bool read_size(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out);     /* int64_t: "64KiB" */
bool read_whole(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out);    /* int64_t: 12 */
bool read_text(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out);     /* char[spec->max + 1] */
/* A list of names of events into a set of bits; others than the allowed ones are refused: "NAME: "x" is not WHAT". */
bool read_dos(struct settings *ctx, const config_setting_t *s, uint64_t allowed, const char *name, const char *what, uint64_t *out);
bool read_precedence(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out);       /* uint8_t */
bool read_precedence_value(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out); /* int64_t */
/* struct drill_sites: a name or a list of names: sites, groups, areas, "all", "others"; "!name" takes away. Not empty. */
bool read_site_set(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out);
/* struct drill_sites with one: the name of a site */
bool read_one_site(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out);
/* int: index of a bearer of this drill */
bool read_bearer_ref(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out);

/* Index of a site of the drill by name; -1 after a message that names the nearest one. */
int site_ref(struct settings *ctx, const config_setting_t *s, const char *name);
/* "name/queue", checked against the roster. */
bool check_address(struct settings *ctx, const config_setting_t *s, const char *text);
/* The name nearest to `text` among n, for "did you mean"; NULL when none is near. */
const char *nearest(const char *text, const char *(*name)(const void *arg, size_t i), const void *arg, size_t n);

/* Grows *list (n elements of size) by one zeroed element; NULL without memory. */
void *list_grow(void *list, size_t *n, size_t size);
bool sites_copy(struct drill_sites *to, const struct drill_sites *from);

/* Parts of a drill. Each reads its setting into the drill. */
setting_reader read_network, read_traffic, read_bodies, read_desks, read_events, read_expects, read_swarm;
/* Whether a link (over this bearer, -1: any) joins a site of one set with one of the other. */
bool drill_joined(const struct drill *d, const struct drill_sites *from, const struct drill_sites *to, int bearer);
/* Each of these sites has the queue ("": nothing is asked). */
bool drill_has_queue(struct settings *ctx, const config_setting_t *s, const struct drill_sites *sites, const char *queue);
/* What only holds between parts: labels, and backups to restore. */
bool drill_check_labels(struct settings *ctx, const config_setting_t *root);
/* Bounds of the expectations that have a figure: the sample's share of it, five standard deviations to each side. */
void drill_bound_figures(struct drill *d);
/* Whether an expectation of this kind knows the setting. */
bool drill_expect_takes(enum drill_what what, const char *name);
void drill_event_release(struct drill_event *e);
bool drill_event_copy(struct drill_event *to, const struct drill_event *from);

/* A whole file beside the drill, into out. "file: why" in the settings' message. */
bool read_beside(struct settings *ctx, const config_setting_t *s, const char *name, struct buf *out, char *path, size_t path_size);

/* drill_topology.c: the roster of the network that a GML file beside the drill tells, its places by number from 1; *t (may be NULL) is
 * what stands there, to be released. Its path is kept, absolute, in the drill. */
#define PATH_BYTES 1024
struct topology;
bool topology_open(struct settings *ctx, const config_setting_t *s, const char *name, struct topology *t);
/* All of it: the roster, one bearer "line", and a link for each edge, with its own delay and rate. */
bool topology_network(struct settings *ctx, const config_setting_t *s, const char *name);

/* Text of values, as drill_format writes them; they read back to the same. */
void put_span(struct buf *out, int64_t us);
void put_ppm(struct buf *out, int64_t ppm);
void put_rate(struct buf *out, int64_t bps);
void put_sites(struct buf *out, const struct drill *d, const char *name, const struct drill_sites *s);
void put(struct buf *out, const char *fmt, ...) PRINTF_LIKE(2, 3);
void put_quoted(struct buf *out, const char *name, const char *text); /* nothing when text is "" */

#endif
