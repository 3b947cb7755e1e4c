/* world.h - several cores in one process, with stores in memory, virtual time and a network that a test can spoil.
 *
 * The seed of the simulator, for unit tests of the core: deterministic, no socket, no clock. Every effect becomes an event
 * of its receiver after a delay; frames can be lost, sites crash (what is not committed is gone), commits fail. */
#ifndef TESTS_WORLD_H
#define TESTS_WORLD_H

#include "node/core/apply.h"
#include "proto/request.h"

#define WORLD_SITES 6
#define WORLD_NODES (WORLD_SITES + 2) /* with second copies of sites */
#define WORLD_CLIENT 1

struct world_msg {
	bool used;
	struct mono at;
	uint64_t order;
	uint16_t to;              /* site index that gets the event */
	struct event ev;          /* bytes owned by bytes */
	uint8_t *bytes;
};

struct world_node {
	struct core *core;        /* NULL while it is down */
	struct store *store;
	bool up;
	uint64_t fail_at;         /* the commit that fails, 0 for none */
	uint64_t commits;
	enum err fail_with;
	bool full;                /* no commit finds room */
	bool cut[WORLD_NODES];    /* links cut to that node */
	const char *over[WORLD_NODES]; /* the bearer that it dials that node over, from the next time on; NULL: "test" */
	bool deaf;                /* it never reads segments; all else it answers */
	uint64_t unread_bytes;    /* of segments that it did not read */
	size_t speaks[WORLD_SITES]; /* of several copies of a site the one that spoke here last */
	uint8_t seed[32];         /* of its present run; with fixed_seed it is given */
	bool fixed_seed;
	struct retention keep;    /* of its next run; zeros: the defaults */
	int64_t scrub_us;         /* of its next run; 0: the default */
	uint32_t leases_most;     /* of its next run; 0: the default */
	struct buf replies;       /* replies to the client, whole messages one after another */
	size_t read;              /* how far a test has looked at them */
	int64_t clock_offset_us;
	uint8_t need[WORLD_NODES][LANE_COUNT]; /* enum dial_need, as it said last of its links to that site */
	unsigned retries;         /* of links, that it asked for */
	struct mono last_at[WORLD_NODES][LANE_COUNT][SIDE_COUNT]; /* of the latest frame on its way there */
};

struct world {
	size_t n;                 /* nodes; those from n_sites on are second copies of sites */
	size_t n_sites;
	struct world_node node[WORLD_NODES];
	struct site_keys keys[WORLD_NODES];
	uint16_t number[WORLD_NODES];
	struct minisign_secret authority;
	struct minisign_public authority_public;
	struct buf roster_text;
	struct mono now;
	uint64_t prng, order;
	struct world_msg *queue;
	size_t n_queue, cap_queue;
	bool travels;             /* rosters go from site to site: its nodes know the authority's key */
	unsigned loss_percent;    /* of frames, each on its own */
	int64_t delay_us, jitter_us, rate_bps; /* rate: of each connection and direction; 0: any */
	uint64_t frames, lost, frame_bytes, resets;
	const struct crypt_suite *suite;
	int64_t lease_us;         /* of what world_take_one takes; 0: the node's own */
	uint32_t tag;
};

/* The roster in force, to be changed and given to world_roster; its serial is one more. Freed with roster_free. */
struct roster *world_roster_copy(struct world *w);
struct roster *world_open_roster(struct world *w); /* that in force, as a node reads it at its start; freed with roster_free */
/* Every node that is up takes it over now, and those that start later begin with it. */
void world_roster(struct world *w, const struct roster *r);
/* That node alone. */
void world_roster_at(struct world *w, size_t i, const struct roster *r); /* at one site only; who starts from now on reads it too */
void world_reload(struct world *w, size_t i);
/* Site i has new keys, from its next start on; r gets them, with the identity of before among its former ones. */
void world_enrol(struct world *w, size_t i, struct roster *r);
/* A network of the Belgian template cut to the named sites ("cic-luik", ...), started and linked. Fails the test when
 * something is wrong. */
