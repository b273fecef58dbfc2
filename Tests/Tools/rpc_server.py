#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A Bitcoin Core that says what a test wants: a JSON-RPC server driven by a scenario.

    rpc_server.py DIRECTORY

DIRECTORY/scenario.json is read anew for every request, so a test changes the node by replacing the file (write another
one and rename it). The port, once it listens, is in DIRECTORY/port; every call is a line of JSON in DIRECTORY/calls.
Ends with its standard input.

The scenario is an object:

    "credentials": "user:password"       what Authorization must hold; without it anybody may ask
    "headers": ["<160 hex digits>", ...] the active chain from genesis on: the node is well, has no peers, and answers
                                         what is asked about its headers, waitfornewblock included
    "chain": "regtest", "syncing": false what getblockchaininfo says
    "blocks": true                       getblock gives each block of the chain, as its header and no transactions
    "stale": ["<160 hex digits>", ...]   headers that getblockheader knows but that are not in the active chain
    "answers": {"METHOD": BEHAVIOUR}     takes precedence; a BEHAVIOUR is an object with some of
        "result": any                    the result
        "error": {"code", "message"}     the error instead; HTTP status 500 unless "status" says otherwise
        "status": 403                    the HTTP status
        "id": 7                          an identifier other than the call's
        "body": "text", "hex": "00ff"    the whole body of the answer instead of JSON-RPC
        "repeat": {"item": any, "count"} the result is a list of that many equal items, written without building it
        "flood": 100000000               that many bytes of spaces before the end of the answer
        "declared": true                 with "flood": the length is told first
        "drip": true                     one byte every 50 ms, of 50,000 that are promised
        "header_flood": 10000000         that many bytes of HTTP header fields, and no body
        "half": true                     the connection closes in the middle of the answer
        "hang": true                     no answer, until the scenario says otherwise
        "drop": 3                        in a batch: this entry is missing
        "duplicate": true                in a batch: the first entry comes twice
        "reverse": true                  in a batch: the last entry comes first
