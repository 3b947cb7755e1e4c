#!/usr/bin/env python3
"""A real node whose journal fills up: its peers hold on to bulk, FLASH goes through, `send` is told until when and keeps trying, and when
desks read, retention makes room by itself and everything arrives, once and unchanged."""

import os
import threading

import lib
from lib import Net, Tap, until

LUIK, NAMEN = "cic-luik", "cic-namen"
BULK = 320
BYTES = 60_000


def main():
    lib.start(__doc__)
    tap = Tap()
    net = Net(LUIK, NAMEN, up=False)
    with open(net.conf(LUIK), "a") as f:
        f.write('\nquota = "16MiB";\nkeep_bodies = "1s";\nkeep_headers = "1s";\n')
    for site in (LUIK, NAMEN):
        net.up(site)
    net.linked()

    folder = os.path.join(net.top, "in")
    os.makedirs(folder)
    bodies = []
    for i in range(BULK):
        bodies.append(os.path.join(folder, f"{i:03}"))
        with open(bodies[-1], "wb") as f:
            f.write(lib.body_of(BYTES, f"bulk {i}"))
    done = net.cli(NAMEN, "send", "--to", f"{LUIK}/messages", "--json", *bodies, timeout=120)
    sent = [r["id"] for r in done.rows]
    tap.eq((done.code, len(sent)), (0, BULK), "Namen takes more bulk than Luik has room for")
    until(lambda: net.status(LUIK)["journal_refuses"], 60, "Luik's journal is nearly full")
    status = net.status(LUIK)
    tap.ok("routine" in status["journal_refuses"] or "below" in status["journal_refuses"], "status says what is refused", status)
    until(lambda: net.status(LUIK)["journal_held_back"] > 0, 30, "Luik refuses what a peer gives")
    tap.ok(net.cli(LUIK, "check", "disk").code in (1, 2), "check disk warns")
    flash = net.cli(NAMEN, "send", "--to", f"{LUIK}/dispatch", "--precedence", "flash", "--wait", "delivered", "--timeout", "20s", "--json", "-",
                    stdin=b"FLASH goes through", timeout=40)
    tap.ok(flash.code == 0, "FLASH is delivered at the full site", flash)
    held = net.status(LUIK)["queued"]
    tap.ok(0 < held < BULK, "the rest is held at Namen", held)
    trace = net.cli(NAMEN, "trace", sent[-1], "--json", check=True).rows
    tap.ok(any(r["event"] == "waits" and "has no room" in r["note"] for r in trace), "trace says why it waits there", trace)
    alarms = [a["kind"] for a in net.cli(NAMEN, "alarms", "--json").rows]
    tap.ok("peer" not in alarms and "loss" not in alarms, "and is no alarm there", alarms)
    refusal = net.cli(LUIK, "send", "--to", f"{NAMEN}/messages", "--timeout", "1s", "--json", "-", stdin=b"not now")
    tap.ok(refusal.code == 1 and refusal.error.get("code") == "busy" and refusal.error.get("until"), "a desk is told `busy`, and until when", refusal)

    later = {}

    def keep_trying():
        later["done"] = net.cli(LUIK, "send", "--to", f"{NAMEN}/messages", "--timeout", "300s", "-", stdin=b"as soon as there is room", timeout=400)

    trying = threading.Thread(target=keep_trying)
    trying.start()
    out = os.path.join(net.top, "out")
    os.makedirs(out)
    taken = net.cli(LUIK, "take", "messages", "--count", BULK, "--timeout", "300s", "--out", out, "--ack", "read", "--json", timeout=400)
    names = sorted(os.listdir(out))
    tap.ok(names == sorted(sent), "when desks read all of it arrives, each once", f"{len(names)} of {len(sent)}\n{taken.err}")
    want = {i: lib.read(b) for i, b in zip(sent, bodies)}
    tap.ok(all(lib.read(os.path.join(out, n)) == want[n] for n in names if n in want), "and unchanged")
    trying.join()
    tap.ok(later["done"].code == 0 and "trying again" in later["done"].err, "send says that it tries again, and is taken in the end", later["done"])
    until(lambda: not net.status(LUIK)["journal_refuses"], 60, "Luik takes everything again")
    status = net.status(LUIK)
    tap.ok(status["bodies_removed"] > 0 or status["entries_retired"] > 0, "retention made the room", status)
    until(lambda: net.cli(LUIK, "check", "disk").code == 0, 30, "check disk is quiet again")
    tap.ok(net.status(LUIK)["journal_bytes"] < 14 * 1024 * 1024, "its journal is no larger than it may be", net.status(LUIK))
    tap.done(net)


if __name__ == "__main__":
    main()
