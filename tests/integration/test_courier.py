#!/usr/bin/env python3
"""Couriers: two sites that no line joins. FLASH goes over by file and its receipts come back by file; what is torn, altered or made
for another network is refused in one line and nothing of it is taken; killed in the middle, it is simply done again."""

import os
import random
import re
import resource
import subprocess
import threading

import lib
from lib import Net, Result, Tap, body_of, read, until

LUIK, NAMEN = "cic-luik", "cic-namen"


class Islands(Net):
    """A network whose sites do not find each other: each has a roster in which the others live where nobody listens."""

    def __init__(self, *sites):
        super().__init__(*sites, up=False)
        text = read(os.path.join(self.dir, "roster.conf")).decode()
        for site in sites:
            own = os.path.join(self.dir, site, "roster.conf")
            sections = re.split(r'(?=\tid = ")', text)
            with open(own, "w") as f:
                f.write("".join(s if f'id = "{site}"' in s else re.sub(r"tcp://127.0.0.1:\d+", "tcp://127.0.0.1:1", s) for s in sections))
            lib.estafette("roster", "sign", own, "--key", self.authority_key(), check=True)
            conf = read(self.conf(site)).decode()
            with open(self.conf(site), "w") as f:
                f.write(re.sub(r'(?m)^roster = "[^"]*"', f'roster = "{own}"', conf))
        self.up()

    def stick(self, name):
        return os.path.join(self.top, name)


def refused(tap, net, site, path, name, code, words=()):
    before = net.status(site)
    result = net.cli(site, "courier", "unpack", path, "--json")
    lines = [line for line in result.err.splitlines() if line.strip()]
    good = result.code == 1 and len(lines) == 1 and result.error.get("code") == code and all(w in result.err for w in words) and not result.out
    tap.ok(good, f"{name}: refused in one line", result)
    after = net.status(site)
    tap.eq([after[k] for k in ("delivered", "queued")], [before[k] for k in ("delivered", "queued")], f"{name}: nothing of it was taken")


def there_and_back(tap, net):
    said = {}

    def send():
        said["result"] = net.cli(NAMEN, "send", "--to", f"{LUIK}/dispatch", "--precedence", "flash", "--wait", "held", "--timeout", "5min", "--json", "-",
                                 stdin=b"the dam holds", timeout=330)

    desk = threading.Thread(target=send)
    desk.start()
    until(lambda: net.status(NAMEN)["accepted"] == 1, 20, "the message is accepted")
    net.send(NAMEN, f"{LUIK}/dispatch", b"no hurry", "--precedence", "routine")
    packed = net.cli(NAMEN, "courier", "pack", "--for", LUIK, "--precedence", "flash", net.stick("over"), "--json", check=True)
    tap.eq(packed.rows[0]["messages"], 1, "the bundle holds the FLASH, and not what may wait")
    tap.eq(os.path.getsize(net.stick("over")), packed.rows[0]["bytes"], "it is as large as it says")
    came = net.cli(LUIK, "courier", "unpack", net.stick("over"), "--json", check=True)
    tap.ok(came.rows[0]["new_messages"] == 1 and came.rows[0]["site"] == NAMEN and came.rows[0]["waiting"] == 0, "it is taken in", came)
    tap.ok({"part": "to", "to": LUIK, "precedence": "flash", "exercise": False, "messages": 1, "new_messages": 1} in came.rows, "and says what came for whom", came)
    tap.ok(desk.is_alive(), "the sender is still told nothing that is not known")
    again = net.cli(LUIK, "courier", "unpack", net.stick("over"), "--json", check=True)
    tap.eq([again.rows[0]["messages"], again.rows[0]["new_messages"], again.rows[0]["new_entries"]], [1, 0, 0], "a second time it changes nothing")
    rows = net.take(LUIK, "dispatch", "--ack", "read")
    tap.eq([(r["body"], r["precedence"]) for r in rows], [(b"the dam holds", "flash")], "a desk has it, once")
    net.cli(LUIK, "courier", "pack", "--for", NAMEN, net.stick("back"), check=True)
    net.cli(NAMEN, "courier", "unpack", net.stick("back"), check=True)
    desk.join(lib.longest(60))
    result = said.get("result")
    tap.ok(result is not None and result.code == 0 and result.row["state"] in ("held", "delivered", "read"), "send --wait held returns with the bundle that comes back", result)
    text = net.cli(NAMEN, "trace", rows[0]["id"], "--json").out
    tap.ok("read" in text, "and the sender sees that it was read", text)
    trace = net.cli(LUIK, "trace", rows[0]["id"], "--json", check=True).rows
    tap.eq([(r["peer"], r["bearer"]) for r in trace if r["event"] == "held"], [(NAMEN, "courier")], "trace says that it came by courier")


