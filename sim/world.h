/* world.h - many sites in one process, in virtual time, from a seed.
 *
 * The world is a list of sites (site.h: a core, its store, its clock), links between them (link.h), a heap of what is due,
 * and hooks. Time is integer microseconds since the world began. What is due at one instant happens in the order in which it
 * was made. A site is busy while it commits; what arrives meanwhile is its next batch, as in the daemon; its effects leave
 * when the commit is done. So a slow disk makes large batches, and a crash in a commit is one that never spoke.
 *
 * Users: the drill's timetable and the fault swarm (the functions under "faults"), the workload (clients), oracle and report
 * (hooks, stores). Sites are named by index, in the order of the roster (rising numbers). Everything is deterministic: same
 * config, same calls, same trace hash, with either store. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "node/core/apply.h"
#include "sim/link.h"
#include "sim/prng.h"

struct world;
struct world_body;

#define WORLD_NO_SITE SIZE_MAX

enum world_store { WORLD_MEMORY, WORLD_LMDB };

struct world_clock { int64_t offset_us; int32_t drift_ppm; };

struct world_config {
	uint64_t seed;
	struct wall start;              /* true wall time at virtual time 0 */
	const struct crypt_suite *suite;
	enum world_store store;
	const char *dir;                /* WORLD_LMDB: a folder that exists and is empty; it is left as it is at the end */
	const struct roster *roster;    /* a template without keys (roster_parse with allow_template, roster_cut); borrowed for
	                                 * world_new. Keys, bearers and a signature are made of the seed. */
	size_t n_links;
	const struct link_config *links;/* borrowed for world_new */
	struct core_config core;        /* lease_us, probe_us, ... ; suite, seed and keys are filled in by the world */
	int64_t commit_us;              /* how long a commit takes on a healthy disk; 0: 2 ms */
	int64_t heartbeat_us;           /* a stalled connection is given up after so long; 0: 60 s (as the daemon) */
	const struct world_clock *clocks; /* one a site, or NULL: all right; borrowed for world_new */
	bool dark;                      /* no site is started by world_new */
	const struct world_body *body;  /* the sites are elsewhere (body.h): the roster is whole and taken as it is. NULL: they are simulated */
};

/* ERR_FORMAT, ERR_NOMEM, ERR_IO; m filled. Sites start within the first second, at moments drawn from the seed. */
MUST_USE enum err world_new(const struct world_config *config, struct world **out, struct errmsg *m);
void world_free(struct world *w);

/* Runs until virtual time `until`, or until world_stop. False when it was stopped. */
bool world_run(struct world *w, struct mono until);
void world_stop(struct world *w); /* from a hook or a timer: the run ends after this step */

struct mono world_now(const struct world *w);
struct wall world_wall(const struct world *w);                 /* the true time now */
struct wall world_wall_at(const struct world *w, struct mono at);
const struct roster *world_roster(const struct world *w);      /* with keys; the latest given to any site */
size_t world_sites(const struct world *w);
const char *world_site_id(const struct world *w, size_t site);
uint16_t world_site_number(const struct world *w, size_t site);
size_t world_site_by_id(const struct world *w, const char *id);        /* WORLD_NO_SITE */
size_t world_site_by_number(const struct world *w, uint16_t number);   /* WORLD_NO_SITE */

/* ---- timers ------------------------------------------------------------------------------------------------------------- */

typedef void world_timer(void *arg, struct world *w, uint64_t cookie);
/* Calls fn at that time (now, when it is past), after everything made earlier for the same instant. Cannot be taken back:
 * the receiver must know when it is out of date. */
void world_at(struct world *w, struct mono at, world_timer *fn, void *arg, uint64_t cookie);

/* ---- what happens, told to those who listen ------------------------------------------------------------------------------- */

enum world_news_type {
	NEWS_SITE_UP = 1,    /* a run of a node began */
	NEWS_SITE_DOWN,      /* it ended: text says why ("crash", "power", "stop", "commit failed", ...) */
	NEWS_SITE_PAUSED, NEWS_SITE_RESUMED,
	NEWS_DISK_LOST,      /* the journal is gone; the site is down */
	NEWS_RESTORED,       /* an older image of the journal was put in its place; number: how many seconds old */
	NEWS_DISK_FULL, NEWS_DISK_HAS_ROOM,
	NEWS_DISK_SLOW, NEWS_DISK_FAST, /* number: microseconds a commit */
	NEWS_COMMIT_FAILED,  /* text: the error's code */
	NEWS_BIT_FLIPPED,    /* number: arrival number of the entry struck */
	NEWS_CLOCK,          /* its wall clock was changed; number: offset in microseconds */
	NEWS_ROSTER,         /* number: serial */
	NEWS_CONN_UP,        /* site's connection to peer, lane 0 or 1 (number), over bearer (text) */
	NEWS_CONN_DOWN,
	NEWS_BEARER_CUT, NEWS_BEARER_BACK,   /* site, peer, bearer (text); number: enum link_way of what is cut now */
	NEWS_LOG,            /* the node's own log line; number: its level */
};
struct world_news {
	enum world_news_type type;
	size_t site, peer;   /* peer: WORLD_NO_SITE when there is none */
	int64_t number;
	struct view text;    /* lives for the call */
};

