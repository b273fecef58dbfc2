# SPDX-License-Identifier: MIT
"""The ways to a connection in their order, each where those before it cannot work."""
import os

from bitcoin import BitcoinWitness
from daemons import Daemon, Failure, tail, until
from lab import Lab
from matrix import HIDDEN_PORT, PUBLIC_PORT, punch_settings
from rendezvous import Rendezvous

ROUTER = "/usr/sbin/miniupnpd"


def connect(arguments, initiator: dict, responder: dict, relay: bool = False, map_ports: bool = False,
            offered=lambda responder: []) -> dict:
    """What the initiator reports of one punch between two such hosts; both must have a link.

    `offered`: the addresses that the initiator insists on, as it does where offers name some."""
    with Lab(arguments.seed) as lab:
        half = dict(delay=0.015)
        witnesses = [BitcoinWitness(lab.site(f"w{index}", "open", ipv6=True, **half), reaches_back=index < 2)
                     for index in range(4)]
        hub = lab.site("hub", "open", **half)
        b, a = lab.site("b", **initiator, **half), lab.site("a", **responder, **half)
        rendezvous = Rendezvous(hub, [PUBLIC_PORT], a, HIDDEN_PORT)
        daemons = []
        try:
            settings = punch_settings(witnesses) | {"relay": relay, "map_ports": map_ports}
            answering = Daemon(a, "a0", arguments.binaries, {"punch": settings | {
                "offer": 4, "coordination": [f"direct:127.0.0.1:{HIDDEN_PORT}"]}})
            daemons.append(answering)
            asking = Daemon(b, "b0", arguments.binaries, {"punch": settings})
            daemons.append(asking)
            for daemon in daemons:
                daemon.check_nat()
            for site, daemon in [(a, answering), (b, asking)]:
                if site.maps_ports:
                    until(lambda daemon=daemon: any("the router maps ports" in line for line in daemon.logged()), 30,
                          f"the router's mapping for {daemon.name}")
            report = asking.operate("punch", {"endpoint": rendezvous.endpoint, "clearnet": offered(a)})
            if report["outcome"] == "connected":
                for daemon in daemons:
                    until(lambda daemon=daemon: any(link["state"] == "open" for link in daemon.get("/v1/links")), 20,
                          f"a link at {daemon.name}")
            return report
        except Failure as error:
            logs = [daemon.logged() for daemon in daemons]
            return {"outcome": str(error), "logs": logs + [tail(site.log("miniupnpd")) for site in [a, b]]}
        finally:
            for daemon in daemons:
                daemon.stop()
            rendezvous.close()
            for witness in witnesses:
                witness.close()


def run(arguments) -> list[dict]:
    closed = {"kind": "dependent"}
    both = closed | {"ipv6": True}, {"kind": "double", "ipv6": True}
    cases = [
        ("direct", "to a responder without a NAT", closed, {"kind": "open"}, {}),
        ("direct", "to an initiator without a NAT", {"kind": "open"}, closed, {}),
        ("ipv6", "through firewalls", *both, {}),
        ("ipv6", "where addresses of both families are offered", *both,
         {"offered": lambda responder: [responder.address, responder.ipv6]}),
        ("punch", "where the IPv6 address that is offered is a lie", {"kind": "mapped", "ipv6": True},
         {"kind": "preserving", "ipv6": True}, {"offered": lambda responder: [responder.address, "2a0c::1"]}),
        ("not-the-offered", "where the IPv4 address alone is offered", *both,
         {"offered": lambda responder: [responder.address]}),
        ("mapped", "at the responder's router", closed, {"kind": "dependent", "maps_ports": True}, {"map_ports": True}),
        ("mapped", "at the initiator's router", {"kind": "dependent", "maps_ports": True}, closed, {"map_ports": True}),
        ("punch", "where the router refuses to map", {"kind": "mapped"}, {"kind": "preserving"}, {"map_ports": True}),
        ("relayed", "where nothing else works", closed, {"kind": "preserving"}, {"relay": True}),
    ]
    reports = []
    for path, where, initiator, responder, options in cases:
        name = f"{path} {where}"
        if arguments.only and arguments.only not in name:
            continue
        if (initiator.get("maps_ports") or responder.get("maps_ports")) and not os.access(ROUTER, os.X_OK):
            reports.append({"check": name, "ok": True, "skipped": "miniupnpd is not installed"})
            continue
        report = connect(arguments, initiator, responder, **options)
        reports.append({"check": name, "outcome": report["outcome"], "path": report.get("path"),
                        "reason": report.get("reason"), "milliseconds": report.get("milliseconds"),
                        "ok": path == (report.get("path") if report["outcome"] == "connected" else report["outcome"]),
                        **({"logs": report["logs"]} if "logs" in report else {})})
    return reports
