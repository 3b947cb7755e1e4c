#!/usr/bin/env python3
"""A dictionary, from its training to messages packed with it: the roster that names it is given to one site, and the others have both
from there; a journal opens what was packed with it also when no roster names it any more."""

import os
import random
import re

import lib
from lib import Net, Tap, estafette, until

LUIK, NAMEN, LEUVEN = "cic-luik", "cic-namen", "cic-vlaams-brabant"


def report(rng):
    """One invented message, as a desk would send a hundred of a day."""
    return (f"Melding {rng.randrange(10000)}: {rng.choice(['wateroverlast', 'aanrijding', 'omgevallen boom'])} op de "
            f"{rng.choice('ANE')}{rng.randrange(1, 90)} ter hoogte van kilometerpaal {rng.randrange(120)}, richting "
            f"{rng.choice(['Luik', 'Namen', 'Leuven'])}. Ploeg {rng.randrange(90)} rijdt aan, graag bevestiging van de dienst.").encode()


def train(tap, folder):
    rng, files = random.Random(7), []
    for i in range(400):
        files.append(os.path.join(folder, f"{i}.txt"))
        with open(files[-1], "wb") as f:
            f.write(report(rng))
    few = estafette("dictionary", "train", *files[:5])
    tap.ok(few.code == 2 and "at least 16" in few.err, "a few files are too few", str(few))
    row = estafette("dictionary", "train", "--size", 4096, "--out", os.path.join(folder, "it"), "--json", *files, check=True).row
    tap.eq((row["trained_on"], row["measured_on"]), (320, 80), "every fifth file is held out, and measured")
    tap.ok(row["with_bytes"] < 0.8 * row["built_in_bytes"] < row["plain_bytes"], "it says what the dictionary gains", str(row))
    again = estafette("dictionary", "train", "--out", os.path.join(folder, "it"), *files)
    tap.ok(again.code == 1, "a file that is there is not written over", str(again))
    print(f"# 80 messages: {row['plain_bytes']} bytes plain, {row['built_in_bytes']} with the built-in dictionary, {row['with_bytes']} with their own")
    return row["hash"], lib.read(os.path.join(folder, "it"))


def names(net, digest):
    """The roster of the network, a serial on, naming that dictionary, as text."""
    text = lib.read(os.path.join(net.dir, "roster.conf")).decode()
    text = re.sub(r"serial = (\d+);", lambda m: f'serial = {int(m[1]) + 1};\ndictionaries = ( "{digest}" );\ndictionary = "{digest[:8]}";', text, count=1)
    return text.encode()


def one_site_is_given_it(tap, net, digest, dictionary):
    """The practice network's sites read one file; only Luik reads it again."""
    beside = os.path.join(net.dir, f"dictionary-{digest[:8]}.zdict")
    with open(beside, "wb") as f:
        f.write(dictionary[:-1] + bytes([dictionary[-1] ^ 1]))
    net.sign(names(net, digest))
    net.hup(LUIK)
    for site in net.sites:
        until(lambda: net.status(site)["serial"] == 2, 20, f"{site} has the new roster")
    tap.ok(True, "all have the roster that one was given")
    until(lambda: "dictionary: " in net.tail(LUIK, 200), 10, "the altered file is refused")
    until(lambda: any(f"dictionary {digest[:8]} is not here yet" in net.tail(site, 200) for site in net.sites), 10, "logs say that the dictionary in use is not here")
    with open(beside, "wb") as f:
        f.write(dictionary)
    net.hup(LUIK)
    for site in net.sites:
        until(lambda: f"dictionary {digest[:8]} is here" in net.tail(site, 200), 40, f"{site} has the dictionary")
    tap.ok(True, "and the dictionary that it names; one whose bytes were altered is refused")


def messages(tap, net):
    rng = random.Random(8)
    sent = [report(rng) for _ in range(5)]
    for body in sent:
        net.send(LUIK, f"{NAMEN}/dispatch", body, "--wait", "delivered")
    got = [m["body"] for m in net.take(NAMEN, "dispatch", "--ack", "read", count=5)]
    tap.eq(got, sent, "messages packed with it are read")
    net.down(NAMEN)
    out = os.path.join(net.top, "export")
    net.cli(NAMEN, "journal", "export", net.conf(NAMEN), "--open", out, check=True)
    text = lib.read(out)
    tap.ok(b"body_of" in text and b'"error"' not in text, "the journal opens them by itself")
    net.up(NAMEN)
    tap.eq(net.status(NAMEN)["serial"], 2, "after a restart the roster is in force")


def main():
    lib.start(__doc__)
    tap, net = Tap(), Net(LUIK, NAMEN, LEUVEN)
    net.linked()
    with tap.part("train"):
        digest, dictionary = train(tap, lib.temp_dir())
    one_site_is_given_it(tap, net, digest, dictionary)
    messages(tap, net)
    tap.done(net)


if __name__ == "__main__":
    main()
