#!/usr/bin/env python3
"""Bad input: each gets one line that says what, where and what to do, exit status 1 or 2, and changes nothing."""

import os
import random
import re
import shutil
import socket
import struct
import subprocess
import time

import lib
from lib import Net, Result, Tap, estafette, until

LUIK, NAMEN = "cic-luik", "cic-namen"


def refused(tap, result, name, code=None, words=()):
    """One line on standard error, status 1 or 2, and the words in it."""
    lines = [line for line in result.err.splitlines() if line.strip()]
    good = result.code in (1, 2) and len(lines) == 1 and all(w in result.err for w in words)
    if code:
        good = good and result.error.get("code") == code
    return tap.ok(good, name, f"expected one line, {code or ''} {words}\n{result}")


def daemon(conf, *options, seconds=10):
    """Runs estafetted until it ends by itself, which it must."""
    command = [os.path.join(lib.BIN, "estafetted"), *options, "-c", conf]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=lib.longest(seconds))
    except subprocess.TimeoutExpired as e:
        return Result(command, 0, b"", b"it runs\n" + (e.stderr or b""))
    return Result(command, done.returncode, done.stdout, done.stderr)


def change(path, old, new, out=None):
    text = open(path).read()
    assert old in text, f"{old!r} is not in {path}"
    with open(out or path, "w") as f:
        f.write(text.replace(old, new, 1))
    return out or path


def line_of(path, word):
    return next(n for n, line in enumerate(open(path), 1) if word in line)


def test_addresses(tap, net):
    before = net.status(NAMEN)["accepted"]
    refused(tap, net.cli(NAMEN, "send", "--to", "cic-nergens/dispatch", "--json", "-", stdin=b"x"), "an unknown site", "unknown_site", ["cic-nergens"])
    refused(tap, net.cli(NAMEN, "send", "--to", f"{LUIK}/nothing", "--json", "-", stdin=b"x"), "an unknown queue", "unknown_queue", ["nothing"])
    refused(tap, net.cli(NAMEN, "send", "--to", LUIK, "-", stdin=b"x"), "an address without a queue")
    refused(tap, net.cli(NAMEN, "send", "--to", f"{LUIK}/dispatch", "--to", f"{LUIK}/nothing", "--json", "-", stdin=b"x"),
            "one good queue and one unknown: nothing of it is sent", "unknown_queue")
    refused(tap, net.cli(NAMEN, "take", "nothing", "--timeout", "1s", "--json"), "taking from an unknown queue", "unknown_queue")
    refused(tap, net.cli(NAMEN, "take", f"{LUIK}/dispatch", "--timeout", "1s", "--json"), "taking from another site's queue")
    refused(tap, net.cli(NAMEN, "queues", "nothing", "--list"), "listing an unknown queue")
    refused(tap, net.cli(NAMEN, "send", "--to", f"{LUIK}/dispatch", "--re", "no-id", "-", stdin=b"x"), "--re with something that is no id")
    refused(tap, net.cli(NAMEN, "ack", "no-id"), "acknowledging something that is no id")
    refused(tap, net.cli(NAMEN, "ack", "0" * 26), "acknowledging an unknown id")
    refused(tap, net.cli(NAMEN, "trace", "0" * 26), "tracing an unknown id")
    tap.eq(net.status(NAMEN)["accepted"], before, "nothing was accepted")


def test_usage(tap, net):
    for args, name in ((("send",), "send without --to"), (("send", "--to"), "an option without its value"), (("sned",), "an unknown command"),
                       (("status", "--frobnicate"), "an unknown option"), (("send", "--to", f"{LUIK}/dispatch", "--precedence", "urgent", "-"), "an unknown precedence"),
                       (("take", "dispatch", "--count", "many"), "a count that is no number"), (("take", "dispatch", "--timeout", "5 parsecs"), "a duration without a known unit"),
                       (("send", "--to", f"{LUIK}/dispatch", "--timeout", "99999999999999999999d", "-"), "a duration beyond all bounds"), (("take",), "take without a queue")):
        result = net.cli(NAMEN, *args, stdin=b"x")
        refused(tap, result, name)
        tap.eq(result.code, 2, f"{name}: status 2")
    refused(tap, net.cli(NAMEN, "send", "--to", f"{LUIK}/dispatch", "/nonexistent/file"), "a file that is not there", words=["/nonexistent/file"])
    refused(tap, net.cli(NAMEN, "send", "--to", f"{LUIK}/dispatch", net.top), "a folder in place of a file", words=[net.top])
    refused(tap, net.cli(NAMEN, "send", "--to", f"{LUIK}/dispatch", "--id", "k" * 4000, "-", stdin=b"x"), "an --id over the limit")
    refused(tap, net.cli(NAMEN, "send", "--to", f"{LUIK}/dispatch", "--subject", "s" * 4000, "-", stdin=b"x"), "a subject over the limit")


