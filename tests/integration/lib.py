"""What the integration tests share: TAP, the command, daemons started and ended by their id, temporary folders.

A test is a program `test_x.py [--bin DIR]`: it makes a Net (a practice network in a temporary folder), calls
`net.cli(site, ...)`, judges with a Tap, and ends with `tap.done(net)`. Nothing is left behind, also after Ctrl-C, a
failure or a time limit: daemons are children of the test, die with it, and the folder is removed."""

import argparse
import atexit
import base64
import contextlib
import ctypes
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CORPUS = os.path.join(ROOT, "tests", "corpus")
PRECEDENCES = ("flash", "immediate", "priority", "routine")
# Under sanitizers everything takes several times as long.
SLOW = 1
# How much longer than it should take is waited before something counts as hanging: what a test waits for costs nothing when it
# comes in time, and a machine may lose half of its processors to others for minutes.
PATIENCE = 4
BIN = os.path.join(ROOT, "build", "bin")
_folders, _children = [], []
_children_lock = threading.Lock()


def _cleanup():
    with _children_lock:
        running = [p for p in _children if p.poll() is None]
        for p in running:
            p.kill()
        for p in running:
            p.wait()
    for folder in _folders:
        shutil.rmtree(folder, ignore_errors=True)


def _leave(signum, _frame):
    sys.exit(128 + signum)


def start(description, *arguments):
    """Reads the command line (--bin DIR and the given (name, default, help)), and arranges the cleaning up."""
    global BIN, SLOW
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--bin", default=BIN, help="folder of estafette and estafetted")
    for name, default, text in arguments:
        parser.add_argument(name, default=default, type=type(default), help=text)
    args = parser.parse_args()
    BIN = os.path.abspath(args.bin)
    SLOW = 4 if "/san/" in BIN + "/" else 1
    for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(s, _leave)
    atexit.register(_cleanup)
    sys.stdout.reconfigure(line_buffering=True)
    for name in ("estafette", "estafetted"):
        if not os.access(os.path.join(BIN, name), os.X_OK):
            sys.exit(f"{BIN}/{name} is missing: run make first")
    return args


def sanitized():
    return SLOW > 1


def temp_dir(prefix="estafette-"):
    folder = tempfile.mkdtemp(prefix=prefix)
    _folders.append(folder)
    return folder


class Tap:
    """Counts and prints. A test goes on after a failure; an exception is a failure too."""

    def __init__(self):
        self.n = self.bad = 0

    def ok(self, good, name, detail=""):
        self.n += 1
        self.bad += not good
        print(f"{'ok' if good else 'not ok'} {self.n} - {name}")
        if not good and detail:
            for line in str(detail).splitlines()[:40]:
                print(f"#   {line}")
        return bool(good)

    def eq(self, got, expected, name):
        return self.ok(got == expected, name, f"got      {got!r}\nexpected {expected!r}")

    def skip(self, name, why):
        self.n += 1
        print(f"ok {self.n} - {name} # SKIP {why}")

    @contextlib.contextmanager
    def part(self, name):
        """A part whose unforeseen exceptions fail it, and not the parts after it."""
        try:
            yield
        except Exception as e:  # the report is the point
            import traceback
            self.ok(False, name, "".join(traceback.format_exception(e)))

    def done(self, *nets):
        for net in nets:
            net.close(self)
        print(f"1..{self.n}")
        sys.exit(1 if self.bad else 0)


def longest(seconds):
    """How long is waited for something that should take at most so many seconds (times four under sanitizers)."""
    return seconds * SLOW * PATIENCE


def soon(took, seconds):
    """Whether something that should take at most so many seconds did, as far as a machine that others use can tell."""
    return took < longest(seconds)


def until(condition, seconds, what, pause=0.02):
    """Waits for a condition that should hold within so many seconds; returns what it gave."""
    end = time.monotonic() + longest(seconds)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"not within {longest(seconds)} s: {what}")
        time.sleep(pause)


