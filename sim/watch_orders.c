/* watch_orders.c - asks every site, after the last repair, which orders it shows in force: all must say the same. */
#include "sim/watch_int.h"

#define LINE_BYTES 200
#define LIST_BYTES (16 * 1024)

/* What one site answered: a line for each order in force, in the order of the answer, which is that of the chains. */
struct shown { struct watch *w; size_t site; uint64_t client; bool asked, answered; size_t len; char list[LIST_BYTES]; };
struct orders_shown { bool round; struct shown *at; };

static struct view value_of(const struct request *r, const char *name)
{
	struct request_item f;
	bool next = false;

	for (struct view rest = r->fields; request_next(&rest, &f) == ERR_OK;) {
		if (next)
			return f.value;
		next = f.field == F_NAME && view_equal(f.value, view_str(name));
	}
	return view_of(NULL, 0);
}

static void add_row(struct shown *s, const struct request *r)
{
	struct view id = value_of(r, "id"), site = value_of(r, "site"), exercise = value_of(r, "exercise");

	if (view_equal(value_of(r, "state"), view_str("in_force")) && s->len + LINE_BYTES < LIST_BYTES)
		s->len += (size_t)snprintf(s->list + s->len, LINE_BYTES, "%.*s of %.*s%s; ", (int)id.len, (const char *)id.ptr, (int)site.len,
					   (const char *)site.ptr, exercise.len ? " (exercise)" : "");
}

static void hear(void *arg, struct world *world, size_t site, uint64_t client, struct view bytes)
{
	struct shown *s = arg;
	struct request r;
	size_t len = 0;

	if (client != s->client)
		return;
	if (!bytes.len)
		s->client = 0, s->asked = false;
	for (; bytes.len && request_length(bytes, &len) == ERR_OK && len && len <= bytes.len; bytes = view_of(bytes.ptr + len, bytes.len - len)) {
		if (request_decode(view_of(bytes.ptr, len), &r))
			continue;
		if (r.type == REPLY_ROW)
			add_row(s, &r);
		if (r.type == REPLY_DONE)
			s->answered = true;
	}
	if (!s->answered)
		return;
	world_client_close(world, site, client);
	s->client = 0;
}

static void ask(struct watch *w, struct shown *s)
{
	static const struct client_rights rights = {.name = "watch", .precedence = PREC_ROUTINE};
	struct buf b = BUF_EMPTY;
	struct request_writer rw;

	s->answered = false;
	s->len = 0;
	s->list[0] = '\0';
	s->client = world_client_open(w->world, s->site, &rights, hear, s);
	s->asked = s->client != 0;
	if (!s->asked)
		return;
	request_begin(&rw, &b, REQ_SHOW, 1);
	request_str(&rw, F_WHAT, "orders");
	request_end(&rw);
	if (buf_ok(&b))
		world_request(w->world, s->site, s->client, buf_view(&b));
	buf_release(&b);
}

static bool same(struct watch *w, char *why, size_t size)
{
	const struct shown *first = NULL;

	for (size_t i = 0; i < world_sites(w->world); i++) {
		const struct shown *s = &w->orders->at[i];

		if (world_site_state(w->world, i) != SITE_UP)
			continue;
		if (!s->answered) {
			snprintf(why, size, "%s does not say which orders are in force", world_site_id(w->world, i));
			return false;
		}
		if (first && strcmp(first->list, s->list) != 0) {
			snprintf(why, size, "in force at %s: %.100s at %s: %.100s", world_site_id(w->world, first->site), first->list[0] ? first->list : "none;",
				 world_site_id(w->world, i), s->list[0] ? s->list : "none;");
			return false;
		}
		first = s;
	}
	return true;
}

/* The answers of a round come with the world's next run: it is judged when this is called again. */
bool orders_agree(struct watch *w, char *why, size_t size)
{
	size_t n = world_sites(w->world);
	bool agree = false;

	if (!oracle_orders_changed(w->oracle))
		return true;
	if (!w->orders) {
		w->orders = watch_room(NULL, 1, sizeof *w->orders);
		*w->orders = (struct orders_shown){.at = watch_room(NULL, n, sizeof *w->orders->at)};
		for (size_t i = 0; i < n; i++)
			w->orders->at[i] = (struct shown){.w = w, .site = i};
	}
	snprintf(why, size, "no site was asked which orders are in force");
	if (w->orders->round)
		agree = same(w, why, size);
	for (size_t i = 0; !agree && i < n; i++)
		if (!w->orders->at[i].client)
			ask(w, &w->orders->at[i]);
	w->orders->round = true;
	return agree;
}

void orders_end(struct watch *w)
{
	if (w->orders)
		free(w->orders->at);
	free(w->orders);
}
