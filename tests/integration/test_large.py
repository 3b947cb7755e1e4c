#!/usr/bin/env python3
"""A body of 64 MiB crosses without being held whole in memory, also when its receiver is killed in the middle of it."""

import hashlib
import os
import random
import subprocess
import threading
import time

import lib
from lib import Net, Tap, until

LUIK, NAMEN, LEUVEN = "cic-luik", "cic-namen", "cic-vlaams-brabant"
MIB = 1024 * 1024
BOUND_KIB = 128 * 1024


def write_file(path, size):
    """Random bytes, in pieces, so that this program stays small too."""
    rng, digest = random.Random(size), hashlib.sha256()
    with open(path, "wb") as f:
        for _ in range(size // MIB):
            piece = rng.randbytes(MIB)
            digest.update(piece)
            f.write(piece)
    return digest.hexdigest()


def digest_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while piece := f.read(MIB):
            digest.update(piece)
    return digest.hexdigest()


def memory_kib(pid, what):
    with open(f"/proc/{pid}/status") as f:
        return next((int(line.split()[1]) for line in f if line.startswith(what + ":")), 0)


class Memory:
    """Watches the memory that the daemons have for themselves. What they read of the journal's file is mapped: the kernel's
    cache, which it takes back when it needs it, and so not counted, but shown."""

    def __init__(self, net):
        self.net, self.peak, self.ended = net, {}, False
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def watch(self):
        while not self.ended:
            for site, daemon in list(self.net.daemons.items()):
                try:
                    own = memory_kib(daemon.pid, "RssAnon") + memory_kib(daemon.pid, "RssShmem")
                except OSError:
                    continue
                self.peak[site] = max(self.peak.get(site, 0), own)
            time.sleep(0.005)

    def judge(self, tap):
        self.ended = True
        self.thread.join()
        for site, daemon in self.net.daemons.items():
            print(f"# {site}: {self.peak[site]} KiB of its own at most, {memory_kib(daemon.pid, 'VmHWM')} KiB with what it mapped")
            tap.ok(self.peak[site] < BOUND_KIB, f"{site} stays under 128 MiB", f"{self.peak[site]} KiB")


def command_peak(args, stdin=None, stdout=subprocess.DEVNULL):
    """Runs the command: its status, and the most memory it had."""
    process = subprocess.Popen([os.path.join(lib.BIN, "estafette"), *args], stdin=stdin or subprocess.DEVNULL, stdout=stdout)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_maxrss


def journal_bytes(net, site):
    s = os.stat(os.path.join(net.dir, site, "journal", "data.mdb"))
    return s.st_blocks * 512


def main():
    lib.start(__doc__)
    tap, net = Tap(), Net(LUIK, NAMEN, LEUVEN)
    net.linked()
    big, out = os.path.join(net.top, "big"), os.path.join(net.top, "out")
    os.makedirs(out)
    digest, memory = write_file(big, 64 * MIB), Memory(net)
    with tap.part("64 MiB cross"):
        began = time.monotonic()
        sent = net.cli(NAMEN, "send", "--to", f"{LUIK}/dispatch", "--type", "application/octet-stream", "--wait", "delivered", "--timeout", "120s",
                       "--json", big, timeout=150)
        tap.ok(sent.code == 0, "a file of 64 MiB is delivered", sent)
        print(f"# 64 MiB in {time.monotonic() - began:.1f} s")
        row = net.cli(LUIK, "take", "dispatch", "--out", out, "--ack", "read", "--timeout", "60s", "--json", timeout=90, check=True).row
        tap.eq((row["size"], digest_of(os.path.join(out, row["id"]))), (64 * MIB, digest), "and is the one that was sent")
        os.unlink(os.path.join(out, row["id"]))
    with tap.part("64 MiB, interrupted"):
        command = [os.path.join(lib.BIN, "estafette"), "-c", net.conf(NAMEN), "send", "--to", f"{LUIK}/messages", "--wait", "delivered", "--timeout",
                   "120s", big]
        base = journal_bytes(net, LUIK)
        sender = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        until(lambda: journal_bytes(net, LUIK) > base + 8 * MIB, 60, "some of it has come", 0.002)
        net.kill(LUIK)
        tap.ok(sender.poll() is None, "the receiver is killed in the middle", journal_bytes(net, LUIK) - base)
        net.up(LUIK)
        flash = time.monotonic()
        net.send(NAMEN, f"{LUIK}/dispatch", b"FLASH", "--precedence", "flash", "--wait", "delivered", "--timeout", "20s")
        print(f"# FLASH beside it, after the restart: {time.monotonic() - flash:.2f} s")
        sender.communicate(timeout=150)
        tap.eq(sender.returncode, 0, "it is delivered all the same")
        row = net.cli(LUIK, "take", "messages", "--out", out, "--ack", "read", "--timeout", "60s", "--json", timeout=90, check=True).row
        tap.eq((row["size"], digest_of(os.path.join(out, row["id"]))), (64 * MIB, digest), "and unchanged")
        os.unlink(os.path.join(out, row["id"]))
    with tap.part("FLASH beside bulk"):
        bulk = time.monotonic()
        sender = subprocess.Popen([*command[:-1], big], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        base, slowest = journal_bytes(net, LUIK), 0
        while sender.poll() is None:
            began = time.monotonic()
            net.send(NAMEN, f"{LUIK}/dispatch", b"FLASH", "--precedence", "flash", "--wait", "delivered", "--timeout", "20s")
            slowest = max(slowest, time.monotonic() - began)
        sender.communicate()
        print(f"# slowest FLASH beside 64 MiB of bulk: {slowest * 1000:.0f} ms")
        # Of the bulk's own time, which the same machine took beside it: no bare seconds.
        tap.ok(slowest < max(2, (time.monotonic() - bulk) / 2), "FLASH is not behind bulk", f"{slowest:.2f} s")
    with tap.part("standard input"):
        with open(big, "rb") as f:
            status, peak = command_peak(("-c", net.conf(NAMEN), "send", "--to", f"{LEUVEN}/messages", "--wait", "delivered", "--timeout", "120s", "-"), f)
        tap.eq(status, 0, "64 MiB from standard input")
        tap.ok(peak < BOUND_KIB, "without being held whole by the command that sends", f"{peak} KiB")
        with open(os.path.join(out, "piped"), "wb") as f:
            status, peak = command_peak(("-c", net.conf(LEUVEN), "take", "messages", "--ack", "read", "--timeout", "60s"), None, f)
        tap.eq((status, digest_of(os.path.join(out, "piped"))), (0, digest), "and to standard output")
        tap.ok(peak < BOUND_KIB, "nor by the one that takes", f"{peak} KiB")
    memory.judge(tap)
    tap.done(net)


if __name__ == "__main__":
    main()
