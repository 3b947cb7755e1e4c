/* estafette-sim: failover drills on the very same code, in virtual time. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/compare.h"
#include "sim/conduct.h"
#include "sim/forecast.h"
#include "sim/live.h"
#include "sim/shrink.h"

#define SETS_MOST 32
#define SHRINK_RUNS 400
/* Every so many seeds of a sweep run with the real signatures and seals. */
#define REAL_EVERY 16
/* Every so many probe as often as nodes in the field do. */
#define FIELD_EVERY 200

enum { EXIT_DONE = 0, EXIT_BROKEN = 1, EXIT_USAGE = 2 };

struct options {
	const char *file, *other, *report, *folder, *length; /* other: the second drill of compare */
	bool live, compare, sample_given;
	enum live_shaper shaper;
	int64_t speed;
	const char *sets[SETS_MOST];
	size_t n_sets;
	bool seed_given, sweep, shrink, json;
	uint64_t seed, last;
	int64_t probe_us;
};

static volatile sig_atomic_t interrupted;

/* The first one ends the run with its report; who insists gets out at once. */
static void on_signal(int sig)
{
	if (++interrupted > 3)
		_exit(128 + sig);
}

static void catch_signals(void)
{
	/* A report that is being written is not cut off. */
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
}

static const char usage_text[] =
	"usage: estafette-sim run FILE [--seed N | --seeds A..B] [--shrink] [--json] [--report FILE.html] [--folder DIR] [--set KEY=VALUE]...\n"
	"       estafette-sim live FILE [--seed N] [--speed X] [--length T] [--shaper WHO] [--folder DIR] [--json] [--report FILE.html] [--set KEY=VALUE]...\n"
	"       estafette-sim compare A B | compare A --set KEY=VALUE [--set KEY=VALUE]  [--seed N] [--json] [--report FILE.html]\n"
	"       estafette-sim forecast [--by-precedence]\n"
	"\n"
	"  run FILE          runs a drill (conf/drills/*.conf; the language is in sim/README.md)\n"
	"  --seed N          with this seed instead of the drill's own\n"
	"  --seeds A..B      a sweep: each seed draws its own faults; one line of JSON a seed; stops at the first that fails\n"
	"  --shrink          when it fails, takes events away while it still fails, and writes the smallest drill\n"
	"  --json            one object instead of the story\n"
	"  --report FILE     also a page for people\n"
	"  --folder DIR      when it is over each site's journal is left in DIR, which is there: for `estafette report` and its like\n"
	"  --set KEY=VALUE   store=memory|lmdb, suite=fast|real, probe=30s, and the drill's own: length, settle, sample, month, swarm, ...\n"
	"\n"
	"  live FILE         the same drill on real daemons, one a site in a network of its own, over lines that are as bad as the drill says\n"
	"  --speed X         the timetable goes X times as fast (else so that it takes a minute); lines and nodes do not\n"
	"  --length T        its first T only, as 1h; the same as --set length=T\n"
	"  --shaper WHO      who keeps the rates of lines: kernel, proxy, or auto: the kernel's shaper where there is one, else the proxy\n"
	"  --folder DIR      keys, journals and logs of the daemons are made there and stay\n"
	"\n"
	"  compare A B       runs two drills with the same seed (A's own) and shows side by side what was different; --set is for both\n"
	"  compare A         one drill as it is and with --set; with two of them: with the first, and with the second\n"
	"\n"
	"  forecast          reads what a node knows, as `estafette forecast` hands it on, and writes when what arrives\n"
	"\n"
	"Exit status: 0 every promise was kept, 1 one was broken or the run failed, 2 bad usage.\n";

static int usage(const char *why)
{
	fprintf(stderr, "estafette-sim: %s (see `estafette-sim --help`)\n", why);
	return EXIT_USAGE;
}

/* ---- arguments ---------------------------------------------------------------------------------------------------- */

static bool parse_u64(const char *s, const char **end, uint64_t *out)
{
	char *e;

	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	*out = strtoull(s, &e, 10);
	*end = e;
	return errno == 0;
}

static bool parse_seeds(const char *s, struct options *o)
{
	const char *end;

	o->sweep = parse_u64(s, &end, &o->seed) && strncmp(end, "..", 2) == 0 && parse_u64(end + 2, &end, &o->last) && !*end && o->last >= o->seed;
	return o->sweep;
}