def test_bodies(tap, net):
    before = net.status(NAMEN)["accepted"]
    big = os.path.join(net.top, "big")
    with open(big, "wb") as f:
        f.truncate(1024**3 + 1)
    from_time = time.monotonic()
    refused(tap, net.cli(NAMEN, "send", "--to", f"{LUIK}/dispatch", "--json", big, timeout=120), "a body over 1 GiB", "too_large")
    tap.ok(lib.soon(time.monotonic() - from_time, 2), "is refused before it is read", time.monotonic() - from_time)
    os.unlink(big)
    for expires in ("-5s", "0s"):
        refused(tap, net.cli(NAMEN, "send", "--to", f"{LUIK}/dispatch", f"--expires={expires}", "-", stdin=b"x"), f"an expiry in the past ({expires})")
    refused(tap, net.cli(NAMEN, "send", "--to", f"{LUIK}/dispatch", "/dev/zero", timeout=120), "a device without an end", words=["/dev/zero"])
    refused(tap, net.cli(NAMEN, "send", "--to", f"{LUIK}/dispatch", "/proc/self/mem"), "a file that cannot be read, with a size of 0", words=["/proc/self/mem"])
    tap.eq(net.status(NAMEN)["accepted"], before, "nothing was accepted")
    net.cli(NAMEN, "send", "--to", f"{LUIK}/messages", "--wait", "delivered", "/proc/version", check=True)
    tap.eq(net.take(LUIK, "messages", "--ack", "read")[0]["body"], lib.read("/proc/version"), "a file that says it is empty and is not is sent whole")
    refused(tap, net.cli(NAMEN, "trace", "zzz", "--json"), "a trace of what is no id", "usage", ["\"zzz: not the id of a message (26 letters"])


def test_another_user(tap, net):
    """What may not be looked at is not said to be missing."""
    other = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", os.path.join(lib.BIN, "estafette")]
    if os.getuid() != 0 or subprocess.run([*other, "--version"], capture_output=True).returncode != 0:
        tap.skip("another user", "only root can become another user, who can run the command")
        return
    for args in (["journal", "ls", f"{net.dir}/{NAMEN}/journal"], ["-c", net.conf(NAMEN), "status"], ["network", "status", net.dir]):
        done = subprocess.run([*other[:-1], other[-1], "--json", *args], capture_output=True)
        refused(tap, lib.Result(args, done.returncode, done.stdout, done.stderr), f"{args[0]}: another user", "not_permitted")
    os.chmod(net.top, 0o711)
    os.chmod(net.dir, 0o755)
    done = subprocess.run([*other, "network", "status", net.dir, "--json"], capture_output=True)
    refused(tap, lib.Result(["network", "status"], done.returncode, done.stdout, done.stderr), "a network of another user's is not said to be down",
            "not_permitted")
    os.chmod(net.dir, 0o700)


def test_no_daemon(tap):
    net = Net(LUIK, NAMEN, up=False)
    for args in (("status", "--json"), ("send", "--to", f"{NAMEN}/dispatch", "--json", "-"), ("take", "dispatch", "--json"), ("queues", "--json")):
        began = time.monotonic()
        result = net.cli(LUIK, *args, stdin=b"x")
        refused(tap, result, f"{args[0]} without a daemon", "no_node")
        tap.ok(result.code == 1 and lib.soon(time.monotonic() - began, 1), f"{args[0]} says so at once, with status 1", time.monotonic() - began)
    refused(tap, estafette("-c", os.path.join(net.top, "none.conf"), "status"), "a configuration that is not there", words=["none.conf"])
    return net


