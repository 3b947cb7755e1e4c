#!/usr/bin/env python3
"""From an order to the first message that a successor hands out, with few and with many messages waiting.

    tests/bench/handover.py [--bin build/bin] [--messages 1000000]

Luik is gone; its standby Leuven holds what SPOC sent. SPOC orders the relocation; the time runs from the request to its node until a
desk that waits at Leuven has a message: a commit at each, and the way between them. RssAnon is memory of the daemon's own; what it
mapped of the journal beside that is the system's cache. A million messages of 1 KiB take 3 GiB below TMPDIR."""

import os
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "integration"))
import client  # noqa: E402
import lib  # noqa: E402

LUIK, NAMEN, LEUVEN, SPOC = "cic-luik", "cic-namen", "cic-vlaams-brabant", "spoc-brussel"
QUEUE = f"{LUIK}/dispatch"
ORDER = 14
client.F.update(assign=41, dry=43)


def socket_of(net, site):
    return next(line.split('"')[1] for line in lib.read(net.conf(site)).decode().splitlines() if line.startswith("socket"))


def own_memory_kib(daemon):
    return next(int(line.split()[1]) for line in open(f"/proc/{daemon.pid}/status") if line.startswith("RssAnon"))


def cpu_s(daemon):
    words = lib.read(f"/proc/{daemon.pid}/stat").decode().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def idle(daemon):
    """Waits until the daemon does nothing any more."""
    def still():
        before = cpu_s(daemon)
        time.sleep(0.5)
        return cpu_s(daemon) - before < 0.02
    lib.until(still, 600, "the daemon has nothing to do")


def end_of(node, tag):
    while node.reply(tag)[0] != client.DONE:
        pass


def order(node, *more):
    return node.ask(ORDER, ("what", "relocate"), ("to", LUIK), ("assign", LEUVEN), *more)


def ms(since):
    return (time.monotonic() - since) * 1000


def measure(messages, early):
    """early: the desk waits before the order comes. Milliseconds to the first message, and what else was seen."""
    net = lib.Net(LUIK, NAMEN, LEUVEN, SPOC, up=False)
    net.up(LEUVEN, SPOC)
    net.linked(LEUVEN, SPOC)
    e2e = os.path.join(os.path.dirname(lib.BIN), "tests", "bench", "e2e")
    subprocess.run([e2e, "pub", "-s", socket_of(net, SPOC), "-q", QUEUE, "-n", str(messages), "-w", "2048", "-t", "3600"], check=True, stdout=subprocess.DEVNULL)
    net.send(SPOC, QUEUE, b"flash", "--precedence", "flash")
    desk, sender, leuven = client.Client(socket_of(net, LEUVEN)), client.Client(socket_of(net, SPOC)), net.daemons[LEUVEN]
    lib.until(lambda: sum(r["waiting"] for r in desk.show("queues") if r["queue"] == QUEUE) == messages + 1, 3600, "Leuven holds all", 0.2)
    if early:
        tag = desk.ask(client.TAKE, ("queue", QUEUE), ("count", 5))
    time.sleep(4)  # just after its start a node waits a moment for word of orders given meanwhile
    idle(leuven)
    memory, began = own_memory_kib(leuven), time.monotonic()
    end_of(sender, order(sender, ("dry", b"\x01")))
    dry, began = ms(began), time.monotonic()
    given = order(sender)
    if not early:
        tag = desk.ask(client.TAKE, ("queue", QUEUE), ("count", 5))
    first = dict(desk.reply(tag)[1])[client.F["precedence"]]
    took = ms(began)
    end_of(sender, given)
    for _ in range(4):
        desk.reply(tag)
    grown = own_memory_kib(leuven) - memory
    net.close()
    if first != 0 or net.failures:
        sys.exit("handover: FLASH did not come first\n" * (first != 0) + "\n".join(net.failures))
    shutil.rmtree(net.top)
    return took, dry, grown


def main():
    args = lib.start(__doc__, ("--messages", 1000000, "so many wait"))
    print(f"{'waiting':>9}  {'desk waits':>10}  {'first message':>13}  {'dry run':>9}  {'memory':>9}")
    for messages in (100, args.messages):
        for early in (False, True):
            took, dry, grown = measure(messages, early)
            print(f"{messages:>9}  {'yes' if early else 'no':>10}  {took:>10.1f} ms  {dry:>6.1f} ms  {grown:>+5} KiB")


if __name__ == "__main__":
    main()
