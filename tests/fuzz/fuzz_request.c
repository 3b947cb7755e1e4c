/* Messages on the client socket: what is taken is, written again, the same bytes, and no value is read past its end. */
#include "proto/request.h"
#include "tests/lib/fuzz_driver.h"

static void seed_submit(struct request_writer *w)
{
	request_str(w, F_TO, "cic-luik/dispatch");
	request_str(w, F_TO, "eupen/dispatch");
	request_u8(w, F_PRECEDENCE, PREC_FLASH);
	request_str(w, F_SUBJECT, "Überschwemmung");
	request_u64(w, F_EXPIRES, 1626300300000000);
	request_field(w, F_BODY, view_str("Wasser"));
}

static void seed_ack(struct request_writer *w)
{
	struct msgid id = {{5, 0xc7}};

	request_id(w, &id);
	request_id(w, &id);
	request_str(w, F_BY, "desk1");
	request_u8(w, F_STATE, STATE_READ);
	request_u32(w, F_COUNT, 2);
	request_field(w, F_NULL, view_of(NULL, 0));
}

bool fuzz_seed(unsigned n, struct buf *out)
{
	struct request_writer w;

	request_begin(&w, out, n ? REQ_ACK : REQ_SUBMIT, 7);
	if (n)
		seed_ack(&w);
	else
		seed_submit(&w);
	request_end(&w);
	return n < 2;
}

/* 0 when all fields could be taken off. */
static enum err copy_fields(struct view rest, struct request_writer *w)
{
	struct request_item i;
	enum err e;

	while (!(e = request_next(&rest, &i))) {
		if (item_ok(&i))
			(void)(item_u8(&i) + item_u32(&i) + item_u64(&i));
		request_field(w, i.field, i.value);
	}
	return e == ERR_NOT_FOUND ? ERR_OK : e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct view v = view_of(data, len);
	struct buf again = BUF_EMPTY;
	struct request_writer w;
	struct request q;
	size_t full = 0;
	enum err e = request_length(v, &full), fields;

	if (request_decode(v, &q))
		return -1;
	fuzz_assert(!e && full == len);
	request_begin(&w, &again, q.type, q.tag);
	fields = copy_fields(q.fields, &w);
	request_end(&w);
	fuzz_assert(fields || (buf_ok(&again) && view_equal(buf_view(&again), v)));
	buf_release(&again);
	return fields ? -1 : 0;
}
