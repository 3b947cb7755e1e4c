#!/usr/bin/env python3
"""`estafette forecast` and `relocate --dry-run` on real daemons: paths, waits and refusals exactly, times by their order of magnitude.
How near they come is judged in virtual time (tests/unit/test_forecast.c)."""

import json
import os
import time

import lib
from lib import Net, Tap, until
from wires import Wires

LUIK, NAMEN, LEUVEN, ANTWERPEN = "cic-luik", "cic-namen", "cic-vlaams-brabant", "cic-antwerpen"
RATE = 250000  # bytes a second, of all lines together
BODY = 2500000


class Slow(Wires):
    MOST = 8192
    slow = False

    def handed_on(self, site, n):
        if self.slow:
            time.sleep(n / RATE)


def forecast(net, site, what, part):
    rows = net.cli(site, "forecast", what, "--json", check=True).rows
    return [r for r in rows if r["part"] == part], [r["text"] for r in rows if r["part"] == "assumed"]


def says_what_waits(tap, net, wires):
    there = net.send(NAMEN, f"{LUIK}/dispatch", b"already there", "--wait", "delivered")
    rows, assumed = forecast(net, NAMEN, there, "message")
    tap.ok(len(rows) == 1 and rows[0]["state"] == "delivered" and rows[0]["likely"] is None and assumed, "what is there is said to be", rows)
    wires.cut(LUIK)
    until(lambda: net.status(NAMEN)["links_up"] == 2, 30 * lib.SLOW, "Luik is cut off")
    ids = [net.send(NAMEN, "eupen/dispatch", b"over no line", "--precedence", "flash") for _ in range(2)]
    rows, _ = forecast(net, NAMEN, ids[1], "message")
    tap.ok(rows[0]["queue"] == f"{LUIK}/dispatch" and rows[0]["likely"] is None and rows[0]["path"] == []
           and rows[0]["waits_for"] == f"no known path: waits for contact with {LUIK}", "where no path leads it says whom it waits for", rows)
    rows, _ = forecast(net, NAMEN, "eupen/dispatch", "precedence")
    tap.ok(len(rows) == 1 and (rows[0]["precedence"], rows[0]["messages"], rows[0]["without_path"]) == ("flash", 2, 2), "a queue, by precedence", rows)
    text = net.cli(NAMEN, "forecast", "eupen/dispatch", check=True).out
    tap.ok("no known path: waits for contact with" in text and "assumed: links stay as they are now" in text, "as a table, with what was assumed", text)
    tap.ok("nothing that is known here" in net.cli(NAMEN, "forecast", f"{ANTWERPEN}/dispatch", check=True).out, "nothing on its way")


def relocation(tap, net):
    rows = net.cli(NAMEN, "relocate", LUIK, "--to", f"{ANTWERPEN}:dispatch", "--to", f"{LEUVEN}:messages", "--dry-run", "--json", check=True).rows
    parts = [r.get("part") for r in rows]
    got = {r["site"]: r for r in rows if r.get("part") == "forecast"}
    tap.ok("queue" in parts and "summary" in parts and "assumed" in parts, "the dry run says what would be handed over", parts)
    tap.ok(set(got) == {ANTWERPEN, LEUVEN} and got[LEUVEN]["likely_s"] is not None and got[ANTWERPEN]["likely_s"] is not None
           and got[ANTWERPEN]["likely_s"] < 60 and got[LEUVEN]["entries"] == 0, "and by when each would have it: a standby has it already", got)
    tap.eq(len(net.cli(NAMEN, "orders", "--json", check=True).rows), 0, "and gives no order")


def over_a_slow_line(tap, net, wires):
    wires.mend(LUIK)
    until(lambda: net.status(NAMEN)["links_up"] == 3, 60 * lib.SLOW, "Luik is back")
    wires.slow = True
    big = net.send(NAMEN, f"{LUIK}/messages", lib.body_of(BODY, 3))
    time.sleep(3)  # so that the line is full, and its rate known
    began = time.monotonic()
    rows, _ = forecast(net, NAMEN, big, "message")
    said = rows[0]["likely_s"]
    tap.ok(rows[0]["path"] == [NAMEN, LUIK] and rows[0]["earliest_s"] <= said, "the path, and that it is no sooner than it could be", rows)
    until(lambda: forecast(net, NAMEN, big, "message")[0][0]["state"] in ("held", "delivered"), 120 * lib.SLOW, "it is there", 0.5)
    took = time.monotonic() - began
    tap.ok(took / 4 - 3 < said < 4 * took + 3, "a large body over a slow line, by the order of magnitude", f"said {said} s, took {took:.1f} s")
    wires.slow = False


def refused(tap, net):
    for args, code in ((("000q3gm2kv6f196h9bxvde4yaz",), "not_found"), ((f"{LUIK}/nowhere",), "unknown_queue"), (("nowhere/dispatch",), "unknown_queue"),
                       (("all-cic/messages",), "unknown_queue"), ((), "usage"), (("a", "b"), "usage")):
        r = net.cli(NAMEN, "forecast", *args, "--json")
        lines = [x for x in r.err.splitlines() if x.strip()]
        tap.ok(r.code in (1, 2) and len(lines) == 1 and json.loads(lines[0])["code"] == code and not r.out, f"refused in one line: {args}", r)
    for site in (LUIK, LEUVEN, ANTWERPEN):
        net.down(site)
    until(lambda: net.status(NAMEN)["links_up"] == 0, 30 * lib.SLOW, "no link is left")
    last = net.send(NAMEN, f"{LUIK}/dispatch", b"to nobody")
    tap.ok(forecast(net, NAMEN, last, "message")[0][0]["waits_for"].startswith("no known path"), "without any link it says so")
    net.down(NAMEN)
    r = net.cli(NAMEN, "forecast", last, "--json")
    tap.ok(r.code == 1 and json.loads(r.err)["code"] == "no_node", "without a node one line", r)


def main():
    lib.start(__doc__)
    tap = Tap()
    net = Net(LUIK, NAMEN, LEUVEN, ANTWERPEN, up=False)
    wires = Slow(net)
    net.up()
    net.linked()
    for part in (lambda: says_what_waits(tap, net, wires), lambda: relocation(tap, net), lambda: over_a_slow_line(tap, net, wires), lambda: refused(tap, net)):
        part()
    wires.close()
    return tap.done(net)


if __name__ == "__main__":
    raise SystemExit(main())
