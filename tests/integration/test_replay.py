#!/usr/bin/env python3
"""A replay on running nodes: at a rate, killed with its node in the middle, given again; each message once more and no more than that."""

import json
import subprocess

import lib
from lib import BIN, Net, Tap, estafette, until

LUIK, NAMEN = "cic-luik", "cic-namen"
MESSAGES = 60


def fill(tap, net):
    precedences = ("routine", "priority", "immediate", "flash")
    ids = [net.send(NAMEN, f"{LUIK}/dispatch", f"message {i}".encode(), "--precedence", precedences[i % 4], "--channel", "siena" if i % 2 else "i247",
                    "--wait", "delivered") for i in range(MESSAGES)]
    net.take(LUIK, "dispatch", "--ack", "read", count=MESSAGES, seconds=30)
    until(lambda: net.status(LUIK)["read"] == MESSAGES, 20, "all is read")
    return ids


def counted(tap, net):
    row = net.cli(LUIK, "replay", "dispatch", "--dry-run", "--json", check=True).row
    tap.eq((row["replayed"], row["flash"], row["routine"], row["waiting"]), (MESSAGES, MESSAGES // 4, MESSAGES // 4, 0), "a dry run counts by precedence")
    row = net.cli(LUIK, "replay", "dispatch", "--dry-run", "--channel", "siena", "--precedence", "flash", "--json", check=True).row
    tap.eq(row["replayed"], MESSAGES // 4, "channel and precedence choose")
    for args, code in ((("--from", "then"), 2), (("--rate", "0"), 2), (("--precedence", "soon"), 2), (("--into", f"{NAMEN}/dispatch"), 1), (("x",), 2),
                       (("--originator", "nowhere"), 1), (("--from", "2030-01-01T00:00:00Z", "--to", "2029-01-01T00:00:00Z"), 1)):
        tap.eq(net.cli(LUIK, "replay", "dispatch", *args).code, code, f"replay {' '.join(args)}: exit {code}")
    tap.eq(net.cli(LUIK, "take", "dispatch", "--timeout", "1s", "--json").code, 1, "and nothing was handed out")


def taken(net, count, seconds):
    return net.cli(LUIK, "take", "dispatch", "--count", str(count), "--timeout", f"{seconds}s", "--ack", "read", "--json").rows


def interrupted(tap, net, ids):
    command = [f"{BIN}/estafette", "-c", net.conf(LUIK), "replay", "dispatch", "--rate", "6", "--reason", "a desk begins anew"]
    replay = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    got = taken(net, 15, 30)
    tap.eq(len(got), 15, "desks get them while it goes on")
    net.kill(LUIK)
    replay.communicate(timeout=lib.longest(60))
    tap.ok(replay.returncode not in (0, None), "the command says that its node is gone", replay.returncode)
    net.up(LUIK)
    again = net.cli(LUIK, "replay", "dispatch", "--rate", "1000", "--reason", "a desk begins anew", "--json", check=True).row
    tap.ok(again["replayed"] == MESSAGES and 0 < again["now"] <= MESSAGES - 15, "given again it goes on where it stopped", again)
    # What was handed out and acknowledged when the node died is known or was told to nobody: what came twice was not acknowledged.
    while rows := taken(net, 64, 3):
        got += rows
    tap.eq(sorted(row["id"] for row in got), sorted(ids), "each message once, in all")
    tap.ok(all(row["replayed"] and row["replayed_why"] == "a desk begins anew" and row["replayed_by"] and not row["perhaps_seen"] for row in got),
           "each says that it is replayed, by whom and why", got[0])


def unchanged(tap, net, ids):
    net.linked()
    status = net.status(LUIK)
    tap.eq((status["read"], status["queued"], status["delivered"]), (MESSAGES, 0, MESSAGES), "what was read, waits and was delivered counts as before")
    tap.eq(net.cli(LUIK, "conflicts", "--json", check=True).rows, [], "nothing was handled twice")
    events = [row["event"] for row in net.cli(LUIK, "trace", ids[0], "--json", check=True).rows]
    tap.eq((events.count("replayed"), events.count("read"), events.count("handed-out")), (1, 1, 1), "trace shows that it was replayed, and read once")
    until(lambda: "replayed" in [row["event"] for row in net.cli(NAMEN, "trace", ids[0], "--json", check=True).rows], 20, "its sender's site knows too")
    verified = estafette("journal", "verify", net.conf(LUIK), "--json")
    tap.ok(verified.code == 0, "the journal is whole", verified)
    whole, *parts = [json.loads(line) for line in estafette("journal", "stat", net.conf(LUIK), "--json").out.splitlines()]
    tap.eq(sum(p["bytes"] for p in parts if p["by"] == "space"), whole["file_bytes"], "journal stat beside a running node: the parts are the file")
    row = net.cli(LUIK, "replay", "dispatch", "--channel", "siena", "--into", "messages", "--json", check=True).row
    tap.eq(row["now"], MESSAGES // 2, "into another queue")
    rows = net.cli(LUIK, "take", "messages", "--count", str(MESSAGES // 2), "--timeout", "10s", "--ack", "read", "--json").rows
    tap.eq({row["queue"] for row in rows}, {f"{LUIK}/messages"}, "they are taken there")
    tap.eq([row["precedence"] for row in rows], sorted((row["precedence"] for row in rows), key=("flash", "immediate", "priority", "routine").index),
           "in order of precedence")


def main():
    lib.start(__doc__)
    tap, net = Tap(), Net(LUIK, NAMEN)
    net.linked()
    ids = fill(tap, net)
    for part, args in ((counted, ()), (interrupted, (ids,)), (unchanged, (ids,))):
        with tap.part(part.__name__):
            part(tap, net, *args)
    tap.done(net)


if __name__ == "__main__":
    main()
