#!/usr/bin/env python3
"""Orders through the command: looking first, refusals, an order that waits for endorsements, and the way back."""

import os
import pty
import re
import subprocess

import client
import lib
from lib import Net, Tap, until

LUIK, NAMEN, LEUVEN, LIMBURG, SPOC = "cic-luik", "cic-namen", "cic-vlaams-brabant", "cic-limburg", "spoc-brussel"  # SPOC may relocate
SITES = (LUIK, NAMEN, LEUVEN, LIMBURG, SPOC)


def orders(net, site):
    return net.cli(site, "orders", "--json", check=True).rows


def order(net, site, order_id):
    return next((r for r in orders(net, site) if r["id"] == order_id), {})


def give(net, site, *args):
    """Gives an order, which must succeed; its row."""
    return net.cli(site, *args, "--yes", "--json", check=True).row


def refused(tap, net, site, args, code, *words):
    r = net.cli(site, *args, "--yes", "--json")
    said = r.error.get("message", "")
    tap.ok(r.code == 1 and r.error.get("code") == code and all(w in said for w in words), f"{' '.join(args)}: {code}", r)


def everywhere(net, order_id, state="in_force", sites=SITES):
    for site in sites:
        until(lambda: order(net, site, order_id).get("state") == state, 20, f"{site} has order {order_id} as {state}")


# ---- what is wrong costs nothing ----------------------------------------------------------------------------------------

def test_refusals(tap, net):
    to = ("relocate", LUIK, "--to")
    for args, code, words in (
            (("relocate", "cic-lujk", "--to", NAMEN), "unknown_site", ("did you mean cic-luik?",)),
            (("relocate", "eupen", "--to", NAMEN), "unknown_site", ("service area of cic-luik",)),
            (("relocate", "all-cic", "--to", NAMEN), "unknown_site", ("group",)),
            ((*to, "cic-nergens"), "unknown_site", ("no such site",)),
            ((*to, f"{NAMEN}:dispath"), "unknown_queue", ("it has dispatch, messages",)),
            ((*to, f"{NAMEN}:dispatch,"), "unknown_queue", ()),
            ((*to, f"{NAMEN}:area=halle-vilvoorde"), "refused", (LEUVEN,)),
            ((*to, f"{NAMEN}:area=eupem"), "unknown_site", ("serves eupen",)),
            ((*to, f"{NAMEN}:share=30%"), "refused", ("70.00 % are missing", f"--to {LUIK}:share=70.00%")),
            ((*to, f"{NAMEN}:share=60%", "--to", f"{LEUVEN}:share=50%"), "refused", ("more than 100 %",)),
            ((*to, f"{NAMEN}:share=0%"), "out_of_range", ()), ((*to, f"{NAMEN}:share=half"), "out_of_range", ()),
            ((*to, f"{NAMEN}:share=33.333%"), "out_of_range", ()), ((*to, f"{NAMEN}:share=101%"), "out_of_range", ()),
            ((*to, f"{NAMEN}:dispatch", "--to", f"{LEUVEN}:dispatch"), "refused", ("dispatch",)),
            ((*to, NAMEN, "--to", f"{LEUVEN}:share=100%"), "refused", ()),
            ((*to, NAMEN, "--to", LEUVEN), "refused", ()),
            ((*to, LUIK), "refused", ("own successor",)),
            (("handback", LUIK), "refused", ("nothing to hand back",)),
            (("handback", LUIK, "--without", NAMEN), "refused", ("serves nothing",)),
            (("handback", "cic-lujk"), "unknown_site", ())):
        refused(tap, net, SPOC, args, code, *words)
    for args, code in ((("endorse", "deadbeef"), "not_found"), (("endorse", "de"), "not_found")):
        r = net.cli(SPOC, *args, "--json")
        tap.ok(r.code == 1 and r.error.get("code") == code, f"{' '.join(args)}: {code}", r)
    tap.eq([orders(net, s) for s in (SPOC, LUIK)], [[], []], "and nothing was ordered")
    tap.eq(net.cli(SPOC, "orders").out.strip(), "no orders", "people are told that there are none")


