#include "sim/shaper.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/pkt_sched.h>
#include <netlink/netlink.h>
#include <netlink/route/class.h>
#include <netlink/route/classifier.h>
#include <netlink/route/cls/u32.h>
#include <netlink/route/qdisc.h>
#include <netlink/route/qdisc/fifo.h>
#include <netlink/route/qdisc/htb.h>
#include <netlink/route/tc.h>
#include <stdlib.h>

#include "sim/netns.h"

#define LO 1                       /* its index, in every network */
#define MTU 1500
#define PACKET_BYTES (MTU + 14)    /* as a class counts it */
#define ROOT TC_HANDLE(1, 0)
/* What a class may send at once after a pause: no more than the kernel's timers can be late. */
#define BURST_US (20 * US_PER_MS)
#define BURST_LEAST 64
#define WIDEST_BPS ((int64_t)UINT32_MAX * 8) /* HTB counts bytes in 32 bits */
/* TCP hands over 64 KiB at once: too much for a slower line, or for a smaller queue. */
#define BATCH_BPS INT64_C(200000000)
#define BATCH_QUEUE_BYTES (256 * 1024)
#define FILTER_PRIO 1
#define IP_DESTINATION 16          /* its offset in the header */

/* One way of one bearer of a link. */
struct narrow { uint16_t minor; int64_t rate_bps, queue_bytes; }; /* 0: it has no class yet */

struct shaper {
	struct proxy_config c;
	struct nl_sock **kernel;   /* of each place */
	uint16_t *minors;          /* the last one used in each */
	bool *one_by_one;          /* TCP hands over single packets there */
	struct narrow *narrows;    /* of link, bearer, way */
};

/* ---- what is asked of the kernel: 0, or libnl's error ------------------------------------------------------------------- */

static int lo_change(struct nl_sock *k, int attribute, uint32_t value)
{
	struct ifinfomsg lo = {.ifi_family = AF_UNSPEC, .ifi_index = LO};
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_NEWLINK, 0);

	if (!msg)
		return -NLE_NOMEM;
	int error = nlmsg_append(msg, &lo, sizeof lo, NLMSG_ALIGNTO);

	error = error ? error : nla_put_u32(msg, attribute, value);
	if (error) {
		nlmsg_free(msg);
		return error;
	}
	return nl_send_sync(k, msg); /* frees it */
}

static void place_in(struct rtnl_tc *tc, uint32_t parent, uint32_t handle)
{
	rtnl_tc_set_ifindex(tc, LO);
	rtnl_tc_set_parent(tc, parent);
	if (handle)
		rtnl_tc_set_handle(tc, handle);
}

static int root_put(struct nl_sock *k)
{
	struct rtnl_qdisc *q = rtnl_qdisc_alloc();

	if (!q)
		return -NLE_NOMEM;
	place_in(TC_CAST(q), TC_H_ROOT, ROOT);
	int error = rtnl_tc_set_kind(TC_CAST(q), "htb");

	error = error ? error : rtnl_qdisc_add(k, q, NLM_F_CREATE | NLM_F_REPLACE);
	rtnl_qdisc_put(q);
	return error;
}

static int root_remove(struct nl_sock *k)
{
	struct rtnl_qdisc *q = rtnl_qdisc_alloc();

	if (!q)
		return -NLE_NOMEM;
	place_in(TC_CAST(q), TC_H_ROOT, ROOT);
	int error = rtnl_qdisc_delete(k, q);

	rtnl_qdisc_put(q);
	return error;
}

/* Makes the class, or changes it. */
static int class_put(struct nl_sock *k, uint16_t minor, int64_t rate_bps)
{
	struct rtnl_class *c = rtnl_class_alloc();
	uint32_t rate = rate_bps > 0 && rate_bps < WIDEST_BPS ? (uint32_t)(rate_bps / 8) : UINT32_MAX;
	uint32_t burst = (uint32_t)((int64_t)rate * BURST_US / US_PER_S);

	if (!c)
		return -NLE_NOMEM;
	place_in(TC_CAST(c), ROOT, TC_HANDLE(1, minor));
	int error = rtnl_tc_set_kind(TC_CAST(c), "htb");

	if (!error) {
		rtnl_tc_set_mtu(TC_CAST(c), PACKET_BYTES);
		rtnl_htb_set_rate(c, rate);
		rtnl_htb_set_ceil(c, rate);
		rtnl_htb_set_rbuffer(c, burst < BURST_LEAST ? BURST_LEAST : burst);
		rtnl_htb_set_cbuffer(c, burst < BURST_LEAST ? BURST_LEAST : burst);
		rtnl_htb_set_quantum(c, PACKET_BYTES); /* between classes there is nothing to share */
		error = rtnl_class_add(k, c, NLM_F_CREATE | NLM_F_REPLACE);
	}
	rtnl_class_put(c);
	return error;
}

