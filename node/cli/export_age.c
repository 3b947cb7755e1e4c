/* An export for a person: a folder of files that the standard `age` tool opens, one for each body and one that lists them. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/cli/aside.h"
#include "node/cli/export.h"

/* One age file under way. */
struct aged {
	struct tofile f;
	char *path;
	struct age_writer w;
	struct buf out;
	bool began;
};
struct folder {
	struct source *s;
	const struct age_recipient *to;
	struct aside aside;
	struct aged index, body;
	struct counts *n;
	struct errmsg *m;
};

static enum err aged_begin(struct aged *a, const struct folder *d, const char *name)
{
	uint8_t seed[32];
	*a = (struct aged){.f = {.fd = -1}};
	if (asprintf(&a->path, "%s/%s.age", d->aside.building, name) < 0) {
		a->path = NULL;
		return err_set(d->m, ERR_NOMEM, "out of memory");
	}
	enum err e = tofile_begin(&a->f, a->path, d->m);
	if (e != ERR_OK)
		return e;
	crypt_system_seed(seed);
	a->began = true;
	e = age_begin(&a->w, d->to, seed, &a->out);
	crypt_wipe(seed, sizeof seed);
	return e == ERR_OK ? e : err_set(d->m, e, "--age: the recipient's key is no usable one (check how it was copied)");
}

static enum err aged_write(struct aged *a, struct view plain)
{
	age_add(&a->w, plain, &a->out);
	enum err e = buf_ok(&a->out) ? tofile_write(&a->f, buf_view(&a->out)) : ERR_NOMEM;
	buf_clear(&a->out);
	return e;
}

static enum err aged_finish(struct aged *a, struct errmsg *m)
{
	age_end(&a->w, &a->out);
	enum err e = buf_ok(&a->out) ? tofile_write(&a->f, buf_view(&a->out)) : ERR_NOMEM;
	return e == ERR_OK ? tofile_finish(&a->f, m) : e;
}

static void aged_release(struct aged *a)
{
	if (a->began)
		age_release(&a->w);
	tofile_release(&a->f);
	buf_release(&a->out);
	free(a->path);
	*a = (struct aged){.f = {.fd = -1}};
}

static enum err write_piece(void *arg, uint32_t index, struct view plain)
{
	(void)index;
	return aged_write(&((struct folder *)arg)->body, plain);
}

/* A message to several sites has one body: the file is there already then. */
static enum err write_body(struct folder *d, struct txn *t, const struct picked *p, const char *id, const char **file)
{
	enum err e = aged_begin(&d->body, d, id);
	*file = id;
	if (e == ERR_EXISTS) {
		d->m->text[0] = '\0';
		aged_release(&d->body);
		return ERR_OK;
	}
	if (e == ERR_OK)
		e = export_body(d->s, t, p, write_piece, d);
	if (e == ERR_NOT_FOUND || e == ERR_AUTH) {
		*file = NULL; /* not here, or not what its hash says: listed without a file */
		e = ERR_OK;
	} else if (e == ERR_OK) {
		e = aged_finish(&d->body, d->m);
		d->n->bodies++;
	}
	aged_release(&d->body);
	return e;
}

static enum err write_message(void *arg, struct txn *t, const struct picked *p)
{
	struct folder *d = arg;
	char id[MSGID_TEXT_BYTES];
	const char *file = NULL;
	msgid_format(&p->header.id, id);
	d->n->entries++;
	enum err e = write_body(d, t, p, id, &file);
	if (e != ERR_OK)
		return e;
	json_t *o = export_describe(d->s, p);
	if (o != NULL && (!export_describe_opened(o, p) || json_object_set_new(o, "file", file ? json_sprintf("%s.age", file) : json_null()) != 0)) {
		json_decref(o);
		o = NULL;
	}
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	e = text ? aged_write(&d->index, view_str(text)) : ERR_NOMEM;
	if (e == ERR_OK)
		e = aged_write(&d->index, view_str("\n"));
	free(text);
	return e;
}

static enum err no_head(void *arg, const struct export_run *r)
{
	(void)arg, (void)r;
	return ERR_OK;
}

enum err export_age(struct source *s, const struct pick *pick, const struct age_recipient *to, const char *folder, struct counts *n, struct errmsg *m)
{
	struct folder d = {.s = s, .to = to, .n = n, .m = m, .index = {.f = {.fd = -1}}};
	struct sink sink = {.arg = &d, .entry = write_message, .head = no_head, .open = true};
	struct progress p;
	enum err e = aside_begin(folder, &d.aside, m);
	progress_begin(&p, "export");
	if (e == ERR_OK)
		e = aged_begin(&d.index, &d, "index");
	if (e == ERR_OK)
		e = export_walk(s, pick, &sink, &p, m);
	if (e == ERR_OK)
		e = aged_finish(&d.index, m);
	if (e == ERR_OK)
		e = aside_finish(&d.aside, m);
	if (e != ERR_OK && !m->text[0])
		err_set(m, e, "%.300s: it cannot be written: %s, nothing was left", folder, err_text(e));
	aged_release(&d.index);
	aside_release(&d.aside);
	return e;
}
