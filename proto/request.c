#include "proto/request.h"

#include "proto/cursor.h"
#include "proto/order.h"

#define LENGTH_BYTES 4
#define FIELD_HEAD_BYTES 5

/* ---- states a sender may wait for ----------------------------------------------------------------------- */

static const char *const state_names[] = {
	[STATE_ACCEPTED] = "accepted",
	[STATE_HELD_BY_STANDBY] = "held-by-standby",
	[STATE_HELD] = "held",
	[STATE_DELIVERED] = "delivered",
	[STATE_READ] = "read",
	[STATE_REFUSED] = "refused",
	[STATE_EXPIRED] = "expired",
	[STATE_CANCELLED] = "cancelled",
};
#define STATES (sizeof state_names / sizeof state_names[0])

const char *wait_state_name(unsigned s)
{
	return s > 0 && s < STATES ? state_names[s] : "unknown";
}

enum err wait_state_parse(const char *text, enum wait_state *out)
{
	for (unsigned s = 1; s < STATES; s++)
		if (strcmp(text, state_names[s]) == 0) {
			*out = (enum wait_state)s;
			return ERR_OK;
		}
	return ERR_FORMAT;
}

/* ---- writing -------------------------------------------------------------------------------------------- */

void request_begin(struct request_writer *w, struct buf *out, uint8_t type, uint32_t tag)
{
	w->out = out;
	w->at = out->len;
	buf_add_u32(out, 0);
	buf_add_u8(out, REQUEST_VERSION);
	buf_add_u8(out, type);
	buf_add_u32(out, tag);
}

void request_field(struct request_writer *w, uint8_t field, struct view v)
{
	assert(field > 0 && field < F_COUNT_OF_FIELDS);
	buf_add_u8(w->out, field);
	buf_add_u32(w->out, (uint32_t)v.len);
	buf_add(w->out, v);
}

void request_str(struct request_writer *w, uint8_t field, const char *s)
{
	if (s && *s)
		request_field(w, field, view_str(s));
}

void request_u8(struct request_writer *w, uint8_t field, uint8_t x)
{
	request_field(w, field, view_of(&x, 1));
}

void request_u32(struct request_writer *w, uint8_t field, uint32_t x)
{
	uint8_t bytes[4];
	struct wr out = wr_init(bytes, sizeof bytes);

	wr_u32(&out, x);
	request_field(w, field, view_of(bytes, sizeof bytes));
}

void request_u64(struct request_writer *w, uint8_t field, uint64_t x)
{
	uint8_t bytes[8];
	struct wr out = wr_init(bytes, sizeof bytes);

	wr_u64(&out, x);
	request_field(w, field, view_of(bytes, sizeof bytes));
}

void request_id(struct request_writer *w, const struct msgid *id)
{
	request_field(w, F_ID, view_of(id->b, MSGID_BYTES));
}

void request_end(struct request_writer *w)
{
	size_t len = w->out->len - w->at;
	struct wr patch;

	if (len > LIMIT_REQUEST_BYTES)
		w->out->bad = true;
	if (!buf_ok(w->out))
		return;
	patch = wr_init(w->out->ptr + w->at, LENGTH_BYTES);
	wr_u32(&patch, (uint32_t)(len - LENGTH_BYTES));
}

/* ---- reading -------------------------------------------------------------------------------------------- */

enum err request_length(struct view v, size_t *len)
{
	struct rd r = rd_init(v);
	size_t full;

	*len = 0;
	if (v.len < LENGTH_BYTES)
		return ERR_OK;
	full = (size_t)rd_u32(&r) + LENGTH_BYTES;
	if (full < REQUEST_HEAD_BYTES)
		return ERR_FORMAT;
	if (full > LIMIT_REQUEST_BYTES)
		return ERR_TOO_LARGE;
	*len = full;
	return ERR_OK;
}

enum err request_decode(struct view message, struct request *out)
{
	struct rd r = rd_init(message);
	uint8_t version;
	size_t len;
	enum err rc = request_length(message, &len);

	memset(out, 0, sizeof *out);
	if (rc)
		return rc;
	if (message.len < REQUEST_HEAD_BYTES || message.len < len)
		return ERR_TRUNCATED;
	if (message.len > len)
		return ERR_FORMAT;
	(void)rd_u32(&r);
	version = rd_u8(&r);
	out->type = rd_u8(&r);
	out->tag = rd_u32(&r);
	out->fields = rd_bytes(&r, rd_left(&r));
	if (version != REQUEST_VERSION)
		return version == 0 ? ERR_FORMAT : ERR_VERSION;
	return rd_done(&r);
}

