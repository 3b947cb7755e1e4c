#!/usr/bin/env python3
"""The year 2021 as it was counted: every call to the eleven centres, and the operational messages, through fifteen sites with their journals.

Each month is run by the simulator (conf/drills/year-2021.conf, --set month=N), so many at a time as there are cores, in a few parts one after
another, since what fits into a processor's caches takes half the time. Each leaves the journals of its fifteen sites, `estafette report` counts each of them, and all are added up. Then every figure is compared with the
tables in conf/drills/facts, to the last digit; of another sample or fewer months with their exact share. The last line says whether all
are equal, and the status is 0 only then."""

import argparse
import collections
import concurrent.futures
import csv
import datetime
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DRILL = os.path.join(ROOT, "conf/drills/year-2021.conf")
FACTS = os.path.join(ROOT, "conf/drills/facts")
# The table's own sums: what stands in conf/drills/facts has to add up to them.
URGENT, NON_URGENT, CALLS, MESSAGES = 2396409, 318075, 2714484, 247511
PARTS = 6 # of a month, when every message is sent
DAYS = [(datetime.date(2021 + m // 12, m % 12 + 1, 1) - datetime.date(2021, 1, 1)).days for m in range(13)]

Counts = collections.namedtuple("Counts", "urgent non_urgent out")


def table(name):
    with open(os.path.join(FACTS, name), encoding="utf-8") as f:
        return {row["site"]: row for row in csv.DictReader((line for line in f if not line.startswith("#")), delimiter="\t")}


def facts():
    """Of each site the year's figures."""
    calls, messages = table("cic-calls-2021.tsv"), table("messages-2021.tsv")
    out = {site: Counts(int(r["urgent"]), int(r["non-urgent"]), 0) for site, r in calls.items()}
    out.update({site: Counts(0, 0, int(r["messages"])) for site, r in messages.items()})
    sums = [sum(c[i] for c in out.values()) for i in range(3)]
    if len(calls) != 11 or len(out) != 15 or sums != [URGENT, NON_URGENT, MESSAGES] or any(int(r["total"]) != out[s].urgent + out[s].non_urgent for s, r in calls.items()):
        raise SystemExit(f"year: conf/drills/facts does not add up: {sums}")
    return out


def until(figure, ppm, day):
    """What of a year's figure lies before the end of that many days, of a sample, rounded."""
    return (figure * ppm * day * 2 + 365 * 1000000) // (2 * 365 * 1000000)


def expected(months, ppm):
    return {site: Counts(*(sum(until(x, ppm, DAYS[m]) - until(x, ppm, DAYS[m - 1]) for m in months) for x in year)) for site, year in facts().items()}


class Month:
    """One run, and what the journals that it leaves say. The folder is there for it alone and is gone after it."""

    def __init__(self, where, folder, number, ppm, seed):
        self.bin, self.folder, self.number, self.seed = where, os.path.join(folder, f"{number:02}"), number, seed
        self.ppm, self.counts, self.got, self.bytes, self.wrong = ppm, {}, collections.Counter(), 0, []

    def run(self):
        parts = max(1, PARTS * self.ppm // 1000000)
        for part in range(1, parts + 1):
            os.makedirs(self.folder)
            try:
                self.simulate(part, parts)
                for site in sorted(os.listdir(self.folder)):
                    self.report(site)
            finally:
                shutil.rmtree(self.folder, ignore_errors=True)
        return self

    def simulate(self, part, parts):
        command = [os.path.join(self.bin, "estafette-sim"), "run", DRILL, "--seed", str(self.seed), "--set", f"month={self.number}", "--set", f"part={part}/{parts}",
                   "--set", f"sample={self.ppm / 10000:g}%", "--folder", self.folder, "--json"]
        r = subprocess.run(command, capture_output=True, text=True, check=False)
        if not r.stdout:
            raise SystemExit(f"year: month {self.number}: {r.stderr.strip() or r.returncode}")
        verdict = json.loads(r.stdout)
        if verdict["cut_short"]:
            raise SystemExit(f"year: month {self.number} was interrupted")
        if r.returncode or not verdict["ok"] or verdict["accepted"] != verdict["read"]:
            self.wrong.append(f"month {self.number}: {verdict['broken'] or 'not everything was read'} (repeat it: {verdict['repeat']})")
        self.got.update(accepted=verdict["accepted"], events=verdict["events"])
        self.bytes += sum(os.path.getsize(os.path.join(d, f)) for d, _, files in os.walk(self.folder) for f in files)

    def report(self, site):
        """Belgian winter time, as in the drill: what is sent in its last hour is of the month all the same."""
        r = subprocess.run([os.path.join(self.bin, "estafette"), "report", os.path.join(self.folder, site), "--local", "--by", "month,direction,precedence", "--json"],
                           capture_output=True, text=True, check=False, env={**os.environ, "TZ": "CET-1"})
        if r.returncode:
            raise SystemExit(f"year: report of {site}: {r.stderr.strip()}")
        sums = collections.Counter()
        for row in map(json.loads, r.stdout.splitlines()):
            if "messages" not in row:
                continue
            if row["month"] != f"2021-{self.number:02}":
                self.wrong.append(f"month {self.number}: {site} counts {row['messages']} messages in {row['month']}")
            for name in ("messages", "urgent", "non_urgent", "read", "flash", "flash_in_time"):
                sums[row["direction"], name] += row[name]
        part = Counts(sums["own", "urgent"], sums["own", "non_urgent"], sums["out", "messages"])
        self.counts[site] = Counts(*map(sum, zip(part, self.counts.get(site, Counts(0, 0, 0)))))
        self.got.update(out=sums["out", "messages"], into=sums["in", "messages"], flash=sums["own", "flash"] + sums["in", "flash"],
                        in_time=sums["own", "flash_in_time"] + sums["in", "flash_in_time"],
                        unread=sums["own", "messages"] + sums["in", "messages"] - sums["own", "read"] - sums["in", "read"])


def merge(months):
    out = {}
    for m in months:
        for site, c in m.counts.items():
            out[site] = Counts(*map(sum, zip(out.get(site, Counts(0, 0, 0)), c)))
    return out


def compare(got, want):
    """A line for each figure that is not the table's."""
    return [f"{site}: {name} is {getattr(got.get(site, Counts(0, 0, 0)), name)}, and {getattr(c, name)} in the table"
            for site, c in want.items() for name in Counts._fields if getattr(got.get(site, Counts(0, 0, 0)), name) != getattr(c, name)]


def run(where, months, ppm=1000000, jobs=1, seed=1, say=print):
    """Months by their own, the longest first; the list of them, done."""
    folder = tempfile.mkdtemp(prefix="estafette-year-")
    began, done = time.monotonic(), []
    try:
        pool = concurrent.futures.ThreadPoolExecutor(jobs)
        try:
            work = [pool.submit(Month(where, folder, m, ppm, seed).run) for m in sorted(months, key=lambda m: DAYS[m - 1] - DAYS[m])]
            for w in concurrent.futures.as_completed(work):
                m = w.result()
                done.append(m)
                say(f"  month {m.number:2}: {m.got['accepted']:7} messages, journals of {m.bytes / 2**20:5.0f} MiB, {len(done)} of {len(work)} after {time.monotonic() - began:.0f} s")
        finally:
            pool.shutdown(cancel_futures=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return done


def show(got, want, say=print):
    say(f"\n  {'site':<22}{'urgent':>10}{'non-urgent':>12}{'calls':>10}{'messages':>10}   by `estafette report`")
    for site, c in sorted(got.items(), key=lambda x: (x[1].out > 0, x[0])):
        say(f"  {site:<22}{c.urgent:>10}{c.non_urgent:>12}{c.urgent + c.non_urgent:>10}{c.out:>10}   {'equal' if c == want.get(site) else 'DIFFERS'}")
    all_ = Counts(*(sum(c[i] for c in got.values()) for i in range(3)))
    say(f"  {'all':<22}{all_.urgent:>10}{all_.non_urgent:>12}{all_.urgent + all_.non_urgent:>10}{all_.out:>10}")


def ended(_signum, _frame):
    raise SystemExit("year: ended")


def main():
    for s in (signal.SIGINT, signal.SIGTERM):
        signal.signal(s, ended)
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bin", default=os.path.join(ROOT, "build/bin"))
    p.add_argument("--months", default="1-12", help="as 3 or 1-6")
    p.add_argument("--sample", default=1000000, type=int, help="in millionths (1000000: every message)")
    p.add_argument("--jobs", default=len(os.sched_getaffinity(0)), type=int)
    p.add_argument("--seed", default=1, type=int)
    p.add_argument("--json", help="the merged counts go there")
    a = p.parse_args()
    first, _, last = a.months.partition("-")
    months, began = range(int(first), int(last or first) + 1), time.monotonic()
    print(f"year: {len(months)} months, {a.jobs} at a time", flush=True)
    done = run(a.bin, months, a.sample, a.jobs, a.seed, lambda x: print(x, flush=True))
    got, want = merge(done), expected(months, a.sample)
    wrong = [x for m in done for x in m.wrong] + compare(got, want)
    sums = sum((m.got for m in done), collections.Counter())
    if sums["into"] != sums["out"] or sums["unread"]:
        wrong.append(f"{sums['out']} messages left and {sums['into']} came; {sums['unread']} are not read")
    show(got, want)
    if a.json:
        with open(a.json, "w", encoding="utf-8") as f:
            json.dump({site: c._asdict() for site, c in got.items()}, f, indent=1)
    usage = os.times()
    print(f"\n  {sums['events']} events, {sums['in_time']} of {sums['flash']} FLASH read in time, {usage.children_user + usage.children_system:.0f} s of CPU, "
          f"{time.monotonic() - began:.0f} s")
    for line in wrong:
        print(f"year: {line}")
    calls = sum(c.urgent + c.non_urgent for c in got.values())
    print(f"year: {calls} calls and {sums['out']} messages: {'every figure equals the tables' if not wrong else f'{len(wrong)} DIFFER'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
