#!/usr/bin/env python3
"""Several bearers a peer: the dead one is left, the better one is taken again; addresses change; names are looked up beside all that."""

import os
import re
import subprocess
import time

import lib
from lib import Net, Tap, until
from wires import Wires

LUIK, NAMEN, LEUVEN = "cic-luik", "cic-namen", "cic-vlaams-brabant"
CHEAP, DEAR = "loopback", "loopback-2"


def link(net, site, peer):
    return next(r for r in net.cli(site, "links", "--json", check=True).rows if r["peer"] == peer)


def lies_on(net, bearer, seconds, what):
    until(lambda: all((r := link(net, a, b))["bearer"] == r["bulk_bearer"] == bearer and r["up"] for a, b in ((NAMEN, LUIK), (LUIK, NAMEN))), seconds, what, 0.1)


def came_over(net, site, ident):
    return [(r["event"], r["peer"], r["bearer"]) for r in net.cli(site, "trace", ident, "--json", check=True).rows if r["peer"]]


def goes_silent(tap, net, wires):
    lies_on(net, CHEAP, 30, "both lanes lie on the cheap bearer")
    r = link(net, NAMEN, LUIK)
    # "refused" when the other daemon was not up yet at the first try; a bearer that is not needed is not tried again.
    tap.ok(r["urgent_bearers"][0].startswith(CHEAP + ": in use since") and re.match(DEAR + ": (free|not tried yet|refused) since", r["urgent_bearers"][1]),
           "links shows the bearers of a lane, and why", r)
    first = net.send(NAMEN, f"{LUIK}/dispatch", b"over the fibre", "--wait", "held", "--timeout", "60s")
    net.take(LUIK, "dispatch", "--ack", "read")
    wires.mute(0)
    began = time.monotonic()
    sent = net.send(NAMEN, f"{LUIK}/dispatch", b"the fibre is silent", "--precedence", "flash", "--wait", "held", "--timeout", "60s")
    took = time.monotonic() - began
    tap.ok(took < 20 * lib.SLOW, f"a FLASH arrives over the second bearer while the first passes nothing (in {took:.1f} s)")
    r = link(net, NAMEN, LUIK)
    tap.eq(r["bearer"], DEAR, "links names the bearer that carried it")
    tap.ok(any(re.match(CHEAP + ": (silent|no answer) since 20", x) for x in r["urgent_bearers"]), "and why the better one is not in use, and since when", r)
    tap.eq(net.take(LUIK, "dispatch", "--ack", "read")[0]["id"], sent, "it is taken")
    routine = net.send(NAMEN, f"{LUIK}/messages", b"bulk", "--wait", "held", "--timeout", "60s")
    tap.eq(net.take(LUIK, "messages", "--ack", "read")[0]["id"], routine, "the bulk lane went over too")
    time.sleep(4)  # the mute bearer accepts connections all the while: that proves nothing
    tap.eq(link(net, NAMEN, LUIK)["bearer"], DEAR, "a bearer that accepts and passes nothing is not taken again")
    wires.speak(0)
    net.cli(NAMEN, "links", "retry", LUIK, check=True)
    net.cli(LUIK, "links", "retry", NAMEN, check=True)
    lies_on(net, CHEAP, 90, "the cheap bearer is taken again")
    tap.ok(True, "the cheap bearer is taken again when it proved itself")
    tap.eq([came_over(net, LUIK, x) for x in (first, sent)], [[("held", NAMEN, CHEAP)], [("held", NAMEN, DEAR)]], "trace names the bearer that each came over, also later")
    tap.ok(re.search(rf"held +[-:0-9 ]+ UTC +{NAMEN} +{DEAR} ", net.cli(LUIK, "trace", sent, check=True).out), "and so does its table", net.cli(LUIK, "trace", sent).out)
    tap.ok(net.cli(NAMEN, "links", "retry", "cic-nowhere", "--json").error.get("code") == "unknown_site", "links retry: an unknown peer is refused by name")