enum err request_next(struct view *rest, struct request_item *out)
{
	struct rd r = rd_init(*rest);

	*out = (struct request_item){0};
	if (rest->len == 0)
		return ERR_NOT_FOUND;
	out->field = rd_u8(&r);
	if (out->field == 0 || out->field >= F_COUNT_OF_FIELDS)
		return ERR_FORMAT;
	out->value = rd_vec32(&r, LIMIT_REQUEST_BYTES);
	if (r.err)
		return r.err;
	*rest = view_of(r.pos, rd_left(&r));
	return ERR_OK;
}

/* ---- values --------------------------------------------------------------------------------------------- */

enum item_form { ITEM_NONE, ITEM_BYTES, ITEM_TEXT, ITEM_NONEMPTY_TEXT, ITEM_FIXED, ITEM_U8, ITEM_STATE, ITEM_WALL, ITEM_SPAN };

/* max: the most bytes of a text, the exact bytes of a fixed field, the highest value of a u8. */
static const struct item_rule {
	uint8_t form;
	uint32_t max;
} rules[F_COUNT_OF_FIELDS] = {
	[F_TO] = {ITEM_NONEMPTY_TEXT, LIMIT_ADDRESS_BYTES},
	[F_PRECEDENCE] = {ITEM_U8, PREC_COUNT - 1},
	[F_TYPE] = {ITEM_TEXT, LIMIT_MEDIA_TYPE_BYTES},
	[F_LANG] = {ITEM_TEXT, LIMIT_LANG_BYTES},
	[F_CHANNEL] = {ITEM_TEXT, LIMIT_NAME_BYTES},
	[F_SUBJECT] = {ITEM_TEXT, LIMIT_SUBJECT_BYTES},
	[F_RE] = {ITEM_FIXED, MSGID_BYTES},
	[F_EXPIRES] = {ITEM_WALL, 0},
	[F_KEY] = {ITEM_TEXT, LIMIT_KEY_BYTES},
	[F_EXERCISE] = {ITEM_TEXT, LIMIT_NAME_BYTES},
	[F_BODY] = {ITEM_BYTES, LIMIT_CHUNK_BYTES},
	[F_BODY_BYTES] = {ITEM_FIXED, 8},
	[F_QUEUE] = {ITEM_NONEMPTY_TEXT, LIMIT_ADDRESS_BYTES},
	[F_COUNT] = {ITEM_FIXED, 4},
	[F_LEASE_US] = {ITEM_SPAN, 0},
	[F_ID] = {ITEM_FIXED, MSGID_BYTES},
	[F_BY] = {ITEM_TEXT, LIMIT_USER_BYTES},
	[F_REASON] = {ITEM_TEXT, LIMIT_REASON_BYTES},
	[F_STATE] = {ITEM_STATE, STATE_CANCELLED},
	[F_WHAT] = {ITEM_NONEMPTY_TEXT, LIMIT_ADDRESS_BYTES},
	[F_INDEX] = {ITEM_FIXED, 4},
	[F_LAST] = {ITEM_U8, 1},
	[F_ALARM] = {ITEM_NONEMPTY_TEXT, LIMIT_REASON_BYTES},
	[F_CODE] = {ITEM_NONEMPTY_TEXT, LIMIT_NAME_BYTES},
	[F_TEXT] = {ITEM_BYTES, LIMIT_REQUEST_BYTES},
	[F_DUPLICATE] = {ITEM_U8, 1},
	[F_FROM] = {ITEM_TEXT, LIMIT_ADDRESS_BYTES},
	[F_SENT] = {ITEM_WALL, 0},
	[F_PERHAPS_SEEN] = {ITEM_TEXT, LIMIT_REASON_BYTES},
	[F_REPLAYED] = {ITEM_U8, 1},
	[F_SIZE] = {ITEM_FIXED, 8},
	[F_NAME] = {ITEM_NONEMPTY_TEXT, LIMIT_NAME_BYTES},
	[F_NUMBER] = {ITEM_FIXED, 8},
	[F_FLAG] = {ITEM_U8, 1},
	[F_TIME] = {ITEM_FIXED, 8},
	[F_LIST] = {ITEM_BYTES, LIMIT_REQUEST_BYTES},
	[F_PLAIN_HASH] = {ITEM_FIXED, HASH_BYTES},
	[F_NULL] = {ITEM_FIXED, 0},
	[F_HANDLE_BY] = {ITEM_WALL, 0},
	[F_AREA] = {ITEM_TEXT, LIMIT_NAME_BYTES},
	[F_ASSIGN] = {ITEM_NONEMPTY_TEXT, 4 * LIMIT_ADDRESS_BYTES},
	[F_WITHOUT] = {ITEM_NONEMPTY_TEXT, LIMIT_NAME_BYTES},
	[F_DRY] = {ITEM_U8, 1},
	[F_BLOB] = {ITEM_BYTES, LIMIT_STATE_BYTES},
	[F_PIECE] = {ITEM_BYTES, LIMIT_REQUEST_BYTES},
	[F_SINCE] = {ITEM_WALL, 0},
	[F_UNTIL] = {ITEM_WALL, 0},
};

