#include "proto/order.h"

#include "proto/cursor.h"

#define ORDER_VERSION 2
#define ENDORSEMENT_VERSION 1

static const char order_domain[] = "estafette order 1";
static const char endorsement_domain[] = "estafette endorsement 1";
static const struct hash no_hash;

const char *order_kind_name(unsigned k)
{
	static const char *const names[] = {[ORDER_RELOCATE] = "relocate", [ORDER_HANDBACK] = "handback", [ORDER_REVOKE] = "revoke",
	                                    [ORDER_MINIMIZE] = "minimize", [ORDER_LIFT] = "lift"};

	return k > 0 && k < sizeof names / sizeof names[0] ? names[k] : "unknown";
}

static bool is_order_kind(unsigned k)
{
	return k >= ORDER_RELOCATE && k <= ORDER_LIFT;
}

bool order_of_network(unsigned kind)
{
	return kind == ORDER_MINIMIZE || kind == ORDER_LIFT;
}

static bool wall_ok(struct wall t)
{
	return t.us >= 0 && t.us <= LIMIT_WALL_US;
}

/* ---- what is signed: orders and endorsements alike ------------------------------------------------------ */

/* The caller releases out. */
static void signed_message(struct buf *out, const char *domain, const struct hash *network, struct view content)
{
	buf_add(out, view_str(domain));
	buf_add(out, view_of(network->b, HASH_BYTES));
	buf_add(out, content);
}

/* Appends content and its signature to out. */
static enum err add_signed(const struct crypt_suite *suite, const struct sign_secret *key, const char *domain, const struct hash *network,
                           const struct buf *content, struct buf *out)
{
	struct buf message = BUF_EMPTY;
	struct signature sig;
	enum err rc = ERR_NOMEM;

	signed_message(&message, domain, network, buf_view(content));
	if (!buf_ok(content) || !buf_ok(&message))
		goto out;
	rc = ERR_TOO_LARGE;
	if (content->len + SIGNATURE_BYTES > LIMIT_STATE_BYTES)
		goto out;
	suite->sign(key, buf_view(&message), &sig);
	buf_add(out, buf_view(content));
	buf_add(out, view_of(sig.b, SIGNATURE_BYTES));
	rc = buf_ok(out) ? ERR_OK : ERR_NOMEM;
out:
	buf_release(&message);
	return rc;
}

static enum err verify_signed(const struct crypt_suite *suite, const struct sign_public *key, const char *domain,
                              const struct hash *network, struct view blob)
{
	struct buf message = BUF_EMPTY;
	struct signature sig;
	enum err rc = ERR_NOMEM;

	if (blob.len < SIGNATURE_BYTES)
		return ERR_TRUNCATED;
	blob.len -= SIGNATURE_BYTES;
	memcpy(sig.b, blob.ptr + blob.len, SIGNATURE_BYTES);
	signed_message(&message, domain, network, blob);
	if (buf_ok(&message))
		rc = suite->verify(key, buf_view(&message), &sig) ? ERR_OK : ERR_AUTH;
	buf_release(&message);
	return rc;
}

/* The part of a blob that is signed; what is too short or too long for one is refused. */
static enum err split_blob(struct view blob, struct view *content)
{
	*content = view_of(NULL, 0);
	if (blob.len > LIMIT_STATE_BYTES)
		return ERR_TOO_LARGE;
	if (blob.len < SIGNATURE_BYTES)
		return ERR_TRUNCATED;
	*content = view_of(blob.ptr, blob.len - SIGNATURE_BYTES);
	return ERR_OK;
}

static uint8_t rd_version(struct rd *r, uint8_t known)
{
	uint8_t version = rd_u8(r);

	if (version > known)
		rd_fail(r, ERR_VERSION);
	if (!r->err && version == 0)
		rd_fail(r, ERR_FORMAT);
	return version;
}

/* Text into an array that holds max bytes and a NUL. */
static void rd_text(struct rd *r, struct view v, char *out, size_t max)
{
	if (!r->err && (!view_is_text(v) || !view_to_str(v, out, max + 1)))
		rd_fail(r, ERR_FORMAT);
}

