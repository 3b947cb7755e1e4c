/* backup_rate DIR COUNT - how fast a journal is backed up, tested and restored: makes one in DIR/journal with COUNT entries and random
 * bodies of 900 bytes, as sealed ones are; then a backup in DIR/full, one more after a hundred new entries in DIR/next, and a restore
 * of both in DIR/restored. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proto/crypt.h"
#include "storage/backup.h"

#define BODY_BYTES 900
#define ENVELOPE_BYTES 240
#define A_COMMIT 1000
#define MIB (1024.0 * 1024)

static void must(enum err e, const struct errmsg *m)
{
	if (e == ERR_OK)
		return;
	fprintf(stderr, "backup_rate: %s\n", m && m->text[0] ? m->text : err_text(e));
	exit(1);
}

/* Of this process on a processor: what others do on the machine does not count. */
static double cpu_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- the journal ------------------------------------------------------------------------------------------------------------ */

static void add_entry(struct txn *t, struct stream_row *s, struct rng *r)
{
	uint8_t header[HEADER_BYTES], envelope[ENVELOPE_BYTES], body[BODY_BYTES];
	struct msgid last = {{0}};
	struct header h = {.kind = KIND_MESSAGE, .precedence = PREC_ROUTINE, .originator = 3, .sent = {(int64_t)s->held + 1}};
	h.id = msgid_next(&last, h.sent, (const uint8_t[8]){0});
	header_encode(&h, header);
	rng_bytes(r, envelope, sizeof envelope);
	rng_bytes(r, body, sizeof body);
	struct entry_row row = {.stream = s->local, .number = s->held + 1, .from = 3,
	                        .e = {.header = view_of(header, sizeof header), .envelope = view_of(envelope, sizeof envelope), .body = view_of(body, sizeof body)}};
	entry_hash(&row.e);
	struct hash leaf = entry_leaf(&row.e);
	row.chain = chain_next(&s->chain, row.number, &leaf);
	store_entry_append(t, &row);
	struct msg_row msg = {.id = h.id, .addressee = 15, .arrival = row.arrival, .originator = 3, .precedence = PREC_ROUTINE};
	store_msg_put(t, &msg);
	s->held = row.number;
	s->chain = row.chain;
}

static void add_entries(struct store *store, struct stream_row *s, struct rng *r, uint64_t n)
{
	struct txn *t;
	while (n) {
		must(txn_begin(store, true, &t), NULL);
		if (!s->local) {
			store_stream_add(t, s);
			s->chain = stream_hash(&store_birth(store)->network, &s->name);
		}
		for (unsigned i = 0; n && i < A_COMMIT; i++, n--)
			add_entry(t, s, r);
		store_stream_put(t, s);
		must(txn_commit(t), NULL);
	}
}

/* ---- files ------------------------------------------------------------------------------------------------------------------ */

static enum err to_file(void *arg, struct view v)
{
	return fwrite(v.ptr, 1, v.len, arg) == v.len ? ERR_OK : ERR_IO;
}

static enum err from_file(void *arg, uint64_t at, uint8_t *out, size_t n)
{
	return pread(fileno(arg), out, n, (off_t)at) == (ssize_t)n ? ERR_OK : ERR_IO;
}

struct watch { double wall, cpu; };

static struct watch watch_begin(void)
{
	return (struct watch){seconds(), cpu_seconds()};
}

static void watch_end(struct watch w, const char *what, const struct backup_result *r)
{
	double wall = seconds() - w.wall, cpu = cpu_seconds() - w.cpu, mib = (double)r->plain_bytes / MIB;
	printf("%s: %.0f MiB of records in %.2f s (%.0f MiB/s), of which %.2f s of one processor (%.0f MiB/s)\n", what, mib, wall, mib / wall, cpu, mib / cpu);
	fflush(stdout);
}

static void write_backup(struct store *s, const struct backup *since, const char *path, const char *what)
{
	struct errmsg m = {0};
	struct backup_result r;
	FILE *f = fopen(path, "wx");
	struct backup_out out = {to_file, f};
	if (f == NULL)
		must(ERR_IO, NULL);
	struct watch w = watch_begin();
	must(backup_write(s, (struct wall){1}, since, &out, NULL, &r, &m), &m);
	if (fflush(f) != 0 || fsync(fileno(f)) != 0 || fclose(f) != 0)
		must(ERR_IO, NULL);
	watch_end(w, what, &r);
	printf("%s: %.1f MiB written, %llu wrong\n", what, (double)r.written_bytes / MIB, (unsigned long long)r.wrong);
}

static struct backup *open_backup(const char *path)
{
	struct errmsg m = {0};
	struct backup *b;
	struct stat st;
	FILE *f = fopen(path, "r");
	if (f == NULL || fstat(fileno(f), &st) != 0)
		must(ERR_IO, NULL);
	struct backup_in in = {from_file, f, (uint64_t)st.st_size};
	must(backup_open(&in, path, &b, &m), &m);
	return b;
}

int main(int argc, char **argv)
{
	struct store_birth birth = {.site = 15, .site_id = "cic-luik", .how = BIRTH_FRESH, .born = {1}};
	struct store_options o = {.quota_bytes = 64LL << 30};
	struct stream_row s = {.name = {.originator = 3, .addressee = 15, .precedence = PREC_ROUTINE}};
	static const uint8_t seed[32] = {7};
	struct errmsg m = {0};
	struct store *store;
	struct rng r;
	struct backup_result result;
	char journal[400], full[400], next[400], restored[400];
	if (argc != 3 || crypt_start() != ERR_OK) {
		fputs("usage: backup_rate DIR COUNT\n", stderr);
		return 2;
	}
	snprintf(journal, sizeof journal, "%.300s/journal", argv[1]);
	snprintf(full, sizeof full, "%.300s/full", argv[1]);
	snprintf(next, sizeof next, "%.300s/next", argv[1]);
	snprintf(restored, sizeof restored, "%.300s/restored", argv[1]);
	rng_seed(&r, seed);
	must(store_create(journal, &birth, &o, &m), &m);
	must(store_open(journal, &o, &store, &m), &m);
	add_entries(store, &s, &r, strtoull(argv[2], NULL, 10));
	write_backup(store, NULL, full, "backup");
	struct backup *chain[2] = {open_backup(full), NULL};
	add_entries(store, &s, &r, 100);
	write_backup(store, chain[0], next, "incremental");
	store_close(store);
	chain[1] = open_backup(next);
	struct watch w = watch_begin();
	must(backup_check(chain, 2, NULL, &result, &m), &m);
	watch_end(w, "check", &result);
	w = watch_begin();
	must(backup_restore(chain, 2, restored, &o, NULL, &result, &m), &m);
	watch_end(w, "restore", &result);
	backup_close(chain[0]);
	backup_close(chain[1]);
	return 0;
}
