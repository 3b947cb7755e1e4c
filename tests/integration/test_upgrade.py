#!/usr/bin/env python3
"""A journal of the first version: read as it is, taken to this version's schema when its node starts, and whole afterwards.

The journals of three sites lie in tests/vectors, as the program of schema 1 left them (its README says what is in them)."""

import hashlib
import os
import re
import shutil
import tarfile
import time

import lib
from lib import Net, Tap, until

LUIK, NAMEN, SPOC = "cic-luik", "cic-namen", "spoc-brussel"
VECTOR = os.path.join(lib.ROOT, "tests", "vectors", "journal-schema-1.tar.xz")
# What waits at cic-luik/dispatch, in the order in which desks get it.
WAITING = [f"Melding {n}" for n in (16, 17, 18, 7, 8, 9, 19, 20, 21, 10, 11, 12, 22, 23, 24)]
COUNTS = {("immediate", False): 3, ("priority", False): 6, ("routine", False): 6, ("routine", True): 1}
ADDRESS = re.compile(rb"tcp://127\.0\.0\.1:\d+")
# Of the body at cic-luik/messages.
CARD = "ee99a91fd7d7754888f56496b7cddd00028d8ea640b468b4c9826d81af940aca"
KEEP = '\nkeep_bodies = "36500d";\nkeep_headers = "36500d";\nkeep_unread = "36500d";\n'


class OldNet(Net):
    """The network of the vector on free ports of this machine."""

    def __init__(self):
        super().__init__(SPOC, NAMEN, LUIK, up=False)
        ports = ADDRESS.findall(lib.read(os.path.join(self.dir, "roster.conf")))
        shutil.rmtree(self.dir)
        os.mkdir(self.dir)
        with tarfile.open(VECTOR) as t:
            t.extractall(self.dir)
        for site in self.sites:
            conf = open(self.conf(site)).read().replace("/tmp/v1net", self.dir)
            with open(self.conf(site), "w") as f:
                f.write(conf.replace('uid = "0"', f'uid = "{os.getuid()}"') + KEEP)
        text = lib.read(os.path.join(self.dir, "roster.conf")).replace(b"serial = 1;", b"serial = 2;")
        for was, now in zip(ADDRESS.findall(text), ports):
            text = text.replace(was, now)
        self.sign(text)

    def data(self, site):
        return os.path.join(self.dir, site, "journal", "data.mdb")


def waiting(rows, queue):
    return {(r["precedence"], r["exercise"]): r["waiting"] for r in rows if r["queue"] == queue and r["waiting"]}


