/* report_svg.h - the pictures of the page, as inline SVG. */
#ifndef SIM_REPORT_SVG_H
#define SIM_REPORT_SVG_H

#include "sim/report.h"

/* Text with the characters that mean something in HTML written out. */
void html_text(FILE *out, const char *s);
/* A row a site: when it was up, how many messages waited, how old its oldest FLASH was. */
void svg_sites(const struct run *r, FILE *out);
/* A row a link that was ever down: when it was up. Says how many were up all the time. */
void svg_links(const struct run *r, FILE *out);
/* Rows of a table: site, who served its queues when, who holds copies. */
void table_served(const struct run *r, FILE *out);

#endif
