/* The client library against a node that this test plays over a pair of sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The library is built from these; the test reaches into the handle. */
#include "node/client/client.c"
#include "node/client/client_call.c"
#include "node/client/client_courier.c"
#include "node/client/client_show.c"
#include "node/client/client_submit.c"
#include "node/client/client_take.c"

struct node {
	int fd;
	estafette *h;
	struct buf in, out;
	size_t at;
};

static int setup(void **state)
{
	int pair[2];
	struct node *n = calloc(1, sizeof *n);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	fcntl(pair[1], F_SETFL, O_NONBLOCK);
	n->h = estafette_new();
	n->h->fd = pair[0];
	n->fd = pair[1];
	*state = n;
	return 0;
}

static int teardown(void **state)
{
	struct node *n = *state;
	estafette_free(n->h);
	close(n->fd);
	buf_release(&n->in);
	buf_release(&n->out);
	free(n);
	return 0;
}

/* ---- the node's side ------------------------------------------------------------------------------------------- */

/* The next request the client sent; false when there is none. */
static bool next_request(struct node *n, struct request *r)
{
	size_t len;
	ssize_t got;
	client_flush(n->h);
	do {
		uint8_t *p = buf_extend(&n->in, 65536);
		got = read(n->fd, p, 65536);
		n->in.len -= 65536 - (got > 0 ? (size_t)got : 0);
	} while (got > 0);
	struct view v = view_of(n->in.ptr + n->at, n->in.len - n->at);
	assert_int_equal(request_length(v, &len), ERR_OK);
	if (len == 0 || len > v.len)
		return false;
	n->at += len;
	assert_int_equal(request_decode(view_of(v.ptr, len), r), ERR_OK);
	return true;
}

static size_t count_fields(const struct request *r, uint8_t field, struct view *last)
{
	struct view rest = r->fields;
	struct request_item i;
	size_t n = 0;
	while (request_next(&rest, &i) == ERR_OK)
		if (i.field == field) {
			n++;
			*last = i.value;
		}
	return n;
}

static void say(struct node *n)
{
	assert_true(buf_ok(&n->out));
	assert_int_equal(write(n->fd, n->out.ptr, n->out.len), n->out.len);
	buf_clear(&n->out);
	while (estafette_drive(n->h, 0) == ESTAFETTE_OK)
		continue;
}

static const struct msgid some_id = {{0, 6, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}};

static void put_accepted(struct node *n, uint32_t tag, bool duplicate)
{
	struct request_writer w;
	request_begin(&w, &n->out, REPLY_ACCEPTED, tag);
	request_id(&w, &some_id);
	request_u8(&w, F_DUPLICATE, duplicate);
	request_u8(&w, F_STATE, STATE_ACCEPTED);
	request_end(&w);
}

static void put_simple(struct node *n, uint8_t type, uint32_t tag, uint32_t count)
{
	struct request_writer w;
	request_begin(&w, &n->out, type, tag);
	request_u32(&w, F_COUNT, count);
	request_end(&w);
}

static void put_error(struct node *n, uint32_t tag, const char *code, const char *text)
{
	struct request_writer w;
	request_begin(&w, &n->out, REPLY_ERROR, tag);
	request_str(&w, F_CODE, code);
	request_str(&w, F_TEXT, text);
	request_end(&w);
}

static void put_taken(struct node *n, uint32_t tag, uint8_t last, const char *body, uint64_t apart)
{
	struct request_writer w;
	struct msgid id = some_id;
	id.b[15] = last;
	request_begin(&w, &n->out, REPLY_TAKEN, tag);
	request_id(&w, &id);
	request_str(&w, F_FROM, "cic-namen");
	request_str(&w, F_QUEUE, "cic-luik/dispatch");
	request_field(&w, F_SUBJECT, view_of(NULL, 0));
	request_u8(&w, F_PRECEDENCE, PREC_FLASH);
	if (apart > 0)
		request_u64(&w, F_BODY_BYTES, apart);
	else
		request_field(&w, F_BODY, view_str(body));
	request_end(&w);
}

static struct estafette_submission submission(const char *const *to, const void *body, size_t n)
{
	struct estafette_submission s = ESTAFETTE_SUBMISSION_INIT;
	s.to = to;
	s.n_to = 1;
	s.body = body;
	s.body_bytes = n;
	return s;
}
static const char *const luik[] = {"cic-luik/dispatch"};

