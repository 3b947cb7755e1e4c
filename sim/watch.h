/* watch.h - puts witness, oracle, story and pictures beside a world, and judges what a drill expects.
 *
 * The run is then:
 *
 *     watch = watch_new(world, drill, &story);      right after world_new: it subscribes, and sets timers for the expectations
 *     world_run(world, length);
 *     world_heal(world);  watch_repaired(watch);    nothing more is submitted, desks go on
 *     while (!watch_converged(watch) && time is left) world_run(world, a second or so more);
 *     watch_finish(watch, false);                   reads every journal, judges what is left
 *     report_*(...) with watch_oracle, watch_series
 *
 * A run that ends sooner (interrupted, or a sweep that has seen something break) skips to watch_finish(watch, true); what needs
 * the end of the settling is then not judged. */
#ifndef SIM_WATCH_H
#define SIM_WATCH_H

#include "sim/drill.h"
#include "sim/oracle.h"
#include "sim/report.h"
#include "sim/world.h"

struct watch;

/* The drill may be NULL (no expectations, no length: unit tests and golden scenarios). All are borrowed until watch_free. */
struct watch *watch_new(struct world *w, const struct drill *d, struct story *story);
void watch_free(struct watch *w);

/* The sites are real daemons: witness_beside. Right after watch_new. */
void watch_beside(struct watch *w);
/* A message with a label was accepted (send events): for expectations of its state. */
void watch_sent(struct watch *w, const char *label, size_t site, const struct msgid *id);
/* The timetable is about to do this event: a line of the story, and a fault counted. Calls with what the swarm drew too. */
void watch_event(struct watch *w, const struct drill_event *e);
/* What became of something that people asked of a node: a line of the story. */
void watch_said(struct watch *w, const char *text);
/* What a desk did, for the coverage: FAULT_DESK_CRASH, FAULT_DESK_REFUSES, FAULT_CLIENT_RETRY. */
void watch_fault(struct watch *w, enum fault_kind k);

/* An expectation of whoever runs it, beside the drill's own. */
void watch_expects(struct watch *w, bool met, bool skipped, const char *text);

void watch_repaired(struct watch *w);
/* All journals agree, and the counts that the drill expects at its end are reached: desks may need longer than journals. */
bool watch_converged(struct watch *w);
void watch_finish(struct watch *w, bool cut_short);
/* Something broke: a sweep need not go on with this seed. */
bool watch_failed(const struct watch *w);

const struct oracle *watch_oracle(const struct watch *w);
const struct series *watch_series(const struct watch *w);

#endif