static const char *const shapers[] = {[LIVE_SHAPER_AUTO] = "auto", [LIVE_SHAPER_KERNEL] = "kernel", [LIVE_SHAPER_PROXY] = "proxy"};

static bool parse_shaper(const char *s, enum live_shaper *out)
{
	for (unsigned i = 0; s && i < sizeof shapers / sizeof *shapers; i++)
		if (strcmp(s, shapers[i]) == 0) {
			*out = (enum live_shaper)i;
			return true;
		}
	return false;
}

/* One option. NULL when it was understood. */
static const char *option(struct options *o, const char *name, const char *value)
{
	const char *end;

	if (strcmp(name, "--seed") == 0) {
		o->seed_given = value && parse_u64(value, &end, &o->seed) && !*end;
		return o->seed_given ? NULL : "--seed: a number is needed";
	}
	if (strcmp(name, "--seeds") == 0)
		return value && parse_seeds(value, o) ? NULL : "--seeds: a range A..B is needed, as in 1..100";
	if (o->live && strcmp(name, "--speed") == 0) {
		uint64_t x = 0;

		if (!value || !parse_u64(value, &end, &x) || *end || x < 1 || x > 1000000)
			return "--speed: a whole number from 1 to 1000000 is needed";
		o->speed = (int64_t)x;
		return NULL;
	}
	if (o->live && strcmp(name, "--length") == 0) {
		o->length = value;
		return value && *value ? NULL : "--length: a duration is needed, as in 1h";
	}
	if (o->live && strcmp(name, "--shaper") == 0)
		return parse_shaper(value, &o->shaper) ? NULL : "--shaper: auto, kernel or proxy is needed";
	if (!o->compare && strcmp(name, "--folder") == 0) {
		o->folder = value;
		return value && *value ? NULL : "--folder: a name is needed, of a folder that is not there yet (of run: that is there)";
	}
	if (strcmp(name, "--report") == 0) {
		o->report = value;
		return value && *value ? NULL : "--report: a file name is needed";
	}
	if (strcmp(name, "--set") == 0) {
		if (!value || !strchr(value, '=') || o->n_sets == SETS_MOST)
			return "--set: KEY=VALUE is needed";
		o->sample_given = o->sample_given || strncmp(value, "sample=", 7) == 0;
		o->sets[o->n_sets++] = value;
		return NULL;
	}
	return "an option is unknown";
}

static const char *arguments(int argc, char **argv, struct options *o)
{
	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "--shrink") == 0) {
			o->shrink = true;
		} else if (strcmp(argv[i], "--json") == 0) {
			o->json = true;
		} else if (argv[i][0] == '-' && argv[i][1]) {
			const char *why = option(o, argv[i], i + 1 < argc ? argv[i + 1] : NULL);

			if (why)
				return why;
			i++;
		} else if (o->file && o->compare && !o->other) {
			o->other = argv[i];
		} else if (o->file) {
			return o->compare ? "compare: two drills at the most" : "one drill at a time";
		} else {
			o->file = argv[i];
		}
	}
	if (!o->file && o->compare)
		return "compare: which drills? (two files of conf/drills, or one and --set)";
	if (o->compare && (o->sweep || o->shrink))
		return "compare: --seeds and --shrink are of run";
	if (o->compare && !o->other && (o->n_sets < 1 || o->n_sets > 2))
		return "compare: one drill takes one --set, or two of which each side gets one (or name a second drill)";
	if (!o->file)
		return o->live ? "live: which drill? (a file of conf/drills)" : "run: which drill? (a file of conf/drills)";
	if (o->live && (o->sweep || o->shrink))
		return "live: --seeds and --shrink are of run: no two live runs are the same";
	if (o->folder && !o->live && o->sweep)
		return "--folder is of one run, not of a sweep";
	if (o->seed_given && o->sweep)
		return "--seed and --seeds exclude each other";
	return NULL;
}

/* ---- the drill ---------------------------------------------------------------------------------------------------- */

static enum err set_one(struct drill *d, struct options *o, const char *set, struct errmsg *m)
{
	char key[64];
	const char *value = strchr(set, '=') + 1;

