/* courier.h - a bundle as a file: read twice, piece by piece, checked whole before anything of it is given to the node. */
#ifndef NODE_CLI_COURIER_H
#define NODE_CLI_COURIER_H

#include "node/cli/longwork.h"
#include "proto/bundle.h"

/* Pieces whose chain is compared with what it was when the file was checked, before any of them is given. */
#define COURIER_GROUP 64

struct stick {
	const char *path;
	int fd;
	uint64_t size;
	struct buf in;                 /* read and not used yet */
	size_t at;
	struct bundle_reader r;
	struct buf head, end;          /* the bytes of these pieces */
	struct hash *marks; size_t n_marks, cap_marks; /* the chain behind each group, from the first reading */
};

/* ERR_NOT_FOUND, ERR_IO, ... (it cannot be opened, or is no file); m filled. Then it is released by stick_close all the same. */
MUST_USE enum err stick_open(struct stick *s, const char *path, struct errmsg *m);
/* The first reading: every byte. ERR_TRUNCATED (torn), ERR_FORMAT (no bundle, or damaged), ERR_AUTH (damaged), ERR_VERSION, ERR_IO, ERR_NOMEM, ERR_CLOSED
 * (stopped); m filled. */
MUST_USE enum err stick_check(struct stick *s, struct progress *p, struct errmsg *m);
/* Begins the second reading. */
MUST_USE enum err stick_again(struct stick *s, struct errmsg *m);
/* The next group: its pieces one after another in out, u32 length before each; nothing at the end. ERR_CONFLICT: the file is not what it was
 * when it was checked; ERR_IO; m filled. */
MUST_USE enum err stick_group(struct stick *s, struct buf *out, struct errmsg *m);
void stick_close(struct stick *s);

#endif
