/* show_int.h - rows of an answer to REQ_SHOW, for the files that write them. Inside of node/core only.
 *
 * One row: row_begin, its members by name in the order of COMMANDS, row_end. The same names everywhere: they become the
 * members of a JSON object. */
#ifndef CORE_SHOW_INT_H
#define CORE_SHOW_INT_H

#include "node/core/core_int.h"

struct rows { struct core *c; uint64_t client; uint32_t tag; uint32_t n; struct request_writer w; bool exercise; /* of a trace */ };

void row_begin(struct rows *r);
void row_end(struct rows *r);
void row_view(struct rows *r, const char *name, struct view v);
void row_text(struct rows *r, const char *name, const char *text);
void row_number(struct rows *r, const char *name, int64_t x);
void row_flag(struct rows *r, const char *name, bool x);
void row_time(struct rows *r, const char *name, struct wall t); /* 0: null */
void row_null(struct rows *r, const char *name);
void row_present(struct rows *r, const char *name, int64_t x); /* a number that no journal keeps: null of a time that is over */
void row_list(struct rows *r, const char *name, const struct buf *items); /* a line each */

/* What `show` answers, where it does not stand in show.c. */
void show_orders(struct rows *r);
void show_bearers(struct rows *r, const struct peer *p);
void show_conflicts(struct rows *r);
void show_link_history(struct rows *r, uint16_t site); /* the latest rows of linklog.h of a peer, and of the node itself */
void show_quarantine(struct rows *r);
void show_trace(struct rows *r, const struct msgid *id);
/* ---- show_forecast.c ---- */
/* What a forecast starts from: of a message (ID), of a queue (queue: SITE/NAME, or NAME of this site), or of everything that is addressed
 * to a site (queue: SITE) for those who would get it (TO.., EXERCISE). No row when there is no such queue, or the message is not known
 * here. Rows by `part`: proto/README.md. */
void show_forecast(struct rows *r, struct view queue, struct view fields);
/* ---- show_bodies.c: large bodies ---- */
void status_bodies(struct rows *r); /* those that are still coming, and how much of them is here */
int64_t body_percent(struct core *c, const struct entry_row *entry); /* of its body, as far as it is here; 100 of one that is whole */
/* How far the body of an entry is that is not whole. The site from which it comes now; 0: from nobody. */
uint16_t coming_note(struct core *c, const struct entry_row *entry, char *note, size_t size);
/* How much of an entry's body went to a peer that wants it. False: it wants none now. */
bool giving_note(struct core *c, struct peer *p, const struct entry_row *entry, char *note, size_t size);

#endif