/* ---- submitting -------------------------------------------------------------------------------------------------- */

static void answers_come_in_any_order(void **state)
{
	struct node *n = *state;
	struct estafette_submission s = submission(luik, "hello", 5);
	struct estafette_result r = ESTAFETTE_RESULT_INIT;
	uint32_t tag[3];
	for (int i = 0; i < 3; i++)
		assert_int_equal(estafette_submit_begin(n->h, &s, &tag[i]), ESTAFETTE_OK);
	assert_int_equal(estafette_in_flight(n->h), 3);
	assert_int_equal(estafette_result(n->h, &r, 0), ESTAFETTE_TIMEOUT);
	put_accepted(n, tag[2], true);
	put_error(n, tag[0], "unknown_queue", "no such queue");
	put_accepted(n, tag[1], false);
	say(n);
	assert_int_equal(estafette_result(n->h, &r, 0), ESTAFETTE_OK);
	assert_int_equal(r.tag, tag[2]);
	assert_true(r.duplicate);
	assert_int_equal(strlen(r.id), ESTAFETTE_ID_SIZE - 1);
	assert_int_equal(estafette_result(n->h, &r, 0), ESTAFETTE_OK);
	assert_int_equal(r.tag, tag[0]);
	assert_int_equal(r.status, ESTAFETTE_REFUSED);
	assert_string_equal(r.code, "unknown_queue");
	assert_string_equal(r.text, "no such queue");
	assert_int_equal(estafette_result(n->h, &r, 0), ESTAFETTE_OK);
	assert_int_equal(r.tag, tag[1]);
	assert_false(r.duplicate);
	assert_int_equal(estafette_result(n->h, &r, 0), ESTAFETTE_END);
}

static void many_in_flight_keep_their_tags(void **state)
{
	struct node *n = *state;
	struct estafette_submission s = submission(luik, "x", 1);
	uint32_t stuck, tag;
	assert_int_equal(estafette_submit_begin(n->h, &s, &stuck), ESTAFETTE_OK);
	for (int i = 0; i < 5000; i++) { /* far more than there are slots, while one stays unanswered */
		struct estafette_result r = ESTAFETTE_RESULT_INIT;
		struct request rq;
		assert_int_equal(estafette_submit_begin(n->h, &s, &tag), ESTAFETTE_OK);
		assert_int_not_equal(tag, stuck);
		while (next_request(n, &rq))
			continue;
		put_accepted(n, tag, false);
		say(n);
		assert_int_equal(estafette_result(n->h, &r, 0), ESTAFETTE_OK);
		assert_int_equal(r.tag, tag);
	}
	put_accepted(n, stuck, false);
	say(n);
	assert_int_equal(estafette_in_flight(n->h), 1);
}

/* A body in pieces: never more pieces than the node allowed, all of it in the end. */
static void pieces_wait_for_credit(void **state)
{
	struct node *n = *state;
	size_t size = 5 * LIMIT_CHUNK_BYTES + 10, got = 0;
	uint8_t *body = malloc(size);
	struct request r;
	struct view v = {NULL, 0};
	uint32_t tag;
	for (size_t i = 0; i < size; i++)
		body[i] = (uint8_t)(i * 31 >> 3);
	struct estafette_submission s = submission(luik, body, size);
	assert_int_equal(estafette_submit_begin(n->h, &s, &tag), ESTAFETTE_OK);
	assert_true(next_request(n, &r));
	assert_int_equal(r.type, REQ_SUBMIT);
	assert_int_equal(count_fields(&r, F_BODY_BYTES, &v), 1);
	assert_int_equal(count_fields(&r, F_BODY, &v), 0);
	assert_false(next_request(n, &r));
	for (uint32_t credit = 1; got < size; credit++) {
		uint32_t pieces = 0;
		put_simple(n, REPLY_NEXT, tag, credit);
		say(n);
		while (next_request(n, &r)) {
			assert_int_equal(r.type, REQ_CHUNK);
			assert_int_equal(r.tag, tag);
			assert_int_equal(count_fields(&r, F_BODY, &v), 1);
			assert_true(got + v.len <= size && memcmp(body + got, v.ptr, v.len) == 0);
			got += v.len;
			pieces++;
		}
		assert_true(pieces <= credit && pieces > 0);
	}
	put_accepted(n, tag, false);
	say(n);
	struct estafette_result out = ESTAFETTE_RESULT_INIT;
	assert_int_equal(estafette_result(n->h, &out, 0), ESTAFETTE_OK);
	assert_int_equal(out.status, ESTAFETTE_OK);
	free(body);
}