def test_usage(tap, net):
    for args in (("relocate", LUIK), ("relocate", "--to", NAMEN), ("relocate", LUIK, NAMEN, "--to", NAMEN), ("handback",), ("endorse",),
                 ("revoke", LUIK), ("handback", LUIK, "--timeout", "soon"), ("relocate", LUIK, "--to"), ("relocate", LUIK, "--form", NAMEN),
                 ("assist", "dispatch"), ("assist", "--to", NAMEN), ("assist", "dispatch", "--to", NAMEN, "--count", "0")):
        r = net.cli(SPOC, *args, "--yes") if args[0] in ("relocate", "handback", "revoke") else net.cli(SPOC, *args)
        tap.ok(r.code == 2 and len(r.err.splitlines()) == 1, f"{' '.join(args)}: usage, in one line", r)
    r = net.cli(SPOC, "relocate", LUIK, "--to", NAMEN)
    tap.ok(r.code == 2 and "--yes" in r.err, "without a terminal an order needs --yes", r)
    tap.eq(orders(net, SPOC), [], "and nothing was ordered")


def test_requests(tap, net):
    """What no command would send is refused by name, and the connection goes on."""
    path = re.search(r'^\s*socket\s*=\s*"([^"]+)"', lib.read(net.conf(SPOC)).decode(), re.M).group(1)
    raw = client.Client(path if os.path.isabs(path) else os.path.join(net.dir, SPOC, path))
    client.F.update(assign=41, without=42, dry=43, blob=44, reason=18)
    client.INTEGER[43] = ">B"
    for kind, fields, code in (
            (14, (), "bad_format"), (14, (("what", "relocate"),), "bad_format"), (14, (("to", LUIK),), "bad_format"),
            (14, (("what", "abolish"), ("to", LUIK)), "unsupported"), (14, (("what", "relocate"), ("to", LUIK)), "refused"),
            (14, (("what", "relocate"), ("to", LUIK), ("assign", "")), "bad_format"), (14, (("what", "relocate"), ("to", LUIK), ("assign", ":")), "unknown_site"),
            (14, (("what", "relocate"), ("to", LUIK), ("assign", f"{NAMEN}:")), "unknown_queue"),
            (14, (("what", "relocate"), ("to", LUIK), ("assign", f"{NAMEN}:share=%")), "out_of_range"),
            (14, (("what", "relocate"), ("to", LUIK), ("assign", f"{NAMEN}:share=.5%")), "out_of_range"),
            (14, (("what", "relocate"), ("to", LUIK), ("assign", NAMEN), ("reason", "x" * 257)), "bad_format"),
            (14, (("what", "relocate"), ("to", LUIK), *[("assign", f"{NAMEN}:share=1%")] * 101), "too_large"),
            (14, (("what", "relocate"), ("to", LUIK), ("assign", NAMEN), ("without", NAMEN)), "refused"),
            (14, (("what", "handback"), ("to", LUIK), ("assign", NAMEN)), "refused"), (14, (("what", "relocate"), ("to", LUIK), ("body", b"x")), "bad_format"),
            (15, (), "not_found"), (15, (("blob", b"junk"),), "truncated"), (15, (("blob", b"\x01" + bytes(200)),), "bad_format"),
            (15, (("what", "abcd"), ("to", LUIK)), "bad_format")):
        try:
            tag = raw.ask(kind, *fields)
            tap.ok(False, f"request {kind} {fields} is refused", raw.reply(tag))
        except client.Refused as e:
            tap.eq(e.args[0], code, f"request {kind} {' '.join(str(v) for _, v in fields)[:60]}: {code}")
    tap.eq([r["site"] for r in raw.show("status")] + orders(net, SPOC), [SPOC], "the connection goes on, and nothing was ordered")


def on_terminal(net, site, typed, *args):
    """Runs the command with a terminal as its standard input, where `typed` was typed; exit status and output."""
    master, slave = pty.openpty()
    try:
        os.write(master, typed.encode())
        done = subprocess.run([os.path.join(lib.BIN, "estafette"), "-c", net.conf(site), *args], stdin=slave, capture_output=True,
                              timeout=lib.longest(60))
    finally:
        os.close(slave)
        os.close(master)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_terminal(tap, net):
    code, out, err = on_terminal(net, SPOC, "cic-namen\n", "relocate", LUIK, "--to", NAMEN)
    tap.ok(code == 1 and "not confirmed" in err and "cic-luik/dispatch" in out and "in force at once" in out,
           "on a terminal it shows what it would do and asks for the site's name; another name orders nothing", f"{code}\n{out}\n{err}")
    tap.eq(orders(net, SPOC), [], "and nothing was ordered")
    code, out, err = on_terminal(net, SPOC, LUIK + "\n", "relocate", LUIK, "--to", f"{NAMEN}:share=1%", "--to", f"{LUIK}:share=98%")
    tap.ok(code == 1 and "1.00 % are missing" in err and "type the name" not in err, "what is wrong is said before it asks", f"{code}\n{out}\n{err}")


