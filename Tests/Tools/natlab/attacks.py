# SPDX-License-Identifier: MIT
"""What strangers can make a node do through its coordination endpoint, counted on the wire."""
import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from bitcoin import MAGIC, NODE_HOLEPUNCH, BitcoinPeer, BitcoinWitness, addrv2, frame, receive
from captures import segments, syns
from coordination import (ENDPOINTS, HELLO, INDEPENDENT, IPV4_ABILITY, PUNCH, RESULT, TIMED_OUT,
                          LyingResponder, Talk, endpoints, go, hello)
from daemons import Daemon, Failure, until
from lab import Lab, Site
from matrix import HIDDEN_PORT, punch_settings
from rendezvous import Rendezvous

# What the protocol's document promises; the numbers are written here once more on purpose.
SYNS_PER_TARGET, SYNS_PER_ADDRESS = 8, 24
BURST, SECONDS_PER_TOKEN, ATTEMPTS = 8, 15, 2
COORDINATIONS, SECONDS_PER_ENDPOINT_TOKEN, WHOLE_SECONDS = 4, 30, 30
FLOOD_PER_MINUTE = 10_000
OFFERS_PER_LINK, LINKS_PER_OFFER, OFFER_SECONDS, OFFER_NETWORK = 24, 2, 600, 0xF0
# An offer waits for at most 40 seconds before it goes on.
RELAY_SECONDS = 45
ENDPOINT_PORT, VICTIM_PORT = 7_000, 25_565


class Bench:
    """A node A with an endpoint, a node B that behaves, an attacker, and somebody who has nothing to do with it."""

    def __init__(self, lab: Lab, arguments, **liars) -> None:
        self.lab, self.arguments = lab, arguments
        delay = 0.01
        self.witnesses = [
            BitcoinWitness(lab.site(f"w{index}", "open", delay), seen=liars.get(f"w{index}", lambda address: address))
            for index in range(4)]
        self.hub, self.attacker = lab.site("hub", "open", delay), lab.site("attacker", "open", delay)
        # One says nothing to SYNs, the other one answers RST.
        self.victims = [lab.site("victim", "firewall", delay), lab.site("refusing", "open", delay)]
        self.a, self.b = lab.site("a", "preserving", delay), lab.site("b", "mapped", delay)
        self.rendezvous = Rendezvous(self.hub, [ENDPOINT_PORT], self.a, HIDDEN_PORT)
        self.daemons: list[Daemon] = []

    @property
    def endpoint(self) -> tuple[str, int]:
        return self.hub.address, ENDPOINT_PORT

    def start(self, site: Site, **punch) -> Daemon:
        daemon = Daemon(site, f"{site.name}-d{len(self.daemons)}", self.arguments.binaries,
                        {"punch": punch_settings(self.witnesses, **punch)})
        self.daemons.append(daemon)
        daemon.check_nat()
        return daemon

    def start_a(self) -> Daemon:
        return self.start(self.a, offer=8, coordination=[f"direct:127.0.0.1:{HIDDEN_PORT}"])

    def punch(self, b: Daemon) -> dict:
        return b.operate("punch", {"endpoint": self.rendezvous.endpoint})

    def stop(self) -> None:
        for daemon in self.daemons:
            daemon.stop()
        self.daemons = []

    def close(self) -> None:
        self.stop()
        self.rendezvous.close()
        for witness in self.witnesses:
            witness.close()


def ask_for(bench: Bench, victim: tuple[str, int], attempts: int = ATTEMPTS, ahead: int = 300_000) -> int:
    """Calls A and says that we are somebody else; how many moments were agreed on."""
    talk = Talk.to(bench.attacker, bench.endpoint, 30)
    agreed = 0
    try:
        talk.handshake()
        talk.send(hello(INDEPENDENT, IPV4_ABILITY))
        talk.next(HELLO)
        for attempt in range(1, attempts + 1):
            now = talk.clock()
            talk.send(endpoints(attempt, PUNCH, victim))
            talk.next(ENDPOINTS)
            talk.send(go(attempt, PUNCH, now + ahead))
            agreed += 1
            result = talk.next(RESULT)
            if result[2] == 0:
                return agreed
            talk.send(bytes([RESULT, attempt, TIMED_OUT]))
    except OSError:
        pass
    finally:
        talk.close()
    return agreed