	snprintf(key, sizeof key, "%.*s", (int)(value - set - 1 < 63 ? value - set - 1 : 63), set);
	if (strcmp(key, "probe") != 0)
		return drill_set(d, key, value, m);
	if (duration_parse(value, &o->probe_us) || o->probe_us < US_PER_S)
		return err_set(m, ERR_USAGE, "--set probe: \"%s\" is no time of a second or more (write 5s, 30s, 10min)", value);
	return ERR_OK;
}

static enum err read_drill(struct options *o, struct drill **d, struct errmsg *m)
{
	enum err e = drill_load(o->file, d, m);

	if (!e && o->length)
		e = drill_set(*d, "length", o->length, m);
	for (size_t i = 0; !e && i < o->n_sets; i++)
		e = set_one(*d, o, o->sets[i], m);
	return e;
}

/* As a shell reads it: in quotes when it holds more than letters, digits and a few marks. */
static void add_word(struct buf *b, const char *word)
{
	bool plain = word[0] && word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+,:=%@")] == '\0';

	for (const char *p = plain ? "" : "'"; *p; p++)
		buf_add_u8(b, (uint8_t)*p);
	for (const char *p = word; *p; p++)
		buf_add(b, !plain && *p == '\'' ? view_str("'\\''") : view_of(p, 1));
	for (const char *p = plain ? "" : "'"; *p; p++)
		buf_add_u8(b, (uint8_t)*p);
}

static void repeat_command(const struct options *o, uint64_t seed, struct buf *b)
{
	char text[40];

	buf_add(b, view_str(o->live ? "estafette-sim live " : o->compare ? "estafette-sim compare " : "estafette-sim run "));
	add_word(b, o->file);
	if (o->other) {
		buf_add_u8(b, ' ');
		add_word(b, o->other);
	}
	snprintf(text, sizeof text, " --seed %" PRIu64, seed);
	buf_add(b, view_str(text));
	if (o->speed) {
		snprintf(text, sizeof text, " --speed %" PRId64, o->speed);
		buf_add(b, view_str(text));
	}
	if (o->length) {
		buf_add(b, view_str(" --length "));
		add_word(b, o->length);
	}
	if (o->shaper) {
		buf_add(b, view_str(" --shaper "));
		buf_add(b, view_str(shapers[o->shaper]));
	}
	for (size_t i = 0; i < o->n_sets; i++) {
		buf_add(b, view_str(" --set "));
		add_word(b, o->sets[i]);
	}
	buf_add_u8(b, 0);
}

/* ---- one run ----------------------------------------------------------------------------------------------------------- */

struct ended { const struct options *o; bool ok, cut_short; struct errmsg m; };

static void show(void *arg, const struct run *r)
{
	struct ended *x = arg;

	x->ok = run_ok(r);
	x->cut_short = r->cut_short;
	if (x->o->json || x->o->sweep)
		report_json(r, stdout);
	else
		report_text(r, stdout);
	fflush(stdout);
	if (x->o->report && report_html(r, x->o->report, &x->m)) {
		fprintf(stderr, "estafette-sim: %s\n", x->m.text);
		x->ok = false;
	}
}

/* The suite of a seed: what the drill says, and the real one every so many seeds of a swarm, in a sweep or alone. */
static const struct crypt_suite *suite_of(const struct drill *d, uint64_t seed)
{
	return d->real_crypto || (d->swarm.on && seed % REAL_EVERY == 0) ? &crypt_suite_real : &crypt_suite_fast;
}

/* Likewise how often idle links are probed: mostly seldom, which is fast, sometimes as often as in the field. */
static int64_t probe_of(const struct options *o, const struct drill *d, uint64_t seed)
{
	static const int64_t choice_s[16] = {600, 600, 120, 600, 600, 60, 600, 600, 600, 600, 600, 600, 120, 600, 600, 600};

	if (o->probe_us)
		return o->probe_us;
	if (d->probe_us)
		return d->probe_us;
	if (!d->swarm.on)
		return 0;
	return (seed % FIELD_EVERY == 7 ? 5 : choice_s[seed % 16]) * US_PER_S;
}

