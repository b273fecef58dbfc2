# SPDX-License-Identifier: MIT
"""A Bitcoin peer that shows an honest node's headers and spoils its blocks, for tests of altnetd on regtest."""
import hashlib
import random
import socket
import struct
import threading
import time

MAGIC = bytes.fromhex("fabfb5da")


def double_sha256(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def compact_size(number: int) -> bytes:
    return bytes([number]) if number < 253 else b"\xfd" + struct.pack("<H", number)


class SpoilingPeer:
    """`way` says how blocks are spoiled: missing, garbage, witness, silent; any other word leaves them whole."""

    def __init__(self, node, way: str) -> None:
        self.node, self.way, self.asked = node, way, 0
        self.headers: list[tuple[str, bytes]] = []
        self.lock = threading.Lock()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self) -> None:
        self.socket.close()

    def chain(self) -> list[tuple[str, bytes]]:
        with self.lock:
            for height in range(len(self.headers), self.node.call("getblockcount") + 1):
                block = self.node.call("getblockhash", height)
                self.headers.append((block, bytes.fromhex(self.node.call("getblockheader", block, False))))
            return list(self.headers)

    def accept(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        sending = threading.Lock()

        def send(command: str, payload: bytes = b"") -> None:
            head = MAGIC + command.encode().ljust(12, b"\0") + struct.pack("<I", len(payload))
            with sending:
                connection.sendall(head + double_sha256(payload)[:4] + payload)

        def receive(count: int) -> bytes:
            data = b""
            while len(data) < count:
                piece = connection.recv(count - len(data))
                if not piece:
                    raise EOFError
                data += piece
            return data

        def announce() -> None:
            known = len(self.chain())
            while True:
                time.sleep(0.2)
                chain = self.chain()
                if len(chain) > known:
                    known = len(chain)
                    send("headers", b"\1" + chain[-1][1] + b"\0")

        def until_closed(work) -> None:
            try:
                work()
            except (OSError, EOFError):
                connection.close()

        def listen() -> None:
            while True:
                head = receive(24)
                command = head[4:16].rstrip(b"\0").decode()
                payload = receive(struct.unpack("<I", head[16:20])[0])
                if command == "version":
                    address = struct.pack("<Q", 9) + bytes(10) + b"\xff\xff\x7f\0\0\1\0\0"
                    send("version", struct.pack("<iQq", 70016, 9, int(time.time())) + address + address
                         + struct.pack("<Q", random.getrandbits(64)) + b"\x0b/Spoiler:1/"
                         + struct.pack("<i", len(self.chain()) - 1) + b"\1")
                    send("verack")
                elif command == "verack":
                    threading.Thread(target=until_closed, args=(announce,), daemon=True).start()
                elif command == "ping":
                    send("pong", payload)
                elif command == "getheaders":
                    locator = [payload[5 + 32 * i:37 + 32 * i][::-1].hex() for i in range(payload[4])]
                    chain = self.chain()
                    places = {block: place for place, (block, _) in enumerate(chain)}
                    start = next((places[block] for block in locator if block in places), 0) + 1
                    found = [header for _, header in chain[start:start + 2000]]
                    send("headers", compact_size(len(found)) + b"".join(header + b"\0" for header in found))
                elif command == "getdata":
                    self.asked += 1
                    self.bring(send, payload[1:37])

        until_closed(listen)

    def bring(self, send, entry: bytes) -> None:
        block = bytearray.fromhex(self.node.call("getblock", entry[4:][::-1].hex(), 0))
        if self.way == "missing":
            return send("notfound", b"\1" + entry)
        if self.way == "silent":
            return None
        if self.way == "garbage":
            block[80:] = b"\xff" * 200
        if self.way == "witness":
            # The last byte of the coinbase's witness, before the lock time.
            block[-5] ^= 1
        return send("block", bytes(block))