def test_configuration(tap, net):
    """What is wrong with node.conf, the keys or the roster: the daemon says it and leaves the journal alone."""
    site = os.path.join(net.dir, LUIK)
    conf = net.conf(LUIK)
    bad, journal = os.path.join(site, "bad.conf"), os.path.join(site, "journal", "data.mdb")
    before = lib.read(journal)
    cases = (('\ncolour = "blue";\n', "an unknown setting", "colour"), ('\nlease = "soon";\n', "a duration that is none", "lease"),
             ('\nmax_clients = "many";\n', "a setting of the wrong type", "max_clients"), ('\nlease = "5min";\nlease = "6min";\n', "a setting given twice", "duplicate"),
             ("\nlease = ;\n", "a syntax error", "bad.conf"), ('\nquota = "5 bytes";\n', "a size that is none", "quota"))
    for text, name, word in cases:
        shutil.copy(conf, bad)
        with open(bad, "a") as f:
            f.write(text)
        for options in (("-n",), ()):
            refused(tap, daemon(bad, *options), f"{name} in node.conf{' (-n)' if options else ''}", words=[word])
        if name == "an unknown setting":
            result = daemon(bad, "-n")
            tap.ok(re.search(rf"bad\.conf:{line_of(bad, 'colour')}\b", result.err), "with file and line", result)
    os.unlink(bad)
    keys = re.search(r'^keys = "(.*)";', open(conf).read(), re.M).group(1)
    keys = os.path.join(site, keys)
    other = re.search(r'^keys = "(.*)";', open(net.conf(NAMEN)).read(), re.M).group(1)
    own = lib.read(keys)
    os.chmod(keys, 0o644)
    refused(tap, daemon(conf), "a key file that others can read", words=[os.path.basename(keys)])
    os.chmod(keys, 0o600)
    for content, name in ((lib.read(os.path.join(net.dir, NAMEN, other)), "another site's key file"), (b"estafette-keys 1\nnonsense\n", "a key file that is none"),
                          (b"", "an empty key file")):
        with open(keys, "wb") as f:
            f.write(content)
        refused(tap, daemon(conf), name, words=[os.path.basename(keys)])
    with open(keys, "wb") as f:
        f.write(own)
    roster = os.path.join(net.dir, "roster.conf")
    good, signature = lib.read(roster), lib.read(roster + ".minisig")
    with open(roster, "ab") as f:
        f.write(b"\n# a word more\n")
    refused(tap, daemon(conf), "a roster that is not the one that was signed", words=["roster.conf"])
    refused(tap, estafette("roster", "verify", roster, "--pub", net.authority_pub()), "roster verify of it", words=["roster.conf"])
    with open(roster, "wb") as f:
        f.write(good)
    with open(roster + ".minisig", "wb") as f:
        f.write(b"untrusted comment: nothing\nAAAA\n")
    refused(tap, daemon(conf), "a signature that is none", words=["roster.conf"])
    os.unlink(roster + ".minisig")
    refused(tap, daemon(conf), "a roster without a signature", words=["roster.conf"])
    with open(roster + ".minisig", "wb") as f:
        f.write(signature)
    tap.eq(lib.read(journal), before, "after all this the journal is what it was")


def test_roster(tap, net):
    """Malformed rosters: the tools name file and line."""
    roster = os.path.join(net.dir, "roster.conf")
    bad = os.path.join(net.top, "bad-roster.conf")
    for old, new, name in ((f'id = "{LUIK}"', f'id = "{LUIK}', "a quote that is not closed"), (f'id = "{LUIK}"', f'id = "{NAMEN}"', "a site named twice"),
                           (f'id = "{LUIK}"', 'id = "Cic Luik"', "a name in the wrong letters"), ("serial = ", "sereal = ", "an unknown setting"),
                           ("tcp://127.0.0.1", "tcp://127.0.0", "an endpoint that is neither address nor name"), ("sites = (", '@include "x"\nsites = (', "an include")):
        change(roster, old, new, bad)
        refused(tap, estafette("roster", "sign", bad, "--key", net.authority_key()), f"roster sign: {name}", words=["bad-roster.conf:"])
        tap.ok(not os.path.exists(bad + ".minisig"), f"{name}: nothing is signed")
    with open(bad, "wb") as f:
        f.write(random.Random(1).randbytes(3000))
    refused(tap, estafette("roster", "show", bad), "a roster of random bytes")
    with open(bad, "wb") as f:
        f.write(b"#" * (1024 * 1024 + 1))
    refused(tap, estafette("roster", "show", bad), "a roster over the limit", words=["bad-roster.conf"])


