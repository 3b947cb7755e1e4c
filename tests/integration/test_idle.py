#!/usr/bin/env python3
"""What a link costs: an idle one in an hour, and one short FLASH from end to end, in bytes of TCP payload on all connections of two
sites, both lanes, both directions, as a proxy between the daemons counts them."""

import re
import time

import lib
from lib import Net, Tap
from wires import Wires

LUIK, NAMEN = "cic-luik", "cic-namen"
MOST_AN_HOUR = 60_000
MOST_A_FLASH = 3_000
FASTER = 20  # all that comes by the clock comes so much more often than by default: 250 ms for 5 s, 3 s for 60 s
TEXT = (b"Wateroverlast op de E42 ter hoogte van Chaudfontaine, beide rijstroken onder water, drie voertuigen vast. "
        b"Graag ploeg ter plaatse en omleiding via de N61. Bevestig ontvangst aan de dispatching van Luik.")


def still(wires, seconds):
    """Waits until nothing but what comes by the clock is said any more."""
    time.sleep(seconds)
    return wires.moved


def idle(tap, net, wires):
    start, began = still(wires, 3), time.monotonic()
    hour = (still(wires, 9) - start) / (time.monotonic() - began) * 3600 / FASTER
    print(f"# an idle link costs {hour:.0f} bytes an hour", flush=True)
    tap.ok(0 < hour <= MOST_AN_HOUR, f"an idle link costs at most {MOST_AN_HOUR} bytes an hour", f"{hour:.0f}")
    tap.eq(net.status(LUIK)["links_up"], 1, "and is up")


def settings(net, **values):
    for site in net.sites:
        text = lib.read(net.conf(site)).decode()
        for name, value in values.items():
            text = re.sub(rf"(?m)^{name} = .*$", "", text) + f'\n{name} = "{value}";\n'
        with open(net.conf(site), "w") as f:
            f.write(text)


def flash(tap, net, wires):
    """With nothing that comes by the clock. The first brings a key with it, and makes its streams known."""
    for which in ("first", "next"):
        before = still(wires, 2)
        net.send(LUIK, f"{NAMEN}/dispatch", TEXT, "--precedence", "flash")
        net.take(NAMEN, "dispatch", "--ack", "read")
        cost = still(wires, 3) - before
        print(f"# the {which} FLASH of {len(TEXT)} bytes costs {cost} bytes, reports and acknowledgements included", flush=True)
    tap.ok(cost < MOST_A_FLASH, f"a FLASH of {len(TEXT)} bytes costs less than {MOST_A_FLASH} bytes from end to end", str(cost))


def main():
    lib.start(__doc__)
    tap, net = Tap(), Net(LUIK, NAMEN, up=False)
    settings(net, probe=f"{5000 // FASTER}ms", heartbeat=f"{60 // FASTER}s", heartbeat_timeout="60s")
    wires = Wires(net)
    net.up()
    net.linked()
    idle(tap, net, wires)
    for site in net.sites:
        net.down(site)
    settings(net, probe="600s", heartbeat="600s", heartbeat_timeout="600s")
    net.up()
    net.linked()
    flash(tap, net, wires)
    tap.done(net)
    wires.close()


if __name__ == "__main__":
    main()
