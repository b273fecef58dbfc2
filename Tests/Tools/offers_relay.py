#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Lets offers of hole punching travel between altnetd, scripted nodes and, where there is one, Bitcoin Core on regtest.

  offers_relay.py --binaries DIR

DIR holds altnetd, altnet and altnet-bitcoin; ALTNET_BITCOIND may name bitcoind. Everything stays on loopback and in a
temporary directory. Prints one JSON object for each check; the exit status is 0 when all passed.
"""
import argparse
import hashlib
import json
import os
import pathlib
import shutil
import socket
import struct
import sys
import tempfile
import threading
import time

from bitcoind_sync import Altnet, Bitcoind, Failure, until

MAGIC = bytes.fromhex("fabfb5da")
FLAG = 1 << 27
# An offer waits forty seconds at each node at most, and the daemon looks once a second.
RELAY_SECONDS = 60
QUIET_SECONDS = 5


def compact_size(number: int) -> bytes:
    if number < 253:
        return bytes([number])
    if number <= 0xffff:
        return b"\xfd" + struct.pack("<H", number)
    return b"\xfe" + struct.pack("<I", number)


def entry(seen: int, services: int, network: int, address: bytes, port: int) -> bytes:
    """An address of BIP 155."""
    return (struct.pack("<I", seen) + compact_size(services) + bytes([network]) + compact_size(len(address)) + address
            + struct.pack(">H", port))


def checked(payload: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]


class Node:
    """One end of a connection of Bitcoin's P2P protocol, played by hand; either end of it."""

    def __init__(self, target: str | None = None) -> None:
        self.received: list[tuple[str, bytes]] = []
        self.connection = None
        self.ready = threading.Event()
        self.sending = threading.Lock()
        if target:
            host, port = target.rsplit(":", 1)
            self.socket, self.address = None, None
            self.connection = socket.create_connection((host, int(port)), 10)
            self.introduce()
            threading.Thread(target=self.read, daemon=True).start()
        else:
            self.socket = socket.create_server(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
            threading.Thread(target=self.accept, daemon=True).start()

    def close(self) -> None:
        for one in (self.connection, self.socket):
            if one:
                one.close()

    def accept(self) -> None:
        try:
            self.connection, _ = self.socket.accept()
        except OSError:
            return
        self.introduce()
        self.read()

    def introduce(self) -> None:
        nothing = bytes(26)
        payload = (struct.pack("<iQq", 70016, 1033, int(time.time())) + nothing + nothing + os.urandom(8)
                   + compact_size(6) + b"/test/" + struct.pack("<iB", 0, 1))
        self.send("version", payload)

    def send(self, command: str, payload: bytes = b"") -> None:
        head = MAGIC + command.encode().ljust(12, b"\0") + struct.pack("<I", len(payload)) + checked(payload)
        with self.sending:
            self.connection.sendall(head + payload)

    def tell(self, *entries: bytes) -> None:
        self.send("addrv2", compact_size(len(entries)) + b"".join(entries))

    def take(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self.connection.recv(count - len(data))
            if not piece:
                raise OSError("closed")
            data += piece
        return data

    def read(self) -> None:
        try:
            while True:
                head = self.take(24)
                command = head[4:16].rstrip(b"\0").decode()
                payload = self.take(struct.unpack("<I", head[16:20])[0])
                self.received.append((command, payload))
                if command == "version":
                    self.send("sendaddrv2")
                    self.send("verack")
                elif command == "verack":
                    self.ready.set()
                elif command == "ping":
                    self.send("pong", payload)
        except OSError:
            self.received.append(("closed", b""))

    def wait_ready(self) -> None:
        if not self.ready.wait(20):
            raise Failure("no handshake")

    def addresses(self) -> list[bytes]:
        return [payload for command, payload in self.received if command in ("addr", "addrv2")]

    @property
    def is_open(self) -> bool:
        return ("closed", b"") not in self.received

    def answers_ping(self) -> bool:
        mark = os.urandom(8)
        self.send("ping", mark)
        until(lambda: ("pong", mark) in self.received, 10, "a pong")
        return True


def require(condition, what: str) -> None:
    if not condition:
        raise Failure(what)


def offers(number: int, seen: int) -> tuple[bytes, bytes]:
    """Both encodings of an offer of a made-up onion service."""
    key = hashlib.sha256(bytes([number])).digest()
    clearnet = bytes([11, number, 33, 44])
    return (entry(seen, FLAG, 4, key, 8333), entry(seen, FLAG, 0xf0, bytes([1, 4]) + key + bytes([1]) + clearnet, 8333))


def relays(binaries: str, directory: str) -> dict:
    """An offer that one node tells reaches another one unchanged, once; ordinary addresses go nowhere."""
    told, heard, third = Node(), Node(), Node()
    altnet = Altnet(binaries, f"{directory}/altnet",
                    f"drivers.bitcoin.connect={told.address},{heard.address},{third.address}")
    try:
        for node in (told, heard, third):
            node.wait_ready()
        until(lambda: altnet.ask("punch", "status")["offerLinks"] == 3, 20, "three links that carry offers")
        plain, combined = offers(7, int(time.time()))
        ordinary = entry(int(time.time()), 1033, 1, bytes([8, 8, 8, 8]), 8333)
        told.tell(ordinary, combined, plain)
        known, _ = until(lambda: altnet.ask("punch", "offers")["offers"], 10, "the offer's arrival")
        require(len(known) == 1 and known[0]["clearnet"] == "11.7.33.44", f"the offers are {known}")
        for node in (heard, third):
            until(lambda node=node: sum(payload[0] for payload in node.addresses()) == 2, RELAY_SECONDS,
                  "the offer's way to another node")
        for node in (heard, third):
            both = b"".join(payload[1:] for payload in node.addresses())
            require(plain in both and combined in both, "an offer changed on its way")
            require(len(both) == len(plain) + len(combined), "more than the offer travelled")
        require(not told.addresses(), "the offer came back to who told it")
        # Known by now: told by somebody else, it goes nowhere.
        heard.tell(combined, plain)
        heard.send("getaddr")
        heard.answers_ping()
        time.sleep(QUIET_SECONDS)
        require(sum(payload[0] for payload in heard.addresses()) == 2, "getaddr was answered with offers")
        require(not told.addresses() and third.is_open, "the offer travelled twice")
        stored = b"".join(path.read_bytes() for path in pathlib.Path(f"{directory}/altnet").rglob("*") if path.is_file())
        require(hashlib.sha256(bytes([7])).digest() not in stored and b"11.7.33.44" not in stored,
                "the offer is on the disk")
        counters = altnet.ask("punch", "status")["offerCounters"]
        require(counters["relayed"] == 4 and counters["learnt"] == 2 and counters["known"] == 2, f"{counters}")
        return {"counters": counters}
    finally:
        altnet.stop()
        for node in (told, heard, third):
            node.close()


def inbound(binaries: str, directory: str) -> dict:
    """Who connects from this machine may come out of an onion service: offers go to it as little as they come from it."""
    told = Node()
    altnet = Altnet(binaries, f"{directory}/altnet", f"drivers.bitcoin.connect={told.address}",
                    "drivers.bitcoin.listen=127.0.0.1:0")
    local = None
    try:
        told.wait_ready()
        local = Node(altnet.listening())
        local.wait_ready()
        until(lambda: len(altnet.ask("links")) == 2, 20, "two links")
        local.tell(*offers(8, int(time.time())))
        told.tell(*offers(9, int(time.time())))
        until(lambda: altnet.ask("punch", "offers")["offers"], 10, "the offer's arrival")
        local.answers_ping()
        status = altnet.ask("punch", "status")
        require(status["offerLinks"] == 1 and status["offersKnown"] == 1, f"{status}")
        require(altnet.ask("punch", "offers")["offers"][0]["clearnet"] == "11.9.33.44", "the wrong offer is known")
        time.sleep(QUIET_SECONDS)
        require(not local.addresses(), "an offer went to a link that may be an onion service's")
        return {}
    finally:
        altnet.stop()
        told.close()
        if local:
            local.close()


def core(binaries: str, directory: str) -> dict:
    """Bitcoin Core keeps its connections, and neither keeps nor passes on either encoding."""
    node = Bitcoind(os.environ["ALTNET_BITCOIND"], f"{directory}/core", "0")
    told, teller, altnet, listeners = Node(), None, None, []
    try:
        node.mine(1)
        altnet = Altnet(binaries, f"{directory}/altnet", f"drivers.bitcoin.connect={told.address},{node.address}")
        told.wait_ready()
        until(lambda: altnet.ask("punch", "status")["offerLinks"] == 2, 20, "two links that carry offers")
        listeners = [Node(node.address) for _ in range(3)]
        teller = Node(node.address)
        for one in (*listeners, teller):
            one.wait_ready()
        # Core relays addresses only to those who have shown that they take part.
        for one in listeners:
            one.send("getaddr")
            one.answers_ping()
        ours = next(peer for peer in node.call("getpeerinfo") if "AltNet" in peer["subver"])
        told.tell(*offers(7, int(time.time())))
        until(lambda: next(peer for peer in node.call("getpeerinfo") if peer["id"] == ours["id"])
              ["bytesrecv_per_msg"].get("addrv2"), RELAY_SECONDS, "the offer's way to Bitcoin Core")
        # Core takes one address at once and one in ten seconds from each peer, and sends at random moments.
        now = int(time.time())

        def later(seconds: int) -> None:
            nonlocal now
            now += seconds
            node.call("setmocktime", now)
            for one in (*listeners, teller):
                one.answers_ping()

        for encoding in offers(8, now):
            teller.tell(encoding)
            later(30)
        # An ordinary one, so that it is seen that Core relays what comes in this way.
        teller.tell(entry(now, 1033, 1, bytes([11, 22, 33, 44]), 8333))

        def heard(part: bytes) -> bool:
            return any(part in payload for one in listeners for payload in one.addresses())

        for _ in range(40):
            if heard(bytes([11, 22, 33, 44])):
                break
            later(30)
            time.sleep(0.1)
        require(heard(bytes([11, 22, 33, 44])), "Bitcoin Core did not relay the ordinary address")
        for number in (7, 8):
            require(not heard(hashlib.sha256(bytes([number])).digest()), "Bitcoin Core relayed an offer")
        known = [one["clearnet"] for one in altnet.ask("punch", "offers")["offers"]]
        require(known == ["11.7.33.44"], f"known are {known}")
        require(all(".onion" not in one["address"] and not one["address"].startswith("11.7.")
                    for one in node.call("getnodeaddresses", 0)), "Bitcoin Core kept an offer")
        peers = {peer["id"] for peer in node.call("getpeerinfo")}
        require(ours["id"] in peers and teller.is_open, "Bitcoin Core closed a connection")
        return {"version": node.call("getnetworkinfo")["subversion"]}
    finally:
        for one in (altnet, node):
            if one:
                one.stop()
        for one in (told, teller, *listeners):
            if one:
                one.close()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--binaries", required=True)
    options = parser.parse_args()
    checks = [relays, inbound] + ([core] if os.environ.get("ALTNET_BITCOIND") else [])
    failed = False
    for check in checks:
        directory = tempfile.mkdtemp(prefix="altnet-offers-")
        os.chmod(directory, 0o700)
        result = {"check": check.__name__}
        try:
            result |= {"ok": True, **check(options.binaries, directory)}
        except (Failure, OSError, KeyError, StopIteration) as error:
            failed = True
            log = pathlib.Path(f"{directory}/altnet/altnetd.log")
            result |= {"ok": False, "error": f"{type(error).__name__}: {error}",
                       "log": log.read_text(errors="replace").splitlines()[-20:] if log.exists() else []}
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        print(json.dumps(result), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
