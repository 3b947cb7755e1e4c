#!/usr/bin/env python3
"""A node starts on a journal of a million entries within a second."""

import os
import subprocess
import time

import lib
from lib import Net, Tap, until

LUIK, NAMEN = "cic-luik", "cic-namen"


def answers_after(net, site):
    began = time.monotonic()
    net.launch(site)
    until(lambda: net.answers(site), 60, f"{site} answers", 0.005)
    return time.monotonic() - began


def main():
    args = lib.start(__doc__, ("--entries", 1000000, "how many"))
    tap, net = Tap(), Net(LUIK, NAMEN)
    net.linked()
    sent = net.send(NAMEN, f"{LUIK}/dispatch", b"one of very many", "--wait", "delivered")
    for site in net.sites:
        net.down(site)
    tool = os.path.join(os.path.dirname(lib.BIN), "tests", "bench", "big_journal")
    made = subprocess.run([tool, os.path.join(net.dir, LUIK, "journal"), str(args.entries)], capture_output=True, text=True, timeout=lib.longest(100))
    if tap.eq((made.returncode, made.stderr), (0, ""), f"a journal of {args.entries} entries is made"):
        few, many = answers_after(net, NAMEN), answers_after(net, LUIK)
        print(f"# it answers after {many * 1000:.0f} ms, one with a single entry after {few * 1000:.0f} ms")
        tap.ok(many < max(1, 4 * few), "the node answers within a second, or as soon as one that has no journal to speak of",
               f"{many:.2f} s, {few:.2f} s")
        waiting = sum(r["waiting"] for r in net.cli(LUIK, "queues", "dispatch", "--json").rows)
        tap.eq(waiting, args.entries + 1, "all of them wait in the queue")
        tap.eq(net.take(LUIK, "dispatch", "--ack", "read")[0]["id"], sent, "and the oldest is taken first")
    tap.done(net)


if __name__ == "__main__":
    main()
