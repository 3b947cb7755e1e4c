/* drill.h - what a drill file says: a network, its traffic, a timetable of events and what is expected.
 *
 * The language is described in sim/README.md. A drill is a value: reading it touches no simulation, and drill_format
 * writes it back as a file that reads to the same drill (repetitions written out, tables written in), which is how
 * shrink.h keeps the smallest one. Sites are indexes into roster->sites (rising number) everywhere.
 *
 * Two phases. From 0 to length_us the timetable runs (safety is judged after every step). At length_us everything is
 * repaired (links up as in `links`, without schedules, sites up, disks well, clocks right, desks at work, no new traffic)
 * and for settle_us the network may come to rest: by its end everything must have converged (liveness). */
#ifndef SIM_DRILL_H
#define SIM_DRILL_H

#include "proto/buf.h"
#include "proto/id.h"
#include "proto/instant.h"
#include "proto/request.h"
#include "proto/roster.h"
#include "sim/link.h"

#define DRILL_TEXT_BYTES (8 * 1024 * 1024)
#define DRILL_EVENTS 200000      /* after repetitions are written out */
#define DRILL_LINKS 32768        /* elements of `links`, and of a flow's `rates` */
#define DRILL_LINES 1024         /* elements of any other list */
#define DRILL_LABEL_BYTES LIMIT_NAME_BYTES

/* ---- the network ---------------------------------------------------------------------------------------- */

struct drill_bearer {
	char name[LIMIT_NAME_BYTES + 1];
	int64_t delay_us, jitter_us; /* one way; jitter is added, 0..jitter_us */
	int64_t rate_bps;            /* 0: no limit */
	int64_t queue_bytes;         /* below the node, each connection and direction; more is dropped. 0: link.h's default */
	uint32_t loss_ppm, reset_ppm;/* of frames: late by a retransmission; ends its connection */
	int cost;                    /* lower first */
	bool no_bulk;                /* bulk does not go over it */
};

/* Up while (t - offset) mod every < up. every_us 0: always up. stagger: to the offset of each pair a time of 0..every_us
 * drawn from the seed is added. Schedules end with the timetable. */
struct drill_schedule { int64_t every_us, up_us, offset_us; bool stagger; };

/* One pair of sites and what joins them (a < b; each pair at most once; pairs not listed have no link). */
struct drill_link {
	uint16_t a, b;
	uint8_t n_bearers;
	uint8_t bearers[LIMIT_BEARERS]; /* indexes of drill.bearers, in the order of the text */
	int64_t delay_us, rate_bps;     /* of this pair, whatever the bearer says; 0: as the bearer */
	struct drill_schedule schedule;
};

struct drill_clock { int64_t offset_us; int32_t drift_ppm; };

/* ---- the traffic ---------------------------------------------------------------------------------------- */

/* Where a flow's messages go. */
enum flow_to {
	TO_ADDRESS,   /* flow.to, as typed: a site, area or group and a queue */
	TO_OWN,       /* queue flow.to of the sender's own site */
	TO_ANY,       /* queue flow.to of another site, each as likely (those that have it) */
	TO_NEIGHBOUR, /* queue flow.to of a site with a link to the sender's */
};

struct drill_rate { uint16_t site; int64_t per_year; };

struct drill_body { char type[LIMIT_MEDIA_TYPE_BYTES + 1], lang[LIMIT_LANG_BYTES + 1]; int64_t bytes; uint32_t weight; };

struct drill_flow {
	char name[LIMIT_NAME_BYTES + 1];
	size_t n_rates;
	struct drill_rate *rates;            /* before sample, day curve and crisis factors */
	enum flow_to where;
	char to[LIMIT_ADDRESS_BYTES + 1];
	uint32_t mix[PREC_COUNT];            /* weights */
	int night_percent;                   /* of the day's rate between 22 and 7 h local; 100: no curve */
	char channel[LIMIT_NAME_BYTES + 1], exercise[LIMIT_NAME_BYTES + 1];
	int64_t expires_us;                  /* after sending; 0: never */
	int64_t from_us, until_us;           /* of the drill; until_us 0: its length */
	bool exact;                          /* not at random: as many as the rate says, whatever the seed */
	size_t n_bodies;                     /* 0: drill.bodies */
	struct drill_body *bodies;
};

/* Desks of one queue of one site. */
struct drill_desk {
	uint16_t site;
	char queue[LIMIT_NAME_BYTES + 1];
	int staff, batch;                    /* how many desks; how many messages each asks for at once */
	int64_t handling_us;                 /* mean time from taken to acknowledged */
	int64_t lease_us;                    /* 0: the node's default */
	uint32_t refuse_ppm, return_ppm, crash_ppm; /* of messages taken */
	char exercise[LIMIT_NAME_BYTES + 1]; /* takes exercise traffic of that name */
};

