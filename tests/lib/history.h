/* history.h - histories told to the oracle by hand: cic-namen (A) sends to cic-luik (B), cic-vlaams-brabant (C) is another one.
 *
 * Message n is entry n of the one stream from A to B. Each step takes a second. A test that uses it includes sim/oracle.h
 * itself, by which the Makefile knows that it needs the simulator. */
#ifndef TESTS_HISTORY_H
#define TESTS_HISTORY_H

#include "sim/oracle.h"

enum { A, B, C, SITES };

struct history {
	struct roster *roster;
	struct story story;
	struct oracle *o;
	uint16_t site[SITES];
	struct stream_name stream;
	uint64_t number[SITES];    /* entries of the stream told of each site */
	int64_t at;
	uint32_t n;                /* messages submitted */
	struct submission last;
};

/* Set-up and tear-down for cmocka; all sites are up. */
int history_begin(void **state);
int history_end(void **state);

void history_pass(struct history *h, int64_t us);
struct msgid history_id(uint32_t n);
struct hash history_hash(uint64_t n); /* of the body of message n; chain hashes are those of 1000 + n */
uint32_t history_submit(struct history *h, uint8_t precedence);
/* An entry of the stream in a site's journal: number n carries message n. */
void history_entry(struct history *h, int site, uint64_t number, uint8_t kind);
void history_accept(struct history *h, uint32_t submission);
/* Submitted at A, stored there, accepted. */
uint32_t history_send(struct history *h, uint8_t precedence);
/* The next entry reaches B. */
void history_arrive(struct history *h);
struct handing history_handing(struct history *h, uint32_t n);
void history_take(struct history *h, uint32_t n);
/* Committed at B, and no desk is told. */
void history_ended(struct history *h, uint32_t n, uint8_t event);
/* Committed at B, and its desk is told. */
void history_done(struct history *h, uint32_t n, uint8_t event);
/* What B's journal tells of message n at the end. */
void history_standing(struct history *h, uint32_t n, bool in_queue, uint8_t ended);

uint64_t history_broken(const struct history *h, enum promise p);
void assert_good(const struct history *h);
/* Only this promise is broken, so many times. */
void assert_only(const struct history *h, enum promise p, uint64_t times);

#endif
