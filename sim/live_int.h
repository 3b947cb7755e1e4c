/* live_int.h - what the files of live drills share; nobody else includes it.
 *
 *   live.c         the run                            live_site.c    daemons: their life, journals, faults
 *   live_plan.c    the timetable made faster          live_client.c  clients at the daemons' sockets
 *   live_folder.c  the folder, what lies in it, and its end */
#ifndef SIM_LIVE_INT_H
#define SIM_LIVE_INT_H

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "proto/keyfile.h"
#include "sim/body.h"
#include "sim/live.h"
#include "sim/play.h"
#include "sim/proxy.h"
#include "sim/shaper.h"
#include "sim/watch.h"
#include "storage/store.h"

struct live_run;

/* ---- live_folder.c ---- */
struct live_folder {
	char path[PATH_MAX];
	bool kept;
	pid_t keeper;        /* removes it when this process is gone, or when the pipe is closed */
	int pipe;
};
/* Call it first: the keeper must not have what is opened later. */
MUST_USE enum err live_folder_make(struct live_folder *f, const char *wanted, struct errmsg *m);
void live_folder_end(struct live_folder *f);
MUST_USE enum err live_write(const char *path, mode_t mode, struct view text, struct errmsg *m);
void live_remove(const char *path); /* a file, or a folder with all in it */

/* ---- live_plan.c ---- */
/* Why an expectation is not judged; the text of an oracle_expect. */
struct live_skip { char text[200]; };
struct live_plan {
	int64_t speed;
	struct drill *load;     /* the traffic, in the drill's own time */
	struct drill *timed;    /* the timetable, in the run's */
	uint64_t left_out;      /* 1 << enum drill_do: what only the simulator can do */
	bool clocks_left_out;
	size_t n_skips;
	struct live_skip *skips;
};
MUST_USE enum err live_plan_make(const struct drill *d, const struct live *l, struct live_plan *p, struct errmsg *m);
void live_plan_release(struct live_plan *p);

/* ---- live_site.c ---- */
enum daemon_is { DAEMON_DOWN, DAEMON_STARTING, DAEMON_UP };
struct daemon {
	enum daemon_is is;
	pid_t pid;              /* 0: none */
	bool paused, hup;       /* hup: it is to read its roster again when it is up */
	bool stopping;
	int place;
	char folder[PATH_MAX], socket[PATH_MAX];
	struct store *store;    /* for reading; NULL: none now */
	int64_t try_at, give_up_at, start_at; /* of STARTING; of one that ended by itself, 0: not */
	bool has_backup;
	int64_t asked_at;       /* for its links */
	uint64_t asking;        /* client number of who asks for its links; 0: none */
};

struct live_run {
	const struct live *how;
	struct live_plan plan;
	struct live_folder folder;
	size_t n;               /* sites */
	int home;
	int *places;
	uint16_t *numbers;
	struct daemon *daemons;
	int *bearers;           /* n * n: the link's bearer over which a has its urgent connection to b, as a says; -1 */
	struct minisign_public authority;
	struct minisign_secret secret;
	struct roster *roster;  /* as made here; the world has its own */
	struct link_config *links;
	size_t n_links;
	struct world *world;
	struct world_body body;
	struct proxy *proxy;
	struct shaper *shaper;  /* NULL: the proxy keeps the rates */
	struct errmsg unshaped; /* a rate that the kernel refused to keep; empty: none */
	struct watch *watch;
	struct play *play;
	struct story story;
	int epoll;
	struct line *lines;     /* clients */
	uint64_t own_clients;   /* numbers of those that ask for links, from the top */
	struct timespec began;
	int64_t zero_us;        /* monotonic time of the world's 0 */
	int64_t looked_at;
	double shown_s;
	unsigned fell;          /* daemons that ended by themselves */
	char fell_text[200];
	bool closing, cut_short;
};

int64_t live_clock_us(void);
int64_t live_now(const struct live_run *r); /* the world's time */

MUST_USE enum err sites_make(struct live_run *r, struct errmsg *m);    /* folders, keys, rosters, journals, places */
MUST_USE enum err sites_start(struct live_run *r, struct errmsg *m);   /* all, until all answer */
void sites_look(struct live_run *r);      /* who is up now, who has ended */
void sites_stop(struct live_run *r);      /* all, in good order, with a bound */
void sites_release(struct live_run *r);
struct world_body sites_body(struct live_run *r);
MUST_USE enum err roster_give(struct live_run *r, const struct roster *roster, struct errmsg *m);

/* ---- live_client.c ---- */
bool line_open(void *arg, size_t site, uint64_t client);
void line_close(void *arg, size_t site, uint64_t client);
void line_request(void *arg, size_t site, uint64_t client, struct view bytes);
/* Is the socket there? Tries it. */
bool line_try(const struct daemon *d);
/* Reads and writes what is ready (epoll); true when a whole reply or an end has come. */
bool lines_ready(struct live_run *r, void *const *ready, const uint32_t *events, size_t n);
void lines_tell(struct live_run *r);      /* the replies, to the world */
void lines_drop(struct live_run *r, size_t site); /* its process is gone */
void links_ask(struct live_run *r);       /* each site, once a second */
void lines_release(struct live_run *r);

#endif