static void wrong_submissions_cost_nothing(void **state)
{
	struct node *n = *state;
	struct estafette_submission s = submission(luik, NULL, 5);
	struct request r;
	uint32_t tag;
	assert_int_equal(estafette_submit_begin(n->h, &s, &tag), ESTAFETTE_USAGE);
	s = submission(luik, "x", 1);
	s.re = "no id";
	assert_int_equal(estafette_submit_begin(n->h, &s, &tag), ESTAFETTE_USAGE);
	s = submission(luik, "x", 1);
	s.precedence = 4;
	assert_int_equal(estafette_submit_begin(n->h, &s, &tag), ESTAFETTE_USAGE);
	s = submission(luik, "x", (size_t)LIMIT_BODY_BYTES + 1);
	assert_int_equal(estafette_submit_begin(n->h, &s, &tag), ESTAFETTE_REFUSED);
	char *long_subject = calloc(1, LIMIT_REQUEST_BYTES + 1);
	memset(long_subject, 's', LIMIT_REQUEST_BYTES);
	s = submission(luik, "x", 1);
	s.subject = long_subject;
	assert_int_equal(estafette_submit_begin(n->h, &s, &tag), ESTAFETTE_REFUSED);
	assert_string_equal(estafette_error_code(n->h), "too_large");
	free(long_subject);
	assert_false(next_request(n, &r));
	assert_int_equal(estafette_in_flight(n->h), 0);
	s = submission(luik, "x", 1);
	assert_int_equal(estafette_submit_begin(n->h, &s, &tag), ESTAFETTE_OK);
	assert_true(next_request(n, &r));
}

/* An answer that comes after its caller gave up is dropped, and the tag is not given to another meanwhile. */
static void late_answers_are_dropped(void **state)
{
	struct node *n = *state;
	struct estafette_submission s = submission(luik, "x", 1);
	struct estafette_result r = ESTAFETTE_RESULT_INIT;
	struct request rq;
	assert_int_equal(estafette_submit(n->h, &s, &r, 1), ESTAFETTE_TIMEOUT);
	assert_true(next_request(n, &rq));
	put_accepted(n, rq.tag, false);
	say(n);
	assert_int_equal(n->h->calls, 0);
	assert_int_equal(estafette_in_flight(n->h), 0);
}

/* ---- taking ------------------------------------------------------------------------------------------------------- */

static void a_window_bounds_what_is_asked_for(void **state)
{
	struct node *n = *state;
	struct estafette_take t = ESTAFETTE_TAKE_INIT;
	const struct estafette_message *m;
	struct request r;
	struct view v = {NULL, 0};
	uint32_t asked = 0, first = 0;
	t.queue = "dispatch";
	t.count = 0;
	t.window = 8;
	assert_int_equal(estafette_take(n->h, &t), ESTAFETTE_OK);
	while (next_request(n, &r)) {
		assert_int_equal(count_fields(&r, F_COUNT, &v), 1);
		first = first ? first : r.tag;
		asked += v.ptr[3];
	}
	assert_int_equal(asked, 8);
	assert_int_equal(estafette_next(n->h, &m, 0), ESTAFETTE_TIMEOUT);
	for (uint8_t i = 0; i < 4; i++)
		put_taken(n, first, i, "body", 0);
	put_simple(n, REPLY_DONE, first, 0);
	say(n);
	assert_false(next_request(n, &r)); /* four lie here unread */
	for (int i = 0; i < 4; i++) {
		assert_int_equal(estafette_next(n->h, &m, 0), ESTAFETTE_OK);
		assert_string_equal(m->from, "cic-namen");
		assert_null(m->subject);
		assert_int_equal(m->body_bytes, 4);
		assert_memory_equal(m->body, "body", 4);
	}
	assert_int_equal(estafette_next(n->h, &m, 0), ESTAFETTE_TIMEOUT);
	assert_true(next_request(n, &r)); /* room for four more */
	assert_int_equal(r.type, REQ_TAKE);
}

