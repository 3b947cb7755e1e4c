#!/usr/bin/env python3
"""A node whose journal is gone begins again on an empty one: it gets its messages back from those who hold them, hands out
only what was not read, knows its keys again, and uses no number twice."""

import os
import shutil
import tempfile

import lib
from lib import Net, Tap, until

LUIK, NAMEN, LEUVEN, LIMBURG = "cic-luik", "cic-namen", "cic-vlaams-brabant", "cic-limburg"  # Limburg stands by for Leuven


def events(net, site, message):
    return [r["event"] for r in net.cli(site, "trace", message, "--json").rows]


def own_heads(net, site, originator):
    """(incarnation, addressee, precedence, exercise) -> head, of the originator's streams as a site has them."""
    return {(r["incarnation"], r["addressee"], r["precedence"], r["exercise"]): r["head"]
            for r in net.cli(site, "streams", "--json", check=True).rows if r["originator"] == originator}


def empty(net, site):
    net.kill(site)
    shutil.rmtree(os.path.join(net.dir, site, "journal"))


def everything(net, site, queue, count, seconds=20):
    """Takes and acknowledges, until nothing comes any more: id -> body; an id twice is remembered."""
    folder = tempfile.mkdtemp(dir=net.top)
    rows = net.cli(site, "take", queue, "--count", count, "--timeout", f"{int(seconds * 1000 * lib.SLOW)}ms", "--out", folder, "--ack", "read",
                   "--json", timeout=seconds + 60).rows
    extra = net.cli(site, "take", queue, "--count", 99, "--timeout", f"{700 * lib.SLOW}ms", "--out", folder, "--ack", "read", "--json").rows
    taken = [r["id"] for r in rows + extra]
    assert len(taken) == len(set(taken)), f"handed out twice: {sorted(taken)}"
    return {i: lib.read(os.path.join(folder, i)) for i in taken}


def main():
    lib.start(__doc__)
    tap, net = Tap(), Net(LUIK, NAMEN, LEUVEN, LIMBURG)
    net.linked()
    with tap.part("the addressee's journal is emptied"):
        bodies, inbound = {}, []
        for i, size in enumerate((10, 900, 1500, 5000, 30000, 70000, 200000, 20, 3000, 15)):
            body = lib.body_of(size, f"in {i}")
            precedence = lib.PRECEDENCES[i % 4]
            inbound.append(net.send(NAMEN, f"{LUIK}/dispatch", body, "--precedence", precedence, "--wait", "delivered", "--timeout", "60s"))
            bodies[inbound[-1]] = body
        group = [net.send(NAMEN, "all-cic/dispatch", f"to all {i}".encode(), "--wait", "delivered") for i in range(2)]
        for i, g in enumerate(group):
            bodies[g] = f"to all {i}".encode()
        keys = {f"key-{i}": net.cli(LUIK, "send", "--to", f"{NAMEN}/messages", "--id", f"key-{i}", "--wait", "delivered", "--json", "-",
                                    stdin=f"keyed {i}".encode(), check=True).row["id"] for i in range(5)}
        out_group = net.send(LUIK, "all-cic/messages", b"from Luik to all", "--wait", "delivered")
        first = [r["id"] for r in net.take(LUIK, "dispatch", "--ack", "read", count=5, seconds=20)]
        read_group = net.take(LEUVEN, "dispatch", "--ack", "read", count=2)
        leased = net.take(LUIK, "dispatch", "--lease", "1h")[0]["id"]
        read_at_namen = [r["id"] for r in net.take(NAMEN, "messages", "--ack", "read", count=3)]
        for i in first:
            until(lambda: "read" in events(net, NAMEN, i), 20, f"Namen knows that {i} was read")
        for i in read_at_namen:
            until(lambda: "read" in events(net, LUIK, i), 20, f"Luik knows that {i} was read")
        before = own_heads(net, NAMEN, LUIK)
        incarnation = net.status(LUIK)["incarnation"]
        unread = (set(inbound) | set(group)) - set(first)
        empty(net, LUIK)
        net.up(LUIK)
        tap.ok(net.status(LUIK)["incarnation"] != incarnation, "the emptied node begins a new incarnation")
        back = everything(net, LUIK, "dispatch", len(unread))
        tap.eq(set(back) - unread, set(), "nothing that was read is handed out again")
        tap.eq(unread - set(back), set(), "everything that was not read is, also what was leased and what went to a group")
        tap.ok(leased in back, "the leased one among them")
        tap.ok(all(body == bodies[i] for i, body in back.items()), "every body is unchanged")
        for key, first_id in keys.items():
            again = net.cli(LUIK, "send", "--to", f"{NAMEN}/messages", "--id", key, "--json", "-", stdin=f"keyed {key[4:]}".encode())
            if not (again.code == 0 and again.row["id"] == first_id and again.row["duplicate"]):
                tap.ok(False, "keys are known again", again)
                break
        else:
            tap.ok(True, "keys are known again")
        rest = everything(net, NAMEN, "messages", len(keys) + 1 - len(read_at_namen))
        tap.eq(set(rest), (set(keys.values()) | {out_group}) - set(read_at_namen), "at Namen nothing comes twice, and nothing is missing")
        new = net.send(LUIK, f"{NAMEN}/messages", b"after the loss", "--wait", "delivered", "--timeout", "30s")
        tap.eq(set(everything(net, NAMEN, "messages", 1)), {new}, "what Luik sends now arrives")
        after = own_heads(net, NAMEN, LUIK)
        fresh = set(after) - set(before)
        now = net.status(LUIK)["incarnation"]
        tap.ok(fresh and all(k[0] == now for k in fresh), "new numbers are those of the new incarnation", f"{fresh}\n{now}")
        changed = [k for k in before if k in after and after[k] != before[k]]
        tap.eq(changed, [], "no number of an older incarnation is used again")
        forks = [a for s in (LUIK, NAMEN, LEUVEN) for a in net.cli(s, "alarms", "--json").rows if "fork" in a["kind"] or "branch" in a["kind"]]
        tap.eq(forks, [], "nobody saw two entries with one number")
        tap.eq(set(everything(net, LEUVEN, "messages", 1)), {out_group}, "the message that Luik had sent to the group is read once at Leuven")
        tap.eq(len(read_group), 2, "and Leuven had read those of Namen to the group")
    with tap.part("the originator's journal is emptied before its message arrived"):
        net.kill(LEUVEN)
        sent = net.send(LUIK, f"{LEUVEN}/dispatch", b"held by a standby")
        held = f"the standby {LIMBURG} has it"
        until(lambda: any(r["originator"] == LUIK and r["addressee"] == LEUVEN and r["precedence"] == "routine" and r["head"] > 0
                          and r["incarnation"] == net.status(LUIK)["incarnation"] for r in net.cli(LIMBURG, "streams", "--json").rows), 20, held)
        empty(net, LUIK)
        net.up(LEUVEN)
        got = everything(net, LEUVEN, "dispatch", 1, 20)
        tap.eq(got, {sent: b"held by a standby"}, "the standby gives it to the addressee while the originator is gone")
        net.up(LUIK)
        until(lambda: "read" in events(net, LUIK, sent), 20, "the originator learns of its message again, and that it was read")
        tap.ok(True, "the originator that comes back empty learns of it, and that it was read")
        tap.eq([everything(net, s, "dispatch", 1, 1) for s in (LUIK, LEUVEN)], [{}, {}], "and nothing comes twice")
    tap.done(net)


if __name__ == "__main__":
    main()
