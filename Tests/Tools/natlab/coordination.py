# SPDX-License-Identifier: MIT
"""The coordination protocol, written from docs/protocol/hole-punching.md, for peers that misbehave on purpose."""
import os
import socket
import struct
import threading
import time

from bitcoin import MAGIC, frame, network_address, receive
from lab import Site

COMMAND, SERVICE_FLAG, AGENT = "hpunch", 1 << 27, b"/holepunch:1/"
HELLO, PING, PONG, ENDPOINTS, GO, RESULT, RELAY, RELAY_ACCEPTED, REFUSE = range(1, 10)
OPEN, INDEPENDENT, PRESERVING, DEPENDENT = 1, 2, 3, 4
DIRECT, IPV6, MAPPED, PUNCH, RELAYED = range(1, 6)
IPV4_ABILITY, DIRECT_ABILITY, RELAY_ABILITY = 1, 4, 16
TIMED_OUT = 5


def coordination_version(services: int) -> bytes:
    return (struct.pack("<iQq", 70_016, services, 0) + network_address(0, "0.0.0.0", 0) * 2 + os.urandom(8)
            + bytes([len(AGENT)]) + AGENT + struct.pack("<i?", 0, False))


def hello(mapping: int = PRESERVING, abilities: int = IPV4_ABILITY) -> bytes:
    return struct.pack("<BBBH", HELLO, 1, mapping, abilities)


def endpoints(attempt: int, path: int, address: tuple[str, int]) -> bytes:
    return (bytes([ENDPOINTS, attempt]) + os.urandom(32) + bytes([1, path, 1]) + socket.inet_aton(address[0])
            + struct.pack(">H", address[1]))


def go(attempt: int, path: int, moment: int) -> bytes:
    return struct.pack("<BBBQ", GO, attempt, path, moment & (1 << 64) - 1)


class Talk:
    """One coordination connection, with the messages that came so far."""

    def __init__(self, connection: socket.socket, network: str = "regtest") -> None:
        self.connection, self.magic = connection, MAGIC[network]
        self.version: bytes | None = None
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @classmethod
    def to(cls, site: Site, address: tuple[str, int], timeout: float = 15.0, network: str = "regtest") -> "Talk":
        with site.host:
            connection = socket.socket()
        connection.settimeout(timeout)
        try:
            connection.connect(address)
        except BaseException:
            connection.close()
            raise
        return cls(connection, network)

    def send(self, payload: bytes) -> None:
        self.connection.sendall(frame(self.magic, COMMAND, payload))

    def handshake(self, services: int = 0, begins: bool = True) -> None:
        """The version messages of both sides."""
        own = frame(self.magic, "version", coordination_version(services))
        if begins:
            self.connection.sendall(own)
        while True:
            command, payload = receive(self.connection, self.magic)
            if command == "version":
                self.version = payload
                self.connection.sendall((b"" if begins else own) + frame(self.magic, "verack"))
            elif command == "verack" and self.version:
                return

    def next(self, *kinds: int) -> bytes:
        """The next message of one of these kinds; a refusal ends it."""
        while True:
            command, payload = receive(self.connection, self.magic)
            if command != COMMAND or not payload:
                continue
            if payload[0] in kinds:
                return payload
            if payload[0] == PING:
                now = time.monotonic_ns() // 1_000
                self.send(struct.pack("<BQQQ", PONG, struct.unpack("<Q", payload[1:9])[0], now, now))
            elif payload[0] == REFUSE:
                raise ConnectionRefusedError(f"refused with reason {payload[1]}")

    def clock(self) -> int:
        """The other side's session clock now, in microseconds."""
        self.send(struct.pack("<BQ", PING, 7))
        return struct.unpack("<QQQ", self.next(PONG)[1:25])[2]

    def close(self) -> None:
        self.connection.close()


class LyingResponder:
    """An endpoint that names somebody else's address as its own."""

    def __init__(self, site: Site, port: int, victim: tuple[str, int]) -> None:
        self.site, self.port, self.victim, self.calls = site, port, victim, 0
        with site.host:
            self.listener = socket.create_server(("0.0.0.0", port), backlog=64)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.calls += 1
            threading.Thread(target=self._lie, args=(connection,), daemon=True).start()

    def _lie(self, connection: socket.socket) -> None:
        connection.settimeout(40)
        with connection:
            try:
                talk = Talk(connection)
                talk.handshake(SERVICE_FLAG, begins=False)
                talk.next(HELLO)
                talk.send(hello(PRESERVING, IPV4_ABILITY))
                while True:
                    told = talk.next(ENDPOINTS)
                    talk.send(endpoints(told[1], told[35], self.victim))
                    talk.next(GO)
                    talk.next(RESULT)
                    talk.send(bytes([RESULT, told[1], TIMED_OUT]))
            except OSError:
                pass

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
