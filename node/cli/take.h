/* take.h - one run of `estafette take`, shared by the files that put messages somewhere. */
#ifndef NODE_CLI_TAKE_H
#define NODE_CLI_TAKE_H

#include "node/cli/cli.h"
#include "node/client/estafette.h"
#include "proto/id.h"

#define TAKE_BATCH 128 /* files open and not synced at once */

struct taken_file {
	char id[ESTAFETTE_ID_SIZE];
	int fd;         /* -1: it has its name */
	bool was_there; /* that name, from an earlier take */
	char *line;     /* said when it is there, and acknowledged where that was asked */
};

/* Files that are there and whose acknowledgement is under way. */
#define TAKE_ACKS 4
struct taken_batch {
	uint32_t tag;
	size_t n;
	struct taken_file file[TAKE_BATCH];
};

struct taking {
	struct cli *cli;
	const char *queue, *out, *exec, *exercise;
	uint64_t count;
	int64_t lease_us;
	int timeout_ms;
	bool follow, ack;
	bool lost;                   /* the node answers no more */
	const volatile int *stop;    /* set by SIGTERM and SIGINT */
	estafette *h;
	uint64_t taken;              /* safe where they go */
	int status;                  /* of what failed first: said already */
	int failures;                /* commands that failed in a row */

	int out_fd;                  /* the folder of --out */
	size_t n_batch;
	struct taken_file batch[TAKE_BATCH];
	struct taken_batch *acks[TAKE_ACKS]; /* not answered yet; NULL: free */
};

/* ack, return or extend, answered in the background. 0, or -1 when the connection is of no more use: said already. */
int taking_verdict(struct taking *t, int verdict, const char *const *ids, size_t n);
/* Acknowledges n files in the background and says their lines once the node has confirmed it; takes the lines over. */
void taking_ack_files(struct taking *t, const struct taken_file *files, size_t n);

/* Each puts one message somewhere; 0 when it is safe there. Otherwise it said why (t->status) and the message goes back. */
enum { TAKE_COMMAND_FAILED = 1 };
int take_plain(struct taking *t, const struct estafette_message *m); /* standard output */
int take_json(struct taking *t, const struct estafette_message *m);  /* standard output, body in base64 */
int take_exec(struct taking *t, const struct estafette_message *m);  /* the command of --exec; gives its verdict itself;
                                                                         * TAKE_COMMAND_FAILED when it did */
int take_file_open(struct taking *t);
int take_file_add(struct taking *t, const struct estafette_message *m); /* into the batch, counted at the next flush */
int take_file_flush(struct taking *t);
void take_file_close(struct taking *t);

/* The whole body through write, its hash checked against the node's. 0, or -1: said already. */
int take_body(struct taking *t, const struct estafette_message *m, int (*write)(void *arg, const void *bytes, size_t n), void *arg);
/* All members but the body, as JSON; NULL when out of memory. */
struct json_t *take_object(const struct estafette_message *m);
/* write for take_body: arg is an int * descriptor. */
int take_write_fd(void *arg, const void *bytes, size_t n);

#endif
