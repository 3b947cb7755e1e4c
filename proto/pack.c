/* Compression of one text at a time. The bytes are in proto/README.md, "Compression". */
#include "proto/pack.h"

#include <stdlib.h>
#include <zdict.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "proto/dictionary_1.h"
#include "proto/limits.h"

#define LEVEL 1
/* Above this a text teaches zstd more than the dictionary does. */
#define DICTIONARY_MAX_BYTES (16 * 1024)
/* What every zstd frame begins with. Skippable frames and those of zstd's early versions begin otherwise. */
static const uint8_t frame_magic[4] = {0x28, 0xb5, 0x2f, 0xfd};

/* Where a zstd dictionary holds its id, with the lowest byte first, behind its magic. */
#define ID_AT 4
static const uint8_t dictionary_magic[ID_AT] = {0x37, 0xa4, 0x30, 0xec};

struct named {
	uint32_t id;
	ZSTD_CDict *write; /* made when it is used first */
	ZSTD_DDict *read;
	struct buf bytes;
};

struct packer {
	ZSTD_CCtx *compress;
	ZSTD_DCtx *expand;
	ZSTD_CDict *write_dictionary; /* the built-in one */
	ZSTD_DDict *read_dictionary;
	struct named *named;
	size_t n_named;
	const ZSTD_CDict *use;        /* of one of them; NULL: the built-in one */
	uint32_t missing;
	uint8_t out[ZSTD_COMPRESSBOUND(LIMIT_CHUNK_BYTES)];
};

enum err packer_new(struct packer **out)
{
	struct packer *p = calloc(1, sizeof *p);
	enum err e = ERR_NOMEM;

	if (!p)
		return ERR_NOMEM;
	p->compress = ZSTD_createCCtx();
	p->expand = ZSTD_createDCtx();
	p->write_dictionary = ZSTD_createCDict(dictionary_1, sizeof dictionary_1, LEVEL);
	p->read_dictionary = ZSTD_createDDict(dictionary_1, sizeof dictionary_1);
	if (!p->compress || !p->expand || !p->write_dictionary || !p->read_dictionary)
		goto out;
	/* the byte beside the text names the dictionary, so its number is left out of the frame */
	if (ZSTD_isError(ZSTD_CCtx_setParameter(p->compress, ZSTD_c_compressionLevel, LEVEL)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(p->compress, ZSTD_c_dictIDFlag, 0)))
		goto out;
	*out = p;
	p = NULL; /* transferred */
	e = ERR_OK;
out:
	packer_free(p);
	return e;
}

void packer_free(struct packer *p)
{
	if (!p)
		return;
	ZSTD_freeCCtx(p->compress);
	ZSTD_freeDCtx(p->expand);
	ZSTD_freeCDict(p->write_dictionary);
	ZSTD_freeDDict(p->read_dictionary);
	for (size_t i = 0; i < p->n_named; i++) {
		ZSTD_freeCDict(p->named[i].write);
		ZSTD_freeDDict(p->named[i].read);
		buf_release(&p->named[i].bytes);
	}
	free(p->named);
	free(p);
}

enum err pack(struct packer *p, struct view plain, uint8_t *method, uint8_t *dictionary, struct view *out)
{
	bool with = plain.len <= DICTIONARY_MAX_BYTES;
	size_t n;

	*method = PACK_STORED;
	*dictionary = PACK_DICTIONARY_NONE;
	*out = plain;
	if (plain.len > LIMIT_CHUNK_BYTES)
		return ERR_TOO_LARGE;
	const ZSTD_CDict *use = !with ? NULL : p->use ? p->use : p->write_dictionary;

	if (ZSTD_isError(ZSTD_CCtx_refCDict(p->compress, use)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(p->compress, ZSTD_c_dictIDFlag, use && use == p->use)))
		return ERR_INTERNAL;
	n = ZSTD_compress2(p->compress, p->out, sizeof p->out, plain.ptr, plain.len);
	if (ZSTD_isError(n))
		return ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation ? ERR_NOMEM : ERR_INTERNAL;
	if (n * 100 > plain.len * 95 || plain.len == 0)
		return ERR_OK;
	*method = PACK_ZSTD;
	*dictionary = !with ? PACK_DICTIONARY_NONE : use == p->use ? PACK_DICTIONARY_NAMED : PACK_DICTIONARY_BUILT_IN;
	*out = view_of(p->out, n);
	return ERR_OK;
}

static enum err unpack_stored(uint8_t dictionary, struct view packed, uint8_t *out, size_t plain_len)
{
	if (dictionary != PACK_DICTIONARY_NONE || packed.len != plain_len)
		return ERR_FORMAT;
	if (plain_len)
		memcpy(out, packed.ptr, plain_len);
	return ERR_OK;
}

/* All of packed is one frame that says plain_len itself. Checked first, so that expanding needs no room but out. */
static bool is_one_frame(struct view packed, size_t plain_len)
{
	return packed.len >= sizeof frame_magic && memcmp(packed.ptr, frame_magic, sizeof frame_magic) == 0 &&
	       ZSTD_getFrameContentSize(packed.ptr, packed.len) == plain_len &&
	       ZSTD_findFrameCompressedSize(packed.ptr, packed.len) == packed.len;
}

static const struct named *named_find(const struct packer *p, uint32_t id)
{
	for (size_t i = 0; i < p->n_named; i++)
		if (p->named[i].id == id)
			return &p->named[i];
	return NULL;
}

/* Which one the packed text needs; ERR_NOT_FOUND when it is not here. */
static enum err reader_of(struct packer *p, uint8_t dictionary, struct view packed, const ZSTD_DDict **out)
{
	uint32_t id = ZSTD_getDictID_fromFrame(packed.ptr, packed.len);
	const struct named *n;

