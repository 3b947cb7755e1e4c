#!/usr/bin/env python3
"""The same drill and seed give the same run: a second time, on disk, under the sanitizers, and at -O0.

The trace hash covers every event and effect of every site; the rest of --json must be the same too. The simulator is built
at -O0 in a temporary folder, and with sanitizers where the runner builds it. usage: test_determinism.py [--bin DIR]
"""
import json
import os
import subprocess
import tempfile

import lib
from lib import ROOT, Tap

SWARM = "tests/sweep/swarm.conf"
# Seeds that lose and restore journals, flip bits, fill disks; each suite; traffic of the fifteen sites.
RUNS = (
    (SWARM, "--seed", "1"),
    (SWARM, "--seed", "5"),
    (SWARM, "--seed", "7", "--set", "suite=real", "--set", "length=1h"),
    ("conf/drills/sweep.conf", "--seed", "4", "--set", "length=6h"),
    ("conf/drills/flapping.conf", "--set", "length=20min"),
)


def built(*arguments):
    """The simulator, made with these arguments of make, which is not part of a make that may have started us."""
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    done = subprocess.run(["make", "--no-print-directory", "-j2", *arguments], cwd=ROOT, env=env, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout[-2000:] + done.stderr[-4000:]


def result(program, run, *more):
    done = subprocess.run([program, "run", *run, *more, "--json"], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        return {"status": done.returncode, "said": done.stdout[-1000:] + done.stderr[-3000:]}
    # How long it took, and the command that repeats it, which names the store.
    del found["wall_s"], found["repeat"]
    return dict(found, status=done.returncode)


def different(first, second):
    return "\n".join(f"{k}: {first.get(k)} | {second.get(k)}" for k in sorted({*first, *second}) if first.get(k) != second.get(k))


def main():
    lib.start(__doc__.splitlines()[0])
    tap, program = Tap(), os.path.join(lib.BIN, "estafette-sim")
    with tempfile.TemporaryDirectory() as folder:
        slow, checked = os.path.join(folder, "build", "bin", "estafette-sim"), os.path.join(ROOT, "build", "san", "bin", "estafette-sim")
        why = built(f"BUILD={folder}/build", "OPT=-O0", "CFLAGS=", slow)
        tap.ok(not why, "the simulator builds at -O0", why)
        why = built("SAN=1", "build/san/bin/estafette-sim")
        tap.ok(not why, "the simulator builds with sanitizers", why)
        for run in RUNS:
            first, name = result(program, run), " ".join(run)
            tap.ok(first.get("ok") and first["status"] == 0, f"{name}: keeps every promise", json.dumps(first))
            for how, other in (("a second time", (program, run)), ("with journals on disk", (program, run, "--set", "store=lmdb")),
                               ("at -O0", (slow, run)), ("under the sanitizers", (checked, run))):
                why = different(first, result(*other))
                tap.ok("trace" in first and not why, f"{name}: the same {how}", why)
    tap.done()


if __name__ == "__main__":
    main()
