#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A Bitcoin peer that tells a node of records, and then asks for them: docs/protocol/records-over-bitcoin.md.

usage: record_pusher.py RECORD...

Each RECORD is a file with a sealed record of another peer. Prints the port at which it listens. Then, for the node that
connects, it pushes all records and asks for them by name until each has come back as it was pushed, which it says with
one line. Ends after a minute with status 1, and says which are missing.
"""
import hashlib
import os
import socket
import struct
import sys
import time

MAGIC = bytes.fromhex("fabfb5da")
FEATURE = b"altnet/peer-records/1"
# Who asks more often than once a second is passed over.
PAUSE, PATIENCE = 1.2, 60.0


def frame(command: str, payload: bytes = b"") -> bytes:
    checksum = hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
    return MAGIC + command.encode().ljust(12, b"\0") + struct.pack("<I", len(payload)) + checksum + payload


def exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise SystemExit("the node hung up")
        data += piece
    return data


def receive(connection: socket.socket) -> tuple[str, bytes]:
    header = exactly(connection, 24)
    command = header[4:16].rstrip(b"\0").decode()
    payload = exactly(connection, struct.unpack("<I", header[16:20])[0])
    if command == "ping":
        connection.sendall(frame("pong", payload))
    return command, payload


def expect(connection: socket.socket, wanted: str) -> bytes:
    while True:
        command, payload = receive(connection)
        if command == wanted:
            return payload


def compact_size(number: int) -> bytes:
    return bytes([number]) if number < 0xFD else b"\xfd" + struct.pack("<H", number)


def field(data: bytes) -> bytes:
    return compact_size(len(data)) + data


def fields(payload: bytes) -> list[bytes]:
    """A list of fields, each behind its length."""

    def size(offset: int) -> tuple[int, int]:
        if payload[offset] < 0xFD:
            return payload[offset], offset + 1
        return struct.unpack_from("<H", payload, offset + 1)[0], offset + 3

    count, offset = size(0)
    found = []
    for _ in range(count):
        length, offset = size(offset)
        found.append(payload[offset:offset + length])
        offset += length
    return found


def subject(envelope: bytes) -> bytes:
    """The id of a small key: the identity multihash of the envelope's first field."""
    key = envelope[2:2 + envelope[1]]
    return bytes([0, len(key)]) + key


def main() -> None:
    records = [open(path, "rb").read() for path in sys.argv[1:]]
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    listener.settimeout(PATIENCE)
    connection, _ = listener.accept()
    connection.settimeout(PATIENCE)
    expect(connection, "version")
    connection.sendall(
        frame("version", struct.pack("<iQq", 70_017, 0, int(time.time())) + bytes(52) + os.urandom(8) + b"\0" + bytes(5))
        + frame("feature", field(FEATURE) + field(b"")) + frame("verack"))
    if fields(b"\2" + expect(connection, "feature")) != [FEATURE, b""]:
        raise SystemExit("the node has another feature")
    expect(connection, "verack")
    for record in records:
        connection.sendall(frame("newpeerrec", field(record)))
    question = frame("getpeerrecs", bytes([32]) + compact_size(len(records)) + b"".join(
        field(subject(record)) for record in records))
    deadline, missing = time.monotonic() + PATIENCE, set(records)
    while missing and time.monotonic() < deadline:
        time.sleep(PAUSE)
        connection.sendall(question)
        # All of them in one answer: nobody is told of one and not of the others.
        missing = set(records) - set(fields(expect(connection, "peerrecs")))
    if missing:
        raise SystemExit("missing: " + ", ".join(str(1 + records.index(record)) for record in missing))
    print("all came back", flush=True)


if __name__ == "__main__":
    main()