	*out = NULL;
	if (dictionary != PACK_DICTIONARY_NAMED) {
		*out = dictionary == PACK_DICTIONARY_BUILT_IN ? p->read_dictionary : NULL;
		return ERR_OK;
	}
	if (!id)
		return ERR_FORMAT;
	n = named_find(p, id);
	p->missing = n ? 0 : id;
	*out = n ? n->read : NULL;
	return n ? ERR_OK : ERR_NOT_FOUND;
}

enum err unpack(struct packer *p, uint8_t method, uint8_t dictionary, struct view packed, uint8_t *out, size_t plain_len)
{
	const ZSTD_DDict *with;
	enum err e;
	size_t n;

	p->missing = 0;
	if (plain_len > LIMIT_CHUNK_BYTES)
		return ERR_TOO_LARGE;
	if (method == PACK_STORED)
		return unpack_stored(dictionary, packed, out, plain_len);
	if (method != PACK_ZSTD || (dictionary > PACK_DICTIONARY_BUILT_IN && dictionary != PACK_DICTIONARY_NAMED) || !is_one_frame(packed, plain_len))
		return ERR_FORMAT;
	e = reader_of(p, dictionary, packed, &with);
	if (e)
		return e;
	n = ZSTD_decompress_usingDDict(p->expand, out, plain_len, packed.ptr, packed.len, with);
	return n == plain_len ? ERR_OK : ERR_FORMAT;
}

/* ---- dictionaries -------------------------------------------------------------------------------------------- */

uint32_t pack_dictionary_id(const struct hash *h)
{
	uint32_t id = (uint32_t)h->b[0] << 24 | (uint32_t)h->b[1] << 16 | (uint32_t)h->b[2] << 8 | h->b[3];

	id &= 0x7fffffff;
	return id < 32768 ? id + 32768 : id;
}

struct hash pack_dictionary_hash(struct view bytes)
{
	static const uint8_t none[4] = {0};
	struct hasher *h = hasher_new(HASH_STATE);

	if (!h || bytes.len < ID_AT + sizeof none) {
		hasher_free(h);
		return (struct hash){{0}};
	}
	hasher_add(h, view_of(bytes.ptr, ID_AT));
	hasher_add(h, view_of(none, sizeof none));
	hasher_add(h, view_of(bytes.ptr + ID_AT + sizeof none, bytes.len - ID_AT - sizeof none));
	return hasher_end(h);
}

enum err pack_dictionary_check(struct view bytes)
{
	struct hash h;

	if (bytes.len > LIMIT_DICTIONARY_BYTES)
		return ERR_TOO_LARGE;
	if (bytes.len < 256 || memcmp(bytes.ptr, dictionary_magic, sizeof dictionary_magic) != 0)
		return ERR_FORMAT;
	h = pack_dictionary_hash(bytes);
	return ZSTD_getDictID_fromDict(bytes.ptr, bytes.len) == pack_dictionary_id(&h) ? ERR_OK : ERR_FORMAT;
}

bool packer_has(const struct packer *p, uint32_t id)
{
	return named_find(p, id) != NULL;
}

enum err packer_add(struct packer *p, struct view bytes)
{
	struct named n = {0}, *all;
	enum err e = pack_dictionary_check(bytes);

	if (e)
		return e;
	n.id = ZSTD_getDictID_fromDict(bytes.ptr, bytes.len);
	if (named_find(p, n.id))
		return ERR_OK;
	buf_add(&n.bytes, bytes);
	/* its tables may be nonsense; then it cannot be loaded */
	n.read = buf_ok(&n.bytes) ? ZSTD_createDDict(n.bytes.ptr, n.bytes.len) : NULL;
	all = n.read ? realloc(p->named, (p->n_named + 1) * sizeof *all) : NULL;
	if (!all) {
		e = buf_ok(&n.bytes) && !n.read ? ERR_FORMAT : ERR_NOMEM;
		ZSTD_freeDDict(n.read);
		buf_release(&n.bytes);
		return e;
	}
	p->named = all;
	p->named[p->n_named++] = n;
	return ERR_OK;
}

enum err packer_use(struct packer *p, uint32_t id)
{
	struct named *n = id ? (struct named *)named_find(p, id) : NULL;

	p->use = NULL;
	if (!n)
		return id ? ERR_NOT_FOUND : ERR_OK;
	if (!n->write)
		n->write = ZSTD_createCDict(n->bytes.ptr, n->bytes.len, LEVEL);
	p->use = n->write;
	return n->write ? ERR_OK : ERR_NOT_FOUND;
}

uint32_t packer_missing(const struct packer *p)
{
	return p->missing;
}

enum err pack_train(struct view samples, const size_t *sizes, size_t n, size_t bytes, struct buf *out)
{
	size_t at = out->len, got;
	uint8_t *to = buf_extend(out, bytes);
	struct hash h;
	uint32_t id;

	if (!to)
		return ERR_NOMEM;
	got = ZDICT_trainFromBuffer(to, bytes, samples.ptr, sizes, n > UINT32_MAX ? UINT32_MAX : (unsigned)n);
	if (ZDICT_isError(got)) {
		out->len = at;
		return ERR_RANGE;
	}
	out->len = at + got;
	h = pack_dictionary_hash(view_of(to, got));
	id = pack_dictionary_id(&h);
	for (int i = 0; i < 4; i++)
		to[ID_AT + i] = (uint8_t)(id >> (8 * i));
	return pack_dictionary_check(view_of(to, got));
}
