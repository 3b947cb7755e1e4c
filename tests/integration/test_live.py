#!/usr/bin/env python3
"""Live drills: estafette-sim live on real daemons, each in a network namespace of its own. usage: test_live.py --bin DIR

Two drills of the project; lines that are cut one way and both; a narrow line, kept by the kernel and by the proxy; a daemon that loses its journal without a word, which the oracle must
see; orders, faults and new rosters; and that nothing is left whatever ends the run."""
import glob
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading

import lib

DRILLS = os.path.join(lib.ROOT, "conf", "drills")
HEAD = '''drill = "%s"; start = "2021-07-14T00:00:00Z"; length = "%s"; settle = "90s";
network = { sites = ( %s );
  bearers = ( { name = "fibre"; delay = "5ms"; jitter = "1ms"; } );
  links = ( { from = "all"; to = "all"; bearers = ( "fibre" ); } ); };
desks = ( { sites = "all"; queue = "dispatch"; staff = 2; handling = "100ms"; } );
'''
# Nothing passes from Luik to Namen for ten seconds, then nothing both ways for eight; there is no third site to go around by.
CUTS = HEAD % ("cuts", "26s", '"cic-luik", "cic-namen"') + '''
events = (
  { at = "3s"; do = "cut"; from = "cic-luik"; to = "cic-namen"; for = "10s"; },
  { at = "4s"; do = "send"; from = "cic-luik"; to = "cic-namen/dispatch"; precedence = "flash"; label = "there"; },
  { at = "16s"; do = "link-down"; from = "cic-luik"; to = "cic-namen"; for = "8s"; },
  { at = "17s"; do = "send"; from = "cic-namen"; to = "cic-luik/dispatch"; precedence = "flash"; label = "later"; }
);
expect = (
  { what = "state"; message = "there"; state = "read"; },
  { what = "state"; message = "later"; state = "read"; },
  { what = "read"; at-least = 100; }
);
'''
# Everything that a drill can do to a real daemon.
FAULTS = HEAD % ("faults", "24s", '"spoc-brussel", "cic-luik", "cic-namen", "cic-vlaams-brabant"') + '''
traffic = ( { name = "calls"; from = "all"; per-day = 60000; to = "any/dispatch"; mix = { flash = 1; routine = 3; }; until = "13s"; } );
events = (
  { at = "1s"; do = "backup"; sites = "cic-namen"; },
  { at = "2s"; do = "crash"; sites = "cic-luik"; for = "1s"; },
  { at = "4s"; do = "pause"; sites = "cic-namen"; for = "2s"; },
  { at = "5s"; do = "power-cut"; sites = "spoc-brussel"; for = "2s"; },
  { at = "8s"; do = "link-reset"; from = "cic-luik"; to = "cic-namen"; },
  { at = "9s"; do = "degrade"; from = "cic-luik"; to = "cic-vlaams-brabant"; delay = "200ms"; rate = "256kbit/s"; loss = "2%"; for = "4s"; },
  { at = "10s"; do = "roster"; },
  { at = "11s"; do = "relocate"; site = "cic-luik"; to = ( "cic-namen" ); by = "spoc-brussel"; },
  { at = "15s"; do = "handback"; site = "cic-luik"; by = "spoc-brussel"; },
  { at = "16s"; do = "stop"; sites = "cic-vlaams-brabant"; for = "2s"; },
  { at = "17s"; do = "clock-step"; sites = "cic-luik"; by = "5min"; },
  { at = "20s"; do = "lose-disk"; sites = "cic-namen"; for = "1s"; }
);
expect = ( { what = "served-by"; sites = "cic-luik"; queue = "dispatch"; to = "cic-luik"; } );
'''
LOSES = HEAD % ("loses", "12s", '"cic-luik", "cic-namen"') + '''
traffic = ( { name = "calls"; from = "all"; per-day = 200000; to = "any/dispatch"; until = "6s"; } );
events = ( { at = "8s"; do = "crash"; sites = "cic-luik"; for = "1s"; } );
'''
LONG = HEAD % ("long", "10min", '"cic-luik", "cic-namen", "cic-vlaams-brabant"') + '''
traffic = ( { name = "calls"; from = "all"; per-day = 100000; to = "any/dispatch"; } );
events = ( { at = "1s"; do = "pause"; sites = "cic-namen"; } );
'''
# 60 KiB of routine, which 64 kbit/s take 7.7 s to carry, and a FLASH in the middle of it.
NARROW = HEAD.replace('delay = "5ms"; jitter = "1ms";', 'delay = "50ms"; rate = "64kbit/s";') % ("narrow", "4s", '"cic-luik", "cic-namen"') + '''
events = (
  { at = "1s"; do = "send"; from = "cic-luik"; to = "cic-namen/dispatch"; precedence = "routine"; count = 10; type = "image/jpeg"; size = "6KiB"; },
  { at = "3s"; do = "send"; from = "cic-luik"; to = "cic-namen/dispatch"; precedence = "flash"; label = "next"; }
);
expect = ( { what = "state"; message = "next"; state = "read"; }, { what = "read"; at-least = 100; } );
'''
ONE = HEAD % ("one", "3s", '"cic-luik", "cic-namen"') + '''
events = ( { at = "1s"; do = "send"; from = "cic-luik"; to = "cic-namen/dispatch"; precedence = "flash"; label = "one"; } );
expect = ( { what = "state"; message = "one"; state = "read"; } );
'''
# A daemon that begins again with the journal of its first start, and says nothing of it.
FORGETFUL = '''#!/bin/sh
folder=$(dirname "$2")
case $folder in */cic-luik)
	if [ -d "$folder/first" ]; then rm -rf "$folder/journal"; cp -r "$folder/first" "$folder/journal"; else cp -r "$folder/journal" "$folder/first"; fi;;
esac
exec %s/estafetted "$@"
'''


