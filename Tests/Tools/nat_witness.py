#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Bitcoin nodes of regtest that tell whoever connects where they see it, and nothing else; for tests.

Listens on each address of its arguments, prints host:port for each, and ends with its standard input.

usage: nat_witness.py ADDRESS...
"""
import hashlib
import os
import signal
import socket
import struct
import sys
import threading

MAGIC = bytes.fromhex("fabfb5da")
SECONDS = 10.0


def message(command: bytes, payload: bytes) -> bytes:
    checksum = hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
    return MAGIC + command.ljust(12, b"\0") + struct.pack("<I", len(payload)) + checksum + payload


def version(seen: tuple) -> bytes:
    def address(host: str, port: int) -> bytes:
        return struct.pack("<Q", 0) + b"\0" * 10 + b"\xff\xff" + socket.inet_aton(host) + struct.pack(">H", port)

    agent = b"/witness:0/"
    return message(
        b"version",
        struct.pack("<iQq", 70016, 0, 0) + address(*seen) + address("0.0.0.0", 0) + os.urandom(8)
        + bytes([len(agent)]) + agent + struct.pack("<i?", 0, False))


def serve(connection: socket.socket, remote: tuple) -> None:
    with connection:
        connection.settimeout(SECONDS)
        try:
            # Whatever comes first is the other side's version message.
            if connection.recv(65536):
                connection.sendall(version(remote) + message(b"verack", b""))
            while connection.recv(65536):
                pass
        except OSError:
            pass


def listen(address: str) -> None:
    listener = socket.create_server((address, 0))
    print(f"{address}:{listener.getsockname()[1]}", flush=True)

    def accept() -> None:
        while True:
            connection, remote = listener.accept()
            threading.Thread(target=serve, args=(connection, remote), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


signal.pthread_sigmask(signal.SIG_UNBLOCK, range(1, signal.NSIG))
for argument in sys.argv[1:]:
    listen(argument)
sys.stdin.read()