/* ---- the shape of an order ------------------------------------------------------------------------------ */

static enum err check_assignment(const struct assignment *a)
{
	if (a->to == 0)
		return ERR_FORMAT;
	switch (a->what) {
	case ASSIGN_ALL:
		return ERR_OK;
	case ASSIGN_QUEUE:
		return view_is_name(view_str(a->queue)) ? ERR_OK : ERR_FORMAT;
	case ASSIGN_AREA:
		return a->area ? ERR_OK : ERR_FORMAT;
	case ASSIGN_SHARE:
		return a->from < a->until && a->until <= SHARES ? ERR_OK : ERR_RANGE;
	default:
		return ERR_FORMAT;
	}
}

static enum err check_lists(const struct order *o)
{
	enum err rc = ERR_OK;

	if (o->n_assign > LIMIT_ASSIGNMENTS || o->n_without > LIMIT_WITHOUT)
		return ERR_TOO_LARGE;
	if ((o->kind == ORDER_HANDBACK || order_of_network(o->kind)) != (o->n_assign == 0))
		return ERR_RANGE;
	if ((o->n_without && o->kind != ORDER_HANDBACK) || (o->n_points && o->kind != ORDER_REVOKE))
		return ERR_RANGE;
	for (size_t i = 0; i < o->n_assign && !rc; i++)
		rc = check_assignment(&o->assign[i]);
	for (size_t i = 0; i < o->n_without && !rc; i++)
		rc = o->without[i] ? ERR_OK : ERR_FORMAT;
	return rc ? rc : frontiers_check(o->points, o->n_points, true);
}

/* What an order about the whole network says, and no other. */
static enum err check_network(const struct order *o)
{
	if (o->kind != ORDER_MINIMIZE)
		return o->precedence || o->until.us ? ERR_RANGE : ERR_OK;
	if (o->precedence != PREC_PRIORITY && o->precedence != PREC_ROUTINE)
		return ERR_RANGE;
	return wall_ok(o->until) && o->until.us > o->issued.us && o->until.us - o->issued.us <= LIMIT_MINIMIZE_US ? ERR_OK : ERR_RANGE;
}

static enum err check_order(const struct order *o)
{
	if (!is_order_kind(o->kind) || (o->site == ORDER_NETWORK) != order_of_network(o->kind) || o->issuer == 0 || !wall_ok(o->issued))
		return ERR_FORMAT;
	if (order_of_network(o->kind) && o->exercise[0])
		return ERR_RANGE;
	if (check_network(o))
		return ERR_RANGE;
	if (!view_is_text(view_str(o->exercise)) || !view_is_text(view_str(o->reason)))
		return ERR_FORMAT;
	if (o->epoch == 0 || o->epoch > LIMIT_CHAIN || (o->epoch == 1) != hash_equal(&o->before, &no_hash))
		return ERR_RANGE;
	return check_lists(o);
}

/* ---- the bytes of an order ------------------------------------------------------------------------------ */

static void add_vec8(struct buf *out, const char *s)
{
	buf_add_u8(out, (uint8_t)strlen(s));
	buf_add(out, view_str(s));
}

static void add_assignment(struct buf *out, const struct assignment *a)
{
	buf_add_u16(out, a->to);
	buf_add_u8(out, a->what);
	buf_add(out, view_of(a->at.b, HASH_BYTES));
	if (a->what == ASSIGN_QUEUE)
		add_vec8(out, a->queue);
	if (a->what == ASSIGN_AREA)
		buf_add_u16(out, a->area);
	if (a->what == ASSIGN_SHARE) {
		buf_add_u16(out, a->from);
		buf_add_u16(out, a->until);
	}
}

