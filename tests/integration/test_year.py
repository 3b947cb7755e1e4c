#!/usr/bin/env python3
"""The year 2021 in short: one month, one message in a hundred, through the simulator, its journals, `estafette report` and the tables; `make year`
runs it whole."""

import os
import sys

import lib
from lib import Tap

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import year  # noqa: E402


def shares(tap):
    """Months and samples are parts of the tables to the last digit."""
    whole = year.facts()
    tap.eq(year.expected(range(1, 13), 1000000), whole, "the months together are the year")
    halves = zip(year.expected(range(1, 7), 1000000).values(), year.expected(range(7, 13), 1000000).values())
    tap.eq([year.Counts(*map(sum, zip(a, b))) for a, b in halves], list(whole.values()), "and so are its halves")
    tap.eq(whole["cic-west-vlaanderen"], year.Counts(191485, 12190, 0), "West-Vlaanderen has its mended figure")
    hundredth = year.expected(range(1, 13), 10000)
    tap.ok(all(abs(100 * x - y) <= 50 for s in whole for x, y in zip(hundredth[s], whole[s])), "a hundredth is each figure's", hundredth)


def february(tap):
    done = year.run(lib.BIN, [2], 10000, say=lambda line: None)
    got, want = year.merge(done), year.expected([2], 10000)
    tap.eq(done[0].wrong, [], "the month ran, every promise was kept, everything was read")
    tap.eq(year.compare(got, want), [], "every figure of the journals equals its share of the tables")
    tap.eq((len(got), done[0].got["accepted"]), (15, sum(map(sum, want.values()))), "fifteen sites, and nothing beside it")
    tap.eq(done[0].got["into"], done[0].got["out"], "what left has come")
    got["cic-luik"] = got["cic-luik"]._replace(urgent=got["cic-luik"].urgent - 1)
    tap.ok(year.compare(got, want) == [f"cic-luik: urgent is {got['cic-luik'].urgent}, and {want['cic-luik'].urgent} in the table"], "one that is missing is told")


def main():
    lib.start(__doc__)
    tap = Tap()
    shares(tap)
    february(tap)
    return tap.done()


if __name__ == "__main__":
    raise SystemExit(main())
