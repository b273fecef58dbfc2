# SPDX-License-Identifier: MIT
"""The whole way: an offer travels over clearnet links, Tor or I2P arranges, and two nodes behind NATs connect.

What crosses the network is captured and searched for anything that ties the endpoint to the node.
"""
import base64
import os
import socket
import struct
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from bitcoin import MAGIC, BitcoinWitness, frame
from captures import Stream, is_tcp, packets, segments, streams
from coordination import AGENT, HELLO, SERVICE_FLAG, Talk, hello
from daemons import Bitcoind, Daemon, Failure, until
from lab import HERE, Lab, Site
from regtest_node import RegtestNode
from sam_visitor import SAMVisitor
from rendezvous import Forwarder
from tor_network import TorClient, TorFailure, TorNetwork

NETWORK_PORT, SOCKS_PORT, CONTROL_PORT, SAM_PORT = 8_333, 9_050, 9_051, 7_656
I2P_TOOL = os.path.join(os.path.dirname(HERE), "i2p_network.py")
I2P_SECONDS = 240
PROOF = 32
# Offers take two hops, each after a random delay of up to 40 s, and begin when the endpoint has come up.
OFFER_SECONDS, LINK_SECONDS, SYNC_SECONDS = 180, 60, 60
# An onion service that was just started anew may still have its former descriptor somewhere. Whom a call did not reach is
# called again after four minutes.
RETRY_SECONDS = 270
BLOCKS = 120


