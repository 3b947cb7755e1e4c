/* usage.h - what fills a journal: pages by database, records and bytes by table and by kind, and each entry with what it takes.
 *
 * Two sums each come out whole. Pages: those of the databases, LMDB's own, the free ones and the tail never used yet are the
 * file. Records: the sums by table, and those by class and kind, are the bytes of all records (keys, values, checks); what they
 * take less than their pages is room inside of pages. One long reader of one snapshot: free pages are not used again meanwhile. */
#ifndef STORAGE_USAGE_H
#define STORAGE_USAGE_H

#include "storage/store.h"

#define USAGE_TABLES 128
#define USAGE_DATABASES 8

struct usage_sum { uint64_t records, bytes; };
enum usage_class { USAGE_OPERATIONAL, USAGE_EXERCISE, USAGE_OF_BOTH, USAGE_CLASSES }; /* of both: alarms, state, keys, ... */
enum usage_kind { USAGE_HEADERS, USAGE_BODIES, USAGE_INDEXES, USAGE_KINDS };          /* headers: entries, with their envelopes */

struct usage {
	uint32_t page_bytes;                  /* 0: a store in memory has no pages, and the next five are 0 */
	uint64_t pages[USAGE_DATABASES];
	uint64_t own_pages, free_pages;       /* LMDB's meta pages, list of databases and list of free pages; those in that list */
	uint64_t tail_bytes, file_bytes;      /* allocated behind the last page; the whole file */
	struct usage_sum table[USAGE_TABLES]; /* by the table's number */
	struct usage_sum of[USAGE_CLASSES][USAGE_KINDS];
	uint64_t damaged;                     /* entries that cannot be read: in the sums, and not shown to fn */
};
/* An entry: bytes of its record and, once for all entries that share it, of its body's. queue: where it waits or is leased, by local
 * number; 0: in none. Which queue an entry was for that is in none only its sealed envelope says. Views as of store_entry_get. */
struct usage_entry {
	const struct entry_row *row;
	uint16_t addressee;
	bool exercise;
	uint32_t queue;
	uint64_t bytes, body_bytes;
};
/* ERR_IO, ERR_NOMEM, or what fn returned other than ERR_OK. */
MUST_USE enum err store_usage(struct store *s, enum err (*fn)(void *arg, const struct usage_entry *e), void *arg, struct usage *out);
const char *usage_table_name(unsigned table);       /* NULL: no such table */
const char *usage_database_of(unsigned table);      /* the name of the database it lies in */
const char *usage_database_name(unsigned database);

#endif
