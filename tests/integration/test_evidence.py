#!/usr/bin/env python3
"""An evidence package: made at a site, verified anywhere with nothing but the file, opened with the keys of a site that could read it; torn,
altered, cut or made by somebody else it is refused in one line. `journal verify` of exports and backups. Whole or not at all."""

import base64
import json
import os
import random
import resource
import shutil
import signal
import subprocess

import lib
from lib import Net, Tap, estafette, until

LUIK, NAMEN, BRABANT, ANTWERPEN = "cic-luik", "cic-namen", "cic-vlaams-brabant", "cic-antwerpen"
NOWHERE = {"HOME": "/nonexistent", "ESTAFETTE_CONF": ""}


def refused(tap, result, name, code=None, words=()):
    lines = [line for line in result.err.splitlines() if line.strip()]
    good = result.code in (1, 2) and len(lines) == 1 and (code is None or result.error.get("code") == code) and all(w in result.err for w in words)
    return tap.ok(good, name, f"expected one line, {code} {words}\n{result}")


def limited(size, *args):
    done = subprocess.run([os.path.join(lib.BIN, "estafette"), *args], stdin=subprocess.DEVNULL, capture_output=True, timeout=lib.longest(60),
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))
    return lib.Result(list(args), done.returncode, done.stdout, done.stderr)


def verify(file, *args):
    return estafette("journal", "verify", file, *args, "--json", env=NOWHERE)


def now_text():
    return subprocess.run(["date", "-u", "+%Y-%m-%dT%H:%M:%S.%6NZ"], capture_output=True, check=True).stdout.decode().strip()


def keys_of(net, site):
    return os.path.join(net.dir, site, "keys")


def a_period(net):
    """Three messages in it, one before and one after; what happened to them is known later."""
    bodies = {}
    net.send(NAMEN, f"{LUIK}/dispatch", b"before", "--wait", "delivered")
    start = now_text()
    for name, body in (("small", b"water at the bridge"), ("middle", os.urandom(20000)), ("large", os.urandom(300000))):
        bodies[net.send(NAMEN, f"{LUIK}/dispatch", body, "--wait", "delivered", "--subject", name, "--precedence", "priority")] = body
    bodies[net.send(ANTWERPEN, f"{LUIK}/messages", b"from afar", "--wait", "delivered")] = b"from afar"
    end = now_text()
    net.send(NAMEN, f"{LUIK}/dispatch", b"after", "--wait", "delivered")
    net.take(LUIK, "dispatch", "--ack", "read", count=5)
    until(lambda: net.status(NAMEN)["receipts_read"] == 5, 20, "the receipts are back")
    return start, end, bodies


def made(tap, net, out, period):
    start, end, bodies = period
    file = os.path.join(out, "evidence")
    row = net.cli(LUIK, "evidence", file, "--from", start, "--to", end, "--json", check=True).row
    tap.eq((row["messages"], row["bodies"] >= 4, row["unopened"]), (4, True, 0), "the messages of that time")
    elsewhere = os.path.join(lib.temp_dir(), "copy")
    shutil.copy(file, elsewhere)
    result = verify(elsewhere)
    row = result.row
    tap.ok(result.code == 0 and row["ok"] and row["signed"] and row["what"] == "evidence" and row["site"] == LUIK, "verified anywhere, by the file alone", result)
    tap.ok(row["heads_unchecked"] == 0 and row["heads"] > 0 and row["bodies_missing"] == 0 and row["messages"] == 4, "every run is signed, every body there", row)
    tap.ok(row["reports"] >= 4, "reports that came after the time are in it", row)
    tap.eq(row["authority"], lib.read(net.authority_pub()).decode().splitlines()[1], "it prints the key of its authority")
    tap.eq(verify(elsewhere, "--authority", net.authority_pub()).code, 0, "that is the authority that was given")
    return file


