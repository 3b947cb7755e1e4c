#!/usr/bin/env python3
"""The demonstration: fifteen Belgian sites as fifteen daemons carry the corpus, one is killed, nothing is lost.

The plan: every file is sent once at each precedence, by batches from another site each to queues of two other sites,
with some group and area addresses between them. Desks take meanwhile. In the middle one site is killed (SIGKILL) and
later started again; what it could not send then, it sends after that. Every body that a desk was given is compared
byte for byte with the file. The last line is true only if all fits, and the status is 0 only then."""

import collections
import concurrent.futures
import hashlib
import itertools
import os
import queue
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "integration"))
import lib  # noqa: E402
from lib import PRECEDENCES, estafette  # noqa: E402

VICTIM = "cic-luik"
SITES = ("spoc-brussel", "ccpd-doornik", "ccpd-luxembourg", "ccpd-kerkrade", "cic-west-vlaanderen", "cic-oost-vlaanderen",
         "cic-antwerpen", "cic-limburg", "cic-vlaams-brabant", "cic-brussel", "cic-waals-brabant", "cic-henegouwen",
         "cic-namen", "cic-luik", "cic-luxemburg")
GROUPS = {"all": SITES, "all-cic": tuple(s for s in SITES if s.startswith("cic-")),
          "all-ccpd": tuple(s for s in SITES if s.startswith("ccpd-"))}
AREAS = {"eupen": "cic-luik", "halle-vilvoorde": "cic-vlaams-brabant"}
FILES_A_BATCH = 6
WORKERS = 4

Batch = collections.namedtuple("Batch", "site to precedence files")


def addressees(address, originator):
    """The (site, queue) pairs that a message to the address from the originator reaches."""
    name, _, q = address.partition("/")
    sites = GROUPS.get(name) or (AREAS.get(name, name),)
    return [(s, q) for s in sites if not (name in GROUPS and s == originator)]


def plan(files):
    """Every file four times, at each precedence, between ever new pairs."""
    batches = []
    chunks = [files[i:i + FILES_A_BATCH] for i in range(0, len(files), FILES_A_BATCH)]
    offsets = itertools.cycle(range(1, len(SITES)))
    for r, precedence in enumerate(PRECEDENCES):
        for c, chunk in enumerate(chunks):
            site = SITES[(c + 4 * r) % len(SITES)]
            others = [SITES[(SITES.index(site) + next(offsets)) % len(SITES)] for _ in range(2)]
            to = [f"{other}/{'dispatch' if (c + r + i) % 2 else 'messages'}" for i, other in enumerate(others)]
            batches.append(Batch(site, tuple(to), precedence, tuple(chunk)))
        small = [f for f in files if os.path.getsize(f) < 8192][r::len(PRECEDENCES)][:3]
        batches.append(Batch("spoc-brussel", ("all-cic/messages", "all-ccpd/messages"), precedence, tuple(small)))
        batches.append(Batch("cic-namen", ("all/messages", "eupen/dispatch"), precedence, tuple(small[:2])))
        batches.append(Batch("ccpd-kerkrade", ("spoc-brussel/translation", "halle-vilvoorde/dispatch"), precedence, tuple(small)))
    return batches