"""

import base64
import functools
import hashlib
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NOT_FOUND = {"code": -5, "message": "Block not found"}
OUT_OF_RANGE = {"code": -8, "message": "Block height out of range"}
NO_METHOD = {"code": -32601, "message": "Method not found"}

directory = ""
calls_lock = threading.Lock()


def scenario() -> dict:
    with open(os.path.join(directory, "scenario.json"), encoding="utf-8") as file:
        return json.load(file)


@functools.lru_cache(maxsize=100_000)
def block_hash(header: str) -> str:
    raw = bytes.fromhex(header)
    return hashlib.sha256(hashlib.sha256(raw).digest()).digest()[::-1].hex()


def from_chain(plan: dict, method: str, params: list) -> dict:
    """What a node with the scenario's chain answers."""
    headers = plan.get("headers")
    if headers is None:
        return {"error": NO_METHOD, "status": 404}
    hashes = [block_hash(header) for header in headers]
    if method == "getblockchaininfo":
        return {
            "result": {
                "chain": plan.get("chain", "regtest"),
                "blocks": len(headers) - 1,
                "headers": len(headers) - 1,
                "bestblockhash": hashes[-1],
                "initialblockdownload": plan.get("syncing", False),
            }
        }
    if method == "getnetworkinfo":
        return {"result": {"subversion": "/Satoshi:31.0.0/"}}
    if method in ("getpeerinfo", "getchaintips", "getzmqnotifications"):
        return {"result": []}
    if method == "getblockcount":
        return {"result": len(headers) - 1}
    if method == "getbestblockhash":
        return {"result": hashes[-1]}
    if method == "getblockhash":
        return {"result": hashes[params[0]]} if params[0] < len(headers) else {"error": OUT_OF_RANGE}
    if method == "getblockheader":
        stale = {block_hash(header): header for header in plan.get("stale", [])}
        if params[0] in hashes:
            height = hashes.index(params[0])
            if params[1]:
                return {"result": {"height": height, "confirmations": len(headers) - height}}
            return {"result": headers[height]}
        if params[0] in stale:
            return {"result": {"height": 1, "confirmations": -1} if params[1] else stale[params[0]]}
        return {"error": NOT_FOUND}
    if method == "getblock" and plan.get("blocks"):
        if params[0] in hashes:
            return {"result": headers[hashes.index(params[0])] + "00"}
        return {"error": NOT_FOUND}
    if method == "waitfornewblock":
        end = time.monotonic() + params[0] / 1000
        while time.monotonic() < end:
            now = scenario().get("headers", headers)
            if block_hash(now[-1]) != (params[1] if len(params) > 1 else hashes[-1]):
                headers = now
                break
            time.sleep(0.01)
        return {"result": {"hash": block_hash(headers[-1]), "height": len(headers) - 1}}
    return {"error": NO_METHOD, "status": 404}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        plan = scenario()
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        wanted = plan.get("credentials")
        if wanted is not None:
            basic = "Basic " + base64.b64encode(wanted.encode()).decode()
            if self.headers.get("Authorization") != basic:
                self.reply(401, b"")
                return
        calls = request if isinstance(request, list) else [request]
        with calls_lock, open(os.path.join(directory, "calls"), "a", encoding="utf-8") as log:
            for call in calls:
                shown = [p if not isinstance(p, str) or len(p) < 200 else p[:200] for p in call["params"]]
                log.write(json.dumps({"method": call["method"], "params": shown, "path": self.path}) + "\n")
        behaviour = plan.get("answers", {}).get(calls[0]["method"])
        if isinstance(request, list):
            self.batch(plan, calls, behaviour or {})
        else:
            self.single(plan, request, behaviour)

    def single(self, plan: dict, call: dict, behaviour: dict | None) -> None:
        if behaviour is None:
            behaviour = from_chain(plan, call["method"], call["params"])
        while behaviour.get("hang"):
            time.sleep(0.02)
            behaviour = scenario().get("answers", {}).get(call["method"], {"result": None})
        status = behaviour.get("status", 500 if "error" in behaviour else 200)
        if "hex" in behaviour:
            self.reply(status, bytes.fromhex(behaviour["hex"]))
        elif "body" in behaviour:
            self.reply(status, behaviour["body"].encode())
        elif "header_flood" in behaviour:
            self.send_response(status)
            self.flush_headers()
            for number in range(behaviour["header_flood"] // 100):
                self.wfile.write(b"X-%07d: %s\r\n" % (number, b"a" * 87))
        elif "drip" in behaviour:
            self.start(status, 50_000)
            while True:
                self.wfile.write(b" ")
                time.sleep(0.05)
        elif "flood" in behaviour:
            size = behaviour["flood"]
            self.start(status, size if behaviour.get("declared") else None)
            self.spaces(size, chunked=not behaviour.get("declared"))
        elif "repeat" in behaviour:
            item = json.dumps(behaviour["repeat"]["item"]).encode()
            count = behaviour["repeat"]["count"]
            head, tail = b'{"error":null,"id":%d,"result":[' % call["id"], b"]}"
            self.start(status, len(head) + len(tail) + count * len(item) + count - 1)
            self.wfile.write(head + (item + b",") * (count - 1) + item + tail)
        else:
            answer = json.dumps(self.envelope(call, behaviour)).encode()
            if behaviour.get("half"):
                self.start(status, len(answer))
                self.wfile.write(answer[: len(answer) // 2])
                self.close_connection = True
            else:
                self.reply(status, answer)

    def batch(self, plan: dict, calls: list, behaviour: dict) -> None:
        if "body" in behaviour or "error" in behaviour:
            self.single(plan, calls[0] | {"id": None}, behaviour)
            return
        entries = []
        for call in calls:
            answer = behaviour if "result" in behaviour else from_chain(plan, call["method"], call["params"])
            entries.append(self.envelope(call, answer))
        if "drop" in behaviour:
            del entries[behaviour["drop"]]
        if behaviour.get("duplicate"):
            entries.append(entries[0])
        if behaviour.get("reverse"):
            entries.reverse()
        self.reply(200, json.dumps(entries).encode())

    @staticmethod
    def envelope(call: dict, behaviour: dict) -> dict:
        return {
            "result": behaviour.get("result"),
            "error": behaviour.get("error"),
            "id": behaviour.get("id", call["id"]),
        }

    def start(self, status: int, length: int | None) -> None:
        self.send_response(status)
        if length is None:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def reply(self, status: int, body: bytes) -> None:
        self.start(status, len(body))
        self.wfile.write(body)

    def spaces(self, count: int, chunked: bool) -> None:
        piece = b" " * 65536
        sent = 0
        try:
            while sent < count:
                part = piece[: min(count - sent, len(piece))]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
                sent += len(part)
        finally:
            with open(os.path.join(directory, "sent"), "w", encoding="utf-8") as file:
                file.write(str(sent))
        if chunked:
            self.wfile.write(b"0\r\n\r\n")


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        # Clients that hang up in the middle of a flood are what the tests are about.
        pass


def main() -> None:
    global directory
    directory = sys.argv[1]
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = os.path.join(directory, "port")
    with open(port + ".new", "w", encoding="utf-8") as file:
        file.write(str(server.server_address[1]))
    os.rename(port + ".new", port)
    sys.stdin.read()


if __name__ == "__main__":
    main()
