/* store_fixture.h - one store for a test, in memory or in a folder of its own, and rows to fill it with. */
#ifndef TESTS_STORE_FIXTURE_H
#define TESTS_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "storage/store.h"

struct fixture {
	bool memory;
	char home[200];  /* made for the test, removed after it */
	char dir[240];   /* the store in it */
	struct store_options options;
	struct store *s;
	enum err fail_with; /* what the hook of the store in memory returns; ERR_OK: nothing fails */
	uint64_t fail_at;   /* at which commit */
};

int fixture_memory(void **state);
int fixture_folder(void **state);
int fixture_end(void **state);
/* Closes and opens again; a store in memory stays as it is. */
void fixture_reopen(struct fixture *f);
/* A folder of the test's own; the caller removes it. */
void fixture_home(char *out, size_t size);
void fixture_remove(const char *home);
extern const struct store_birth fixture_birth;

/* The test, once on each store. */
#define ON_BOTH(fn)                                                                                     \
	{#fn " (memory)", fn, fixture_memory, fixture_end, NULL},                                       \
	{                                                                                               \
		#fn " (folder)", fn, fixture_folder, fixture_end, NULL                                  \
	}

struct txn *begin_write(struct fixture *f);
struct txn *begin_read(struct fixture *f);
void commit(struct txn *t);

/* Values that are told apart by a number. */
struct hash hash_of(uint64_t n);
struct msgid id_of(uint64_t n);
struct stream_name name_of(uint16_t n);
/* An entry of a stream; its views live until the next call. body_bytes 0: none. */
struct entry_row entry_of(uint32_t stream, uint64_t number, size_t envelope_bytes, size_t body_bytes);
void assert_same_entry(const struct entry_row *a, const struct entry_row *b);
/* n bytes that depend on seed; they live until the next call. At most 300 000. */
struct view bytes_of(uint64_t seed, size_t n);

/* Inverts one bit of the first byte of each occurrence of needle in what is stored (the store is reopened). Returns how
 * many there were. */
size_t fixture_flip(struct fixture *f, struct view needle, unsigned bit);

#endif