static int run_seed(const struct options *o, const struct drill *d, uint64_t seed, struct ended *x)
{
	struct buf command = BUF_EMPTY;
	struct drill *drawn = NULL;

	repeat_command(o, seed, &command);
	const char *repeat = buf_ok(&command) ? (const char *)command.ptr : "";
	struct conduct c = {
		.seed = seed, .repeat = repeat, .suite = suite_of(d, seed), .probe_us = probe_of(o, d, seed), .interrupted = &interrupted,
		.progress = isatty(2) && !o->sweep ? stderr : NULL, .folder = o->folder, .stop_at_failure = o->sweep, .outcome = show, .arg = x,
	};

	*x = (struct ended){.o = o};
	enum err e = conduct_draw(d, seed, &drawn, &x->m);

	if (!e)
		e = conduct(drawn, &c, &x->m);
	drill_free(drawn);
	if (e)
		fprintf(stderr, "estafette-sim: %s\n", x->m.text);
	else if (!x->ok && o->sweep && !x->cut_short)
		fprintf(stderr, "estafette-sim: seed %" PRIu64 " failed: repeat it with: %s\n", seed, repeat);
	buf_release(&command);
	return e || !x->ok ? EXIT_BROKEN : EXIT_DONE;
}

static int run_all(const struct options *o, const struct drill *d, uint64_t *failed)
{
	struct ended x;

	for (uint64_t seed = o->seed;; seed++) {
		int status = run_seed(o, d, seed, &x);

		*failed = seed;
		if (status != EXIT_DONE || interrupted || !o->sweep || seed == o->last)
			return status;
	}
}

/* ---- live ------------------------------------------------------------------------------------------------------------------- */

/* The folder of this program: the daemons are those that were built or installed with it. */
static bool own_folder(char out[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);

	out[n > 0 ? n : 0] = '\0';
	char *slash = strrchr(out, '/');

	if (slash)
		*slash = '\0';
	return slash != NULL;
}

static int run_live(const struct options *o, const struct drill *d)
{
	struct buf command = BUF_EMPTY;
	struct drill *drawn = NULL;
	struct ended x = {.o = o};
	char bin[PATH_MAX];

	if (!own_folder(bin)) {
		fputs("estafette-sim: live: /proc/self/exe cannot be read, so the daemon is not found (is /proc there?)\n", stderr);
		return EXIT_BROKEN;
	}
	repeat_command(o, o->seed, &command);
	setvbuf(stdout, NULL, _IOLBF, 0); /* the story is followed while it happens, through a pipe too */
	struct live l = {
		.conduct = {.seed = o->seed, .repeat = buf_ok(&command) ? (const char *)command.ptr : "", .interrupted = &interrupted,
			    .follow = o->json ? NULL : stdout, .progress = isatty(2) && (o->json || !isatty(1)) ? stderr : NULL, .outcome = show, .arg = &x},
		.bin = bin, .folder = o->folder, .speed = o->speed, .shaper = o->shaper, .sample_given = o->sample_given,
	};
	enum err e = conduct_draw(d, o->seed, &drawn, &x.m);

	if (!e)
		e = live_conduct(drawn, &l, &x.m);
	drill_free(drawn);
	if (e)
		fprintf(stderr, "estafette-sim: %s\n", x.m.text);
	buf_release(&command);
	return e || !x.ok ? EXIT_BROKEN : EXIT_DONE;
}

/* ---- comparing ------------------------------------------------------------------------------------------------------------ */

/* Options of one side: with one drill, a --set is of one side only. */
static struct options side_options(const struct options *o, int i)
{
	struct options x = *o;

	x.file = i && o->other ? o->other : o->file;
	if (o->other)
		return x;
	x.n_sets = o->n_sets == 2 || i ? 1 : 0;
	x.sets[0] = o->n_sets == 2 ? o->sets[i] : o->sets[0];
	return x;
}

/* The first side says the seed of both. */
static enum err run_side(const struct options *o, struct comparison *c, int i, struct errmsg *m)
{
	struct options x = side_options(o, i);
	struct drill *d = NULL, *drawn = NULL;
	struct side *s = &c->side[i];

	s->file = x.file;
	s->set = !o->other && x.n_sets ? x.sets[0] : NULL;
	enum err e = read_drill(&x, &d, m);

