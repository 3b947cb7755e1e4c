#include "proto/keyfile.h"

#include <stdarg.h>
#include <stdio.h>

#include "proto/roster.h"

#define FIRST_LINE "estafette-keys 1"

void site_keys_make(const uint8_t seed[32], const char *site, const char *network, struct site_keys *out)
{
	struct rng rng;
	uint8_t sub[32];
	*out = (struct site_keys){0};
	snprintf(out->site, sizeof out->site, "%s", site);
	snprintf(out->network, sizeof out->network, "%s", network);
	rng_seed(&rng, seed);
	rng_bytes(&rng, sub, sizeof sub);
	sign_keypair(sub, &out->identity_public, &out->identity);
	rng_bytes(&rng, sub, sizeof sub);
	link_keypair(sub, &out->link_public, &out->link);
	rng_bytes(&rng, sub, sizeof sub);
	seal_keypair(sub, &out->sealing[0].pub, &out->sealing[0].sec);
	out->n_sealing = 1;
	crypt_wipe(sub, sizeof sub);
	crypt_wipe(&rng, sizeof rng);
}

enum err site_keys_rotate(const uint8_t seed[32], struct site_keys *k)
{
	struct rng rng;
	uint8_t sub[32];
	if (k->n_sealing == KEYFILE_SEALING_MAX)
		return ERR_TOO_LARGE;
	memmove(&k->sealing[1], &k->sealing[0], k->n_sealing * sizeof k->sealing[0]);
	rng_seed(&rng, seed);
	rng_bytes(&rng, sub, sizeof sub);
	seal_keypair(sub, &k->sealing[0].pub, &k->sealing[0].sec);
	k->n_sealing++;
	crypt_wipe(sub, sizeof sub);
	crypt_wipe(&rng, sizeof rng);
	return ERR_OK;
}

void site_keys_wipe(struct site_keys *k)
{
	crypt_wipe(k, sizeof *k);
}

/* ---- reading -------------------------------------------------------------------------------------------- */

struct reading {
	const char *file;
	struct errmsg *m;
	struct view rest;
	unsigned line;
};

static enum err fail(const struct reading *r, enum err e, const char *fmt, ...) PRINTF_LIKE(3, 4);
static enum err fail(const struct reading *r, enum err e, const char *fmt, ...)
{
	char why[240];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	return err_set(r->m, e, "%.140s:%u: %s", r->file, r->line, why);
}

/* The next line without its newline; every line must have one, so that a file cut short is noticed. */
static enum err next_line(struct reading *r, struct view *line)
{
	r->line++;
	const uint8_t *end = r->rest.len ? memchr(r->rest.ptr, '\n', r->rest.len) : NULL;
	if (end == NULL)
		return fail(r, ERR_TRUNCATED, "the key file ends too early (restore it from its backup)");
	*line = view_of(r->rest.ptr, (size_t)(end - r->rest.ptr));
	r->rest = view_of(end + 1, r->rest.len - line->len - 1);
	return ERR_OK;
}

/* Cuts the first word off a line; empty at its end. */
static struct view word(struct view *line)
{
	const uint8_t *space = line->len ? memchr(line->ptr, ' ', line->len) : NULL;
	struct view w = view_of(line->ptr, space ? (size_t)(space - line->ptr) : line->len);
	size_t used = w.len + (space != NULL);
	*line = view_of(line->ptr ? line->ptr + used : NULL, line->len - used);
	return w;
}

/* A line "keyword first" or "keyword first second". No text of it is repeated in a message: it may be a secret. */
static enum err read_words(struct reading *r, const char *keyword, struct view *first, struct view *second)
{
	struct view line;
	enum err e = next_line(r, &line);
	if (e != ERR_OK)
		return e;
	bool right = view_equal(word(&line), view_str(keyword));
	*first = word(&line);
	if (second)
		*second = word(&line);
	if (!right || first->len == 0 || (second && second->len == 0) || line.len > 0)
		return fail(r, ERR_FORMAT, "%s: expected here, with %s after it (restore the file, or make a new one with keygen)", keyword,
			    second ? "two keys" : "one word");
	return ERR_OK;
}

static enum err read_name_line(struct reading *r, const char *keyword, char out[LIMIT_NAME_BYTES + 1])
{
	struct view name;
	enum err e = read_words(r, keyword, &name, NULL);
	if (e != ERR_OK)
		return e;
	if (!view_is_name(name) || !view_to_str(name, out, LIMIT_NAME_BYTES + 1))
		return fail(r, ERR_FORMAT, "%s: not a name (lower case letters, digits and '-', a letter first)", keyword);
	return ERR_OK;
}

