/* Key files: what is taken is, written and read again, the same keys. */
#include "proto/keyfile.h"
#include "tests/lib/fuzz_driver.h"

#define TEXT_BYTES 16384

bool fuzz_seed(unsigned n, struct buf *out)
{
	char text[TEXT_BYTES];
	uint8_t seed[32] = {(uint8_t)n};
	struct site_keys k;

	site_keys_make(seed, "cic-luik", "be-police", &k);
	if (n == 1) {
		k.sealing[1] = k.sealing[0];
		seal_keypair(seed, &k.sealing[0].pub, &k.sealing[0].sec);
		k.n_sealing = 2;
	}
	fuzz_assert(site_keys_format(&k, text, sizeof text) == ERR_OK);
	buf_add(out, view_str(text));
	return n < 2;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char text[TEXT_BYTES];
	struct site_keys k, again;
	struct errmsg m = {0};

	if (site_keys_parse("fuzz", view_of(data, len), &k, &m)) {
		fuzz_assert(m.code != ERR_OK && m.text[0] != 0);
		return -1;
	}
	fuzz_assert(site_keys_format(&k, text, sizeof text) == ERR_OK);
	fuzz_assert(site_keys_parse("again", view_str(text), &again, &m) == ERR_OK);
	fuzz_assert(again.n_sealing == k.n_sealing && memcmp(&again.identity, &k.identity, sizeof k.identity) == 0);
	fuzz_assert(memcmp(again.sealing, k.sealing, k.n_sealing * sizeof k.sealing[0]) == 0);
	return 0;
}
