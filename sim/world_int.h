/* world_int.h - what the files of the world share; nobody else includes it.
 *
 *   world.c         life, the run, timers, books, trace      world_heap.c   what is due, in order
 *   world_site.c    a node's life, its clock and steps       world_fault.c  faults and repairs of sites
 *   world_net.c     connections over links, frames, cuts     world_client.c desks
 *   world_dial.c    who dials them, over which bearer        world_body.c   sites that are elsewhere
 *   world_roster.c  keys and rosters */
#ifndef SIM_WORLD_INT_H
#define SIM_WORLD_INT_H

#include <stdlib.h>
#include <string.h>

#include "sim/body.h"
#include "sim/disk.h"
#include "proto/request.h"
#include "sim/world.h"

#define RESTART_US (5 * US_PER_S) /* the service manager starts a node again after this */
#define WORLD_HOOKS 8
#define NO_LINK UINT16_MAX

/* ---- what is due ---------------------------------------------------------------------------------------------- */

enum due_kind { DUE_WAKE, DUE_START, DUE_PARCEL, DUE_REPLY, DUE_GONE, DUE_DIAL, DUE_SHAKEN, DUE_REFUSED, DUE_CHECK, DUE_SCHEDULE, DUE_CRASH, DUE_TIMER };
struct due {
	int64_t at;
	uint64_t order;       /* of its making: decides between equal times */
	uint32_t kind, who;   /* who: a site, a connection, a link */
	uint64_t what;        /* a generation, a bearer, ... */
	void *ptr;
};
struct heap { struct due *due; size_t n, cap; uint64_t order; };
/* Returns its order. Ends the process when out of memory, as everything here does. */
uint64_t heap_push(struct heap *h, struct due d);
bool heap_pop(struct heap *h, struct due *out);

void *must(void *p); /* says so and ends the process when p is NULL */

/* ---- bytes under way -------------------------------------------------------------------------------------------- */

struct parcel {
	struct parcel *next;       /* in a stall */
	uint32_t conn, generation; /* of a frame */
	uint32_t from, run;        /* the site that sends, and which of its runs */
	struct mono sent_at;       /* when its commit was done */
	uint64_t client;           /* of a reply or request */
	uint64_t order;            /* names it in the trace */
	uint8_t dir;
	uint32_t len;
	uint8_t bytes[];
};

struct stall { struct parcel *first, **last; int64_t bytes; };

/* ---- the dialling end of a connection -------------------------------------------------------------------------------- */

struct caller {
	struct dial dial;
	bool on;                           /* its site runs */
	uint8_t bearer[LIMIT_BEARERS];     /* of the link, by the dial's numbers */
	uint32_t serial[DIAL_SLOTS];       /* of the try that each slot shows here */
	bool under_way[DIAL_SLOTS];        /* its answer is */
	int64_t shake_us[DIAL_SLOTS];
	uint32_t run[DIAL_SLOTS];          /* of the other end, when it opened */
	struct mono tick_at;
	uint64_t ticks;                    /* the last one planned is the one that counts */
};

/* ---- sites -------------------------------------------------------------------------------------------------------------- */

enum inbox_row { ROW_URGENT, ROW_SUBMIT, ROW_BULK, ROW_COUNT };
struct arrived { struct event ev; struct parcel *parcel; };
struct row { struct arrived *items; size_t n, at, cap; };

struct clock { int64_t offset_us, gained_us; int32_t drift_ppm; struct mono since; };

struct node {
	size_t index;
	uint16_t number;
	struct site_keys keys;
	enum site_state state;
	bool powered, started_once;
	struct core *core;
	struct store *store;
	struct disk disk;
	char *dir;
	uint32_t run, journal;
	bool lost;                 /* the next start begins an empty journal */
	struct clock clock;
	struct mono run_from;      /* its monotonic clock began at 1 s then */
	int64_t run_gained;
	int64_t commit_us;
	struct mono busy_until, died_at, wake_at;
	uint64_t wake_order;
	struct row rows[ROW_COUNT];
	struct prng prng;
	enum crash_how crash_next; /* CRASH_BEFORE_COMMIT or _AFTER_COMMIT; CRASH_NOW: none */
	const char *crash_why;
	bool crash_power;
	struct image *image;
	struct mono image_at;
	uint8_t protocol;          /* that its program speaks at most; 0: this one's */
	uint32_t serial;           /* of the roster it has */
	uint32_t file_serial;      /* of the one that its operator installed; 0: what every site was given */
	bool roster_held;
	size_t n_links;
	uint16_t *links;           /* indexes */
};

struct session {
	size_t site;
	uint32_t run;
	bool open;
	world_client_fn *fn;
	void *arg;
};

struct timer { world_timer *fn; void *arg; uint64_t cookie; };

