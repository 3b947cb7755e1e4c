#!/usr/bin/env python3
"""A client in another language, from the document alone ("Client requests" in proto/README.md): send, take, ack, status.

    client.py SOCKET send QUEUE [PRECEDENCE]   body on standard input; prints the id
    client.py SOCKET take QUEUE                body on standard output, id on standard error
    client.py SOCKET ack ID...
    client.py SOCKET status
"""

import socket
import struct
import sys

SUBMIT, CHUNK, TAKE, READ, ACK, WAIT, SHOW = 1, 2, 3, 5, 6, 11, 12
ERROR, ACCEPTED, STATE, TAKEN, BODY, ROW, DONE, NEXT = 128, 129, 130, 131, 132, 133, 134, 135
F = dict(to=1, precedence=2, type=3, subject=6, body=11, body_bytes=12, queue=13, count=14, id=16, by=17, state=19, what=20, index=21,
         last=22, code=24, text=25, sender=27, name=32, number=33, flag=34, time=35, list=36)
FIELD = {number: name for name, number in F.items()}
INTEGER = {2: ">B", 12: ">Q", 14: ">I", 19: ">B", 21: ">I", 22: ">B", 31: ">Q", 33: ">q", 34: ">B", 35: ">q"}
PRECEDENCES = ("flash", "immediate", "priority", "routine")
CHUNK_BYTES = 65408
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


class Refused(Exception):
    pass


def id_text(raw):
    """16 bytes as 26 letters and digits: base 32 of the number, most significant first."""
    n = int.from_bytes(raw, "big")
    return "".join(ALPHABET[n >> shift & 31] for shift in range(125, -1, -5))


def id_bytes(text):
    n = 0
    for letter in text.lower():
        n = n << 5 | ALPHABET.index(letter)
    return n.to_bytes(16, "big")


class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.tag = 0

    def ask(self, kind, *fields, tag=None):
        """Sends one request of (field name, value) pairs; values are bytes, text or numbers."""
        if tag is None:
            self.tag += 1
        body = struct.pack(">BBI", 1, kind, tag or self.tag)
        for name, value in fields:
            if isinstance(value, str):
                value = value.encode()
            elif isinstance(value, int):
                value = struct.pack(INTEGER[F[name]], value)
            body += struct.pack(">BI", F[name], len(value)) + value
        self.socket.sendall(struct.pack(">I", len(body)) + body)
        return tag or self.tag

    def _bytes(self, n):
        data = b""
        while len(data) < n:
            more = self.socket.recv(n - len(data))
            if not more:
                raise ConnectionError("the node closed the connection")
            data += more
        return data

    def reply(self, tag):
        """The next reply to a request: its kind and its (field number, value) pairs. An error is raised."""
        while True:
            data = self._bytes(struct.unpack(">I", self._bytes(4))[0])
            version, kind, of = struct.unpack_from(">BBI", data)
            if of == tag:  # others answer what we no longer wait for
                break
        at, fields = 6, []
        while at < len(data):
            number, length = struct.unpack_from(">BI", data, at)
            value = data[at + 5:at + 5 + length]
            fields.append((number, struct.unpack(INTEGER[number], value)[0] if number in INTEGER else value))
            at += 5 + length
        if kind == ERROR:
            said = dict(fields)
            raise Refused(said[F["code"]].decode(), said.get(F["text"], b"").decode())
        return kind, fields

    def send(self, to, body, precedence="routine", **more):
        fields, at = [("to", to), ("precedence", PRECEDENCES.index(precedence)), *more.items()], 0
        tag = self.ask(SUBMIT, *fields, *([("body", body)] if len(body) <= CHUNK_BYTES else [("body_bytes", len(body))]))
        while True:
            kind, said = self.reply(tag)
            if kind == ACCEPTED:
                return id_text(dict(said)[F["id"]])
            for _ in range(dict(said)[F["count"]]):  # NEXT: so many chunks may follow
                if at < len(body):
                    self.ask(CHUNK, ("body", body[at:at + CHUNK_BYTES]), tag=tag)
                    at += CHUNK_BYTES

    def take(self, queue, count=1):
        """Yields messages as dicts, with `body`, or `body_bytes` when it is to be read apart."""
        tag = self.ask(TAKE, ("queue", queue), ("count", count))
        for _ in range(count):
            message = {FIELD.get(number, number): value for number, value in self.reply(tag)[1]}
            yield {**message, "id": id_text(message["id"])}

    def read(self, message_id, size):
        parts = []
        for index in range((size + CHUNK_BYTES - 1) // CHUNK_BYTES):
            tag = self.ask(READ, ("id", id_bytes(message_id)), ("index", index))
            parts.append(dict(self.reply(tag)[1])[F["body"]])
        return b"".join(parts)

    def ack(self, *ids, by="client.py"):
        tag = self.ask(ACK, *[("id", id_bytes(i)) for i in ids], ("by", by))
        return dict(self.reply(tag)[1])[F["count"]]

    def wait(self, message_id, state):
        tag = self.ask(WAIT, ("id", id_bytes(message_id)), ("state", state))
        return dict(self.reply(tag)[1])[F["state"]]

    def show(self, what):
        """Rows as dicts."""
        tag, rows = self.ask(SHOW, ("what", what)), []
        while True:
            kind, said = self.reply(tag)
            if kind == DONE:
                return rows
            names = [value.decode() for number, value in said if number == F["name"]]
            values = [value.decode() if isinstance(value, bytes) else value for number, value in said if number != F["name"]]
            rows.append(dict(zip(names, values)))


def main(path, command, *args):
    client = Client(path)
    if command == "send":
        print(client.send(args[0], sys.stdin.buffer.read(), *args[1:]))
    elif command == "take":
        message = next(client.take(args[0]))
        body = client.read(message["id"], message["body_bytes"]) if "body" not in message else message["body"]
        sys.stdout.buffer.write(body)
        print(message["id"], file=sys.stderr)
    elif command == "ack":
        print(client.ack(*args))
    else:
        for row in client.show(command):
            print(row)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (Refused, OSError) as e:
        sys.exit(f"client.py: {e}")
