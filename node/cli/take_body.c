/* take_body.c - the body of a message, checked, and the two shapes it has on standard output. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/cli/longwork.h"
#include "node/cli/take.h"
#include "proto/crypt.h"

#define PIECE_MS 60000 /* for one piece of a body */
#define PROGRESS_BYTES (1024 * 1024) /* a larger body is shown on its way */

struct checked {
	struct hasher *hasher;
	int (*write)(void *arg, const void *bytes, size_t n);
	void *arg;
	int error; /* errno of a write that failed */
	uint64_t done, of;
	struct progress progress;
};

static int write_checked(void *arg, const void *bytes, size_t n)
{
	struct checked *c = arg;
	hasher_add(c->hasher, view_of(bytes, n));
	errno = 0;
	if (c->write(c->arg, bytes, n) == 0) {
		c->done += n;
		if (c->of > PROGRESS_BYTES)
			progress_show(&c->progress, c->done, c->of);
		return 0;
	}
	c->error = errno ? errno : EIO;
	return -1;
}

int take_body(struct taking *t, const struct estafette_message *m, int (*write)(void *arg, const void *bytes, size_t n), void *arg)
{
	struct checked c = {.hasher = hasher_new(HASH_BODY), .write = write, .arg = arg, .of = m->body_bytes};
	if (c.hasher == NULL) {
		t->status = cli_fail(t->cli, ERR_NOMEM, "%s: out of memory", m->id);
		return -1;
	}
	progress_begin(&c.progress, m->id);
	int st = estafette_read_body(t->h, m, write_checked, &c, PIECE_MS);
	progress_end(&c.progress);
	struct hash h = hasher_end(c.hasher);
	if (c.error != 0)
		t->status = cli_fail(t->cli, ERR_IO, "%s: writing the body: %s (the message goes back into its queue)", m->id, strerror(c.error));
	else if (st != ESTAFETTE_OK)
		t->status = cli_fail(t->cli, err_from_code(estafette_error_code(t->h)), "%s: reading the body: %s", m->id, estafette_error_text(t->h));
	else if (m->plain_hash != NULL && memcmp(m->plain_hash, h.b, sizeof h.b) != 0)
		t->status = cli_fail(t->cli, ERR_DAMAGED, "%s: the body does not fit its hash (take it again; it was not acknowledged)", m->id);
	else
		return 0;
	return -1;
}

int take_write_fd(void *arg, const void *bytes, size_t n)
{
	const char *p = bytes;
	int fd = *(const int *)arg;
	while (n > 0) {
		ssize_t w = write(fd, p, n);
		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return -1;
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

/* People see whose message it is; standard output holds the body alone. */
static void say_whose(const struct estafette_message *m)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "%s from %s, %s%s%s\n", m->id, m->from, precedence_name((unsigned)m->precedence),
		        m->perhaps_seen ? ", perhaps seen at " : "", m->perhaps_seen ? m->perhaps_seen : "");
}

int take_plain(struct taking *t, const struct estafette_message *m)
{
	int fd = STDOUT_FILENO;
	say_whose(m);
	return take_body(t, m, take_write_fd, &fd);
}

/* ---- JSON -------------------------------------------------------------------------------------------------- */

static json_t *text_or_null(const char *s) { return s ? cli_json_string(s) : json_null(); }

static json_t *time_or_null(int64_t us)
{
	char text[WALL_TEXT_BYTES];
	if (us == 0)
		return json_null();
	wall_format((struct wall){us}, 6, text);
	return json_string(text);
}

json_t *take_object(const struct estafette_message *m)
{
	return json_pack("{s:s,s:o,s:o,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:I,s:o,s:b,s:o,s:o,s:o,s:o,s:o}", "id", m->id, "from", cli_json_string(m->from),
	                 "queue", cli_json_string(m->queue), "precedence", precedence_name((unsigned)m->precedence), "type", cli_json_string(m->type ? m->type : "application/octet-stream"),
	                 "lang", text_or_null(m->lang), "channel", text_or_null(m->channel), "subject", text_or_null(m->subject), "re", text_or_null(m->re),
	                 "sent", time_or_null(m->sent_us), "expires", time_or_null(m->expires_us), "size", (json_int_t)m->body_bytes,
	                 "exercise", text_or_null(m->exercise), "replayed", m->replayed, "perhaps_seen", text_or_null(m->perhaps_seen),
	                 "handle_by", time_or_null(m->handle_by_us), "to", text_or_null(m->to[0] ? m->to : NULL),
	                 "replayed_by", text_or_null(m->replayed_by), "replayed_why", text_or_null(m->replayed_why));
}

/* Base64 of a stream: what does not fill three bytes waits for the next piece. */
struct base64 { FILE *to; uint8_t rest[3]; size_t n; };

static int base64_group(struct base64 *b)
{
	char out[8];
	base64_format(b->rest, b->n, out, sizeof out);
	b->n = 0;
	return fputs(out, b->to) == EOF ? -1 : 0;
}

static int base64_write(void *arg, const void *bytes, size_t n)
{
	struct base64 *b = arg;
	const uint8_t *p = bytes;
	char out[4096 + 8];
	while (n > 0 && (b->n > 0 || n < 3)) {
		b->rest[b->n++] = *p++;
		n--;
		if (b->n == 3 && base64_group(b) != 0)
			return -1;
	}
	while (n >= 3) {
		size_t some = n < 3072 ? n - n % 3 : 3072;
		base64_format(p, some, out, sizeof out);
		if (fputs(out, b->to) == EOF)
			return -1;
		p += some;
		n -= some;
	}
	if (n > 0) {
		memcpy(b->rest, p, n);
		b->n = n;
	}
	return 0;
}

/* The object is written around the body, which may be larger than memory. One whose body broke off stays open: nobody shall take
 * the beginning of a body for all of it. */
int take_json(struct taking *t, const struct estafette_message *m)
{
	struct base64 b = {stdout, {0}, 0};
	json_t *o = take_object(m);
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	int rc = -1;
	json_decref(o);
	if (text == NULL) {
		t->status = cli_fail(t->cli, ERR_NOMEM, "%s: out of memory", m->id);
		return -1;
	}
	text[strlen(text) - 1] = '\0'; /* without its closing brace */
	printf("%s,\"body\":\"", text);
	rc = take_body(t, m, base64_write, &b);
	if (rc == 0 && b.n > 0)
		base64_group(&b);
	puts(rc == 0 ? "\"}" : "");
	if (fflush(stdout) != 0 && rc == 0) {
		t->status = cli_fail(t->cli, ERR_IO, "standard output: %s (the message goes back into its queue)", strerror(errno));
		rc = -1;
	}
	free(text);
	return rc;
}
