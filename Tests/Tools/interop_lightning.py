#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Lets Lightning software of others speak with altnet-lightning: docs/protocol/bitcoin-over-lightning.md over BOLT 8.

  pyln-client PUBKEY@HOST:PORT          pyln-proto connects to altnet-lightning
  pyln-server --headers H --port-file F pyln-proto accepts altnet-lightning, and serves the raw headers in H
  electrum-client, electrum-server      the same with Electrum's transport; run these with Debian's /usr/bin/python3

A client exchanges init, measures a pong, fetches all headers, checks that they follow each other and have their proof
of work, and goes on until both directions have changed their keys. It prints one JSON object.

A server writes PUBKEY@HOST:PORT to the port file, serves one connection after the other until its standard input ends,
and prints one JSON object for each thing it sees.

The codecs here are written from the document and share nothing with AltNet's. The exit status is 0 on success, 1 with
one sentence on standard error otherwise.
"""
import argparse
import asyncio
import hashlib
import json
import os
import signal
import socket
import struct
import sys
import threading
import time

GENESIS = bytes.fromhex("06226e46111a0b59caaf126043eb5bbf28c34f3a5e332a1fc7b2b73cf188910f")
INIT, PING, PONG, WARNING, ERROR = 16, 18, 19, 1, 17
REQUEST, ANSWER, ANNOUNCEMENT = 44401, 44403, 44405
UNKNOWN_ODD = 44499
FEATURE, SERVED_OBJECTS = 445, 444401
HEADERS, BLOCK, TIPS = 1, 4, 7
UNSUPPORTED = 2
LARGEST_PART = 65535 - 2 - 8 - 4
# BOLT 8 changes a key after 1000 uses, and each message uses it twice.
MESSAGES_PER_KEY = 500


class Failure(Exception):
    """What is wrong, in one sentence."""


class EndOfInput(BaseException):
    """Standard input ended: a server's work is done."""


def require(condition: bool, sentence: str) -> None:
    if not condition:
        raise Failure(sentence)


# MARK: Codecs