def bad_ones(tap, net, other):
    net.send(NAMEN, f"{LUIK}/dispatch", b"one more", "--precedence", "immediate")
    good = net.stick("good")
    net.cli(NAMEN, "courier", "pack", "--for", "all", good, check=True)
    bytes_ = read(good)
    rng = random.Random(5)
    cases = [("torn", bytes_[:-1], "truncated", ["torn"]), ("torn in the head", bytes_[:20], "truncated", ["torn"]), ("empty", b"", "truncated", ["torn"]),
             ("no bundle", b"something else\n" * 40, "bad_format", ["no bundle"]), ("longer", bytes_ + b"x", "not_authentic", ["altered or damaged"]),
             ("of a newer version", bytes_[:17] + b"\x02" + bytes_[18:], "newer_version", ["newer version"])]
    for at in sorted(rng.sample(range(30, len(bytes_)), 4)):
        cases.append((f"altered at {at}", bytes_[:at] + bytes([bytes_[at] ^ 1]) + bytes_[at + 1:], "not_authentic", []))
    for name, content, code, words in cases:
        path = net.stick("bad")
        with open(path, "wb") as f:
            f.write(content)
        refused(tap, net, LUIK, path, name, code, [path, *words])
    refused(tap, other, LUIK, good, "made for another network", "conflict", ["another network"])
    refused(tap, net, LUIK, net.stick("absent"), "not there", "not_found")
    refused(tap, net, LUIK, net.top, "a folder", "bad_format")
    os.mkfifo(net.stick("pipe"))
    refused(tap, net, LUIK, net.stick("pipe"), "a pipe", "bad_format")
    tap.eq(net.cli(LUIK, "courier", "unpack", good, "--json", check=True).rows[0]["new_messages"], 2, "the good one is taken, with what was not FLASH before")
    result = net.cli(NAMEN, "courier", "pack", "--for", "cic-nergens", net.stick("none"), "--json")
    tap.ok(result.code == 1 and result.error["code"] == "unknown_site" and not os.path.exists(net.stick("none")), "packing for an unknown site leaves no file", result)
    result = net.cli(NAMEN, "courier", "pack", "--for", LUIK, good, "--json")
    tap.ok(result.code == 1 and result.error["code"] == "exists" and read(good) == bytes_, "a file that is there is not overwritten", result)


def no_room(tap, net):
    folder = os.path.join(net.top, "full")
    os.mkdir(folder)
    net.send(NAMEN, f"{LUIK}/messages", body_of(900000, 3))

    path = os.path.join(folder, "stick")
    for room in (200000, 1000):  # the smaller one ends before the first byte was written out
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

        done = subprocess.run([os.path.join(lib.BIN, "estafette"), "-c", net.conf(NAMEN), "--json", "courier", "pack", "--for", LUIK,
                               *(("--precedence", "flash") if room == 1000 else ()), path], stdin=subprocess.DEVNULL, capture_output=True, preexec_fn=limit,
                              timeout=lib.longest(60))
        result = Result(["courier pack"], done.returncode, done.stdout, done.stderr)
        tap.ok(result.code == 1 and result.error.get("code") == "full" and not result.out, f"a disk full after {room} bytes is said, and nothing else", result)
        tap.eq(os.listdir(folder), [], "and nothing is left there")
    result = net.cli(NAMEN, "courier", "pack", "--for", LUIK, "--max-size", "200KiB", path, "--json", check=True)
    tap.ok(result.rows[0]["left_bodies"] == 1 and os.path.getsize(path) <= 200 * 1024, "with --max-size the large body is left out, and said", result)


def killed(tap, net):
    """Unpacking is killed, and the node is, in the middle; in the end each message is there once."""
    many, files = 400, os.path.join(net.top, "files")
    os.mkdir(files)
    for i in range(many):
        with open(os.path.join(files, str(i)), "wb") as f:
            f.write(b"%06d " % i + body_of(1500, i))
    net.cli(NAMEN, "send", "--to", f"{LUIK}/messages", "--precedence", "priority", *[os.path.join(files, str(i)) for i in range(many)], check=True, timeout=120)
    net.send(NAMEN, f"{LUIK}/messages", body_of(6000000, 1), "--precedence", "priority")
    stick = net.stick("heavy")
    net.cli(NAMEN, "courier", "pack", "--for", LUIK, stick, check=True)
    command = [os.path.join(lib.BIN, "estafette"), "-c", net.conf(LUIK), "courier", "unpack", stick]
    rng, cut = random.Random(11), 0
    for turn in range(6):
        p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            p.wait(rng.uniform(0.01, 0.12) * lib.SLOW if turn else 0.005)  # the first one has hardly begun
        except subprocess.TimeoutExpired:
            cut += 1
        if turn % 2:
            net.kill(LUIK)
        else:
            p.kill()
        p.communicate()
        tap.ok(turn % 2 == 0 or p.returncode in (0, 1), f"turn {turn}: a node that dies ends the command in good order", p.returncode)
        if turn % 2:
            net.up(LUIK)
    tap.ok(cut > 0, "something was in the middle of it")
    done = net.cli(LUIK, "courier", "unpack", stick, "--json", check=True)
    tap.ok(done.rows[0]["waiting"] == 0, "once more, to the end", done)
    os.mkdir(net.stick("taken"))
    # A node that has just started waits some seconds for its standbys before it hands anything out.
    rows = [r for count, seconds in ((many + 1, 30), (10, 1))
            for r in net.cli(LUIK, "take", "messages", "--count", str(count), "--timeout", f"{seconds * lib.SLOW}s", "--ack", "read", "--out", net.stick("taken"),
                             "--json", timeout=90).rows]
    bodies = sorted(read(r["file"])[:7] for r in rows if r["precedence"] == "priority" and r["size"] < 6000000)
    tap.eq(bodies, sorted(b"%06d " % i for i in range(many)), "each message is there once")
    tap.ok(any(read(r["file"]) == body_of(6000000, 1) for r in rows if r["size"] == 6000000), "the large body is whole")
    tap.eq(net.cli(LUIK, "journal", "verify", net.conf(LUIK)).code, 0, "and the journal is whole")


def main():
    lib.start(__doc__)
    tap = Tap()
    net, other = Islands(LUIK, NAMEN), Net(LUIK)
    for part, args in ((there_and_back, ()), (bad_ones, (other,)), (no_room, ()), (killed, ())):
        with tap.part(part.__name__):
            part(tap, net, *args)
    tap.done(net, other)


main()