def at_another_address(tap, net, wires):
    """A new roster while all runs: what is at the new address carries, what did not change goes on."""
    text = lib.read(os.path.join(net.dir, "roster.conf"))
    old = re.findall(rb"tcp://127\.0\.0\.1:(\d+)", text[text.index(f'id = "{LUIK}"'.encode()):])[0]
    new = wires.move(LUIK, 0)
    text = re.sub(rb"serial = (\d+)", lambda m: b"serial = %d" % (int(m.group(1)) + 1), text, count=1).replace(b":" + old + b'"', b":%d\"" % new)
    net.sign(text)
    for site in net.sites:
        net.hup(site)
    net.send(NAMEN, f"{LUIK}/dispatch", b"at the new address", "--precedence", "flash", "--wait", "held", "--timeout", "60s")
    until(lambda: link(net, NAMEN, LUIK)["bearer"] == CHEAP, 60, "the new address carries", 0.1)
    tap.ok(True, "an address that changed while running is used")
    net.take(LUIK, "dispatch", "--ack", "read")


def peer_was_away(tap, net):
    """What is known of a dearer bearer from a time when nobody was there is not shown as if it were so now."""
    net.kill(NAMEN)
    until(lambda: not any("in use" in x or "free" in x for x in link(net, LUIK, NAMEN)["urgent_bearers"]), 60, "both bearers are down")
    net.up(NAMEN)
    lies_on(net, CHEAP, 90, "both lanes lie on the cheap bearer again")
    dear = link(net, LUIK, NAMEN)["urgent_bearers"][1]
    tap.ok(re.match(DEAR + r": (free since|not tried yet since|[a-z ]+ since \S+ \(not tried beside a better one\))", dear), "an old failure is shown as one", dear)


def names(tap):
    net = Net(LUIK, NAMEN, LEUVEN, up=False)
    book, library = os.path.join(net.top, "names"), os.path.join(net.top, "names.so")
    here = os.path.dirname(os.path.abspath(__file__))
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, os.path.join(here, "names.c"), "-ldl"], check=True)

    def say(**hosts):
        with open(book + ".new", "w") as f:
            f.write("".join(f"{k}.test {v}\n" for k, v in hosts.items()))
        os.rename(book + ".new", book)

    text = lib.read(os.path.join(net.dir, "roster.conf"))
    for site, host in ((LUIK, b"luik.test"), (LEUVEN, b"leuven.test")):
        at = text.index(f'id = "{site}"'.encode())
        text = text[:at] + text[at:].replace(b"tcp://127.0.0.1:", b"tcp://" + host + b":", 1)
    net.sign(text)
    say(luik="hang", leuven="hang")
    env = dict(os.environ, LD_PRELOAD=library, TEST_NAMES=book)
    env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    for site in net.sites:
        net.launch(site, env=env)
    for site in net.sites:
        until(lambda: net.answers(site), 15, f"{site} answers")
    # Luik and Leuven reach Namen, which is an address; nobody's name is known, and the lookups hang.
    for site in (LUIK, LEUVEN):
        net.send(site, f"{NAMEN}/dispatch", site.encode(), "--wait", "held", "--timeout", "30s")
    tap.ok(True, "a name whose lookup hangs holds up no other link")
    r = link(net, NAMEN, LUIK)
    tap.ok(not r["up"] and "no address" in r["urgent_bearers"][0], "links says that the name has no address yet", r)
    say(leuven="127.0.0.1")
    net.send(NAMEN, f"{LEUVEN}/dispatch", b"found late", "--wait", "held", "--timeout", "60s")
    tap.ok(True, "a name that is found late is used as soon as it is")
    until(lambda: "luik.test: not found" in open(net.log(NAMEN), errors="replace").read(), 30, "the log says which name is not found")
    tap.ok("no address" in link(net, NAMEN, LUIK)["urgent_bearers"][0], "one that is not found is said, and tried again")
    say(leuven="127.0.0.1", luik="127.0.0.1")
    net.send(NAMEN, f"{LUIK}/dispatch", b"found in the end", "--wait", "held", "--timeout", "60s")
    tap.ok(True, "and used when it is found")
    net.close(tap)


def main():
    lib.start(__doc__)
    tap, net = Tap(), Net(LUIK, NAMEN, up=False, bearers=2)
    wires = Wires(net)
    net.up()
    net.linked()
    for part in (goes_silent, at_another_address):
        with tap.part(part.__name__):
            part(tap, net, wires)
    with tap.part("peer_was_away"):
        peer_was_away(tap, net)
    net.close(tap)
    wires.close()
    with tap.part("names"):
        names(tap)
    tap.done()


if __name__ == "__main__":
    main()