static void add_order(struct buf *out, const struct order *o)
{
	buf_add_u8(out, order_of_network(o->kind) ? 2 : 1);
	buf_add_u8(out, o->kind);
	buf_add_u16(out, o->site);
	buf_add_u16(out, o->issuer);
	buf_add_u32(out, o->epoch);
	buf_add(out, view_of(o->before.b, HASH_BYTES));
	buf_add_u32(out, o->roster);
	buf_add_u64(out, (uint64_t)o->issued.us);
	add_vec8(out, o->exercise);
	buf_add_u16(out, (uint16_t)strlen(o->reason));
	buf_add(out, view_str(o->reason));
	buf_add_u8(out, (uint8_t)o->n_assign);
	for (size_t i = 0; i < o->n_assign; i++)
		add_assignment(out, &o->assign[i]);
	buf_add_u8(out, (uint8_t)o->n_without);
	for (size_t i = 0; i < o->n_without; i++)
		buf_add_u16(out, o->without[i]);
	if (order_of_network(o->kind)) {
		buf_add_u8(out, o->precedence);
		buf_add_u64(out, (uint64_t)o->until.us);
	}
	buf_add_u16(out, o->n_points);
	buf_add(out, o->points);
}

enum err order_make(const struct crypt_suite *suite, const struct sign_secret *key, const struct hash *network, const struct order *o,
                    struct buf *out)
{
	struct buf content = BUF_EMPTY;
	enum err rc = check_order(o);

	if (rc)
		return rc;
	add_order(&content, o);
	rc = add_signed(suite, key, order_domain, network, &content, out);
	buf_release(&content);
	return rc;
}

static void rd_assignment(struct rd *r, struct assignment *a)
{
	a->to = rd_u16(r);
	a->what = rd_u8(r);
	rd_copy(r, a->at.b, HASH_BYTES);
	switch (a->what) {
	case ASSIGN_ALL:
		break;
	case ASSIGN_QUEUE:
		rd_text(r, rd_vec8(r, LIMIT_NAME_BYTES), a->queue, LIMIT_NAME_BYTES);
		break;
	case ASSIGN_AREA:
		a->area = rd_u16(r);
		break;
	case ASSIGN_SHARE:
		a->from = rd_u16(r);
		a->until = rd_u16(r);
		break;
	default:
		rd_fail(r, ERR_FORMAT);
	}
}

/* What is assigned, and the rest. */
static void rd_lists(struct rd *r, uint8_t version, struct order *out)
{
	out->n_assign = rd_u8(r);
	if (out->n_assign > LIMIT_ASSIGNMENTS)
		rd_fail(r, ERR_TOO_LARGE);
	for (size_t i = 0; i < out->n_assign && !r->err; i++)
		rd_assignment(r, &out->assign[i]);
	out->n_without = rd_u8(r);
	if (out->n_without > LIMIT_WITHOUT)
		rd_fail(r, ERR_TOO_LARGE);
	for (size_t i = 0; i < out->n_without && !r->err; i++)
		out->without[i] = rd_u16(r);
	if (version >= 2) {
		out->precedence = rd_u8(r);
		out->until.us = rd_i64(r);
	}
	out->n_points = rd_u16(r);
	out->points = rd_bytes(r, rd_left(r));
}

static enum err decode_order(struct view content, struct order *out)
{
	struct rd r = rd_init(content);

	uint8_t version = rd_version(&r, ORDER_VERSION);

	out->kind = rd_u8(&r);
	if (!r.err && (version >= 2) != order_of_network(out->kind))
		rd_fail(&r, ERR_FORMAT);
	out->site = rd_u16(&r);
	out->issuer = rd_u16(&r);
	out->epoch = rd_u32(&r);
	rd_copy(&r, out->before.b, HASH_BYTES);
	out->roster = rd_u32(&r);
	out->issued.us = rd_i64(&r);
	rd_text(&r, rd_vec8(&r, LIMIT_NAME_BYTES), out->exercise, LIMIT_NAME_BYTES);
	rd_text(&r, rd_vec16(&r, LIMIT_REASON_BYTES), out->reason, LIMIT_REASON_BYTES);
	rd_lists(&r, version, out);
	return r.err ? r.err : check_order(out);
}

/* A refused blob leaves nothing behind that looks like an order. */
enum err order_decode(struct view blob, struct order *out, struct hash *id)
{
	struct view content;
	enum err rc = split_blob(blob, &content);