class Bench:
    """Two nodes behind NATs, each with a Tor of its own, a public node between them, and witnesses."""

    def __init__(self, lab: Lab, arguments) -> None:
        self.lab, self.arguments = lab, arguments
        half = dict(delay=0.02, loss=0.002, jitter=0.005)
        self.witnesses = [BitcoinWitness(lab.site(f"w{index}", "open", **half), reaches_back=index < 2)
                          for index in range(4)]
        self.public = lab.site("public", "open", **half)
        self.a = lab.site("a", "preserving-rst", ipv6=True, **half)
        self.b = lab.site("b", "mapped", ipv6=True, **half)
        self.relays = lab.site("tor", "open", delay=0.005)
        self.tor: TorNetwork | None = None
        self.clients: dict[str, TorClient] = {}
        self.daemons: dict[str, Daemon] = {}
        self.bridges: list[Forwarder] = []
        self.i2p: subprocess.Popen | None = None

    def start_i2p(self) -> float:
        """Routers in a namespace of theirs, and a SAM bridge on the loopback of each host."""
        began = time.monotonic()
        self.i2p = subprocess.Popen(
            ["/usr/bin/python3", I2P_TOOL, "--directory", f"{self.lab.directory}/i2p"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)
        ports = []
        deadline = threading.Timer(I2P_SECONDS, self.i2p.kill)
        deadline.start()
        for line in self.i2p.stdout:
            if line.startswith("SAM "):
                ports.append(int(line.rsplit(":", 1)[1]))
            elif line.startswith("READY"):
                break
        deadline.cancel()
        if len(ports) < 2 or self.i2p.poll() is not None:
            raise Failure("the private I2P network does not come up")
        for site, port in zip([self.a, self.b], ports):
            self.bridges.append(Forwarder(site.host, [("127.0.0.1", SAM_PORT)], None, ("127.0.0.1", port)))
        return time.monotonic() - began

    def start_tor(self) -> float:
        """Relays in public, and a Tor on each host."""
        if self.tor:
            return 0.0
        directory = f"{self.lab.directory}/tor"
        os.makedirs(directory)
        self.tor = TorNetwork(
            directory, lambda command, log: self.relays.host.start(*command, log=log), self.relays.addresses[:7], 5_000)
        for site in [self.a, self.b]:
            self.clients[site.name] = self.tor.client(
                f"client-{site.name}", lambda command, log, site=site: site.host.start(*command, log=log),
                SOCKS_PORT, CONTROL_PORT, lambda address, timeout, site=site: connect(site, address, timeout))
        return self.tor.wait()

    def punch(self, overlay: str = "tor", **more) -> dict:
        ways = {"tor": {"tor_control": f"127.0.0.1:{CONTROL_PORT}", "socks": f"127.0.0.1:{SOCKS_PORT}"},
                "i2p": {"sam": f"127.0.0.1:{SAM_PORT}"}}
        return {"enabled": True, "coordination": [overlay], "map_ports": False, "ipv6": False,
                "witnesses": [witness.endpoint for witness in self.witnesses], **ways[overlay], **more}

    def start(self, site: Site, drivers: dict, **settings) -> Daemon:
        daemon = Daemon(site, f"{site.name}-node{len(self.daemons)}", self.arguments.binaries, drivers, **settings)
        self.daemons[site.name] = daemon
        return daemon

    def stop(self) -> None:
        for daemon in self.daemons.values():
            daemon.stop()
        self.daemons = {}

    def close(self) -> None:
        self.stop()
        if self.tor:
            self.tor.close()
        for bridge in self.bridges:
            bridge.close()
        if self.i2p:
            self.i2p.stdin.close()
            try:
                self.i2p.wait(20)
            except subprocess.TimeoutExpired:
                self.i2p.kill()
                self.i2p.wait()
        for witness in self.witnesses:
            witness.close()


def connect(site: Site, address: tuple[str, int], timeout: float) -> socket.socket:
    with site.host:
        return socket.create_connection(address, timeout)


def offered(daemon: Daemon) -> str | None:
    return next((offer["endpoint"] for offer in daemon.get("/v1/punch/offers")["offers"]), None)


def punched_link(daemon: Daemon) -> dict | None:
    links = daemon.get("/v1/links")
    return next((link for link in links if link["driver"] == "punch" and link["state"] == "open"), None)


# MARK: What the capture says


def clearnet(found: list[Stream], tor: list[str]) -> list[Stream]:
    """What did not go to or come from a Tor relay."""
    return [stream for stream in found if stream.source[0] not in tor and stream.target[0] not in tor]


def messages(stream: Stream, magic: bytes) -> tuple[list[tuple[str, bytes]], bytes]:
    """The Bitcoin messages of a stream, and all bytes that are none."""
    data, found, rest = bytes(stream.data), [], b""
    if data[:4] != magic and data[PROOF:PROOF + 4] == magic:
        rest, data = data[:PROOF], data[PROOF:]
    while len(data) >= 24 and data[:4] == magic:
        length = struct.unpack("<I", data[16:20])[0]
        found.append((data[4:16].rstrip(b"\0").decode(errors="replace"), data[24:24 + length]))
        data = data[24 + length:]
    return found, rest + data


def traces(key: bytes, onion: str) -> dict[str, bytes]:
    """Forms in which the endpoint could appear."""
    return {"text": onion.split(".")[0].encode(), "key": key, "hex": key.hex().encode(),
            "base64": base64.b64encode(key)[:-1], "reversed": key[::-1]}


def leaks(capture: str, tor: list[str], endpoint: str, magic: bytes) -> tuple[list[str], int]:
    """Where the endpoint appears outside advertisements, and how often it appears in them."""
    found = clearnet(streams(segments(capture)), tor)
    onion = endpoint.split(":")[0]
    label = onion.split(".")[0].upper()
    key = base64.b32decode(label + "=" * (-len(label) % 8))[:32]
    wanted, leaked, advertised = traces(key, onion), [], 0
    for at, packet in packets(capture):
        if not is_tcp(packet):
            leaked += [f"{form} in a packet at {at} without TCP" for form, trace in wanted.items() if trace in packet]
    for stream in found:
        inside, rest = messages(stream, magic)
        for command, payload in [*inside, ("no message", rest)]:
            for form, trace in wanted.items():
                if trace not in payload and trace.upper() not in payload:
                    continue
                if command == "addrv2" and form == "key":
                    advertised += 1
                else:
                    leaked.append(f"{form} in {command} from {stream.source} to {stream.target}")
    return leaked, advertised


def version_fields(payload: bytes) -> dict:
    protocol, services, timestamp = struct.unpack_from("<iQq", payload)
    length = payload[80]
    height = struct.unpack_from("<i", payload, 81 + length)[0]
    return {"protocol": protocol, "services": services, "timestamp": timestamp, "addresses": payload[20:72],
            "nonce": payload[72:80], "agent": payload[81:81 + length], "height": height}


def visit(connection: socket.socket) -> tuple[dict, int, float]:
    """The version message of an endpoint, and its session clock, as a stranger gets them."""
    talk = Talk(connection)
    try:
        talk.handshake()
        for command in ["getaddr", "mempool"]:
            talk.connection.sendall(frame(MAGIC["regtest"], command))
        talk.send(hello())
        talk.next(HELLO)
        return version_fields(talk.version), talk.clock(), time.monotonic()
    finally:
        talk.close()


def shows(clock: int, data: bytes) -> bool:
    """Whether any eight bytes are a reading of a clock in microseconds, of up to ten minutes before or after this one."""
    return any(abs(int.from_bytes(data[start:start + 8], order) - clock) < 600 * 10**6
               for start in range(len(data) - 7) for order in ("little", "big"))


def unlinkable(bench: Bench, capture: str, endpoint: str, visits: list[tuple[dict, int, float]]) -> dict:
    """Whether anything that a stranger sees of the endpoint leads to the node, in what crossed the network."""
    magic = MAGIC["regtest"]
    bench.lab.tell(flush=True)
    public = clearnet(streams(segments(capture)), bench.relays.addresses)
    leaked, advertised = leaks(capture, bench.relays.addresses, endpoint, magic)
    shown, own = [version for version, _, _ in visits], []
    # What the endpoint said of itself on a connection, wherever the node or another could repeat it in the clear.
    for version, clock, _ in visits:
        for each in public:
            if version["nonce"] in bytes(each.data):
                leaked.append(f"nonce from {each.source} to {each.target}")
            if each.source[0] == bench.a.address and shows(clock, bytes(each.data)):
                leaked.append(f"clock from {each.source} to {each.target}")
    for stream in public:
        if stream.source[0] == bench.a.address:
            own += [version_fields(payload) for command, payload in messages(stream, magic)[0] if command == "version"]
    nonces = [version["nonce"] for version in [*shown, *own]]
    wrong = [name for version in shown for name, value in [
        ("protocol", 70_016), ("services", SERVICE_FLAG), ("timestamp", 0), ("agent", AGENT), ("height", 0)]
        if version[name] != value]
    wrong += ["addresses" for version in shown if any(version["addresses"][8:24]) or any(version["addresses"][34:50])]
    # The session's clock must not be the machine's: two visits would show how much time passed between them.
    (_, first, at), (_, second, later) = visits[:2]
    same_clock = abs((second - first) / 1e6 - (later - at)) < 1
    # Nor may one reading be that of a clock that the node shows elsewhere, or has at all.
    clocks = [time.time(), time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME)]
    same_clock = same_clock or any(
        abs(reading / 1e6 - (clock - (time.monotonic() - moment))) < 60
        for _, reading, moment in visits for clock in clocks)
    agents = {version["agent"] for version in own}
    return {"streams": len(public), "own_versions": len(own), "leaks": leaked, "advertised": advertised,
            "wrong_fields": sorted(set(wrong)), "repeated_nonces": len(nonces) - len(set(nonces)),
            "same_clock": same_clock,
            "ok": not leaked and not wrong and advertised >= 1 and len(nonces) == len(set(nonces)) and len(own) >= 3
            and not same_clock and AGENT not in agents}


