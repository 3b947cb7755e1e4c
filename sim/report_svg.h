/* report_svg.h - the pictures of the page, as inline SVG, and what all pages begin with. */
#ifndef SIM_REPORT_SVG_H
#define SIM_REPORT_SVG_H

#include "sim/report.h"

/* Text with the characters that mean something in HTML written out. */
void html_text(FILE *out, const char *s);
/* The page up to its first heading: title, colours, style. */
void html_begin(FILE *out, const char *title);
/* A page, written beside and renamed into place. ERR_IO with m filled. */
MUST_USE enum err html_write(const char *path, void (*page_of)(const void *arg, FILE *out), const void *arg, struct errmsg *m);
/* A row a site: when it was up, how many messages waited, how old its oldest FLASH was. */
void svg_sites(const struct run *r, FILE *out);
/* A row a link that was ever down: when it was up. Says how many were up all the time. */
void svg_links(const struct run *r, FILE *out);
/* Rows of a table: site, who served its queues when, who holds copies. */
void table_served(const struct run *r, FILE *out);

#endif
