/* Compression of one text at a time. The bytes are in proto/README.md, "Compression". */
#include "proto/pack.h"

#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "proto/dictionary_1.h"
#include "proto/limits.h"

#define LEVEL 1
/* Above this a text teaches zstd more than the dictionary does. */
#define DICTIONARY_MAX_BYTES (16 * 1024)
#define DICTIONARY_NONE 0
#define DICTIONARY_NEWEST 1
/* What every zstd frame begins with. Skippable frames and those of zstd's early versions begin otherwise. */
static const uint8_t frame_magic[4] = {0x28, 0xb5, 0x2f, 0xfd};

struct packer {
	ZSTD_CCtx *compress;
	ZSTD_DCtx *expand;
	ZSTD_CDict *write_dictionary; /* number DICTIONARY_NEWEST */
	ZSTD_DDict *read_dictionary;  /* number 1 */
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
	free(p);
}

enum err pack(struct packer *p, struct view plain, uint8_t *method, uint8_t *dictionary, struct view *out)
{
	bool with = plain.len <= DICTIONARY_MAX_BYTES;
	size_t n;

	*method = PACK_STORED;
	*dictionary = DICTIONARY_NONE;
	*out = plain;
	if (plain.len > LIMIT_CHUNK_BYTES)
		return ERR_TOO_LARGE;
	if (ZSTD_isError(ZSTD_CCtx_refCDict(p->compress, with ? p->write_dictionary : NULL)))
		return ERR_INTERNAL;
	n = ZSTD_compress2(p->compress, p->out, sizeof p->out, plain.ptr, plain.len);
	if (ZSTD_isError(n))
		return ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation ? ERR_NOMEM : ERR_INTERNAL;
	if (n * 100 > plain.len * 95 || plain.len == 0)
		return ERR_OK;
	*method = PACK_ZSTD;
	*dictionary = with ? DICTIONARY_NEWEST : DICTIONARY_NONE;
	*out = view_of(p->out, n);
	return ERR_OK;
}

static enum err unpack_stored(uint8_t dictionary, struct view packed, uint8_t *out, size_t plain_len)
{
	if (dictionary != DICTIONARY_NONE || packed.len != plain_len)
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

enum err unpack(struct packer *p, uint8_t method, uint8_t dictionary, struct view packed, uint8_t *out, size_t plain_len)
{
	size_t n;

	if (plain_len > LIMIT_CHUNK_BYTES)
		return ERR_TOO_LARGE;
	if (method == PACK_STORED)
		return unpack_stored(dictionary, packed, out, plain_len);
	if (method != PACK_ZSTD || dictionary > DICTIONARY_NEWEST || !is_one_frame(packed, plain_len))
		return ERR_FORMAT;
	n = ZSTD_decompress_usingDDict(p->expand, out, plain_len, packed.ptr, packed.len,
	                               dictionary == DICTIONARY_NONE ? NULL : p->read_dictionary);
	return n == plain_len ? ERR_OK : ERR_FORMAT;
}