def lying_initiator(bench: Bench) -> dict:
    """A is told to connect to a third party, again and again, also at other ports of it."""
    counts = {}
    for victim in bench.victims:
        # Limits hold for all who ask: another life, so that the first victim does not spare the second one.
        bench.stop()
        bench.start_a()
        capture = bench.lab.capture(f"lying-initiator-{victim.name}")
        agreed = sum(ask_for(bench, (victim.address, VICTIM_PORT + index)) for index in range(6))
        bench.lab.capture(None)
        got = syns(segments(capture), victim.address)
        ports = [segment.target[1] for segment in got]
        counts[victim.name] = {"agreed": agreed, "syns": len(got),
                               "at_one_port": max((ports.count(port) for port in ports), default=0)}
    return {**counts, "ok": all(
        each["agreed"] >= 1 and 1 <= each["syns"] <= SYNS_PER_ADDRESS
        and each["at_one_port"] <= SYNS_PER_TARGET * ATTEMPTS for each in counts.values())}


def forbidden_targets(bench: Bench) -> dict:
    """A is told to connect to its own network, to itself, to a mail server."""
    bench.start_a()
    targets = [("192.168.7.1", 8_080), ("127.0.0.1", HIDDEN_PORT), (bench.victims[0].address, 25), ("224.0.0.1", 5_000),
               ("0.0.0.0", 8_333), ("169.254.1.1", 8_333)]
    capture = bench.lab.capture("forbidden")
    for target in targets:
        ask_for(bench, target, attempts=1)
    bench.lab.capture(None)
    addresses = {target[0] for target in targets}
    got = [segment for segment in segments(capture) if segment.is_first_syn and segment.target[0] in addresses]
    return {"syns": len(got), "ok": not got}


def lying_responder(bench: Bench) -> dict:
    """B is told the address of a third party by the endpoint that it calls."""
    b = bench.start(bench.b)
    liar = LyingResponder(bench.attacker, 7_100, (bench.victims[0].address, VICTIM_PORT))
    capture = bench.lab.capture("lying-responder")
    outcomes = []
    for _ in range(4):
        try:
            outcomes.append(b.operate("punch", {"endpoint": f"direct:{bench.attacker.address}:7100"})["outcome"])
        except Failure as error:
            outcomes.append(str(error))
    bench.lab.capture(None)
    liar.close()
    got = syns(segments(capture), bench.victims[0].address)
    return {"outcomes": outcomes, "syns": len(got), "calls": liar.calls,
            "ok": liar.calls >= 1 and 1 <= len(got) <= SYNS_PER_ADDRESS and "connected" not in outcomes}


def clock_attack(bench: Bench) -> dict:
    """A moment an hour ahead, one long ago, and one at the end of the clock: A neither waits nor crashes."""
    a = bench.start_a()
    capture = bench.lab.capture("clock")
    began = time.monotonic()
    for ahead in [3_600_000_000, -3_600_000_000, (1 << 63) - 1, -(1 << 63)]:
        ask_for(bench, (bench.victims[0].address, VICTIM_PORT), attempts=1, ahead=ahead)
    seconds = time.monotonic() - began
    bench.lab.capture(None)
    got = syns(segments(capture), bench.victims[0].address)
    return {"syns": len(got), "seconds": round(seconds, 1), "running": a.process.poll() is None,
            "ok": not got and a.process.poll() is None and a.attached() and seconds < 60}


def one_request(bench: Bench) -> str:
    """A request as a stranger makes it; what became of it."""
    try:
        talk = Talk.to(bench.attacker, bench.endpoint, 10)
    except OSError as error:
        return f"not connected: {type(error).__name__}"
    try:
        talk.handshake()
        talk.send(hello())
        talk.next(HELLO)
        return "taken"
    except ConnectionRefusedError as error:
        return str(error)
    except OSError as error:
        return type(error).__name__
    finally:
        talk.close()


def flood(bench: Bench) -> dict:
    """10,000 requests a minute: A makes few connections for them, and serves others when it is over."""
    a, b = bench.start_a(), bench.start(bench.b)
    seconds = bench.arguments.flood_seconds
    capture = bench.lab.capture("flood")
    began, outcomes, number = time.monotonic(), {}, 0
    total = FLOOD_PER_MINUTE * seconds // 60
    # Each waits for its answer, up to half a second.
    with ThreadPoolExecutor(128) as pool:
        futures = []
        while number < total:
            time.sleep(max(0.0, began + number * 60 / FLOOD_PER_MINUTE - time.monotonic()))
            futures.append(pool.submit(one_request, bench))
            number += 1
        for future in futures:
            outcomes[future.result()] = outcomes.get(future.result(), 0) + 1
    elapsed = time.monotonic() - began
    bench.lab.capture(None)
    made = [segment for segment in segments(capture) if segment.is_first_syn and segment.source[0] == bench.a.address]
    allowed = (BURST + elapsed / SECONDS_PER_TOKEN + 1) * ATTEMPTS
    # A token of the endpoint's later.
    time.sleep(SECONDS_PER_ENDPOINT_TOKEN + 1)
    after = bench.punch(b)
    return {"requests": number, "seconds": round(elapsed, 1), "per_minute": round(number * 60 / elapsed),
            "outcomes": outcomes, "connections": len(made),
            "allowed": round(allowed), "after": after["outcome"], "reason": after.get("reason"),
            "ok": len(made) <= allowed and a.process.poll() is None and after["outcome"] == "connected"}