static enum err fail_halves(const struct reading *r, const char *keyword)
{
	return fail(r, ERR_FORMAT, "%s: its public half does not belong to its secret half (restore the file from its backup)", keyword);
}

/* An Ed25519 secret is its seed and its public key; both halves are made again from the seed. */
static enum err read_identity(struct reading *r, struct site_keys *out)
{
	struct view text;
	enum err e = read_words(r, "identity", &text, NULL);
	if (e != ERR_OK)
		return e;
	if (base64_parse(text, out->identity.b, sizeof out->identity.b) != ERR_OK)
		return fail(r, ERR_FORMAT, "identity: not the base64 of 64 bytes (restore the file from its backup)");
	struct sign_secret again;
	sign_keypair(out->identity.b, &out->identity_public, &again);
	bool fits = memcmp(again.b, out->identity.b, sizeof again.b) == 0;
	crypt_wipe(&again, sizeof again);
	return fits ? ERR_OK : fail_halves(r, "identity");
}

static enum err read_link(struct reading *r, struct site_keys *out)
{
	struct view secret, public;
	enum err e = read_words(r, "link", &secret, &public);
	if (e != ERR_OK)
		return e;
	struct link_public again;
	if (secret.len != 40 || !view_to_str(secret, out->link.z85, sizeof out->link.z85) || link_public_of(&out->link, &again) != ERR_OK)
		return fail(r, ERR_FORMAT, "link: the secret is not 40 characters of Z85 (restore the file from its backup)");
	if (!view_equal(public, view_str(again.z85)))
		return fail_halves(r, "link");
	out->link_public = again;
	return ERR_OK;
}

static enum err read_sealing(struct reading *r, struct seal_pair *out)
{
	struct view secret, public;
	enum err e = read_words(r, "sealing", &secret, &public);
	if (e != ERR_OK)
		return e;
	if (base64_parse(secret, out->sec.b, sizeof out->sec.b) != ERR_OK || base64_parse(public, out->pub.b, sizeof out->pub.b) != ERR_OK)
		return fail(r, ERR_FORMAT, "sealing: not the base64 of 32 bytes each (restore the file from its backup)");
	struct seal_public again;
	seal_public_of(&out->sec, &again);
	return memcmp(again.b, out->pub.b, sizeof again.b) == 0 ? ERR_OK : fail_halves(r, "sealing");
}

static enum err read_sealings(struct reading *r, struct site_keys *out)
{
	do {
		if (out->n_sealing == KEYFILE_SEALING_MAX) {
			r->line++;
			return fail(r, ERR_TOO_LARGE, "sealing: more than %d keys (remove the oldest that nothing needs)", KEYFILE_SEALING_MAX);
		}
		enum err e = read_sealing(r, &out->sealing[out->n_sealing]);
		if (e != ERR_OK)
			return e;
		out->n_sealing++;
	} while (r->rest.len > 0);
	return ERR_OK;
}

static enum err read_keys(struct reading *r, struct site_keys *out)
{
	struct view line;
	enum err e = next_line(r, &line);
	if (e == ERR_OK && !view_equal(line, view_str(FIRST_LINE)))
		e = fail(r, ERR_VERSION, "not a key file of version 1, which begins with \"%s\" (is this the right file?)", FIRST_LINE);
	if (e == ERR_OK)
		e = read_name_line(r, "site", out->site);
	if (e == ERR_OK)
		e = read_name_line(r, "network", out->network);
	if (e == ERR_OK)
		e = read_identity(r, out);
	if (e == ERR_OK)
		e = read_link(r, out);
	if (e == ERR_OK)
		e = read_sealings(r, out);
	return e;
}

enum err site_keys_parse(const char *file, struct view text, struct site_keys *out, struct errmsg *m)
{
	*out = (struct site_keys){0};
	struct reading r = {.file = file, .m = m, .rest = text};
	enum err e = read_keys(&r, out);
	if (e != ERR_OK)
		site_keys_wipe(out);
	return e;
}

/* ---- writing -------------------------------------------------------------------------------------------- */

struct writing {
	char *out;
	size_t size, len;
};