	if (!e && !i)
		c->seed = o->seed_given ? o->seed : d->seed;
	if (!e)
		e = conduct_draw(d, c->seed, &drawn, m);
	if (!e) {
		struct conduct how = {
			.seed = c->seed, .repeat = "", .suite = suite_of(d, c->seed), .probe_us = probe_of(&x, d, c->seed), .interrupted = &interrupted,
			.progress = isatty(2) ? stderr : NULL, .outcome = compare_take, .arg = s,
		};

		e = conduct(drawn, &how, m);
	}
	drill_free(drawn);
	drill_free(d);
	return e;
}

static int run_compare(const struct options *o)
{
	struct comparison c = {.repeat = ""};
	struct buf command = BUF_EMPTY;
	struct errmsg m = {0};

	catch_signals();
	enum err e = run_side(o, &c, 0, &m);

	if (!e)
		e = run_side(o, &c, 1, &m);
	if (!e) {
		repeat_command(o, c.seed, &command);
		c.repeat = buf_ok(&command) ? (const char *)command.ptr : "";
		(o->json ? compare_json : compare_text)(&c, stdout);
		if (o->report)
			e = compare_html(&c, o->report, &m);
	}
	if (e)
		fprintf(stderr, "estafette-sim: %s\n", m.text);
	int status = e == ERR_USAGE ? EXIT_USAGE : e || !compare_ok(&c) ? EXIT_BROKEN : EXIT_DONE;

	side_release(&c.side[0]);
	side_release(&c.side[1]);
	buf_release(&command);
	return status;
}

/* ---- shrinking ------------------------------------------------------------------------------------------------------------ */

struct shrinking { const struct options *o; uint64_t seed; const struct crypt_suite *suite; int64_t probe_us; int promise; unsigned runs; bool failed; };

static int first_broken(const struct run *r)
{
	struct verdict v;

	oracle_verdict(r->oracle, &v);
	for (int p = 0; p < PROMISES; p++)
		if (v.broken[p])
			return p;
	return v.ok ? -1 : PROMISES;
}

static void note(void *arg, const struct run *r)
{
	struct shrinking *s = arg;
	int promise = r->cut_short ? -1 : first_broken(r);

	if (s->promise < 0)
		s->promise = promise; /* the first run says what failure it is */
	s->failed = promise >= 0 && promise == s->promise;
}

static bool still_fails(void *arg, const struct drill *d)
{
	struct shrinking *s = arg;
	struct errmsg m;
	struct conduct c = {.seed = s->seed, .repeat = "", .suite = s->suite, .probe_us = s->probe_us, .stop_at_failure = true,
	                    .interrupted = &interrupted, .outcome = note, .arg = s};

	s->failed = false;
	if (interrupted || conduct(d, &c, &m))
		return false;
	if (isatty(2))
		fprintf(stderr, "\r\033[Kshrinking: %u runs, %zu events", ++s->runs, d->n_events);
	return s->failed;
}

static enum err write_drill(const struct drill *d, const char *path, struct errmsg *m)
{
	struct buf text = BUF_EMPTY;
	enum err e = drill_format(d, &text);
	FILE *f = e ? NULL : fopen(path, "w");

	if (!e && (!f || fwrite(text.ptr, 1, text.len, f) != text.len || fclose(f)))
		e = err_set(m, ERR_IO, "%s: cannot be written: %s", path, strerror(errno));
	else if (e)
		err_set(m, e, "%s: the drill cannot be written: %s", path, err_text(e));
	buf_release(&text);
	return e;
}

