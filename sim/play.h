/* play.h - plays a drill in a world: its timetable as calls of world.h, its traffic and desks as clients, its expectations
 * as questions asked at their time.
 *
 *     struct link_config *links; drill_links(d, &links, &n);         what world_config.links wants; free()
 *     world_new(...); play_new(d, seed, w, oracle, story, &p);       everything is put on the world's timers now
 *     world_run(w, (struct mono){play_end_us(d)});                   timetable, repair at d->length_us, settling
 *     play_finish(p);                                                expectations "at the end" (before oracle_finish or after it)
 *
 * The play tells the story its plan (STORY_PLAN), and the oracle what only it knows: oracle_expect, oracle_repaired, and the
 * faults desk-crash, desk-refuses, client-retry and partition. What the world does is told by the world's news, what clients
 * say by the witness; so nothing is told twice. */
#ifndef SIM_PLAY_H
#define SIM_PLAY_H

#include "sim/drill.h"
#include "sim/oracle.h"
#include "sim/story.h"
#include "sim/world.h"

struct play;

/* The links of a drill as the world takes them. *out is freed with free(). */
MUST_USE enum err drill_links(const struct drill *d, uint64_t seed, struct link_config **out, size_t *n);
int64_t play_end_us(const struct drill *d);

/* d, w, o and s are borrowed; o and s may be NULL (nothing is judged, nothing told). */
MUST_USE enum err play_new(const struct drill *d, uint64_t seed, struct world *w, struct oracle *o, struct story *s, struct play **out);
void play_free(struct play *p);
/* Judges the expectations without a time. Once, after the run, before the report. */
void play_finish(struct play *p);

struct play_counts {
	uint64_t submitted;   /* handed to a node */
	uint64_t accepted, refused;
	uint64_t unanswered;  /* the node ended before it answered; sent again with the same key when it is up */
	uint64_t unsent;      /* the node was down: the desk keeps it and sends it when the node is up */
	uint64_t taken, read, turned_down, returned, desk_crashes;
};
const struct play_counts *play_counts(const struct play *p);
/* The names of what the drill uses and the node lacks ("relocate", ...), for struct run. Live as long as p. */
const char *const *play_unsupported(const struct play *p, size_t *n);

#endif
