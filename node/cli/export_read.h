/* export_read.h - reading an export, in whichever of its forms it is: what it holds, piece by piece, to whoever asks.
 *
 * The binary form (an evidence package is one) and JSON lines become the same calls, in the order of the file. Shape, length and
 * the hash at the end are checked here; what the pieces say is for the caller to believe. */
#ifndef NODE_CLI_EXPORT_READ_H
#define NODE_CLI_EXPORT_READ_H

#include "proto/crypt.h"
#include "proto/err.h"
#include "proto/view.h"

struct export_reader {
	const char *file;
	const char *otherwise;  /* what a failure left, behind each message: " (nothing was imported)" */
	struct errmsg *m;
	void *arg;              /* of the functions; another result of them than ERR_OK ends the reading, m filled */
	enum err (*whose)(void *arg, uint16_t site, const struct hash *network);
	enum err (*segment)(void *arg, struct view bytes);
	enum err (*part)(void *arg, uint8_t class, const struct hash *body, uint8_t kind, uint32_t index, struct view bytes);
	/* Each other block, without its mark (enum export_mark); EXPORT_SIGNED: the hash of all before, u16 site, 64 signature. NULL: passed over. */
	enum err (*block)(void *arg, uint8_t mark, struct view bytes);
	const uint64_t *entries; /* how many came so far, as the caller counts them */
	/* Called now and then; false ends it. NULL: only signals do. */
	bool (*progress)(void *arg, uint64_t bytes, uint64_t of);
	void *progress_arg;
	/* of the reader */
	uint64_t bytes, of;
};
/* ERR_FORMAT (no export; cut short; altered), ERR_VERSION, ERR_IO, ERR_CLOSED (interrupted), ERR_NOT_FOUND, and what the functions said; m filled. */
MUST_USE enum err export_read(struct export_reader *r);

#endif
