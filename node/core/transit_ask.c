/* transit_ask.c - what passes through: who is asked what he has of a stream, and what is answered. */
#include "node/core/core_int.h"
#include "node/core/transit_int.h"

/* Who does not answer is asked again after so long, then twice as long, ... */
#define ASK_AGAIN_US (2 * US_PER_S)
#define ASK_AGAIN_MOST_US (60 * US_PER_S)
/* One gives us a stream; when nothing has come of it for so long another may. */
#define PULL_US (6 * US_PER_S)
#define PULLS_MAX 1024

void transit_ask(struct core *c, struct stream *s, struct flow *f)
{
	int64_t wait = ASK_AGAIN_US > 2 * f->peer->rtt_us ? ASK_AGAIN_US : 2 * f->peer->rtt_us;

	if (mono_before(c->now, f->ask_at)) {
		transit_later(c, s, f->ask_at);
		return;
	}
	struct transit_frontier *slot = array_grow(&c->passing.asks, &c->passing.n_asks, sizeof *slot);

	if (!slot)
		return;
	*slot = (struct transit_frontier){s->row.local, f->peer->site};
	for (unsigned i = 0; i < f->asks && wait < ASK_AGAIN_MOST_US; i++)
		wait *= 2;
	f->asks++;
	f->ask_at = mono_add(c->now, wait);
	transit_later(c, s, f->ask_at);
}

/* Frames to one peer of the streams in a list; each line is taken off it. */
void transit_asks_send(struct core *c)
{
	struct transit *x = &c->passing;
	struct buf *out = NULL;
	size_t start = 0;

	for (size_t i = 0; i < x->n_asks; i++) {
		uint16_t site = x->asks[i].site;
		struct peer *p = site ? peer_find(c, site) : NULL;

		for (size_t k = i; p && k < x->n_asks; k++) {
			struct stream *s = x->asks[k].site == site ? stream_by_local(c, x->asks[k].stream) : NULL;

			if (!s)
				continue;
			x->asks[k].site = 0;
			if (!out) {
				out = effect_begin(c->out);
				start = out->len;
				frame_frontiers_begin(out, FRONTIERS_ASK);
			}
			struct frontier f = frontier_of(s);

			frontier_add(out, &f);
			if (out->len - start > LIMIT_SEGMENT_BYTES - 1024) {
				effect_end_control(c, p);
				out = NULL;
			}
		}
		if (out)
			effect_end_control(c, p);
		out = NULL;
	}
	x->n_asks = 0;
}

void transit_answers_send(struct core *c)
{
	struct transit *x = &c->passing;

	for (size_t i = 0; i < x->n_answers; i++) {
		uint16_t site = x->answers[i].site;
		struct peer *p = site ? peer_find(c, site) : NULL;
		struct buf *out = p ? effect_begin(c->out) : NULL;
		size_t start = out ? out->len : 0;

		if (out)
			frame_frontiers_begin(out, 0);
		for (size_t k = i; out && k < x->n_answers && out->len - start < LIMIT_SEGMENT_BYTES - 1024; k++) {
			if (x->answers[k].site != site)
				continue;
			struct stream *s = stream_by_name(c, &x->answers[k].name);
			struct frontier f = {.stream = x->answers[k].name};

			if (s)
				f = frontier_of(s);
			else
				f.chain = stream_hash(&c->roster->network_hash, &f.stream);
			frontier_add(out, &f);
			x->answers[k].site = 0;
		}
		if (out)
			effect_end_control(c, p);
	}
	x->n_answers = 0;
}

static struct transit_pull *pull_get(struct core *c, const struct hash *stream, bool *is_new)
{
	struct transit *x = &c->passing;
	struct transit_pull *oldest = NULL;

	*is_new = false;
	for (size_t i = 0; i < x->n_pulls; i++) {
		if (hash_equal(&x->pulls[i].stream, stream))
			return &x->pulls[i];
		if (!oldest || mono_before(x->pulls[i].at, oldest->at))
			oldest = &x->pulls[i];
	}
	*is_new = true;
	if (x->n_pulls < PULLS_MAX && (!oldest || c->now.us - oldest->at.us < 10 * PULL_US))
		oldest = array_grow(&x->pulls, &x->n_pulls, sizeof *oldest);
	if (oldest)
		*oldest = (struct transit_pull){.stream = *stream};
	return oldest;
}

/* Its originator gives what it wrote in this run by itself. */
struct peer *transit_writer(struct core *c, const struct stream_name *n)
{
	struct peer *o = n->originator == c->self ? NULL : peer_find(c, n->originator);

	return o && o->live && o->met && incarnation_equal(&o->incarnation, &n->incarnation) && concerns(c, c->self, n) ? o : NULL;
}

/* Does it fall to that peer to give us what we lack of a stream? */
static bool pull_from(struct core *c, struct peer *p, const struct stream_name *n, const struct hash *hash, uint64_t held)
{
	struct peer *o = transit_writer(c, n);
	bool is_new;
	struct transit_pull *x = pull_get(c, hash, &is_new);

	if (!x)
		return false;
	const struct peer *before = is_new ? NULL : peer_find(c, x->from);

	if (is_new || held > x->held)
		x->at = c->now;
	x->held = held;
	if (is_new)
		x->from = o ? o->site : p->site;
	else if (x->from != p->site && (!before || !before->live || c->now.us - x->at.us >= PULL_US)) {
		x->from = p->site;
		x->at = c->now;
	}
	return x->from == p->site;
}

/* Nobody has more of that than we do. */
static bool is_of_this_run(const struct core *c, const struct stream_name *n)
{
	return n->originator == c->self && incarnation_equal(&n->incarnation, &c->incarnation);
}

/* Somebody has no more of it than we do, and asks whether it is where it has to be: that goes on to whom it concerns, unless it did of late
 * and the question is our own come back. */
static void question(struct core *c, struct stream *s, bool of_a_copy)
{
	if (!of_a_copy && s->asked_at.us && s->asked_held >= s->row.held && c->now.us - s->asked_at.us < TRANSIT_LAZILY_MOST_US)
		return;
	s->asked_for = true;
	transit_due(c, s);
}

static void asked_one(struct core *c, struct peer *p, const struct frontier *fr)
{
	const struct stream_name *n = &fr->stream;
	struct stream *s = stream_by_name(c, n);
	bool ours = concerns(c, c->self, n), theirs = concerns(c, p->site, n);
	struct hash hash = s ? s->hash : stream_hash(&c->roster->network_hash, n);
	uint64_t held = s ? s->row.held : 0;

	if (!roster_site(c->roster, n->originator) || !roster_site(c->roster, n->addressee))
		return;
	if (s && !flow_of(s, p) && !flow_add(c, s, p))
		return;
	frontier_heard(c, p, fr);
	/* Who it concerns asks only when others have copies. */
	if (s && ours)
		transit_guests(c, s);
	if (s && held && fr->number <= held)
		question(c, s, ours && !theirs);
	if (fr->number > held && (is_of_this_run(c, n) || (!ours && !transit_accepts(c, n)) || !pull_from(c, p, n, &hash, held)))
		return;
	struct transit_answer *a = array_grow(&c->passing.answers, &c->passing.n_answers, sizeof *a);

	if (a)
		*a = (struct transit_answer){p->site, *n};
}

void transit_asked(struct core *c, struct peer *p, struct view frontiers)
{
	struct frontier *fr = malloc(sizeof *fr);

	while (fr && frontiers.len && frontier_next(&frontiers, fr) == ERR_OK)
		asked_one(c, p, fr);
	free(fr);
}