struct world_hooks {
	void *arg;
	/* A batch of events was applied at a site and committed; its effects have not left yet (and never do when the site dies
	 * in the next commit_us). For the invariants. Views live for the call. The store may be read (world_read). */
	void (*step)(void *arg, struct world *w, size_t site, const struct event *events, size_t n, const struct effects *out);
	/* Whole reply messages that now reach a client (one or several, one after another: request_length). */
	void (*reply)(void *arg, struct world *w, size_t site, uint64_t client, struct view bytes);
	void (*news)(void *arg, struct world *w, const struct world_news *n);
	/* Of sites that are elsewhere only, whose steps nobody sees. A client asks (no bytes: it hangs up) ... */
	void (*asked)(void *arg, struct world *w, size_t site, uint64_t client, struct view bytes);
	/* ... and before it hears what was answered meanwhile, all journals are looked at (world_store). */
	void (*look)(void *arg, struct world *w);
};
/* Hooks may be NULL each. Called in the order of subscription. The struct is copied. */
void world_subscribe(struct world *w, const struct world_hooks *hooks);

/* ---- a site's state, for those who look ------------------------------------------------------------------------------------- */

enum site_state { SITE_DOWN = 0, SITE_UP = 1, SITE_PAUSED = 2 };
enum site_state world_site_state(const struct world *w, size_t site);
bool world_site_powered(const struct world *w, size_t site);
/* The store of a site, up or down: for read transactions inside a hook or between runs, ended before returning. NULL when its
 * disk was lost and no run has begun since. */
struct store *world_store(struct world *w, size_t site);
const struct core *world_core(const struct world *w, size_t site); /* NULL while down */
/* The run of a site: 1 for the first; 0 before. It names an incarnation of the holder. */
uint32_t world_site_run(const struct world *w, size_t site);
/* The journal of a site: rises each time its disk is lost or an older image is restored. */
uint32_t world_site_journal(const struct world *w, size_t site);
struct wall world_site_wall(const struct world *w, size_t site); /* its own wall clock now */
/* Both lanes of the connections that a dialled to b are up. */
bool world_connected(const struct world *w, size_t a, size_t b);
/* What a's node had queued below it on the way to b when it sent, at most since this was last asked. */
struct queued world_queued(struct world *w, size_t a, size_t b);
/* A link exists and one of its bearers passes both ways now: the two will connect if both are up. */
bool world_link_open(const struct world *w, size_t a, size_t b);
/* Both urgent connections between a and b are up and bytes pass: latency one way (with jitter), rate (0: no limit) and how long a loss keeps a
 * frame of what they lie on, the worse of the two. */
bool world_urgent_way(const struct world *w, size_t a, size_t b, int64_t *delay_us, int64_t *rate_bps, int64_t *stall_us);
/* The sites that have a link to site: how many; list (may be NULL) gets them, rising; room for world_sites. */
size_t world_neighbours(const struct world *w, size_t site, size_t *list);

/* ---- clients (desks) --------------------------------------------------------------------------------------------------------- */

/* Bytes: one or more whole reply messages; an empty view: the connection is gone (the node ended, or closed it). */
typedef void world_client_fn(void *arg, struct world *w, size_t site, uint64_t client, struct view bytes);
/* Connects to a site's node. The client's number (never reused in a world), or 0 when the node is not up. */
uint64_t world_client_open(struct world *w, size_t site, const struct client_rights *rights, world_client_fn *fn, void *arg);
/* From the client's side: the node hears of it; fn is not called again. */
void world_client_close(struct world *w, size_t site, uint64_t client);
/* One whole request message, delivered with the node's next batch. Dropped when the client is gone. */
void world_request(struct world *w, size_t site, uint64_t client, struct view bytes);

/* ---- faults and repairs: of sites --------------------------------------------------------------------------------------------- */
/* Each is valid at any time and without effect when it does not apply (a crash of what is down, ...). They may be called from
 * timers and between runs, not from step hooks. */

