# SPDX-License-Identifier: MIT
"""What tools that play one Bitcoin peer on regtest say and hear: version 1 of the transport."""
import hashlib
import os
import socket
import struct
import time

MAGIC = bytes.fromhex("fabfb5da")


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


def expect(connection: socket.socket, *wanted: str) -> bytes:
    """The payload of the next message of one of these kinds."""
    while True:
        command, payload = receive(connection)
        if command in wanted:
            return payload


def version(protocol: int = 70_016) -> bytes:
    """A version message of somebody who has nothing to say of himself."""
    return frame("version", struct.pack("<iQq", protocol, 0, int(time.time())) + bytes(52) + os.urandom(8) + b"\0" + bytes(5))


def compact_size(number: int) -> bytes:
    return bytes([number]) if number < 0xFD else b"\xfd" + struct.pack("<H", number)
