/* What a backup checks while the records pass by: each record's check, entries and their chains, bodies. Each record is seen once,
 * in the order of databases and keys, so that an entry's chain and the parts of a body come one after the other. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/frame.h"
#include "proto/seal.h"
#include "storage/backup_int.h"

struct chain_state {
	bool known;
	struct stream_row row;
	uint64_t number;
	struct hash chain;
};

struct backup_proof {
	struct txn *t;
	struct backup_result *result;
	struct chain_state *streams;
	uint32_t n_streams;
	uint64_t inline_want, inline_have; /* bodies that lie with their entries */
	/* the body under way */
	bool in_part, row_known;
	uint8_t class, kind;
	uint64_t body_no;
	uint32_t index;
	struct hash hash; /* what the body's entry or row says */
	struct body_row row;
	struct manifest manifest;
	bool has_manifest;
	uint32_t chunks;
	struct buf leaves, part;
};

static void wrong(struct backup_proof *p, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void wrong(struct backup_proof *p, const char *fmt, ...)
{
	va_list ap;
	if (p->result->wrong++)
		return;
	va_start(ap, fmt);
	vsnprintf(p->result->finding, sizeof p->result->finding, fmt, ap);
	va_end(ap);
}

bool backup_has_check(uint8_t table)
{
	return table != TABLE_POSITION && table != TABLE_BODY_HASH && table != TABLE_PART && table != TABLE_PART_APART;
}

/* ---- streams ---------------------------------------------------------------------------------------------------------------- */

static enum err keep_stream(void *arg, const struct stream_row *row)
{
	struct backup_proof *p = arg;
	struct chain_state *s;
	if (row->local >= p->n_streams)
		return ERR_OK;
	s = &p->streams[row->local];
	*s = (struct chain_state){.known = true, .row = *row, .number = row->floor, .chain = row->floor_chain};
	if (!row->floor)
		s->chain = stream_hash(&p->t->s->birth.network, &row->name);
	return ERR_OK;
}

enum err backup_proof_new(struct txn *t, struct backup_result *result, struct backup_proof **out)
{
	struct backup_proof *p = calloc(1, sizeof *p);
	enum err e = p ? ERR_OK : ERR_NOMEM;
	if (e)
		return e;
	p->t = t;
	p->result = result;
	p->n_streams = store_stream_last(t) + 1;
	p->streams = calloc(p->n_streams, sizeof *p->streams);
	e = p->streams ? store_stream_each(t, keep_stream, p) : ERR_NOMEM;
	if (e == ERR_DAMAGED)
		e = ERR_OK; /* counted when the row itself passes */
	if (e) {
		backup_proof_free(p);
		return e;
	}
	*out = p;
	return ERR_OK;
}

void backup_proof_free(struct backup_proof *p)
{
	if (!p)
		return;
	buf_release(&p->leaves);
	buf_release(&p->part);
	free(p->streams);
	free(p);
}

/* ---- entries ---------------------------------------------------------------------------------------------------------------- */

static bool hashes_fit(const struct entry_row *row)
{
	static const struct hash zero;
	struct entry e = row->e;
	entry_hash(&e);
	if (!hash_equal(&e.header_hash, &row->e.header_hash))
		return false;
	return row->e.envelope.len ? hash_equal(&e.envelope_hash, &row->e.envelope_hash)
	                           : (row->e.flags & ENTRY_STUB) || hash_equal(&row->e.envelope_hash, &zero);
}

static void prove_link(struct backup_proof *p, const struct entry_row *row)
{
	struct chain_state *s = row->stream < p->n_streams ? &p->streams[row->stream] : NULL;
	struct hash leaf = entry_leaf(&row->e), chain;
	if (!s || !s->known) {
		wrong(p, "entry %llu: it is of no known stream", (unsigned long long)row->arrival);
		return;
	}
	if (row->number <= s->row.floor)
		return;
	chain = chain_next(&s->chain, row->number, &leaf);
	if (row->number != s->number + 1 || !hash_equal(&chain, &row->chain))
		wrong(p, "entry %llu: number %llu of stream %u does not follow from the one before", (unsigned long long)row->arrival,
		      (unsigned long long)row->number, row->stream);
	s->number = row->number;
	s->chain = row->chain;
}

static void prove_entry(struct backup_proof *p, struct view key, struct view value)
{
	struct entry_row row;
	struct rd r = rd_init(value);
	p->result->entries++;
	if (codec_entry_read(key, &r, &row)) {
		wrong(p, "an entry cannot be read");
		return;
	}
	if (!hashes_fit(&row))
		wrong(p, "entry %llu: its header or envelope is not what its hash says", (unsigned long long)row.arrival);
	p->inline_want += row.body_no && !(row.body_no & BODY_NO_APART);
	prove_link(p, &row);
}

/* ---- bodies ----------------------------------------------------------------------------------------------------------------- */

static void body_wrong(struct backup_proof *p)
{
	wrong(p, "%s %llu: its body is not what its hash says", p->body_no & BODY_NO_APART ? "body" : "entry",
	      (unsigned long long)(p->body_no & ~BODY_NO_APART));
}

static bool chunk_fits(struct backup_proof *p)
{
	struct hash h = chunk_hash(p->index, buf_view(&p->part));
	size_t at = (size_t)p->index * HASH_BYTES;
	p->chunks++;
	return at + HASH_BYTES <= p->leaves.len && memcmp(p->leaves.ptr + at, h.b, HASH_BYTES) == 0;
}

static bool page_fits(struct backup_proof *p)
{
	struct hash h = page_hash(p->index, buf_view(&p->part));
	bool next = p->leaves.len == (size_t)p->index * LIMIT_LEAVES_PER_PAGE * HASH_BYTES;
	buf_add(&p->leaves, buf_view(&p->part));
	return next && p->has_manifest && p->index < p->manifest.pages && hash_equal(&h, &p->manifest.page[p->index]);
}

static bool part_fits(struct backup_proof *p)
{
	struct hash h;
	switch (p->kind) {
	case PART_WHOLE:
		h = body_hash(buf_view(&p->part));
		return hash_equal(&h, &p->hash);
	case PART_MANIFEST:
		if (manifest_decode(buf_view(&p->part), &p->manifest))
			return false;
		p->has_manifest = true;
		h = manifest_hash(&p->manifest);
		return hash_equal(&h, &p->hash);
	case PART_PAGE: return page_fits(p);
	case PART_CHUNK: return chunk_fits(p);
	default: return false;
	}
}

/* What is not whole yet has hashes that come later, and whoever fetches it checks them. */
static void part_end(struct backup_proof *p)
{
	bool counts = !(p->body_no & BODY_NO_APART) || (p->row_known && p->row.whole);
	if (p->in_part && counts && !part_fits(p))
		body_wrong(p);
	p->in_part = false;
	buf_clear(&p->part);
}

static void body_end(struct backup_proof *p)
{
	part_end(p);
	if (p->row_known && p->row.whole && p->chunks != p->row.chunks)
		body_wrong(p);
	p->row_known = p->has_manifest = false;
	p->body_no = 0;
	p->chunks = 0;
	buf_clear(&p->leaves);
}

static void body_begin(struct backup_proof *p, uint8_t class, uint64_t body_no)
{
	struct entry_row entry;
	enum err e;
	p->class = class;
	p->body_no = body_no;
	if (body_no & BODY_NO_APART) {
		e = store_body_row(p->t, class, body_no, &p->row);
		p->row_known = !e;
		p->hash = p->row.hash;
		if (e == ERR_NOT_FOUND)
			wrong(p, "body %llu: parts of it without its row", (unsigned long long)(body_no & ~BODY_NO_APART));
		return;
	}
	p->inline_have++;
	memset(&p->hash, 0, sizeof p->hash);
	e = store_entry_get(p->t, body_no, &entry);
	if (!e)
		p->hash = entry.e.body_hash;
	else if (e == ERR_NOT_FOUND)
		wrong(p, "a body belongs to entry %llu, which is not there", (unsigned long long)body_no);
}

static void prove_part(struct backup_proof *p, uint8_t class, struct view key, struct view value)
{
	struct rd f = key_fields(key);
	uint64_t body_no = rd_u64(&f);
	uint8_t kind = rd_u8(&f);
	uint32_t index = rd_u32(&f);
	if (body_no != p->body_no || class != p->class) {
		body_end(p);
		body_begin(p, class, body_no);
	} else if (kind != p->kind || index != p->index) {
		part_end(p);
	}
	p->in_part = true;
	p->kind = kind;
	p->index = index;
	buf_add(&p->part, value);
}

/* ---- all records ------------------------------------------------------------------------------------------------------------ */

enum err backup_proof_record(struct backup_proof *p, enum kv_db db, struct view key, struct view value)
{
	uint8_t table = key.len ? key.ptr[0] : 0;
	struct view row = value;
	p->result->records++;
	if (backup_has_check(table) && record_open(key, value, &row)) {
		wrong(p, "a record of table %u: its check does not fit", table);
		p->result->entries += table == TABLE_ENTRY;
		return ERR_OK;
	}
	if (table == TABLE_ENTRY)
		prove_entry(p, key, row);
	else if (table == TABLE_PART || table == TABLE_PART_APART)
		prove_part(p, db == DB_BODIES1, key, value);
	return buf_ok(&p->part) && buf_ok(&p->leaves) ? ERR_OK : ERR_NOMEM;
}

enum err backup_proof_end(struct backup_proof *p)
{
	body_end(p);
	if (p->inline_want != p->inline_have)
		wrong(p, "%llu entries say that their bodies are with them, and %llu bodies are there", (unsigned long long)p->inline_want,
		      (unsigned long long)p->inline_have);
	for (uint32_t i = 0; i < p->n_streams; i++) {
		const struct chain_state *s = &p->streams[i];
		if (s->known && (s->number != s->row.held || !hash_equal(&s->chain, &s->row.chain)))
			wrong(p, "stream %u: it says that it holds %llu entries, and the last one is %llu", i, (unsigned long long)s->row.held,
			      (unsigned long long)s->number);
	}
	return buf_ok(&p->part) && buf_ok(&p->leaves) ? ERR_OK : ERR_NOMEM;
}
