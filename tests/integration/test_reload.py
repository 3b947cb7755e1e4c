#!/usr/bin/env python3
"""SIGHUP takes over a new roster and the settings that may change; what is wrong is said, and the node goes on as it was."""

import os
import re

import lib
from lib import Net, Tap, until

LUIK, NAMEN, LEUVEN = "cic-luik", "cic-namen", "cic-vlaams-brabant"


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def log_since(net, site, size):
    return open(net.log(site), errors="replace").read()[size:]


def next_serial(text):
    return re.sub(rb"serial = (\d+)", lambda m: b"serial = %d" % (int(m.group(1)) + 1), text, count=1)


def new_roster(tap, net):
    text = next_serial(lib.read(os.path.join(net.dir, "roster.conf")))
    at = text.index(f'id = "{LUIK}"'.encode())
    queues = text.index(b'name = "messages"', at)
    end = text.index(b"}", queues) + 1
    text = text[:end] + b',\n\t\t\t{ name = "crisis"; }' + text[end:]
    refused = net.cli(NAMEN, "send", "--to", f"{LUIK}/crisis", "-", stdin=b"x")
    tap.ok(refused.code == 1, "before the new roster the queue is unknown", refused)
    net.sign(text)
    # One after the other: between sites a newer roster travels by itself, so all have it in the end.
    for site in net.sites:
        net.hup(site)
    for site in net.sites:
        until(lambda: net.status(site)["serial"] == 2, 15, f"{site} has the new roster")
    tap.ok(True, "all take the new roster over")
    sent = net.send(NAMEN, f"{LUIK}/crisis", b"for the new queue", "--wait", "delivered")
    tap.eq(net.take(LUIK, "crisis", "--ack", "read")[0]["id"], sent, "a message to its new queue is delivered and read")


def bad_settings(tap, net):
    good = open(net.conf(LUIK)).read()
    size = os.path.getsize(net.log(LUIK))
    write(net.conf(LUIK), good + '\ncolour = "blue";\n')
    net.hup(LUIK)
    until(lambda: "colour" in log_since(net, LUIK, size), 10, "the mistake is said in the log")
    tap.ok("node.conf:" in log_since(net, LUIK, size), "a wrong setting at SIGHUP is said with its line", log_since(net, LUIK, size))
    write(net.conf(LUIK), good)  # the command reads it too
    tap.ok(net.status(LUIK)["site"] == LUIK, "and the node goes on")
    write(net.conf(LUIK), good + '\nlog_level = "debug";\n')
    net.hup(LUIK)
    net.send(NAMEN, f"{LUIK}/dispatch", b"still working", "--wait", "delivered")
    tap.eq(net.take(LUIK, "dispatch", "--ack", "read")[0]["body"], b"still working", "with a good setting again it goes on")


def client_rights(tap, net):
    """Who may do what is taken over too."""
    good = open(net.conf(LUIK)).read()

    def allow(what):
        clients = 'clients = ( { uid = "%d"; name = "desk"; %s } );' % (os.getuid(), what)
        write(net.conf(LUIK), re.sub(r"^clients = .*;$", "", good, flags=re.M) + clients + "\n")
        net.hup(LUIK)

    def send(precedence):
        return net.cli(LUIK, "send", "--to", f"{NAMEN}/dispatch", "--precedence", precedence, "--json", "-", stdin=b"x")

    allow('may = ( "take" );')
    until(lambda: send("routine").error.get("code") == "not_permitted", 10, "who may only take cannot send")
    tap.ok(True, "after SIGHUP a desk that may only take cannot send")
    allow('may = ( "send", "take", "operate" ); precedence = "priority";')
    until(lambda: send("routine").code == 0, 10, "it may send again")
    flash = send("flash")
    tap.ok(flash.code == 1 and flash.error.get("code") == "not_permitted", "but not above its precedence", flash)
    write(net.conf(LUIK), good)
    net.hup(LUIK)
    until(lambda: send("flash").code == 0, 10, "all is as it was")


def assist(tap, net):
    """The policy of lending is taken over: more wait than it allows, and a part goes to the standby of the same language."""
    good = open(net.conf(LUIK)).read()
    for i in range(4):
        net.send(LEUVEN, f"{LUIK}/dispatch", b"call %d" % i, "--wait", "delivered")
    early = net.cli(NAMEN, "take", f"{LUIK}/dispatch", "--timeout", "1s", "--json")
    tap.eq(early.code, 1, "without a policy nothing is lent")
    write(net.conf(LUIK), good + '\nassist = { waiting = 3; oldest = "1h"; stop = 2; };\n')
    net.hup(LUIK)
    lent = net.take(NAMEN, f"{LUIK}/dispatch", "--count", "2", "--ack", "read", "--timeout", "30s")
    tap.eq([m["body"] for m in lent], [b"call 0", b"call 1"], "after SIGHUP the oldest are lent")
    left = net.take(LUIK, "dispatch", "--count", "2", "--ack", "read", "--timeout", "30s")
    tap.eq([m["body"] for m in left], [b"call 2", b"call 3"], "and no more than that")
    write(net.conf(LUIK), good)
    net.hup(LUIK)


def main():
    lib.start(__doc__)
    tap, net = Tap(), Net(LUIK, NAMEN, LEUVEN)
    net.linked()
    for part in (new_roster, bad_settings, client_rights, assist):
        with tap.part(part.__name__):
            part(tap, net)
    tap.done(net)


if __name__ == "__main__":
    main()