def opened(tap, net, out, file, bodies):
    folder = os.path.join(out, "opened")
    result = estafette("evidence", "--open", keys_of(net, LUIK), file, folder, env=NOWHERE)
    tap.ok(result.code == 0 and "opened and readable" in result.err, "opened with the keys of the site", result)
    rows = [json.loads(line) for line in open(os.path.join(folder, "index.jsonl"))]
    tap.eq({r["id"] for r in rows}, set(bodies), "each message is listed")
    tap.ok(all(lib.read(os.path.join(folder, r["file"])) == bodies[r["id"]] for r in rows), "and its body is what was sent")
    tap.eq({r.get("subject") for r in rows}, {"small", "middle", "large", None}, "with its subject")
    row = estafette("evidence", "--open", keys_of(net, BRABANT), file, os.path.join(out, "standby"), "--json", env=NOWHERE).row
    tap.eq((row["messages"], row["unopened"]), (4, 0), "a standby's keys open it too")
    row = estafette("evidence", "--open", keys_of(net, ANTWERPEN), file, os.path.join(out, "other"), "--json", env=NOWHERE).row
    tap.eq((row["messages"], row["unopened"]), (1, 3), "another site's only what that site sent")
    refused(tap, estafette("evidence", "--open", keys_of(net, LUIK), file, folder, "--json"), "never over another folder", "exists")
    refused(tap, estafette("evidence", "--open", file, file, os.path.join(out, "x"), "--json"), "a file that is no key file")
    refused(tap, estafette("journal", "import", net.conf(LUIK), file, "--json"), "an import of it is one of entries: not while the node runs", "locked")


def altered(tap, net, out, file, other):
    data = lib.read(file)
    bad = os.path.join(out, "bad")
    rng = random.Random(6)
    sound = []

    def judge(content, name):
        with open(bad, "wb") as f:
            f.write(content)
        result = verify(bad)
        if not (result.code == 1 and len(result.err.splitlines()) == 1 and bad in result.err and '"ok":true' not in result.out.replace(" ", "")):
            sound.append((name, str(result)))
        return result

    for at in [rng.randrange(8, len(data)) for _ in range(60)] + list(range(len(data) - 64, len(data), 9)):
        judge(data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1:], f"bit at {at}")
    for at in [9, 60, len(data) - 1, len(data) - 66] + [rng.randrange(9, len(data)) for _ in range(20)]:
        result = judge(data[:at], f"cut at {at}")
        if "cut short" not in result.err:
            sound.append((f"cut at {at}: not called so", str(result)))
    judge(data + b"x", "a byte more")
    tap.ok(not sound, "a bit altered anywhere, a cut anywhere, a byte more: one line", sound[:2])
    tap.ok("signed" in judge(data[:-1] + bytes([data[-1] ^ 1]), "signature").err, "an altered signature is called so")
    result = judge(data[:8] + b"\x03" + data[9:], "version")
    tap.eq(result.error.get("code"), "newer_version", "a newer version")
    result = verify(file, "--authority", other.authority_pub())
    refused(tap, result, "another authority than it should be", "damaged", ["another authority"])
    # Somebody else's key under what is altered: the roster does not name it so.
    body = data.find(b"water")
    tap.eq(body, -1, "bodies are sealed in it")


def forged(tap, net, out, file, other):
    """The package of one network with the authority of another is refused roster by roster."""
    made_there = os.path.join(out, "theirs")
    other.send(NAMEN, f"{LUIK}/dispatch", b"x", "--wait", "delivered")
    other.cli(LUIK, "evidence", made_there, "--from", "2020-01-01T00:00:00Z", "--to", now_text(), check=True)
    theirs, ours = lib.read(made_there), lib.read(file)
    head = 8 + 1 + 2 + 32 + 8 + 1 + len(LUIK) + 17
    with open(made_there + ".forged", "wb") as f:
        f.write(ours[:head] + theirs[head:head + 41] + ours[head + 41:])
    refused(tap, verify(made_there + ".forged"), "another authority's key put into it", "damaged", ["not what its authority signed"])


