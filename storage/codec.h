/* codec.h - the rows of the tables as bytes, without the check that record.h puts behind them.
 *
 * _write appends a row to w; its error sticks there. _read takes a row out of stored key and value: all bytes must be
 * used, else ERR_DAMAGED, since the check said that the bytes are as written. Views are borrowed from the value. */
#ifndef STORAGE_CODEC_H
#define STORAGE_CODEC_H

#include "storage/schema.h"

/* No record that codec.h writes is longer; it fits one page with its check. */
#define ROW_BYTES_MAX 4000
#define META_BYTES_MAX 1024
#define EVENTS_BYTES_MAX 3072

void codec_birth_write(struct wr *w, const struct store_birth *b);
enum err codec_birth_read(struct rd *r, struct store_birth *out);
void codec_stream_write(struct wr *w, const struct stream_row *row);
enum err codec_stream_read(struct view key, struct rd *r, struct stream_row *out);
void codec_head_write(struct wr *w, const struct head *h);
enum err codec_head_read(struct view key, struct rd *r, struct head *out);

#define ENTRY_ROW_BYTES 234 /* and the envelope's */
void codec_entry_write(struct wr *w, const struct entry_row *row);
enum err codec_entry_read(struct view key, struct rd *r, struct entry_row *out);

void codec_body_write(struct wr *w, const struct body_row *row);
enum err codec_body_read(struct view key, struct rd *r, struct body_row *out);
void codec_queue_write(struct wr *w, const struct queue_row *row);
enum err codec_queue_read(struct view key, struct rd *r, struct queue_row *out);
void codec_queue_name_write(struct wr *w, const struct queue_row *row); /* site and name */
enum err codec_queue_name_read(struct rd *r, struct queue_row *out);
/* A place is all key. ERR_DAMAGED. */
enum err codec_place_read(struct view key, struct place *out);
void codec_lease_write(struct wr *w, const struct lease_row *l);
enum err codec_lease_read(struct rd *r, struct lease_row *out);
void codec_msg_write(struct wr *w, const struct msg_row *row);
/* Id and addressee are taken from the key. */
enum err codec_msg_key(struct view key, struct msg_row *out);
enum err codec_msg_read(struct view key, struct rd *r, struct msg_row *out);
void codec_idempotency_write(struct wr *w, const struct key_row *row);
enum err codec_idempotency_read(struct rd *r, struct key_row *out);
void codec_alarm_write(struct wr *w, const struct alarm_row *a);
enum err codec_alarm_read(struct view key, struct rd *r, struct alarm_row *out);

#define CLOSING_BYTES_MAX 3072
void codec_conflict_write(struct wr *w, const struct conflict_row *row);
/* As codec_msg_key: from the key alone. */
enum err codec_conflict_key(struct view key, struct conflict_row *out);
enum err codec_conflict_read(struct view key, struct rd *r, struct conflict_row *out);
enum err codec_order_wait_key(struct view key, struct msgid *id, uint16_t *addressee);
enum err codec_branch_key(struct view key, uint32_t *stream, uint64_t *first, struct hash *hash);
#define QUARANTINE_TEXT_BYTES 160
void codec_quarantine_write(struct wr *w, const char *why);
enum err codec_quarantine_read(struct view key, struct rd *r, uint64_t *arrival, char why[QUARANTINE_TEXT_BYTES]);
void codec_redo_write(struct wr *w, const struct redo_row *row);
enum err codec_redo_read(struct view key, struct rd *r, struct redo_row *out);

#define DAMAGE_TEXT_BYTES 256
void codec_damage_write(struct wr *w, struct wall found, const char *what);
enum err codec_damage_read(struct view key, struct rd *r, uint64_t *arrival, struct wall *found, char what[DAMAGE_TEXT_BYTES]);

#endif
