/* reply.c - replies to clients, and the refusal of what did not fit into the journal. */
#include <stdarg.h>
#include <stdio.h>

#include "node/core/core_int.h"

void reply_begin(struct core *c, struct request_writer *w, uint8_t type, uint32_t tag)
{
	request_begin(w, effect_begin(c->out), type, tag);
}

void reply_end(struct core *c, struct request_writer *w, uint64_t client)
{
	request_end(w);
	effect_end_reply(c->out, client);
}

void reply_error(struct core *c, uint64_t client, uint32_t tag, enum err e, const char *fmt, ...)
{
	char text[400];
	struct request_writer w;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	reply_begin(c, &w, REPLY_ERROR, tag);
	request_str(&w, F_CODE, err_code(e));
	request_str(&w, F_TEXT, text);
	reply_end(c, &w, client);
}

void reply_busy(struct core *c, uint64_t client, uint32_t tag, const char *what)
{
	char text[400], until[WALL_TEXT_BYTES];
	struct wall at = room_until(c);
	struct request_writer w;

	wall_format(at, 0, until);
	snprintf(text, sizeof text, "journal: nearly full, %s is not taken now, busy until %s (free space or raise `quota`; what is more urgent is refused later)", what, until);
	reply_begin(c, &w, REPLY_ERROR, tag);
	request_str(&w, F_CODE, err_code(ERR_BUSY));
	request_str(&w, F_TEXT, text);
	request_u64(&w, F_TIME, (uint64_t)at.us);
	reply_end(c, &w, client);
}

void reply_done(struct core *c, uint64_t client, uint32_t tag, uint32_t count)
{
	struct request_writer w;

	reply_begin(c, &w, REPLY_DONE, tag);
	request_u32(&w, F_COUNT, count);
	reply_end(c, &w, client);
}

void core_refuse(struct core *c, const struct event *ev, enum err why, struct effects *out)
{
	struct request rq;

	c->out = out;
	if (why == ERR_FULL)
		c->refused_full++;
	peer_missed(c, ev);
	effect_log(out, 4, "journal: %s (the event was not applied)", err_text(why));
	if (ev->type == EVENT_REQUEST && request_decode(ev->u.request.bytes, &rq) == ERR_OK)
		reply_error(c, ev->u.request.client, rq.tag, why == ERR_FULL ? ERR_FULL : ERR_BUSY,
			    "journal: %s, nothing was stored (free space on the journal's disk or raise its quota, then try again)",
			    err_text(why));
	c->out = NULL;
}