/* ---- the timetable ---------------------------------------------------------------------------------------- */

/* name in the file, needs: 0 the world does it, 1 a capability that the node lacks today (listed in `unsupported`).
 * What each takes is in the table of drill_event.c and in sim/README.md. */
#define DRILL_DO_LIST(X)                                                                                              \
	X(CRASH, "crash", 0)             /* sites for: the process is killed; after `for` it starts again */           \
	X(POWER_CUT, "power-cut", 0)     /* sites for: all of them at one instant */                                   \
	X(STOP, "stop", 0)               /* sites for: stopped in good order */                                        \
	X(PROGRAM, "program", 0)         /* sites protocol: stopped in good order; starts 5 s later as a program that speaks it at most */ \
	X(START, "start", 0)             /* sites: those that are down */                                              \
	X(PAUSE, "pause", 0)             /* sites for: the process does nothing, then goes on (a stopped machine) */   \
	X(RESUME, "resume", 0)           /* sites */                                                                   \
	X(LOSE_DISK, "lose-disk", 0)     /* sites for: crash, and the journal is gone */                               \
	X(BACKUP, "backup", 0)           /* sites: a copy of the journal as committed now */                           \
	X(RESTORE, "restore", 0)         /* sites for: crash, the latest backup becomes the journal */                 \
	X(DISK_FULL, "disk-full", 0)     /* sites for [used]: no commit finds room, or that share of the room is used now */ \
	X(DISK_SLOW, "disk-slow", 0)     /* sites for delay: a commit takes so long */                                 \
	X(COMMIT_FAIL, "commit-fail", 0) /* sites [count]: the count-th commit from now fails to sync, the node ends; it starts 5 s later */ \
	X(FLIP_BIT, "flip-bit", 0)       /* sites: one bit of one stored record */                                     \
	X(CLOCK_STEP, "clock-step", 0)   /* sites by */                                                                \
	X(CLOCK_DRIFT, "clock-drift", 0) /* sites ppm */                                                               \
	X(LINK_DOWN, "link-down", 0)     /* from to [bearer] for: both ways */                                         \
	X(LINK_UP, "link-up", 0)         /* from to [bearer] */                                                        \
	X(LINK_RESET, "link-reset", 0)   /* from to [bearer]: connections break and are dialled anew */                \
	X(CUT, "cut", 0)                 /* from to for: nothing arrives from -> to; the other way does */             \
	X(PARTITION, "partition", 0)     /* from to for: every link between the two sets, both ways */                 \
	X(DEGRADE, "degrade", 0)         /* from to for [bearer] [delay] [jitter] [rate] [queue] [loss]: replaces these */ \
	X(HEAL, "heal", 0)               /* every link as in `links` */                                                \
	X(REPAIR, "repair", 0)           /* everything, as at the end of the timetable, but traffic goes on */         \
	X(RATE, "rate", 0)               /* sites factor for [flow]: the crisis factor; workload.h reads it itself */  \
	X(SEND, "send", 0)               /* from address [count] ...: struct drill_send */                             \
	X(CANCEL, "cancel", 0)           /* message (label) */                                                         \
	X(DESKS_AWAY, "desks-away", 0)   /* sites [queue] for: nobody takes */                                         \
	X(DESKS_BACK, "desks-back", 0)   /* sites [queue] */                                                           \
	X(DESK_CRASH, "desk-crash", 0)   /* sites [queue]: clients gone with their leases */                           \
	X(ROSTER, "roster", 0)           /* site standbys: a new roster, one serial on, at every site (down: at its start) */ \
	X(NOTE, "note", 0)               /* text: for the story only */                                                \
	X(RELOCATE, "relocate", 0)       /* site assignments [by] [exercise]: an order is given, until a node takes it */      \
	X(HANDBACK, "handback", 0)       /* site [by] [exercise]: likewise */                                                  \
	X(COURIER, "courier", 0)         /* from to takes [sites] [precedence]: a bundle is packed for sites (all), driven, taken in */ \
	X(ASSIST, "assist", 0)           /* from to queue count: so many messages are lent */                                  \
	X(MINIMIZE, "minimize", 0)       /* by for [precedence] */                                                     \
	X(REVOKE, "revoke", 1)           /* site by */

enum drill_do {
#define X(name, text, needs) DO_##name,
	DRILL_DO_LIST(X)
#undef X
	DO_COUNT
};
const char *drill_do_name(enum drill_do d);
bool drill_do_supported(enum drill_do d);

