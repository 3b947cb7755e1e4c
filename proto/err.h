/* err.h - what can go wrong: an enum for programs, a sentence for people.
 *
 * 0 is success everywhere. A name is the stable `code` of the JSON error object. Functions that read
 * input from people fill a `struct errmsg` beside the code: lower case, what failed first, then what to do. */
#ifndef PROTO_ERR_H
#define PROTO_ERR_H

#define ERR_LIST(X)                                                                       \
	X(OK, ok, "ok")                                                                   \
	X(NOMEM, no_memory, "out of memory")                                              \
	X(USAGE, usage, "wrong usage")                                                    \
	X(FORMAT, bad_format, "the bytes are not in the documented format")               \
	X(TRUNCATED, truncated, "the bytes end too early")                                \
	X(VERSION, newer_version, "a newer version than this program knows")              \
	X(TOO_LARGE, too_large, "larger than the limit")                                  \
	X(RANGE, out_of_range, "a value outside its range")                               \
	X(AUTH, not_authentic, "signature, hash or key commitment does not fit")          \
	X(KEY, no_key, "no key that opens this")                                          \
	X(NOT_FOUND, not_found, "there is no such thing")                                 \
	X(EXISTS, exists, "it is there already")                                          \
	X(CONFLICT, conflict, "it contradicts what is known")                             \
	X(GAP, gap, "something before it is missing")                                     \
	X(DAMAGED, damaged, "a stored record is damaged")                                 \
	X(FULL, full, "no room")                                                          \
	X(BUSY, busy, "not now")                                                          \
	X(IO, io, "input or output failed")                                               \
	X(SYNC, sync_failed, "the disk did not confirm a write")                          \
	X(LOCKED, locked, "another process has it open")                                  \
	X(REFUSED, refused, "refused")                                                    \
	X(NOT_PERMITTED, not_permitted, "this user may not do that")                      \
	X(UNKNOWN_SITE, unknown_site, "no such site, area or group in the roster")        \
	X(UNKNOWN_QUEUE, unknown_queue, "no such queue in the roster")                    \
	X(EXPIRED, expired, "its time has passed")                                        \
	X(TIMEOUT, timeout, "the time ran out")                                           \
	X(NO_NODE, no_node, "no daemon answers")                                          \
	X(CLOSED, closed, "the connection was closed")                                    \
	X(UNSUPPORTED, unsupported, "this version cannot do that yet")                    \
	X(INTERNAL, internal, "a defect of the program")

enum err {
#define X(name, code, text) ERR_##name,
	ERR_LIST(X)
#undef X
	ERR_COUNT
};

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))

/* The stable name ("unknown_site") and the sentence; valid for ever; never NULL, also for a value out of range. */
const char *err_code(enum err e);
const char *err_text(enum err e);

/* The reverse of err_code; ERR_INTERNAL for an unknown name. */
enum err err_from_code(const char *code);

/* An error for a person. text is one line without a final full stop: "what: why (what to do)". */
struct errmsg {
	enum err code;
	char text[400];
};

/* Fills m (which may be NULL) and returns e. */
enum err err_set(struct errmsg *m, enum err e, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