def bad_input(tap, net, out, period, file, other):
    start, end, _ = period
    before = sorted(os.listdir(out))
    x = os.path.join(out, "x")
    odd = lib.temp_dir()
    pipe, line = os.path.join(odd, "pipe"), os.path.join(odd, "line")
    os.mkfifo(pipe)
    with open(line, "wb") as f:
        f.write(b"{" + b"a" * 3000000)
    refused(tap, estafette("backup", "--check", pipe, "--json"), "a pipe is no backup, and not waited for", "bad_format")
    refused(tap, estafette("evidence", "--open", keys_of(net, LUIK), pipe, x, "--json"), "nor a package", None, ["no file"])
    refused(tap, verify(line), "a line without an end is not read to it", None, ["longer"])
    conf = ["-c", net.conf(LUIK)]
    refused(tap, estafette(*conf, "evidence", x, "--json"), "no time", "usage")
    refused(tap, estafette(*conf, "evidence", x, "--from", end, "--to", start, "--json"), "a time that is empty", "usage")
    refused(tap, estafette(*conf, "evidence", x, "--from", "then", "--to", end, "--json"), "no time at all", "usage")
    refused(tap, estafette(*conf, "evidence", file, "--from", start, "--to", end, "--json"), "never over another file", "exists")
    refused(tap, estafette(*conf, "evidence", os.path.join(x, "y"), "--from", start, "--to", end, "--json"), "in a folder that is not there", "not_found")
    refused(tap, estafette("-c", file, "evidence", x, "--from", start, "--to", end, "--json"), "a configuration that is none")
    for setting in ("keys", "journal"):
        strange = lib.other_conf(net, LUIK, setting, os.path.join(net.dir, NAMEN, setting))
        refused(tap, estafette("-c", strange, "evidence", x, "--from", start, "--to", end, "--json"), f"another site's {setting}", "conflict", [NAMEN])
    nothing = lib.other_conf(net, LUIK, "journal", os.path.join(out, "nothing"))
    refused(tap, estafette("-c", nothing, "evidence", x, "--from", start, "--to", end, "--json"), "no journal", "not_found", ["no journal"])
    for size in (0, 100, 4096, os.path.getsize(file) - 10):
        refused(tap, limited(size, *conf, "evidence", x, "--from", start, "--to", end, "--json"), f"no room behind {size} bytes", "full")
        refused(tap, limited(size // 2, "evidence", "--open", keys_of(net, LUIK), file, x, "--json"), "nor for what is opened", "full")
    for wait in (0, 0.002, 0.005, 0.01, 0.02):
        p = subprocess.Popen([os.path.join(lib.BIN, "estafette"), *conf, "evidence", x, "--from", start, "--to", end], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            p.wait(wait)
        except subprocess.TimeoutExpired:
            p.send_signal(signal.SIGTERM)
        p.communicate(timeout=lib.longest(60))
        if p.returncode == 0 and os.path.exists(x):
            tap.eq(verify(x).code, 0, "it was whole before it was interrupted")
            os.unlink(x)
    tap.eq(sorted(os.listdir(out)), before, "nothing is left of all these")


def exports(tap, net, out, other):
    lines, binary, backup = (os.path.join(out, name) for name in ("lines", "binary", "backup"))
    estafette("journal", "export", net.conf(LUIK), lines, check=True)
    estafette("journal", "export", net.conf(LUIK), binary, "--binary", check=True)
    estafette("backup", net.conf(LUIK), backup, check=True)
    for file in (lines, binary):
        row = verify(file).row
        tap.ok(row["ok"] and row["what"] == "export" and row["heads"] == 0 and row["heads_unchecked"] > 0, f"{os.path.basename(file)}: by itself, signatures unchecked", row)
        row = estafette("-c", net.conf(LUIK), "journal", "verify", file, "--json").row
        tap.ok(row["ok"] and row["heads"] > 0 and row["heads_unchecked"] == 0, f"{os.path.basename(file)}: with the roster, all signed", row)
        refused(tap, estafette("-c", other.conf(LUIK), "journal", "verify", file, "--json"), "with another network's roster", "damaged", ["another network"])
    rows = [json.loads(line) for line in open(lines)]
    entries = [i for i, r in enumerate(rows) if r.get("kind") == "message" and r.get("body")]

    def turned(copy, i, member):
        raw = bytearray(base64.b64decode(copy[i][member])) if member in ("body", "envelope") else bytearray.fromhex(copy[i][member])
        raw[len(raw) // 2] ^= 1
        copy[i] = dict(copy[i], **{member: base64.b64encode(raw).decode() if member in ("body", "envelope") else raw.hex()})

    def judge(copy, name, wrong, *args):
        file = os.path.join(out, "bad.json")
        with open(file, "w") as f:
            f.write("".join(json.dumps(r) + "\n" for r in copy))
        result = estafette(*args, "journal", "verify", file, "--json")
        tap.ok(result.code == 1 and result.row["wrong"] == wrong and len(result.err.splitlines()) == 1 and file in result.err, f"{name}: {wrong} wrong", result)

    for args in ((), ("-c", net.conf(LUIK))):
        for member in ("body", "envelope"):
            copy = list(rows)
            turned(copy, entries[0], member)
            judge(copy, f"an altered {member}", 1, *args)
        copy = list(rows)
        streams = {}
        for i in entries:
            streams.setdefault(rows[i]["stream"], i)
        for i in streams.values():
            turned(copy, i, "body")
        judge(copy, "several altered bodies", len(streams), *args)
    copy = list(rows)
    turned(copy, next(i for i, r in enumerate(rows) if "head" in r), "signature")
    judge(copy, "an altered signature", 1, "-c", net.conf(LUIK))
    judge(rows[:-1], "a cut", 1)
    data = lib.read(binary)
    with open(binary + ".bad", "wb") as f:
        f.write(data[:len(data) // 3])
    refused(tap, verify(binary + ".bad"), "a binary one that is torn", "damaged", ["cut short"])
    result = verify(backup)
    tap.ok(result.code == 0 and "entries" in result.row, "a backup is verified too", result)
    data = lib.read(backup)
    with open(backup + ".bad", "wb") as f:
        f.write(data[:len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1:])
    refused(tap, verify(backup + ".bad"), "an altered backup", "damaged")
    refused(tap, verify(binary, "--repair"), "--repair is not for files", "usage")
    refused(tap, verify(os.path.join(out, "absent")), "what is not there", "not_found")


def imported(tap, net, file, period):
    """An evidence package is an export: what a journal lacks comes back from it."""
    net.down(LUIK)
    row = estafette("journal", "import", net.conf(LUIK), file, "--dry-run", "--json", check=True).row
    tap.ok(row["entries"] > 4 and row["added"] == 0, "all of it is here already", row)


def main():
    lib.start(__doc__)
    tap, net, other = Tap(), Net(LUIK, NAMEN, BRABANT, ANTWERPEN), Net(LUIK, NAMEN)
    net.linked()
    other.linked()
    out = lib.temp_dir()
    period = a_period(net)
    with tap.part("made"):
        file = made(tap, net, out, period)
    with tap.part("opened"):
        opened(tap, net, out, file, period[2])
    with tap.part("altered"):
        altered(tap, net, out, file, other)
        forged(tap, net, out, file, other)
    with tap.part("bad input"):
        bad_input(tap, net, out, period, file, other)
    with tap.part("exports"):
        exports(tap, net, out, other)
    with tap.part("imported"):
        imported(tap, net, file, period)
    tap.done(net, other)


if __name__ == "__main__":
    main()