static int queue_put(struct nl_sock *k, uint16_t minor, int64_t bytes)
{
	struct rtnl_qdisc *q = rtnl_qdisc_alloc();

	if (!q)
		return -NLE_NOMEM;
	place_in(TC_CAST(q), TC_HANDLE(1, minor), TC_HANDLE(minor + 1, 0));
	int error = rtnl_tc_set_kind(TC_CAST(q), "bfifo");

	error = error ? error : rtnl_qdisc_fifo_set_limit(q, bytes > INT32_MAX ? INT32_MAX : bytes < PACKET_BYTES ? PACKET_BYTES : (int)bytes);
	error = error ? error : rtnl_qdisc_add(k, q, NLM_F_CREATE | NLM_F_REPLACE);
	rtnl_qdisc_put(q);
	return error;
}

static int filter_put(struct nl_sock *k, uint16_t minor, const struct in_addr *to)
{
	struct rtnl_cls *f = rtnl_cls_alloc();

	if (!f)
		return -NLE_NOMEM;
	place_in(TC_CAST(f), ROOT, 0);
	rtnl_cls_set_prio(f, FILTER_PRIO);
	rtnl_cls_set_protocol(f, ETH_P_IP);
	int error = rtnl_tc_set_kind(TC_CAST(f), "u32");

	error = error ? error : rtnl_u32_add_key_in_addr(f, to, 32, IP_DESTINATION, 0);
	error = error ? error : rtnl_u32_set_classid(f, TC_HANDLE(1, minor));
	error = error ? error : rtnl_u32_set_cls_terminal(f);
	error = error ? error : rtnl_cls_add(k, f, NLM_F_CREATE);
	rtnl_cls_put(f);
	return error;
}

/* ---- places -------------------------------------------------------------------------------------------------------------- */

static int kernel_connect(void *arg)
{
	struct nl_sock **k = arg;

	*k = nl_socket_alloc();
	return *k ? nl_connect(*k, NETLINK_ROUTE) : -NLE_NOMEM;
}

enum err shaper_probe(int home, struct errmsg *m)
{
	const struct in_addr nobody = {htonl(127u << 24 | 255u << 16)};
	struct nl_sock *k = NULL;
	const char *what = "netlink";
	int error = netns_visit(home, home, kernel_connect, &k);

	if (!error && (what = "MTU of lo", error = lo_change(k, IFLA_MTU, MTU)) == 0 && (what = "packets of lo", error = lo_change(k, IFLA_GSO_MAX_SEGS, 1)) == 0 &&
	    (what = "sch_htb", error = root_put(k)) == 0) {
		if ((what = "a class of sch_htb", error = class_put(k, 1, 64000)) == 0 && (what = "sch_fifo", error = queue_put(k, 1, 65536)) == 0)
			what = "cls_u32", error = filter_put(k, 1, &nobody);
		int gone = root_remove(k);

		error = error ? error : gone;
	}
	nl_socket_free(k);
	return error ? err_set(m, ERR_UNSUPPORTED, "live: the kernel cannot keep the rates of lines: %s: %s (the modules sch_htb and cls_u32 are needed, and the rights; "
			       "with --shaper proxy the proxy keeps them)", what, nl_geterror(error)) : ERR_OK;
}

static enum err refused(int error, struct errmsg *m)
{
	return err_set(m, ERR_IO, "live: the kernel does not keep the rate of a line: %s (--shaper proxy does without it)", nl_geterror(error));
}

