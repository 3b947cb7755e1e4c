#!/usr/bin/env python3
"""Kills daemons with SIGKILL at random moments under load, and checks invariant 1 each time: crash.py --kills N

Three sites, each a standby of the others. At each a writer sends with --id and repeats until it is answered; desks take
and acknowledge. What a send answered is accepted: it must be known after every restart, and in the end be read, its body
unchanged. What a take reported as acknowledged must never be handed out again. When a daemon dies between its commit of an
acknowledgement and its answer, the desk has the file and no row; then the node is asked whether it was read."""

import collections
import hashlib
import os
import random
import shutil
import sys
import threading
import time

import lib
from lib import PRECEDENCES, Net, Tap, estafette, until

SITES = ("cic-luik", "cic-namen", "cic-vlaams-brabant")
QUEUE = "dispatch"
BACKLOG = 300  # accepted and not read: more, and the writers wait


class Load:
    """Writers and desks of all sites, and what they were told."""

    def __init__(self, net, seed):
        self.net, self.seed = net, seed
        self.lock = threading.Lock()
        self.writing, self.taking = True, True
        self.accepted = {}                       # (id, addressee) -> (sha256, key, originator)
        self.last = {}                           # site -> (key, to, body, id): the latest accepted there
        self.acknowledged = {}                   # (id, site) -> sha256 of what the desk was given
        self.given = {}                          # (id, site) -> sha256 of every file that a desk was given
        self.again, self.broken = [], []
        self.handed_out = collections.Counter()
        self.threads = []

    def start(self):
        for site in SITES:
            self.threads.append(threading.Thread(target=self.guard, args=(self.write, site), daemon=True))
            self.threads.append(threading.Thread(target=self.guard, args=(self.take, site), daemon=True))
        for t in self.threads:
            t.start()

    def guard(self, work, site):
        try:
            work(site)
        except Exception as e:
            self.broken.append(f"{work.__name__} at {site}: {e}")

    def backlog(self):
        with self.lock:
            return len(self.accepted) - len(self.acknowledged)

    def message(self, site, rng, n):
        key = f"{site}-{n}"
        size = rng.choice((0, 40, 400, 1200, 1500, 4000, 12000, rng.randrange(60000, 70000) if n % 20 else 200000))
        body = f"{key}\n".encode() + rng.randbytes(size)
        if n % 8 == 0:
            return key, f"all-cic/{QUEUE}", [s for s in SITES if s != site], body
        to = rng.choice([s for s in SITES if s != site])
        return key, f"{to}/{QUEUE}", [to], body

    def write(self, site):
        rng, n = random.Random(f"{self.seed}-{site}"), 0
        while self.writing:
            if self.backlog() > BACKLOG:
                time.sleep(0.05)
                continue
            n += 1
            key, to, sites, body = self.message(site, rng, n)
            precedence = rng.choice(PRECEDENCES)
            while True:  # also when the writing ends: what was begun is brought to its answer
                done = self.net.cli(site, "send", "--to", to, "--id", key, "--precedence", precedence, "--json", "-", stdin=body)
                if done.code == 0:
                    break
                if done.code != 1 or done.error.get("code") not in ("no_node", "closed", "timeout", "busy", "io"):
                    raise RuntimeError(str(done))
                time.sleep(0.02)
            digest = hashlib.sha256(body).hexdigest()
            with self.lock:
                for s in sites:
                    self.accepted[done.row["id"], s] = (digest, key, site)
                self.last[site] = (key, to, body, precedence, done.row["id"])

    def take(self, site):
        n = 0
        while self.taking:
            n += 1
            folder = os.path.join(self.net.top, "out", site, str(n))
            os.makedirs(folder)
            with self.lock:
                before = {i for i, s in self.acknowledged if s == site}
            done = self.net.cli(site, "take", QUEUE, "--count", 40, "--timeout", "150ms", "--lease", "2s", "--out", folder, "--ack", "read",
                                "--json")
            self.judge(site, folder, before, done.rows)
            if done.code != 0 and done.error.get("code") == "no_node":
                time.sleep(0.02)

    def judge(self, site, folder, before, rows):
        handed = {n for n in os.listdir(folder) if not n.startswith(".")}
        digests = {n: hashlib.sha256(lib.read(os.path.join(folder, n))).hexdigest() for n in handed}
        with self.lock:
            for n in handed:
                self.handed_out[n, site] += 1
                self.given[n, site] = digests[n]
            self.again += [(n, site) for n in handed & before]
            for row in rows:
                if row["id"] in digests:
                    self.acknowledged[row["id"], site] = digests[row["id"]]
        shutil.rmtree(folder)

    def missing(self):
        with self.lock:
            return [k for k in self.accepted if k not in self.acknowledged]

    def settle(self):
        """Everything is read: what has a file but no row is asked for. True when nothing is missing."""
        for message, site in self.missing():
            if (message, site) in self.given:
                events = self.net.cli(site, "trace", message, "--json").rows
                if any(r["event"] == "read" and r["site"] == site for r in events):
                    with self.lock:
                        self.acknowledged[message, site] = self.given[message, site]
        return not self.missing()


