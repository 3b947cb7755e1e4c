/* cmd_replay.c - messages of a queue that were read, handed out again: at a rate, a step after the other, or only counted.
 *
 * The node keeps how far it came, so a command that was ended goes on when it is given again; it says so. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "node/cli/commands.h"
#include "node/cli/output.h"
#include "node/cli/session.h"
#include "proto/id.h"
#include "proto/instant.h"

#define STEP_MS 30000
#define STEPS_A_SECOND 4
#define RATE_MOST 100000

enum { FROM = 256, TO, PRECEDENCE, CHANNEL, ORIGINATOR, INTO, RATE, REASON, DRY };

struct replaying {
	struct cli *cli;
	struct estafette_replay r;
	uint32_t rate; /* 0: any */
};

static bool read_time(struct cli *cli, const char *option, const char *text, int64_t *us)
{
	struct wall at;
	if (wall_parse(text, &at) == ERR_OK) {
		*us = at.us;
		return true;
	}
	cli_fail(cli, ERR_USAGE, "replay: --%s %s: no time (write 2021-07-14T22:00:00Z)", option, text);
	return false;
}

static bool read_precedence(struct cli *cli, const char *text, int *out)
{
	enum precedence p;
	if (precedence_parse(text, &p) == ERR_OK) {
		*out = (int)p;
		return true;
	}
	cli_fail(cli, ERR_USAGE, "replay: --precedence %s: flash, immediate, priority or routine", text);
	return false;
}

static bool read_rate(struct cli *cli, const char *text, uint32_t *out)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);
	if (end != text && *end == '\0' && n >= 1 && n <= RATE_MOST && text[0] != '-') {
		*out = (uint32_t)n;
		return true;
	}
	cli_fail(cli, ERR_USAGE, "replay: --rate %s: messages a second, 1 to %d", text, RATE_MOST);
	return false;
}

static int read_options(struct replaying *g, int argc, char **argv)
{
	static const struct option options[] = {{"from", required_argument, NULL, FROM}, {"to", required_argument, NULL, TO},
	                                        {"precedence", required_argument, NULL, PRECEDENCE}, {"channel", required_argument, NULL, CHANNEL},
	                                        {"originator", required_argument, NULL, ORIGINATOR}, {"into", required_argument, NULL, INTO},
	                                        {"rate", required_argument, NULL, RATE}, {"reason", required_argument, NULL, REASON},
	                                        {"dry-run", no_argument, NULL, DRY}, {NULL, 0, NULL, 0}};
	int option;
	cli_options_begin();
	while ((option = cli_option(g->cli, argc, argv, options)) != -1) {
		switch (option) {
		case FROM: if (!read_time(g->cli, "from", optarg, &g->r.from_us)) return EXIT_USAGE; break;
		case TO: if (!read_time(g->cli, "to", optarg, &g->r.to_us)) return EXIT_USAGE; break;
		case PRECEDENCE: if (!read_precedence(g->cli, optarg, &g->r.precedence)) return EXIT_USAGE; break;
		case CHANNEL:
			if (optarg[0] == '\0')
				return cli_fail(g->cli, ERR_USAGE, "replay: --channel is empty (is it a variable that is not set?)");
			g->r.channel = optarg;
			break;
		case ORIGINATOR: g->r.originator = optarg; break;
		case INTO: g->r.into = optarg; break;
		case RATE: if (!read_rate(g->cli, optarg, &g->rate)) return EXIT_USAGE; break;
		case REASON: g->r.reason = optarg; break;
		case DRY: g->r.dry = 1; break;
		default: return EXIT_USAGE;
		}
	}
	if (argc - optind != 1)
		return cli_fail(g->cli, ERR_USAGE, "replay: one queue (estafette replay QUEUE, then what of it)");
	g->r.queue = argv[optind];
	return EXIT_OK;
}

/* ---- what is said ------------------------------------------------------------------------------------------------------ */