static void a_stop_gives_what_was_under_way(void **state)
{
	struct node *n = *state;
	struct estafette_take t = ESTAFETTE_TAKE_INIT;
	const struct estafette_message *m;
	struct request r;
	t.queue = "dispatch";
	assert_int_equal(estafette_take(n->h, &t), ESTAFETTE_OK);
	assert_true(next_request(n, &r));
	put_taken(n, r.tag, 1, "under way", 0);
	assert_int_equal(estafette_take_stop(n->h), ESTAFETTE_OK);
	assert_true(next_request(n, &r));
	assert_int_equal(r.type, REQ_TAKE_STOP);
	put_simple(n, REPLY_DONE, r.tag, 0);
	put_simple(n, REPLY_DONE, r.tag, 0); /* of the take itself, which ended at the same moment */
	say(n);
	assert_int_equal(estafette_next(n->h, &m, 0), ESTAFETTE_OK);
	assert_int_equal(m->body_bytes, 9);
	assert_int_equal(estafette_next(n->h, &m, 0), ESTAFETTE_END);
	assert_int_equal(estafette_take(n->h, &t), ESTAFETTE_OK);
	assert_true(next_request(n, &r));
	put_error(n, r.tag, "unknown_queue", "no such queue");
	say(n);
	assert_int_equal(estafette_next(n->h, &m, 0), ESTAFETTE_REFUSED);
	assert_string_equal(estafette_error_code(n->h), "unknown_queue");
}

struct sink { uint8_t bytes[4 * LIMIT_CHUNK_BYTES]; size_t n; };

static int sink_write(void *arg, const void *bytes, size_t n)
{
	struct sink *s = arg;
	memcpy(s->bytes + s->n, bytes, n);
	s->n += n;
	return 0;
}

/* The node answers pieces in the wrong order; the reader gets them in the right one. */
static void a_body_is_read_in_order(void **state)
{
	struct node *n = *state;
	struct estafette_take t = ESTAFETTE_TAKE_INIT;
	const struct estafette_message *m;
	struct sink *sink = calloc(1, sizeof *sink);
	static uint8_t piece[LIMIT_CHUNK_BYTES];
	struct request r;
	t.queue = "dispatch";
	assert_int_equal(estafette_take(n->h, &t), ESTAFETTE_OK);
	assert_true(next_request(n, &r));
	put_taken(n, r.tag, 1, NULL, 2 * LIMIT_CHUNK_BYTES + 3);
	say(n);
	assert_int_equal(estafette_next(n->h, &m, 0), ESTAFETTE_OK);
	assert_null(m->body);
	uint32_t tag = n->h->last_tag + 1;
	for (uint32_t i = 3; i-- > 0;) {
		struct request_writer w;
		memset(piece, (int)('a' + i), sizeof piece);
		request_begin(&w, &n->out, REPLY_BODY, tag + i);
		request_u32(&w, F_INDEX, i);
		request_u8(&w, F_LAST, i == 2);
		request_field(&w, F_BODY, view_of(piece, i == 2 ? 3 : sizeof piece));
		request_end(&w);
	}
	/* Written before they are asked for, so that one thread can play both sides: they lie in the socket. */
	assert_int_equal(write(n->fd, n->out.ptr, n->out.len), n->out.len);
	assert_int_equal(estafette_read_body(n->h, m, sink_write, sink, 1000), ESTAFETTE_OK);
	assert_int_equal(sink->n, 2 * LIMIT_CHUNK_BYTES + 3);
	assert_int_equal(sink->bytes[0], 'a');
	assert_int_equal(sink->bytes[LIMIT_CHUNK_BYTES], 'b');
	assert_int_equal(sink->bytes[sink->n - 1], 'c');
	free(sink);
}

/* ---- rows, and what a node should not send ------------------------------------------------------------------------- */

static int keep_row(void *arg, const struct estafette_member *m, size_t n)
{
	int *rows = arg;
	assert_int_equal(n, 3);
	assert_string_equal(m[0].name, "site");
	assert_string_equal(m[0].text, "cic-luik");
	assert_int_equal(m[1].kind, ESTAFETTE_NUMBER);
	assert_int_equal(m[1].number, -5);
	assert_int_equal(m[2].kind, ESTAFETTE_NULL);
	(*rows)++;
	return 0;
}

