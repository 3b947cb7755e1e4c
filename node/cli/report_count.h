/* report_count.h - the counts of `estafette report`: rows by what was asked for, and what each message adds to its row.
 *
 * Memory does not grow with the messages: a row has a histogram of the times to read, sixteen steps to each doubling, so a median is
 * within 1/32 of the true one (slowest and fastest are exact). Senders name channels freely, so that rows are bounded too: once there are
 * many, a channel or queue not seen before is counted as COUNT_OTHERS. */
#ifndef NODE_CLI_REPORT_COUNT_H
#define NODE_CLI_REPORT_COUNT_H

#include "proto/id.h"
#include "proto/limits.h"
#include "proto/report.h"

enum count_by {
	BY_YEAR = 1, BY_MONTH = 2, BY_DIRECTION = 4, BY_ORIGINATOR = 8, BY_ADDRESSEE = 16, BY_SITE = BY_ORIGINATOR | BY_ADDRESSEE,
	BY_QUEUE = 32, BY_CHANNEL = 64, BY_PRECEDENCE = 128,
	BY_SEALED = BY_QUEUE | BY_CHANNEL, /* what only the site's keys open */
};
/* "site,channel,precedence" -> a set of the above; "none" is no column at all. ERR_FORMAT, with *bad the word that is not known. */
MUST_USE enum err count_by_parse(const char *text, unsigned *by, struct view *bad);

/* As the site sees a message whose journal it is. */
enum count_direction { COUNT_IN = 1, COUNT_OUT, COUNT_OWN /* to itself, as a call is */, COUNT_SERVED /* another's, ended by a desk here */, COUNT_COPY };
const char *count_direction_name(unsigned d);

#define COUNT_TEXT_BYTES LIMIT_NAME_BYTES
#define COUNT_OTHERS "(others)"
struct count_key {
	bool exercise;           /* always a part of the key: exercises stand apart */
	int16_t year;
	uint8_t month;           /* 1 to 12 */
	uint8_t direction;
	uint16_t originator, addressee;
	char queue[COUNT_TEXT_BYTES + 1], channel[COUNT_TEXT_BYTES + 1]; /* empty: none */
	uint8_t precedence;
};
/* One message, as it stands. */
struct count_message {
	struct count_key key;    /* whole: what was not asked for is left out by count_add */
	int64_t sent_us, handle_by_us; /* 0: no time by which to handle it */
	uint8_t ended;           /* EVENT_READ, _REFUSED, _CANCELLED, _EXPIRED; 0: open */
	int64_t read_us;         /* valid with EVENT_READ */
	bool elsewhere;          /* read or refused by another site than the addressee */
};

#define COUNT_STEPS 768      /* up to 2^50 us, 35 years */
struct count_row {
	struct count_key key;
	uint64_t messages, urgent, flash;
	uint64_t read, refused, cancelled, expired, open;
	uint64_t in_time, late;  /* read by the time to handle it, or after it; what has no such time is neither */
	uint64_t flash_read, flash_in_time;
	uint64_t elsewhere;
	int64_t fastest_us, slowest_us; /* of those read, from sent to read; what a clock sets before it was sent took 0 */
	uint32_t steps[COUNT_STEPS];
};
#define COUNT_ROWS 8192      /* 26 MiB of histograms */
struct count {
	unsigned by;
	struct count_row **rows; /* in order: exercises last, then as the columns stand */
	size_t n;
};
/* ERR_NOMEM; ERR_TOO_LARGE when there are COUNT_ROWS rows and this would be one more. */
MUST_USE enum err count_add(struct count *c, const struct count_message *m);
void count_release(struct count *c);
/* Of those that were read, the lower of the two in the middle; 0 when none was. */
int64_t count_median_us(const struct count_row *r);
/* Of 1000, rounded; 0 of 0. */
int64_t count_permille(uint64_t part, uint64_t whole);

/* Text of one CSV field, appended: quoted when it must be, and never a formula to a spreadsheet. */
struct buf;
void count_csv(struct buf *out, const char *text);

#endif