class Result:
    def __init__(self, args, code, out, err):
        self.args, self.code, self.out_bytes, self.err = args, code, out, err.decode("utf-8", "replace")

    @property
    def out(self):
        return self.out_bytes.decode("utf-8", "replace")

    @property
    def rows(self):
        return [json.loads(line) for line in self.out.splitlines() if line.startswith("{")]

    @property
    def row(self):
        return self.rows[0]

    @property
    def error(self):
        """The error object of a --json call, or {}."""
        for line in (self.err + "\n" + self.out).splitlines():
            if line.startswith("{") and '"code"' in line:
                return json.loads(line)
        return {}

    def __str__(self):
        return f"$ estafette {' '.join(self.args)}\nexit {self.code}\n{self.out[:2000]}{self.err[:2000]}"


def estafette(*args, stdin=None, timeout=60, check=False, env=None):
    """Runs the command; stdin is bytes. check: a failure raises."""
    args = [str(a) for a in args]
    # The command's own name in messages is a name, not a path.
    done = subprocess.run([os.path.join(BIN, "estafette"), *args], input=b"" if stdin is None else stdin,
                          capture_output=True, timeout=longest(timeout), env=env)
    result = Result(args, done.returncode, done.stdout, done.stderr)
    if "AddressSanitizer" in result.err or "runtime error:" in result.err or done.returncode < 0:
        raise RuntimeError(f"the command broke: {result}")
    if check and done.returncode != 0:
        raise RuntimeError(str(result))
    return result


def _die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Daemon:
    """One estafetted as a child of the test."""

    def __init__(self, conf, log, wrap=(), env=None):
        self.conf, self.log = conf, log
        with open(log, "ab") as out:
            self.process = subprocess.Popen([*wrap, os.path.join(BIN, "estafetted"), "-c", conf], stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=out, preexec_fn=_die_with_parent, env=env)
        with _children_lock:
            _children.append(self.process)

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process.poll() is None

    def kill(self):
        self.process.kill()
        self.process.wait()

    def term(self, seconds=20):
        self.process.terminate()
        return self.process.wait(longest(seconds))