def double_sha256(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def shown(block_hash: bytes) -> str:
    return block_hash[::-1].hex()


def split_headers(raw: bytes) -> list[bytes]:
    return [raw[i : i + 80] for i in range(0, len(raw), 80)]


def big_size(value: int) -> bytes:
    if value < 0xFD:
        return bytes([value])
    if value < 0x10000:
        return b"\xfd" + value.to_bytes(2, "big")
    if value < 0x100000000:
        return b"\xfe" + value.to_bytes(4, "big")
    return b"\xff" + value.to_bytes(8, "big")


def read_big_size(data: bytes, at: int) -> tuple[int, int]:
    size = {0xFD: 2, 0xFE: 4, 0xFF: 8}.get(data[at], 0)
    if size == 0:
        return data[at], at + 1
    return int.from_bytes(data[at + 1 : at + 1 + size], "big"), at + 1 + size


def bits(numbers: set[int]) -> bytes:
    """A bit field of the fewest bytes, laid out like BOLT 9's."""
    value = sum(1 << number for number in numbers)
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def numbers(field: bytes) -> list[int]:
    value = int.from_bytes(field, "big")
    return [number for number in range(value.bit_length()) if value >> number & 1]


def encode_init(served: set[int]) -> bytes:
    features = bits({FEATURE})
    kinds = bits(served)
    return (
        struct.pack(">HHH", INIT, 0, len(features)) + features
        + big_size(1) + big_size(32) + GENESIS
        + big_size(SERVED_OBJECTS) + big_size(len(kinds)) + kinds
    )


def decode_init(message: bytes) -> dict:
    kind, global_length = struct.unpack_from(">HH", message)
    require(kind == INIT, f"the first message is of type {kind}, not init")
    at = 4 + global_length
    length, = struct.unpack_from(">H", message, at)
    # BOLT 1: both fields are combined.
    features = int.from_bytes(message[4:at], "big") | int.from_bytes(message[at + 2 : at + 2 + length], "big")
    at += 2 + length
    records = {}
    while at < len(message):
        kind, at = read_big_size(message, at)
        size, at = read_big_size(message, at)
        require(at + size <= len(message), "a record of init is cut off")
        require(not records or kind > max(records), "the records of init are not in order")
        records[kind] = message[at : at + size]
        at += size
    return {
        "features": numbers(features.to_bytes((features.bit_length() + 7) // 8, "big")),
        "networks": [records.get(1, b"")[i : i + 32] for i in range(0, len(records.get(1, b"")), 32)],
        "served": numbers(records[SERVED_OBJECTS]) if SERVED_OBJECTS in records else None,
    }


def compress(headers: list[bytes]) -> bytes:
    output = headers[0] if headers else b""
    for before, header in zip(headers, headers[1:]):
        flags, middle = 0, b""
        version = b""
        if header[:4] != before[:4]:
            flags, version = flags | 1, header[:4]
        old, new = struct.unpack_from("<I", before, 68)[0], struct.unpack_from("<I", header, 68)[0]
        if -32768 <= new - old <= 32767:
            middle = struct.pack(">h", new - old)
        else:
            flags, middle = flags | 2, header[68:72]
        difficulty = b""
        if header[72:76] != before[72:76]:
            flags, difficulty = flags | 4, header[72:76]
        output += bytes([flags]) + version + header[36:68] + middle + difficulty + header[76:]
    return output


def decompress(data: bytes) -> list[bytes]:
    if not data:
        return []
    headers, at = [data[:80]], 80

    def take(count: int) -> bytes:
        nonlocal at
        require(at + count <= len(data), "the last header is cut off")
        at += count
        return data[at - count : at]

    require(len(data) >= 80, "the first header is cut off")
    while at < len(data):
        before = headers[-1]
        flags = take(1)[0]
        require(flags < 8, f"a header with flags {flags}")
        version = take(4) if flags & 1 else before[:4]
        root = take(32)
        if flags & 2:
            moment = take(4)
        else:
            moment = struct.pack("<I", struct.unpack_from("<I", before, 68)[0] + struct.unpack(">h", take(2))[0])
        difficulty = take(4) if flags & 4 else before[72:76]
        headers.append(version + double_sha256(before) + root + moment + difficulty + take(4))
    require(compress(headers) == data, "the headers are not compressed in the one way that is allowed")
    return headers


def check_chain(headers: list[bytes]) -> bytes:
    """That headers build on the genesis and on each other, with the work they claim. Returns the tip's hash."""
    tip = GENESIS
    for height, header in enumerate(headers, start=1):
        require(header[4:36] == tip, f"the header at height {height} does not build on the one before")
        tip = double_sha256(header)
        compact, = struct.unpack_from("<I", header, 72)
        target = (compact & 0x7FFFFF) << 8 * ((compact >> 24) - 3)
        require(int.from_bytes(tip, "little") <= target, f"the header at height {height} lacks its proof of work")
    return tip


class Parts:
    """Puts messages in parts together."""

    def __init__(self) -> None:
        self.bodies: dict[object, bytes] = {}
        self.remaining: dict[object, int] = {}

    def add(self, key: object, remaining: int, part: bytes) -> bytes | None:
        require(len(part) > 0, "a part is empty")
        expected = self.remaining.get(key, len(part) + remaining)
        require(expected == len(part) + remaining, "parts do not add up")
        body = self.bodies.pop(key, b"") + part
        if remaining == 0:
            self.remaining.pop(key, None)
            return body
        self.bodies[key], self.remaining[key] = body, remaining
        return None


# MARK: Transports


class PylnWire:
    name = "pyln"

    def __init__(self, connection) -> None:
        self.connection = connection

    @staticmethod
    def client(key: bytes, node: bytes, host: str, port: int) -> "PylnWire":
        from pyln.proto.wire import LightningConnection, PrivateKey, PublicKey

        connection = LightningConnection(
            WholeSocket(socket.create_connection((host, port))), PublicKey(node), PrivateKey(key), is_initiator=True)
        connection.shake()
        return PylnWire(connection)

    @staticmethod
    def listen(key: bytes):
        from pyln.proto.wire import LightningServerSocket, PrivateKey

        private = PrivateKey(key)
        listener = LightningServerSocket(private)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # Accepted connections inherit it.
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def accept() -> PylnWire:
            connection, _ = listener.accept()
            connection.connection = WholeSocket(connection.connection)
            return PylnWire(connection)

        return private.public_key().serializeCompressed(), listener.getsockname()[1], accept

    @property
    def remote(self) -> str:
        return self.connection.remote_pubkey.serializeCompressed().hex()

    def send(self, message: bytes) -> None:
        self.connection.send_message(message)

    def receive(self) -> bytes:
        return self.connection.read_message()

    def close(self) -> None:
        self.connection.connection.close()


class WholeSocket:
    """A socket that reads and writes whole messages: pyln-proto takes short reads for the end, and ignores short
    writes. It also needs TCP_NODELAY, because it sends a message's length by itself."""

    def __init__(self, inner: socket.socket) -> None:
        self.inner = inner
        inner.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def recv(self, count: int) -> bytes:
        return self.inner.recv(count, socket.MSG_WAITALL)

    def send(self, data: bytes) -> int:
        self.inner.sendall(data)
        return len(data)

    def close(self) -> None:
        self.inner.close()


class ElectrumWire:
    name = "electrum"

    def __init__(self, loop: asyncio.AbstractEventLoop, transport) -> None:
        self.loop = loop
        self.transport = transport
        self.messages = transport.read_messages()

    @staticmethod
    def client(key: bytes, node: bytes, host: str, port: int) -> "ElectrumWire":
        from electrum.lntransport import LNTransport
        from electrum.lnutil import LNPeerAddr

        loop = asyncio.new_event_loop()
        transport = LNTransport(key, LNPeerAddr(host, port, node), proxy=None)
        loop.run_until_complete(transport.handshake())
        return ElectrumWire(loop, transport)

    @staticmethod
    def listen(key: bytes):
        from electrum.ecc import ECPrivkey
        from electrum.lntransport import LNResponderTransport

        loop = asyncio.new_event_loop()
        accepted: asyncio.Queue = asyncio.Queue()
        server = loop.run_until_complete(
            asyncio.start_server(lambda *streams: accepted.put_nowait(streams), "127.0.0.1", 0))

        def accept() -> ElectrumWire:
            transport = LNResponderTransport(key, *loop.run_until_complete(accepted.get()))
            loop.run_until_complete(transport.handshake())
            return ElectrumWire(loop, transport)

        return ECPrivkey(key).get_public_key_bytes(), server.sockets[0].getsockname()[1], accept

    @property
    def remote(self) -> str:
        return self.transport.remote_pubkey().hex()

    def send(self, message: bytes) -> None:
        self.transport.send_bytes(message)
        self.loop.run_until_complete(self.transport.writer.drain())

    def receive(self) -> bytes:
        return self.loop.run_until_complete(self.messages.__anext__())

    def close(self) -> None:
        self.transport.close()


class Peer:
    """The other side, after init: counts messages, answers pings, puts answers and announcements together."""

    def __init__(self, wire, served: set[int]) -> None:
        self.wire = wire
        self.sent = self.received = self.pings = 0
        self.parts = Parts()
        self.tip: bytes | None = None
        self.send(encode_init(served))
        self.init = decode_init(self.receive())

    def send(self, message: bytes) -> None:
        self.wire.send(message)
        self.sent += 1

    def receive(self) -> bytes:
        message = self.wire.receive()
        self.received += 1
        return message

    def send_answer(self, request: int, body: bytes, part_size: int = LARGEST_PART) -> None:
        for start in range(0, len(body), part_size):
            part = body[start : start + part_size]
            self.send(struct.pack(">HQI", ANSWER, request, len(body) - start - len(part)) + part)

    def next(self) -> tuple[int, object]:
        """The next thing that is complete: its type, and an answer's number and body or the message's contents."""
        while True:
            message = self.receive()
            kind, = struct.unpack_from(">H", message)
            if kind == PING:
                wanted, = struct.unpack_from(">H", message, 2)
                self.pings += 1
                if wanted < 65532:
                    self.send(struct.pack(">HH", PONG, wanted) + bytes(wanted))
                return kind, wanted
            if kind == ANSWER:
                request, remaining = struct.unpack_from(">QI", message, 2)
                body = self.parts.add(request, remaining, message[14:])
                if body is not None:
                    return kind, (request, body)
            elif kind == ANNOUNCEMENT:
                remaining, = struct.unpack_from(">I", message, 2)
                body = self.parts.add("announcement", remaining, message[6:])
                if body is not None:
                    if body[0] == TIPS:
                        self.tip = body[5:85]
                    return kind, body
            elif kind in (WARNING, ERROR):
                raise Failure(f"the other side complains: {message[36:].decode(errors='replace')}")
            else:
                return kind, message[2:]


# MARK: The client


class Client:
    # The document allows 256 requests at once, then 16 a second; pings have a bound of their own.
    BURST, PER_SECOND, OPEN, PINGS = 240, 15, 8, 30

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.asked = 0
        self.began = time.monotonic()

    def ask(self, kind: int, body: bytes) -> None:
        pause = self.began + (self.asked - self.BURST) / self.PER_SECOND - time.monotonic()
        if pause > 0:
            time.sleep(pause)  # Not to wait for something, but to keep within the rate that the document allows.
        self.peer.send(struct.pack(">HQB", REQUEST, self.asked, kind) + body)
        self.asked += 1

    def ask_for_headers(self, after: bytes, limit: int) -> None:
        self.ask(HEADERS, struct.pack(">II", 0, limit) + bytes(32) + after)

    def answer(self) -> tuple[int, bytes]:
        while True:
            kind, content = self.peer.next()
            if kind == ANSWER:
                return content

    def headers(self) -> list[bytes]:
        """All that the other side has."""
        headers: list[bytes] = []
        while True:
            self.ask_for_headers(double_sha256(headers[-1]) if headers else GENESIS, 8192)
            request, body = self.answer()
            require(request == self.asked - 1, f"an answer to request {request}, which was not asked")
            require(body[0] == HEADERS, f"headers are refused: {body[:2].hex()}")
            more = decompress(body[1:])
            if not more:
                return headers
            headers += more

    def pong(self, length: int) -> None:
        self.peer.send(struct.pack(">HHH", PING, length, 3) + bytes(3))
        while True:
            kind, content = self.peer.next()
            if kind == PONG:
                require(len(content) == 2 + length, f"a pong of {len(content) - 2} bytes, not {length}")
                return

    def change_keys(self) -> None:
        """Goes on until both directions have changed their keys, the one that we send in twice."""
        for _ in range(2 * MESSAGES_PER_KEY):
            self.peer.send(struct.pack(">H", UNKNOWN_ODD) + b"ignore me!")
        waiting = 0
        while self.peer.received < MESSAGES_PER_KEY + 20 or waiting:
            while waiting < self.OPEN and self.peer.received < MESSAGES_PER_KEY + 20:
                # So many that most answers come in two parts.
                self.ask_for_headers(GENESIS, 1800)
                waiting += 1
            _, body = self.answer()
            require(body[0] == HEADERS, f"headers are refused: {body[:2].hex()}")
            waiting -= 1

    def run(self) -> dict:
        peer = self.peer
        require(peer.init["networks"] == [GENESIS], "the other side's init does not name regtest alone")
        require(FEATURE in peer.init["features"] or FEATURE - 1 in peer.init["features"], "feature 445 is not offered")
        require(HEADERS in (peer.init["served"] or []), "the other side does not serve headers")
        for length in (1, 1000, 60000):
            self.pong(length)
        headers = self.headers()
        tip = check_chain(headers)
        self.ask(BLOCK, GENESIS)
        _, body = self.answer()
        require(body == bytes([0, UNSUPPORTED]), f"a request for a block is answered with {body[:2].hex()}")
        for _ in range(self.PINGS - 3):
            self.pong(0)
        self.change_keys()
        require(self.headers() == headers, "the headers differ after the keys have changed")
        return {
            "transport": peer.wire.name, "node": peer.wire.remote, "features": peer.init["features"],
            "networks": [shown(network) for network in peer.init["networks"]], "served": peer.init["served"],
            "count": len(headers), "tip": shown(tip), "announced": peer.tip and shown(double_sha256(peer.tip)),
            "messagesSent": peer.sent, "messagesReceived": peer.received,
            "keyChangesSent": peer.sent // MESSAGES_PER_KEY, "keyChangesReceived": peer.received // MESSAGES_PER_KEY,
        }


# MARK: The server


class Server:
    def __init__(self, raw: bytes, part_size: int) -> None:
        self.headers = split_headers(raw)
        self.heights = {double_sha256(header): height for height, header in enumerate(self.headers, start=1)}
        self.part_size = part_size

    def serve(self, wire) -> None:
        peer = Peer(wire, served={HEADERS, TIPS})
        self.tell("init", remote=wire.remote, features=peer.init["features"], served=peer.init["served"],
                  networks=[shown(network) for network in peer.init["networks"]])
        if self.headers:
            body = bytes([TIPS]) + len(self.headers).to_bytes(4, "big") + self.headers[-1]
            peer.send(struct.pack(">HI", ANNOUNCEMENT, 0) + body)
        while True:
            kind, content = peer.next()
            if kind == REQUEST:
                self.answer(peer, content)
            elif kind == PING:
                self.tell("ping", wanted=content)
            elif kind == ANNOUNCEMENT:
                self.tell("announcement", kind=content[0], height=int.from_bytes(content[1:5], "big"))
            else:
                self.tell("message", type=kind)

    def answer(self, peer: Peer, content: bytes) -> None:
        request, kind = struct.unpack_from(">QB", content)
        if kind != HEADERS:
            self.tell("request", kind=kind, refused=True)
            return peer.send_answer(request, bytes([0, UNSUPPORTED]))
        hint, limit = struct.unpack_from(">II", content, 9)
        stop, locator = content[17:49], content[49:]
        require(1 <= limit <= 8192, f"a request for {limit} headers")
        require(len(locator) % 32 == 0 and 1 <= len(locator) // 32 <= 101, f"a locator of {len(locator)} bytes")
        hashes = [locator[i : i + 32] for i in range(0, len(locator), 32)]
        start = next((self.heights[found] for found in hashes if found in self.heights), 0)
        end = min(start + limit, self.heights.get(stop, len(self.headers)))
        count = max(0, end - start)
        self.tell("request", kind=kind, hint=hint, limit=limit, locator=len(hashes), after=start, headers=count)
        peer.send_answer(request, bytes([HEADERS]) + compress(self.headers[start:end]), self.part_size)

    @staticmethod
    def tell(event: str, **details) -> None:
        print(json.dumps({"event": event, **details}), flush=True)


# MARK: Ends


def on_deadline(*_) -> None:
    raise Failure("the deadline is over")


def on_end_of_input(*_) -> None:
    raise EndOfInput()


def end_with_input() -> None:
    """Interrupts the main thread, whatever it waits for, when standard input ends."""
    signal.signal(signal.SIGUSR1, on_end_of_input)
    # Whoever started us may have had it blocked, as Swift's threads do, and children inherit that.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1, signal.SIGALRM})

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGUSR1)

    threading.Thread(target=watch, daemon=True).start()


def run_server(wires, arguments) -> None:
    with open(arguments.headers, "rb") as file:
        server = Server(file.read(), arguments.part_size)
    public, port, accept = wires.listen(os.urandom(32))
    # Renamed, so that nobody reads half of it.
    with open(arguments.port_file + ".new", "w") as file:
        file.write(f"{public.hex()}@127.0.0.1:{port}\n")
    os.rename(arguments.port_file + ".new", arguments.port_file)
    end_with_input()
    try:
        while True:
            wire = accept()
            try:
                server.serve(wire)
            except Failure:
                raise
            except Exception as error:
                # Each library ends a connection with an error of its own.
                server.tell("closed", how=f"{type(error).__name__}: {error}")
            wire.close()
    except EndOfInput:
        server.tell("end")


def run_client(wires, arguments) -> None:
    node, _, place = arguments.target.partition("@")
    host, _, port = place.rpartition(":")
    try:
        client = Client(Peer(wires.client(os.urandom(32), bytes.fromhex(node), host, int(port)), served=set()))
        print(json.dumps(client.run()))
    except (Failure, OSError):
        raise
    except Exception as error:
        raise Failure(f"{wires.name}: {type(error).__name__}: {error}") from error


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deadline", type=int, default=30, metavar="SECONDS", help="the most that all may take")
    commands = parser.add_subparsers(dest="command", required=True)
    for wires in (PylnWire, ElectrumWire):
        client = commands.add_parser(f"{wires.name}-client")
        client.add_argument("target", metavar="PUBKEY@HOST:PORT")
        client.set_defaults(run=run_client, wires=wires)
        server = commands.add_parser(f"{wires.name}-server")
        server.add_argument("--headers", required=True, metavar="FILE", help="raw headers from height 1 of regtest on")
        server.add_argument("--port-file", required=True, metavar="FILE")
        server.add_argument("--part-size", type=int, default=LARGEST_PART, metavar="BYTES", help="of an answer")
        server.set_defaults(run=run_server, wires=wires)
    arguments = parser.parse_args()
    signal.signal(signal.SIGALRM, on_deadline)
    signal.alarm(arguments.deadline)
    try:
        arguments.run(arguments.wires, arguments)
        return 0
    except (Failure, OSError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
