# SPDX-License-Identifier: MIT
"""The lab proves itself: each kind of NAT does what its name says, before anything is measured with it."""
import itertools
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor

from lab import Lab
from nats import KINDS, connects
from peers import Opened, Witness, external, is_one_connection, open_at, punch

# Several local ports: one could be kept by chance.
PORTS = [41_000, 45_555, 50_123]
# One-way between two sites.
DELAY = 0.02


def mappings(lab: Lab, witnesses: list[Witness]) -> list[dict]:
    """What two witnesses see of each kind."""
    reports = []
    for kind in KINDS.values():
        site = lab[kind.name]
        seen = [[external(site, port, witness) for witness in witnesses] for port in PORTS]
        independent = all(len(set(sights)) == 1 for sights in seen)
        preserves = all(sight[1] == port for port, sights in zip(PORTS, seen) for sight in sights)
        addresses = {sight[0] for sights in seen for sight in sights}
        expected = kind.mapping != "endpoint-dependent"
        reports.append({
            "check": f"mapping {kind.name}", "independent": independent, "preserves_port": preserves,
            "ok": independent == expected and preserves == kind.preserves_port and addresses == {site.address}})
    return reports


def refusals(lab: Lab, witness: Witness) -> list[dict]:
    """What a stranger's SYN meets, also at a port that has a mapping to somebody else."""
    reports = []
    stranger = lab["w2"]
    for kind in KINDS.values():
        site, port = lab[kind.name], 42_424
        sight = external(site, port, witness)
        began = time.monotonic()
        result = open_at(stranger, 43_000, sight, began, False, 0.5)
        got = "reset" if result.resets else "accept" if result.connected else "drop"
        # A host without a listener answers RST itself.
        reaches = kind.unsolicited == "accept" or kind.filtering == "endpoint-independent"
        expected = "reset" if reaches else kind.unsolicited
        reports.append({"check": f"stranger {kind.name}", "got": got, "ok": got == expected})
    return reports


def acquaintances(lab: Lab, witness: Witness) -> list[dict]:
    """What a SYN meets that comes from another port of an address to which something was sent."""
    reports = []
    for kind in KINDS.values():
        site, port = lab[kind.name], 42_425
        sight = external(site, port, witness)
        result = open_at(lab["w1"], 43_001, sight, time.monotonic(), False, 0.5)
        got = "reset" if result.resets else "accept" if result.connected else "drop"
        reaches = kind.unsolicited == "accept" or kind.filtering != "address and port"
        expected = "reset" if reaches else kind.unsolicited
        reports.append({"check": f"acquaintance {kind.name}", "got": got, "ok": got == expected})
    return reports


def pairs(lab: Lab, witnesses: list[Witness], kinds: list[str]) -> list[dict]:
    """Which pairs connect, and how fast."""

    def pair(number: int, one: str, other: str) -> dict:
        possible = connects(KINDS[one], KINDS[other])
        first, second = (lab[one], lab[other] if one != other else lab[f"{other}-2"])
        results = punch(first, second, witnesses, 30_000 + number, patience=3.0 if possible else 0.6)
        connected = is_one_connection(*results)
        release(results)
        return {"check": f"pair {one} {other}", "connected": connected, "ok": connected == possible,
                "milliseconds": round(1e3 * max(result.seconds for result in results), 1) if connected else None,
                "syns": [result.syns for result in results], "resets": [result.resets for result in results]}

    chosen = list(itertools.combinations_with_replacement(kinds, 2))
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda item: pair(item[0], *item[1]), enumerate(chosen)))


def release(results: tuple[Opened, Opened]) -> None:
    for result in results:
        if result.connection:
            result.connection.close()


def late(lab: Lab, witnesses: list[Witness]) -> list[dict]:
    """One side is late by more than the way takes: its router meets a SYN too early, and drops it or answers RST."""
    reports = []
    for number, (one, other) in enumerate([("preserving", "mapped"), ("preserving-rst", "mapped-rst")]):
        results = punch(lab[one], lab[other], witnesses, 31_000 + number, skew=3 * DELAY)
        connected = is_one_connection(*results)
        release(results)
        reports.append({"check": f"late {one} {other}", "connected": connected, "resets": results[0].resets,
                        "ok": connected and (results[0].resets > 0) == one.endswith("-rst")})
    return reports


def ipv6(lab: Lab) -> list[dict]:
    """Stateful firewalls for IPv6 on the way: a stranger's SYN is dropped, a simultaneous open goes through."""
    one, other = lab["six"], lab["six-2"]
    stranger = open_at(one, 32_000, (other.ipv6, 32_000), time.monotonic(), False, 0.5)
    results = punch(one, other, [], 32_001)
    connected = is_one_connection(*results)
    release(results)
    return [{"check": "ipv6 stranger", "ok": not stranger.connected and stranger.resets == 0},
            {"check": "ipv6 pair", "connected": connected, "ok": connected}]


def lost_packets(seed: str, loss: float, count: int) -> tuple[set[int], list[float]]:
    """Which of so many packets are lost on the way between two sites, and how long each of the others took."""
    with Lab(seed) as lab:
        # Each site has half: that both lose it is what a packet meets.
        one, other = (lab.site(name, "open", DELAY / 2, loss, DELAY / 4) for name in ["one", "other"])
        with other.host:
            receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with one.host:
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sender, receiver:
            receiver.bind(("0.0.0.0", 9_000))
            receiver.settimeout(0.5)
            receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            for number in range(count):
                sender.sendto(struct.pack("<Id", number, time.monotonic()), (other.address, 9_000))
                time.sleep(0.0005)
            got, took = set(), []
            try:
                while True:
                    # The time of arrival is the kernel's business until it is read: the last ones are exact.
                    number, sent = struct.unpack("<Id", receiver.recv(64))
                    got.add(number)
                    took.append(time.monotonic() - sent)
            except TimeoutError:
                pass
    return set(range(count)) - got, took


def wire(seed: str) -> list[dict]:
    """The wire loses as much as it should, and with the same seed the same packets."""
    count, loss = 1_000, 0.05
    first, took = lost_packets(seed, loss, count)
    again, _ = lost_packets(seed, loss, count)
    other, _ = lost_packets(f"{seed} other", loss, count)
    share = len(first) / count
    return [
        # Within four standard deviations of what two losses of 5 % make.
        {"check": "wire loss", "share": share, "ok": abs(share - 0.0975) < 0.0375},
        {"check": "wire repeats", "ok": first == again and first != other},
        {"check": "wire delay", "milliseconds": round(1e3 * min(took), 2), "ok": DELAY <= min(took) < DELAY + 0.01}]


def run(arguments) -> list[dict]:
    with Lab(arguments.seed) as lab:
        for name in ["w1", "w2"]:
            lab.site(name, "open", delay=DELAY / 2)
        for kind in KINDS:
            lab.site(kind, kind, delay=DELAY / 2)
            lab.site(f"{kind}-2", kind, delay=DELAY / 2)
        lab.site("six", "preserving", delay=DELAY / 2, ipv6=True)
        lab.site("six-2", "double", delay=DELAY / 2, ipv6=True)
        witnesses = [Witness(lab[name]) for name in ["w1", "w2"]]
        reports = mappings(lab, witnesses) + refusals(lab, witnesses[0]) + acquaintances(lab, witnesses[0])
        reports += pairs(lab, witnesses, list(KINDS)) + late(lab, witnesses) + ipv6(lab)
        for witness in witnesses:
            witness.close()
    return reports + wire(arguments.seed)
