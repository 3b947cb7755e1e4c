#!/usr/bin/env python3
"""`estafette report`: known traffic between real daemons gives exact numbers, running and stopped, and bad input is one line."""

import csv
import io
import os
import shutil

import lib
from lib import Net, Tap, estafette, until

LUIK, NAMEN, SPOC = "cic-luik", "cic-namen", "spoc-brussel"
COUNTS = ("messages", "urgent", "non_urgent", "flash", "read", "in_time", "refused", "cancelled", "open", "elsewhere")


def report(net, site, *args):
    return net.cli(site, "report", "--json", *args, check=True).rows


def summed(rows, name="messages", **want):
    return sum(row[name] for row in rows if all(row[k] == v for k, v in want.items()))


def counts(rows, **want):
    return tuple(summed(rows, name, **want) for name in COUNTS)


def refused(tap, result, name, code, words=()):
    lines = [line for line in result.err.splitlines() if line.strip()]
    good = result.code in (1, 2) and len(lines) == 1 and result.error.get("code") == code and all(w in result.err for w in words) and not result.out.strip()
    return tap.ok(good, name, f"expected one line, {code} {words}\n{result}")


def traffic(net):
    """What test_counts expects. Everything ends as it says before this returns."""
    for n in range(3):
        net.send(NAMEN, f"{LUIK}/dispatch", b"fire", "--precedence", "flash", "--channel", "siena", "--wait", "delivered")
    for n in range(2):
        net.send(NAMEN, f"{LUIK}/dispatch", b"look", "--precedence", "immediate", "--channel", "interpol", "--wait", "delivered")
    for n in range(4):
        net.send(NAMEN, f"{LUIK}/messages", b"note", "--channel", "siena", "--wait", "delivered")
    net.take(LUIK, "dispatch", "--ack", "read", count=4)
    last = net.take(LUIK, "dispatch")[0]["id"]
    net.cli(LUIK, "refuse", last, "--reason", "not ours", check=True)
    for n in range(5):  # calls: from the site to its own queue
        net.send(LUIK, f"{LUIK}/dispatch", b"call", "--precedence", "flash", "--channel", "call-112", "--wait", "delivered")
    net.take(LUIK, "dispatch", "--ack", "read", count=2)
    net.send(LUIK, f"{NAMEN}/dispatch", b"back", "--wait", "delivered")
    gone = net.send(LUIK, f"{NAMEN}/dispatch", b"gone", "--wait", "delivered")
    net.cli(LUIK, "cancel", gone, check=True)
    net.send(LUIK, "all-cic/messages", b"to all", "--precedence", "priority", "--wait", "delivered")
    for n in range(2):
        net.send(NAMEN, f"{LUIK}/dispatch", b"drill", "--precedence", "flash", "--channel", "siena", "--exercise", "high-water", "--wait", "delivered")
    net.take(LUIK, "dispatch", "--exercise", "high-water", "--ack", "read", count=1)
    net.take(NAMEN, "dispatch", "--ack", "read", count=1)
    until(lambda: summed(report(net, LUIK, "--by", "none"), "read", exercise=False) == 7, 20, "Luik heard what Namen read")
    until(lambda: summed(report(net, NAMEN, "--by", "direction"), "refused") == 1, 20, "Namen heard of the refusal")
    until(lambda: summed(report(net, NAMEN, "--by", "direction"), "read", exercise=True) == 1, 20, "and of the exercise")
    until(lambda: summed(report(net, NAMEN, "--by", "direction"), "read", direction="out", exercise=False) == 4, 20, "and of what was read")