static int shrink_seed(const struct options *o, const struct drill *d, uint64_t seed)
{
	struct shrinking s = {.o = o, .seed = seed, .suite = suite_of(d, seed), .probe_us = probe_of(o, d, seed), .promise = -1};
	struct drill *drawn = NULL, *small = NULL;
	struct errmsg m = {0};
	char path[256];
	enum err e = conduct_draw(d, seed, &drawn, &m);

	snprintf(path, sizeof path, "%s-%" PRIu64 "-small.conf", d->name, seed);
	if (!e && !still_fails(&s, drawn))
		fprintf(stderr, "estafette-sim: --shrink: it did not fail again (an expectation outside of the run?)\n");
	else if (!e)
		e = shrink(drawn, still_fails, &s, SHRINK_RUNS, &small);
	if (!e && small) {
		/* What the seed decided beside the faults belongs to the drill that is to fail again. */
		small->seed = seed;
		small->probe_us = s.probe_us;
		small->real_crypto = s.suite == &crypt_suite_real;
	}
	if (!e && small)
		e = write_drill(small, path, &m);
	if (e)
		fprintf(stderr, "\nestafette-sim: %s\n", m.text[0] ? m.text : err_text(e));
	else if (small)
		fprintf(stderr, "%sestafette-sim: the smallest drill that still fails has %zu events: estafette-sim run %s --seed %" PRIu64 "\n",
		        isatty(2) ? "\r\033[K" : "", small->n_events, path, seed);
	drill_free(drawn);
	drill_free(small);
	return EXIT_BROKEN;
}

/* ---- main -------------------------------------------------------------------------------------------------------------------- */

static int run_command(int argc, char **argv)
{
	struct options o = {.live = strcmp(argv[1], "live") == 0, .compare = strcmp(argv[1], "compare") == 0};
	const char *why = arguments(argc, argv, &o);
	struct drill *d = NULL;
	struct errmsg m = {0};
	uint64_t failed = 0;

	if (why)
		return usage(why);
	if (o.compare)
		return run_compare(&o);
	enum err e = read_drill(&o, &d, &m);

	if (e) {
		fprintf(stderr, "estafette-sim: %s\n", m.text);
		drill_free(d);
		return e == ERR_USAGE ? EXIT_USAGE : EXIT_BROKEN;
	}
	if (!o.seed_given && !o.sweep)
		o.seed = d->seed;
	catch_signals();
	int status = o.live ? run_live(&o, d) : run_all(&o, d, &failed);

	if (!o.live && status == EXIT_BROKEN && o.shrink && !interrupted)
		status = shrink_seed(&o, d, failed);
	drill_free(d);
	return status;
}

/* Rows of a node from standard input, one object a line. */
static enum err read_rows(struct forecast *f, struct errmsg *m)
{
	json_error_t why;
	enum err e = ERR_OK;
	json_t *row;

	while (!e && (row = json_loadf(stdin, JSON_DISABLE_EOF_CHECK, &why)) != NULL) {
		e = forecast_row(f, row, m);
		json_decref(row);
	}
	/* What ends in the middle of an object ends before "here", which comes last. */
	return e;
}

static int run_forecast(int argc, char **argv)
{
	bool by_precedence = argc == 3 && strcmp(argv[2], "--by-precedence") == 0;
	struct forecast *f = NULL;
	struct errmsg m = {.text = ""};

	if (argc > 2 && !by_precedence)
		return usage("forecast: an option is unknown, or there is an argument too many");
	catch_signals();
	enum err e = forecast_new(&f);

	if (!e)
		e = read_rows(f, &m);
	if (!e)
		e = forecast_run(f, &interrupted, &m);
	if (!e)
		forecast_print(f, by_precedence, stdout);
	else
		fprintf(stderr, "estafette-sim: %s\n", m.text[0] ? m.text : err_text(e));
	forecast_free(f);
	return e || fflush(stdout) ? EXIT_BROKEN : EXIT_DONE;
}

int main(int argc, char **argv)
{
	if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)) {
		fputs(usage_text, stdout);
		return EXIT_DONE;
	}
	if (argc >= 2 && strcmp(argv[1], "--version") == 0) {
		puts("estafette-sim " BUILD_VERSION);
		return EXIT_DONE;
	}
	bool forecast = argc >= 2 && strcmp(argv[1], "forecast") == 0;

	if (argc < 2 || (strcmp(argv[1], "run") != 0 && strcmp(argv[1], "live") != 0 && strcmp(argv[1], "compare") != 0 && !forecast))
		return usage("which command? (run FILE, live FILE, compare A B, or forecast)");
	if (crypt_start()) {
		fputs("estafette-sim: libsodium cannot start (is it installed?)\n", stderr);
		return EXIT_BROKEN;
	}
	return forecast ? run_forecast(argc, argv) : run_command(argc, argv);
}
