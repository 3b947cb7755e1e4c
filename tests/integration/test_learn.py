#!/usr/bin/env python3
"""A real period becomes a drill: what a journal holds of it, exported, is what the simulator then plays; and nothing that is secret is in it."""

import collections
import datetime
import json
import os
import re
import subprocess
import sys
import time

import lib
from lib import Net, Tap, estafette, temp_dir

LUIK, NAMEN, SPOC = "cic-luik", "cic-namen", "spoc-brussel"
# sender, address, its site, precedence, options
SENT = [
    (LUIK, f"{NAMEN}/dispatch", NAMEN, "flash", ()), (LUIK, f"{NAMEN}/messages", NAMEN, "routine", ("--subject", "geheim-onderwerp")),
    (LUIK, f"{NAMEN}/messages", NAMEN, "routine", ("--channel", "eh112")), (LUIK, f"{SPOC}/translation", SPOC, "priority", ()),
    (NAMEN, "eupen/dispatch", LUIK, "immediate", ()), (NAMEN, f"{LUIK}/dispatch", LUIK, "flash", ()),
    (SPOC, f"{LUIK}/messages", LUIK, "priority", ("--expires", "2h")), (SPOC, f"{LUIK}/messages", LUIK, "routine", ("--exercise", "oefening")),
]


def sends(text):
    """from, to, precedence of every send, as they stand."""
    return collections.Counter(re.findall(r'do = "send"; from = "([^"]+)"; to = "([^"]+)"; precedence = "([^"]+)"', text))


def fill(net):
    for n, (site, to, _, precedence, options) in enumerate(SENT):
        net.send(site, to, b"geheime-tekst " * (n + 1), "--precedence", precedence, *options, "--wait", "delivered")
    net.cli(SPOC, "minimize", "--until", "2h", "--reason", "geheime-reden", "--yes", check=True)
    net.cli(SPOC, "minimize", "--lift", "--yes", check=True)
    net.cli(SPOC, "relocate", LUIK, "--to", f"{NAMEN}:dispatch", "--reason", "geheime-reden", "--yes", check=True)
    lib.until(lambda: any(o["kind"] == "relocate" for o in net.cli(LUIK, "orders", "--json", check=True).rows), 20, "Luik knows its order")


def play(path, *more):
    sim = os.path.join(lib.BIN, "estafette-sim")
    r = subprocess.run([sim, *more, path, "--json"], capture_output=True, text=True, timeout=300, check=False)
    return (json.loads(r.stdout) if r.stdout else {}), r


def round_trip(tap, net, out):
    path = os.path.join(out, "luik.conf")
    row = estafette("journal", "export", net.conf(LUIK), path, "--as-drill", "--json", check=True).row
    text = lib.read(path).decode()
    want = collections.Counter((s, to, p) for s, to, _, p, _ in SENT)
    tap.eq(sends(text), want, "every message that Luik sent and received, with sender, address and precedence")
    tap.eq((row["entries"], row["unopened"]), (len(SENT), 0), "it says how many")
    tap.ok("geheim" not in text and "What the journal of cic-luik holds" in text and "Links between other sites are not known" in text,
           "no body, no subject, no reason; whose view it is, and what it does not know", text)
    tap.ok('bearers = ( { name = "loopback"; delay = ' in text, "the bearer as the roster names it", text)
    tap.eq(re.findall(r'do = "(minimize|relocate)"; (?:site = "(\S+)"; to = \( "(\S+)" \);|).*by = \( "(\S+)" \)', text),
           [("minimize", "", "", SPOC), ("relocate", LUIK, f"{NAMEN}:dispatch", SPOC)], "the orders of the time, and who gave them")
    tap.ok(all(w in text for w in ('exercise = "oefening"', 'channel = "eh112"', 'expires = "2h"')), "exercise, channel, expiry", text)
    counts = collections.Counter((s, site, p) for s, _, site, p, _ in SENT)
    expected = ",\n".join(f'  {{ what = "accepted"; from = "{a}"; to = "{b}"; precedence = "{p}"; at-least = {n}; at-most = {n}; }}' for (a, b, p), n in counts.items())
    with open(path, "a", encoding="utf-8") as f:
        f.write(f"expect = (\n{expected}\n);\n")
    j, r = play(path, "run")
    tap.ok(r.returncode == 0 and j["ok"] and j["accepted"] == len(SENT) and j["expectations"] and all(e["state"] == "met" for e in j["expectations"]),
           "played, the counts by sender, addressee and precedence are those of the journal", r.stdout + r.stderr)
    with open(os.path.join(out, "earlier.conf"), "w", encoding="utf-8") as f:
        f.write(re.sub(r'\{ at = "[^"]*"; do = "relocate"', '{ at = "0s"; do = "relocate"', text))
    j, r = play(os.path.join(out, "earlier.conf"), "compare", path)
    tap.ok(r.returncode == 0 and j["a"]["accepted"] == j["b"]["accepted"] == len(SENT), "and with an earlier relocation, side by side", r.stdout + r.stderr)


