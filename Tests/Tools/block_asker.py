#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A Bitcoin peer that asks a node for blocks, all at once.

usage: block_asker.py HOST:PORT HASH...

Prints, in the order in which answers come, a line for each: `block HASH` or `notfound HASH`.
"""
import hashlib
import socket
import struct
import sys

from bitcoin_wire import compact_size, expect, frame, receive, version

WITNESS_BLOCK = 0x4000_0002
PATIENCE = 60.0


def main() -> None:
    host, port = sys.argv[1].rsplit(":", 1)
    hashes = [bytes.fromhex(text)[::-1] for text in sys.argv[2:]]
    connection = socket.create_connection((host, int(port)), PATIENCE)
    connection.settimeout(PATIENCE)
    connection.sendall(version())
    expect(connection, "version")
    connection.sendall(frame("verack"))
    expect(connection, "verack")
    connection.sendall(frame("getdata", compact_size(len(hashes)) + b"".join(
        struct.pack("<I", WITNESS_BLOCK) + each for each in hashes)))
    left = set(hashes)
    while left:
        command, payload = receive(connection)
        if command == "block":
            answered = [hashlib.sha256(hashlib.sha256(payload[:80]).digest()).digest()]
        elif command == "notfound":
            answered = [payload[start + 4:start + 36] for start in range(1, len(payload) - 35, 36)]
        else:
            continue
        for each in answered:
            print(command, each[::-1].hex(), flush=True)
            left.discard(each)


if __name__ == "__main__":
    main()
