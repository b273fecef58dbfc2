# SPDX-License-Identifier: MIT
"""A Bitcoin node on regtest as AltNet sees one: real blocks, JSON-RPC, and no connections of its own."""
import hashlib
import json
import os
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from lab import Site

GENESIS = bytes.fromhex(
    "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f617fc81bc3"
    "888a51323a9fb8aa4b1e5e4adae5494dffff7f2002000000")
BITS, TARGET = 0x207FFFFF, 0x7FFFFF << 232
NOT_FOUND = {"code": -5, "message": "Block not found"}
NO_METHOD = {"code": -32601, "message": "Method not found"}


def double_hash(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def name(header: bytes) -> str:
    """A hash as people write it."""
    return double_hash(header[:80])[::-1].hex()


def coinbase(height: int, miner: str) -> bytes:
    """A transaction that spends nothing and pays whoever finds out how."""
    number = height.to_bytes((height.bit_length() + 8) // 8, "little")
    script = bytes([len(number)]) + number + bytes([len(miner)]) + miner.encode()
    return (struct.pack("<i", 1) + b"\1" + bytes(32) + b"\xff" * 4 + bytes([len(script)]) + script + b"\xff" * 4
            + b"\1" + struct.pack("<q", 50 * 10**8 >> height // 150) + b"\1\x51" + bytes(4))


def mined(previous: bytes, height: int, miner: str) -> bytes:
    transaction = coinbase(height, miner)
    fixed = struct.pack("<i", 0x2000_0000) + double_hash(previous[:80]) + double_hash(transaction)
    # A second after the last one and no sooner than now: later than the median of eleven.
    moment = max(int(time.time()), struct.unpack_from("<I", previous, 68)[0] + 1)
    for nonce in range(1 << 32):
        header = fixed + struct.pack("<III", moment, BITS, nonce)
        if int.from_bytes(double_hash(header), "little") <= TARGET:
            return header + b"\1" + transaction
    raise AssertionError("unreachable: half of all numbers do")


class RegtestNode:
    """Listens for JSON-RPC on the loopback of a site, as Bitcoin Core does."""

    PORT = 18_443

    def __init__(self, site: Site, title: str) -> None:
        self.site, self.title = site, title
        self.blocks = [GENESIS]
        self.changed = threading.Condition()
        self.cookie = f"{site.lab.directory}/{title}.cookie"
        with open(os.open(self.cookie, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
            file.write("__cookie__:x")
        node = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_POST(self) -> None:
                call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                answers = [node.reply(each) for each in (call if isinstance(call, list) else [call])]
                body = json.dumps(answers if isinstance(call, list) else answers[0]).encode()
                failed = not isinstance(call, list) and answers[0]["error"]
                self.send_response(500 if failed else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        class Server(ThreadingHTTPServer):
            daemon_threads = True

        with site.host:
            self.server = Server(("127.0.0.1", self.PORT), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def tip(self) -> str:
        return name(self.blocks[-1])

    def settings(self) -> dict:
        """The table `node` of a daemon that may feed it."""
        return {"kind": "bitcoin-core", "url": f"http://127.0.0.1:{self.PORT}", "cookie_file": self.cookie,
                "allow": ["headers", "blocks"]}

    def mine(self, count: int) -> str:
        with self.changed:
            for _ in range(count):
                self.blocks.append(mined(self.blocks[-1], len(self.blocks), self.title))
            self.changed.notify_all()
        return self.tip

    def reply(self, call: dict) -> dict:
        result, error = None, None
        try:
            result = self.answer(call["method"], call["params"])
        except LookupError as failure:
            error = failure.args[0]
        return {"result": result, "error": error, "id": call["id"]}

    def answer(self, method: str, parameters: list):
        with self.changed:
            heights = {name(block): height for height, block in enumerate(self.blocks)}
            best = len(self.blocks) - 1
            match method:
                case "getblockchaininfo":
                    return {"chain": "regtest", "blocks": best, "headers": best, "bestblockhash": self.tip,
                            "initialblockdownload": False}
                case "getnetworkinfo":
                    return {"subversion": "/Satoshi:31.0.0/"}
                case "getpeerinfo" | "getchaintips" | "getzmqnotifications":
                    return []
                case "getblockcount":
                    return best
                case "getbestblockhash":
                    return self.tip
                case "getblockhash":
                    if parameters[0] > best:
                        raise LookupError({"code": -8, "message": "Block height out of range"})
                    return name(self.blocks[parameters[0]])
                case "getblockheader" | "getblock":
                    height = heights.get(parameters[0])
                    if height is None:
                        raise LookupError(NOT_FOUND)
                    if parameters[1]:
                        return {"height": height, "confirmations": best + 1 - height}
                    return self.blocks[height][:80 if method == "getblockheader" else None].hex()
                case "waitfornewblock":
                    known = parameters[1] if len(parameters) > 1 else self.tip
                    self.changed.wait_for(lambda: self.tip != known, parameters[0] / 1000)
                    return {"hash": self.tip, "height": len(self.blocks) - 1}
                case "submitheader":
                    return None
                case "submitblock":
                    return self.submit(bytes.fromhex(parameters[0]))
        raise LookupError(NO_METHOD)

    def submit(self, block: bytes) -> str | None:
        """Takes the next block and no other."""
        if block[4:36] != double_hash(self.blocks[-1][:80]):
            return "inconclusive"
        if int.from_bytes(double_hash(block[:80]), "little") > TARGET or double_hash(block[81:]) != block[36:68]:
            return "high-hash"
        self.blocks.append(block)
        self.changed.notify_all()
        return None

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
