/* Topologies as GML tells them: real ones, and files that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sim/drill.h"
#include "sim/topology.h"

static enum err parse(const char *text, struct topology *t, struct errmsg *m)
{
	return topology_parse("x.gml", view_str(text), t, m);
}

static void places_and_lines(void **state)
{
	struct topology t;
	struct errmsg m;

	(void)state;
	assert_int_equal(parse("Creator \"x\"\n# a word\ngraph [\n label \"net\" more [ a 1 b [ c \"]\" ] ]\n"
			       " node [ id 7 label \"Li\xc3\xa8ge 2 \" Longitude 5.57 Latitude 50.63 ]\n"
			       " node [ id 1 label \"4 Brussels\" Longitude \"4.35\" Latitude 50.85 ]\n"
			       " node [ id 3 label \"Brussels\" ]\n node [ id 9 label \"alone\" ]\n"
			       " edge [ source 1 target 7 LinkSpeedRaw 155000000.0 LinkSpeed \"155\" ]\n edge [ source 7 target 1 LinkSpeedRaw 622000000.0 ]\n"
			       " edge [ source 3 target 3 ]\n edge [ source 3 target 1 ]\n]\n", &t, &m), ERR_OK);
	assert_int_equal(t.n_nodes, 3); /* one that no line leads to is left out */
	assert_string_equal(t.nodes[0].name, "li-ge-2");
	assert_string_equal(t.nodes[1].name, "brussels");
	assert_string_equal(t.nodes[2].name, "brussels-2");
	assert_int_equal(t.n_edges, 2);
	assert_int_equal(t.edges[0].a, 0);
	assert_int_equal(t.edges[0].b, 1);
	assert_int_equal(t.edges[0].rate_bps, 622000000);
	assert_int_equal(t.edges[1].rate_bps, 0);
	/* 89 km as the crow flies. */
	assert_int_equal(topology_delay_us(&t, &t.edges[0]), 1000);
	assert_int_equal(topology_delay_us(&t, &t.edges[1]), 5000);
	topology_release(&t);
}

/* Brussels to Lisbon are 1 715 km, half as long again in the ground, at 200 km a millisecond. */
static void a_long_line_takes_its_time(void **state)
{
	struct topology t;
	struct errmsg m;

	(void)state;
	assert_int_equal(parse("graph [ node [ id 0 label \"b\" Longitude 4.35 Latitude 50.85 ] node [ id 1 label \"l\" Longitude -9.14 Latitude 38.72 ] edge [ source 0 target 1 ] ]", &t, &m), ERR_OK);
	assert_in_range(topology_delay_us(&t, &t.edges[0]), 12700, 13000);
	topology_release(&t);
}

static void what_is_none(void **state)
{
	static const struct { const char *text, *says; enum err e; } of[] = {
		{"", "no GML", ERR_FORMAT},
		{"hello", "without a value", ERR_FORMAT},
		{"graph 1", "list is missing", ERR_FORMAT},
		{"graph [", "does not end", ERR_FORMAT},
		{"graph [ node [ id 1", "does not end", ERR_FORMAT},
		{"graph [ node [ label \"x", "without a value", ERR_FORMAT},
		{"graph [\nnode [ label \"x\" ] ]", "x.gml:2: a node without an id", ERR_FORMAT},
		{"graph [ node [ id 1 ] node [ id 1 ] ]", "two nodes with one id", ERR_EXISTS},
		{"graph [ node [ id 1 ] edge [ source 1 ] ]", "without source or target", ERR_FORMAT},
		{"graph [ node [ id 1 ] edge [ source 1 target 2 ] ]", "an edge to 2, which is no node", ERR_FORMAT},
		{"graph [ node [ id 1 ] node [ id 2 ] ]", "no two nodes are joined", ERR_FORMAT},
		{"graph [ a [ b [ c [ d [ e [ f [ g [ h [ i [ j 1 ] ] ] ] ] ] ] ] ] ]", "too many deep", ERR_TOO_LARGE},
		{"graph [ node [ id 1 ] node [ id 2 ] edge [ source 1 target 2 ] ] graph [ ]", "behind the graph", ERR_FORMAT},
		{"graph [ node [ id 1 label \"a\" ] node [ id 2 label \"a\" ] node [ id 3 label \"a-2\" ] edge [ source 1 target 2 ] edge [ source 2 target 3 ] ]", "too much alike", ERR_FORMAT},
	};
	struct topology t;

	(void)state;
	for (size_t i = 0; i < sizeof of / sizeof of[0]; i++) {
		struct errmsg m = {0};
		enum err e = parse(of[i].text, &t, &m);

		if (e != of[i].e || !strstr(m.text, of[i].says))
			fail_msg("%zu: %d \"%s\" is not \"%s\"", i, (int)e, m.text, of[i].says);
		assert_null(t.nodes);
	}
}

/* A real file cut anywhere is refused, or is whole. */
static void cut_anywhere(void **state)
{
	FILE *f = fopen("conf/drills/topology/Belnet2010.gml", "r");
	char text[16384];
	struct topology t;
	struct errmsg m;

	(void)state;
	assert_non_null(f);
	size_t n = fread(text, 1, sizeof text, f);

	fclose(f);
	for (size_t cut = 0; cut < n; cut += 7) {
		enum err e = topology_parse("cut", view_of((const uint8_t *)text, cut), &t, &m);

		if (cut < n - 8)
			assert_int_not_equal(e, ERR_OK);
		topology_release(&t);
	}
	assert_int_equal(topology_parse("whole", view_of((const uint8_t *)text, n), &t, &m), ERR_OK);
	assert_int_equal(t.n_nodes, 22);
	topology_release(&t);
}

/* As the network of a drill: a site each place, a link each line, and the same again when it is written out. */
static void in_a_drill(void **state)
{
	static const char text[] = "drill = \"t\"; about = \"t\"; start = \"2030-01-01T00:00:00Z\"; length = \"1h\"; settle = \"1h\";\nnetwork = \"Restena.gml\";\n";
	struct drill *d, *again;
	struct buf out = BUF_EMPTY;
	struct errmsg m = {0};

	(void)state;
	if (drill_parse("conf/drills/topology/x.conf", view_str(text), &d, &m))
		fail_msg("%s", m.text);
	assert_int_equal(d->roster->n_sites, 19);
	assert_int_equal(d->n_links, 21);
	assert_true(d->links[0].delay_us >= 1000);
	assert_int_equal(drill_format(d, &out), ERR_OK);
	if (drill_parse("elsewhere.conf", buf_view(&out), &again, &m))
		fail_msg("%s", m.text);
	assert_int_equal(again->n_links, d->n_links);
	for (size_t i = 0; i < d->n_links; i++) {
		assert_int_equal(again->links[i].a, d->links[i].a);
		assert_int_equal(again->links[i].delay_us, d->links[i].delay_us);
		assert_int_equal(again->links[i].rate_bps, d->links[i].rate_bps);
	}
	drill_free(again);
	drill_free(d);
	assert_int_not_equal(drill_parse("x.conf", view_str("drill = \"t\"; about = \"t\"; start = \"2030-01-01T00:00:00Z\"; length = \"1h\"; settle = \"1h\"; network = \"none.gml\";"), &d, &m), ERR_OK);
	assert_non_null(strstr(m.text, "none.gml"));
	buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(places_and_lines), cmocka_unit_test(a_long_line_takes_its_time), cmocka_unit_test(what_is_none),
		cmocka_unit_test(cut_anywhere), cmocka_unit_test(in_a_drill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
