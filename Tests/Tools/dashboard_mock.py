#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Serves the dashboard with scripted reports, as altnetd would.

To look at it by hand: dashboard_mock.py SCENE, where a scene is one of healthy, empty, storm, forks, names.
"""

import json
import pathlib
import queue
import random
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FILES = pathlib.Path(__file__).resolve().parents[2] / "Sources/AltNetWeb/Dashboard"
POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
          "base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
         ".js": "text/javascript; charset=utf-8"}
HEIGHT = 957_312
HOUR = 3600


def stamp(ago=0.0):
    """A moment of the interface, so many seconds ago."""
    at = time.time() - ago
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at * 1000) % 1000:03d}Z"


def block_hash(seed):
    chance = random.Random(seed)
    return "0" * 19 + "".join(chance.choice("0123456789abcdef") for _ in range(45))


def link(number, driver, target, behind=0, **more):
    report = {
        "id": number, "driver": driver, "target": target, "remote": target, "state": "open", "isLowWork": False,
        "agent": "/Satoshi:30.0.0/", "exposure": "clearnet", "since": stamp(9 * HOUR + number * 700),
        "tipHeight": HEIGHT - behind, "tip": block_hash(HEIGHT - behind), "missingBlocks": behind,
        "latencyMilliseconds": 31.5 + 40 * number, "latenessSeconds": 0.2 * number, "networkGroup": "local"}
    if behind:
        report["missingSince"] = stamp(behind * 600)
    return {**report, **more}


def tip(height, followers, fork=None, best=False):
    return {"height": height, "hash": block_hash(f"{height}-{fork}" if fork is not None else height),
            "work": f"{height:064x}", "isBest": best, "forkHeight": height if fork is None else fork,
            "followers": followers}


def incident(number, kind, severity, subject, explanation, ago, lasted=None, **more):
    report = {
        "id": number, "kind": kind, "severity": severity, "subject": subject, "explanation": explanation,
        "measures": [], "actions": [], "since": stamp(ago), "opened": stamp(ago - 5), "updated": stamp(max(0, ago - 60))}
    if lasted is not None:
        report.update(closed=stamp(ago - lasted), ending="caught-up")
    return {**report, **more}


NODE_BEHIND = {
    "behind": {"blocks": 3, "firstMissingHeight": HEIGHT - 2, "firstMissingHash": block_hash(HEIGHT - 2),
               "provenBy": "lightning:blockstream"},
    "measures": [{"name": "probability of honest mining", "value": 1.2e-7, "unit": ""},
                 {"name": "missing since", "value": 1804, "unit": "s"}],
    "actions": [{"at": stamp(1700), "action": "feed-headers", "outcome": "done", "detail": "3 headers given to the node"},
                {"at": stamp(1690), "action": "drop-peers", "outcome": "planned",
                 "detail": "would disconnect 5 peers of 203.0.0.0/16"},
                {"at": stamp(1689), "action": "alert", "outcome": "failed", "detail": "webhook: timed out after 10 s"}]}


def attempt(number, outcome, peer=None, **more):
    report = {
        "id": number, "role": "initiator", "outcome": outcome, "attempts": 1, "milliseconds": 812.4,
        "endpoint": "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion:8333",
        "ownNAT": "endpoint-independent", "peerNAT": "endpoint-independent", "at": stamp(number * 300)}
    if peer:
        report.update(peer=peer, path="punch")
    return {**report, **more}


def punching(name):
    """How hole punching stands."""
    if name == "healthy":
        return {
            "driver": "punch", "outboundWanted": 2, "outbound": 1, "offersKnown": 14, "offersOwn": 2, "offerLinks": 3,
            "offerCounters": {"relayed": 41},
            "nat": {"mapping": "endpoint-independent", "preservesPort": True, "confidence": 0.94, "evidence": [],
                    "external": ["198.51.100.7"], "reason": "five witnesses in five network groups agree"},
            "stats": {"counts": [], "slots": 4, "slotsTaken": 1, "coordinating": 0, "counters": {},
                      "endpoints": ["pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion:8333"]},
            "recent": [attempt(1, "connected", "203.0.113.9:40112", attempts=2),
                       attempt(2, "connected", "192.0.2.44:51002", role="responder"),
                       attempt(3, "impossible", attempts=0, milliseconds=1904, peerNAT="endpoint-dependent",
                               ownNAT="endpoint-dependent", reason="both NATs give each connection another port")]}
    if name == "names":
        long = "averyveryveryverylongname" * 9
        return {
            "driver": "punch", "outboundWanted": 8, "outbound": 0, "offersKnown": 1000, "offersOwn": 16, "offerLinks": 125,
            "offerCounters": {}, "problem": f"the kind of our NAT is not known: {long}",
            "nat": {"mapping": "unknown", "confidence": 0, "evidence": [], "external": [long], "reason": long},
            "stats": {"counts": [], "slots": 125, "slotsTaken": 0, "coordinating": 4, "counters": {},
                      "endpoints": [long, long]},
            "recent": [attempt(n, "attempts-failed", reason=long, endpoint=long) for n in range(1, 11)]}
    return {"outboundWanted": 0, "outbound": 0, "offersKnown": 0, "offersOwn": 0, "offerLinks": 1, "offerCounters": {},
            "problem": "no driver for hole punching is attached; docs/hole-punching.md says how to switch it on",
            "recent": []}


def history():
    """What has ended over the last weeks."""
    chance = random.Random(7)
    kinds = [("link-behind", "warning"), ("late-blocks", "warning"), ("node-behind", "critical"), ("clock-skew", "warning"),
             ("competing-branches", "warning"), ("node-unavailable", "critical")]
    for number in range(1, 40):
        kind, severity = kinds[chance.randrange(len(kinds))]
        yield incident(number, kind, severity, "bitcoin:192.0.2.7:8333" if kind in ("link-behind", "late-blocks") else "node",
                       "It was behind the best chain by 2 blocks for some minutes, and caught up.",
                       (41 - number) * 17 * HOUR / 1.1 + 900, lasted=chance.randrange(300, 9 * HOUR))


def scene(name):
    """All parts of one state of the daemon."""
    best = tip(HEIGHT, ["self", "node", "bitcoin:127.0.0.1:8333", "lightning:03864ef025fd@198.51.100.4:9735"], best=True)
    parts = {
        "status": {"software": "altnetd 0.2.0", "network": "main", "processID": 4242, "started": stamp(9 * HOUR),
                   "dataDirectory": "/var/lib/altnet", "links": 3, "linksBehind": 0, "drivers": 2, "openIncidents": 0,
                   "chain": {"startHeight": 0, "height": HEIGHT, "tip": best["hash"], "tipTime": stamp(260),
                             "work": f"{HEIGHT:064x}", "headers": HEIGHT + 3}},
        "safe": {"safe": True, "reasons": []},
        "node": {"kind": "bitcoin-core", "description": "Bitcoin Core at http://127.0.0.1:8332", "reach": "reachable",
                 "isSyncing": False, "blocks": HEIGHT, "headers": HEIGHT, "bestBlock": best["hash"],
                 "version": "/Satoshi:30.0.0/", "inboundPeers": 14, "outboundPeers": 10, "followedBy": "zmq hashblock",
                 "allow": ["headers", "blocks"], "missingBlocks": 0},
        "links": [link(1, "bitcoin", "127.0.0.1:8333", exposure="local"),
                  link(2, "lightning", "03864ef025fde8fb587d989186ce6a4a186895ee44a926bfc370e2c366597a3f8f@198.51.100.4:9735"),
                  link(3, "bitcoin", "kq4zw5y3bvlpd2ytsjp7bf6x5yc5q7hxnhljlvkvdh6qqa3c2ad.onion:8333", behind=1,
                       exposure="tor")],
        "tips": [best, tip(HEIGHT - 1, ["bitcoin:kq4zw5y3bvlpd2ytsjp7bf6x5yc5q7hxnhljlvkvdh6qqa3c2ad.onion:8333"])],
        "incidents": list(reversed(list(history()))),
        "drivers": [
            {"name": "bitcoin", "program": "altnet-bitcoin", "state": "attached", "restarts": 0, "listening": [],
             "requests": ["headers"], "serves": [], "announces": [], "exposure": "clearnet", "messagesPerSecond": 2000,
             "bytesPerSecond": 1},
            {"name": "lightning", "program": "altnet-lightning", "state": "restarting", "restarts": 2,
             "reason": "ended with status 1: cannot listen on 0.0.0.0:9735: address in use", "listening": [],
             "requests": [], "serves": [], "announces": [], "messagesPerSecond": 2000, "bytesPerSecond": 1}],
        "splices": [{"name": "first", "listening": "127.0.0.1:18555", "driver": "lightning", "connections": 1,
                     "target": "03864ef0@198.51.100.4:9735", "bytesIn": 5_300_000, "bytesOut": 812_000}],
        "punch": punching(name),
        "alerts": [{"at": stamp(1689), "sink": "webhook", "incident": 41, "attempt": 2, "outcome": "failed",
                    "detail": "timed out after 10 s"},
                   {"at": stamp(1690), "sink": "mail", "incident": 41, "attempt": 1, "outcome": "delivered", "detail": ""}]}
    if name == "empty":
        genesis = tip(0, ["self"], best=True)
        parts.update(links=[], tips=[genesis], incidents=[], drivers=[], splices=[], alerts=[],
                     safe={"safe": False, "reasons": ["No link has shown anything yet."]},
                     node={"kind": "none", "description": "", "reach": "none", "isSyncing": False, "inboundPeers": 0,
                           "outboundPeers": 0, "allow": []})
        parts["status"].update(links=0, drivers=0)
        parts["status"]["chain"].update(height=0, headers=1, tip=genesis["hash"], tipTime="2009-01-03T18:15:05.000Z")
    if name in ("storm", "forks"):
        parts["safe"] = {"safe": False, "reasons": [
            "Your node lacks 3 blocks of the best chain, the first of them proven 30 minutes ago.",
            "Two branches of similar work compete since height 957310."]}
        parts["node"].update(blocks=HEIGHT - 3, missingBlocks=3)
        parts["tips"] = [
            tip(HEIGHT, ["self"] + [f"bitcoin:203.0.113.{n}:8333" for n in range(1, 15)], best=True),
            tip(HEIGHT - 1, ["lightning:02eec7245d6b@192.0.2.1:9735", "bitcoin:198.51.100.77:8333"], fork=HEIGHT - 3),
            tip(HEIGHT - 3, ["node"]),
            tip(HEIGHT - 16, ["bitcoin:203.0.113.99:8333"], fork=HEIGHT - 116),
            tip(HEIGHT - 40, ["bitcoin:198.51.100.3:8333", "bitcoin:198.51.100.4:8333"]),
            tip(HEIGHT - 115, ["electrum:electrum.example.org:50002"], fork=HEIGHT - 116)]
        parts["links"] = [link(n, "bitcoin", f"203.0.113.{n}:8333") for n in range(1, 15)] + [
            link(15, "lightning", "02eec7245d6b7d2ccb30380bfbe2a3648cd7a942653f5aa340edcea1f283686619@192.0.2.1:9735", 3),
            link(16, "bitcoin", "198.51.100.77:8333", 3), link(17, "bitcoin", "203.0.113.99:8333", 116),
            link(18, "bitcoin", "198.51.100.3:8333", 40), link(19, "bitcoin", "198.51.100.4:8333", 40),
            {"driver": "bitcoin", "target": "198.51.100.9:8333", "state": "unreachable", "isLowWork": False,
             "reason": "cannot connect: connection refused", "since": stamp(400)}]
        parts["incidents"] = [incident(
            41, "node-behind", "critical", "node", "Your node lacks 3 blocks of the best chain. The first of them is "
            "957310, which lightning:blockstream proved 30 minutes ago; your node's 10 outbound peers have not shown it.",
            1804, **NODE_BEHIND)] + parts["incidents"]
    if name == "storm":
        parts["incidents"] = [incident(
            70 - n, "link-behind" if n % 3 else "withheld-block", "warning" if n % 4 else "critical",
            f"bitcoin:198.51.100.{n}:8333", f"This link lacks {n + 1} blocks of the best chain, the first of them since "
            f"{n * 11 + 2} minutes. Two other links have shown it.", n * 660 + 140) for n in range(29)] + parts["incidents"]
    if name == "names":
        long = "x" * 24 + "-" + "averyveryveryverylongname" * 9
        parts["links"] = [link(1, "bitcoin", long, agent="/" + "Agent" * 50 + "/", behind=2),
                          link(2, "a-driver-with-the-longest-nam", "[2001:db8:85a3:8d3:1319:8a2e:370:7348]:8333")]
        parts["tips"][1]["followers"] = [f"bitcoin:{long}"]
        parts["incidents"] = [incident(80, "link-behind", "warning", f"bitcoin:{long}", f"The link to {long} lacks 2 blocks "
                                       "of the best chain.", 700, **NODE_BEHIND)] + parts["incidents"]
        parts["drivers"][0]["reason"] = long
    parts["status"]["openIncidents"] = sum("closed" not in one for one in parts["incidents"])
    return parts


class MockDaemon:
    """The daemon's side; what a test changes in `parts` is what the next question is answered with."""

    def __init__(self, name="healthy", port=0, token=None):
        self.parts = scene(name)
        self.token = token
        self.streams = set()
        self.sockets = set()
        self.paths = []
        mock = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                mock.sockets.add(self.connection)

            def finish(self):
                mock.sockets.discard(self.connection)
                super().finish()

            def log_message(self, *_):
                pass

            def do_GET(self):
                mock.paths.append(self.path)
                mock.answer(self)

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_):
                pass  # A browser that goes away is no error.

        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.origin = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def answer(self, request):
        path = request.path.split("?")[0]
        if path == "/login" and request.path.endswith(f"?code={self.token}"):
            return self.send(request, 303, b"", cookie="altnet=yes; HttpOnly; SameSite=Strict; Path=/", location="/")
        file = FILES / ("index.html" if path == "/" else path[1:])
        if "/" not in path[1:] and file.suffix in TYPES and file.is_file():
            return self.send(request, 200, file.read_bytes(), TYPES[file.suffix])
        if self.token and "altnet=yes" not in (request.headers["Cookie"] or ""):
            return self.send(request, 401, {"message": "log in first"})
        part = path.removeprefix("/v1/")
        if part == "events":
            return self.stream(request)
        if part == "incidents" and "open=true" in request.path:
            return self.send(request, 200, [one for one in self.parts["incidents"] if "closed" not in one])
        if part in self.parts:
            is_unsafe = part == "safe" and not self.parts["safe"]["safe"]
            return self.send(request, 503 if is_unsafe else 200, self.parts[part])
        return self.send(request, 404, {"message": "there is no such thing"})

    @staticmethod
    def send(request, status, body, kind="application/json", cookie=None, location=None):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), "Content-Security-Policy": POLICY,
                            "X-Content-Type-Options": "nosniff", "Set-Cookie": cookie,
                            "Location": location}.items():
            if value:
                request.send_header(name, value)
        request.end_headers()
        request.wfile.write(data)

    def stream(self, request):
        request.send_response(200)
        request.send_header("Content-Type", "text/event-stream")
        request.send_header("Connection", "close")
        request.end_headers()
        events = queue.Queue()
        self.streams.add(events)
        try:
            request.wfile.write(b": hello\n\n")
            request.wfile.flush()
            while (event := events.get()) is not None:
                request.wfile.write(event)
                request.wfile.flush()
        finally:
            self.streams.discard(events)
        request.close_connection = True

    def push(self, name, data):
        for events in list(self.streams):
            events.put(f"event: {name}\ndata: {json.dumps(data)}\n\n".encode())

    def kill(self):
        """As a killed process would: no more listening, and all connections cut."""
        self.server.shutdown()
        self.server.server_close()
        for connection in list(self.sockets):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for events in list(self.streams):
            events.put(None)


if __name__ == "__main__":
    daemon = MockDaemon(sys.argv[1] if len(sys.argv) > 1 else "healthy", port=int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    print(daemon.origin, flush=True)
    sys.stdin.read()
