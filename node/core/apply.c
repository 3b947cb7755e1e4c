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

enum err core_apply(struct core *c, struct store *s, const struct event *events, size_t n, struct effects *out)
{
	if (n == 0)
		return ERR_OK;
	enum err e = apply_batch(c, s, events, n, out);

	if (!e || is_fatal(e))
		return e;
	enum err again = core_reload(c);

	if (again)
		return again;
	if (n == 1) {
		core_refuse(c, &events[0], e, out);
		return ERR_OK;
	}
	for (size_t i = 0; i < n; i++) {
		e = core_apply(c, s, &events[i], 1, out);
		if (e)
			return e;
	}
	return ERR_OK;
}
