#!/usr/bin/env python3
"""The time machine on real daemons: what queues, status, orders, conflicts and trace said at some moments is what --at says of them later, of a
running node, a stopped one and a copy of its journal; bad input is one line; nothing is changed."""

import os
import shutil
import time

import lib
from lib import Net, Tap, estafette, until

LUIK, NAMEN, LEUVEN = "cic-luik", "cic-namen", "cic-vlaams-brabant"
SITES = (LUIK, NAMEN, LEUVEN)
QUEUE = f"{LUIK}/dispatch"
# No journal keeps these, and of a time that is over they are null.
NOT_KEPT = {"links_up", "links", "alarms", "exercise_alarms", "journal_bytes", "journal_quota", "journal_percent", "journal_refuses", "journal_held_back",
            "bodies_removed", "entries_retired", "scrub_ended", "scrub_entries", "scrub_bytes", "scrub_percent", "scrub_found", "scrub_mended",
            "bodies_coming_bytes", "bodies_coming_here", "recovering", "clock_unsure", "acknowledged_by", "waits"}
SECONDS = {"oldest_s", "next_deadline_s"}


def of_now(row):
    """Lines of a trace about what others have now, as far as is heard."""
    return row.get("event") == "waits" or row.get("event") in ("held", "held-by-standby", "in-transit") and row["time"] is None


def kept(rows):
    # Of what was reported under an order that came later no names are known at first: the note of such a line says less.
    return sorted((sorted((k, str(v)) for k, v in row.items() if k not in NOT_KEPT and k not in SECONDS and not (row.get("event") and k == "note"))
                   for row in rows if not of_now(row)))


def questions(ids):
    return [("status",), ("queues",), ("queues", QUEUE, "--list"), ("orders",), ("conflicts",)] + [("trace", id) for id in ids]


def now_text():
    t = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(t)) + f".{int(t % 1 * 1e6):06d}Z"


class Story:
    def __init__(self, net):
        self.net, self.moments, self.ids = net, [], []

    def answers(self, site, ids, *at):
        # Nothing is known of a message that was not sent yet, or has not come here.
        return [[] if r.code else r.rows for r in (self.net.cli(site, *q, *at, "--json") for q in questions(ids))]

    def moment(self, name):
        """All is quiet: what is asked twice is answered alike, so it was so in between."""
        for site in SITES:
            before, at = [], []

            def settled():
                at.append(now_text())
                now = self.answers(site, self.ids)
                same = bool(before) and [kept(r) for r in before[-1]] == [kept(r) for r in now]
                before.append(now)
                return same
            until(settled, 20, f"{site} is quiet ({name})")
            self.moments.append((name, site, at[-1], list(self.ids), before[-1]))

    def judge(self, tap, how, *args):
        for name, site, at, ids, then in self.moments:
            now = self.answers(site, ids, "--at", at, *[a.format(site=site) for a in args])
            wrong = [(q, "then", [r for r in kept(a) if r not in kept(b)], "now", [r for r in kept(b) if r not in kept(a)])
                     for q, a, b in zip(questions(ids), then, now) if kept(a) != kept(b)]
            tap.ok(not wrong, f"{name}, {site}, {how}: the answers of then", wrong[:1])
            for a, b in zip((r for rows in then for r in rows), (r for rows in now for r in rows)):
                for member in SECONDS & set(a):
                    if a[member] is not None and abs(a[member] - b[member]) > 5:
                        tap.ok(False, f"{name}, {site}: {member}", (a, b))

    def send(self, site, *args):
        self.ids.append(self.net.send(site, QUEUE, *args, "--wait", "delivered"))


def run(tap, net, story):
    story.moment("nothing yet")
    story.send(NAMEN, b"the first", "--precedence", "flash", "--subject", "water")
    story.send(LEUVEN, b"the second", "--precedence", "priority")
    story.moment("two wait")
    taken = net.cli(LUIK, "take", "dispatch", "--lease", "10min", "--json", check=True).row
    story.moment("one in hand")
    net.cli(LUIK, "ack", taken["id"], "--by", "anna", check=True)
    until(lambda: "read" in [r["event"] for r in net.cli(NAMEN, "trace", taken["id"], "--json").rows], 20, "its sender knows")
    story.moment("one read")
    # Luik is cut off, not dead, and both handle one message.
    net.kill(NAMEN)
    net.kill(LEUVEN)
    taken = net.cli(LUIK, "take", "dispatch", "--ack", "read", "--json", check=True).row
    net.kill(LUIK)
    net.up(NAMEN, LEUVEN)
    net.cli(LEUVEN, "relocate", LUIK, "--to", NAMEN, "--yes", "--reason", "flood")
    return taken


def takeover(tap, net, story):
    authority = net.authority_key()
    order = net.cli(LEUVEN, "orders", "--json", check=True).rows[-1]["id"]
    until(lambda: order in [r["id"] for r in net.cli(NAMEN, "orders", "--json").rows], 20, "the order is at Namen")
    net.cli(NAMEN, "endorse", order, "--authority", authority, check=True)
    until(lambda: net.cli(NAMEN, "orders", "--json").rows[-1]["state"] == "in_force", 20, "the order is in force")
    until(lambda: net.cli(NAMEN, "take", QUEUE, "--ack", "read", "--timeout", "1s", "--json").code == 0, 30, "Namen hands it out too")
    net.up(LUIK)
    until(lambda: net.cli(LUIK, "conflicts", "--json").rows, 30, "they meet")
    story.moment("a conflict")
    row = net.cli(LUIK, "conflicts", "--json", check=True).row
    net.cli(LUIK, "ack", row["id"], check=True)
    story.moment("signed off")