# MARK: Checks


def connected(bench: Bench, overlay: str) -> tuple[dict, str, str, Daemon]:
    """An offer of A reaches B through a public node, and B connects; headers come over the link."""
    capture = bench.lab.capture(overlay)
    bench.start(bench.public, {"bitcoin": {"listen": [f"0.0.0.0:{NETWORK_PORT}"]}})
    peer = f"{bench.public.address}:{NETWORK_PORT}"
    a = bench.start(bench.a, {"bitcoin": {"connect": [peer]}, "punch": bench.punch(overlay, offer=4)})
    b = bench.start(bench.b, {"bitcoin": {"connect": [peer]}, "punch": bench.punch(overlay)})
    began = time.monotonic()
    endpoint = until(lambda: offered(b), OFFER_SECONDS, "an offer at B")
    offer_seconds = time.monotonic() - began
    began = time.monotonic()
    result = b.altnet("punch", endpoint, "--json")
    seconds = time.monotonic() - began
    for node in [a, b]:
        until(lambda node=node: punched_link(node), LINK_SECONDS,
              f"the punched link at {node.name} ({result.stdout.strip()} {result.stderr.strip()})")
    attempts = {node.name: node.get("/v1/punch/attempts")["punches"][0] for node in [a, b]}
    a.altnet("regtest", "mine", "--count", "3")
    until(lambda: b.get("/v1/status")["chain"]["height"] == 3, LINK_SECONDS, "A's headers at B")
    between = segments_between(bench, capture)
    report = {
        "check": f"punch over {overlay}", "offer_seconds": round(offer_seconds, 1), "seconds": round(seconds, 1),
        "status": result.returncode, "errors": result.stderr.strip(),
        "outcomes": {name: (each["role"], each["outcome"], each.get("path")) for name, each in attempts.items()},
        "round_trips": attempts[b.name].get("roundTrips"), "packets_between_the_nats": len(between),
        "ok": result.returncode == 0 and len(between) > 3 and all(
            report["outcome"] == "connected" and report["path"] == "punch" for report in attempts.values())}
    return report, capture, endpoint, a


