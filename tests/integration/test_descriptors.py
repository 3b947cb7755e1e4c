#!/usr/bin/env python3
"""What the caller did to the standard descriptors: closed ones, a full disk behind them, a reader that went away."""

import os
import subprocess

import lib
from lib import Net, Tap, estafette, until

LUIK, NAMEN = "cic-luik", "cic-namen"
QUEUE = f"{LUIK}/messages"


def shell(net, site, line, seconds=20):
    """Runs `estafette -c CONF` as $E in a shell; standard error comes back."""
    env = dict(os.environ, E=f"{lib.BIN}/estafette -c {net.conf(site)}", NET=net.top)
    done = subprocess.run(["sh", "-c", line], stdin=subprocess.DEVNULL, capture_output=True, timeout=lib.longest(seconds), env=env)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def one_line(text):
    return text.startswith(("estafette: ", '{"code":')) and text.count("\n") == 1


def test_unwritable(tap, net):
    body = os.path.join(net.top, "body")
    with open(body, "wb") as f:
        f.write(b"a body")
    for where, to in (("a full disk", ">/dev/full"), ("a closed standard output", ">&-")):
        for command in ("status", "queues", "queues --json", f"send --to {QUEUE} $NET/body", f"send --to {QUEUE} --json $NET/body",
                        "network status $NET/net", f"journal ls $NET/net/{NAMEN}/journal", "roster show $NET/net/roster.conf"):
            code, _, err = shell(net, NAMEN, f"$E {command} {to}")
            tap.ok(code == 1 and one_line(err), f"{command.split('--to')[0]}: {where} is a failure in one line", f"{code}\n{err}")
        code, _, err = shell(net, NAMEN, f"$E check {to}")
        tap.ok(code == 3 and one_line(err), f"check: {where} makes it unknown", f"{code}\n{err}")


def test_take(tap, net):
    before = len(net.cli(LUIK, "queues", QUEUE, "--list", "--json", check=True).rows)
    net.send(NAMEN, QUEUE, b"for nobody", "--wait", "delivered")
    for options in ("--ack read", "--ack read --json"):
        for to in (">/dev/full", ">&-"):
            code, _, err = shell(net, LUIK, f"$E take {QUEUE} {options} {to}")
            tap.ok(code == 1 and err.count("\n") == 1, f"take {options} {to} fails in one line", f"{code}\n{err}")
    rows = net.cli(LUIK, "queues", QUEUE, "--list", "--json", check=True).rows
    tap.eq([r["state"] for r in rows], ["waiting"] * (before + 1), "and everything is back in its queue")


def test_closed_input(tap, net):
    code, _, err = shell(net, NAMEN, f"$E send --to {QUEUE} - <&-")
    tap.ok(code == 1 and one_line(err) and "standard input" in err, "send: a closed standard input is a failure in one line", f"{code}\n{err}")


def test_closed_error(tap, net):
    code, out, _ = shell(net, NAMEN, f"$E send --to {LUIK}/nosuch $NET/body 2>&-")
    tap.eq((code, out), (1, ""), "an error with standard error closed is an exit status")
    tap.eq(shell(net, NAMEN, f"$E journal verify $NET/net/{NAMEN}/journal >&- 2>&-")[0], 1, "journal verify with both closed")
    tap.eq(estafette("journal", "verify", f"{net.dir}/{NAMEN}/journal").code, 0, "leaves the journal alone")


def test_daemon(tap, net):
    """Log lines over data.mdb would be the end of the journal."""
    message = net.send(NAMEN, QUEUE, b"kept", "--wait", "delivered")
    net.down(LUIK)
    net.launch(LUIK, wrap=["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"])
    until(lambda: net.answers(LUIK), 15, "it answers")
    net.hup(LUIK)
    net.down(LUIK)
    verified = estafette("journal", "verify", f"{net.dir}/{LUIK}/journal")
    tap.eq(verified.code, 0, "a daemon started with its standard descriptors closed leaves its journal whole")
    net.up(LUIK)
    rows = net.cli(LUIK, "queues", QUEUE, "--list", "--json", check=True).rows
    tap.ok(message in [r["id"] for r in rows], "and what it holds is there at the next start")


def main():
    lib.start(__doc__)
    tap = Tap()
    net = Net(LUIK, NAMEN)
    net.linked()
    for test in (test_unwritable, test_take, test_closed_input, test_closed_error, test_daemon):
        with tap.part(test.__name__):
            test(tap, net)
    tap.done(net)


if __name__ == "__main__":
    main()