void world_init(struct world *w, const char *const *sites, size_t n, uint64_t seed);
void world_release(struct world *w);
/* Runs until nothing is due before `us` from now. */
void world_run(struct world *w, int64_t us);
/* Kills a node: its core and all that was under way are gone, its store stays. */
void world_crash(struct world *w, size_t i);
void world_stop(struct world *w, size_t i); /* it ends in good order */
/* Starts it again on its store, or on a new one when lost. */
void world_start(struct world *w, size_t i);
void world_lose_journal(struct world *w, size_t i); /* while it is down */
void world_link(struct world *w, size_t a, size_t b, bool up);
void world_bulk(struct world *w, size_t a, size_t b, bool up); /* the bulk lane alone, of a link that is up */
/* Site a hears that its lanes to b may lie on so many bearers: "test", which they do, and dearer ones. */
void world_bearers(struct world *w, size_t a, size_t b, uint8_t count);
void world_bearer_is(struct world *w, size_t a, size_t b, uint8_t index, uint8_t count, enum dial_why why); /* one of these, now */
/* ---- journals copied, and second copies of a site ---- */

void world_open_store(struct world *w, size_t i, enum store_birth_how how);
struct world_image;
struct world_image *world_copy(struct world *w, size_t i);                     /* what site i has committed */
void world_put_back(struct world *w, size_t i, const struct world_image *im);  /* while it is down */
void world_image_free(struct world_image *im);
/* One more node with the keys of site i, down, its journal what the image holds (NULL: an empty one). Its links are those of
 * site i. Frames that others send to the site on what they dialled go to the first copy that is linked, answers to who asked. */
size_t world_twin(struct world *w, size_t i, const struct world_image *im);
/* Nothing is wrong in that journal, else the test fails. */
void world_verify(struct world *w, size_t i);

uint64_t world_random(struct world *w, uint64_t below);
size_t world_index(const struct world *w, const char *site);
struct wall world_wall(const struct world *w, size_t i);

/* ---- a client of site i ---- */

/* The next reply that is not yet read; false when there is none. Views live until the world runs on. */
bool world_reply(struct world *w, size_t i, struct request *out);
/* The first field of that kind in a reply; empty when absent. */
struct view reply_field(const struct request *r, uint8_t field);
/* Sends one request (built by the caller with request_begin..end) to site i. */
void world_request(struct world *w, size_t i, const struct buf *bytes);

struct send_options { const char *key, *exercise; int64_t expires_us; const char *subject; };
/* Submits and runs until it is answered. ERR_OK and the id, or the error's code. */
enum err world_send(struct world *w, size_t i, const char *to, enum precedence p, struct view body, const struct send_options *o,
                    struct msgid *id, bool *duplicate);
/* Asks for up to count messages; answers come as replies. Returns the tag. */
uint32_t world_take(struct world *w, size_t i, const char *queue, uint32_t count, int64_t lease_us);
/* Takes one within run_us; false when none came. body may be NULL. */
struct taken { struct msgid id; char subject[64]; char perhaps_seen[80]; char from[49]; struct buf body; uint64_t size; uint8_t precedence; bool chunked; };
bool world_take_one(struct world *w, size_t i, const char *queue, int64_t run_us, struct taken *out);
/* ACK, REFUSE, RETURN, EXTEND, CANCEL of one id. */
enum err world_handle(struct world *w, size_t i, enum request_type type, const struct msgid *id);
enum wait_state world_state(struct world *w, size_t i, const struct msgid *id);
/* Value of a number member of the first row of `show what`; -1 when absent. */
int64_t world_status(struct world *w, size_t i, const char *member);
/* True when an alarm of that kind is out at site i. */
bool world_alarm(struct world *w, size_t i, const char *kind);

#endif