	memset(out, 0, sizeof *out);
	*id = no_hash;
	if (!rc)
		rc = decode_order(content, out);
	if (rc)
		memset(out, 0, sizeof *out);
	else
		*id = crypt_hash(HASH_STATE, content);
	return rc;
}

/* By its identity, or by one that it had before. */
static enum err verify_by_site(const struct crypt_suite *suite, const struct roster *r, uint16_t number, const char *domain, struct view blob)
{
	const struct site *site = roster_site(r, number);
	const struct sign_public *key;
	enum err rc = ERR_UNKNOWN_SITE;

	for (size_t i = 0; site && rc && (key = site_identity(site, i)); i++)
		rc = verify_signed(suite, key, domain, &r->network_hash, blob);
	return rc;
}

static bool by_former(const struct crypt_suite *suite, const struct roster *r, uint16_t number, const char *domain, struct view blob)
{
	const struct site *site = roster_site(r, number);

	return site && site->n_former && verify_signed(suite, &site->identity, domain, &r->network_hash, blob) != ERR_OK;
}

enum err order_verify(const struct crypt_suite *suite, const struct roster *r, struct view blob, const struct order *o)
{
	return verify_by_site(suite, r, o->issuer, order_domain, blob);
}

bool order_by_former(const struct crypt_suite *suite, const struct roster *r, struct view blob, const struct order *o)
{
	return by_former(suite, r, o->issuer, order_domain, blob);
}

/* ---- endorsements --------------------------------------------------------------------------------------- */

static enum err check_endorsement(const struct endorsement *e)
{
	if (hash_equal(&e->order, &no_hash) || !wall_ok(e->signed_at) || !wall_ok(e->last))
		return ERR_FORMAT;
	if (e->last.us < e->signed_at.us)
		return ERR_RANGE;
	return frontiers_check(e->points, e->n_points, true);
}

enum err endorsement_make(const struct crypt_suite *suite, const struct sign_secret *key, const struct hash *network,
                          const struct endorsement *e, struct buf *out)
{
	struct buf content = BUF_EMPTY;
	enum err rc = check_endorsement(e);

	if (rc)
		return rc;
	buf_add_u8(&content, ENDORSEMENT_VERSION);
	buf_add(&content, view_of(e->order.b, HASH_BYTES));
	buf_add_u16(&content, e->site);
	buf_add_u64(&content, (uint64_t)e->signed_at.us);
	buf_add_u64(&content, (uint64_t)e->last.us);
	buf_add_u16(&content, e->n_points);
	buf_add(&content, e->points);
	rc = add_signed(suite, key, endorsement_domain, network, &content, out);
	buf_release(&content);
	return rc;
}

static enum err decode_endorsement(struct view content, struct endorsement *out)
{
	struct rd r = rd_init(content);

	rd_version(&r, ENDORSEMENT_VERSION);
	rd_copy(&r, out->order.b, HASH_BYTES);
	out->site = rd_u16(&r);
	out->signed_at.us = rd_i64(&r);
	out->last.us = rd_i64(&r);
	out->n_points = rd_u16(&r);
	out->points = rd_bytes(&r, rd_left(&r));
	return r.err ? r.err : check_endorsement(out);
}

enum err endorsement_decode(struct view blob, struct endorsement *out, struct hash *id)
{
	struct view content;
	enum err rc = split_blob(blob, &content);

	memset(out, 0, sizeof *out);
	*id = no_hash;
	if (!rc)
		rc = decode_endorsement(content, out);
	if (rc)
		memset(out, 0, sizeof *out);
	else
		*id = crypt_hash(HASH_STATE, content);
	return rc;
}

enum err endorsement_verify(const struct crypt_suite *suite, const struct roster *r, const struct sign_public *authority,
                            struct view blob, const struct endorsement *e)
{
	if (e->site == 0)
		return authority ? verify_signed(suite, authority, endorsement_domain, &r->network_hash, blob) : ERR_KEY;
	return verify_by_site(suite, r, e->site, endorsement_domain, blob);
}

bool endorsement_by_former(const struct crypt_suite *suite, const struct roster *r, struct view blob, const struct endorsement *e)
{
	return e->site != 0 && by_former(suite, r, e->site, endorsement_domain, blob);
}