class Demo:
    def __init__(self, folder):
        self.net = os.path.join(folder, "net")
        self.out = os.path.join(folder, "taken")
        self.lock = threading.Lock()
        self.types = lib.media_types()
        self.digests = {f: hashlib.sha256(lib.read(f)).hexdigest() for f in lib.corpus_files()}
        self.expected = {}                      # (id, site, queue) -> digest of the file that was accepted
        self.taken = collections.Counter()      # (id, site, queue) -> how often it was handed out
        self.altered = set()
        self.digests_taken = set()              # (key, digest) of every body that was handed out
        self.sent_from = collections.Counter()
        self.read_bytes = collections.Counter()
        self.victim_up = threading.Event()
        self.victim_up.set()
        self.phase, self.began, self.said = "", time.monotonic(), 0.0
        self.total = 0

    # ---- the daemons -----------------------------------------------------------------------------------------

    def conf(self, site):
        return os.path.join(self.net, site, "node.conf")

    def status(self):
        return {r["site"]: r for r in estafette("network", "status", self.net, "--json").rows}

    def down(self):
        """Ends every daemon of ours: asked first, then, one that was only just being started, by its id."""
        if not os.path.isdir(self.net):
            return
        try:
            estafette("network", "down", self.net, timeout=20)
        finally:
            for pid in lib.daemons_of(self.net):
                os.kill(pid, signal.SIGKILL)

    # ---- what is shown ---------------------------------------------------------------------------------------

    def progress(self, phase=None, force=False):
        with self.lock:
            self.phase = phase or self.phase
            now, terminal = time.monotonic(), sys.stdout.isatty()
            if not force and not phase and now - self.said < (0.1 if terminal else 3):
                return
            self.said = now
            line = f"{now - self.began:6.1f} s  {len(self.expected):4d} of {self.total} accepted, {len(self.taken):4d} read   {self.phase}"
            sys.stdout.write(f"\r\033[K{line}" if terminal else f"  {line}\n")
            sys.stdout.flush()

    def table(self):
        to, read, missing = collections.Counter(), collections.Counter(), collections.Counter()
        for key in self.expected:
            to[key[1]] += 1
            read[key[1]] += key in self.taken
            missing[key[1]] += key not in self.taken
        if sys.stdout.isatty():
            print("\r\033[K", end="")
        print(f"\n  {'site':<22}{'sent':>6}{'for it':>8}{'read':>6}{'missing':>9}{'KiB read':>10}")
        for site in SITES:
            note = "   killed and started again" if site == VICTIM else ""
            print(f"  {site:<22}{self.sent_from[site]:>6}{to[site]:>8}{read[site]:>6}{missing[site]:>9}{self.read_bytes[site] // 1024:>10}{note}")
        print()

    # ---- sending ---------------------------------------------------------------------------------------------

    def accepted(self, batch, rows, files):
        """Notes what a send answered: the k-th answer for an address is the k-th file."""
        nth = collections.Counter()
        with self.lock:
            for row in rows:
                file = files[nth[row["to"]]]
                nth[row["to"]] += 1
                for site, q in addressees(row["to"], batch.site):
                    self.expected[row["id"], site, q] = self.digests[file]
                    self.sent_from[batch.site] += 1

    def options(self, batch, files):
        kind, lang = self.types[files[0]]
        lang = ("--lang", lang) if lang in ("nl", "fr", "de", "en") else ()
        return ("--precedence", batch.precedence, "--type", kind, *lang, "--json")

    def send(self, batch):
        if batch.site == VICTIM:
            return self.send_singly(batch)
        # One call a media type, so that each message says what it is.
        for _, group in itertools.groupby(sorted(batch.files, key=self.types.get), self.types.get):
            files = list(group)
            to = [x for address in batch.to for x in ("--to", address)]
            result = estafette("-c", self.conf(batch.site), "send", *to, *self.options(batch, files), *files, timeout=60)
            self.accepted(batch, result.rows, files)
            if result.code != 0:
                raise RuntimeError(str(result))
            self.progress()

    def send_singly(self, batch):
        """At the site that is killed a call may break off; with a key it is repeated until answered, and counts once."""
        for address, file in itertools.product(batch.to, batch.files):
            key = f"{batch.precedence}-{address}-{os.path.basename(file)}"[-100:]
            for _ in range(100):
                self.victim_up.wait()
                result = estafette("-c", self.conf(VICTIM), "send", "--to", address, "--id", key, *self.options(batch, [file]), file)
                if result.code == 0:
                    break
                time.sleep(0.1)
            else:
                raise RuntimeError(str(result))
            self.accepted(batch, result.rows, [file])
            self.progress()

    # ---- taking ----------------------------------------------------------------------------------------------

    def queues(self):
        return [(s, q) for s in SITES for q in (("dispatch", "messages", "translation") if s == "spoc-brussel" else ("dispatch", "messages"))]

    def take(self, site, q, count, timeout_ms):
        """One desk's call: takes into files, acknowledges, compares. Returns how many came."""
        folder = os.path.join(self.out, site, q)
        os.makedirs(folder, exist_ok=True)
        result = estafette("-c", self.conf(site), "take", q, "--count", count, "--timeout", f"{timeout_ms}ms", "--out", folder,
                           "--ack", "read", "--json", timeout=timeout_ms / 1000 + 60)
        for row in result.rows:
            self.judge(site, q, row, os.path.join(folder, row["id"]))
        if result.code != 0 and result.error.get("code") != "timeout":
            raise RuntimeError(str(result))
        self.progress()
        return len(result.rows)

    def judge(self, site, q, row, path):
        body = lib.read(path)
        digest = hashlib.sha256(body).hexdigest()
        with self.lock:
            key = (row["id"], site, q)
            self.taken[key] += 1
            self.read_bytes[site] += len(body)
            # Whether it is the file that was sent is asked at the end: the sender may not have been told yet.
            self.digests_taken.add((key, digest))
        os.unlink(path)

    def compare(self):
        """Fills self.altered; returns what was read though nothing said that it was accepted."""
        for key, digest in self.digests_taken:
            if key in self.expected and digest != self.expected[key]:
                self.altered.add(key)
        return [key for key in self.taken if key not in self.expected]

    def desks(self, stop):
        """Desks at all sites but the one that is killed, while the sending goes on."""
        for site, q in itertools.cycle([sq for sq in self.queues() if sq[0] != VICTIM]):
            if stop.is_set():
                return
            self.take(site, q, 200, 50)

    def take_rest(self):
        """Everything that is still due, each desk waiting for what it knows it must get."""
        def rest(site, q):
            due = [k for k in self.expected if k[1:] == (site, q) and k not in self.taken]
            if due:
                self.take(site, q, len(due), 30000)
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            for f in [pool.submit(rest, *sq) for sq in self.queues()]:
                f.result()
        # Whether anything comes that should not.
        with concurrent.futures.ThreadPoolExecutor(2 * WORKERS) as pool:
            for f in [pool.submit(self.take, *sq, 1, 300) for sq in self.queues()]:
                f.result()

    # ---- the whole -------------------------------------------------------------------------------------------

    def send_all(self, batches):
        """Sends everything; kills the site after a third, starts it again after two thirds."""
        work, done, errors = queue.Queue(), [], []
        for b in batches:
            work.put(b)

        def worker():
            while not errors:
                try:
                    batch = work.get_nowait()
                except queue.Empty:
                    return
                if batch.site == VICTIM and not self.victim_up.is_set() and work.qsize() > 0:
                    work.put(batch)  # later; there are others to send now
                    time.sleep(0.01)
                    continue
                try:
                    self.send(batch)
                    done.append(batch)
                except Exception as e:
                    errors.append(e)

        threads = [threading.Thread(target=worker, daemon=True) for _ in range(WORKERS)]
        for t in threads:
            t.start()
        self.wait_for(lambda: len(done) >= len(batches) // 3, errors)
        pid = self.status()[VICTIM]["pid"]
        self.victim_up.clear()
        os.kill(pid, signal.SIGKILL)
        self.progress(f"{VICTIM} killed (SIGKILL, process {pid}); the others go on")
        mine = sum(b.site == VICTIM for b in batches)
        self.wait_for(lambda: len(done) >= min(2 * len(batches) // 3, len(batches) - mine), errors)
        estafette("network", "up", self.net, "--sites", VICTIM, check=True)
        self.victim_up.set()
        self.progress(f"{VICTIM} is started again")
        for t in threads:
            t.join()
        if errors:
            raise errors[0]

    def wait_for(self, condition, errors):
        while not condition() and not errors:
            time.sleep(0.02)
            self.progress()

    def run(self):
        batches = plan(lib.corpus_files())
        self.total = sum(len(b.files) * len(addressees(a, b.site)) for b in batches for a in b.to)
        pairs = {(b.site, s) for b in batches for a in b.to for s, _ in addressees(a, b.site)}
        print(f"demo: {len(SITES)} sites, {len(self.digests)} files, {self.total} deliveries between {len(pairs)} pairs, four precedences")
        self.progress("making keys and roster")
        estafette("network", "init", self.net, check=True)
        self.progress("starting fifteen daemons")
        estafette("network", "up", self.net, check=True, timeout=90)
        self.progress("sending, desks taking")
        stop, failed = threading.Event(), []

        def desks():
            try:
                self.desks(stop)
            except Exception as e:
                failed.append(e)
        taker = threading.Thread(target=desks, daemon=True)
        taker.start()
        self.send_all(batches)
        stop.set()
        taker.join()
        if failed:
            raise failed[0]
        self.progress("all accepted; taking and acknowledging the rest")
        self.take_rest()
        self.progress("comparing", force=True)
        strangers = self.compare()
        lost = [k for k in self.expected if k not in self.taken]
        twice = [k for k, n in self.taken.items() if n > 1]
        self.table()
        for what, keys in (("lost", lost), ("altered", self.altered), ("twice", twice), ("never accepted, but read", strangers)):
            for key in list(keys)[:5]:
                print(f"  {what}: {key[0]} at {key[1]}/{key[2]}")
        read = sum(k in self.taken for k in self.expected)
        true = len(self.expected) >= 500 and read == len(self.expected) == self.total and not (lost or self.altered or twice or strangers)
        print(f"  {time.monotonic() - self.began:.0f} s")
        print(f"demo: {len(self.expected)} accepted, {read} read, {len(lost)} lost, {len(self.altered)} altered, {len(twice)} twice", flush=True)
        return 0 if true else 1


def main():
    lib.start("the demonstration of make demo")
    demo = Demo(lib.temp_dir("estafette-demo-"))
    try:
        return demo.run()
    except Exception as e:
        print(f"\ndemo: failed: {e}", file=sys.stderr)
        return 1
    finally:
        demo.down()


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.exit(status)
