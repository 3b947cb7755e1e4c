/* import.h - entries of an export, verified as if a peer had sent them, into the journal of a stopped node.
 *
 * All of it is one transaction: the journal has all that fits, or is as it was. What was added is put down as work under way, so that
 * the node opens and places it at its next start, as it does after an order or a key came. */
#ifndef NODE_CLI_IMPORT_H
#define NODE_CLI_IMPORT_H

#include "node/cli/cli.h"
#include "node/daemon/config.h"
#include "proto/seal.h"
#include "storage/store.h"

struct import_stream {
	struct stream_row row;
	struct hash hash;     /* of its name */
	uint16_t missing;     /* entries whose bodies are to come */
	uint64_t first_new;   /* 0: none */
	bool changed;
};
struct import_counts {
	uint64_t read;        /* entries in the file */
	uint64_t added, bodies;
	uint64_t held;        /* were here already */
	uint64_t gap;         /* an entry before them is neither here nor in the file */
	uint64_t strange;     /* of streams that do not concern this site */
};
struct importer {
	const char *file;
	const struct config *config;
	const struct roster *roster;
	const struct site *self;
	struct txn *t;
	struct wall now;
	uint16_t from;        /* the site whose export it is */
	struct import_stream *streams;
	size_t n_streams, at; /* at: the one that was used last */
	struct import_counts n;
	/* the body whose parts come */
	struct body_row body;
	struct manifest manifest;
	struct buf leaves;
	uint32_t pages;
	bool taking;          /* false: it is here already */
	bool any_body;
	struct { uint8_t class; uint64_t body_no; } *bodies;
	size_t n_bodies;
	struct errmsg *m;
};

/* t: a write transaction of the journal. ERR_NOMEM, ERR_DAMAGED; m filled. */
MUST_USE enum err importer_begin(struct importer *im);
void importer_release(struct importer *im);
/* Whose export it is. ERR_CONFLICT: of another network; m filled. */
MUST_USE enum err import_whose(struct importer *im, uint16_t site, const struct hash *network);
/* ERR_AUTH (not signed, or altered), ERR_CONFLICT (another history than is held), ERR_FORMAT, ERR_IO, ERR_NOMEM; m filled. */
MUST_USE enum err import_segment(struct importer *im, struct view bytes);
MUST_USE enum err import_part(struct importer *im, uint8_t class, const struct hash *body, uint8_t kind, uint32_t index, struct view bytes);
/* Stream rows, work under way, bodies that nobody used. */
MUST_USE enum err importer_finish(struct importer *im);

/* Reads the file in whichever form it has. ERR_FORMAT (no export; cut short; altered), ERR_VERSION and those above; m filled. */
MUST_USE enum err import_file(struct importer *im);

#endif