struct world {
	struct world_config config;
	char *dir;
	struct mono now;
	bool stop, healed;
	struct heap heap;
	struct roster *roster;
	struct minisign_public authority;
	struct sign_secret authority_secret;
	struct roster *installed;  /* the newest that was given to every site; NULL: roster was */
	size_t n;
	struct node *node;
	uint16_t *by_number;       /* 65536: index + 1 */
	size_t n_links;
	struct link *link;
	uint16_t *between;         /* n * n: link index */
	struct caller *caller;     /* of connection: [4 * link + 2 * dialler + lane] */
	struct stall *stall;       /* of connection and direction: [4 * link + 2 * dialler + lane][dir] */
	struct session *session;
	size_t n_sessions, cap_sessions;
	size_t n_hooks;
	struct world_hooks hooks[WORLD_HOOKS];
	struct world_counts counts;
	struct hasher *trace;
	uint8_t trace_buf[4096];
	size_t trace_len;
	struct effects out;        /* reused */
	struct event *batch;       /* reused */
	struct parcel **batch_parcels;
	uint64_t parcels;
	struct prng prng;
};

static inline uint32_t conn_id(size_t link, int dialler, uint8_t lane) { return (uint32_t)(4 * link + 2 * (size_t)dialler + lane); }
static inline struct link *conn_link(struct world *w, uint32_t id) { return &w->link[id / 4]; }
static inline int conn_dialler(uint32_t id) { return (int)(id / 2 % 2); }
static inline uint8_t conn_lane(uint32_t id) { return (uint8_t)(id % 2); }
static inline struct conn *conn_of(struct world *w, uint32_t id) { return &w->link[id / 4].conn[id / 2 % 2][id % 2]; }

/* ---- world.c ---- */
void due_at(struct world *w, struct mono at, enum due_kind kind, uint32_t who, uint64_t what, void *ptr);
void news(struct world *w, enum world_news_type type, size_t site, size_t peer, int64_t number, const char *text);
void news_view(struct world *w, enum world_news_type type, size_t site, size_t peer, int64_t number, struct view text);
void trace_add(struct world *w, const void *bytes, size_t n);
void trace_u64(struct world *w, uint64_t x);
struct parcel *parcel_new(struct world *w, size_t from, struct view bytes);

/* ---- world_site.c ---- */
void node_init(struct world *w, size_t i);
void node_release(struct world *w, struct node *n);
void node_start(struct world *w, struct node *n);
/* Ends the run. power: peers see silence. */
void node_die(struct world *w, struct node *n, const char *why, bool power);
void node_wake(struct world *w, struct node *n);
void node_plan(struct world *w, struct node *n); /* when it wakes next */
void node_take(struct world *w, struct node *n, enum inbox_row row, const struct event *ev, struct parcel *p);
void node_store_drop(struct world *w, struct node *n);  /* closes it; what is on a disk goes too */
enum err node_store_open(struct world *w, struct node *n);
struct wall node_wall(const struct world *w, const struct node *n);
struct mono node_mono(const struct world *w, const struct node *n);
void clock_settle(struct world *w, struct clock *c);

/* ---- world_net.c ---- */
void net_send(struct world *w, size_t from, const struct effect *f, struct view bytes, struct mono at);
void net_said(struct world *w, size_t from, const struct effect *f); /* RESET, NEED, RETRY */
void net_parcel(struct world *w, struct parcel *p);
void net_due(struct world *w, const struct due *d);
void net_site_up(struct world *w, size_t site);
void net_site_down(struct world *w, size_t site, bool power);
void net_site_look(struct world *w, size_t site); /* paused or resumed */
void net_schedule(struct world *w, size_t link, size_t bearer);
void net_link_changed(struct world *w, size_t link);
struct link *net_between(const struct world *w, size_t a, size_t b);
size_t conn_from(const struct world *w, uint32_t id);
size_t conn_to(const struct world *w, uint32_t id);
void conn_up(struct world *w, uint32_t id, uint8_t bearer, int64_t round_us);
void conn_end(struct world *w, uint32_t id);

/* ---- world_dial.c: connections by id ---- */
void call_begin(struct world *w, uint32_t id);  /* its site runs */
void call_end(struct world *w, uint32_t id);    /* it does not any more */
void call_look(struct world *w, uint32_t id);   /* something under it, or at the other end, changed */
void call_lost(struct world *w, uint32_t id);   /* the connection was reset */
void call_silent(struct world *w, uint32_t id);
void call_need(struct world *w, uint32_t id, enum dial_need need);
void call_retry(struct world *w, uint32_t id);
void call_due(struct world *w, const struct due *d);

/* ---- world_client.c ---- */
void client_replies(struct world *w, size_t site, uint64_t client, struct view bytes, struct mono at);
void client_deliver(struct world *w, struct parcel *p);
void client_hears(struct world *w, uint64_t client, struct view bytes); /* nothing when it is gone */
void clients_gone(struct world *w, size_t site);
void client_gone(struct world *w, uint64_t client);
void client_closed_by_node(struct world *w, uint64_t client, struct mono at);

/* ---- world_body.c: false, or nothing done, when the sites are simulated ---- */
bool body_acts(struct world *w, size_t site, enum body_act act);
void body_heals(struct world *w, struct node *n);

/* ---- world_roster.c ---- */
enum err world_make_roster(struct world *w, const struct roster *from, struct errmsg *m);
struct roster *roster_clone(const struct roster *r);
struct roster *roster_at_start(struct world *w, struct node *n);
void roster_now(struct world *w, struct node *n); /* another one is in force there */

#endif
