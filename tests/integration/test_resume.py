#!/usr/bin/env python3
"""A large body over a line that is cut again and again: it arrives whole, and hardly anything crosses the line twice.

Without arguments: 40 MiB, and a cut after each 4 MiB that crossed, so that it is the same on every machine. The long form is
`--mib 500 --seconds 5` (`make bench`): a cut every five seconds."""

import contextlib
import os
import subprocess
import time

import lib
from lib import Net, Tap
from test_large import BOUND_KIB, MIB, Memory, digest_of, write_file
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


def on_terminal(*args):
    """Runs the command with a terminal as its standard error: its status, the most memory it had, and what the terminal showed."""
    ours, its = os.openpty()
    process = subprocess.Popen([os.path.join(lib.BIN, "estafette"), *args], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=its)
    os.close(its)
    shown = b""
    with contextlib.suppress(OSError):  # it ends so
        while piece := os.read(ours, 65536):
            shown += piece
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    os.close(ours)
    return process.returncode, usage.ru_maxrss, shown.decode()


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
        status, peak, shown = on_terminal("-c", net.conf(NAMEN), "send", "--to", f"{LUIK}/dispatch", "--wait", "delivered", "--timeout", "1200s", big)
        took = time.monotonic() - began
        carried, cuts = wires.end()
        tap.eq(status, 0, f"{args.mib} MiB are delivered over it")
        tap.ok(f"{args.mib} of {args.mib} MiB (100%), " in shown and "iB/s" in shown, "send shows bytes, percent and rate on a terminal", shown)
        tap.ok(peak < BOUND_KIB, "and has not all of it in memory", f"{peak} KiB")
        # What is around the parts (frames, keys, acknowledgements, hellos) is in it too.
        print(f"# {args.mib} MiB in {took:.1f} s, {cuts} cuts, {100 * (carried - size) / size:.2f} % more than the body crossed")
        tap.ok(cuts >= (took / args.seconds / 2 if args.seconds else args.mib // 5), "it was cut all the while", cuts)
        # Of a short run on a busy machine what was in the air at each cut weighs more.
        tap.ok(carried <= size * (1.05 if args.seconds else 1.25), "little crossed twice: 5 % at most of a long run", f"{carried} of {size}")
        status, peak, shown = on_terminal("-c", net.conf(LUIK), "take", "dispatch", "--out", out, "--ack", "read", "--timeout", "600s")
        taken = os.path.join(out, os.listdir(out)[0])
        tap.eq((status, os.path.getsize(taken), digest_of(taken)), (0, size, digest), "it is the one that was sent")
        tap.ok(f"{args.mib} of {args.mib} MiB (100%), " in shown, "take shows how far it is", shown)
        tap.ok(peak < BOUND_KIB, "and has not all of it in memory", f"{peak} KiB")
    memory.judge(tap)
    net.close(tap)
    wires.close()
    tap.done()


if __name__ == "__main__":
    main()