class Live:
    def __init__(self, folder):
        self.folder = folder
        self.tmp = os.path.join(folder, "t")
        os.mkdir(self.tmp)
        self.bin = lib.BIN

    def file(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def start(self, drill, *options, before=()):
        command = [*before, os.path.join(self.bin, "estafette-sim"), "live", drill, *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": self.tmp})
        lib._children.append(process)
        return process

    def run(self, drill, *options, before=()):
        process = self.start(drill, *options, before=before)
        out, err = process.communicate()
        return process.returncode, out, err

    def json(self, drill, *options, before=()):
        status, out, err = self.run(drill, "--json", *options, before=before)
        try:
            return status, json.loads(out), err
        except ValueError:
            return status, {}, out + err


def processes(folder):
    """Those that have the folder on their command line or are its keeper, but not the runner itself."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as f:
                words = f.read().decode(errors="replace").split("\0")
            with open(os.path.join(os.path.dirname(path), "environ"), "rb") as f:
                ours = f"TMPDIR={folder}".encode() in f.read().split(b"\0")
        except OSError:
            continue
        if ours and words[0]:
            found.append((int(path.split("/")[2]), words[0]))
    return found


def daemons(live):
    return [pid for pid, name in processes(live.tmp) if os.path.basename(name) == "estafetted"]


def namespaces():
    found = set()
    for path in glob.glob("/proc/[0-9]*/ns/net"):
        try:
            found.add(os.readlink(path))
        except OSError:
            pass
    return found


def nothing_left(tap, live, name):
    def gone():
        return not processes(live.tmp) and not os.listdir(live.tmp)
    try:
        lib.until(gone, 30, "everything is gone")
        tap.ok(True, name)
    except Exception as e:  # what is left is the report
        tap.ok(False, name, f"{e}: {processes(live.tmp)} {os.listdir(live.tmp)}")


def mentions(result):
    return json.dumps({k: result.get(k) for k in ("broken", "promises", "expectations", "accepted", "read", "waiting")}, indent=1)


def drills(tap, live):
    """Two drills of the project."""
    results = {name: live.json(os.path.join(DRILLS, f"{name}.conf"), *options) for name, options in (
        ("luik-2021", ("--length", "1h", "--speed", "120")),
        ("satellite-only", ("--length", "155min", "--speed", "372", "--set", "sample=20%", "--set", "settle=24h")))}
    for name, (status, r, err) in sorted(results.items()):
        tap.ok(status == 0 and r.get("ok") and r.get("live") and not r.get("cut_short"), f"{name}: every promise is kept live", err + mentions(r))
        tap.ok(r.get("lost") == 0 and r.get("altered") == 0 and r.get("twice_silent") == 0, f"{name}: nothing is lost, altered, or twice", mentions(r))
    luik, satellite = results["luik-2021"][1], results["satellite-only"][1]
    tap.ok(luik.get("accepted", 0) >= 100 and luik.get("sites") == 15 and luik.get("frames", 0) > 1000, "luik-2021: fifteen daemons and some hundred messages",
           mentions(luik))
    tap.ok(satellite.get("flash_p50_ms", 0) >= 700, "satellite-only: no FLASH is faster than the satellite's 700 ms", satellite.get("flash_p50_ms"))
    nothing_left(tap, live, "both leave no process and no folder")


def cuts(tap, live):
    status, r, err = live.json(live.file("cuts.conf", CUTS), "--speed", "1")
    tap.ok(status == 0 and r.get("ok"), "lines are cut one way and both ways, and all arrives", err + mentions(r))
    # One is sent a second into the cut of ten, one a second into that of eight; half within: the quicker of the two. A busy machine sends them
    # later, by seconds, and they wait the less; where one of the cuts lets them pass it waits for nothing.
    tap.ok(r.get("flash_p50_ms", 0) >= 3000, "what is sent into a cut arrives only after it, one way and both ways",
           f'{r.get("flash_p50_ms")} ms, {r.get("flash_p99_ms")} ms: {mentions(r)}')
    tap.ok(r.get("faults", {}).get("cut") == 1 and r.get("faults", {}).get("link-down") == 1, "the faults are counted", r.get("faults"))


def narrow(tap, live):
    """The kernel's shaper, where there is one, and the proxy's."""
    drill = live.file("narrow.conf", NARROW)
    seen = {}
    for shaper in ("kernel", "proxy"):
        status, r, err = live.json(drill, "--speed", "1", "--shaper", shaper)
        if shaper == "kernel" and status == 1 and not r and "sch_htb" in err:
            tap.ok(err.count("\n") == 1 and "--shaper proxy" in err, "no shaper in this kernel: one line, status 1", err)
            continue
        seen[shaper] = r.get("shaper")
        tap.ok(status == 0 and r.get("ok") and r.get("read") == 11, f"{shaper}: over a narrow line every promise is kept", err + mentions(r))
        # The rest is read when all of it has come; a busy machine only makes that later.
        tap.ok(r.get("virtual_s", 0) >= 8.2, f"{shaper}: 60 KiB take 64 kbit/s their time", r.get("virtual_s"))
        tap.ok(r.get("flash_p50_ms", 0) >= 50, f"{shaper}: nothing is faster than the line", r.get("flash_p50_ms"))
    tap.ok(all(k == v for k, v in seen.items()), "the run says who kept the rates", seen)
    status, r, err = live.json(live.file("one.conf", ONE), "--speed", "1")
    tap.ok(status == 0 and r.get("shaper") == ("kernel" if "kernel" in seen else "proxy"), "without a word the kernel does where it can", err + mentions(r))
    if "kernel" not in seen:
        tap.skip("the kernel's shaper", "this kernel has none")


def faults(tap, live):
    status, r, err = live.json(live.file("faults.conf", FAULTS), "--speed", "1")
    tap.ok(status == 0 and r.get("ok"), "crashes, power cuts, a lost disk, orders and a new roster: every promise is kept", err + mentions(r))
    struck = r.get("faults", {})
    tap.ok(all(struck.get(k) for k in ("crash", "power-cut", "pause", "stop", "link-reset", "degrade", "roster", "lose-disk", "relocate", "handback")),
           "each struck", struck)
    tap.eq(r.get("unsupported"), ["clock-step"], "what real machines cannot be made to do is named")
    tap.ok(r.get("promises", {}).get("orders") == 0 and r.get("coverage", {}).get("served-elsewhere", 0) > 0, "Namen served Luik's queue", r.get("coverage"))


def planted(tap, live):
    """A node that silently forgets is caught, and told as it is."""
    folder = os.path.join(live.folder, "bin")
    os.mkdir(folder)
    for name in ("estafette-sim", "estafette"):
        shutil.copy2(os.path.join(lib.BIN, name), folder)
    daemon = os.path.join(folder, "estafetted")
    with open(daemon, "w", encoding="utf-8") as f:
        f.write(FORGETFUL % lib.BIN)
    os.chmod(daemon, stat.S_IRWXU)
    live.bin = folder
    status, r, err = live.json(live.file("loses.conf", LOSES), "--speed", "1", "--set", "settle=5s")
    live.bin = lib.BIN
    tap.ok(status == 1 and r.get("ok") is False and r.get("promises", {}).get("lost", 0) > 0 and r.get("broken", "").startswith("lost: cic-luik"),
           "a daemon that silently loses its journal is caught", err + mentions(r))
    nothing_left(tap, live, "a failed run leaves nothing either")


def killed(tap, live, how, name):
    before = namespaces()
    runner = live.start(live.file("long.conf", LONG), "--json", "--speed", "1")
    try:
        lib.until(lambda: len(daemons(live)) == 3, 30, "three daemons run")
        lib.until(lambda: any(state(pid) == "T" for pid in daemons(live)), 30, "one of them stands still")
    except Exception as e:  # the run is ended all the same
        tap.ok(False, f"{name}: the daemons are there", e)
    tap.ok(len(namespaces() - before) >= 4, f"{name}: each site has a namespace of its own", namespaces() - before)
    runner.send_signal(how)
    out, err = runner.communicate()
    nothing_left(tap, live, f"{name}: no process and no folder remains")
    tap.ok(not namespaces() - before, f"{name}: no namespace remains", namespaces() - before)
    return runner.returncode, out, err


def state(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
            return f.read().rsplit(")", 1)[1].split()[0]
    except OSError:
        return ""


def ends(tap, live):
    killed(tap, live, signal.SIGKILL, "SIGKILL")
    for how in (signal.SIGTERM, signal.SIGINT):
        status, out, err = killed(tap, live, how, how.name)
        r = json.loads(out) if out.startswith("{") else {}
        tap.ok(status == 1 and r.get("cut_short") is True and r.get("broken") == "", f"{how.name}: what was seen is judged, and said to be cut short", out + err)


def rights(tap, live):
    """Without privileges it makes a user namespace of its own; where not even that is allowed it says so."""
    drill = live.file("rights.conf", ONE)
    as_root = live.json(drill, "--speed", "1")[1].get("shaper")
    plain = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    if shutil.which("unshare") is None or subprocess.run([*plain, "true"], capture_output=True, check=False).returncode:
        tap.skip("without privileges", "this kernel makes no user namespaces")
    else:
        status, r, err = live.json(drill, "--speed", "1", before=plain)
        tap.ok(status == 0 and r.get("ok"), "without privileges it runs in a user namespace", err + mentions(r))
        tap.eq(r.get("shaper"), as_root, "and shapes its lines as with them")
    none = ["unshare", "--user", "--map-root-user", "sh", "-c", 'echo 0 > /proc/sys/user/max_net_namespaces && exec "$@"', "sh"]
    if shutil.which("unshare") is None or subprocess.run([*none, "true"], capture_output=True, check=False).returncode:
        tap.skip("no namespaces", "they cannot be forbidden here")
        return
    status, out, err = live.run(drill, "--speed", "1", before=none)
    tap.ok(status == 1 and not out and err.count("\n") == 1 and "namespaces" in err and "run it as root" in err, "where none are allowed: one line, status 1",
           f"{status}\n{out}{err}")
    nothing_left(tap, live, "and nothing is left of it")


def usage(tap, live):
    drill = live.file("usage.conf", LOSES)
    for options, what in ((["--speed", "0"], "--speed"), (["--seeds", "1..2"], "--seeds"), (["--length", "0s"], "length"), (["--shaper", "netem"], "--shaper"), (["--folder", live.tmp], "folder")):
        status, out, err = live.run(drill, *options)
        tap.ok(status in (1, 2) and not out and err.count("\n") == 1 and what in err, f"bad {what}: one line", f"{status}\n{out}{err}")


def main():
    lib.start(__doc__.split("\n", maxsplit=1)[0])
    tap = lib.Tap()
    if os.geteuid() == 0:
        allowed = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode == 0
    else:
        allowed = subprocess.run(["unshare", "--user", "--net", "true"], capture_output=True, check=False).returncode == 0
    if not allowed:
        tap.skip("live drills", "this kernel lets us make no network namespaces")
        tap.done()
    with tap.part("bad usage"):
        usage(tap, Live(lib.temp_dir("live-")))
    # They wait more than they work, so they go at once; the ends come after them, when all namespaces are theirs.
    at_once(tap, ("drills", drills), ("cuts", cuts), ("narrow", narrow), ("faults", faults), ("a planted loss", planted), ("rights", rights))
    with tap.part("ends"):
        ends(tap, Live(lib.temp_dir("live-")))
    tap.done()


def at_once(tap, *parts):
    """Each in a thread and a folder of its own; a line of TAP is one print."""
    lock = threading.Lock()
    say = tap.ok

    def ok(*arguments):
        with lock:
            return say(*arguments)

    def one(name, function):
        with tap.part(name):
            function(tap, Live(lib.temp_dir("live-")))
    tap.ok = ok
    threads = [threading.Thread(target=one, args=part) for part in parts]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    tap.ok = say


if __name__ == "__main__":
    main()