def over_tor(bench: Bench) -> list[dict]:
    bench.start_tor()
    report, capture, endpoint, _ = connected(bench, "tor")
    host, port = endpoint.rsplit(":", 1)
    visits = [visit(bench.clients["b"].reach(host, int(port), 30)) for _ in range(2)]
    reports = [report, {"check": "unlinkable", **unlinkable(bench, capture, endpoint, visits)}]
    bench.lab.capture(None)
    return reports


def unasked(bench: Bench) -> list[dict]:
    """B connects by itself. A offers an address of each family; each offer takes its own time, so that B knows one of
    them or both when it calls, and tries no other family."""
    bench.start_tor()
    bench.start(bench.public, {"bitcoin": {"listen": [f"0.0.0.0:{NETWORK_PORT}"]}})
    peer = {"connect": [f"{bench.public.address}:{NETWORK_PORT}"]}
    bench.start(bench.a, {"bitcoin": peer, "punch": bench.punch(offer=4, ipv6=True)})
    b = bench.start(bench.b, {"bitcoin": peer, "punch": bench.punch(ipv6=True)}, punch={"outbound": 1})
    until(lambda: punched_link(b), OFFER_SECONDS + RETRY_SECONDS + LINK_SECONDS, "a punched link that nobody asked for")
    both = sorted([bench.a.address, bench.a.ipv6])

    def offers() -> list[str]:
        return sorted(offer.get("clearnet") for offer in b.get("/v1/punch/offers")["offers"])
    until(lambda: offers() == both, OFFER_SECONDS, "the other offer at B")
    outcomes = [(each["outcome"], each.get("path")) for each in b.get("/v1/punch/attempts")["punches"]]
    reached = [each for each in outcomes if each[0] != "unreachable"]
    return [{"check": "unasked at either family", "offers": both, "outcomes": outcomes,
             "ok": reached in ([("connected", "ipv6")], [("connected", "punch")])}]


def over_i2p(bench: Bench) -> list[dict]:
    if not os.access("/usr/sbin/i2pd", os.X_OK):
        return [{"check": "punch over i2p", "ok": True, "skipped": "i2pd is not installed"}]
    seconds = bench.start_i2p()
    with ThreadPoolExecutor(1) as pool:
        # Its tunnels take as long as an offer.
        visiting = pool.submit(SAMVisitor, bench.b, SAM_PORT)
        report, capture, endpoint, _ = connected(bench, "i2p")
        visitor = visiting.result()
    try:
        visits = [visit(visitor.reach(endpoint.rsplit(":", 1)[0])) for _ in range(2)]
    finally:
        visitor.close()
    reports = [report | {"network_seconds": round(seconds, 1)},
               {"check": "unlinkable over i2p", **unlinkable(bench, capture, endpoint, visits)}]
    bench.lab.capture(None)
    return reports


def node_to_node(bench: Bench) -> list[dict]:
    """Two unmodified nodes behind the NATs exchange blocks, with nothing between them but a punched connection."""
    program = os.environ.get("ALTNET_BITCOIND")
    if not program:
        return [{"check": "blocks between two nodes", "ok": True, "skipped": "ALTNET_BITCOIND names no bitcoind"}]
    bench.start_tor()
    capture = bench.lab.capture("nodes")
    core_a = Bitcoind(bench.a, "core-a", program, "-bind=127.0.0.1:18444")
    core_b = Bitcoind(bench.b, "core-b", program, "-listen=0")
    tip = core_a.mine(BLOCKS)
    a = bench.start(bench.a, {"punch": bench.punch(offer=4, use="node", relay=False)},
                    splice={"accept": "127.0.0.1:18444"})
    b = bench.start(bench.b, {"punch": bench.punch(use="node", relay=False)}, node={
        "kind": "bitcoin-core", "url": "http://127.0.0.1:18443", "allow": ["peers"],
        "cookie_file": f"{core_b.directory}/regtest/.cookie"})
    a.check_nat()
    b.check_nat()
    endpoint = until(lambda: next(iter(a.operate("stats")["endpoints"]), None), LINK_SECONDS, "A's endpoint")
    began = time.monotonic()
    result = b.altnet("punch", endpoint, "--json")
    if result.returncode:
        raise Failure(f"altnet punch: {result.stderr.strip() or result.stdout.strip()}")
    until(lambda: core_b.call("getbestblockhash") == tip, SYNC_SECONDS, f"{BLOCKS} blocks at B's node")
    seconds = time.monotonic() - began
    tips = [core_a.mine(3)]
    until(lambda: core_b.call("getbestblockhash") == tips[0], SYNC_SECONDS, "new blocks at B's node")
    tips.append(core_b.mine(2))
    until(lambda: core_a.call("getbestblockhash") == tips[1], SYNC_SECONDS, "B's blocks at A's node")
    peers_a, peers_b = core_a.call("getpeerinfo"), core_b.call("getpeerinfo")
    carried = sum(len(each.payload) for each in segments_between(bench, capture))
    bench.lab.capture(None)
    for core in [core_a, core_b]:
        core.stop()
    return [{"check": "blocks between two nodes", "seconds": round(seconds, 1), "bytes_between_the_nats": carried,
             "a": [(peer["inbound"], peer["connection_type"]) for peer in peers_a],
             "b": [(peer["inbound"], peer["connection_type"]) for peer in peers_b],
             "ok": [peer["inbound"] for peer in peers_a] == [True] and [peer["inbound"] for peer in peers_b] == [False]
             and carried > 100 * BLOCKS}]


