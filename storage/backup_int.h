/* backup_int.h - what writing and reading a backup share. Inside of storage only. */
#ifndef STORAGE_BACKUP_INT_H
#define STORAGE_BACKUP_INT_H

#include "storage/backup.h"
#include "storage/record.h"

#define BACKUP_MAGIC "estaback"
#define BACKUP_MAGIC_BYTES 8
#define BACKUP_HEADER_FIXED 11 /* magic, version, length of the header */
#define BACKUP_END_BYTES (8 + 8 + 2 * HASH_BYTES)
#define BACKUP_CHUNK_MARK 0xc4
/* A chunk of a range: closed before it grows over this, unless one record alone is longer. */
#define BACKUP_CHUNK_BYTES LIMIT_CHUNK_BYTES
/* What a chunk may be at most: the longest record there is (signed state, 1 MiB) and its key. */
#define BACKUP_CHUNK_MAX (2 * 1024 * 1024)
#define BACKUP_RECORD_HEAD 5 /* u8 length of the key, u32 length of the value */
/* A packed piece is never longer than it was: what does not get shorter is stored. */
#define BACKUP_PIECE_HEAD 6
#define BACKUP_WATCH_BYTES (4 * 1024 * 1024)

struct backup_range {
	uint8_t db;
	struct key first;
	struct hash hash; /* of the number of the database and the plain records */
	uint16_t file;    /* in the chain, from 0 */
	uint64_t at;      /* of its chunk in that file */
	uint32_t plain, records;
};

struct backup {
	struct backup_in in;
	char *path;
	const char *name; /* the end of path */
	struct backup_about about;
	struct backup_earlier *earlier;
	struct backup_range *range;
	size_t n_ranges;
	uint64_t index_at;
	struct hash end; /* the last hash, as the file says it */
};

struct hash backup_range_hash(uint8_t db, struct view plain);

/* The watcher of long work. False: stop. */
struct backup_pace {
	const struct backup_watch *w;
	uint64_t done, of, told;
};
bool backup_pace(struct backup_pace *p, uint64_t bytes);

/* Everything that a backup checks of the records that pass by, in the order of the databases: each record's check, entries, chains,
 * bodies. */
struct backup_proof;
MUST_USE enum err backup_proof_new(struct txn *t, struct backup_result *result, struct backup_proof **out);
MUST_USE enum err backup_proof_record(struct backup_proof *p, enum kv_db db, struct view key, struct view value);
MUST_USE enum err backup_proof_end(struct backup_proof *p);
void backup_proof_free(struct backup_proof *p);
/* Whether records of this table end with a check. */
bool backup_has_check(uint8_t table);

#endif
