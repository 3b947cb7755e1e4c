/* topology.h - a network as GML says it: places with their coordinates, and the lines between them.
 *
 * GML is the language of the Internet Topology Zoo (Knight, Nguyen, Falkner, Bowden, Roughan, IEEE JSAC 29(9), 2011): keys with numbers,
 * texts, or lists in brackets. Read of it are `node [ id label Longitude Latitude ]` and `edge [ source target LinkSpeedRaw ]`; what else
 * stands there is passed over. Pure: it knows no drill. */
#ifndef SIM_TOPOLOGY_H
#define SIM_TOPOLOGY_H

#include "proto/buf.h"
#include "proto/err.h"
#include "proto/limits.h"

#define TOPOLOGY_NODES 999

struct topology_node {
	int64_t id;
	char name[LIMIT_NAME_BYTES + 1]; /* of its label: lower case letters, digits and '-', each once in the network */
	bool placed;
	double longitude, latitude;      /* degrees; when placed */
};
struct topology_edge {               /* a < b, each pair once */
	uint16_t a, b;                   /* indexes of nodes */
	int64_t rate_bps;                /* of several lines between the two the fastest; 0: not said */
};
struct topology {
	size_t n_nodes, n_edges;
	struct topology_node *nodes;     /* in the order of the file, those without a line left out */
	struct topology_edge *edges;     /* by (a, b) */
};

/* file is named in messages ("file:line: what: why (what to do)"). ERR_FORMAT, ERR_TOO_LARGE, ERR_NOMEM, m filled. */
MUST_USE enum err topology_parse(const char *file, struct view text, struct topology *out, struct errmsg *m);
void topology_release(struct topology *t);
/* How long light takes from one to the other in a fibre that is half as long again as the great circle, 1 ms at least; 5 ms where a
 * place is not known. */
int64_t topology_delay_us(const struct topology *t, const struct topology_edge *e);

#endif