def test_not_permitted(tap, net):
    good = lib.read(net.conf(LIMBURG)).decode()
    desk = 'clients = ( { uid = "%d"; name = "desk"; may = ( "send", "take" ); } );' % os.getuid()

    def conf(text):
        with open(net.conf(LIMBURG), "w") as f:
            f.write(text)
        net.hup(LIMBURG)

    conf(re.sub(r"^clients = .*;$", "", good, flags=re.M) + desk + "\n")
    until(lambda: net.cli(LIMBURG, "relocate", LUIK, "--to", NAMEN, "--dry-run", "--json").error.get("code") == "not_permitted", 10, "a desk may not look either")
    refused(tap, net, LIMBURG, ("relocate", LUIK, "--to", NAMEN), "not_permitted", "desk")
    r = net.cli(LIMBURG, "endorse", "abcd", "--json")
    tap.ok(r.code == 1 and r.error.get("code") == "not_permitted", "endorse: not_permitted", r)
    conf(good)
    until(lambda: net.cli(LIMBURG, "relocate", LUIK, "--to", NAMEN, "--dry-run").code == 0, 10, "it may again")


# ---- looking first ------------------------------------------------------------------------------------------------------------

def test_dry_run(tap, net):
    for i in range(3):
        net.send(NAMEN, f"{LUIK}/dispatch", b"waits", "--precedence", "routine", "--wait", "delivered")
    until(lambda: any(r["queue"] == f"{LUIK}/dispatch" and r["waiting"] == 3 for r in net.cli(NAMEN, "queues", "--json").rows), 20, "Namen holds them")
    asked = ("relocate", LUIK, "--to", f"{NAMEN}:messages", "--to", f"{LIMBURG}:dispatch", "--dry-run", "--json")
    rows = net.cli(NAMEN, *asked, check=True).rows
    by = {p: [r for r in rows if r["part"] == p] for p in ("queue", "successor", "giver", "summary")}
    waits = [r for r in by["queue"] if r["waiting"]]
    tap.eq([(r["queue"], r["precedence"], r["waiting"], r["leased"], r["successors"]) for r in waits], [(f"{LUIK}/dispatch", "routine", 3, 0, [LIMBURG])],
           "what waits is counted, with who would have it")
    tap.ok(waits[0]["oldest_s"] >= 0 and isinstance(waits[0]["oldest_s"], int), "and how long the oldest waits")
    tap.eq({(r["queue"], r["waiting"]) for r in by["queue"] if r["precedence"] == "flash"}, {(f"{LUIK}/dispatch", 0), (f"{LUIK}/messages", 0)},
           "FLASH is shown for each queue")
    to = {r["site"]: r for r in by["successor"]}
    tap.eq((to[NAMEN]["holds"], to[NAMEN]["can_open"], to[NAMEN]["reachable"], to[NAMEN]["estimate_s"]), ("now", True, True, 0), "a standby holds all of it")
    tap.ok(not to[LIMBURG]["can_open"] and "streams and keys from" in to[LIMBURG]["holds"] and LEUVEN in to[LIMBURG]["holds"],
           "another site needs streams and keys", to[LIMBURG])
    s = by["summary"][0]
    tap.eq((s["state"], s["votes"], s["needs"], s["waiting"], s["epoch"]), ("pending", 1, 3, 3, 1), "the summary says that it would wait for the quorum")
    rows = net.cli(SPOC, *asked, check=True).rows
    s = rows[-1]
    tap.eq((s["part"], s["state"], s["needs"], s["waiting"]), ("summary", "in_force", 0, None), "a relocator's would be in force; what waits is not known there")
    tap.ok("not known here" in s["note"], "and it says so", s)
    tap.eq(orders(net, NAMEN) + orders(net, SPOC), [], "and nothing was ordered")


# ---- an order and its endorsements ----------------------------------------------------------------------------------------------