static struct rd item_rd(const struct request_item *i, size_t n)
{
	return rd_init(i->value.len == n ? i->value : view_of(NULL, 0));
}

uint8_t item_u8(const struct request_item *i)
{
	struct rd r = item_rd(i, 1);

	return rd_u8(&r);
}

uint32_t item_u32(const struct request_item *i)
{
	struct rd r = item_rd(i, 4);

	return rd_u32(&r);
}

uint64_t item_u64(const struct request_item *i)
{
	struct rd r = item_rd(i, 8);

	return rd_u64(&r);
}

bool item_ok(const struct request_item *i)
{
	const struct item_rule *rule = &rules[i->field < F_COUNT_OF_FIELDS ? i->field : 0];

	switch (rule->form) {
	case ITEM_BYTES:
		return i->value.len <= rule->max;
	case ITEM_NONEMPTY_TEXT:
	case ITEM_TEXT:
		return (i->value.len > 0 || rule->form == ITEM_TEXT) && i->value.len <= rule->max && view_is_text(i->value);
	case ITEM_FIXED:
		return i->value.len == rule->max;
	case ITEM_U8:
		return i->value.len == 1 && item_u8(i) <= rule->max;
	case ITEM_STATE:
		return item_u8(i) >= STATE_ACCEPTED && item_u8(i) <= rule->max;
	case ITEM_WALL:
		return i->value.len == 8 && item_u64(i) <= LIMIT_WALL_US;
	case ITEM_SPAN:
		return i->value.len == 8 && item_u64(i) <= LIMIT_LEASE_US;
	default:
		return false;
	}
}

/* What a person writes; of the others a number has to do. */
static const char *item_name(uint8_t field)
{
	static const char *const names[F_COUNT_OF_FIELDS] = {
		[F_TO] = "address", [F_TYPE] = "type", [F_LANG] = "language", [F_CHANNEL] = "channel", [F_SUBJECT] = "subject", [F_KEY] = "key",
		[F_EXERCISE] = "exercise", [F_QUEUE] = "queue", [F_BY] = "by", [F_REASON] = "reason", [F_WHAT] = "name", [F_ALARM] = "alarm",
		[F_FROM] = "originator", [F_ASSIGN] = "successor", [F_WITHOUT] = "site", [F_LEASE_US] = "lease",
	};

	return field < F_COUNT_OF_FIELDS ? names[field] : NULL;
}

enum err item_check(const struct request_item *i, const char *what, struct errmsg *m)
{
	const struct item_rule *rule = &rules[i->field < F_COUNT_OF_FIELDS ? i->field : 0];
	const char *name = item_name(i->field);
	bool text = rule->form == ITEM_TEXT || rule->form == ITEM_NONEMPTY_TEXT;

	if (item_ok(i))
		return ERR_OK;
	if (text && name && i->value.len > rule->max)
		return err_set(m, ERR_TOO_LARGE, "%s: %s: %zu bytes (at most %u)", what, name, i->value.len, rule->max);
	if (text && name)
		return err_set(m, ERR_FORMAT, "%s: %s: %s", what, name, i->value.len ? "not plain UTF-8 text (remove control characters)" : "it is empty");
	if (name)
		return err_set(m, ERR_FORMAT, "%s: %s: out of its limits", what, name);
	return err_set(m, ERR_FORMAT, "%s: field %u has a wrong length", what, i->field);
}
