/* tables.c - see tables.h. */
#include <stdio.h>
#include <string.h>

#include "tests/lib/tables.h"

static void value_text(const struct request_item *f, struct buf *out)
{
	char text[32];

	if (f->field == F_NUMBER || f->field == F_TIME)
		snprintf(text, sizeof text, "%lld", (long long)item_u64(f));
	else if (f->field == F_FLAG)
		snprintf(text, sizeof text, "%s", item_u8(f) ? "yes" : "no");
	else
		text[0] = '\0';
	if (text[0])
		buf_add(out, view_str(text));
	else
		buf_add(out, f->value);
}

static bool wanted(const char *only, struct view name)
{
	char padded[80];

	snprintf(padded, sizeof padded, " %.*s ", (int)name.len, (const char *)name.ptr);
	return !only || strstr(only, padded);
}

/* A row as " name=value name=value ...", of the members named in only (" a b "), or all. */
static void row_text_of(struct view rest, const char *only, struct buf *out)
{
	struct request_item f;
	bool take = false;

	while (request_next(&rest, &f) == ERR_OK) {
		if (f.field != F_NAME) {
			if (take)
				value_text(&f, out);
			take = false;
			continue;
		}
		take = wanted(only, f.value);
		if (!take)
			continue;
		buf_add_u8(out, ' ');
		buf_add(out, f.value);
		buf_add_u8(out, '=');
	}
}

bool table_has(const struct buf *b, const char *text)
{
	for (size_t at = 0; at + strlen(text) <= b->len; at++)
		if (memcmp(b->ptr + at, text, strlen(text)) == 0)
			return true;
	return false;
}

void table_add(struct world *w, size_t i, const char *what, const struct msgid *id, const char *only, bool all, struct buf *out)
{
	struct request_writer rw;
	struct buf b = BUF_EMPTY, line = BUF_EMPTY, whole = BUF_EMPTY;
	struct request r;
	uint32_t tag = ++w->tag;
	bool done = false;

	request_begin(&rw, &b, REQ_SHOW, tag);
	request_str(&rw, F_WHAT, what);
	if (id)
		request_id(&rw, id);
	request_end(&rw);
	world_request(w, i, &b);
	while (!done) {
		world_run(w, 1000);
		while (!done && world_reply(w, i, &r)) {
			done = r.tag == tag && r.type == REPLY_DONE;
			if (r.tag != tag || r.type != REPLY_ROW)
				continue;
			buf_clear(&line);
			buf_clear(&whole);
			row_text_of(r.fields, NULL, &whole);
			row_text_of(r.fields, only, &line);
			if (!all && (table_has(&whole, " exercise=yes") || table_has(&whole, " kind=exercise-")))
				continue;
			buf_add(out, view_str(what));
			buf_add(out, buf_view(&line));
			buf_add_u8(out, '\n');
		}
	}
	buf_release(&b);
	buf_release(&line);
	buf_release(&whole);
}

bool table_says(struct world *w, size_t i, const char *what, const struct msgid *id, const char *text)
{
	struct buf b = BUF_EMPTY;

	table_add(w, i, what, id, NULL, true, &b);
	bool is = table_has(&b, text);

	buf_release(&b);
	return is;
}

bool table_row_says(struct world *w, size_t i, const char *what, const struct msgid *id, const char *text, const char *and)
{
	struct buf b = BUF_EMPTY;
	bool is = false;

	table_add(w, i, what, id, NULL, true, &b);
	buf_add_u8(&b, '\0');
	for (char *save, *line = strtok_r((char *)b.ptr, "\n", &save); line && !is; line = strtok_r(NULL, "\n", &save))
		is = strstr(line, text) && strstr(line, and);
	buf_release(&b);
	return is;
}