def test_second_daemon(tap, net):
    result = daemon(net.conf(LUIK))
    refused(tap, result, "a second daemon on one journal")
    tap.eq(net.status(LUIK)["site"], LUIK, "the first one goes on, and its socket is still its own")


def test_serial(tap, net):
    """A lower serial, or another roster with the same serial, on SIGHUP: the daemon keeps what it has."""
    roster = os.path.join(net.dir, "roster.conf")
    good, signature = lib.read(roster), lib.read(roster + ".minisig")
    serial = net.status(LUIK)["serial"]
    later = re.sub(rb"serial = \d+", b"serial = %d" % (serial + 5), good)
    net.sign(later)
    net.hup(LUIK)
    until(lambda: net.status(LUIK)["serial"] == serial + 5, 10, "the later roster is taken over")
    for other, name in ((good, "a lower serial"), (later + b"\n# another one\n", "another roster with the same serial")):
        size = os.path.getsize(net.log(LUIK))
        if other is good:
            net.put_roster(good, signature)
        else:
            net.sign(other)
        net.hup(LUIK)
        until(lambda: "serial" in open(net.log(LUIK), errors="replace").read()[size:], 10, f"{name} is said in the log")
        tap.eq(net.status(LUIK)["serial"], serial + 5, f"{name} on SIGHUP is not adopted")
    net.sign(re.sub(rb"serial = \d+", b"serial = %d" % (serial + 6), good))
    net.hup(LUIK)
    until(lambda: net.status(LUIK)["serial"] == serial + 6, 10, "a later one is")
    tap.ok(True, "a later one is adopted after that")


def answers(net, site):
    return net.cli(site, "status", "--json").code == 0 and net.daemons[site].alive()


def test_socket_garbage(tap, net):
    path = re.search(r'^socket = "(.*)";', open(net.conf(LUIK)).read(), re.M).group(1)
    path = os.path.join(net.dir, LUIK, path)
    rng = random.Random(2)
    pieces = [b"", b"\0", b"GET / HTTP/1.1\r\n\r\n", rng.randbytes(5000), struct.pack(">I", 0xffffffff), struct.pack(">I", 3) + b"abc",
              struct.pack(">IBBI", 6, 1, 1, 7), struct.pack(">IBBI", 6, 9, 1, 7), struct.pack(">IBBI", 6, 1, 250, 7),
              struct.pack(">IBBIBI", 11, 1, 1, 7, 1, 0xffffffff), struct.pack(">IBBIBI", 11, 1, 12, 7, 200, 0), struct.pack(">I", 80 * 1024 + 1) + bytes(1000)]
    pieces += [struct.pack(">IBBI", 6 + n, 1, rng.randrange(1, 14), 1) + rng.randbytes(n) for n in range(1, 200)]
    here = os.getcwd()
    os.chdir(os.path.dirname(path))  # a socket's path holds 107 bytes
    try:
        for piece in pieces:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
                s.settimeout(5)
                s.connect(os.path.basename(path))
                try:
                    s.sendall(piece)
                    s.shutdown(socket.SHUT_WR)
                    while s.recv(65536):
                        pass
                except OSError:
                    pass
        tap.ok(answers(net, LUIK), "garbage on the client socket: the daemon goes on", net.tail(LUIK))
        many = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(400)]
        for s in many:
            s.settimeout(1)
            try:
                s.connect(os.path.basename(path))
                s.sendall(b"\0\0")
            except OSError:
                pass
        for s in many:
            s.close()
    finally:
        os.chdir(here)
    until(lambda: answers(net, LUIK), 10, "the daemon answers after hundreds of connections that say nothing")
    tap.ok(True, "hundreds of half requests: the daemon goes on")


