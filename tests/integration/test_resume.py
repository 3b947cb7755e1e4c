#!/usr/bin/env python3
"""A large body over a line that is cut again and again: it arrives whole, and hardly anything crosses the line twice.

Without arguments: 40 MiB, and a cut after each 4 MiB that crossed, so that it is the same on every machine. The long form is
`--mib 500 --seconds 5` (`make bench`): a cut every five seconds."""

import os
import time

import lib
from lib import Net, Tap
from test_large import MIB, Memory, digest_of, write_file
from wires import Wires

LUIK, NAMEN = "cic-luik", "cic-namen"


class CutWires(Wires):
    """Counts what it hands on to a site, and ends all lines each time that so much has crossed, or so much time has passed."""

    def __init__(self, net, to, after_bytes, after_s):
        self.to, self.after_bytes, self.after_s = to, after_bytes, after_s
        self.carried, self.cuts, self.last, self.counts = 0, 0, 0, False
        super().__init__(net)

    def begin(self):
        with self.lock:
            self.carried, self.cuts, self.counts = 0, 0, True
            self.last = time.monotonic() if self.after_s else 0

    def end(self):
        with self.lock:
            self.counts = False
            return self.carried, self.cuts

    def handed_on(self, site, n):
        if site == self.to:
            self.carried += n

    def cut_is_due(self):
        now = time.monotonic() if self.after_s else self.carried
        if not self.counts or now - self.last < (self.after_s or self.after_bytes):
            return False
        self.last = now
        self.cuts += 1
        return True


def main():
    args = lib.start(__doc__, ("--mib", 40, "size of the body"), ("--seconds", 0.0, "a cut so often; 0: after each 4 MiB"))
    tap, net = Tap(), Net(LUIK, NAMEN, up=False)
    size = args.mib * MIB
    wires = CutWires(net, LUIK, 4 * MIB, args.seconds)
    net.up()
    net.linked()
    big, out = os.path.join(net.top, "big"), os.path.join(net.top, "out")
    os.makedirs(out)
    digest, memory = write_file(big, size), Memory(net)
    with tap.part("a body over a line that is cut"):
        wires.begin()
        began = time.monotonic()
        sent = net.cli(NAMEN, "send", "--to", f"{LUIK}/dispatch", "--wait", "delivered", "--timeout", "1200s", "--json", big, timeout=1300)
        took = time.monotonic() - began
        carried, cuts = wires.end()
        tap.ok(sent.code == 0, f"{args.mib} MiB are delivered over it", sent)
        # What is around the parts (frames, keys, acknowledgements, hellos) is in it too.
        print(f"# {args.mib} MiB in {took:.1f} s, {cuts} cuts, {100 * (carried - size) / size:.2f} % more than the body crossed")
        tap.ok(cuts >= (took / args.seconds / 2 if args.seconds else args.mib // 5), "it was cut all the while", cuts)
        tap.ok(carried <= size * 1.05, "at most 5 % crossed twice", f"{carried} of {size}")
        row = net.cli(LUIK, "take", "dispatch", "--out", out, "--ack", "read", "--timeout", "600s", "--json", timeout=700, check=True).row
        tap.eq((row["size"], digest_of(os.path.join(out, row["id"]))), (size, digest), "it is the one that was sent")
    memory.judge(tap)
    net.close(tap)
    wires.close()
    tap.done()


if __name__ == "__main__":
    main()