def replaced(tap, net, out):
    path = os.path.join(out, "replaced.conf")
    estafette("journal", "export", net.conf(LUIK), path, "--as-drill", "--names", "replace", "--json", check=True)
    text = lib.read(path).decode()
    leaks = [w for w in (LUIK, NAMEN, SPOC, "cic", "luik", "namen", "eupen", "brussel", "oefening", "eh112", "translation", "geheim") if w in text]
    tap.eq(leaks, [], "with replaced names nothing says whose it was")
    precedences = collections.Counter(p for *_, p, _ in SENT)
    got = collections.Counter()
    for (_, _, p), n in sends(text).items():
        got[p] += n
    tap.eq(got, precedences, "it has as many messages of each precedence")
    j, r = play(path, "run")
    tap.ok(r.returncode == 0 and j.get("ok") and j["accepted"] == len(SENT), "and is played all the same", r.stdout + r.stderr)


def part_of_time(tap, net, out):
    whole = lib.read(os.path.join(out, "luik.conf")).decode()
    start = re.search(r'start = "([^"]+)"', whole).group(1)
    row = estafette("journal", "export", net.conf(LUIK), os.path.join(out, "later.conf"), "--as-drill", "--from", start, "--json", check=True).row
    tap.eq(row["entries"], len(SENT), "from a time on")
    again = net.send(SPOC, "all-cic/messages", b"aan allen", "--precedence", "priority", "--wait", "held")
    sent = [e["time"] for e in net.cli(SPOC, "trace", again, "--json", check=True).rows if e["event"] == "accepted"][0]
    after = os.path.join(out, "after.conf")
    estafette("journal", "export", net.conf(SPOC), after, "--as-drill", "--from", sent, "--json", check=True)
    text = lib.read(after).decode()
    tap.eq(sends(text), collections.Counter({(SPOC, f"{s}/messages", "priority"): 1 for s in (LUIK, NAMEN)}), "a message to a group is one for each member")
    tap.ok(f'at = "0s"; do = "relocate"; site = "{LUIK}"' in text and "minimize" not in text, "an order that was in force at the beginning, and none that was not", text)
    j, r = play(after, "run")
    tap.ok(r.returncode == 0 and j["ok"] and j["accepted"] == 2, "and it is played", r.stdout + r.stderr)
    second = (datetime.datetime.fromisoformat(sent.replace("Z", "+00:00")) + datetime.timedelta(seconds=1)).isoformat().replace("+00:00", "Z")
    short = os.path.join(out, "short.conf")
    estafette("journal", "export", net.conf(SPOC), short, "--as-drill", "--from", sent, "--to", second, "--json", check=True)
    j, r = play(short, "run")
    tap.ok(r.returncode == 0 and j["ok"] and j["accepted"] == 2, "a single second too: nodes have the time to start", r.stdout + r.stderr)
    net.down(LUIK)
    row = estafette("journal", "export", net.conf(LUIK), os.path.join(out, "stopped.conf"), "--as-drill", "--json", check=True).row
    # Luik is a standby of Namen, and may have the copy for Namen by now.
    tap.ok(row["entries"] - len(SENT) in (1, 2), "the same of a node that is stopped, and what came to the group", row)


def now(less=0):
    return (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=less)).isoformat().replace("+00:00", "Z")


def seconds_of(net, message):
    """How long it was on its way, as its originator knows."""
    at = {e["event"]: datetime.datetime.fromisoformat(e["time"].replace("Z", "+00:00")) for e in net.cli(LUIK, "trace", message, "--json", check=True).rows if e["time"]}
    return (at["delivered"] - at["accepted"]).total_seconds()