def test_port_garbage(tap, net):
    text = open(os.path.join(net.dir, "roster.conf")).read()
    port = int(re.search(rf'id = "{LUIK}".*?tcp://127\.0\.0\.1:(\d+)', text, re.S).group(1))
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00"
    rng = random.Random(3)
    pieces = [b"GET / HTTP/1.1\r\n\r\n", rng.randbytes(10000), greeting + b"NULL".ljust(20, b"\0") + bytes(32) + b"\x04\x26\x05READY",
              greeting + b"CURVE".ljust(20, b"\0") + bytes(32) + rng.randbytes(2000), greeting + b"PLAIN".ljust(20, b"\0") + bytes(32), b"\xff" * 100]
    for piece in pieces * 3:
        with socket.create_connection(("127.0.0.1", port), 5) as s:
            s.settimeout(0.3)
            try:
                s.sendall(piece)
                while s.recv(65536):
                    pass
            except OSError:
                pass
    tap.ok(answers(net, LUIK), "garbage on the TCP port: the daemon goes on", net.tail(LUIK))
    sent = net.send(NAMEN, f"{LUIK}/dispatch", b"after the garbage", "--wait", "delivered")
    tap.eq(net.take(LUIK, "dispatch", "--ack", "read")[0]["id"], sent, "and messages still cross")


def fill(net, body, limit):
    """Sends ROUTINE until it is refused: the refusal, and what was accepted."""
    accepted = []
    for _ in range(limit):
        done = net.cli(LUIK, "send", "--to", f"{NAMEN}/messages", "--timeout", "2s", "--json", "-", stdin=body)
        if done.code != 0:
            return done, accepted
        accepted.append(done.row["id"])
    return None, accepted


def full(tap, name, small, wrap, quota):
    """A node whose journal has no room left: bulk is refused, FLASH, receipts and acknowledgements still go."""
    net = Net(LUIK, NAMEN, up=False)
    os.makedirs(os.path.join(net.top, small or "unused"))
    text = open(net.conf(LUIK)).read()
    if small:
        text = re.sub(r'^journal = ".*";', f'journal = "{net.top}/{small}/journal";', text, flags=re.M)
    with open(net.conf(LUIK), "w") as f:
        f.write(text + (f'\nquota = "{quota}";\n' if quota else ""))
    places = {"SMALL": os.path.join(net.top, small), "JOURNAL": os.path.join(net.dir, LUIK, "journal")}
    net.launch(LUIK, wrap=[places.get(w, w) for w in wrap])
    net.launch(NAMEN)
    for site in (LUIK, NAMEN):
        until(lambda: net.answers(site), 15, f"{site} answers")
    net.linked()
    inbound = net.send(NAMEN, f"{LUIK}/dispatch", b"to be acknowledged when it is full", "--wait", "delivered")
    net.kill(NAMEN)
    body = lib.body_of(250_000, name)
    refusal, accepted = fill(net, body, 400)
    if not tap.ok(refusal is not None and accepted, f"{name}: bulk is refused in the end", len(accepted)):
        return net
    refused(tap, refusal, f"{name}: the refusal is clear", "busy")
    tap.ok(refusal.error.get("until"), f"{name}: it says until when the node is busy", refusal)
    small_ones, _ = fill(net, b"small", 20)
    flash = net.cli(LUIK, "send", "--to", f"{NAMEN}/dispatch", "--precedence", "flash", "--json", "-", stdin=b"FLASH still goes")
    tap.ok(flash.code == 0, f"{name}: FLASH is still accepted", flash)
    taken = net.take(LUIK, "dispatch", "--ack", "read")
    tap.eq([r["id"] for r in taken], [inbound], f"{name}: a message is still taken and acknowledged")
    tap.ok(net.cli(LUIK, "check", "disk").code in (1, 2), f"{name}: check disk warns", net.cli(LUIK, "check", "disk"))
    net.up(NAMEN)
    rows = net.take(NAMEN, "dispatch", "--ack", "read", seconds=20)
    tap.eq(rows[0]["body"], b"FLASH still goes", f"{name}: FLASH arrives, before the bulk")
    until(lambda: "read" in [r["event"] for r in net.cli(NAMEN, "trace", inbound, "--json").rows], 15, "the receipt still goes")
    tap.ok(True, f"{name}: the receipt still goes")
    folder = os.path.join(net.top, "out")
    os.makedirs(folder)
    done = net.cli(NAMEN, "take", "messages", "--count", len(accepted), "--timeout", "60s", "--out", folder, "--ack", "read", "--json", timeout=90)
    names = [n for n in os.listdir(folder) if n in set(accepted)]
    tap.ok(len(names) == len(accepted) and all(lib.read(os.path.join(folder, n)) == body for n in names),
           f"{name}: all {len(accepted)} that were accepted arrive unchanged", f"{len(names)}\n{done.err}\n{small_ones}")
    return net


