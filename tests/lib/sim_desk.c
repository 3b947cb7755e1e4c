/* sim_desk.c - see sim_desk.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/rosters.h"
#include "tests/lib/sim_desk.h"

const struct client_rights SIM_DESK = {.name = "desk", .may_send = true, .may_take = true, .may_operate = true, .precedence = PREC_FLASH};

struct roster *sim_roster(const char *const *names, size_t n)
{
	struct roster *r = rosters_belgium();
	uint16_t *keep = calloc(n, sizeof *keep);

	assert_non_null(keep);
	for (size_t i = 0; i < n; i++)
		keep[i] = roster_site_by_id(r, view_str(names[i]))->number;
	assert_int_equal(roster_cut(r, keep, n), ERR_OK);
	free(keep);
	return r;
}

void sim_ask(struct world *w, size_t site, uint64_t client, uint32_t tag, const struct sim_ask *a)
{
	struct buf b = BUF_EMPTY;
	struct request_writer rw;

	request_begin(&rw, &b, a->type, tag);
	request_str(&rw, a->type == REQ_SUBMIT ? F_TO : F_QUEUE, a->to);
	if (a->type == REQ_SUBMIT) {
		request_u8(&rw, F_PRECEDENCE, a->precedence);
		request_field(&rw, F_BODY, a->body);
	}
	if (a->count)
		request_u32(&rw, F_COUNT, a->count);
	if (a->id)
		request_id(&rw, a->id);
	request_end(&rw);
	world_request(w, site, client, buf_view(&b));
	buf_release(&b);
}

struct view sim_field(const struct request *r, uint8_t field)
{
	struct view rest = r->fields;
	struct request_item f;

	while (request_next(&rest, &f) == ERR_OK)
		if (f.field == field)
			return f.value;
	return view_of(NULL, 0);
}

struct msgid sim_id(const struct request *r)
{
	struct msgid id = {{0}};
	struct view v = sim_field(r, F_ID);

	assert_int_equal(v.len, MSGID_BYTES);
	memcpy(id.b, v.ptr, MSGID_BYTES);
	return id;
}

bool sim_reply(struct view *bytes, struct request *out)
{
	size_t len = 0;

	if (!bytes->len || request_length(*bytes, &len) || !len)
		return false;
	assert_int_equal(request_decode(view_of(bytes->ptr, len), out), ERR_OK);
	*bytes = view_of(bytes->ptr + len, bytes->len - len);
	return true;
}
