/* A core that is given vectors and copies on their way: whatever they say it goes on, and what it wrote stays as it is.
 *
 * The first byte says what the rest is: 0, a frame of vectors as it came; 1, the inside of a vector, signed here by its holder; 2, a
 * segment behind a chain hash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/core/core_int.h"
#include "tests/lib/fuzz_driver.h"
#include "tests/lib/world.h"

#define ANEW 5000 /* inputs to one network: what is believed grows */

static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant", "cic-henegouwen"};
enum { LUIK, NAMEN, LEUVEN, HENEGOUWEN, N };

static struct world *world(void)
{
	static struct world w;
	static bool there;
	static unsigned n;
	struct msgid id;

	if (there && n++ < ANEW)
		return &w;
	if (there)
		world_release(&w);
	there = true;
	n = 0;
	world_init(&w, SITES, N, 71);
	world_run(&w, 5 * US_PER_S);
	fuzz_assert(world_send(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, view_str("x"), NULL, &id, NULL) == ERR_OK);
	world_run(&w, 5 * US_PER_S);
	return &w;
}

/* The stream to Luik that Namen wrote first. (A vector that shows more of it than there is makes Namen begin another.) */
static const struct stream *own(struct world *w)
{
	struct core *c = w->node[NAMEN].core;

	for (size_t i = 0; i < c->n_streams; i++)
		if (c->streams[i]->row.name.originator == c->self && c->streams[i]->row.name.addressee == w->number[LUIK])
			return c->streams[i];
	fuzz_assert(!"what Namen wrote is there");
	return NULL;
}

static struct hash network(const struct world *w)
{
	return roster_network_hash(w->keys[0].network, &w->authority_public);
}

static void seed_vector(struct world *w, struct buf *out)
{
	const struct stream *s = own(w);
	struct frontier f = {.stream = s->row.name, .number = s->row.held, .chain = s->row.chain}, copy = f;
	struct buf frontiers = BUF_EMPTY;
	uint8_t peers[4] = {0, (uint8_t)w->number[NAMEN], 0, (uint8_t)w->number[LUIK]};
	struct hash net = network(w);

	copy.stream.originator = w->number[HENEGOUWEN];
	copy.not_whole = 1;
	copy.missing[0] = 1;
	frontier_add(&frontiers, &f);
	frontier_add(&frontiers, &copy);
	struct vector v = {.holder = w->number[LUIK], .incarnation = w->node[LUIK].core->incarnation, .version = 900, .peers = 2,
	                   .peer_bytes = view_of(peers, sizeof peers), .frontiers = 2, .frontier_bytes = buf_view(&frontiers)};

	fuzz_assert(vector_make(w->suite, &w->keys[LUIK].identity, &net, &v, out) == ERR_OK);
	buf_release(&frontiers);
}

static void seed_copy(struct world *w, struct buf *out)
{
	struct stream_name name = {.originator = w->number[HENEGOUWEN], .addressee = w->number[LEUVEN], .incarnation = {1626300000000000, {1}}};
	struct header h = {.kind = KIND_REPORT, .originator = name.originator, .id = {{1}}, .sent = {1626300300000000}};
	struct hash net = network(w), stream = stream_hash(&net, &name), before = {{5}}, leaf;
	uint8_t header[HEADER_BYTES];
	struct entry e = {.header = view_of(header, sizeof header), .envelope = view_str("sealed")};
	struct head head = {.number = 6};
	struct segment_writer sw;

	header_encode(&h, header);
	entry_hash(&e);
	leaf = entry_leaf(&e);
	head.chain = chain_next(&before, 6, &leaf);
	head_sign(w->suite, &w->keys[HENEGOUWEN].identity, &stream, &head);
	buf_add(out, view_of(before.b, HASH_BYTES));
	segment_begin(&sw, out, &name, 6);
	segment_add(&sw, &e);
	segment_end(&sw, NULL, 0, &head);
}

bool fuzz_seed(unsigned n, struct buf *out)
{
	struct world *w = world();
	struct buf blob = BUF_EMPTY, frame = BUF_EMPTY;

	seed_vector(w, &blob);
	buf_add_u8(out, (uint8_t)n);
	if (n == 0) {
		vectors_one(&frame, buf_view(&blob));
		buf_add(out, view_of(frame.ptr + 2, frame.len - 2));
	} else if (n == 1) {
		buf_add(out, view_of(blob.ptr, blob.len - SIGNATURE_BYTES));
	} else {
		seed_copy(w, out);
	}
	buf_release(&blob);
	buf_release(&frame);
	return n < 3;
}

static void signed_by_its_holder(struct world *w, struct view inside, struct buf *frame)
{
	struct hash net = network(w);
	struct buf message = BUF_EMPTY, blob = BUF_EMPTY;
	struct signature sig;

	buf_add(&message, view_str("estafette vector 1"));
	buf_add(&message, view_of(net.b, HASH_BYTES));
	buf_add(&message, inside);
	w->suite->sign(&w->keys[LUIK].identity, buf_view(&message), &sig);
	buf_add(&blob, inside);
	buf_add(&blob, view_of(sig.b, SIGNATURE_BYTES));
	vectors_one(frame, buf_view(&blob));
	buf_release(&message);
	buf_release(&blob);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct world *w = world();
	struct effects out = EFFECTS_EMPTY;
	struct buf frame = BUF_EMPTY;
	uint64_t held = own(w)->row.held;

	if (len < 2 || data[0] > 2 || len > LIMIT_SEGMENT_BYTES)
		return -1;
	if (data[0] == 1) {
		signed_by_its_holder(w, view_of(data + 1, len - 1), &frame);
	} else {
		frame_begin(&frame, data[0] ? FRAME_SEGMENT_AFTER : FRAME_VECTOR);
		buf_add(&frame, view_of(data + 1, len - 1));
	}
	w->now.us += 1000;
	struct event ev = {.type = EVENT_FRAME, .now = w->now, .wall = world_wall(w, NAMEN)};

	ev.u.frame.peer = w->number[LEUVEN];
	ev.u.frame.lane = LANE_URGENT;
	ev.u.frame.side = SIDE_ACCEPTED;
	ev.u.frame.bytes = buf_view(&frame);
	fuzz_assert(core_apply(w->node[NAMEN].core, w->node[NAMEN].store, &ev, 1, &out) == ERR_OK);
	fuzz_assert(own(w)->row.held == held);
	effects_release(&out);
	buf_release(&frame);
	return 0;
}