static void put(struct writing *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void put(struct writing *w, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(w->out ? w->out + w->len : NULL, w->size - w->len, fmt, ap);
	va_end(ap);
	/* What does not fit leaves len at size, where nothing fits any more. */
	w->len = n < 0 || (size_t)n >= w->size - w->len ? w->size : w->len + (size_t)n;
}

enum err site_keys_format(const struct site_keys *k, char *out, size_t size)
{
	char secret[96], public[96];
	struct writing w = {out, size, 0};
	base64_format(k->identity.b, sizeof k->identity.b, secret, sizeof secret);
	put(&w, "%s\nsite %s\nnetwork %s\nidentity %s\nlink %s %s\n", FIRST_LINE, k->site, k->network, secret, k->link.z85, k->link_public.z85);
	for (size_t i = 0; i < k->n_sealing && w.len < w.size; i++) {
		base64_format(k->sealing[i].sec.b, sizeof k->sealing[i].sec.b, secret, sizeof secret);
		base64_format(k->sealing[i].pub.b, sizeof k->sealing[i].pub.b, public, sizeof public);
		put(&w, "sealing %s %s\n", secret, public);
	}
	crypt_wipe(secret, sizeof secret);
	if (w.len < w.size)
		return ERR_OK;
	crypt_wipe(out, size); /* half a key file is no use and still a secret */
	return ERR_TOO_LARGE;
}

/* ---- against the roster --------------------------------------------------------------------------------- */

static bool holds_sealing(const struct site_keys *k, const struct seal_public *pub)
{
	for (size_t i = 0; i < k->n_sealing; i++)
		if (memcmp(&k->sealing[i].pub, pub, sizeof *pub) == 0)
			return true;
	return false;
}

enum err site_keys_check(const struct site_keys *k, const struct roster *r, struct errmsg *m)
{
	const struct site *s = roster_site_by_id(r, view_str(k->site));
	if (strcmp(k->network, r->network) != 0)
		return err_set(m, ERR_CONFLICT, "key file of %s: it is for network %s, the roster is of %s (use the key file of this network)",
			       k->site, k->network, r->network);
	if (s == NULL)
		return err_set(m, ERR_UNKNOWN_SITE, "key file of %s: roster %u has no such site (enrol it in the roster, or use the right key file)",
			       k->site, r->serial);
	const char *wrong = NULL;
	if (!r->has_keys)
		return err_set(m, ERR_CONFLICT, "key file of %s: the roster is a template without keys (enrol the sites and sign it)", k->site);
	if (s->removed)
		return err_set(m, ERR_CONFLICT, "key file of %s: roster %u removed this site (stop its node; others serve its queues)", k->site, r->serial);
	if (memcmp(&k->identity_public, &s->identity, sizeof s->identity) != 0)
		wrong = "identity";
	else if (memcmp(&k->link_public, &s->link, sizeof s->link) != 0)
		wrong = "link";
	else if (!holds_sealing(k, &s->sealing))
		wrong = "sealing";
	if (wrong == NULL)
		return ERR_OK;
	return err_set(m, ERR_CONFLICT, "key file of %s: its %s key is not the one in roster %u (restore the key file, or enrol its keys in a new roster)",
		       k->site, wrong, r->serial);
}

/* ---- the signature over a sealing key ------------------------------------------------------------------- */

#define SEALING_CONTEXT "estafette sealing key 1"
#define SEALING_MESSAGE_BYTES (sizeof SEALING_CONTEXT - 1 + 2 + sizeof(struct seal_public))

static struct view sealing_message(uint16_t site, const struct seal_public *key, uint8_t out[SEALING_MESSAGE_BYTES])
{
	size_t n = sizeof SEALING_CONTEXT - 1;
	memcpy(out, SEALING_CONTEXT, n);
	out[n++] = (uint8_t)(site >> 8);
	out[n++] = (uint8_t)site;
	memcpy(out + n, key->b, sizeof key->b);
	return view_of(out, SEALING_MESSAGE_BYTES);
}

void sealing_key_sign(const struct sign_secret *identity, uint16_t site, const struct seal_public *key, struct signature *out)
{
	uint8_t message[SEALING_MESSAGE_BYTES];
	crypt_suite_real.sign(identity, sealing_message(site, key, message), out);
}

bool sealing_key_verify(const struct sign_public *identity, uint16_t site, const struct seal_public *key, const struct signature *sig)
{
	uint8_t message[SEALING_MESSAGE_BYTES];
	return crypt_suite_real.verify(identity, sealing_message(site, key, message), sig);
}
