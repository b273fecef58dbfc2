# SPDX-License-Identifier: MIT
"""As much of Bitcoin's P2P protocol (version 1 of its transport) as witnesses and attackers need."""
import hashlib
import ipaddress
import os
import socket
import struct
import threading

from lab import Site

MAGIC = {"regtest": bytes.fromhex("fabfb5da"), "main": bytes.fromhex("f9beb4d9")}
PROTOCOL_VERSION = 70_016
NODE_NETWORK, NODE_WITNESS, NODE_HOLEPUNCH = 1, 8, 1 << 27
AGENT = b"/witness:1/"
# How long a connection back to who asked for one may take.
BACK_SECONDS = 1.0
MAXIMUM_PAYLOAD = 1 << 20
# How long a witness keeps a connection that says nothing.
PATIENCE = 20.0


def frame(magic: bytes, command: str, payload: bytes = b"") -> bytes:
    checksum = hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
    return magic + command.encode().ljust(12, b"\0") + struct.pack("<I", len(payload)) + checksum + payload


def receive_exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise ConnectionError("closed by the other side")
        data += piece
    return data


def receive(connection: socket.socket, magic: bytes) -> tuple[str, bytes]:
    header = receive_exactly(connection, 24)
    length = struct.unpack("<I", header[16:20])[0]
    if header[:4] != magic or length > MAXIMUM_PAYLOAD:
        raise ConnectionError("no Bitcoin message")
    return header[4:16].rstrip(b"\0").decode(), receive_exactly(connection, length)


def network_address(services: int, address: str, port: int) -> bytes:
    ip = ipaddress.ip_address(address)
    packed = ip.packed if ip.version == 6 else b"\0" * 10 + b"\xff\xff" + ip.packed
    return struct.pack("<Q", services) + packed + struct.pack(">H", port)


def version(receiver: tuple[str, int], services: int = NODE_NETWORK | NODE_WITNESS,
            nonce: bytes | None = None) -> bytes:
    """The payload of a version message to a peer whose address we see as `receiver`."""
    return (struct.pack("<iQq", PROTOCOL_VERSION, services, 0) + network_address(0, *receiver[:2])
            + network_address(services, "0.0.0.0", 0) + (nonce or os.urandom(8)) + bytes([len(AGENT)]) + AGENT
            + struct.pack("<i?", 0, False))


class BitcoinServer:
    """Listens at a site, and hands each message of whoever connects to `_take`."""

    # How long a connection may say nothing; None: for ever.
    patience: float | None = None

    def __init__(self, site: Site, network: str = "regtest", port: int = 8333) -> None:
        self.site, self.magic, self.port = site, MAGIC[network], port
        with site.host:
            self.listener = socket.create_server(("0.0.0.0", port), backlog=256)
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"{self.site.address}:{self.port}"

    def _serve(self) -> None:
        while True:
            try:
                connection, address = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection, address), daemon=True).start()

    def _talk(self, connection: socket.socket, address: tuple[str, int]) -> None:
        with connection:
            connection.settimeout(self.patience)
            try:
                while True:
                    command, payload = receive(connection, self.magic)
                    if command == "ping":
                        self._say(connection, "pong", payload)
                    else:
                        self._take(connection, address, command, payload)
            except (OSError, UnicodeDecodeError, IndexError, struct.error):
                pass

    def _take(self, connection: socket.socket, address: tuple[str, int], command: str, payload: bytes) -> None:
        raise NotImplementedError

    def _say(self, connection: socket.socket, command: str, payload: bytes = b"") -> None:
        connection.sendall(frame(self.magic, command, payload))

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class BitcoinWitness(BitcoinServer):
    """Answers version handshakes, and says which address it sees, as every Bitcoin node does.

    `seen` changes what it says, for witnesses that lie. `reaches_back`: it also connects to who asks for that, as nodes
    do that answer NAT checks.
    """

    patience = PATIENCE

    def __init__(self, site: Site, network: str = "regtest", port: int = 8333, seen=lambda address: address,
                 reaches_back: bool = False) -> None:
        self._seen, self.reaches_back = seen, reaches_back
        super().__init__(site, network, port)

    def _take(self, connection: socket.socket, address: tuple[str, int], command: str, payload: bytes) -> None:
        if command != "version":
            return
        is_asked = self.reaches_back and struct.unpack_from("<Q", payload, 46)[0] & NODE_HOLEPUNCH
        services = NODE_HOLEPUNCH if is_asked else NODE_NETWORK | NODE_WITNESS
        connection.sendall(frame(self.magic, "version", version(self._seen(address), services))
                           + frame(self.magic, "verack"))
        if is_asked:
            self._reach(address, payload[72:80])

    def _reach(self, address: tuple[str, int], nonce: bytes) -> None:
        """One SYN to who asked, from another port than that of the question."""
        with self.site.host:
            connection = socket.socket()
        with connection:
            connection.settimeout(BACK_SECONDS)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 1)
            try:
                connection.connect(address)
                self._say(connection, "version", version(address, NODE_HOLEPUNCH, nonce))
            except OSError:
                pass


class BitcoinPeer(BitcoinServer):
    """A public node that keeps its connections and writes down the addresses that it is told."""

    def __init__(self, site: Site, network: str = "regtest", port: int = 8333) -> None:
        self.heard: list[tuple[int, int, int, bytes, int]] = []
        self.connections: list[socket.socket] = []
        super().__init__(site, network, port)

    def _take(self, connection: socket.socket, address: tuple[str, int], command: str, payload: bytes) -> None:
        if command == "version":
            for name, answer in [("version", version(address)), ("sendaddrv2", b""), ("verack", b"")]:
                self._say(connection, name, answer)
        elif command == "verack":
            self.connections.append(connection)
        elif command == "getheaders":
            self._say(connection, "headers", b"\0")
        elif command == "addrv2":
            self.heard += read_addrv2(payload)

    def send(self, command: str, payload: bytes = b"") -> None:
        for connection in list(self.connections):
            self._say(connection, command, payload)

    def close(self) -> None:
        super().close()
        for connection in self.connections:
            connection.close()


# MARK: Addresses, BIP 155


def compact_size(number: int) -> bytes:
    if number < 0xFD:
        return bytes([number])
    return b"\xfd" + struct.pack("<H", number) if number <= 0xFFFF else b"\xfe" + struct.pack("<I", number)


def read_compact_size(data: bytes, offset: int) -> tuple[int, int]:
    """The number, and where it ends."""
    first = data[offset]
    if first < 0xFD:
        return first, offset + 1
    width = {0xFD: 2, 0xFE: 4, 0xFF: 8}[first]
    return int.from_bytes(data[offset + 1:offset + 1 + width], "little"), offset + 1 + width


def addrv2(entries: list[tuple[int, int, int, bytes, int]]) -> bytes:
    """Entries of time, services, network, address and port."""
    payload = compact_size(len(entries))
    for seen, services, network, address, port in entries:
        payload += struct.pack("<I", seen) + compact_size(services) + bytes([network]) + compact_size(len(address))
        payload += address + struct.pack(">H", port)
    return payload


def read_addrv2(payload: bytes) -> list[tuple[int, int, int, bytes, int]]:
    count, offset = read_compact_size(payload, 0)
    entries = []
    for _ in range(count):
        seen = struct.unpack_from("<I", payload, offset)[0]
        services, offset = read_compact_size(payload, offset + 4)
        network = payload[offset]
        length, offset = read_compact_size(payload, offset + 1)
        address, port = payload[offset:offset + length], struct.unpack_from(">H", payload, offset + length)[0]
        offset += length + 2
        entries.append((seen, services, network, address, port))
    return entries