enum crash_how {
	CRASH_NOW,           /* between two commits */
	CRASH_BEFORE_COMMIT, /* in the next commit, nothing of which reached the disk */
	CRASH_AFTER_COMMIT,  /* the next commit is on the disk, but nobody heard of it */
	CRASH_DRAWN,         /* one of these, drawn */
};
void world_crash(struct world *w, size_t site, enum crash_how how);
void world_stop_site(struct world *w, size_t site);          /* in good order (EVENT_STOP) */
void world_program(struct world *w, size_t site, uint8_t protocol); /* stopped; starts again after 5 s as a program that speaks it at most */
void world_start_site(struct world *w, size_t site);         /* when it has power */
void world_power(struct world *w, size_t site, bool on);     /* off: dies in mid-commit or not, peers see silence; on: starts */
void world_pause(struct world *w, size_t site, bool paused); /* the process stands still; connections stay until the heartbeat */
void world_disk_full(struct world *w, size_t site, bool full);       /* every commit fails with ERR_FULL */
void world_disk_used(struct world *w, size_t site, int64_t ppm);     /* so much of its room, in millionths, is what it has now */
void world_disk_quota(struct world *w, size_t site, int64_t bytes);  /* room of the journal from now on; 0: as much as it likes */
void world_disk_slow(struct world *w, size_t site, int64_t commit_us);/* 0: healthy again */
/* The count-th commit from now fails: ERR_FULL, ERR_BUSY (nothing happened), ERR_IO, ERR_SYNC (the node ends, and is started
 * again 5 s later, as by the service manager). */
void world_commit_fails(struct world *w, size_t site, int count, enum err e);
/* Inverts one bit of a record in the journal: of an entry drawn (its header, envelope, or inline body). False: there is none. */
bool world_flip_bit(struct world *w, size_t site);
void world_lose_disk(struct world *w, size_t site);          /* crashes it; the next start begins an empty journal (BIRTH_LOST) */
void world_backup(struct world *w, size_t site);             /* keeps an image of the journal; replaces the one kept before */
bool world_restore(struct world *w, size_t site);            /* crashes it, puts the image back, marked as restored, on a disk with
                                                              * room; false: there is no image */
void world_clock_offset(struct world *w, size_t site, int64_t offset_us); /* of its wall clock against the truth, from now */
void world_clock_step(struct world *w, size_t site, int64_t by_us);
void world_clock_drift(struct world *w, size_t site, int32_t ppm);
/* Gives every site that is up (and the others when they start) a newer roster: the same template with keys, serial plus one.
 * edit may be NULL. */
void world_new_roster(struct world *w, void (*edit)(void *arg, struct roster *r), void *arg);
/* The same at one site only: the others have it from each other, or not. */
void world_new_roster_at(struct world *w, size_t site, void (*edit)(void *arg, struct roster *r), void *arg);
uint32_t world_roster_serial(const struct world *w, size_t site); /* in force there; 0 while it is down */
/* One site only learns of the newest roster later: it keeps its own until world_roster_catch_up. */
void world_roster_hold(struct world *w, size_t site, bool held);

/* ---- faults and repairs: of links ------------------------------------------------------------------------------------------------ */
/* bearer NULL: all bearers of the link. No link between a and b: nothing happens. */
void world_cut(struct world *w, size_t a, size_t b, const char *bearer, enum link_way way); /* AB: from a to b, whatever their order */
void world_mend(struct world *w, size_t a, size_t b, const char *bearer, enum link_way way);
void world_reset(struct world *w, size_t a, size_t b);       /* every connection is reset once */
/* Other delay, jitter, rate, queue, loss until changed again; NULL: as configured. */
void world_degrade(struct world *w, size_t a, size_t b, const char *bearer, const struct bearer_change *change);
/* Everything that world_* did to links, disks, clocks, power and pauses is undone, schedules of bearers end; what is down
 * starts. The liveness phase. (For a repair in mid-drill too, except that schedules do not come back.) */
void world_heal(struct world *w);

/* ---- the books ------------------------------------------------------------------------------------------------------------------------ */

struct world_counts {
	uint64_t events;        /* delivered to cores */
	uint64_t steps;         /* batches */
	uint64_t effects, frames, frame_bytes;
	uint64_t frames_dropped;/* no connection, queue full */
	uint64_t frames_reset;  /* under way when their connection ended */
	uint64_t stalls, resets, crashes, crashes_in_commit, power_cuts, pauses, disk_full, failed_commits, flips, lost_disks, restores,
		 clock_steps, rosters, cuts, asymmetric_cuts;
	uint64_t records_damaged_read; /* times a core met a flipped bit */
};
const struct world_counts *world_counts(const struct world *w);
/* BLAKE2b over every event delivered and every effect made, up to now, in 64 hexadecimal digits. Once, at the end: it closes the hash. */
void world_trace(struct world *w, char out[65]);

#endif