def can_mount():
    return subprocess.run(["unshare", "-m", "sh", "-c", "mount -t tmpfs none /mnt"], capture_output=True).returncode == 0


def high_entropy_pages(data):
    """Pages in the middle of sealed bodies: nothing of a tree in them."""
    return [p for p in range(2 * 4096, len(data) - 4096, 4096) if len(set(data[p + 64:p + 4032])) >= 250 and data[p + 64:p + 4032].count(0) < 40]


def test_flipped_bit(tap):
    net = Net(LUIK, NAMEN)
    net.linked()
    bodies = [lib.body_of(size, f"flip {i}") for i, size in enumerate([1000] * 20 + [3000] * 20 + [30000] * 10)]
    sent = [net.send(NAMEN, f"{LUIK}/messages", body) for body in bodies]
    until(lambda: net.status(LUIK)["queued"] == len(bodies), 20, "all wait at Luik")
    for site in (LUIK, NAMEN):
        net.down(site)
    data = os.path.join(net.dir, LUIK, "journal", "data.mdb")
    content = bytearray(lib.read(data))
    pages = high_entropy_pages(content)
    tap.ok(len(pages) > 5, "the journal holds sealed bodies", len(pages))
    page = pages[len(pages) // 2]
    content[page + 2000] ^= 0x10
    with open(data, "r+b") as f:
        f.seek(page)
        f.write(content[page:page + 4096])
    verify = estafette("journal", "verify", net.conf(LUIK))
    tap.ok(verify.code == 1 and (verify.out + verify.err).strip(), "journal verify finds the flipped bit", verify)
    net.up(LUIK)
    folder = os.path.join(net.top, "out")
    os.makedirs(folder)
    net.cli(LUIK, "take", "messages", "--count", len(bodies), "--timeout", f"{4000 * lib.SLOW}ms", "--out", folder, "--ack", "read", "--json", timeout=60)
    given = [lib.read(os.path.join(folder, n)) for n in os.listdir(folder)]
    tap.ok(all(g in bodies for g in given), "nothing damaged is handed out", len(given))
    tap.ok(len(given) >= len(bodies) - 1, "everything else is", len(given))
    alarms = net.cli(LUIK, "alarms", "--json").rows
    check = net.cli(LUIK, "check", "journal")
    tap.ok(check.code in (1, 2) and any("damage" in a["id"] + a["kind"] + a["what"] for a in alarms), "the damage is shown, and the node goes on", f"{check}\n{alarms}")
    net.up(NAMEN)
    for missing in set(sent) - set(os.listdir(folder)):
        trace = net.cli(NAMEN, "trace", missing, "--json").rows
        tap.ok(trace and "read" not in [r["event"] for r in trace], "its originator has it still, and was not told that it was read", trace)
    return net


def main():
    lib.start(__doc__)
    tap, nets = Tap(), []
    net = Net(LUIK, NAMEN)
    nets.append(net)
    net.linked()
    for part in (test_addresses, test_usage, test_bodies, test_another_user, test_second_daemon, test_socket_garbage, test_port_garbage, test_serial):
        with tap.part(part.__name__):
            part(tap, net)
    with tap.part("no daemon"):
        still = test_no_daemon(tap)
        with tap.part("configuration"):
            test_configuration(tap, still)
        with tap.part("roster"):
            test_roster(tap, still)
    with tap.part("a full map"):
        nets.append(full(tap, "a full map", "", (), "16MiB"))
    if can_mount():
        with tap.part("a full disk"):
            mount = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=16m none "$0" && cp -r "$1" "$0" && shift && exec "$@"', "SMALL", "JOURNAL"]
            nets.append(full(tap, "a full disk", "small", mount, ""))
    else:
        tap.skip("a full disk", "no right to mount a small file system here; the full map was tested")
    with tap.part("a flipped bit"):
        nets.append(test_flipped_bit(tap))
    tap.done(*nets)


if __name__ == "__main__":
    main()