def judge(tap, net, how):
    luik, namen = report(net, LUIK, "--by", "direction"), report(net, NAMEN, "--by", "direction")
    tap.eq(counts(luik, exercise=False, direction="in"), (9, 5, 4, 3, 4, 4, 1, 0, 4, 0), f"{how}: what came in")
    tap.eq(counts(luik, exercise=False, direction="out"), (3, 0, 3, 0, 1, 1, 0, 1, 1, 0), f"{how}: what went out")
    tap.eq(counts(luik, exercise=False, direction="own"), (5, 5, 0, 5, 2, 2, 0, 0, 3, 0), f"{how}: calls")
    tap.eq(counts(luik, exercise=True), (2, 2, 0, 2, 1, 1, 0, 0, 1, 0), f"{how}: the exercise apart")
    tap.eq(counts(namen, exercise=False, direction="out"), counts(luik, exercise=False, direction="in"), f"{how}: both sites count the same")
    tap.eq(counts(namen, exercise=False, direction="in"), counts(luik, exercise=False, direction="out"), f"{how}: and the other way")
    rows = report(net, LUIK, "--by", "site,channel,precedence")
    tap.eq(summed(rows, channel="siena", exercise=False), 7, f"{how}: a channel, opened with the site's keys")
    tap.eq(summed(rows, channel="call-112", precedence="flash", originator=LUIK, addressee=LUIK), 5, f"{how}: calls by channel, precedence and site")
    tap.eq(summed(rows, channel=None), 3, f"{how}: and what has no channel")
    tap.eq(summed(report(net, LUIK, "--by", "queue"), queue="messages"), 5, f"{how}: by queue")
    total = report(net, LUIK, "--by", "none")
    tap.eq([r["messages"] for r in total], [17, 2], f"{how}: all in one row, and the exercise in its own")
    tap.ok(0 < total[0]["median_us"] <= total[0]["slowest_us"] < 200_000_000 and total[0]["flash_in_time"] == total[0]["flash_read"] == 5 and
           total[0]["flash_permille"] == 471, f"{how}: times to read", total)


def times(tap, net):
    row = report(net, LUIK, "--by", "month")[0]
    year, month = row["month"].split("-")
    tap.eq(len(month), 2, "months have a year")
    tap.eq(summed(report(net, LUIK, "--year", year)), 19, "the year of the traffic")
    tap.eq(report(net, LUIK, "--year", int(year) - 1), [], "the year before it")
    tap.eq(summed(report(net, LUIK, "--from", f"{year}-{month}-01T00:00:00Z", "--to", "2100-01-01T00:00:00Z")), 19, "since its month began")
    tap.eq(report(net, LUIK, "--to", f"{year}-{month}-01T00:00:00Z"), [], "and before it")
    far = dict(os.environ, TZ="XXX-14")  # the same moment may lie in another month there; nothing is lost
    tap.eq(summed(net.cli(LUIK, "report", "--local", "--by", "month", "--json", env=far, check=True).rows), 19, "in the local time")


def forms(tap, net):
    table = net.cli(LUIK, "report", check=True).out
    tap.ok("FLASH" in table and "own" in table and "share" in table, "a table for people", table)
    result = net.cli(LUIK, "report", "--by", "channel,precedence", "--csv", check=True)
    rows = list(csv.DictReader(io.StringIO(result.out, newline="")))
    tap.eq((sum(int(r["messages"]) for r in rows), sum(int(r["flash"]) for r in rows if r["channel"] == "siena" and r["exercise"] == "false")), (19, 3), "CSV")
    tap.eq([r for r in csv.reader(io.StringIO(net.cli(LUIK, "report", "--year", "1999", "--csv", check=True).out, newline=""))][0][:2], ["exercise", "year"], "a CSV without rows has its names")
    tap.eq(net.cli(LUIK, "report", "--year", "1999", check=True).out, "no messages\n", "no messages")