def check_known(tap_fail, net, load, site):
    """After a restart: the latest message that was accepted here is known, under its id."""
    with load.lock:
        last = load.last.get(site)
    if not last:
        return
    key, to, body, precedence, first = last
    done = net.cli(site, "send", "--to", to, "--id", key, "--precedence", precedence, "--json", "-", stdin=body)
    if done.code != 0 or done.row["id"] != first or not done.row["duplicate"]:
        tap_fail(f"{site} does not know {key} as {first} after a restart: {done}")


def kill_one(rng, net, load, n, fail):
    time.sleep(rng.uniform(0, 0.2) * lib.SLOW)
    victims = rng.sample(SITES, 2 if n % 10 == 9 else 1)
    for site in victims:
        net.kill(site)
    if n % 25 == 24:
        verified = estafette("journal", "verify", net.conf(victims[0]))
        if verified.code != 0:
            fail(f"journal of {victims[0]} after kill {n}: {verified}")
    for site in victims:
        net.launch(site)
    for site in victims:
        until(lambda: net.answers(site), 20, f"{site} answers after kill {n}", 0.01)
        check_known(fail, net, load, site)


def main():
    args = lib.start(__doc__, ("--kills", 200, "how many"), ("--seed", random.SystemRandom().randrange(10**6), "of the random choices"))
    tap = Tap()
    print(f"# seed {args.seed}: repeat with {sys.argv[0]} --kills {args.kills} --seed {args.seed}")
    rng, net = random.Random(args.seed), Net(*SITES)
    net.linked()
    load, failures, kills, began = Load(net, args.seed), [], 0, time.monotonic()
    load.start()
    try:
        while kills < args.kills and not failures and not load.broken:
            kill_one(rng, net, load, kills, failures.append)
            kills += 1
            if kills % 50 == 0:
                print(f"# {kills} kills in {time.monotonic() - began:.0f} s, {len(load.accepted)} accepted, {len(load.acknowledged)} read")
    except Exception as e:
        failures.append(str(e))
    load.writing = False
    tap.ok(kills == args.kills and not failures, f"{args.kills} kills; after each restart what was accepted is known", "\n".join(failures))
    tap.ok(not load.broken, "every call was answered, or said why not", "\n".join(load.broken))
    try:
        until(lambda: not any(t.is_alive() for t in load.threads[::2]), 30, "the writers end")
        until(load.settle, 60, "everything is read", 0.1)
    except TimeoutError as e:
        print(f"# {e}")
    load.taking = False
    for t in load.threads:
        t.join(lib.longest(30))
    lost = load.missing()
    detail = "".join(f"{k} {load.accepted[k][1]} from {load.accepted[k][2]}\n" for k in lost[:10])
    if lost and not failures:
        (message, at), (_, _, originator) = lost[0], load.accepted[lost[0]]
        detail += f"{net.cli(originator, 'trace', message)}\n{net.cli(at, 'trace', message)}\n{net.cli(at, 'queues')}"
    tap.ok(not lost, f"{len(load.accepted)} accepted, all read: {len(lost)} lost", detail)
    altered = [k for k, d in load.acknowledged.items() if k in load.accepted and load.accepted[k][0] != d]
    tap.ok(not altered, "no body is altered", altered[:10])
    strange = [k for k in load.acknowledged if k not in load.accepted]
    tap.ok(not strange or load.broken, "nothing is read that no send was told of", strange[:10])
    tap.ok(not load.again, "nothing acknowledged is handed out again", load.again[:10])
    tap.ok(len(load.accepted) > kills, "there was load", len(load.accepted))
    print(f"# {len(load.accepted)} accepted, {sum(n > 1 for n in load.handed_out.values())} handed out again before they were acknowledged")
    net.close()
    for site in SITES:
        verified = estafette("journal", "verify", net.conf(site), timeout=120)
        tap.ok(verified.code == 0, f"the journal of {site} is whole", verified)
    tap.done(net)


if __name__ == "__main__":
    main()