static void rows_are_given_as_they_come(void **state)
{
	struct node *n = *state;
	struct request_writer w;
	int rows = 0;
	for (int i = 0; i < 2; i++) {
		request_begin(&w, &n->out, REPLY_ROW, 1);
		request_str(&w, F_NAME, "site");
		request_str(&w, F_TEXT, "cic-luik");
		request_str(&w, F_NAME, "skew");
		request_u64(&w, F_NUMBER, (uint64_t)-5);
		request_str(&w, F_NAME, "bearer");
		request_field(&w, F_NULL, view_of(NULL, 0));
		request_end(&w);
	}
	put_simple(n, REPLY_DONE, 1, 2);
	assert_int_equal(write(n->fd, n->out.ptr, n->out.len), n->out.len);
	assert_int_equal(estafette_show(n->h, "status", NULL, NULL, keep_row, &rows, 1000), ESTAFETTE_OK);
	assert_int_equal(rows, 2);
}

static void bytes_may_come_one_by_one(void **state)
{
	struct node *n = *state;
	struct estafette_submission s = submission(luik, "x", 1);
	struct estafette_result r = ESTAFETTE_RESULT_INIT;
	uint32_t tag;
	assert_int_equal(estafette_submit_begin(n->h, &s, &tag), ESTAFETTE_OK);
	put_accepted(n, tag, false);
	for (size_t i = 0; i < n->out.len; i++) {
		assert_int_equal(estafette_result(n->h, &r, 0), ESTAFETTE_TIMEOUT);
		assert_int_equal(write(n->fd, n->out.ptr + i, 1), 1);
	}
	assert_int_equal(estafette_result(n->h, &r, 100), ESTAFETTE_OK);
	assert_int_equal(r.tag, tag);
}

static void the_wrong_answer_ends_the_connection(void **state)
{
	struct node *n = *state;
	struct estafette_submission s = submission(luik, "x", 1);
	struct estafette_result r = ESTAFETTE_RESULT_INIT;
	uint32_t tag;
	assert_int_equal(estafette_submit_begin(n->h, &s, &tag), ESTAFETTE_OK);
	put_simple(n, REPLY_BODY, tag, 1);
	say(n);
	assert_int_equal(estafette_result(n->h, &r, 100), ESTAFETTE_CLOSED);
	assert_string_equal(estafette_error_code(n->h), "closed");
}

static void a_node_that_goes_away_is_noticed(void **state)
{
	struct node *n = *state;
	struct estafette_submission s = submission(luik, "x", 1);
	struct estafette_result r = ESTAFETTE_RESULT_INIT;
	shutdown(n->fd, SHUT_RDWR);
	assert_int_equal(estafette_submit(n->h, &s, &r, 1000), ESTAFETTE_CLOSED);
	assert_int_equal(estafette_submit(n->h, &s, &r, 1000), ESTAFETTE_CLOSED);
}

/* Whatever comes, the handle survives it. */
static void noise_does_no_harm(void **state)
{
	(void)state;
	srand(7);
	for (int round = 0; round < 3000; round++) {
		void *p;
		setup(&p);
		struct node *n = p;
		struct estafette_submission s = submission(luik, "x", 1);
		struct estafette_take t = ESTAFETTE_TAKE_INIT;
		const struct estafette_message *m;
		struct estafette_result r = ESTAFETTE_RESULT_INIT;
		uint32_t tag;
		t.queue = "dispatch";
		estafette_take(n->h, &t);
		estafette_submit_begin(n->h, &s, &tag);
		put_taken(n, 1, 1, "body", 0);
		put_accepted(n, 2, false);
		put_simple(n, REPLY_DONE, 1, 1);
		for (int k = rand() % 6; k >= 0; k--)
			n->out.ptr[(size_t)rand() % n->out.len] ^= (uint8_t)(1 << rand() % 8);
		n->out.len -= (size_t)(rand() % 3);
		say(n);
		while (estafette_next(n->h, &m, 0) == ESTAFETTE_OK)
			continue;
		(void)estafette_result(n->h, &r, 0);
		teardown(&p);
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(answers_come_in_any_order), T(many_in_flight_keep_their_tags), T(pieces_wait_for_credit), T(wrong_submissions_cost_nothing),
		T(late_answers_are_dropped), T(a_window_bounds_what_is_asked_for), T(a_stop_gives_what_was_under_way), T(a_body_is_read_in_order),
		T(rows_are_given_as_they_come), T(bytes_may_come_one_by_one), T(the_wrong_answer_ends_the_connection),
		T(a_node_that_goes_away_is_noticed), cmocka_unit_test(noise_does_no_harm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