static int say_json(const struct replaying *g, const struct estafette_replayed *r, uint64_t now)
{
	struct output o;
	struct estafette_member row[] = {
		MEMBER_TEXT("queue", g->r.queue), MEMBER_TEXT("into", g->r.into ? g->r.into : g->r.queue), MEMBER_FLAG("dry_run", g->r.dry),
		MEMBER_NUMBER("replayed", (int64_t)r->replayed), MEMBER_NUMBER("now", (int64_t)now), MEMBER_NUMBER("flash", (int64_t)r->by_precedence[0]),
		MEMBER_NUMBER("immediate", (int64_t)r->by_precedence[1]), MEMBER_NUMBER("priority", (int64_t)r->by_precedence[2]),
		MEMBER_NUMBER("routine", (int64_t)r->by_precedence[3]), MEMBER_NUMBER("waiting", (int64_t)r->waiting), MEMBER_NUMBER("ended", (int64_t)r->ended),
		MEMBER_NUMBER("sealed", (int64_t)r->sealed), MEMBER_NUMBER("quarantined", (int64_t)r->quarantined), MEMBER_NUMBER("damaged", (int64_t)r->damaged),
		MEMBER_NUMBER("gone", (int64_t)r->gone), MEMBER_NUMBER("elsewhere", (int64_t)r->elsewhere), MEMBER_TIME("began", r->began_us), MEMBER_TEXT("by", r->by)};
	output_begin(&o, g->cli);
	output_row(&o, row, sizeof row / sizeof row[0]);
	return output_end(&o, NULL);
}

static void say_not(uint64_t n, const char *why)
{
	if (n)
		printf("%" PRIu64 " not: %s\n", n, why);
}

static int say(const struct replaying *g, const struct estafette_replayed *r, uint64_t now)
{
	if (g->cli->json)
		return say_json(g, r, now);
	printf("%" PRIu64 " messages of %s %s %s: %" PRIu64 " flash, %" PRIu64 " immediate, %" PRIu64 " priority, %" PRIu64 " routine\n", r->replayed, g->r.queue,
	       g->r.dry ? "would be handed out again in" : "are handed out again in", g->r.into ? g->r.into : g->r.queue, r->by_precedence[0], r->by_precedence[1],
	       r->by_precedence[2], r->by_precedence[3]);
	if (!g->r.dry && now < r->replayed)
		printf("%" PRIu64 " of them before this command, which went on where the replay had stopped\n", r->replayed - now);
	say_not(r->waiting, "they still wait, or a desk has them in hand");
	say_not(r->ended, "they expired or were cancelled before anybody read them");
	say_not(r->sealed, "they cannot be opened here (see `estafette alarms`)");
	say_not(r->quarantined, "they are in quarantine until a person decides");
	say_not(r->damaged, "they cannot be read (run `estafette journal verify`)");
	say_not(r->gone, "their bodies are not in this journal any more, or not yet");
	say_not(r->elsewhere, "another site serves them");
	return EXIT_OK;
}

/* ---- the steps ------------------------------------------------------------------------------------------------------------ */

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Until so many may have gone out since began. */
static void pace(const struct replaying *g, double began, uint64_t placed)
{
	double wait = g->rate ? began + (double)placed / g->rate - seconds() : 0;
	if (wait <= 0)
		return;
	struct timespec t = {.tv_sec = (time_t)wait};
	t.tv_nsec = (long)((wait - (double)t.tv_sec) * 1e9);
	nanosleep(&t, NULL);
}

static int replay(struct replaying *g, estafette *h)
{
	struct estafette_replayed r = ESTAFETTE_REPLAYED_INIT;
	double began = seconds();
	uint64_t now = 0;
	g->r.count = g->rate ? (g->rate + STEPS_A_SECOND - 1) / STEPS_A_SECOND : 0;
	do {
		pace(g, began, now);
		if (estafette_replay(h, &g->r, &r, STEP_MS) != ESTAFETTE_OK)
			return session_fail(g->cli, h, "");
		now += r.now;
	} while (r.next != 0);
	/* Only now is it over: who was ended before this goes on, and finds nothing left. */
	if (!g->r.dry && estafette_replay_end(h, &g->r, STEP_MS) != ESTAFETTE_OK)
		return session_fail(g->cli, h, "");
	return say(g, &r, now);
}

int cmd_replay(struct cli *cli, int argc, char **argv)
{
	struct replaying g = {.cli = cli, .r = ESTAFETTE_REPLAY_INIT};
	int status = read_options(&g, argc, argv);
	if (status != EXIT_OK)
		return status;
	estafette *h = session_open(cli, &status);
	if (h == NULL)
		return status;
	status = replay(&g, h);
	estafette_free(h);
	return status;
}
