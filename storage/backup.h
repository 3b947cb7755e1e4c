/* backup.h - a journal as one file that can be put back: written beside a running node, whole or only what changed since another.
 *
 * A backup cuts each database into ranges of keys, keeps the records of a range in a compressed chunk with a hash, and lists all
 * ranges in an index. An incremental one writes the ranges whose hash is another than in the backup before it and refers to the
 * older files for the others, so that whatever was added, changed or deleted since is in it. Bytes: README.md, "Backups".
 *
 * No file is opened here: bytes go out and come in through the caller's functions. No key is in a journal, so none is in a backup. */
#ifndef STORAGE_BACKUP_H
#define STORAGE_BACKUP_H

#include "storage/store.h"

#define BACKUP_VERSION 1
/* Files of one chain: a whole one and its incrementals. The next has to be a whole one. */
#define BACKUP_CHAIN_MAX 1024
#define BACKUP_NAME_BYTES 255

struct backup_out {
	enum err (*write)(void *arg, struct view bytes); /* ERR_FULL, ERR_IO */
	void *arg;
};
struct backup_in {
	enum err (*read)(void *arg, uint64_t at, uint8_t *out, size_t n); /* exactly n bytes, or ERR_IO */
	void *arg;
	uint64_t size;
};

struct backup_earlier {
	struct hash id;
	char name[BACKUP_NAME_BYTES + 1]; /* of the file, without its folder: where to look for it first */
};
/* What a backup says of itself. */
struct backup_about {
	uint32_t schema;
	uint16_t site;
	char site_id[LIMIT_NAME_BYTES + 1];
	struct hash network;
	struct wall born; /* of the journal */
	struct wall made;
	struct hash id;   /* the file's last hash, which names it */
	uint16_t n_earlier; /* 0: whole; else what must be at hand, the whole one first */
	const struct backup_earlier *earlier;
	uint64_t records, entries, plain_bytes; /* of the journal */
	uint64_t own_bytes; /* of those, written into this file */
	uint64_t wrong;   /* damaged things that were found while it was written, and kept as they were */
};

struct backup;
/* Reads what a backup says of itself and its index, whose hash must fit; `in` is used until backup_close. ERR_FORMAT (no backup),
 * ERR_VERSION, ERR_DAMAGED, ERR_IO, ERR_NOMEM; m filled. path: for messages; what follows its last slash is the name by which the
 * next backup refers to this one. */
MUST_USE enum err backup_open(const struct backup_in *in, const char *path, struct backup **out, struct errmsg *m);
void backup_close(struct backup *b); /* NULL is fine */
const struct backup_about *backup_about(const struct backup *b); /* lives as long as b */

struct backup_watch {
	/* Called every few MiB; false stops: then the result is ERR_CLOSED. NULL: neither. */
	bool (*progress)(void *arg, uint64_t bytes, uint64_t of);
	void *arg;
};
struct backup_result {
	uint64_t records, entries, plain_bytes, written_bytes; /* written: into the file */
	uint64_t wrong;    /* what verification found: checks, hashes of entries and bodies, chains */
	char finding[200]; /* the first of them */
};
/* Writes s as one transaction sees it, reading and checking everything. since: NULL, or a backup of the same site and network, of
 * which this becomes the next. Damaged records are counted and kept as they are; the caller decides what that is worth.
 * ERR_CONFLICT (since is another site's or network's), ERR_TOO_LARGE (the chain is full), ERR_FULL, ERR_IO, ERR_DAMAGED (the
 * journal cannot be read any further), ERR_NOMEM, ERR_CLOSED; m filled. */
MUST_USE enum err backup_write(struct store *s, struct wall made, const struct backup *since, const struct backup_out *out,
                               const struct backup_watch *w, struct backup_result *result, struct errmsg *m);

/* chain: the files in order, the whole one first, the one that is meant last. ERR_CONFLICT when they are no chain; m filled. */
MUST_USE enum err backup_chain(struct backup *const *chain, size_t n, struct errmsg *m);
/* Every byte of every file against its hash, and every record that would be restored. ERR_DAMAGED, ERR_CONFLICT, ERR_IO, ERR_NOMEM,
 * ERR_CLOSED; m filled. */
MUST_USE enum err backup_check(struct backup *const *chain, size_t n, const struct backup_watch *w, struct backup_result *result, struct errmsg *m);
/* A new journal in dir, made aside and renamed, that says of itself that it was restored: the node which opens it hands out nothing
 * until it holds what others hold of its past. ERR_EXISTS (never over another), ERR_VERSION (newer schema), those of backup_check,
 * ERR_FULL; m filled; then nothing is there. */
MUST_USE enum err backup_restore(struct backup *const *chain, size_t n, const char *dir, const struct store_options *o,
                                 const struct backup_watch *w, struct backup_result *result, struct errmsg *m);

#endif