def test_quorum(tap, net):
    asked = ("relocate", LUIK, "--to", f"{LEUVEN}:dispatch", "--to", f"{NAMEN}:messages", "--reason", "flood")
    row = give(net, NAMEN, *asked)
    tap.ok(re.fullmatch("[0-9a-f]{16}", row["id"]) and row["hash"].startswith(row["id"]), "an order has an id", row)
    tap.eq([row[k] for k in ("state", "kind", "site", "epoch", "votes", "needs")], ["pending", "relocate", LUIK, 1, 1, 3], "one site alone: it waits")
    first = row["id"]
    everywhere(net, first, "pending")
    refused(tap, net, NAMEN, asked, "exists", f"estafette endorse {first[:8]}")
    refused(tap, net, LIMBURG, asked, "exists", f"estafette endorse {first[:8]}")
    r = net.cli(LUIK, "endorse", first, "--json")
    tap.ok(r.code == 1 and r.error.get("code") == "refused", "the site that it is about cannot endorse it", r)
    r = net.cli(NAMEN, "endorse", first, "--json")
    tap.ok(r.code == 1 and r.error.get("code") == "exists" and "endorsed already" in r.error["message"], "nor its issuer again", r)
    r = net.cli(LEUVEN, "endorse", first[:6])
    tap.ok(r.code == 0 and "2 of the 3" in r.out and f"estafette endorse {first[:8]}` at 1 other" in r.out, "the second vote: people are told how many are missing", r)
    until(lambda: order(net, LIMBURG, first)["votes"] == 2, 20, "Limburg knows of the second vote")
    row = net.cli(LIMBURG, "endorse", first, "--json", check=True).row
    tap.eq((row["state"], row["votes"]), ("in_force", 3), "with the third it is in force")
    r = net.cli(LIMBURG, "endorse", first, "--json")
    tap.eq((r.code, r.error.get("code")), (1, "exists"), "a second endorsement of one site is refused")
    everywhere(net, first)
    until(lambda: sorted(order(net, NAMEN, first)["acknowledged_by"]) == sorted(SITES), 30, "every site is known to have it")
    row = order(net, NAMEN, first)
    tap.eq({k: row[k] for k in ("id", "kind", "site", "epoch", "state", "issuer", "reason", "exercise", "votes", "needs")},
           {"id": first, "kind": "relocate", "site": LUIK, "epoch": 1, "state": "in_force", "issuer": NAMEN, "reason": "flood", "exercise": None, "votes": 3, "needs": 3},
           "orders has the members of the contract")
    tap.ok(len(row["assignments"]) == 2 and any("dispatch" in a and LEUVEN in a for a in row["assignments"]), "and the assignments", row["assignments"])
    table = net.cli(NAMEN, "orders").out.splitlines()
    at = table[0].index("sites")
    tap.ok(table[1].startswith(first) and table[1][at:at + 5].strip() == str(len(SITES)), "people get a table that says how many sites have it", "\n".join(table))
    refused(tap, net, SPOC, asked, "refused", "says the same already", first[:8])
    refused(tap, net, SPOC, ("relocate", LIMBURG, "--to", LUIK), "refused", f"relocated by order {first[:8]}", LEUVEN, NAMEN)
    return first


def test_taken_there(tap, net):
    rows = net.take(LEUVEN, f"{LUIK}/dispatch", "--ack", "read", count=3, seconds=20)
    tap.eq([r["body"] for r in rows], [b"waits"] * 3, "the successor hands out what waited")
    served = {r["queue"]: r["served_by"] for r in net.cli(NAMEN, "queues", "--json").rows if r["queue"].startswith(LUIK)}
    tap.ok(all(LEUVEN in v if q.endswith("/dispatch") else NAMEN in v for q, v in served.items()), "queues says who serves what", served)


def test_handback(tap, net, first):
    refused(tap, net, LUIK, ("handback", LUIK, "--without", LIMBURG), "refused", "serves nothing")
    rows = net.cli(LUIK, "handback", LUIK, "--dry-run", "--json", check=True).rows
    tap.eq({(r["site"], r["waited_for"]) for r in rows if r["part"] == "giver"}, {(LEUVEN, True), (NAMEN, True)}, "a handback's dry run says who closes first")
    r = net.cli(LUIK, "handback", LUIK, "--yes", "--json", "--timeout", f"{60 * lib.SLOW}s", timeout=90)
    tap.ok(r.code == 0 and r.row["state"] == "in_force" and r.row["epoch"] == 2, "handback returns when the queues are back", r)
    everywhere(net, r.row["id"])
    everywhere(net, first, "superseded")
    tap.eq(order(net, LUIK, r.row["id"])["waits"], None, "and waits for nothing more")
    new = net.send(NAMEN, f"{LUIK}/dispatch", b"home again")
    tap.eq([m["id"] for m in net.take(LUIK, "dispatch", "--ack", "read")], [new], "the site serves its queue again")
    refused(tap, net, LUIK, ("handback", LUIK), "refused", "nothing to hand back")