def fingerprint(net, site):
    folder = os.path.join(os.path.dirname(net.conf(site)), "journal")
    return lib.read(os.path.join(folder, "data.mdb"))


def copies(tap, net, story):
    backup = os.path.join(lib.temp_dir(), "backup")
    net.cli(LUIK, "backup", net.conf(LUIK), backup, check=True)
    net.cli(LUIK, "backup", net.conf(LUIK), backup + ".next", "--since", backup, check=True)
    net.down(LUIK)
    before = fingerprint(net, LUIK)
    copy = os.path.join(lib.temp_dir(), "copy")
    shutil.copytree(os.path.join(os.path.dirname(net.conf(LUIK)), "journal"), copy)
    story.moments = [m for m in story.moments if m[1] == LUIK]
    story.judge(tap, "stopped")
    tap.ok(fingerprint(net, LUIK) == before, "no byte of the journal changed")
    shutil.move(os.path.join(os.path.dirname(net.conf(LUIK)), "journal"), copy + ".moved")
    story.judge(tap, "a copy of the journal", "--journal", copy)
    story.moments = story.moments[-2:]
    story.judge(tap, "an incremental backup", "--journal", backup + ".next")


def bad_input(tap, net, story):
    at = story.moments[-1][2]
    nothing = lib.temp_dir()
    other = os.path.join(os.path.dirname(net.conf(NAMEN)), "journal")
    no_journal = os.path.join(nothing, "x")
    os.mkdir(no_journal)
    with open(os.path.join(no_journal, "data.mdb"), "wb") as f:
        f.write(b"no journal" * 1000)
    os.rename(no_journal, os.path.join(nothing, "journal"))
    for args, code, word, why in (
            (("queues", "--at", "yesterday"), 2, "no time", "no time"), (("queues", "--at", "2999-01-01T00:00:00Z"), 2, "still to come", "the future"),
            (("queues", "--at", "1990-01-01T00:00:00Z", "--journal", other), 1, "journal of", "another site's journal"),
            (("queues", "--at", at, "--journal", nothing + "/nothing"), 1, "no journal", "no folder"),
            (("queues", "--at", at, "--journal", nothing + "/journal"), 1, "journal", "a file that is no journal"),
            (("links", "--at", at), 1, "no journal keeps", "links"), (("alarms", "--at", at), 1, "no journal keeps", "alarms"),
            (("queues", "--at", at, "--watch"), 2, "does not change", "--watch"), (("queues", "--journal", other), 2, "--at", "--journal alone")):
        r = net.cli(LUIK, *args)
        tap.ok(r.code == code and len(r.err.splitlines()) == 1 and word in r.err, f"{why}: one line, exit {code}", r)
    strange = os.path.join(lib.temp_dir(), "keys")
    estafette("keygen", "--site", LUIK, "--roster", os.path.join(net.dir, "roster.conf"), "--out", strange, check=True)
    r = estafette("-c", lib.other_conf(net, LUIK, "keys", strange), "queues", "--at", at)
    tap.ok(r.code == 1 and len(r.err.splitlines()) == 1 and "not the one in roster" in r.err, "keys of another enrolment: one line, and not a queue that looks empty", r)
    for setting in ("keys", "journal"):
        r = estafette("-c", lib.other_conf(net, LUIK, setting, os.path.join(net.dir, NAMEN, setting)), "queues", "--at", at)
        tap.ok(r.code == 1 and len(r.err.splitlines()) == 1 and NAMEN in r.err, f"another site's {setting}: one line", r)
    r = net.cli(NAMEN, "queues", "--at", "1990-01-01T00:00:00Z")
    tap.ok(r.code == 1 and len(r.err.splitlines()) == 1 and "begins later" in r.err, "before the journal: one line", r)
    r = net.cli(NAMEN, "trace", "0" * 26, "--at", at)
    tap.ok(r.code == 1 and "known of this message here then" in r.err, "a message that was not known then", r)
    tap.ok(not [f for f in os.listdir("/tmp") if f.startswith("estafette-at-")], "no temporary folder is left")


def main():
    lib.start(__doc__)
    tap, net = Tap(), Net(*SITES)
    net.linked()
    story = Story(net)
    with tap.part("a day"):
        run(tap, net, story)
    with tap.part("takeover"):
        takeover(tap, net, story)
    with tap.part("of running nodes"):
        story.judge(tap, "running")
        text = net.cli(LUIK, "queues", "--at", story.moments[3][2], check=True)
        tap.ok(text.out.startswith("at 20"), "people are told which moment it is", text)
    with tap.part("copies"):
        copies(tap, net, story)
    with tap.part("bad input"):
        bad_input(tap, net, story)
    tap.done(net)


if __name__ == "__main__":
    main()
