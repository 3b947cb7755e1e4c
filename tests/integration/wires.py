"""Lines between the daemons of a test that can be cut: each site is reached through a port of this process, which hands the bytes on.

A connection is of the site that listens and of the process that dialled, as the kernel's table of sockets says. A site that is
cut off lives and serves its desks; whatever it sends or dials ends here, until the line is mended. A bearer that is mute takes
connections and bytes, and passes nothing on: as a line that is dead while both ends believe in it."""

import contextlib
import os
import re
import selectors
import socket
import threading

import lib


def _port_of(pid, port):
    """Does that process hold the socket with this local port?"""
    inodes = set()
    with contextlib.suppress(OSError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                inodes.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
        for line in lib.read(f"/proc/{pid}/net/tcp").decode().splitlines()[1:]:
            words = line.split()
            if int(words[1].split(":")[1], 16) == port and f"socket:[{words[9]}]" in inodes:
                return True
    return False


class Line:
    """One connection: two sockets, and what waits for each."""

    def __init__(self, site, bearer, near, far):
        self.site, self.bearer, self.dialler = site, bearer, None
        self.near, self.far = near, far
        self.waiting = {near: bytearray(), far: bytearray()}

    def other(self, s):
        return self.far if s is self.near else self.near


class Wires:
    """Puts itself between the sites of a Net that is not up yet."""

    MOST = 1 << 20  # bytes that wait in one direction; then it is read no further

    def __init__(self, net):
        self.net, self.cut_off, self.muted = net, set(), set()
        self.pick, self.lock, self.ended = selectors.DefaultSelector(), threading.Lock(), False
        self.lines, self.ports = set(), {}
        self.moved = 0  # bytes of all lines, both ways
        roster = lib.read(os.path.join(net.dir, "roster.conf")).decode()
        for site in net.sites:
            at = roster.index(f'id = "{site}"')
            end = roster.find('id = "', roster.index("queues", at))
            real = re.findall(r"tcp://127\.0\.0\.1:(\d+)", roster[at:end])
            for bearer, port in enumerate(real):
                new = self._listen(site, bearer, int(port))
                roster = roster[:at] + roster[at:].replace(f"tcp://127.0.0.1:{port}\"", f"tcp://127.0.0.1:{new}\"", 1)
            with open(net.conf(site), "a") as f:
                f.write("bind = ( " + ", ".join(f'"tcp://127.0.0.1:{port}"' for port in real) + " );\n")
        net.sign(roster.encode())
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _listen(self, site, bearer, real):
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        self.ports[listener] = (site, bearer, real)
        self.pick.register(listener, selectors.EVENT_READ)
        return listener.getsockname()[1]

    def _owner(self, port):
        for site, daemon in list(self.net.daemons.items()):
            if _port_of(daemon.pid, port):
                return site
        return None

    def _accept(self, listener):
        site, bearer, real = self.ports[listener]
        near, address = listener.accept()
        dialler = self._owner(address[1])
        far = socket.socket()
        try:
            if dialler is None or {site, dialler} & self.cut_off:
                raise OSError("cut")
            far.connect(("127.0.0.1", real))
        except OSError:
            near.close()
            far.close()
            return
        line = Line(site, bearer, near, far)
        line.dialler = dialler
        for s in (near, far):
            s.setblocking(False)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if bearer not in self.muted:
                self.pick.register(s, selectors.EVENT_READ, line)
        self.lines.add(line)

    def _end(self, line):
        self.lines.discard(line)
        for s in (line.near, line.far):
            with contextlib.suppress(KeyError, ValueError):
                self.pick.unregister(s)
            s.close()

    def _interest(self, line):
        for s in (line.near, line.far):
            read = selectors.EVENT_READ if len(line.waiting[line.other(s)]) < self.MOST else 0
            write = selectors.EVENT_WRITE if line.waiting[s] else 0
            # Both full: each waits for what the other direction does not hinder.
            self.pick.modify(s, read | write or selectors.EVENT_WRITE, line)

    def _move(self, line, s, mask):
        out = line.waiting[line.other(s)]
        if mask & selectors.EVENT_READ:
            data = s.recv(1 << 16)
            if not data:
                raise OSError("closed")
            out += data
            self.moved += len(data)
        for to in (line.near, line.far):
            if line.waiting[to]:
                with contextlib.suppress(BlockingIOError):
                    n = to.send(line.waiting[to])
                    del line.waiting[to][:n]
                    self.handed_on(line.site if to is line.far else line.dialler, n)
        self._interest(line)

    def handed_on(self, site, n):
        """So many bytes left for that site."""

    def cut_is_due(self):
        """Asked after each move: True ends every line now."""
        return False

    def _run(self):
        while not self.ended:
            for key, mask in self.pick.select(0.1):
                with self.lock:
                    if key.fileobj in self.ports:
                        with contextlib.suppress(BlockingIOError):
                            self._accept(key.fileobj)
                    elif key.data in self.lines:
                        try:
                            self._move(key.data, key.fileobj, mask)
                        except BlockingIOError:
                            pass
                        except OSError:
                            self._end(key.data)
                        if self.cut_is_due():
                            for line in list(self.lines):
                                self._end(line)

    def cut(self, site):
        with self.lock:
            self.cut_off.add(site)
            for line in [x for x in self.lines if site in (x.site, x.dialler)]:
                self._end(line)

    def mute(self, bearer):
        """The bearer of all sites, by its number in the roster; what is on its way stays where it is."""
        with self.lock:
            self.muted.add(bearer)
            for line in [x for x in self.lines if x.bearer == bearer]:
                for s in (line.near, line.far):
                    self.pick.unregister(s)

    def speak(self, bearer):
        with self.lock:
            self.muted.discard(bearer)
            for line in [x for x in self.lines if x.bearer == bearer]:
                for s in (line.near, line.far):
                    self.pick.register(s, selectors.EVENT_READ, line)
                self._interest(line)

    def move(self, site, bearer):
        """Another port for it, which is returned; at the old one nobody listens any more, and what lay there ends."""
        with self.lock:
            listener, real = next((k, v[2]) for k, v in self.ports.items() if v[:2] == (site, bearer))
            self.pick.unregister(listener)
            listener.close()
            del self.ports[listener]
            for line in [x for x in self.lines if (x.site, x.bearer) == (site, bearer)]:
                self._end(line)
            return self._listen(site, bearer, real)

    def mend(self, site):
        with self.lock:
            self.cut_off.discard(site)

    def close(self):
        self.ended = True
        self.thread.join()
        for line in list(self.lines):
            self._end(line)
        for listener in self.ports:
            listener.close()
