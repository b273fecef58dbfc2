#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A Bitcoin peer that tells a node of records, and then asks for them: docs/protocol/records-over-bitcoin.md.

usage: record_pusher.py RECORD...

Each RECORD is a file with a sealed record of another peer. Prints the port at which it listens. Then, for the node that
connects, it pushes all records and asks for them by name until each has come back as it was pushed, which it says with
one line. Ends after a minute with status 1, and says which are missing.
"""
import socket
import struct
import sys
import time

from bitcoin_wire import compact_size, expect, frame, version

FEATURE = b"altnet/peer-records/1"
# Who asks more often than once a second is passed over.
PAUSE, PATIENCE = 1.2, 60.0


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
    connection.sendall(version(70_017) + frame("feature", field(FEATURE) + field(b"")) + frame("verack"))
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
