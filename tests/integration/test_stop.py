#!/usr/bin/env python3
"""SIGTERM ends a daemon in good order within two seconds, under load, and what it accepted is there afterwards."""

import os
import subprocess
import threading
import time

import lib
from lib import Net, Tap

LUIK, NAMEN = "cic-luik", "cic-namen"
ROUNDS = 5


def writer(net, site, to, accepted, stop):
    """Sends until told to stop; notes what was accepted, of a call that broke off too."""
    n = 0
    while not stop.is_set():
        n += 1
        body = f"{site} {n} ".encode() + lib.body_of(n % 5000, n)
        done = net.cli(site, "send", "--to", to, "--json", "-", stdin=body)
        for row in done.rows:
            accepted[row["id"]] = body
        if done.code != 0:
            time.sleep(0.01)


def main():
    lib.start(__doc__)
    tap, net = Tap(), Net(LUIK, NAMEN)
    net.linked()
    accepted, stop = {}, threading.Event()
    threads = [threading.Thread(target=writer, args=(net, NAMEN, f"{LUIK}/messages", accepted, stop), daemon=True) for _ in range(2)]
    for t in threads:
        t.start()
    out = os.path.join(net.top, "out")
    os.makedirs(out)
    for n in range(ROUNDS):
        desk = subprocess.Popen([os.path.join(lib.BIN, "estafette"), "-c", net.conf(LUIK), "take", "messages", "--follow", "--ack", "read", "--out",
                                 out], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        lib.until(lambda: len(os.listdir(out)) > 10 * (n + 1), 20, "there is load")
        for site in (LUIK, NAMEN):
            began = time.monotonic()
            code = net.daemons.pop(site).term()
            took = time.monotonic() - began
            tap.ok(code == 0 and lib.soon(took, 2), f"round {n + 1}: {site} ends within two seconds", f"status {code}, {took:.2f} s\n{net.tail(site)}")
        tap.ok(desk.wait(lib.longest(20)) != -9 and desk.returncode in (0, 1), f"round {n + 1}: the desk's take ends too", desk.stderr.read())
        net.up()
    stop.set()
    for t in threads:
        t.join()
    left = len(set(accepted) - set(os.listdir(out)))
    net.cli(LUIK, "take", "messages", "--count", max(left, 1), "--timeout", f"{20 * lib.SLOW}s", "--out", out, "--ack", "read", timeout=60)
    given = {n: lib.read(os.path.join(out, n)) for n in os.listdir(out) if not n.startswith(".")}
    tap.eq(set(accepted) - set(given), set(), f"all {len(accepted)} that were accepted are read")
    tap.ok(all(given[i] == body for i, body in accepted.items() if i in given), "and unchanged")
    socket_gone(tap)
    tap.done(net)


def socket_gone(tap):
    """Nobody reaches a daemon whose socket was removed; `network down` finds it by its journal's lock and ends it all the same."""
    top = lib.temp_dir()
    folder = os.path.join(top, "net")
    made = lib.estafette("network", "init", folder, "--sites", LUIK)
    up = lib.estafette("network", "up", folder, timeout=60)
    pid = lib.estafette("network", "status", folder, "--json").rows[0]["pid"]
    os.unlink(os.path.join(folder, LUIK, "socket"))
    row = lib.estafette("network", "status", folder, "--json").rows[0]
    tap.ok(made.code == 0 and up.code == 0 and row["pid"] == pid and not row["up"], "a daemon without its socket is shown, and as not answering", f"{row} {pid}")
    down = lib.estafette("network", "down", folder, timeout=60)
    gone = lib.estafette("network", "status", folder, "--json").rows[0]
    tap.ok(down.code == 0 and gone["pid"] is None, "and can be ended", f"{down} {gone}")


if __name__ == "__main__":
    main()
