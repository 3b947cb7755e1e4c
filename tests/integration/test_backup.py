#!/usr/bin/env python3
"""Backup, restore, export, import: hot, whole or nothing, never over something else; what comes back is a journal that a node runs on."""

import base64
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import threading

import lib
from lib import Net, Tap, estafette, until

LUIK, NAMEN, BRABANT = "cic-luik", "cic-namen", "cic-vlaams-brabant"
KIB = 1024


def refused(tap, result, name, code, words=()):
    """One line on standard error, status 1 or 2, and the words in it."""
    lines = [line for line in result.err.splitlines() if line.strip()]
    good = result.code in (1, 2) and len(lines) == 1 and result.error.get("code") == code and all(w in result.err for w in words)
    return tap.ok(good, name, f"expected one line, {code} {words}\n{result}")


def journal_of(net, site):
    return os.path.join(net.dir, site, "journal")


def fingerprint(folder):
    return hashlib.sha256(lib.read(os.path.join(folder, "data.mdb"))).hexdigest()


def verify(net, site):
    return estafette("journal", "verify", net.conf(site), "--json").row


def limited(size, *args):
    """Runs the command where no file may grow beyond size."""
    done = subprocess.run([os.path.join(lib.BIN, "estafette"), *args], stdin=subprocess.DEVNULL, capture_output=True, timeout=lib.longest(60),
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))
    return lib.Result(list(args), done.returncode, done.stdout, done.stderr)


def in_folder(folder):
    return sorted(os.listdir(folder))


def fill(net, out):
    """A journal of some size, nothing of which waits."""
    names = []
    for n in range(40):
        names.append(os.path.join(out, f"body{n}"))
        with open(names[-1], "wb") as f:
            f.write(os.urandom(40000))
    net.cli(LUIK, "send", "--to", f"{NAMEN}/dispatch", "--wait", "delivered", *names, check=True)
    net.take(NAMEN, "dispatch", "--ack", "read", count=len(names), seconds=30)
    for name in names:
        os.unlink(name)


# ---- backup ----------------------------------------------------------------------------------------------------------------------


def test_hot(tap, net, out):
    """While messages come in, each backup is whole, and holds what was accepted before it began."""
    stop, sent = threading.Event(), []

    def send():
        while not stop.is_set():
            sent.append(net.send(LUIK, f"{NAMEN}/dispatch", os.urandom(2000), "--wait", "delivered"))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        until(lambda: len(sent) >= 5, 20, "messages go")
        file, before = os.path.join(out, "hot"), len(sent)
        row = estafette("backup", net.conf(NAMEN), file, "--json", check=True).row
        until(lambda: len(sent) >= before + 3, 20, "the node goes on")
    finally:
        stop.set()
        thread.join()
    tap.eq((row["site"], row["damaged"], row["builds_on"]), (NAMEN, 0, 0), "a running node is backed up")
    tap.ok(row["entries"] >= before, "with all that it had when the backup began", row)
    check = estafette("backup", "--check", file, "--json").row
    tap.eq((check["entries"], check["records"]), (row["entries"], row["records"]), "and a backup is tested without restoring it")
    tap.eq(os.stat(file).st_mode & 0o777, 0o600, "its file is for its owner only")
    refused(tap, estafette("backup", net.conf(NAMEN), file, "--json"), "a file that is there is not overwritten", "exists")
    return file


def test_no_key(tap, net, file):
    """Every word of the key file that is not public."""
    data = lib.read(file)
    secrets = []
    for line in lib.read(os.path.join(net.dir, NAMEN, "keys")).decode().splitlines():
        words = line.split()
        if words[0] in ("identity", "sealing"):
            secrets.append(base64.b64decode(words[1])[:32])
        if words[0] in ("identity", "sealing", "link"):
            secrets.append(words[1].encode())
    found = [s for s in secrets if s in data]
    tap.ok(len(secrets) >= 5 and not found, "a backup holds no key", found)