struct drill_sites { size_t n; uint16_t *v; }; /* rising, each once */

struct drill_send {
	char label[DRILL_LABEL_BYTES + 1];   /* "" none; with count > 1 the label is the first one's */
	char address[LIMIT_ADDRESS_BYTES + 1];
	char subject[LIMIT_SUBJECT_BYTES + 1], channel[LIMIT_NAME_BYTES + 1], exercise[LIMIT_NAME_BYTES + 1], key[LIMIT_KEY_BYTES + 1];
	uint8_t precedence;
	struct drill_body body;
	int64_t expires_us;                  /* after sending; 0 never */
	int64_t over_us;                     /* count messages spread evenly over this time from `at` */
	uint32_t count;
};

/* Members not named beside an event above are zero. */
struct drill_event {
	enum drill_do what;
	unsigned line;                       /* in the file; 0 when drawn by a seed */
	int64_t at_us;
	int64_t for_us;                      /* 0: until another event or the repair */
	struct drill_sites sites;            /* of `sites` or `site`, all kinds */
	struct drill_sites from, to;         /* pairs; of roster: `to` holds the standbys in the order written; of an order: from issued it, the others of it endorse */
	int bearer;                          /* index, -1: all of the link */
	int64_t value_us;                    /* delay of disk-slow, by of clock-step, takes of courier */
	int64_t value;                       /* ppm of clock-drift, count, protocol of program; factor of rate in thousandths; precedence; used of disk-full in millionths */
	struct bearer_change degrade;        /* of degrade only; -1: as configured */
	char queue[LIMIT_NAME_BYTES + 1];
	char flow[LIMIT_NAME_BYTES + 1];     /* of rate; "": all */
	char text[LIMIT_REASON_BYTES + 1];   /* note; label of cancel; assignments of relocate joined by ' ' */
	struct drill_send *send;             /* SEND only, else NULL */
};

/* ---- what is expected ---------------------------------------------------------------------------------------- */

/* The invariants of DESIGN section 3 are always judged and need no line. takes: see struct drill_expect. */
#define DRILL_WHAT_LIST(X)                                                                                            \
	X(ACCEPTED, "accepted")      /* messages accepted [from] [precedence] until `at`: at-least, at-most */         \
	X(READ, "read")              /* of those accepted [from] or [to] [precedence], percent read at `at`: at-least, at-most */ \
	X(WAITING, "waiting")        /* messages not yet read in the queues of [sites] [precedence]: at-least, at-most */ \
	X(FLASH_DELAY, "flash-delay")/* FLASH, accepted to held by its addressee: the `percentile` (50, 99, 100) is `within` */ \
	X(READ_DELAY, "read-delay")  /* accepted to first handed out, `precedence`: the `percentile` (50, 99) is `within` */ \
	X(CONVERGED, "converged")    /* after the repair, within `within` */                                           \
	X(STATE, "state")            /* message `message` is in `state` (wait_state_name) or further */                \
	X(ALARM, "alarm")            /* an alarm of kind `kind` is out at each of `sites` at `at` */                   \
	X(NO_ALARM, "no-alarm")      /* none of that kind is */                                                        \
	X(LINK, "link")              /* pairs from x to: state "up" or "down" as the node sees it */                   \
	X(CONFLICTS, "conflicts")    /* reported second handlings: at-least, at-most */                                \
	X(LOST, "lost")              /* accepted messages whose every journal the drill destroyed: at-most; without a line none may be */ \
	X(SERVED_BY, "served-by")    /* queue of site is served by `to`, as they see it themselves */

enum drill_what {
#define X(name, text) WHAT_##name,
	DRILL_WHAT_LIST(X)
#undef X
	WHAT_COUNT
};
const char *drill_what_name(enum drill_what w);

struct drill_expect {
	enum drill_what what;
	unsigned line;
	int64_t at_us;                       /* MONO_NEVER.us: the end, after the settling */
	struct drill_sites sites, from, to;  /* empty: all */
	char queue[LIMIT_NAME_BYTES + 1];    /* of served-by */
	char message[DRILL_LABEL_BYTES + 1], state[LIMIT_NAME_BYTES + 1], kind[LIMIT_NAME_BYTES + 1];
	int precedence;                      /* -1: all */
	int64_t at_least, at_most;           /* at_most -1: no bound. Of read: percent */
	int64_t figure;                      /* of accepted: what a table says of all; 0: none. The bounds follow it and the sample */
	int64_t within_us;
	int percentile;                      /* default 99 */
	uint64_t needs;                      /* 1 << enum drill_do: skipped when one of these is not supported */
};

/* ---- the drill ---------------------------------------------------------------------------------------------- */

