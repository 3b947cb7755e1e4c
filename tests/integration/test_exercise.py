#!/usr/bin/env python3
"""A live exercise on running nodes: a relocation of its own, traffic apart from the rest, and its purge."""

import lib
from lib import Net, Tap, until

LUIK, NAMEN, LEUVEN, SPOC = "cic-luik", "cic-namen", "cic-vlaams-brabant", "spoc-brussel"
NAME = "high-water"


def drill(tap, net):
    net.send(NAMEN, f"{LUIK}/dispatch", b"a real call", "--wait", "delivered")
    net.send(NAMEN, f"{LUIK}/dispatch", b"a drill call", "--exercise", NAME, "--wait", "delivered")
    net.cli(SPOC, "relocate", LUIK, "--to", LEUVEN, "--exercise", NAME, "--yes", check=True)
    until(lambda: f"{LUIK}/dispatch by {LEUVEN}, exercise {NAME}" in net.status(LUIK)["relocated"], 20, "Luik knows the drill's order")
    until(lambda: net.status(LEUVEN)["serves"], 20, "Leuven serves")
    tap.eq(net.take(LEUVEN, f"{LUIK}/dispatch", "--exercise", NAME, "--ack", "read")[0]["body"], b"a drill call", "the drill's call is taken in Leuven")
    tap.eq(net.cli(LEUVEN, "take", f"{LUIK}/dispatch", "--timeout", "1s", "--json").code, 1, "the real one is not")
    tap.eq(net.take(LUIK, "dispatch", "--ack", "read")[0]["body"], b"a real call", "it is taken in Luik")
    other = net.cli(SPOC, "relocate", LUIK, "--to", NAMEN, "--exercise", "other", "--yes", "--json")
    tap.ok(other.code == 1 and f'in the exercise "{NAME}"' in other.error["message"], "a second exercise at one site is refused", other)
    net.cli(SPOC, "handback", LUIK, "--exercise", NAME, "--yes", check=True)
    until(lambda: not net.status(LUIK)["relocated"], 20, "the drill is over")
    status = net.status(LUIK)
    tap.eq((status["handled_elsewhere"], status["exercise_handled_elsewhere"]), (0, 1), "counted apart")


def purge(tap, net):
    net.send(NAMEN, f"{LUIK}/dispatch", b"left over" * 20000, "--exercise", NAME, "--wait", "delivered")
    for args, code in ((("purge",), 2), (("purge", "--exercise", NAME), 2), (("purge", "--exercise", NAME, "--yes", "x"), 2)):
        tap.eq(net.cli(LUIK, *args).code, code, f"{' '.join(args)}: exit {code}")
    row = net.cli(LUIK, "purge", "--exercise", NAME, "--yes", "--json", check=True).row
    tap.eq((row["purged"], row["waiting"], row["sealed"]), (2, 1, 0), "both messages go, of which one was not read")
    again = net.cli(LUIK, "purge", "--exercise", NAME, "--yes", check=True)
    tap.ok(again.out.startswith(f"0 messages of the exercise {NAME}"), "once more: nothing is left", again)
    tap.eq(net.status(LUIK)["exercise_queued"], 0, "nothing waits")
    net.down(LUIK)
    verified = net.cli(LUIK, "journal", "verify", net.conf(LUIK))
    tap.eq(verified.code, 0, "the journal verifies")


def main():
    lib.start(__doc__)
    tap, net = Tap(), Net(LUIK, NAMEN, LEUVEN, SPOC)
    net.linked()
    for part in (drill, purge):
        with tap.part(part.__name__):
            part(tap, net)
    tap.done(net)


if __name__ == "__main__":
    main()