def blocks_over_links(bench: Bench) -> list[dict]:
    """Two nodes behind the NATs get each other's blocks through a punched connection. At B it is a link of
    `altnet-punch`, at A it is handed to `altnet-bitcoin`: each asks over it in Bitcoin's protocol for what its node lacks,
    and answers with what its node has."""
    bench.start_tor()
    capture = bench.lab.capture("links")
    nodes = [RegtestNode(bench.a, "node-a"), RegtestNode(bench.b, "node-b")]
    try:
        feeds = {"policy": {"dry_run": False}, "watchdog": {"grace_seconds": 0}}
        own = "127.0.0.1:18444"
        a = bench.start(bench.a, {"bitcoin": {"listen": [own], "serve_blocks": True},
                                  "punch": bench.punch(use="node", offer=4)},
                        node=nodes[0].settings(), splice={"accept": own}, **feeds)
        b = bench.start(bench.b, {"punch": bench.punch(serve_blocks=True)}, node=nodes[1].settings(), **feeds)
        a.check_nat()
        b.check_nat()
        tips = [nodes[0].mine(BLOCKS)]
        endpoint = until(lambda: next(iter(a.operate("stats")["endpoints"]), None), LINK_SECONDS, "A's endpoint")
        result = b.altnet("punch", endpoint, "--json")
        if result.returncode:
            raise Failure(f"altnet punch: {result.stderr.strip() or result.stdout.strip()}")
        began = time.monotonic()
        until(lambda: nodes[1].tip == tips[0], SYNC_SECONDS, f"{BLOCKS} blocks at B's node")
        seconds = time.monotonic() - began
        tips.append(nodes[1].mine(2))
        until(lambda: nodes[0].tip == tips[1], SYNC_SECONDS, "B's blocks at A's node")
        magic, carried = MAGIC["regtest"], {bench.a.address: 0, bench.b.address: 0}
        bench.lab.tell(flush=True)
        for stream in streams(segments(capture)):
            if {stream.source[0], stream.target[0]} == set(carried):
                carried[stream.source[0]] += sum(command == "block" for command, _ in messages(stream, magic)[0])
        bench.lab.capture(None)
    finally:
        for node in nodes:
            node.close()
    counts = [carried[bench.a.address], carried[bench.b.address]]
    return [{"check": "blocks over links", "seconds": round(seconds, 1), "blocks_from_each": counts,
             "ok": counts == [BLOCKS, 2]}]


def segments_between(bench: Bench, capture: str) -> list:
    bench.lab.tell(flush=True)
    ends = {bench.a.address, bench.b.address}
    return [each for each in segments(capture) if {each.source[0], each.target[0]} == ends]


CHECKS = [over_tor, unasked, node_to_node, blocks_over_links, over_i2p]


def run(arguments) -> list[dict]:
    reports = []
    with Lab(arguments.seed) as lab:
        bench = Bench(lab, arguments)
        try:
            for check in CHECKS:
                name = check.__name__.replace("_", " ")
                if arguments.only and arguments.only not in name:
                    continue
                try:
                    reports += check(bench)
                except (Failure, TorFailure, OSError) as error:
                    reports.append({
                        "check": name, "ok": False, "error": f"{type(error).__name__}: {error}",
                        "logs": {daemon.name: daemon.logged() for daemon in bench.daemons.values()}})
                finally:
                    bench.stop()
        finally:
            bench.close()
    return reports
