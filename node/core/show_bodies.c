/* show_bodies.c - how much of large bodies is here, and has gone to others: members and notes of other rows. */
#include <stdio.h>

#include "node/core/show_int.h"

void status_bodies(struct rows *r)
{
	uint64_t bytes = 0, of_bytes = 0;

	for (size_t i = 0; i < r->c->n_fetches; i++) {
		struct body_progress p;

		fetch_progress(&r->c->fetches[i], &p);
		bytes += p.bytes;
		of_bytes += p.of_bytes;
	}
	row_number(r, "bodies_coming", (int64_t)r->c->n_fetches);
	row_present(r, "bodies_coming_bytes", (int64_t)of_bytes);
	row_present(r, "bodies_coming_here", (int64_t)bytes);
}

int64_t body_percent(struct core *c, const struct entry_row *entry)
{
	struct body_progress p;

	if (entry->body_no || !entry->e.body_len || !bodies_progress(c, &entry->e.body_hash, &p))
		return 100;
	return p.of_bytes ? (int64_t)(100 * p.bytes / p.of_bytes) : 0;
}

uint16_t coming_note(struct core *c, const struct entry_row *entry, char *note, size_t size)
{
	char name[LIMIT_NAME_BYTES + 1];
	struct body_progress p = {0};

	if (c->config.past) {
		snprintf(note, size, "its body was still being fetched");
		return 0;
	}
	if (!bodies_progress(c, &entry->e.body_hash, &p) || !p.of_bytes)
		snprintf(note, size, "its body is still being fetched");
	else
		snprintf(note, size, "its body is still being fetched%s%s: %u of %u chunks are here (%d%%)", p.from ? " from " : ", and nobody is linked who has it",
			 p.from ? site_name(c, p.from, name) : "", p.chunks, p.of, (int)(100 * p.bytes / p.of_bytes));
	return p.from;
}

bool giving_note(struct core *c, struct peer *p, const struct entry_row *entry, char *note, size_t size)
{
	struct body_row row;
	uint32_t chunks, bytes;

	if (!p->gone && entry->e.body_len && bodies_given_slices(p, &entry->e.body_hash, &bytes)) {
		snprintf(note, size, "its body goes there in slices: %u of %llu bytes are sent (%d%%)", bytes, (unsigned long long)entry->e.body_len,
			 (int)(100ull * bytes / entry->e.body_len));
		return true;
	}
	if (p->gone || !bodies_given(p, &entry->e.body_hash, &chunks) || store_body_row(c->t, entry->body_class, entry->body_no, &row) || !row.chunks)
		return false;
	snprintf(note, size, "its body goes there: %u of %u chunks are sent (%d%%)", chunks, row.chunks, (int)(100ull * chunks / row.chunks));
	return true;
}