def outage(tap, net, out):
    """A site is dead for five seconds, and a FLASH to it is late by as much: in the drill it is again, and without the states of links it is not."""
    net.up(LUIK)
    net.linked()
    begin = now(40)  # the nodes of a drill need some seconds to start
    net.kill(NAMEN)
    lib.until(lambda: net.status(LUIK)["links_up"] == 1, 60, "Luik sees that Namen is gone")
    message, sent = net.send(LUIK, f"{NAMEN}/dispatch", b"te laat", "--precedence", "flash"), time.monotonic()
    lib.until(lambda: time.monotonic() > sent + 5, 6, "five seconds are over")
    net.up(NAMEN)
    lib.until(lambda: any(e["event"] == "delivered" for e in net.cli(LUIK, "trace", message, "--json", check=True).rows), 60, "the FLASH has arrived")
    took = seconds_of(net, message)
    rows = net.cli(LUIK, "links", "history", NAMEN, "--json", check=True).rows
    tap.eq([(r["bearer"], r["state"]) for r in rows][-2:], [("loopback", "down"), ("loopback", "up")], "the node shows what it noted of the link")
    tap.ok(all(r["since"] <= r["noted"] and r["changes"] == 0 for r in rows) and rows[0]["bearer"] == "(this node)", "and of itself", rows)
    tap.eq([net.cli(LUIK, "links", "history", *peer).code for peer in (("cic-nergens",), (), (NAMEN, SPOC))], [1, 2, 2], "refused: no such site, no site, two")
    net.kill(LUIK)
    died = time.monotonic()
    lib.until(lambda: time.monotonic() > died + 1.5, 6, "Luik did not run for more than a second")
    net.up(LUIK)
    net.linked(LUIK, NAMEN)
    net.down(LUIK)
    with_links, without = os.path.join(out, "with.conf"), os.path.join(out, "without.conf")
    estafette("journal", "export", net.conf(LUIK), with_links, "--as-drill", "--from", begin, "--to", now(), "--json", check=True)
    text = lib.read(with_links).decode()
    tap.ok(re.search(rf'do = "link-down"; from = "{LUIK}"; to = "{NAMEN}"; bearer = "loopback"; for = "', text), "the link that was down is told, and for how long", text)
    tap.ok(re.search(r"# Links: what cic-luik noted of its own[^.]*\. \d+ times", text) and f'do = "stop"; sites = "{LUIK}"' in text, "and that it is what this site saw, which did not run for a while", text)
    with open(without, "w", encoding="utf-8") as f:
        f.write(re.sub(r'\n  \{ at = "[^"]*"; do = "(link-down|stop)"[^}]*\},', "", text))
    j, r = play(with_links, "compare", without)
    soon, late = (j[x]["flash_max_s"] for x in "ab") if r.returncode == 0 else (0, 0)
    tap.ok(r.returncode == 0 and took >= 5 and abs(late - took) < 3 and soon < 2,
           f"the FLASH took {took:.1f} s; in the drill {late:.1f} s (within 3 s, as long as a line is dialled again), without the states of links {soon:.1f} s", r.stdout + r.stderr)


def refused(tap, net, out):
    none, conf, journal = os.path.join(out, "none.conf"), net.conf(LUIK), os.path.join(net.dir, LUIK, "journal")
    for args, code, what in (
        ((conf, none, "--from", "2001-01-01T00:00:00Z", "--to", "2001-01-02T00:00:00Z"), "not_found", "a time without anything in it"),
        ((conf, none, "--from", "2001-01-01T00:00:00Z"), "out_of_range", "a time longer than a drill may be"),
        ((conf, none, "--from", "2001-01-02T00:00:00Z", "--to", "2001-01-01T00:00:00Z"), "usage", "a time that ends before it begins"),
        ((conf, none, "--names", "forget"), "usage", "names that are neither kept nor replaced"),
        ((conf, none, "--queue", "dispatch"), "usage", "a queue of it"), ((conf, none, "--open"), "usage", "two forms at once"),
        ((journal, none), "usage", "a folder, without the keys that open addresses"), ((os.path.join(out, "luik.conf"), none), None, "a file that is no node.conf"),
        ((os.path.join(out, "nowhere"), none), None, "nothing there"), ((conf, os.path.join(out, "luik.conf")), "exists", "over another file"),
    ):
        r = estafette("journal", "export", *args, "--as-drill", "--json")
        error = json.loads(r.err) if r.err.startswith("{") and r.err.count("\n") == 1 else {}
        tap.ok(r.code in (1, 2) and not r.out and error and code in (None, error.get("code")) and not os.path.exists(none), f"refused in one line: {what}", r)
    tap.eq(estafette("journal", "export", conf, none, "--names", "keep", "--json").code, 2, "refused: --names without --as-drill")


def main():
    lib.start(__doc__)
    tap, out = Tap(), temp_dir("estafette-learn-")
    net = Net(LUIK, NAMEN, SPOC)
    net.linked()
    fill(net)
    for part in (round_trip, replaced, part_of_time, outage, refused):
        with tap.part(part.__name__):
            part(tap, net, out)
    sys.exit(tap.done(net))


if __name__ == "__main__":
    main()
