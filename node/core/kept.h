/* kept.h - a copy that was on its way, of a stream that this site is to hold itself now. Part of core_int.h.
 *
 * Luik is relocated to Antwerpen, which until then passed on what others wrote to Luik. What it has of that begins behind a floor: where
 * the custodians were when the copy began, and what it let go of since. Below it may lie what nobody read, and nobody signed that floor.
 * So the stream begins anew here, at its first entry. Who has none to give is asked first: a copy that nobody who is reached is known to
 * have whole may be the last one, and is kept as it is, opened and served, until somebody is. That its floor is nobody's says the
 * journal (store_floor_put without proof), so that a restart knows it too; it is not told to others (floor_say), and not raised
 * (retain.c). Others are told that what is below it is not whole here (64 numbers of it, as many as a frontier has room for), so that
 * nobody lets go of anything because of it, and nobody takes it for a loss when it begins anew.
 *
 * What was said in a batch of how far it is has to be so when the batch is committed. So a kept copy begins anew only before the first
 * event of a batch, and one that an order makes ours before anything is said of it as a custodian (takeover_moved). */
#ifndef CORE_KEPT_H
#define CORE_KEPT_H

#include <stdbool.h>
#include <stdint.h>

struct core;
struct stream;

/* An order or a roster made it ours to hold, and the copy lacks its beginning. */
void kept_concerned(struct core *c, struct stream *s);
/* s->kept, as the journal says. */
void kept_load(struct core *c, struct stream *s);
/* Once somebody has it all it begins anew with the next batch. */
void kept_look(struct core *c, struct stream *s);
/* The message of an entry of a copy stands nowhere any more, as if it had not come: what was said of it is kept, and it is placed when it
 * comes again. */
void kept_forget(struct core *c, struct stream *s, uint64_t number);
/* Before the first event of a batch. */
void kept_anew(struct core *c);

#endif
