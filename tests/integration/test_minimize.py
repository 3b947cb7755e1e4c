#!/usr/bin/env python3
"""MINIMIZE on running nodes: ordered, shown on every table, what it holds back stays, what it does not goes; lifted, all goes."""

import lib
from lib import Net, Tap, until

LUIK, NAMEN, SPOC = "cic-luik", "cic-namen", "spoc-brussel"
TABLES = (("status",), ("queues",), ("links",), ("orders",), ("alarms",), ("conflicts",), ("streams",))


def order(tap, net):
    dry = net.cli(SPOC, "minimize", "--until", "2h", "--dry-run", check=True)
    tap.ok("it would be in force at once" in dry.out and "routine" in dry.out, "a dry run says what it would do", dry)
    tap.eq(net.status(SPOC)["minimize"], None, "and does nothing")
    tap.eq(net.cli(SPOC, "minimize", "--until", "2h").code, 2, "without a terminal it needs --yes")
    for args, code in (
        (("--until", "25h"), 1), (("--until", "2001-01-01T00:00:00Z"), 1), (("--until", "soon"), 2), (("--precedence", "flash"), 2),
        (("--lift", "--until", "2h"), 2), (("--lift",), 1), (("x",), 2),
    ):
        tap.eq(net.cli(SPOC, "minimize", *args, "--yes").code, code, f"minimize {' '.join(args)}: exit {code}")
    row = net.cli(SPOC, "minimize", "--until", "2h", "--reason", "flood", "--yes", "--json", check=True).row
    tap.eq((row["kind"], row["site"], row["state"]), ("minimize", "all", "in_force"), "a relocator orders it alone")
    until(lambda: all(net.status(s)["minimize"] == "routine" for s in (LUIK, NAMEN)), 20, "every site knows it")
    for what in TABLES:
        out = net.cli(NAMEN, *what, check=True).out
        tap.ok(out.startswith("MINIMIZE by spoc-brussel until "), f"{what[0]} begins with it", out)
    tap.eq(net.cli(SPOC, "orders", "--json", check=True).rows[0]["assignments"][0].split(" until ")[0], "routine held back", "orders says what it holds back")


def traffic(tap, net):
    calm = net.cli(NAMEN, "send", "--to", f"{LUIK}/messages", "--subject", "calm", stdin=b"no hurry", check=True)
    tap.ok("is kept here and goes on at" in calm.err, "who sends is told that it waits", calm.err)
    net.send(NAMEN, f"{LUIK}/messages", b"hurry", "--precedence", "priority", "--wait", "delivered")
    tap.eq(net.take(LUIK, "messages", "--ack", "read")[0]["body"], b"hurry", "priority goes")
    tap.eq(net.cli(LUIK, "take", "messages", "--timeout", "2s", "--json").code, 1, "routine does not")
    tap.eq(net.status(NAMEN)["minimize_held"], 1, "status counts it")
    trace = net.cli(NAMEN, "trace", calm.out.split()[0], "--json", check=True).rows
    waits = [r for r in trace if r["event"] == "waits"]
    tap.ok(waits and all("MINIMIZE holds it back until 20" in r["note"] for r in waits), "trace says why it waits", trace)
    net.down(NAMEN)
    net.up(NAMEN)
    net.linked()
    tap.eq(net.cli(LUIK, "take", "messages", "--timeout", "2s", "--json").code, 1, "nor after a restart")
    net.cli(SPOC, "minimize", "--lift", "--reason", "lines are back", "--yes", check=True)
    tap.eq(net.take(LUIK, "messages", "--ack", "read", "--timeout", "20s")[0]["body"], b"no hurry", "lifted: it goes")
    until(lambda: not net.cli(NAMEN, "queues", check=True).out.startswith("MINIMIZE"), 20, "the tables say no more")


def main():
    lib.start(__doc__)
    tap, net = Tap(), Net(LUIK, NAMEN, SPOC)
    net.linked()
    for part in (order, traffic):
        with tap.part(part.__name__):
            part(tap, net)
    tap.done(net)


if __name__ == "__main__":
    main()