/* Faults that a seed draws (fault.h). n_kinds 0: every kind. */
struct drill_swarm {
	bool on;
	int faults;                          /* at most so many of a kind a day */
	uint64_t kinds;                      /* 1 << enum drill_do; 0: all that fault.h knows */
};

struct drill {
	char *file;
	char name[LIMIT_NAME_BYTES + 1];
	char about[LIMIT_SUBJECT_BYTES + 1];
	struct wall start;
	int64_t length_us, settle_us;
	uint64_t seed;                       /* default of --seed */
	bool real_crypto;                    /* suite = "real"; default the fast one, every 16th seed of a sweep the real one */
	bool lmdb;                           /* store = "lmdb" */
	int64_t largest_bytes;               /* tables of bodies are read up to this size */
	int64_t scrub_us; /* nodes read their journals through in so long; 0: as in the field */
	int64_t keep_bodies_us, keep_headers_us, keep_unread_us; /* what nodes keep; 0: as in the field */
	int64_t begun_us;                    /* exact flows: how much of their counts lies before the start, of a part of a longer drill */
	int64_t probe_us;                    /* how often a node probes an idle link; 0: as the command decides */
	uint32_t sample_ppm;                 /* share of the flows' messages that is really sent; 1 000 000 all */
	int64_t utc_offset_us;               /* local time of the day curve and of the story */
	struct roster *roster;               /* a template: sites, standbys, queues, areas, groups; no keys, no bearers */
	unsigned generated, generated_links, generated_standbys; /* sites of a made network, 0: another one */
	char *topology;                      /* the file that says sites and lines; NULL: the Belgian network or a made one */
	size_t n_bearers, n_links, n_flows, n_desks, n_bodies, n_events, n_expects;
	struct drill_bearer bearers[LIMIT_BEARERS];
	struct drill_link *links;            /* by (a, b) */
	struct drill_clock *clocks;          /* one a site */
	struct drill_flow *flows;
	struct drill_desk *desks;
	struct drill_body *bodies;
	struct drill_event *events;          /* by at_us; equal times in the file's order */
	struct drill_expect *expects;        /* by at_us, likewise */
	struct drill_swarm swarm;
	uint64_t unsupported;                /* 1 << enum drill_do: used in events, not known to the node */
};

/* Reads a drill. file is named in messages ("file:line: what: why (what to do)"); tables that the text names are looked
 * for beside it. ERR_FORMAT, ERR_RANGE, ERR_UNKNOWN_SITE, ERR_UNKNOWN_QUEUE, ERR_TOO_LARGE, ERR_IO, ERR_NOMEM; m filled. */
MUST_USE enum err drill_parse(const char *file, struct view text, struct drill **out, struct errmsg *m);
MUST_USE enum err drill_load(const char *file, struct drill **out, struct errmsg *m);
void drill_free(struct drill *d);
/* --set KEY=VALUE: store, suite, length, settle, sample, start, month, part, swarm (on, off). ERR_USAGE with the keys known. */
MUST_USE enum err drill_set(struct drill *d, const char *key, const char *value, struct errmsg *m);
/* One month of the timetable ("1" to "12", of the year in which it begins, local time) becomes the whole: events, flows and what is expected in it;
 * an exact flow sends what the year's count has for it. ERR_USAGE. */
MUST_USE enum err drill_month(struct drill *d, const char *value, struct errmsg *m);
/* "2/6": the second sixth of it, likewise. ERR_USAGE. */
MUST_USE enum err drill_part(struct drill *d, const char *value, struct errmsg *m);
/* The whole drill as text, appended. */
MUST_USE enum err drill_format(const struct drill *d, struct buf *out);
/* One event as the story and drill_format write it: { at = "6h"; do = "crash"; ... } */
void drill_event_format(const struct drill *d, const struct drill_event *e, struct buf *out);
/* A copy whose events are those of keep[0..n_events) that are true (NULL: all). */
MUST_USE enum err drill_copy(const struct drill *d, const bool *keep, struct drill **out);
/* Appends an event (its sets and send are taken over) and keeps the order of time. */
MUST_USE enum err drill_add_event(struct drill *d, const struct drill_event *e);

size_t drill_site_count(const struct drill *d);
bool sites_has(const struct drill_sites *s, uint16_t site);
const char *drill_site_name(const struct drill *d, uint16_t i);
/* NULL when there is no link. */
const struct drill_link *drill_link_of(const struct drill *d, uint16_t a, uint16_t b);

/* The names of what the drill uses and the node lacks ("relocate", ...), for struct run: fills at most cap, returns how many. */
size_t drill_unsupported(const struct drill *d, const char **out, size_t cap);

#endif