def only_read(tap, net):
    before = {site: lib.read(net.data(site)) for site in net.sites}
    for site in net.sites:
        done = net.cli(site, "journal", "verify", net.conf(site), "--json")
        tap.ok(done.code == 0 and done.row["wrong"] == 0, f"verify reads the journal of {site} as it is", done)
    stat = lib.estafette("journal", "stat", net.conf(LUIK), "--json")
    tap.ok(stat.code == 0, "and so does stat", stat)
    at = ("--at", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    rows = net.cli(LUIK, "queues", *at, "--json", check=True).rows
    tap.eq(waiting(rows, f"{LUIK}/dispatch"), COUNTS, "what it held is told from its entries")
    listed = net.cli(LUIK, "queues", "dispatch", "--list", *at, "--json", check=True)
    tap.eq([r["subject"] for r in listed.rows if not r["exercise"]], WAITING, "in the order of the queue")
    package = os.path.join(net.top, "old.evidence")
    made = net.cli(LUIK, "evidence", package, "--from", "2020-01-01T00:00:00Z", "--to", at[1], "--json")
    done = lib.estafette("journal", "verify", package, "--json")
    tap.ok(made.code == 0 and done.code == 0 and done.row["messages"] == made.row["messages"] > 20, "and it gives evidence", f"{made} {done}")
    whole = os.path.join(net.top, "old.backup")
    made = lib.estafette("backup", net.conf(LUIK), whole)
    tap.ok(made.code == 0, "a backup of it is made", made)
    tap.ok(all(lib.read(net.data(site)) == before[site] for site in net.sites), "reading changed nothing")
    return whole


def taken_up(tap, net):
    net.up(LUIK)
    log = lib.read(net.log(LUIK)).decode()
    tap.ok("had schema 1 and has 2 now" in log, "the node takes it to its schema, and says so", log)
    rows = net.cli(LUIK, "queues", "--json", check=True).rows
    tap.eq(waiting(rows, f"{LUIK}/dispatch"),
           COUNTS, "all that waited waits")
    subjects = [r["subject"] for r in net.cli(LUIK, "queues", "dispatch", "--list", "--json", check=True).rows if not r["exercise"]]
    tap.eq(subjects, WAITING, "in the same order")
    size = os.path.getsize(net.log(LUIK))
    net.down(LUIK)
    net.up(LUIK)
    tap.ok(b"schema" not in lib.read(net.log(LUIK))[size:], "a second start has nothing to take up")


def goes_on(tap, net):
    net.up(NAMEN, SPOC)
    net.linked(*net.sites)
    got = net.take(LUIK, "dispatch", "--ack", "read", count=len(WAITING))
    tap.eq([m["subject"] for m in got], WAITING, "desks get what the first version accepted")
    tap.ok(all(re.fullmatch(rb"Melding \d+: het water staat aan de brug van Pepinster\.\n", m["body"]) for m in got), "with its bodies", got)
    card = net.take(LUIK, "messages", "--ack", "read")[0]["body"]
    tap.eq(hashlib.sha256(card).hexdigest(), CARD, "a body that lay apart is whole")
    until(lambda: any(r["event"] == "read" for r in net.cli(NAMEN, "trace", got[3]["id"], "--json").rows), 15, "the receipt is at its originator")
    tap.ok(True, "receipts go back to journals of the first version")
    tap.eq(net.take(SPOC, "messages", "--ack", "read")[0]["from"], LUIK, "the other sites' messages are there too")
    sent = net.send(SPOC, f"{LUIK}/dispatch", b"from a new version", "--wait", "delivered")
    tap.eq(net.take(LUIK, "dispatch", "--ack", "read")[0]["id"], sent, "new messages follow the old ones")
    for site in net.sites:
        net.down(site)
        done = lib.estafette("journal", "verify", net.conf(site), "--json")
        tap.ok(done.code == 0 and done.row["wrong"] == 0, f"the journal of {site} is whole afterwards", done)


def other_ways(tap, whole):
    """What makes a journal anew from an old one makes one of this schema; an old backup restored is taken up as well."""
    net = OldNet()
    done = lib.estafette("rebuild", net.conf(LUIK))
    tap.ok(done.code == 0, "rebuild makes a journal of the first version anew", done)
    net.up(LUIK)
    log = lib.read(net.log(LUIK))
    tap.ok(b"schema" not in log, "of this schema already", log.decode())
    subjects = [r["subject"] for r in net.cli(LUIK, "queues", "dispatch", "--list", "--json", check=True).rows if not r["exercise"]]
    tap.eq(sorted(subjects), sorted(WAITING), "with all that waited")
    net.down(LUIK)
    shutil.rmtree(os.path.join(net.dir, LUIK, "journal"))
    done = lib.estafette("restore", whole, net.conf(LUIK))
    tap.ok(done.code == 0, "a backup of it is restored", done)
    net.up(LUIK)
    tap.ok(b"had schema 1 and has 2 now" in lib.read(net.log(LUIK)), "and taken up at its start")
    net.daemons.pop(LUIK).kill()
    return net


def main():
    lib.start(__doc__)
    tap, net = Tap(), OldNet()
    with tap.part("only read"):
        whole = only_read(tap, net)
    with tap.part("taken up"):
        taken_up(tap, net)
    with tap.part("goes on"):
        goes_on(tap, net)
    with tap.part("other ways"):
        other_ways(tap, whole)
    tap.done(net)


if __name__ == "__main__":
    main()