def test_damage(tap, net, file, out):
    """A byte in each part of the file, and each way of being cut short."""
    data = lib.read(file)
    index = int.from_bytes(data[-80:-72], "big")
    bad = os.path.join(out, "bad")
    places = {"magic": 0, "length of the header": 12, "header": 40, "mark of a chunk": data.index(b"\xc4"), "middle of a chunk": len(data) // 2,
              "index": index + 20, "place of the index": len(data) - 75, "hash of the index": len(data) - 60, "last hash": len(data) - 1}
    for name, at in places.items():
        with open(bad, "wb") as f:
            f.write(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1:])
        code = "bad_format" if name == "magic" else "damaged"
        refused(tap, estafette("backup", "--check", bad, "--json"), f"damage in the {name} is found", code, [bad])
    for name, n in {"nothing": 0, "half": len(data) // 2, "all but a byte": len(data) - 1}.items():
        with open(bad, "wb") as f:
            f.write(data[:n])
        result = estafette("backup", "--check", bad, "--json")
        refused(tap, result, f"a file of {name} of it is refused", "damaged" if n else "bad_format")
    with open(bad, "wb") as f:
        f.write(data[:8] + b"\x02" + data[9:])
    refused(tap, estafette("backup", "--check", bad, "--json"), "a newer version is refused", "newer_version")
    refused(tap, estafette("backup", "--check", net.conf(NAMEN), "--json"), "another file is no backup", "bad_format")
    refused(tap, estafette("backup", "--check", out, "--json"), "nor is a folder", "bad_format")
    refused(tap, estafette("backup", "--check", os.path.join(out, "absent"), "--json"), "nor what is not there", "not_found")
    os.unlink(bad)


def test_full_disk(tap, net, file, out):
    before = in_folder(out)
    size = os.path.getsize(file) // 2
    refused(tap, limited(size, "backup", net.conf(NAMEN), os.path.join(out, "half"), "--json"), "a backup that finds no room", "full")
    refused(tap, limited(size, "journal", "export", net.conf(NAMEN), os.path.join(out, "half"), "--json"), "an export that finds no room", "full")
    tap.eq(in_folder(out), before, "leave nothing of it")


def test_interrupted(tap, net, file, out):
    """Stopped or killed at any moment: the file is whole or not there, and nothing else is."""
    before = in_folder(out)
    whole = stopped = 0
    for n in range(12):
        target = os.path.join(out, "cut")
        p = subprocess.Popen([os.path.join(lib.BIN, "estafette"), "backup", net.conf(NAMEN), target], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        try:
            p.wait(n * 0.003 * lib.SLOW)
        except subprocess.TimeoutExpired:
            p.send_signal(signal.SIGKILL if n % 2 else signal.SIGTERM)
        p.wait()
        if os.path.exists(target):
            whole += estafette("backup", "--check", target).code == 0
            os.unlink(target)
        else:
            stopped += 1
        if in_folder(out) != before:
            break
    tap.ok(whole + stopped == 12 and in_folder(out) == before, "interrupted at any moment it leaves a whole file or none",
           f"{whole} whole, {stopped} none, {in_folder(out)}")


def test_incremental(tap, net, out):
    files = [os.path.join(out, f"chain{n}") for n in range(3)]
    estafette("backup", net.conf(NAMEN), files[0], check=True)
    net.send(LUIK, f"{NAMEN}/dispatch", b"after the whole one", "--wait", "delivered")
    first = estafette("backup", net.conf(NAMEN), files[1], "--since", files[0], "--json", check=True).row
    taken = net.take(NAMEN, "dispatch", "--ack", "read")
    estafette("backup", net.conf(NAMEN), files[2], "--since", files[1], "--json", check=True)
    tap.ok(len(taken) == 1 and first["builds_on"] == 1 and os.path.getsize(files[1]) < os.path.getsize(files[0]) // 2,
           "an incremental backup is small where little changed", first)
    tap.eq(estafette("backup", "--check", files[2], "--json").row["builds_on"], 2, "a chain is tested as one")
    away = os.path.join(out, "away")
    os.rename(files[1], away)
    refused(tap, estafette("backup", "--check", files[2], "--json"), "without a file of the chain it is not", "not_found", ["chain1"])
    tap.eq(estafette("backup", "--check", files[2], "--since", away).code, 0, "unless that is named")
    shutil.copy(files[0], files[1])
    refused(tap, estafette("backup", "--check", files[2], "--json"), "another backup under its name is not taken for it", "not_found")
    os.rename(away, files[1])
    refused(tap, estafette("backup", net.conf(LUIK), os.path.join(out, "x"), "--since", files[0], "--json"), "another site's backup is nothing to build on", "conflict")
    return files


# ---- restore ---------------------------------------------------------------------------------------------------------------------


def test_restore(tap, net, other, files, out):
    """Down, journal gone, restored; alone it waits, and when others are there nothing is lost and nothing twice."""
    last, journal = files[-1], journal_of(net, NAMEN)
    refused(tap, estafette("restore", last, net.conf(NAMEN), "--json"), "never over an existing journal", "exists", [journal])
    late = net.send(LUIK, f"{NAMEN}/dispatch", b"after the backups", "--wait", "delivered")
    read = net.take(NAMEN, "dispatch", "--ack", "read")
    incarnation = net.status(NAMEN)["incarnation"]
    waiting = {row["id"] for row in net.cli(NAMEN, "queues", "dispatch", "--list", "--json").rows if "id" in row}
    net.down(NAMEN)
    net.down(LUIK)
    net.down(BRABANT)
    os.rename(journal, os.path.join(out, "lost"))
    before = in_folder(os.path.join(net.dir, NAMEN))

    refused(tap, estafette("restore", last, net.conf(LUIK), "--json"), "another site's backup", "conflict", [NAMEN, LUIK])
    refused(tap, estafette("restore", last, other.conf(NAMEN), "--json"), "another network's backup", "conflict", ["network"])
    refused(tap, estafette("restore", net.conf(NAMEN), net.conf(NAMEN), "--json"), "what is no backup", "bad_format")
    tap.ok(not os.path.exists(journal_of(other, NAMEN)) or other.daemons == {}, "leave everything as it was")
    tap.eq(estafette("restore", last, net.conf(NAMEN), "--dry-run").code, 0, "a dry run reads all of it")
    data = lib.read(files[0])
    with open(files[0], "wb") as f:
        f.write(data[:len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1:])
    refused(tap, estafette("restore", last, net.conf(NAMEN), "--json"), "a chain with a damaged file", "damaged", [files[0]])
    with open(files[0], "wb") as f:
        f.write(data)
    refused(tap, limited(256 * KIB, "restore", last, net.conf(NAMEN), "--json"), "a restore that finds no room", "full")
    tap.eq(in_folder(os.path.join(net.dir, NAMEN)), before, "and none of them leaves anything")

    row = estafette("restore", last, net.conf(NAMEN), "--json", check=True).row
    tap.eq((row["journal"], row["builds_on"]), (journal, 2), "the chain is restored")
    state = verify(net, NAMEN)
    tap.ok(state["ok"] and state["entries"] == row["entries"], "to a journal in which nothing is wrong", state)
    net.up(NAMEN)
    tap.ok(net.status(NAMEN)["incarnation"] != incarnation, "the node begins a new incarnation")
    tap.ok(any(a["kind"] == "recovering" for a in net.cli(NAMEN, "alarms", "--json").rows), "and says that it recovers")
    tap.eq(net.take(NAMEN, "dispatch", seconds=1, check=False), [], "alone it hands out nothing")
    net.up(LUIK, BRABANT)
    until(lambda: not any(a["kind"] == "recovering" for a in net.cli(NAMEN, "alarms", "--json").rows), 30, "others gave back what it lacked")
    left = until(lambda: (lambda ids: ids if ids == waiting else None)(
        {row["id"] for row in net.cli(NAMEN, "queues", "dispatch", "--list", "--json").rows if "id" in row}), 30, "the queue is as it was")
    tap.ok(read and read[0]["id"] not in left, "what was read after the backup is not handed out again", late)


# ---- export and import -----------------------------------------------------------------------------------------------------------


def fresh_journal(net, site):
    """Stopped, with a journal that holds nothing."""
    journal = journal_of(net, site)
    shutil.rmtree(journal, ignore_errors=True)
    net.up(site)
    net.down(site)
    return fingerprint(journal)


def test_export(tap, net, out):
    lines, binary, opened = (os.path.join(out, n) for n in ("e.jsonl", "e.bin", "opened.jsonl"))
    row = estafette("journal", "export", net.conf(NAMEN), lines, "--json", check=True).row
    again = estafette("journal", "export", net.conf(NAMEN), binary, "--binary", "--json", check=True).row
    rows = [json.loads(line) for line in open(lines)]
    entries = [r for r in rows if "header" in r]
    tap.ok(row["entries"] == again["entries"] == len(entries) == rows[-1]["entries"], "an export of a running node, in two forms", f"{row} {again}")
    text = lib.read(lines) + lib.read(binary)
    tap.ok(b"after the backups" not in text and base64.b64encode(b"after the backups")[:20] not in text, "is sealed")
    tap.eq(estafette("journal", "export", journal_of(net, NAMEN), os.path.join(out, "by-folder"), "--json").row["entries"], row["entries"], "a folder alone does, too")

    result = estafette("journal", "export", net.conf(NAMEN), opened, "--open", "--queue", f"{NAMEN}/dispatch", "--json", check=True)
    tap.ok("opened" in result.err, "--open warns", result)
    bodies = [base64.b64decode(r["bytes"]) for r in map(json.loads, open(opened)) if "bytes" in r]
    tap.ok(b"after the backups" in bodies, "and holds what was written")
    refused(tap, estafette("journal", "export", journal_of(net, NAMEN), os.path.join(out, "x"), "--open", "--json"), "it takes the site's keys", "usage")
    none = estafette("journal", "export", net.conf(NAMEN), os.path.join(out, "none"), "--from", "2001-01-01T00:00:00Z", "--to", "2002-01-01T00:00:00Z", "--json").row
    part = estafette("journal", "export", net.conf(NAMEN), os.path.join(out, "part"), "--stream", f"{LUIK}:{NAMEN}:routine", "--json").row
    tap.ok(none["entries"] == 0 and 0 < part["entries"] < row["entries"], "by time, and by stream", f"{none} {part}")
    refused(tap, estafette("journal", "export", net.conf(NAMEN), os.path.join(out, "x"), "--stream", "cic-nergens:cic-luik", "--json"), "an unknown site", "unknown_site")
    refused(tap, estafette("journal", "export", net.conf(NAMEN), lines, "--json"), "never over another file", "exists")
    refused(tap, estafette("journal", "export", out, os.path.join(out, "x"), "--json"), "a folder without a journal", "not_found")
    return lines, binary, opened


def test_age(tap, net, out, big):
    key, folder = os.path.join(out, "age.key"), os.path.join(out, "for-a-person")
    subprocess.run(["age-keygen", "-o", key], check=True, capture_output=True)
    recipient = subprocess.run(["age-keygen", "-y", key], check=True, capture_output=True).stdout.decode().strip()
    estafette("journal", "export", net.conf(NAMEN), folder, "--age", recipient, check=True)

    def opened(name):
        return subprocess.run(["age", "-d", "-i", key, os.path.join(folder, name)], check=True, capture_output=True).stdout

    index = [json.loads(line) for line in opened("index.age").splitlines()]
    bodies = [opened(r["file"]) for r in index]
    tap.ok(b"after the backups" in bodies and big in bodies and all("queue" in r for r in index), "the standard tool opens what is for a person, large ones too")
    tap.eq(sorted({r["file"] for r in index} | {"index.age"}), in_folder(folder), "a file for each body, and one that lists them")
    tap.ok(not any(b"after the backups" in lib.read(os.path.join(folder, f)) or b"dispatch" in lib.read(os.path.join(folder, f)) for f in in_folder(folder)), "all sealed")
    refused(tap, estafette("journal", "export", net.conf(NAMEN), os.path.join(out, "x"), "--age", recipient[:-1] + "q" * (recipient[-1] != "q") + "p" * (recipient[-1] == "q"), "--json"),
            "a mistyped recipient", "usage")
    refused(tap, estafette("journal", "export", net.conf(NAMEN), folder, "--age", recipient, "--json"), "never over another folder", "exists")


def test_import(tap, net, other, lines, binary, opened, out, count):
    conf = net.conf(NAMEN)
    refused(tap, estafette("journal", "import", conf, lines, "--json"), "not into the journal of a running node", "locked")
    for site in list(net.daemons):
        net.down(site)
    for file in (lines, binary):
        empty = fresh_journal(net, NAMEN)
        row = estafette("journal", "import", conf, file, "--dry-run", "--json", check=True).row
        tap.ok(row["added"] == row["entries"] == count and fingerprint(journal_of(net, NAMEN)) == empty, "a dry run counts and changes nothing", row)
        row = estafette("journal", "import", conf, file, "--json", check=True).row
        tap.eq((row["added"], row["gaps"]), (count, 0), f"what was lost comes back from {os.path.basename(file)}")
        row = estafette("journal", "import", conf, file, "--json", check=True).row
        tap.eq((row["added"], row["held"]), (0, count), "once")
        state = verify(net, NAMEN)
        tap.ok(state["ok"] and state["entries"] == count, "and nothing is wrong with it", state)
    net.up(*net.sites)
    got = until(lambda: net.take(NAMEN, "dispatch", "--ack", "read", seconds=2, check=False), 40, "the node opens and hands out what was imported")
    tap.ok(got, "the node hands out what was imported")
    for site in list(net.daemons):
        net.down(site)
    tap.ok(verify(net, NAMEN)["ok"], "and its journal is whole")

    rows = [json.loads(line) for line in open(lines)]
    entry = next(i for i, r in enumerate(rows) if r.get("kind") == "message" and r.get("body") and r["originator"] == LUIK)
    head = next(i for i, r in enumerate(rows) if "head" in r and i > entry)
    chunk = next(i for i, r in enumerate(rows) if r.get("part") == "chunk")

    def turned(i, member):
        copy = [dict(r) for r in rows]
        raw = bytearray(base64.b64decode(copy[i][member])) if member in ("body", "envelope", "bytes") else bytearray.fromhex(copy[i][member])
        raw[len(raw) // 2] ^= 1
        copy[i][member] = base64.b64encode(raw).decode() if member in ("body", "envelope", "bytes") else raw.hex()
        return copy

    data = lib.read(binary)
    bad = {
        "an altered body": (turned(entry, "body"), "not_authentic"),
        "an altered envelope": (turned(entry, "envelope"), "not_authentic"),
        "another signature": (turned(head, "signature"), "not_authentic"),
        "an altered chunk": (turned(chunk, "bytes"), "not_authentic"),
        "an entry that was left out": (rows[:entry] + rows[entry + 1:], None),
        "a cut": (rows[:-1], "bad_format"),
        "a newer version": ([dict(rows[0], version=2)] + rows[1:], "newer_version"),
        "another network": ([dict(rows[0], network="00" * 32)] + rows[1:], "conflict"),
        "a half": (data[:len(data) // 2], "bad_format"),
        "a flipped byte": (data[:len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1:], None),
        "another file": (b"[network]\n", "bad_format"),
        "an empty file": (b"", "bad_format"),
    }
    empty = fresh_journal(net, NAMEN)
    for name, (content, code) in bad.items():
        file = os.path.join(out, "bad-export")
        with open(file, "wb") as f:
            f.write(content if isinstance(content, bytes) else b"".join(json.dumps(r).encode() + b"\n" for r in content))
        result = estafette("journal", "import", conf, file, "--json")
        refused(tap, result, f"{name} is refused", code or result.error.get("code"), [file])
        if fingerprint(journal_of(net, NAMEN)) != empty:
            tap.ok(False, f"{name} changed the journal")
            empty = fresh_journal(net, NAMEN)
    tap.eq(fingerprint(journal_of(net, NAMEN)), empty, "and nothing was touched")
    refused(tap, estafette("journal", "import", conf, opened, "--json"), "an opened export is for reading", "bad_format")
    refused(tap, estafette("journal", "import", other.conf(NAMEN), lines, "--json"), "an export goes into its own network", "conflict")
    with open(os.path.join(out, "gap"), "w") as f:
        skip = next(i for i, r in enumerate(rows) if "head" in r)
        keep = [rows[0]] + rows[skip + 1:-1]
        f.write("".join(json.dumps(r) + "\n" for r in keep + [{"end": True, "entries": sum("header" in r for r in keep)}]))
    row = estafette("journal", "import", conf, os.path.join(out, "gap"), "--json", check=True).row
    tap.ok(row["added"] + row["gaps"] + row["other_streams"] == row["entries"] < count, "what has no beginning stays out, the rest fits", row)


def main():
    lib.start(__doc__)
    tap = Tap()
    net, other = Net(LUIK, NAMEN, BRABANT), Net(LUIK, NAMEN, up=False)
    out = lib.temp_dir()
    net.linked()
    files = [None]
    with tap.part("backup"):
        fill(net, out)
        file = test_hot(tap, net, out)
        test_no_key(tap, net, file)
        test_damage(tap, net, file, out)
        test_full_disk(tap, net, file, out)
        test_interrupted(tap, net, file, out)
        files = test_incremental(tap, net, out)
    with tap.part("restore"):
        test_restore(tap, net, other, files, out)
    with tap.part("export and import"):
        big = os.urandom(200000)
        net.send(LUIK, f"{NAMEN}/dispatch", big, "--wait", "delivered")
        lines, binary, opened = test_export(tap, net, out)
        test_age(tap, net, out, big)
        count = json.loads(open(lines).readlines()[-1])["entries"]
        other.up(NAMEN)
        other.down(NAMEN)
        test_import(tap, net, other, lines, binary, opened, out, count)
    tap.done(net, other)


if __name__ == "__main__":
    main()
