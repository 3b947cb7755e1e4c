#!/usr/bin/env python3
"""The client of the document (client.py) against a real node: another implementation of the request protocol."""

import os
import re

import client
import lib
from lib import Net, Tap

LUIK, NAMEN = "cic-luik", "cic-namen"


def connect(net, site):
    path = re.search(r'^\s*socket\s*=\s*"([^"]+)"', open(net.conf(site)).read(), re.M).group(1)
    return client.Client(path if os.path.isabs(path) else os.path.join(net.dir, site, path))


def test_small(tap, net):
    sender, desk = connect(net, NAMEN), connect(net, LUIK)
    sent = sender.send(f"{LUIK}/dispatch", "Een bericht uit Python".encode(), "flash", subject="proef")
    tap.ok(re.fullmatch("[0-9a-hjkmnp-tv-z]{26}", sent), "send answers with an id", sent)
    tap.ok(sender.wait(sent, 4) >= 4, "wait for delivered is answered")
    message = next(desk.take("dispatch"))
    tap.eq((message["id"], message["body"], message["sender"], message["precedence"], message["subject"]),
           (sent, "Een bericht uit Python".encode(), NAMEN.encode(), 0, b"proef"), "take gives the message")
    tap.eq(desk.ack(sent), 1, "ack takes one id")
    tap.ok(sender.wait(sent, 5) == 5, "the sender is told that it was read")


def test_apart(tap, net):
    body = lib.body_of(3 * client.CHUNK_BYTES + 17, 5)
    sender, desk = connect(net, NAMEN), connect(net, LUIK)
    sent = sender.send(f"{LUIK}/messages", body)
    message = next(desk.take("messages"))
    tap.eq((message["id"], message["body_bytes"]), (sent, len(body)), "a body in pieces arrives as one message")
    tap.ok(desk.read(sent, len(body)) == body, "and is read piece by piece, unchanged")
    desk.ack(sent)


def test_rows_and_errors(tap, net):
    desk = connect(net, LUIK)
    tap.eq([r["site"] for r in desk.show("status")], [LUIK], "status has one row")
    try:
        desk.send("cic-nergens/dispatch", b"x")
        tap.ok(False, "an unknown site is refused")
    except client.Refused as e:
        tap.eq(e.args[0], "unknown_site", "an unknown site is refused")
    tap.eq([r["site"] for r in desk.show("status")], [LUIK], "and the connection goes on")


def main():
    lib.start(__doc__)
    tap, net = Tap(), Net(LUIK, NAMEN)
    net.linked()
    for part in (test_small, test_apart, test_rows_and_errors):
        with tap.part(part.__name__):
            part(tap, net)
    tap.done(net)


if __name__ == "__main__":
    main()