def idle(bench: Bench) -> dict:
    """Connections that say nothing, that stop in the middle, that send a byte at a time; B gets through meanwhile."""
    bench.start_a()
    b = bench.start(bench.b)
    held: list[socket.socket] = []
    for _ in range(20):
        with bench.attacker.host:
            connection = socket.create_connection(bench.endpoint, 10)
        held.append(connection)
    for connection in held[:5]:
        connection.sendall(bytes.fromhex("fabfb5da") + b"version\0")
    began = time.monotonic()
    report = bench.punch(b)
    # They are closed without our doing.
    open_ones = list(held)
    while open_ones and time.monotonic() < began + 40:
        for connection in list(open_ones):
            connection.settimeout(0.05)
            try:
                connection.send(b"\0")
                if connection.recv(4_096) == b"":
                    open_ones.remove(connection)
            except TimeoutError:
                pass
            except OSError:
                open_ones.remove(connection)
        time.sleep(0.5)
    for connection in held:
        connection.close()
    return {"outcome": report["outcome"], "reason": report.get("reason"), "left_open": len(open_ones),
            "ok": report["outcome"] == "connected" and not open_ones}


def half_open(bench: Bench) -> dict:
    """All places are taken by coordinations that go no further; they are free again in time, and cost little."""
    bench.start_a()
    b = bench.start(bench.b)
    capture = bench.lab.capture("half-open")
    began, talks = time.monotonic(), []
    for _ in range(COORDINATIONS):
        talk = Talk.to(bench.attacker, bench.endpoint, 10)
        talk.handshake()
        talk.send(hello())
        talk.next(HELLO)
        talks.append(talk)
    busy = bench.punch(b)["outcome"]
    outcome = busy
    while outcome != "connected" and time.monotonic() < began + WHOLE_SECONDS + SECONDS_PER_ENDPOINT_TOKEN + 5:
        time.sleep(2)
        outcome = bench.punch(b)["outcome"]
    seconds = time.monotonic() - began
    for talk in talks:
        talk.close()
    bench.lab.capture(None)
    made = [segment for segment in segments(capture) if segment.is_first_syn and segment.source[0] == bench.a.address]
    allowed = (COORDINATIONS + 1) * ATTEMPTS + SYNS_PER_TARGET
    return {"while_taken": busy, "seconds": round(seconds, 1), "outcome": outcome, "connections": len(made),
            "ok": busy != "connected" and outcome == "connected" and len(made) <= allowed}


def garbage(bench: Bench) -> dict:
    """Bytes that are no messages, messages in the wrong order, and Bitcoin's other messages: A lives on, and gives
    neither addresses nor blocks."""
    a = bench.start_a()
    magic = MAGIC["regtest"]
    for data in [os.urandom(2_000), b"GET / HTTP/1.1\r\n\r\n", frame(magic, "hpunch", hello()),
                 frame(magic, "version", b"\0" * 3), frame(magic, "hpunch", os.urandom(600))]:
        with bench.attacker.host:
            connection = socket.create_connection(bench.endpoint, 10)
        with connection:
            try:
                connection.sendall(data)
                connection.settimeout(0.5)
                connection.recv(4_096)
            except OSError:
                pass
    talk = Talk.to(bench.attacker, bench.endpoint, 3)
    talk.handshake()
    for command, payload in [("getaddr", b""), ("ping", b"\1" * 8), ("mempool", b""), ("sendaddrv2", b"")]:
        talk.connection.sendall(frame(magic, command, payload))
    answers = []
    try:
        while True:
            answers.append(receive(talk.connection, magic)[0])
    except OSError:
        pass
    talk.close()
    return {"answers": answers, "ok": not answers and a.process.poll() is None and a.attached()}


def lying_witness(bench: Bench) -> dict:
    """One of four witnesses names another port, and so A would seem to have a NAT that depends on the endpoint."""
    a = bench.start_a()
    report = a.operate("nat")
    b = bench.start(bench.b)
    outcomes = [bench.punch(b)["outcome"] for _ in range(1)]
    return {"mapping": report["mapping"], "preserves": report.get("preservesPort"), "external": report["external"],
            "confidence": report["confidence"], "outcomes": outcomes,
            "ok": report["mapping"] == "endpoint-independent" and report["external"] == [bench.a.address]
            and outcomes == ["connected"]}


