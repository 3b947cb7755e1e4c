#!/usr/bin/env python3
"""July 2021, played with real daemons: Luik is gone with 5 000 messages waiting, Leuven and Namen serve its queues by an order of a
quorum, Luik comes back with an empty disk and takes them back; then Luik lives and is cut off, and two sites handle the same."""

import collections
import concurrent.futures
import hashlib
import os
import random
import shutil
import tempfile

import client
import lib
from lib import Net, Tap, until
from wires import Wires

LUIK, NAMEN, LEUVEN, LIMBURG, SPOC = "cic-luik", "cic-namen", "cic-vlaams-brabant", "cic-limburg", "spoc-brussel"  # SPOC may relocate
SITES = (LUIK, NAMEN, LEUVEN, LIMBURG, SPOC)
STATE_READ = 5
MIX = (("flash", 1), ("immediate", 3), ("priority", 6), ("routine", 15))  # of 25
PART = 1  # sanitized: a fifth of the messages


class Mail:
    """What was sent, and what desks were given: each message is told by its body."""

    def __init__(self, net):
        self.net = net
        self.bodies, self.origin, self.to, self.precedence = {}, {}, {}, {}
        self.read = collections.defaultdict(list)  # id -> sites where a desk read it
        self.altered = []
        self.rng = random.Random(4)

    def send(self, site, to, count, precedence="routine", *options):
        """Sends so many different messages; ids in their order."""
        folder = tempfile.mkdtemp(dir=self.net.top)
        bodies = [f"{site} {to} {precedence} {len(self.bodies)} {i} {self.rng.random()}\n".encode() * self.rng.randrange(1, 9) for i in range(count)]
        files = [os.path.join(folder, str(i)) for i in range(count)]
        for name, body in zip(files, bodies):
            with open(name, "wb") as f:
                f.write(body)
        rows = self.net.cli(site, "send", "--to", to, "--precedence", precedence, *options, "--json", *files, check=True, timeout=120).rows
        shutil.rmtree(folder)
        for row, body in zip(rows, bodies):
            i = row["id"]
            self.bodies[i], self.origin[i], self.to[i], self.precedence[i] = hashlib.sha256(body).digest(), site, to, precedence
        return [r["id"] for r in rows]

    def send_mix(self, site, to, count):
        return [i for precedence, share in MIX for i in self.send(site, to, count * share // 25, precedence)]

    def take(self, site, queue, count, seconds=40):
        """Takes and reads so many; their ids in the order in which they came, and the rows."""
        folder = tempfile.mkdtemp(dir=self.net.top)
        rows = self.net.cli(site, "take", queue, "--count", count, "--timeout", f"{int(seconds * 1000 * lib.SLOW)}ms", "--out", folder,
                            "--ack", "read", "--json", timeout=seconds + 60).rows
        for row in rows:
            self.read[row["id"]].append(site)
            if hashlib.sha256(lib.read(os.path.join(folder, row["id"]))).digest() != self.bodies.get(row["id"]):
                self.altered.append((row["id"], site))
        shutil.rmtree(folder)
        return rows

    def unread(self, *names):
        """What went to these addresses and nobody read."""
        return {i for i in self.bodies if not self.read[i] and self.to[i] in names}

    def twice(self):
        return {i: sites for i, sites in self.read.items() if len(sites) > 1}

    def receipts(self):
        """Ids whose originator does not learn that they were read."""
        return [i for site in SITES for i in self.missing_at(site)]

    def missing_at(self, site):
        ids = [i for i in self.bodies if self.origin[i] == site and self.read[i]]
        socket = next(line.split('"')[1] for line in lib.read(self.net.conf(site)).decode().splitlines() if line.startswith("socket"))
        node = client.Client(socket)
        node.socket.settimeout(lib.longest(30))
        missing = []
        for n, i in enumerate(ids):
            try:
                if node.wait(i, STATE_READ) != STATE_READ:
                    missing.append(i)
            except OSError:
                return missing + ids[n:]
        node.socket.close()
        return missing


def at_once(*jobs):
    """Calls each (function, arguments...) in a thread of its own; what they returned."""
    with concurrent.futures.ThreadPoolExecutor(len(jobs)) as pool:
        return [f.result() for f in [pool.submit(*job) for job in jobs]]


def sorted_by_precedence(rows):
    ranks = [lib.PRECEDENCES.index(r["precedence"]) for r in rows]
    return ranks == sorted(ranks)


def order_state(net, site, order_id):
    return next((r["state"] for r in net.cli(site, "orders", "--json", check=True).rows if r["id"] == order_id), None)


def in_force(net, order_id, sites):
    for site in sites:
        until(lambda: order_state(net, site, order_id) == "in_force", 20, f"{site} has order {order_id} in force")


def relocate(net, site, *to):
    return net.cli(site, "relocate", LUIK, *(w for t in to for w in ("--to", t)), "--reason", "flood", "--yes", "--json", check=True).row["id"]


def relocate_by_quorum(net, *to):
    order_id = relocate(net, NAMEN, *to)
    for site in (LEUVEN, LIMBURG):
        until(lambda: order_state(net, site, order_id) is not None, 20, f"{site} has heard of order {order_id}")
        net.cli(site, "endorse", order_id, check=True)
    in_force(net, order_id, [s for s in SITES if s in net.daemons])
    return order_id


def handback(tap, net, name):
    r = net.cli(LUIK, "handback", LUIK, "--yes", "--timeout", f"{60 * lib.SLOW}s", timeout=90)
    tap.ok(r.code == 0 and "has its queues back" in r.out, name, r)


def no_conflicts(tap, net, name):
    tap.eq({s: net.cli(s, "conflicts", "--json", check=True).rows for s in net.daemons}, {s: [] for s in net.daemons}, name)


def waiting(net, site):
    """Messages that wait there in Luik's queues."""
    return sum(r["waiting"] for r in net.cli(site, "queues", "--json", check=True).rows if r["queue"].startswith(LUIK + "/"))


def judge(tap, mail, name):
    tap.eq(mail.twice(), {}, f"{name}: no message was read twice")
    tap.eq(sorted(i for i in mail.bodies if not mail.read[i]), [], f"{name}: every message was read")
    tap.eq(mail.altered, [], f"{name}: every body is what was sent")
    tap.eq(mail.receipts(), [], f"{name}: every originator learns that its messages were read")


# ---- Luik is gone -----------------------------------------------------------------------------------------------------------

def test_flood(tap, net, mail):
    dispatch, messages, eupen = f"{LUIK}/dispatch", f"{LUIK}/messages", "eupen/dispatch"
    senders = (NAMEN, LEUVEN, LIMBURG, SPOC)
    at_once(*((lambda s: [mail.send_mix(s, to, n) for to, n in ((dispatch, 750 // PART), (messages, 375 // PART), (eupen, 125 // PART))], s) for s in senders))
    total = len(mail.bodies)
    for site in (LUIK, LEUVEN, NAMEN):
        until(lambda: waiting(net, site) == total, 60, f"{site} holds all {total}", 0.1)
    first = mail.take(LUIK, "dispatch", 300 // PART) + mail.take(LUIK, "messages", 200 // PART)
    out = [r["id"] for r in net.take(LUIK, "dispatch", "--lease", "1h", count=3)]
    for site in (LEUVEN, NAMEN):
        until(lambda: all(any(e["event"] == "handed-out" for e in net.cli(site, "trace", i, "--json").rows) for i in out), 20, f"{site} knows what is out")
        until(lambda: waiting(net, site) == total - len(first), 20, f"{site} knows what was read", 0.1)
    net.kill(LUIK)
    order_id = relocate_by_quorum(net, f"{LEUVEN}:dispatch", f"{NAMEN}:messages")
    seen = mail.take(LEUVEN, dispatch, 40)
    marked = {r["id"] for r in seen if r["perhaps_seen"]}
    tap.eq(marked, set(out), "what a desk at Luik had in hand is handed out first of its precedence, and marked")
    new = at_once((mail.send, SPOC, dispatch, 100, "immediate"), (mail.send, LIMBURG, eupen, 100, "routine", "--wait", "delivered"),
                  (mail.send, NAMEN, messages, 100, "priority", "--wait", "delivered"),
                  (mail.take, LEUVEN, dispatch, 1500 // PART), (mail.take, NAMEN, messages, 700 // PART))
    tap.eq([len(x) for x in new[3:]], [1500 // PART, 700 // PART], "Leuven and Namen read what waits")
    tap.ok(sorted_by_precedence(seen) and not {r["id"] for x in (*new[3:], seen) for r in x} & {r["id"] for r in first},
           "the most urgent first, and nothing that Luik had read")
    shutil.move(os.path.join(net.dir, LUIK, "journal"), os.path.join(net.top, "drowned"))
    net.up(LUIK)
    in_force(net, order_id, (LUIK,))
    r = net.cli(LUIK, "take", "dispatch", "--timeout", f"{lib.SLOW}s", "--json")
    tap.eq((r.code, r.error.get("code")), (1, "timeout"), "Luik comes back with an empty disk, and hands out nothing that is not its to serve")
    handback(tap, net, "the queues go home")
    last = len(mail.unread(dispatch, eupen)), len(mail.unread(messages))
    got = len(mail.take(LUIK, "dispatch", last[0])), len(mail.take(LUIK, "messages", last[1]))
    tap.eq(got, last, "Luik reads the rest")
    judge(tap, mail, "the flood")
    no_conflicts(tap, net, "the flood: nothing was handled at two sites")


def test_shares(tap, net, mail):
    """By shares: two successors never hand out the same."""
    dispatch, messages = f"{LUIK}/dispatch", f"{LUIK}/messages"
    at_once(*((mail.send_mix, s, to, 100) for s in (NAMEN, LEUVEN, LIMBURG, SPOC) for to in (dispatch, messages)))
    for site in (LUIK, LEUVEN, NAMEN):
        until(lambda: waiting(net, site) == 800, 40, f"{site} holds all", 0.1)
    net.kill(LUIK)
    order_id = relocate_by_quorum(net, f"{LEUVEN}:share=50%", f"{NAMEN}:share=50%")
    got = at_once((mail.take, LEUVEN, dispatch, 100), (mail.take, NAMEN, dispatch, 100), (mail.take, LEUVEN, messages, 100), (mail.take, NAMEN, messages, 100))
    tap.eq([len(x) for x in got], [100] * 4, "both successors read of both queues")
    tap.ok(all(sorted_by_precedence(x) for x in got), "each the most urgent first")
    tap.eq(mail.twice(), {}, "and never the same")
    mail.send(SPOC, dispatch, 20, "flash")
    net.up(LUIK)
    in_force(net, order_id, (LUIK,))
    handback(tap, net, "the shares go home")
    left = len(mail.unread(dispatch)), len(mail.unread(messages))
    got = len(mail.take(LUIK, "dispatch", left[0])), len(mail.take(LUIK, "messages", left[1]))
    tap.eq(got, left, "Luik reads what the successors did not")
    judge(tap, mail, "shares")
    no_conflicts(tap, net, "shares: nothing was handled at two sites")


# ---- Luik is cut off ----------------------------------------------------------------------------------------------------------

def test_cut_off(tap, net, mail, wires):
    """Both serve, as neither can hear the other: what both handled is listed at every site that has to do with it."""
    messages = f"{LUIK}/messages"
    sent = [i for s in (SPOC, LIMBURG) for i in mail.send(s, messages, 20, "priority")]
    for site in (LUIK, LEUVEN, NAMEN):
        until(lambda: waiting(net, site) == 40, 20, f"{site} holds all", 0.1)
    wires.cut(LUIK)
    until(lambda: net.status(LUIK)["links_up"] == 0, 30, "Luik hears nobody")
    order_id = relocate(net, SPOC, NAMEN)
    in_force(net, order_id, [s for s in SITES if s != LUIK])
    here, there = (len(x) for x in at_once((mail.take, LUIK, "messages", 30), (mail.take, NAMEN, messages, 25)))
    both = set(mail.twice())
    tap.ok((here, there) == (30, 25) and len(both) == 25, "both serve, and read some messages twice", f"{here} {there} {len(both)}")
    wires.mend(LUIK)
    in_force(net, order_id, (LUIK,))
    for site in SITES:
        # An originator is concerned by its own messages.
        mine = {i for i in both if mail.origin[i] == site} if site in (SPOC, LIMBURG) else both
        rows = []

        def found():
            rows[:] = net.cli(site, "conflicts", "--json", check=True).rows
            return {r["id"] for r in rows} == mine

        try:
            until(found, 20, "")
        except TimeoutError:
            tap.ok(False, f"{site} lists what was handled twice", f"{len(rows)} of {len(mine)}\n{sorted(mine ^ {r['id'] for r in rows})}")
            continue
        tap.ok(all(sorted(r["handlers"]) == sorted((LUIK, NAMEN)) and len(r["times"]) == 2 and not r["signed_off"] for r in rows),
               f"{site} lists what was handled twice, with both handlers and times", rows[:2])
        done = net.cli(site, "ack", *sorted(mine), "--by", "duty")
        left = [r["id"] for r in net.cli(site, "conflicts", "--json", check=True).rows if not r["signed_off"]]
        tap.ok(done.code == 0 and not left, f"and a person signs them off at {site}", done)
    rest = {r["id"] for r in mail.take(NAMEN, messages, 10)}
    r = net.cli(NAMEN, "take", messages, "--timeout", f"{lib.SLOW}s", "--json")
    tap.ok(len(rest) == 10 and not rest & both and r.code == 1, "the rest is read at Namen alone", rest)
    handback(tap, net, "the queues go home once more")
    tap.eq(mail.receipts(), [], "every originator learns that its messages were read")
    tap.eq(sorted(set(sent) - set(mail.read)), [], "and all were")


def main():
    global PART
    lib.start(__doc__)
    PART = 5 if lib.sanitized() else 1
    tap, net = Tap(), Net(*SITES, up=False)
    wires = Wires(net)
    net.up()
    net.linked()
    mail = Mail(net)
    for part, more in ((test_flood, ()), (test_shares, ()), (test_cut_off, (wires,))):
        with tap.part(part.__name__):
            part(tap, net, mail, *more)
    net.close(tap)
    wires.close()
    tap.done()


if __name__ == "__main__":
    main()
