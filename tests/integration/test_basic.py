#!/usr/bin/env python3
"""A desk's day between real daemons: everything a person or a script does with the commands of this version."""

import fcntl
import json
import os
import re
import subprocess
import time

import lib
from lib import PRECEDENCES, Net, Tap, estafette, until

LUIK, NAMEN, LEUVEN = "cic-luik", "cic-namen", "cic-vlaams-brabant"
MEMBERS = {
    "status": "site incarnation serial accepted delivered read refused expired queued links_up links alarms",
    "queues": "queue precedence waiting leased held oldest_s next_deadline_s served_by",
    "links": "peer bearer up rtt_ms rate_bps last_durable_ack_s in_flight backlog",
    "streams": "originator incarnation addressee precedence exercise head floor frontiers",
    "check": "check state text",
}


def has(row, names):
    return [n for n in names.split() if n not in row]


def waiting(net, site, queue):
    rows = net.cli(site, "queues", queue, "--json", check=True).rows
    return sum(r["waiting"] for r in rows), sum(r["leased"] for r in rows)


def events(net, site, message):
    return [r["event"] for r in net.cli(site, "trace", message, "--json", check=True).rows]


def test_network(tap):
    folder = os.path.join(lib.temp_dir(), "a rather long name " * 6, "net")
    os.makedirs(os.path.dirname(folder))
    estafette("network", "init", folder, "--sites", f"{LUIK},{NAMEN}", check=True)
    for name in ("roster.conf", "roster.conf.minisig", f"{LUIK}/node.conf", f"{NAMEN}/node.conf"):
        tap.ok(os.path.exists(os.path.join(folder, name)), f"network init writes {name}")
    try:
        rows = estafette("network", "status", folder, "--json", check=False).rows
        tap.eq([r["up"] for r in rows], [False, False], "before up, no daemon is up")
        tap.eq(estafette("network", "up", folder).code, 0, "network up, in a folder with a long path")
        rows = estafette("network", "status", folder, "--json", check=True).rows
        tap.eq({(r["site"], r["up"]) for r in rows}, {(LUIK, True), (NAMEN, True)}, "network status says who is up")
        pids = {r["pid"] for r in rows}
        tap.ok(all(os.path.exists(f"/proc/{p}") for p in pids), "their process ids are those of living processes")
        tap.eq(estafette("network", "up", folder).code, 0, "network up may be repeated")
        tap.eq({r["pid"] for r in estafette("network", "status", folder, "--json").rows}, pids, "and leaves those that run alone")
        tap.eq(estafette("network", "down", folder, "--sites", NAMEN).code, 0, "network down --sites ends one")
        rows = estafette("network", "status", folder, "--json").rows
        tap.eq({(r["site"], r["up"]) for r in rows}, {(LUIK, True), (NAMEN, False)}, "only that one")
        with open(os.path.join(folder, NAMEN, "journal", "lock"), "r+b") as ending:  # as long as a killed one needs to be gone
            fcntl.lockf(ending, fcntl.LOCK_EX)
            up = subprocess.Popen([os.path.join(lib.BIN, "estafette"), "network", "up", folder], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            time.sleep(0.3)
        tap.eq((up.communicate(timeout=lib.longest(30))[1], up.returncode), (b"", 0), "network up starts one that was still ending when it looked")
        again = estafette("network", "init", folder, "--sites", LUIK)
        tap.ok(again.code in (1, 2) and again.err, "network init does not write over a network", again)
    finally:
        tap.eq(estafette("network", "down", folder).code, 0, "network down ends the rest")
    rows = estafette("network", "status", folder, "--json").rows
    tap.eq([r["up"] for r in rows], [False, False], "and returns when they have ended")


def test_one_message(tap, net):
    body = "Één bericht, ‘geëerd’: Lüttich – Liège – Luik".encode()
    result = net.cli(NAMEN, "send", "--to", f"{LUIK}/dispatch", "--precedence", "flash", "--type", "text/plain; charset=utf-8", "--lang", "nl",
                     "--channel", "siena", "--subject", "Één – proef", "--wait", "delivered", "--json", "-", stdin=body)
    tap.ok(result.code == 0 and result.row["state"] == "delivered", "a message is delivered, and send says so", result)
    row = result.row
    tap.ok(not has(row, "id to duplicate state") and row["duplicate"] is False, "send --json has its members", row)
    tap.eq(waiting(net, LUIK, "dispatch"), (1, 0), "it waits in the queue")
    taken = net.take(LUIK, "dispatch")[0]
    tap.eq(taken["body"], body, "the body is the one that was sent")
    tap.eq({k: taken[k] for k in ("id", "from", "precedence", "type", "lang", "channel", "subject", "size")},
           {"id": row["id"], "from": NAMEN, "precedence": "flash", "type": "text/plain; charset=utf-8", "lang": "nl", "channel": "siena",
            "subject": "Één – proef", "size": len(body)}, "and so is what was said about it")
    tap.ok(not has(taken, "id from queue precedence type lang channel subject re sent expires size exercise replayed perhaps_seen body"),
           "take --json has its members", sorted(taken))
    tap.eq(waiting(net, LUIK, "dispatch"), (0, 1), "taken without --ack it is leased, also when the command has ended")
    tap.eq(net.take(LUIK, "dispatch", seconds=0.3, check=False), [], "and is not handed out again meanwhile")
    tap.eq(net.cli(LUIK, "ack", row["id"], "--by", "agent 12").code, 0, "it is acknowledged by name")
    tap.eq(waiting(net, LUIK, "dispatch"), (0, 0), "then it is gone from the queue")
    until(lambda: "read" in events(net, NAMEN, row["id"]), 10, "the originator knows that it was read")
    trace = net.cli(NAMEN, "trace", row["id"], "--json", check=True).rows
    tap.ok(not [m for r in trace for m in has(r, "id site event time peer bearer note")], "trace --json has its members", trace)
    tap.ok(any("agent 12" in json.dumps(r) for r in trace), "the originator's trace says by whom it was read", trace)
    seen = [r["event"] for r in trace]
    tap.ok("accepted" in seen and "delivered" in seen and "read" in seen, "and that it was accepted, delivered and read", seen)
    raw = net.cli(NAMEN, "send", "--to", f"{LUIK}/dispatch", "-", stdin=b"raw\x00bytes\n")
    text = net.cli(LUIK, "take", "dispatch", "--ack", "read", "--timeout", "10s")
    tap.ok(raw.code == 0 and len(raw.out.split()) == 1, "for a person send prints the id", raw)
    tap.eq(text.out_bytes, b"raw\x00bytes\n", "for a person take prints the body, byte for byte")
    empty = net.send(NAMEN, f"{LUIK}/dispatch", b"")
    taken = net.take(LUIK, "dispatch", "--ack", "read")[0]
    tap.eq((taken["id"], taken["body"], taken["size"]), (empty, b"", 0), "an empty body is a message too")


def test_waits(tap, net):
    for state in ("accepted", "held", "delivered"):
        result = net.cli(NAMEN, "send", "--to", f"{LUIK}/messages", "--wait", state, "--json", "-", stdin=state.encode())
        tap.ok(result.code == 0 and result.row["state"] in (state, "held", "delivered"), f"send --wait {state}", result)
    late = net.cli(NAMEN, "send", "--to", f"{LUIK}/messages", "--wait", "read", "--timeout", "300ms", "--json", "-", stdin=b"late")
    tap.ok(late.code == 1 and late.error.get("code") == "timeout", "send --wait read that nobody reads ends with timeout", late)
    tap.ok(late.rows and late.rows[0].get("id"), "and prints the id all the same", late)
    rows = net.take(LUIK, "messages", "--ack", "read", count=4)
    tap.eq([r["body"] for r in rows], [b"accepted", b"held", b"delivered", b"late"], "all were accepted; within a precedence they come in order")
    command = [os.path.join(lib.BIN, "estafette"), "-c", net.conf(NAMEN), "send", "--to", f"{LUIK}/messages", "--wait", "read", "--json", "-"]
    waiter = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    waiter.stdin.write(b"now")
    waiter.stdin.close()
    net.take(LUIK, "messages", "--ack", "read")
    out = waiter.stdout.read()
    tap.ok(waiter.wait(lib.longest(30)) == 0 and json.loads(out)["state"] == "read", "send --wait read returns when a desk acknowledged", out)


def test_leases(tap, net):
    queue = f"{LUIK}/dispatch"
    first = net.send(NAMEN, queue, b"leased", "--wait", "delivered")
    net.take(LUIK, "dispatch", "--lease", "700ms")
    again = net.take(LUIK, "dispatch", "--lease", "1min", seconds=10)[0]
    tap.eq(again["id"], first, "when its lease ends a message is handed out again")
    second = net.send(NAMEN, queue, b"extended", "--wait", "delivered")
    net.take(LUIK, "dispatch", "--lease", "1s")
    tap.eq(net.cli(LUIK, "extend", second, "--lease", "1min").code, 0, "a lease is extended")
    tap.eq(net.take(LUIK, "dispatch", seconds=1.5, check=False), [], "and holds longer than it was")
    refused = net.cli(LUIK, "refuse", second, "--reason", "not for us")
    tap.eq(refused.code, 0, "a message is refused with a reason")
    until(lambda: "refused" in events(net, NAMEN, second), 10, "the originator knows of the refusal")
    trace = net.cli(NAMEN, "trace", second, "--json", check=True).out
    tap.ok("not for us" in trace, "the originator is told the reason", trace)
    tap.eq(net.cli(LUIK, "ack", first).code, 0, "the other is acknowledged")
    tap.eq(waiting(net, LUIK, "dispatch"), (0, 0), "and nothing is left")
    unknown = net.cli(LUIK, "refuse", first, "--json")
    tap.ok(unknown.code == 2 and unknown.err, "refuse without a reason is wrong usage", unknown)


def test_endings(tap, net):
    queue = f"{LUIK}/dispatch"
    gone = net.send(NAMEN, queue, b"short lived", "--expires", "1s", "--wait", "delivered")
    until(lambda: waiting(net, LUIK, "dispatch") == (0, 0), 10, "the message expires")
    tap.eq(net.take(LUIK, "dispatch", seconds=0.3, check=False), [], "what has expired is not handed out")
    until(lambda: "expired" in events(net, NAMEN, gone), 10, "the originator knows that it expired")
    tap.ok(True, "and its originator knows")
    net.kill(LUIK)
    withdrawn = net.send(NAMEN, queue, b"withdrawn before it left")
    tap.eq(net.cli(NAMEN, "cancel", withdrawn).code, 0, "a message is cancelled while its addressee is away")
    kept = net.send(NAMEN, queue, b"kept")
    net.up(LUIK)
    rows = net.take(LUIK, "dispatch", "--ack", "read", seconds=20)
    tap.eq([r["id"] for r in rows], [kept], "the addressee that comes back hands out the other one only")
    there = net.send(NAMEN, queue, b"withdrawn when it waited", "--wait", "delivered")
    tap.eq(net.cli(NAMEN, "cancel", there).code, 0, "a message is cancelled that waits at its addressee")
    until(lambda: waiting(net, LUIK, "dispatch") == (0, 0), 10, "the cancelled message leaves the queue")
    tap.eq(net.take(LUIK, "dispatch", seconds=0.3, check=False), [], "and is not handed out")


def test_keys(tap, net):
    queue = f"{LUIK}/dispatch"

    def send(body, key, to=queue):
        return net.cli(NAMEN, "send", "--to", to, "--id", key, "--json", "-", stdin=body)
    first = send(b"once", "gateway-77").row
    second = send(b"once", "gateway-77").row
    tap.eq((first["duplicate"], second["duplicate"], second["id"]), (False, True, first["id"]), "a known --id returns the first id")
    other = send(b"other", "gateway-77")
    tap.ok(other.code == 1 and other.error.get("code"), "with another body it is refused", other)
    elsewhere = send(b"once", "gateway-77", f"{LUIK}/messages")
    tap.ok(elsewhere.code == 1, "with another addressee too", elsewhere)
    files = [os.path.join(net.top, n) for n in "ab"]
    for f in files:
        open(f, "w").write(f)
    many = net.cli(NAMEN, "send", "--to", queue, "--id", "k", *files, "--json")
    tap.ok(many.code in (1, 2), "several files with one --id are refused", many)
    net.kill(NAMEN)
    net.up(NAMEN)
    tap.eq(send(b"once", "gateway-77").row["id"], first["id"], "the key is known also after a crash")
    reply = net.cli(NAMEN, "send", "--to", queue, "--re", first["id"], "--json", "-", stdin=b"reply").row["id"]
    rows = net.take(LUIK, "dispatch", "--ack", "read", count=2, seconds=20)
    tap.eq([(r["id"], r["re"]) for r in rows], [(first["id"], None), (reply, first["id"])], "--re arrives with the message; the message arrived once")


def test_exec(tap, net):
    queue = f"{LUIK}/messages"
    net.send(NAMEN, queue, b"for a program", "--wait", "delivered")
    out = os.path.join(net.top, "exec.out")
    net.cli(LUIK, "take", "messages", "--exec", "exit 3", "--timeout", "10s")
    until(lambda: waiting(net, LUIK, "messages") == (1, 0), 10, "what --exec failed on waits again")
    good = net.cli(LUIK, "take", "messages", "--exec", f"cat > '{out}'", "--timeout", "20s", timeout=40)
    tap.ok(good.code == 0 and lib.read(out) == b"for a program", "--exec gets the body on its standard input, also after another failed", good)
    tap.eq(waiting(net, LUIK, "messages"), (0, 0), "and its exit 0 acknowledges")


def test_out(tap, net):
    queue = f"{LUIK}/messages"
    files = lib.corpus_files()[:12]
    result = net.cli(NAMEN, "send", "--to", queue, "--to", f"{LUIK}/dispatch", "--wait", "delivered", "--json", *files, timeout=90)
    tap.eq((result.code, len(result.rows)), (0, 24), "several files to several queues: an id a file and queue")
    by_queue = {q: [r["id"] for r in result.rows if r["to"] == f"{LUIK}/{q}"] for q in ("messages", "dispatch")}
    for q in by_queue:
        folder = os.path.join(net.top, "out", q)
        os.makedirs(folder)
        taken = net.cli(LUIK, "take", q, "--count", 12, "--timeout", "20s", "--out", folder, "--ack", "read", "--json", timeout=60)
        tap.eq(sorted(os.listdir(folder)), sorted(by_queue[q]), f"take --out of {q}: files named exactly by their ids")
        tap.ok(all(lib.read(os.path.join(folder, i)) == lib.read(f) for i, f in zip(by_queue[q], files)),
               f"the files of {q} are those that were sent, in their order", taken)
    tap.eq(waiting(net, LUIK, "messages"), (0, 0), "and all are acknowledged")


def test_addresses(tap, net):
    area = net.send(NAMEN, "eupen/dispatch", b"Eupen")
    tap.eq(net.take(LUIK, "dispatch", "--ack", "read")[0]["id"], area, "eupen/dispatch comes to Luik")
    area = net.send(NAMEN, "halle-vilvoorde/messages", b"Halle")
    tap.eq(net.take(LEUVEN, "messages", "--ack", "read")[0]["id"], area, "halle-vilvoorde/messages comes to Leuven")
    result = net.cli(NAMEN, "send", "--to", "all-cic/messages", "--wait", "delivered", "--json", "-", stdin=b"to all centres")
    tap.ok(result.code == 0, "a message to a group; it is delivered at every member", result)
    ids = {net.take(s, "messages", "--ack", "read")[0]["body"] for s in (LUIK, LEUVEN)}
    tap.eq(ids, {b"to all centres"}, "each member gets it once")
    tap.eq(net.take(NAMEN, "messages", seconds=0.3, check=False), [], "and its originator does not")
    # A pipe can be read once; a file on standard input is read from where it stands.
    several = ["--to", f"{LUIK}/messages", "--to", f"{LUIK}/dispatch", "--to", f"{LEUVEN}/messages", "--wait", "delivered", "--json", "-"]
    places = ((LUIK, "messages"), (LUIK, "dispatch"), (LEUVEN, "messages"))
    big = os.urandom(200000)
    result = net.cli(NAMEN, "send", *several, stdin=big)
    bodies = [net.take(s, q, "--ack", "read")[0]["body"] for s, q in places]
    tap.ok(result.code == 0 and bodies == [big] * 3, "what comes by a pipe reaches each of several addresses whole", result)
    pipes = [os.pipe() for _ in "ab"]
    for (_, end), body in zip(pipes, (b"first", b"second")):
        os.write(end, body)
        os.close(end)
    ends = [end for end, _ in pipes]
    subprocess.run([os.path.join(lib.BIN, "estafette"), "-c", net.conf(NAMEN), "send", *several[:-2], *(f"/dev/fd/{end}" for end in ends)], pass_fds=ends, check=True,
                   stdout=subprocess.DEVNULL, timeout=lib.longest(60))
    for end in ends:
        os.close(end)
    bodies = [[r["body"] for r in net.take(s, q, "--ack", "read", count=2)] for s, q in places]
    tap.eq(bodies, [[b"first", b"second"]] * 3, "so does a pipe that is named as a file, as shells write <(command)")
    twice = net.cli(NAMEN, "send", "--to", f"{LUIK}/messages", "-", "-", stdin=b"once")
    tap.ok(twice.code == 2 and "name it once" in twice.err, "standard input named twice is refused", twice)
    tap.eq(waiting(net, LUIK, "messages"), (0, 0), "and nothing is sent")
    own = net.send(NAMEN, f"{NAMEN}/dispatch", b"to ourselves", "--wait", "delivered")
    tap.eq(net.take(NAMEN, "dispatch", "--ack", "read")[0]["id"], own, "a site can write to its own queue")


def test_short_bodies(tap, net):
    bodies = [b"abcdefg"[:n] for n in range(8)]
    for body in bodies:
        net.send(NAMEN, f"{LUIK}/dispatch", body, "--wait", "delivered")
    rows = net.take(LUIK, "dispatch", "--ack", "read", count=len(bodies))
    tap.eq([r["body"] for r in rows], bodies, "bodies of no and of a few bytes come whole, as JSON")


def test_broken_off(tap, net):
    """The node is killed while a desk gets a large body: what came of it is no JSON object."""
    sent = net.send(NAMEN, f"{LUIK}/dispatch", os.urandom(12000000), "--wait", "delivered")
    command = [os.path.join(lib.BIN, "estafette"), "-c", net.conf(LUIK), "--json", "take", "dispatch", "--ack", "read"]
    desk = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    begun = desk.stdout.read(1000)
    net.kill(LUIK)
    out, err = desk.communicate(timeout=lib.longest(30))
    lines = (begun + out).splitlines()
    tap.ok(desk.returncode == 1 and len(lines) == 1 and sent.encode() in begun and not lines[0].endswith(b"}"), "the object of a body that broke off is not closed", err)
    net.up(LUIK)
    net.linked()
    net.cli(LUIK, "ack", sent, check=True)


def test_slips(tap, net):
    """What a script says when a variable is not set, and names that would make two lines of an error."""
    for words in (("send", "--to", f"{LUIK}/dispatch", "--exercise", "", "-"), ("take", "dispatch", "--exercise", "", "--timeout", "0s"), ("ack", ""),
                  ("relocate", NAMEN, "--to", LUIK, "--exercise", "", "--yes"), ("queues", "", "--list"), ("links", "retry", ""),
                  ("replay", "dispatch", "--channel", "", "--dry-run"), ("replay", "dispatch", "--originator", "")):
        result = net.cli(NAMEN, *words, "--json", stdin=b"x")
        tap.ok(result.code == 2 and result.error["code"] == "usage" and "empty" in result.error["message"] and not result.out,
               f"{' '.join(words[:2])}: an empty value is not taken for none", result)
    for reason, words in (("two\nlines", "reason: not plain"), ("x" * 600, "reason: 600 bytes (at most ")):
        result = net.cli(NAMEN, "refuse", "0" * 26, "--reason", reason)
        tap.ok(result.code == 1 and words in result.err and len(result.err.splitlines()) == 1, "what is wrong with a reason is said by its name", result)
    both = net.cli(NAMEN, "take", "dispatch", "--out", net.top, "--exec", "true", "--timeout", "0s", "--json")
    tap.ok(both.code == 2 and "not both" in both.error["message"], "take --out and --exec: neither is left out unsaid", both)
    result = net.cli(NAMEN, "send", "--to", f"{LUIK}/dispatch", "no\nsuch\033[2Jfile")
    tap.eq(result.err, "estafette: no such [2Jfile: No such file or directory (name files that you can read, or - for standard input)\n", "an error is one line")
    tap.ok(net.status(NAMEN)["relocated"] in (None, "", []), "and nothing was done")


def test_precedence(tap, net):
    order = ("routine", "flash", "priority", "immediate", "routine", "flash")
    for i, p in enumerate(order):
        net.send(NAMEN, f"{LUIK}/dispatch", f"{p} {i}".encode(), "--precedence", p, "--wait", "delivered")
    rows = net.cli(LUIK, "queues", f"{LUIK}/dispatch", "--list", "--json", check=True).rows
    tap.eq(len(rows), 6, "queues QUEUE --list shows what waits")
    tap.eq(len(net.cli(LUIK, "queues", "eupen/dispatch", "--list", "--json", check=True).rows), 6, "also by its service area")
    tap.eq(waiting(net, LUIK, "dispatch"), (6, 0), "and leases nothing")
    taken = [r["body"].decode() for r in net.take(LUIK, "dispatch", "--ack", "read", count=6)]
    tap.eq(taken, ["flash 1", "flash 5", "immediate 3", "priority 2", "routine 0", "routine 4"], "they come by precedence, then in order")


def test_exercise(tap, net):
    sent = net.send(NAMEN, f"{LUIK}/dispatch", b"EXERCISE EXERCISE", "--exercise", "nevel", "--wait", "delivered")
    tap.eq(net.take(LUIK, "dispatch", seconds=0.3, check=False), [], "exercise traffic is not handed to an operational desk")
    row = net.take(LUIK, "dispatch", "--exercise", "nevel", "--ack", "read")[0]
    tap.eq((row["id"], row["exercise"]), (sent, "nevel"), "but to one that takes part in the exercise")


def test_views(tap, net):
    for command, names in MEMBERS.items():
        if command == "check":
            continue
        result = net.cli(LUIK, command, "--json")
        missing = [m for r in result.rows for m in has(r, names)]
        tap.ok(result.code == 0 and result.rows and not missing, f"{command} --json has its members", f"{missing}\n{result}")
        text = net.cli(LUIK, command)
        tap.ok(text.code == 0 and text.out and not text.out.startswith("{"), f"{command} prints a table for people", text)
    status = net.status(LUIK)
    numbers = "serial accepted delivered read refused expired queued links_up links alarms".split()
    tap.ok(all(type(status[n]) is int for n in numbers) and type(status["incarnation"]) is str, "status has integers and texts", status)
    tap.eq((status["site"], status["links"], status["links_up"]), (LUIK, 2, 2), "status counts the links")
    tap.ok(status["read"] > 0 and status["delivered"] >= status["read"], "and what was done here", status)
    alone = estafette("-c", net.conf(LUIK))
    tap.ok(alone.code == 0 and LUIK in alone.out, "estafette alone is status", alone)
    for program in ("estafette --version", "estafetted -V"):
        said = subprocess.run([os.path.join(lib.BIN, program.split()[0]), program.split()[1]], capture_output=True, text=True).stdout
        tap.ok(re.fullmatch(r"estafetted? \d+\.\d+\.\d+\n", said), f"{program} says a version", repr(said))
    by_env = estafette("status", env={**os.environ, "ESTAFETTE_CONF": net.conf(LUIK)})
    tap.ok(by_env.code == 0 and LUIK in by_env.out, "ESTAFETTE_CONF names the node", by_env)
    service = os.path.join(net.top, "service.conf")
    with open(service, "w") as f:
        f.write(re.sub(r'keys = ".*"', 'keys = "credential:keys"', lib.read(net.conf(LUIK)).decode()))
    for command in ("status", "check"):
        done = estafette("-c", service, command)
        tap.ok(done.code in (0, 1) and not done.err, f"{command}: desks use the file of a service that has its keys as a credential", done)
    check = net.cli(LUIK, "check", "alive", "--json")
    tap.ok(check.code == 0 and not has(check.row, MEMBERS["check"]), "check alive is 0", check)
    for what in ("disk", "clock", "keys", "links", "deadlines", "journal"):
        check = net.cli(LUIK, "check", what)
        tap.ok(check.code in (0, 1, 2) and len(check.out.splitlines()) == 1, f"check {what} prints one line", check)
    links = net.cli(LUIK, "links", "--json", check=True).rows
    tap.eq({(r["peer"], r["up"]) for r in links}, {(NAMEN, True), (LEUVEN, True)}, "both links are up")
    net.kill(NAMEN)
    until(lambda: not next(r for r in net.cli(LUIK, "links", "--json").rows if r["peer"] == NAMEN)["up"], 30, "the link to a dead site is down", 0.2)
    tap.ok(True, "the link to a dead site is shown as down")
    net.up(NAMEN)
    net.linked()
    tap.ok(True, "and up again when it is back")


def test_unattended(tap):
    """A network of its own whose node waits a second, not half a minute, before it calls FLASH unattended."""
    net = Net(LUIK, NAMEN, up=False)
    with open(net.conf(LUIK), "a") as f:
        f.write('unattended = "1s";\n')
    net.up()
    sent = net.send(NAMEN, f"{LUIK}/dispatch", b"is anybody there", "--precedence", "flash", "--wait", "delivered")
    until(lambda: net.cli(LUIK, "alarms", "--json").rows, 15, "FLASH that nobody takes becomes an alarm", 0.1)
    alarm = net.cli(LUIK, "alarms", "--json").rows[0]
    tap.ok(not has(alarm, "id kind since what do acknowledged"), "alarms --json has its members", alarm)
    tap.ok("dispatch" in alarm["what"] + alarm["id"], "the alarm names the queue", alarm)
    tap.eq(net.cli(LUIK, "ack", alarm["id"], "--by", "duty officer").code, 0, "an alarm is signed off")
    tap.ok("duty officer" in net.cli(LUIK, "alarms", "--json").out or not net.cli(LUIK, "alarms", "--json").rows, "by name")
    tap.eq(net.take(LUIK, "dispatch", "--ack", "read")[0]["id"], sent, "the message is still there")
    return net


def test_follow(tap, net):
    folder = os.path.join(net.top, "follow")
    os.makedirs(folder)
    command = [os.path.join(lib.BIN, "estafette"), "-c", net.conf(LUIK), "take", "dispatch", "--follow", "--ack", "read", "--out", folder, "--json"]
    desk = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    ids = {net.send(NAMEN, f"{LUIK}/dispatch", f"follow {i}".encode()) for i in range(5)}
    until(lambda: set(os.listdir(folder)) == ids, 15, "take --follow takes what comes")
    desk.terminate()
    out = desk.communicate(timeout=lib.longest(20))[0]
    tap.eq({json.loads(line)["id"] for line in out.splitlines()}, ids, "take --follow takes what comes, until it is ended")
    tap.eq(waiting(net, LUIK, "dispatch"), (0, 0), "what it wrote is acknowledged, and it holds nothing")


def test_offline(tap, net):
    """What is looked at when the daemon is down."""
    journal = os.path.join(net.dir, LUIK)
    for args in (("verify", net.conf(LUIK)), ("stat", net.conf(LUIK)), ("ls", net.conf(LUIK))):
        result = estafette("journal", *args, "--json")
        tap.ok(result.code == 0, f"journal {args[0]} of a healthy journal", result)
    for path in (net.conf(LUIK), net.conf(NAMEN)):
        whole, *parts = [json.loads(line) for line in estafette("journal", "stat", path, "--json").out.splitlines()]
        sums = {by: sum(p["bytes"] for p in parts if p["by"] == by) for by in ("space", "table", "class", "month", "queue", "originator")}
        tap.eq(sums, {by: whole["file_bytes"] if by == "space" else whole["record_bytes"] for by in sums}, "journal stat: however it is cut, it is the whole file")
    tap.ok(os.path.isdir(journal), "the journal's folder is there")
    checked = subprocess.run([os.path.join(lib.BIN, "estafetted"), "-n", "-c", net.conf(LUIK)], capture_output=True, text=True)
    tap.eq(checked.returncode, 0, "estafetted -n finds the configuration good")
    roster = os.path.join(net.dir, "roster.conf")
    tap.eq(estafette("roster", "show", roster).code, 0, "roster show")
    tap.eq(estafette("roster", "diff", roster, roster).code, 0, "roster diff of a roster with itself")


def main():
    lib.start(__doc__)
    tap = Tap()
    with tap.part("the network command"):
        test_network(tap)
    net = Net(LUIK, NAMEN, LEUVEN)
    net.linked()
    for part in (test_one_message, test_short_bodies, test_broken_off, test_slips, test_waits, test_leases, test_endings, test_keys, test_exec, test_out, test_addresses,
                 test_precedence, test_exercise, test_follow, test_views):
        with tap.part(part.__name__):
            part(tap, net)
        # What a part left behind would only blur the next one.
        for site in (LUIK, NAMEN, LEUVEN):
            for queue in ("dispatch", "messages"):
                net.cli(site, "take", queue, "--count", "99", "--timeout", "30ms", "--ack", "read", "--out", net.top, "--json")
    nets = [net]
    with tap.part("unattended FLASH"):
        nets.append(test_unattended(tap))
    for n in nets:
        n.close()
    with tap.part("offline"):
        test_offline(tap, net)
    tap.done(*nets)


if __name__ == "__main__":
    main()