def offer(number: int, seen: float) -> tuple[int, int, int, bytes, int]:
    """An offer of an onion service at an address in a network group of its own, in the second encoding."""
    key, address = os.urandom(32), bytes([60 + number // 200, 1 + number % 200, 1, 1])
    return int(seen), NODE_HOLEPUNCH, OFFER_NETWORK, b"\1\4" + key + b"\1" + address, 8_333


def replayed_offers(bench: Bench) -> dict:
    """A peer tells B a few offers again and again, old ones, ones of the future, and hundreds more."""
    teller, *listeners = peers = [BitcoinPeer(bench.lab.site(f"peer{index}", "open", 0.01)) for index in range(4)]
    try:
        b = Daemon(bench.b, "b-offers", bench.arguments.binaries, {
            "bitcoin": {"connect": [peer.endpoint for peer in peers]}, "punch": punch_settings(bench.witnesses)})
        bench.daemons.append(b)
        until(lambda: all(peer.connections for peer in peers), 20, "links to all peers")
        # The daemon hears of the links a moment after the peers do.
        until(lambda: b.get("/v1/punch")["offerLinks"] == len(peers), 20, "links for offers")
        now = time.time()
        fresh = [offer(number, now) for number in range(8)]
        stale = [offer(100 + number, now - OFFER_SECONDS - 60) for number in range(5)]
        future = [offer(200 + number, now + 3_600) for number in range(5)]
        teller.send("addrv2", addrv2(fresh))
        until(lambda: b.get("/v1/punch/offers")["offers"], 20, "offers at B")
        for _ in range(50):
            teller.send("addrv2", addrv2(fresh))
        teller.send("addrv2", addrv2(stale + future))
        for first in range(0, 500, 10):
            teller.send("addrv2", addrv2([offer(300 + first + number, now) for number in range(10)]))
        time.sleep(RELAY_SECONDS)
        for listener in listeners:
            listener.send("getaddr")
        time.sleep(1)
        known = b.get("/v1/punch/offers")["offers"]
        heard = {listener.site.name: [entry[3] for entry in listener.heard] for listener in listeners}
    finally:
        for peer in peers:
            peer.close()
    entries = [entry for each in heard.values() for entry in each]
    wrong = {entry[3] for entry in stale + future}
    most = max((entries.count(entry) for entry in set(entries)), default=0)
    twice = any(len(each) != len(set(each)) for each in heard.values())
    return {"known": len(known), "relayed": len(entries), "links_per_offer": most, "twice_on_one_link": twice,
            "back_to_the_teller": len(teller.heard), "links_alive": b.get("/v1/punch")["offerLinks"],
            "ok": 1 <= len(known) <= OFFERS_PER_LINK and most <= LINKS_PER_OFFER and len(entries) >= 1 and not twice
            and not wrong & set(entries) and not teller.heard}


CHECKS = {
    check.__name__.replace("_", " "): check
    for check in [lying_initiator, forbidden_targets, lying_responder, clock_attack, garbage, idle, half_open, flood,
                  replayed_offers, lying_witness]}


def run_one(name: str, arguments) -> dict:
    liars = {"w1": lambda address: ("45.200.1.1", 40_000 + os.getpid() % 1_000)} if name == "lying witness" else {}
    with Lab(arguments.seed) as lab:
        bench = Bench(lab, arguments, **liars)
        try:
            report = CHECKS[name](bench)
        except (Failure, OSError) as error:
            report = {"ok": False, "error": f"{type(error).__name__}: {error}",
                      "logs": {daemon.name: daemon.logged() for daemon in bench.daemons}}
        finally:
            bench.close()
    return {"check": f"attack: {name}", **report}


def run_apart(name: str, arguments) -> dict:
    """In a process of its own, which has a lab of its own and ends with this one."""
    child = subprocess.Popen(
        [sys.executable, os.path.dirname(__file__), "--until-input-ends", "attacks", "--only", name, "--binaries",
         arguments.binaries, "--flood-seconds", str(arguments.flood_seconds), "--seed", arguments.seed],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    # Not communicate(), which closes its input at once.
    with ThreadPoolExecutor(1) as pool:
        errors = pool.submit(child.stderr.read)
        output = child.stdout.read()
    child.stdin.close()
    child.wait()
    lines = output.splitlines()
    if not lines:
        return {"check": f"attack: {name}", "ok": False, "error": errors.result()[-2_000:]}
    return json.loads(lines[-1])


def run(arguments) -> list[dict]:
    wanted = [name for name in CHECKS if not arguments.only or arguments.only in name]
    if len(wanted) < 2 or arguments.parallel < 2:
        return [run_one(name, arguments) for name in wanted]
    # Most of what they do is to wait.
    with ThreadPoolExecutor(arguments.parallel) as pool:
        return list(pool.map(lambda name: run_apart(name, arguments), wanted))
