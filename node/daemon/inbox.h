/* inbox.h - what the network thread has for the journal thread: events in order, bounded in bytes.
 *
 * Three rows, so that FLASH does not wait behind a backlog that has come already: what is urgent (desks, control, the
 * urgent lane), submissions of PRIORITY and below with the bytes of large bodies, and the bulk lane. Within a row the order
 * is kept, and a submission never overtakes what came before it in the urgent row. The bytes of frames and requests are
 * copied in. Over the whole bound a frame is dropped (its peer sends it again); over a half of it urgent requests and over
 * a quarter submissions are refused, and their client waits: so desks that submit faster than the disk shut out neither the
 * acknowledgements of peers nor a desk with a FLASH. */
#ifndef NODE_DAEMON_INBOX_H
#define NODE_DAEMON_INBOX_H

#include "node/core/event.h"
#include "proto/buf.h"

enum inbox_row { ROW_URGENT, ROW_SUBMIT, ROW_BULK, ROW_COUNT };

/* Events that lie together with their bytes. */
struct inbox_batch {
	struct event *ev;
	size_t *at;      /* where the event's bytes begin in bytes */
	size_t n, cap;
	struct buf bytes;
};

struct inbox;

/* room_fd: an eventfd that is written when there is room again after a request was refused. */
MUST_USE enum err inbox_new(int64_t bound_bytes, int room_fd, struct inbox **out);
void inbox_free(struct inbox *b);

/* ---- the network thread ----------------------------------------------------------------------------- */

/* False at the bound or out of memory: nothing was added. Events without bytes are never refused for the bound.
 * The journal thread is woken by inbox_kick, once for many. now and wall of the event are set by the driver. */
bool inbox_add(struct inbox *b, const struct event *ev);
void inbox_kick(struct inbox *b);
/* No event follows: the driver ends after what was added. */
void inbox_stop(struct inbox *b);

/* ---- the journal thread ------------------------------------------------------------------------------- */

/* Waits until something is there, the monotonic time until_us came, or inbox_stop. Rows that are empty in into are
 * exchanged with what came; the others are left. False: stopped, and nothing is left in either row. */
bool inbox_take(struct inbox *b, int64_t until_us, struct inbox_batch into[ROW_COUNT]);
/* Makes room: so many events of a row, with so many bytes in all, were dealt with. */
void inbox_done(struct inbox *b, enum inbox_row row, size_t events, size_t bytes);
void inbox_batch_clear(struct inbox_batch *b);
void inbox_batch_release(struct inbox_batch *b);

#endif
