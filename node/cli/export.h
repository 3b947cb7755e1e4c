/* export.h - entries of a journal picked by stream, queue and time, and handed on in runs that a signed head closes.
 *
 * A run is what a segment between nodes is: consecutive entries of one stream, the leaves of those up to the next signed head, and that
 * head. So whoever has the run and the chain before it can verify each entry, whatever was left out around it. */
#ifndef NODE_CLI_EXPORT_H
#define NODE_CLI_EXPORT_H

#include "node/cli/cli.h"
#include "node/cli/longwork.h"
#include "node/daemon/config.h"
#include "proto/age.h"
#include "proto/pack.h"
#include "storage/store.h"

#define EXPORT_VERSION 1
#define EXPORT_BINARY_VERSION 2 /* 1: without the blocks behind EXPORT_PART */
#define EXPORT_MAGIC "estaexpo"
#define EXPORT_MAGIC_BYTES 8
#define EXPORT_NAME "journal export" /* what the first line of the JSON form says it is */
enum export_mark {
	EXPORT_END = 0,
	EXPORT_SEGMENT = 1,
	EXPORT_PART = 2,
	EXPORT_CHAIN = 3,     /* of the segment that follows: the chain before it */
	/* of an evidence package (evidence.h) */
	EXPORT_ARRIVED = 4,   /* of the segment that follows: when its entries came to the site whose journal it was, and from whom */
	EXPORT_STATE = 5,     /* a roster, an order, an endorsement, a dictionary, and since when it was there */
	EXPORT_AUTHORITY = 6, /* the key that signs its rosters */
	EXPORT_HANDED = 7,    /* a key that another site handed on */
	EXPORT_PERIOD = 8,    /* which time it is about */
	EXPORT_HEAD = 10,     /* in JSON lines alone: of the segment that follows, the chain at its head, which signatures cover */
	EXPORT_SIGNED = 9,    /* in the place of EXPORT_END: the site that made it signed the hash of all before */
};

/* What is asked for. */
struct pick {
	const char *stream;           /* as it was written, NULL: all */
	uint16_t originator, addressee;
	int precedence;               /* -1: all */
	const char *queue;            /* NULL: all */
	uint16_t queue_site;          /* 0: of any site */
	struct wall from, to;         /* by the time sent; to: before it */
	bool (*wanted)(void *arg, const struct entry_row *row); /* NULL: all of these */
	void *arg;
};

/* A journal on disk, opened to read. */
struct source {
	struct cli *cli;
	const char *path;             /* as it was given */
	char dir[CONFIG_PATH_BYTES];
	struct config *config;        /* NULL with the next: only a folder was given */
	struct roster *roster;
	struct site_keys *keys;       /* NULL: not loaded */
	struct store *store;
	struct stream_row *streams;
	size_t n_streams;
	struct hash stream_hash;      /* of the stream whose key is kept */
	uint64_t key_from;
	bool key_known;
	struct sym_key key;
	struct packer *packer;
	uint64_t unsigned_entries, unopened; /* left out: no head signs them; picked by queue or to be opened and no key fits */
};

enum source_keys { KEYS_NONE, KEYS_NEEDED, KEYS_IF_THERE };
/* path: a folder or node.conf. keys: load the site's keys too, which only node.conf names. Exit status; says what failed. */
int source_open(struct source *s, struct cli *cli, const char *path, enum source_keys keys);
void source_close(struct source *s);
const char *source_site(const struct source *s, uint16_t number, char out[LIMIT_NAME_BYTES + 1]);

/* Opens an entry's envelope with the site's keys, which are loaded; views live in room. False: no key opens it. */
bool source_envelope(struct source *s, struct txn *t, const struct stream_row *stream, const struct entry_row *row, struct buf *room, struct envelope *out);

/* One entry that is handed on; views live until the next. */
struct picked {
	const struct stream_row *stream;
	const struct entry_row *row;  /* e.body holds a body of one piece; flags say when it lies apart */
	struct header header;
	struct envelope *envelope;    /* NULL: not opened */
};
/* A run that has been handed on, and what signs it. */
struct export_run {
	const struct stream_row *stream;
	uint64_t first;
	uint16_t entries, n_tail;
	struct hash before;           /* the chain before it */
	struct hash tail[LIMIT_HEAD_SPACING]; /* the leaves behind it up to the head */
	struct head head;
};
/* Where the runs go. Each function returns ERR_OK or what ends the export. */
struct sink {
	void *arg;
	enum err (*entry)(void *arg, struct txn *t, const struct picked *p);
	enum err (*head)(void *arg, const struct export_run *r);
	bool open;                    /* entries are wanted with their envelopes opened; those that no key opens are left out */
	bool parts;                   /* bodies in several parts come before their entry: */
	enum err (*part)(void *arg, uint8_t class, const struct hash *body, uint8_t kind, uint32_t index, struct view bytes);
};
/* Everything picked, stream by stream. ERR_CLOSED (interrupted), ERR_DAMAGED, what a sink returned; m filled but for the last. */
MUST_USE enum err export_walk(struct source *s, const struct pick *pick, const struct sink *sink, struct progress *p, struct errmsg *m);

/* The plain body of an opened entry, a piece of at most a chunk after the other. ERR_NOT_FOUND: it is not here. */
typedef enum err plain_fn(void *arg, uint32_t index, struct view plain);
MUST_USE enum err export_body(struct source *s, struct txn *t, const struct picked *p, plain_fn *fn, void *arg);

/* The members of an entry that say what it is, as a JSON object; NULL when out of memory. */
struct json_t;
struct json_t *export_describe(const struct source *s, const struct picked *p);
/* What its opened envelope says, added to an object. False when out of memory. */
bool export_describe_opened(struct json_t *object, const struct picked *p);
struct json_t *json_base64(struct view v);
struct json_t *json_hex(const uint8_t *b, size_t n);
struct json_t *json_time(struct wall t); /* null for none */

/* The forms; each makes the file FILE, or nothing. m filled. */
struct counts { uint64_t entries, bodies; };
MUST_USE enum err export_json(struct source *s, const struct pick *pick, bool open, const char *file, struct counts *n, struct errmsg *m);
struct evidence;
/* ev: what makes it an evidence package; NULL: an export. */
MUST_USE enum err export_binary(struct source *s, const struct pick *pick, const struct evidence *ev, const char *file, struct counts *n, struct errmsg *m);
/* A folder: index.age, and a file for each body. */
MUST_USE enum err export_age(struct source *s, const struct pick *pick, const struct age_recipient *to, const char *folder, struct counts *n, struct errmsg *m);

/* A period as a drill of the simulator, by this journal's view. from INT64_MIN, to INT64_MAX: from the first message on, to the last. */
struct drill_wanted { struct wall from, to; bool replace; /* the names of sites, by site-001 ... */ };
MUST_USE enum err export_drill(struct source *s, const struct drill_wanted *want, const char *file, struct counts *n, struct errmsg *m);

/* Makes room for one more behind n elements of that size; *array and *cap may be NULL and 0. ERR_NOMEM: all is as it was. */
MUST_USE enum err export_room(void **array, size_t n, size_t *cap, size_t size);

#endif
