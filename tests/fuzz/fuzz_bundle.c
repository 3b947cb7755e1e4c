/* Bundles, read as a file that comes in pieces. The chain in the end is made to fit, so that what is inside gets tried too. */
#include <string.h>

#include "proto/bundle.h"
#include "tests/lib/fuzz_driver.h"

static const struct hash network = {{7}};

bool fuzz_seed(unsigned n, struct buf *out)
{
	static const uint8_t blob[] = {1, 2, 3}, sites[] = {0, 3};
	struct bundle_head h = {.network = network, .site = 2, .made = {1}, .all = n == 0, .n_sites = n ? 1 : 0, .sites = view_of(sites, n ? 2 : 0)};
	struct part p = {.body = {{7}}, .kind = PART_CHUNK, .total = sizeof blob, .bytes = view_of(blob, sizeof blob)};
	struct buf frame = BUF_EMPTY;
	struct bundle_chain c;
	struct sign_public pub;
	struct sign_secret sec;
	uint8_t seed[32] = {1};

	sign_keypair(seed, &pub, &sec);
	bundle_write_head(&c, out, &h);
	if (n) {
		frame_state_give(&frame, &(struct hash){{5}}, 1, view_of(blob, sizeof blob));
		bundle_write_frame(&c, out, buf_view(&frame));
		buf_clear(&frame);
		frame_part(&frame, &p);
		bundle_write_frame(&c, out, buf_view(&frame));
	}
	bundle_write_end(&c, out, &crypt_suite_fast, &sec, &network);
	buf_release(&frame);
	return n < 2;
}

/* Reads on to the end or the first error; the chain before the end is left in *chain and the place of the end in *end_at. */
static enum err walk(struct view v, struct bundle_chain *chain, uint64_t *end_at, bool *ended)
{
	struct bundle_reader r = BUNDLE_READER_NEW;
	struct bundle_piece p;
	size_t used;
	enum err e = ERR_OK;

	while (!e && !r.ended) {
		struct bundle_chain before = r.chain;
		uint64_t at = r.at;

		fuzz_assert(bundle_next(&r, view_of(v.ptr + at, 0), &p, &used) == ERR_TRUNCATED && used == 0);
		e = bundle_next(&r, view_of(v.ptr + at, v.len - (size_t)at), &p, &used);
		*chain = r.begun && e ? r.chain : before;
		*end_at = at;
		fuzz_assert(e ? r.at == at && used == 0 : r.at == at + used && r.at <= v.len);
	}
	*ended = r.ended;
	return e ? e : r.at == v.len ? ERR_OK : ERR_FORMAT;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct buf in = BUF_EMPTY;
	struct bundle_chain chain = {0};
	uint64_t end_at = 0;
	bool ended;
	enum err e;

	buf_add(&in, view_of(data, len));
	if (!len)
		buf_extend(&in, 1)[0] = 0;
	e = walk(buf_view(&in), &chain, &end_at, &ended);
	if (e == ERR_AUTH && in.len - end_at >= BUNDLE_END_BYTES) {
		uint8_t *end = in.ptr + end_at + BUNDLE_PIECE_HEAD_BYTES;

		for (int i = 0; i < 8; i++)
			end[i] = (uint8_t)(chain.pieces >> (56 - 8 * i));
		memcpy(end + 8, chain.hash.b, HASH_BYTES);
		e = walk(buf_view(&in), &chain, &end_at, &ended);
		fuzz_assert(ended);
	}
	buf_release(&in);
	return e ? -1 : 0;
}