enum err shaper_new(const struct proxy_config *c, struct shaper **out, struct errmsg *m)
{
	struct shaper *s = calloc(1, sizeof *s);
	int error = 0;
	enum err e = ERR_OK;

	*out = NULL;
	if (s) {
		s->c = *c;
		s->kernel = calloc(c->n_sites + 1, sizeof *s->kernel);
		s->minors = calloc(c->n_sites + 1, sizeof *s->minors);
		s->one_by_one = calloc(c->n_sites + 1, sizeof *s->one_by_one);
		s->narrows = calloc(c->n_links * LIMIT_BEARERS * 2 + 1, sizeof *s->narrows);
	}
	if (!s || !s->kernel || !s->minors || !s->one_by_one || !s->narrows) {
		shaper_free(s);
		return err_set(m, ERR_NOMEM, "live: no memory to shape lines");
	}
	for (size_t i = 0; i < c->n_sites && !error; i++) {
		error = netns_visit(c->home, c->places[i], kernel_connect, &s->kernel[i]);
		error = error ? error : lo_change(s->kernel[i], IFLA_MTU, MTU);
		error = error ? error : root_put(s->kernel[i]);
	}
	if (error)
		e = refused(error, m);
	for (size_t i = 0; i < c->n_links && !e; i++)
		e = shaper_link(s, i, m);
	if (e)
		shaper_free(s);
	else
		*out = s;
	return e;
}

void shaper_free(struct shaper *s)
{
	if (!s)
		return;
	for (size_t i = 0; s->kernel && i < s->c.n_sites; i++)
		nl_socket_free(s->kernel[i]);
	free(s->kernel);
	free(s->minors);
	free(s->one_by_one);
	free(s->narrows);
	free(s);
}

/* ---- lines ---------------------------------------------------------------------------------------------------------------- */

/* A connection keeps what it began with; on a line that becomes slow later TCP itself hands over less and less at once. */
static int batches_fit(struct shaper *s, size_t site, const struct bearer_state *b)
{
	if (s->one_by_one[site] || (b->rate_bps >= BATCH_BPS && b->queue_bytes >= BATCH_QUEUE_BYTES))
		return 0;
	int error = lo_change(s->kernel[site], IFLA_GSO_MAX_SEGS, 1);

	s->one_by_one[site] = error == 0;
	return error;
}

/* From one end (0: the link's a) to the other. */
static int narrow_make(struct shaper *s, size_t link, size_t bearer, int way, struct narrow *x)
{
	const struct link *l = s->c.link(s->c.arg, link);
	size_t from = way == 0 ? l->config.a : l->config.b, to = way == 0 ? l->config.b : l->config.a;
	const struct bearer_state *b = &l->bearer[bearer];
	bool made = x->minor == 0;

	if (b->rate_bps == x->rate_bps && b->queue_bytes == x->queue_bytes)
		return 0;
	if (made && b->rate_bps <= 0)
		return 0;
	if (made && s->minors[from] >= UINT16_MAX - 1)
		return -NLE_RANGE;
	struct in_addr at = proxy_in_addr(s->c.bearer_number(s->c.arg, link, bearer), s->c.numbers[to]);
	int error = b->rate_bps > 0 ? batches_fit(s, from, b) : 0;
	uint16_t minor = made ? (uint16_t)(s->minors[from] + 1) : x->minor;

	error = error ? error : class_put(s->kernel[from], minor, b->rate_bps);
	error = error ? error : queue_put(s->kernel[from], minor, b->queue_bytes);
	error = error || !made ? error : filter_put(s->kernel[from], minor, &at);
	if (error)
		return error;
	s->minors[from] = made ? minor : s->minors[from];
	*x = (struct narrow){minor, b->rate_bps, b->queue_bytes};
	return 0;
}

enum err shaper_link(struct shaper *s, size_t link, struct errmsg *m)
{
	int error = 0;

	for (size_t b = 0; b < s->c.link(s->c.arg, link)->config.n_bearers && !error; b++)
		for (int way = 0; way < 2 && !error; way++)
			error = narrow_make(s, link, b, way, &s->narrows[(link * LIMIT_BEARERS + b) * 2 + (size_t)way]);
	return error ? refused(error, m) : ERR_OK;
}
