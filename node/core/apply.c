#include "node/core/apply.h"
#include "node/core/core_int.h"

/* A failure after which nothing more may be said: the disk's state is unknown, or our own memory is not to be trusted. */
static bool is_fatal(enum err e)
{
	return e == ERR_SYNC || e == ERR_IO || e == ERR_NOMEM;
}

static enum err apply_batch(struct core *c, struct store *s, const struct event *events, size_t n, struct effects *out)
{
	struct txn *t = NULL;
	size_t keep = out->n, keep_bytes = out->bytes.len;
	enum err e = txn_begin(s, true, &t);

	if (e)
		return e;
	for (size_t i = 0; i < n; i++)
		core_step(c, &events[i], t, out);
	core_finish(c, events[n - 1].now, events[n - 1].wall, t, out);
	e = txn_commit(t);
	if (!e && out->bad)
		return ERR_NOMEM;
	if (e) {
		out->n = keep;
		out->bytes.len = keep_bytes;
		return e;
	}
	core_committed(c);
	return ERR_OK;
}

/* One batch, and everything undone when it fails; then *failed says why. */
static enum err try_batch(struct core *c, struct store *s, const struct event *events, size_t n, struct effects *out, enum err *failed)
{
	enum err e = apply_batch(c, s, events, n, out);

	*failed = ERR_OK;
	if (!e || is_fatal(e))
		return e;
	*failed = e;
	return core_reload(c);
}

/* Does what the core does by itself fit? What does not waits a second, and the events, which may fit, do not wait for it. */
static enum err own_work(struct core *c, struct store *s, const struct event *last, struct effects *out)
{
	struct event tick = {.type = EVENT_TICK, .now = last->now, .wall = last->wall};
	enum err failed, e = try_batch(c, s, &tick, 1, out, &failed);

	if (!e && failed)
		core_hold(c, last->now);
	return e;
}

enum err core_apply(struct core *c, struct store *s, const struct event *events, size_t n, struct effects *out)
{
	enum err failed, e = ERR_OK;

	if (n == 0)
		return ERR_OK;
	bool again = n > 1;

	e = try_batch(c, s, events, n, out, &failed);
	if (!e && failed == ERR_FULL && !core_held(c, events[n - 1].now)) {
		e = own_work(c, s, &events[n - 1], out);
		again = again || core_held(c, events[n - 1].now);
	}
	for (size_t i = 0; !e && failed && i < n; i++) {
		enum err why = failed;

		if (again)
			e = try_batch(c, s, &events[i], 1, out, &why);
		if (!e && why)
			core_refuse(c, &events[i], why, out);
	}
	if (!e)
		core_retire(c);
	return e;
}