def bad_input(tap, net, out):
    for args in (("--year", "x"), ("--year", "20211"), ("--by", "week"), ("--from", "monday"), ("--csv",), ("a", "b")):
        refused(tap, net.cli(LUIK, "report", "--json", *args), f"report {' '.join(args)}", "usage")
    none = os.path.join(out, "none")
    os.mkdir(none)
    refused(tap, estafette("report", none, "--json"), "a folder that is no journal", "not_found")
    refused(tap, estafette("report", os.path.join(out, "nowhere"), "--json"), "nothing", "not_found")
    net.down(NAMEN)
    copy = os.path.join(out, "copy")
    shutil.copytree(os.path.join(net.dir, LUIK, "journal"), copy)
    rows = estafette("report", copy, "--json", "--by", "channel", check=True).rows
    tap.eq([(r["channel"], r["messages"]) for r in rows], [("(no key file)", 17), ("(no key file)", 2)], "a folder alone: the columns say that there is no key")
    conf = os.path.join(net.dir, LUIK, "node.conf")
    keys = os.path.join(net.dir, LUIK, "keys")
    os.rename(keys, keys + ".away")
    rows = estafette("-c", conf, "report", "--json", "--by", "channel,direction", check=True)
    tap.eq(({r["channel"] for r in rows.rows}, summed(rows.rows)), ({"(no key file)"}, 19), "without the key file the rest is counted")
    tap.ok("no key file" in rows.err, "and it is said", rows)
    shutil.copy(os.path.join(net.dir, NAMEN, "keys"), keys)
    refused(tap, estafette("-c", conf, "report", "--json", "--by", "channel"), "the keys of another site", "conflict", (NAMEN, LUIK))
    os.rename(keys + ".away", keys)
    journal = os.path.join(net.dir, NAMEN, "journal")
    os.rename(journal, journal + ".away")
    shutil.copytree(copy, journal)
    refused(tap, net.cli(NAMEN, "report", "--json"), "the journal of another site", "conflict", (NAMEN, LUIK))
    with open(os.path.join(copy, "data.mdb"), "wb") as f:
        f.write(b"not a journal at all" * 1000)
    result = estafette("report", copy, "--json")
    tap.ok(result.code == 1 and len(result.err.splitlines()) == 1 and result.error.get("code"), "a file that is no journal", result)


def elsewhere(tap):
    """A site's queue is served by another: handled elsewhere at home, served there, and the copy a standby holds counts only when asked for."""
    net = Net(LUIK, NAMEN, "cic-vlaams-brabant", SPOC)
    net.linked()
    leuven = "cic-vlaams-brabant"
    net.cli(SPOC, "relocate", LUIK, "--to", leuven, "--yes", check=True)
    until(lambda: net.status(leuven)["serves"], 20, "Leuven serves")
    for n in range(3):
        net.send(NAMEN, f"{LUIK}/dispatch", b"call", "--precedence", "flash")
    net.take(leuven, f"{LUIK}/dispatch", "--ack", "read", count=2)
    want = {LUIK: ("in", 2), NAMEN: ("out", 2), leuven: ("served", 2)}
    for site, (direction, n) in want.items():
        until(lambda: summed(report(net, site, "--by", "direction"), "elsewhere", direction=direction) == n, 20, f"{site} counts {n} handled elsewhere")
        rows = report(net, site, "--by", "direction")
        tap.eq((summed(rows, direction=direction), summed(rows, "read"), summed(rows, "elsewhere")), (2 if site == leuven else 3, 2, 2), f"{site}: {direction}, handled elsewhere")
    tap.eq(summed(report(net, leuven, "--copies", "--by", "direction"), direction="copy"), 1, "what is kept for another counts when asked for")
    net.close(tap)


def main():
    lib.start(__doc__)
    tap, net, out = Tap(), Net(LUIK, NAMEN), lib.temp_dir()
    net.linked()
    with tap.part("running"):
        traffic(net)
        judge(tap, net, "running")
    for part in (times, forms):
        with tap.part(part.__name__):
            part(tap, net)
    net.down(LUIK)
    with tap.part("stopped"):
        judge(tap, net, "stopped")
    with tap.part("bad input"):
        bad_input(tap, net, out)
    with tap.part("elsewhere"):
        elsewhere(tap)
    tap.done(net)


if __name__ == "__main__":
    main()
