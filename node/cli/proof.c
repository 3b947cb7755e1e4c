#include "node/cli/proof.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/cli/evidence.h"
#include "node/cli/export_read.h"
#include "proto/cursor.h"
#include "proto/frame.h"
#include "proto/order.h"
#include "proto/seal.h"

/* ---- what is wrong -------------------------------------------------------------------------------------------------------- */

static void wrong(struct proof *p, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void wrong(struct proof *p, const char *fmt, ...)
{
	va_list ap;
	if (p->wrong++ >= PROOF_FINDINGS)
		return;
	va_start(ap, fmt);
	vsnprintf(p->finding[p->n_findings], sizeof p->finding[0], fmt, ap);
	va_end(ap);
	p->n_findings++;
}

const struct roster *proof_roster(const struct proof *p)
{
	return p->n_rosters ? p->rosters[0] : NULL;
}

const char *proof_site(const struct proof *p, uint16_t number, char out[LIMIT_NAME_BYTES + 1])
{
	if (p->n_rosters)
		return roster_site_name(p->rosters[0], number, out);
	snprintf(out, LIMIT_NAME_BYTES + 1, "site-%u", number);
	return out;
}

/* "entries 4 to 9 of a stream from cic-namen to cic-luik (flash)" */
static const char *stream_text(const struct proof *p, const struct stream_name *n, uint64_t first, uint64_t last, char out[300])
{
	char a[LIMIT_NAME_BYTES + 1], b[LIMIT_NAME_BYTES + 1];
	snprintf(out, 300, "entries %llu to %llu of the stream from %s to %s (%s%s)", (unsigned long long)first, (unsigned long long)last, proof_site(p, n->originator, a),
	         proof_site(p, n->addressee, b), precedence_name(n->precedence), n->exercise ? ", exercise" : "");
	return out;
}

/* ---- state ------------------------------------------------------------------------------------------------------------------ */

static enum err add_roster(struct proof *p, struct roster *r)
{
	struct roster **more = realloc(p->rosters, (p->n_rosters + 1) * sizeof *more);
	size_t at = 0;
	if (more == NULL) {
		roster_free(r);
		return ERR_NOMEM;
	}
	p->rosters = more;
	while (at < p->n_rosters && p->rosters[at]->serial > r->serial)
		at++;
	memmove(&more[at + 1], &more[at], (p->n_rosters - at) * sizeof *more);
	more[at] = r;
	p->n_rosters++;
	return ERR_OK;
}

static enum err take_roster(struct proof *p, struct view blob)
{
	struct roster *r = NULL;
	struct errmsg m = {0};
	if (!p->has_authority || roster_blob_open(blob, &p->authority, &r, &m) != ERR_OK) {
		wrong(p, "a roster in it is not what its authority signed%s%.200s", m.text[0] ? ": " : "", m.text);
		return ERR_OK;
	}
	if (hash_equal(&r->network_hash, &p->network))
		return add_roster(p, r);
	wrong(p, "a roster in it (serial %u) is of another network", r->serial);
	roster_free(r);
	return ERR_OK;
}

static enum err take_order(struct proof *p, struct view blob)
{
	struct order *o = malloc(sizeof *o);
	char hex[17], name[LIMIT_NAME_BYTES + 1];
	struct hash id;
	bool good = false;
	if (o == NULL)
		return ERR_NOMEM;
	if (order_decode(blob, o, &id) != ERR_OK) {
		wrong(p, "an order in it cannot be read");
		goto out;
	}
	p->orders++;
	for (size_t i = 0; !good && i < p->n_rosters; i++)
		good = order_verify(&crypt_suite_real, p->rosters[i], blob, o) == ERR_OK;
	hex_format(id.b, 8, hex);
	if (!good)
		wrong(p, "order %s is not what %s signed", hex, proof_site(p, o->issuer, name));
out:
	free(o);
	return ERR_OK;
}

static void take_endorsement(struct proof *p, struct view blob)
{
	struct endorsement d;
	char hex[17];
	struct hash id;
	bool good = false;
	if (endorsement_decode(blob, &d, &id) != ERR_OK) {
		wrong(p, "an endorsement in it cannot be read");
		return;
	}
	p->endorsements++;
	for (size_t i = 0; !good && i < p->n_rosters; i++)
		good = endorsement_verify(&crypt_suite_real, p->rosters[i], &p->authority.key, blob, &d) == ERR_OK;
	hex_format(d.order.b, 8, hex);
	if (!good)
		wrong(p, "an endorsement of order %s is not what site %u signed", hex, d.site);
}

static void take_dictionary(struct proof *p, struct view blob)
{
	struct hash h = pack_dictionary_hash(blob);
	bool named = false;
	for (size_t i = 0; i < p->n_rosters; i++)
		for (size_t k = 0; k < p->rosters[i]->n_dictionaries; k++)
			named = named || hash_equal(&p->rosters[i]->dictionaries[k], &h);
	p->dictionaries++;
	if (!named)
		wrong(p, "a dictionary in it is not one that its rosters name");
}

static enum err take_state(struct proof *p, struct view bytes)
{
	struct rd r = rd_init(bytes);
	uint8_t kind = rd_u8(&r);
	rd_u64(&r);
	rd_u32(&r);
	struct view blob = rd_bytes(&r, rd_left(&r));
	switch (kind) {
	case STATE_KIND_ROSTER: return take_roster(p, blob);
	case STATE_KIND_ORDER: return take_order(p, blob);
	case STATE_KIND_ENDORSEMENT: take_endorsement(p, blob); break;
	case STATE_KIND_DICTIONARY: take_dictionary(p, blob); break;
	default: break; /* of a later version */
	}
	return ERR_OK;
}

static void take_authority(struct proof *p, struct view bytes)
{
	memcpy(p->authority.key_id, bytes.ptr, MINISIGN_KEY_ID_BYTES);
	memcpy(p->authority.key.b, bytes.ptr + MINISIGN_KEY_ID_BYTES, sizeof p->authority.key.b);
	p->has_authority = true;
	if (p->expected && memcmp(p->expected->key.b, p->authority.key.b, sizeof p->authority.key.b) != 0)
		wrong(p, "its rosters are signed by another authority than the one that was given");
}

/* ---- entries ------------------------------------------------------------------------------------------------------------------ */

static struct proof_stream *stream_at(struct proof *p, const struct stream_name *n)
{
	for (size_t k = 0; k < p->n_streams; k++) {
		size_t i = (p->at + k) % p->n_streams;
		if (stream_name_equal(&p->stream[i].name, n)) {
			p->at = i;
			return &p->stream[i];
		}
	}
	struct proof_stream *more = realloc(p->stream, (p->n_streams + 1) * sizeof *more);
	if (more == NULL)
		return NULL;
	p->stream = more;
	p->at = p->n_streams;
	more[p->n_streams] = (struct proof_stream){.name = *n};
	p->streams = ++p->n_streams;
	return &more[p->at];
}

static bool is_whole(const struct proof *p, const struct hash *body)
{
	for (size_t i = p->n_whole; i-- > 0;)
		if (hash_equal(&p->whole[i], body))
			return true;
	return false;
}

static void count_entry(struct proof *p, const struct entry *e)
{
	struct header h;
	if (header_decode(e->header, &h) != ERR_OK)
		return; /* segment_decode saw to it */
	p->messages += h.kind == KIND_MESSAGE;
	p->reports += h.kind == KIND_REPORT;
	p->grants += h.kind == KIND_GRANT;
	if (h.kind != KIND_MESSAGE || !e->body_len || (e->flags & ENTRY_STUB))
		return;
	if (e->body.len)
		p->bodies++;
	else
		p->bodies_missing += !is_whole(p, &e->body_hash);
}

struct segment_work { struct segment s; struct hash after[LIMIT_SEGMENT_ENTRIES]; struct entry entry[LIMIT_SEGMENT_ENTRIES]; };

/* No roster: only that the entries can be read, and that the chain over them is what the file says. */
static bool chain_only(const struct proof *p, struct segment_work *w, const struct hash *before)
{
	struct view rest = w->s.entry_bytes;
	struct hash chain = *before;
	for (uint16_t i = 0; i < w->s.entries; i++) {
		if (segment_next(&rest, &w->entry[i]) != ERR_OK)
			return false;
		struct hash leaf = entry_leaf(&w->entry[i]);
		chain = w->after[i] = chain_next(&chain, w->s.first + i, &leaf);
	}
	for (uint16_t i = 0; i < w->s.tail; i++) {
		struct hash leaf;
		memcpy(leaf.b, w->s.tail_bytes.ptr + (size_t)i * HASH_BYTES, HASH_BYTES);
		chain = chain_next(&chain, w->s.first + w->s.entries + i, &leaf);
	}
	return !p->head_known || hash_equal(&chain, &p->head);
}

static bool is_signed(struct proof *p, struct segment_work *w, const struct hash *stream, const struct hash *before)
{
	for (size_t i = 0; i < p->n_rosters; i++) {
		const struct site *o = roster_site(p->rosters[i], w->s.name.originator);
		const struct sign_public *key;
		for (size_t k = 0; o && (key = site_identity(o, k)) != NULL; k++)
			if (segment_verify(&crypt_suite_real, key, stream, before, &w->s, w->after, w->entry) == ERR_OK)
				return true;
	}
	return false;
}

/* The chain before the run, as the file says it, or as the run before it ended. False: nothing says it. */
static bool chain_before(struct proof *p, const struct segment_work *w, const struct proof_stream *of, const struct hash *stream, struct hash *out)
{
	bool said = p->before.known && p->before.number + 1 == w->s.first && stream_name_equal(&p->before.name, &w->s.name);
	bool follows = of->number && of->number + 1 == w->s.first;
	char text[300];
	p->before.known = false;
	*out = said ? p->before.chain : follows ? of->chain : *stream;
	if (said && follows && !hash_equal(&p->before.chain, &of->chain))
		wrong(p, "%s do not follow those before them", stream_text(p, &w->s.name, w->s.first, w->s.first + w->s.entries - 1, text));
	if (said && w->s.first == 1 && !hash_equal(&p->before.chain, stream))
		wrong(p, "%s do not begin their stream", stream_text(p, &w->s.name, w->s.first, w->s.first + w->s.entries - 1, text));
	return said || follows || w->s.first == 1;
}

static void look_at_run(struct proof *p, struct segment_work *w, struct proof_stream *of)
{
	struct hash stream = stream_hash(&p->network, &w->s.name), before;
	uint64_t last = w->s.first + w->s.entries - 1;
	bool known = chain_before(p, w, of, &stream, &before), good;
	char text[300], name[LIMIT_NAME_BYTES + 1];
	if (known && p->n_rosters) {
		good = is_signed(p, w, &stream, &before);
		p->heads += good;
		if (!good)
			wrong(p, "%s are not what %s signed, or do not follow what is before them", stream_text(p, &w->s.name, w->s.first, last, text), proof_site(p, w->s.name.originator, name));
	} else {
		good = chain_only(p, w, &before);
		p->heads_unchecked++;
		if (!good)
			wrong(p, "%s cannot be read, or are not what the chain behind them says", stream_text(p, &w->s.name, w->s.first, last, text));
	}
	if (p->arrived_known && p->arrived != w->s.entries)
		wrong(p, "%s: when they came is said of %u", stream_text(p, &w->s.name, w->s.first, last, text), p->arrived);
	for (uint16_t i = 0; good && i < w->s.entries; i++)
		count_entry(p, &w->entry[i]);
	if (good && known) {
		of->number = last;
		of->chain = w->after[w->s.entries - 1];
	}
}

static enum err take_segment(void *arg, struct view bytes)
{
	struct proof *p = arg;
	struct segment_work *w = calloc(1, sizeof *w);
	enum err e = w ? segment_decode(bytes, &w->s) : ERR_NOMEM;
	if (e == ERR_NOMEM)
		return e;
	if (e != ERR_OK || w->s.entries > LIMIT_SEGMENT_ENTRIES) {
		wrong(p, "a run of entries behind the first %llu cannot be read", (unsigned long long)p->entries);
		e = ERR_OK;
	} else {
		struct proof_stream *of = stream_at(p, &w->s.name);
		p->entries += w->s.entries;
		if (of)
			look_at_run(p, w, of);
		else
			e = ERR_NOMEM;
	}
	p->arrived_known = p->head_known = false;
	free(w);
	return e;
}

/* ---- bodies in parts ------------------------------------------------------------------------------------------------------------ */

static bool body_begin(struct proof *p, const struct hash *body, uint8_t kind, struct view bytes)
{
	p->body.hash = *body;
	p->body.whole = false;
	p->body.have = p->body.pages = p->body.chunks = 0;
	buf_clear(&p->body.leaves);
	if (!p->body.manifest && !(p->body.manifest = malloc(sizeof *p->body.manifest)))
		return false;
	if (kind != PART_MANIFEST || manifest_decode(bytes, p->body.manifest) != ERR_OK)
		return false;
	struct hash h = manifest_hash(p->body.manifest);
	p->body.chunks = p->body.manifest->chunks;
	return hash_equal(&h, body);
}

static bool page_fits(struct proof *p, uint32_t index, struct view bytes)
{
	struct hash h = page_hash(index, bytes);
	if (!p->body.chunks || index != p->body.pages || index >= p->body.manifest->pages || !hash_equal(&h, &p->body.manifest->page[index]))
		return false;
	p->body.pages++;
	buf_add(&p->body.leaves, bytes);
	return buf_ok(&p->body.leaves);
}

static bool chunk_fits(struct proof *p, uint32_t index, struct view bytes)
{
	struct hash h = chunk_hash(index, bytes);
	size_t at = (size_t)index * HASH_BYTES;
	if (index != p->body.have || index >= p->body.chunks || at + HASH_BYTES > p->body.leaves.len || memcmp(p->body.leaves.ptr + at, h.b, HASH_BYTES) != 0)
		return false;
	if (++p->body.have < p->body.chunks)
		return true;
	struct hash *more = realloc(p->whole, (p->n_whole + 1) * sizeof *more);
	if (more) {
		p->whole = more;
		more[p->n_whole++] = p->body.hash;
		p->bodies++;
		p->body.whole = true;
	}
	return more != NULL;
}

static enum err take_part(void *arg, uint8_t class, const struct hash *body, uint8_t kind, uint32_t index, struct view bytes)
{
	struct proof *p = arg;
	char hex[17];
	bool next = kind == PART_MANIFEST;
	(void)class;
	bool ok = next ? body_begin(p, body, kind, bytes) : hash_equal(body, &p->body.hash) && (kind == PART_PAGE ? page_fits(p, index, bytes) : kind == PART_CHUNK && chunk_fits(p, index, bytes));
	if (ok)
		return ERR_OK;
	hex_format(body->b, 8, hex);
	if (!next && hash_equal(body, &p->body.hash) && !p->body.chunks)
		return ERR_OK; /* the first of it was told */
	p->body.chunks = 0;
	p->body.hash = *body;
	wrong(p, "part %u of a body (%s) is not what its hash says", index, hex);
	return ERR_OK;
}

/* ---- the rest ---------------------------------------------------------------------------------------------------------------------- */

static enum err take_whose(void *arg, uint16_t site, const struct hash *network)
{
	struct proof *p = arg;
	p->site = site;
	p->network = *network;
	if (!p->n_rosters || hash_equal(&p->rosters[0]->network_hash, network))
		return ERR_OK;
	wrong(p, "it is of another network than the roster that was given");
	return ERR_OK;
}

static void take_arrived(struct proof *p, struct view bytes)
{
	struct rd r = rd_init(bytes);
	p->arrived_known = true;
	p->arrived = rd_u16(&r);
	for (uint16_t i = 0; i < p->arrived; i++) {
		rd_u64(&r);
		struct wall at = {rd_i64(&r)};
		rd_u16(&r);
		p->first_arrived = !p->first_arrived.us || at.us < p->first_arrived.us ? at : p->first_arrived;
		p->last_arrived = at.us > p->last_arrived.us ? at : p->last_arrived;
	}
}

static void take_signature(struct proof *p, struct view bytes)
{
	uint8_t message[EVIDENCE_SIGNED_BYTES];
	struct rd r = rd_init(bytes);
	struct signature signature;
	struct hash all;
	char name[LIMIT_NAME_BYTES + 1];
	rd_copy(&r, all.b, sizeof all.b);
	uint16_t site = rd_u16(&r);
	rd_copy(&r, signature.b, sizeof signature.b);
	for (size_t i = 0; !p->is_signed && site == p->site && i < p->n_rosters; i++) {
		const struct site *s = roster_site(p->rosters[i], site);
		const struct sign_public *key;
		for (size_t k = 0; s && !p->is_signed && (key = site_identity(s, k)) != NULL; k++)
			p->is_signed = crypt_suite_real.verify(key, evidence_signed(message, &p->network, &all), &signature);
	}
	if (!p->is_signed)
		wrong(p, "the package as a whole is not signed by %s, whose journal it is of", proof_site(p, p->site, name));
}

static enum err take_block(void *arg, uint8_t mark, struct view bytes)
{
	struct proof *p = arg;
	struct rd r = rd_init(bytes);
	switch (mark) {
	case EXPORT_CHAIN:
		p->before.known = stream_name_decode(rd_bytes(&r, STREAM_NAME_BYTES), &p->before.name) == ERR_OK;
		p->before.number = rd_u64(&r);
		rd_copy(&r, p->before.chain.b, HASH_BYTES);
		break;
	case EXPORT_HEAD:
		rd_bytes(&r, STREAM_NAME_BYTES + 8);
		rd_copy(&r, p->head.b, HASH_BYTES);
		p->head_known = true;
		break;
	case EXPORT_ARRIVED: take_arrived(p, bytes); break;
	case EXPORT_STATE: return take_state(p, bytes);
	case EXPORT_AUTHORITY: take_authority(p, bytes); break;
	case EXPORT_PERIOD:
		p->evidence = true;
		p->from.us = rd_i64(&r);
		p->to.us = rd_i64(&r);
		break;
	case EXPORT_SIGNED: take_signature(p, bytes); break;
	default: break;
	}
	return ERR_OK;
}

enum err proof_read(struct proof *p, struct roster *roster, bool (*progress)(void *arg, uint64_t bytes, uint64_t of), void *arg, struct errmsg *m)
{
	struct export_reader r = {.file = p->file, .otherwise = "", .m = m, .arg = p, .whose = take_whose, .segment = take_segment, .part = take_part, .block = take_block,
	                          .entries = &p->entries, .progress = progress, .progress_arg = arg};
	size_t skip = strlen(p->file) + 2;
	enum err e = roster ? add_roster(p, roster) : ERR_OK;
	m->text[0] = '\0';
	if (e == ERR_OK)
		e = export_read(&r);
	if (e == ERR_FORMAT) {
		wrong(p, "%s", strlen(m->text) > skip && strncmp(m->text, p->file, skip - 2) == 0 ? m->text + skip : m->text);
		return ERR_OK;
	}
	if (e != ERR_OK && !m->text[0])
		err_set(m, e, "%.200s: %s", p->file, err_text(e));
	if (e != ERR_OK)
		return e;
	if (p->evidence && !p->is_signed && !p->wrong)
		wrong(p, "the package is not signed by the site that made it");
	return ERR_OK;
}

void proof_release(struct proof *p)
{
	for (size_t i = 0; i < p->n_rosters; i++)
		roster_free(p->rosters[i]);
	free(p->rosters);
	free(p->stream);
	free(p->whole);
	free(p->body.manifest);
	buf_release(&p->body.leaves);
}