class Net:
    """A practice network. Its daemons are started one by one, as children of the test."""

    def __init__(self, *sites, up=True, folder=None, bearers=1):
        self.sites = list(sites)
        self.top = folder or temp_dir()
        self.dir = os.path.join(self.top, "net")
        self.daemons, self.failures = {}, []
        estafette("network", "init", self.dir, "--sites", ",".join(sites), "--bearers", bearers, check=True)
        if up:
            self.up()

    def conf(self, site):
        return os.path.join(self.dir, site, "node.conf")

    def log(self, site):
        return os.path.join(self.top, f"{site}.log")

    def launch(self, site, **options):
        """Starts a daemon without waiting for it."""
        self.daemons[site] = Daemon(self.conf(site), self.log(site), **options)
        return self.daemons[site]

    def answers(self, site):
        if not self.daemons[site].alive():
            raise RuntimeError(f"estafetted of {site} ended with {self.daemons[site].process.returncode}:\n{self.tail(site)}")
        return estafette("-c", self.conf(site), "status", "--json").code == 0

    def up(self, *sites):
        for site in sites or self.sites:
            self.launch(site)
        for site in sites or self.sites:
            until(lambda: self.answers(site), 15, f"{site} answers")

    def kill(self, site):
        self.daemons.pop(site).kill()

    def down(self, site):
        """Ends a daemon in good order; anything but status 0 is remembered as a failure."""
        code = self.daemons.pop(site).term()
        if code != 0:
            self.failures.append(f"estafetted of {site} ended with {code}:\n{self.tail(site)}")
        return code

    def cli(self, site, *args, **options):
        return estafette("-c", self.conf(site), *args, **options)

    def tail(self, site, lines=30):
        try:
            with open(self.log(site), errors="replace") as f:
                return "".join(f.readlines()[-lines:])
        except OSError:
            return ""

    def status(self, site):
        return self.cli(site, "status", "--json", check=True).row

    def linked(self, *sites, seconds=20):
        """Waits until the daemons see each other."""
        for site in sites or self.sites:
            until(lambda: self.status(site)["links_up"] >= len(self.daemons) - 1, seconds, f"links of {site} are up", 0.05)

    # The roster, and whoever signs it.
    def authority_key(self):
        return os.path.join(self.dir, "authority.key")

    def authority_pub(self):
        return os.path.join(self.dir, "authority.pub")

    def put_roster(self, text, signature):
        for name, content in (("roster.conf", text), ("roster.conf.minisig", signature)):
            with open(os.path.join(self.dir, name + ".new"), "wb") as f:
                f.write(content)
            os.rename(os.path.join(self.dir, name + ".new"), os.path.join(self.dir, name))

    def sign(self, text):
        """A new roster, signed, in place of the old one."""
        fresh = os.path.join(self.top, "fresh-roster.conf")
        with open(fresh, "wb") as f:
            f.write(text)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh + ".minisig")
        estafette("roster", "sign", fresh, "--key", self.authority_key(), check=True)
        self.put_roster(text, read(fresh + ".minisig"))

    def hup(self, site):
        os.kill(self.daemons[site].pid, signal.SIGHUP)

    # A desk's day, shortly.
    def send(self, site, to, body, *options, **more):
        """Sends bytes; the id."""
        result = self.cli(site, "send", "--to", to, *options, "--json", "-", stdin=body, check=True, **more)
        return result.row["id"]

    def take(self, site, queue, *options, count=1, seconds=10, check=True):
        """Takes messages with their bodies: rows with `body` as bytes. Without check it may be nothing that is waited for."""
        wait = longest(seconds) if check else seconds * SLOW
        result = self.cli(site, "take", queue, "--count", count, "--timeout", f"{int(wait * 1000)}ms", "--json", *options,
                          timeout=wait + 30, check=check)
        rows = result.rows
        for row in rows:
            if "body" in row:
                row["body"] = base64.b64decode(row["body"])
        return rows

    def close(self, tap=None):
        for site in list(self.daemons):
            try:
                self.down(site)
            except subprocess.TimeoutExpired:
                self.failures.append(f"estafetted of {site} did not end on SIGTERM:\n{self.tail(site)}")
        for site in self.sites:
            found = self.sanitizer(site)
            if found:
                self.failures.append(f"sanitizer at {site}:\n{found}")
        if tap:
            tap.ok(not self.failures, "every daemon ended in good order, and no sanitizer spoke", "\n".join(self.failures))

    def sanitizer(self, site):
        try:
            text = open(self.log(site), errors="replace").read()
        except OSError:
            return ""
        m = re.search(r"(==\d+==ERROR|runtime error:|LeakSanitizer|Assertion .* failed).*", text, re.S)
        return text[max(0, m.start() - 200):][:6000] if m else ""


def other_conf(net, site, setting, path):
    """The site's node.conf with one of its paths changed, as a file of its own."""
    text = open(net.conf(site)).read()
    changed, n = re.subn(rf'(?m)^{setting} = "[^"]*"', f'{setting} = "{path}"', text)
    assert n == 1, text
    conf = os.path.join(temp_dir(), "node.conf")
    with open(conf, "w") as f:
        f.write(changed)
    return conf


def daemons_of(folder):
    """Ids of the daemons whose configuration lies in the folder."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = read(f"/proc/{pid}/cmdline").split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"estafetted") and any(w.startswith(os.fsencode(folder) + b"/") for w in words[1:]):
            found.append(int(pid))
    return found


def corpus_files():
    """Paths of the corpus, in the order of the manifest, the malformed ones too."""
    with open(os.path.join(CORPUS, "MANIFEST.tsv")) as f:
        next(f)
        return [os.path.join(CORPUS, line.split("\t")[0]) for line in f]


def media_types():
    """Media type and first language of each corpus file."""
    with open(os.path.join(CORPUS, "MANIFEST.tsv")) as f:
        next(f)
        cut = (line.rstrip("\n").split("\t") for line in f)
        return {os.path.join(CORPUS, c[0]): (c[5], c[6].split(",")[0]) for c in cut}


def read(path):
    with open(path, "rb") as f:
        return f.read()


def body_of(size, seed):
    """Bytes that do not compress, the same for the same seed."""
    return random.Random(seed).randbytes(size)