def test_relocator(tap, net):
    code, out, err = on_terminal(net, SPOC, LUIK + "\n", "relocate", LUIK, "--to", f"{NAMEN}:share=33.34%", "--to", f"{LEUVEN}:share=33.33%",
                                 "--to", f"{LUIK}:share=33.33%")
    tap.ok(code == 0 and "is in force" in out, "a relocator's order, confirmed, is in force at once; shares may be odd", f"{code}\n{out}\n{err}")
    row = [o for o in orders(net, SPOC) if o["state"] == "in_force"][0]
    tap.eq((row["issuer"], row["epoch"], row["needs"]), (SPOC, 3, 0), "it follows on the handback")
    tap.eq(row["assignments"], [f"33.34 % -> {NAMEN}", f"33.33 % -> {LEUVEN}", f"33.33 % -> {LUIK}"], "the shares are those that were asked for")
    everywhere(net, row["id"])
    r = net.cli(SPOC, "handback", LUIK, "--yes", "--timeout", f"{60 * lib.SLOW}s", timeout=90)
    tap.ok(r.code == 0 and "has the order" in r.out, "a handback given elsewhere returns when the site has it", r)
    back = [o for o in orders(net, LUIK) if o["state"] == "in_force"][0]["id"]
    everywhere(net, back)
    until(lambda: order(net, LUIK, back)["waits"] is None, 60, "and the site's queues are back")


def test_exercise(tap, net):
    row = give(net, LUIK, "relocate", LUIK, "--to", NAMEN, "--exercise", "storm-2026")
    tap.eq((row["state"], row["epoch"], row["needs"]), ("in_force", 1, 0), "an exercise has a chain of its own; the site's own word is enough")
    everywhere(net, row["id"])
    tap.eq(order(net, SPOC, row["id"])["exercise"], "storm-2026", "and is marked in orders")
    new = net.send(LEUVEN, f"{LUIK}/dispatch", b"this is real")
    tap.eq([m["id"] for m in net.take(LUIK, "dispatch", "--ack", "read")], [new], "operational traffic stays where it was")
    refused(tap, net, LUIK, ("handback", LUIK), "refused", "nothing to hand back")
    r = net.cli(LUIK, "handback", LUIK, "--exercise", "storm-2026", "--yes", "--timeout", f"{60 * lib.SLOW}s", timeout=90)
    tap.eq(r.code, 0, "its handback names it")


def test_behind(tap, net):
    """A site that comes back hands nothing out, and takes nothing back, before it has what came meanwhile."""
    net.down(LUIK)
    moved = give(net, SPOC, "relocate", LUIK, "--to", NAMEN, "--reason", "power")
    everywhere(net, moved["id"], sites=(NAMEN, LEUVEN))
    sent = [net.send(LEUVEN, f"{LUIK}/dispatch", b"meanwhile") for _ in range(20)]
    done = [m["id"] for m in net.take(NAMEN, f"{LUIK}/dispatch", "--ack", "read", count=5, seconds=20)]
    net.down(NAMEN)
    net.up(LUIK)
    until(lambda: order(net, LUIK, moved["id"]).get("state") == "in_force", 20, "Luik learns of the order from the others")
    r = net.cli(LUIK, "handback", LUIK, "--yes", "--json", "--timeout", "2s")
    tap.ok(r.code == 1 and r.error.get("code") == "timeout" and f"{NAMEN} has not shown what it holds" in r.error["message"],
           "a handback waits for the successor to show what it holds, and says so when the time is over", r)
    tap.eq(order(net, LUIK, moved["id"])["state"], "in_force", "and nothing was ordered meanwhile")
    rows = net.cli(LUIK, "handback", LUIK, "--dry-run", "--json", check=True).rows
    tap.ok("has not caught up yet" in rows[-1]["note"], "a dry run says so too, and is not refused", rows[-1])
    rows = net.cli(LUIK, "handback", LUIK, "--without", NAMEN, "--dry-run", "--json", check=True).rows
    tap.ok([r["waited_for"] for r in rows if r["part"] == "giver"] == [False] and NAMEN not in rows[-1]["note"], "nobody waits for one that is waived", rows)
    net.up(NAMEN)
    r = net.cli(LUIK, "handback", LUIK, "--yes", "--timeout", f"{60 * lib.SLOW}s", timeout=90)
    tap.ok(r.code == 0 and "has its queues back" in r.out, "with the successor back it is done", r)
    rows = net.take(LUIK, "dispatch", "--ack", "read", count=15, seconds=20)
    tap.eq({m["id"] for m in rows}, set(sent) - set(done), "what is left is handed out, and nothing that was read")


def test_conflict(tap, net):
    """Both handle one message while they cannot hear each other: it is listed until a person signs it off."""
    sent = net.send(LEUVEN, f"{LUIK}/messages", b"handled twice", "--wait", "delivered")
    net.down(LUIK)
    moved = give(net, SPOC, "relocate", LUIK, "--to", NAMEN)
    until(lambda: order(net, NAMEN, moved["id"]).get("state") == "in_force", 20, "Namen serves it")
    tap.eq([m["id"] for m in net.take(NAMEN, f"{LUIK}/messages", "--ack", "read", seconds=20)], [sent], "the successor reads it")
    others = [s for s in SITES if s != LUIK]
    for site in others:
        net.down(site)
    net.up(LUIK)
    tap.eq([m["id"] for m in net.take(LUIK, "messages", "--ack", "read", seconds=20)], [sent], "and so does the site, which knows of no order")
    tap.eq(net.cli(LUIK, "conflicts").out.strip(), "no conflicts", "nobody can know yet")
    net.up(*others)
    net.linked()
    row = until(lambda: next(iter(net.cli(LUIK, "conflicts", "--json").rows), None), 30, "Luik sees the conflict")
    tap.eq((row["id"], row["queue"], sorted(row["handlers"]), len(row["times"]), row["signed_off"]), (sent, f"{LUIK}/messages", sorted((LUIK, NAMEN)), 2, False),
           "conflicts has the members of the contract")
    until(lambda: net.cli(NAMEN, "conflicts", "--json").rows, 30, "Namen sees it too")
    tap.ok(sent in net.cli(NAMEN, "conflicts").out, "people get a table")
    r = net.cli(LUIK, "ack", sent, "--by", "chief")
    tap.eq(r.code, 0, "ack signs it off")
    until(lambda: net.cli(LUIK, "conflicts", "--json").row["signed_off"], 10, "and it is shown as that")
    r = net.cli(LUIK, "handback", LUIK, "--yes", "--timeout", f"{60 * lib.SLOW}s", timeout=90)
    tap.eq(r.code, 0, "the queues go back")


def test_revoke(tap, net):
    wrong = os.path.join(net.top, "wrong")
    lib.estafette("keygen", "--authority", "--out", wrong, check=True)
    before = len(orders(net, NAMEN))
    refused(tap, net, NAMEN, ("revoke", LIMBURG, "--reason", "captured", "--authority", wrong + ".key"), "no_key", "not the key of the authority")
    tap.eq(len(orders(net, NAMEN)), before, "another authority's key is refused before anything is ordered")
    row = give(net, NAMEN, "revoke", LIMBURG, "--reason", "captured")
    tap.eq((row["state"], row["kind"], row["needs"]), ("pending", "revoke", 3), "a revocation needs the quorum")
    row = net.cli(NAMEN, "endorse", row["id"], "--authority", net.authority_key(), "--json", check=True).row
    tap.eq(row["state"], "in_force", "or the authority")
    shown = order(net, NAMEN, row["id"])
    tap.ok(shown["assignments"] and LIMBURG not in "".join(shown["assignments"]), "without --to a standby serves its queues", shown)
    r = net.cli(NAMEN, "relocate", LUIK, "--to", LIMBURG, "--yes", "--json")
    tap.ok(r.code == 1 and "revoked" in r.error.get("message", ""), "a revoked site serves nobody", r)


def main():
    lib.start(__doc__)
    tap, net = Tap(), Net(*SITES)
    net.linked()
    for part in (test_refusals, test_usage, test_requests, test_terminal, test_not_permitted, test_dry_run):
        with tap.part(part.__name__):
            part(tap, net)
    first = ""
    with tap.part("test_quorum"):
        first = test_quorum(tap, net)
    with tap.part("test_taken_there"):
        test_taken_there(tap, net)
    with tap.part("test_handback"):
        test_handback(tap, net, first)
    for part in (test_relocator, test_exercise, test_behind, test_conflict, test_revoke):
        with tap.part(part.__name__):
            part(tap, net)
    tap.done(net)


if __name__ == "__main__":
    main()
