# SPDX-License-Identifier: MIT
"""Punches with real daemons between hosts behind every pair of NAT kinds, and counts."""
import json
import statistics
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field

from bitcoin import BitcoinWitness
from captures import segments
from daemons import Daemon, Failure, tail
from lab import Lab, Site
from nats import KINDS, Kind, connects
from rendezvous import Rendezvous

KIND_NAMES = ["open", "firewall", "firewall-rst", "preserving", "preserving-rst", "mapped", "mapped-rst", "double",
              "dependent", "dependent-rst", "loose", "restricted"]
WITNESSES = 4
# Only so many SYNs go to one address within ten minutes: enough for two runs, of which one needs both its attempts.
RUNS_PER_LIFE = 2
# Each pair has two sites.
PAIRS_PER_LAB = 100
# Where the responder's coordination endpoint listens on its loopback, and the rendezvous in public.
HIDDEN_PORT, PUBLIC_PORT = 7_001, 7_000


@dataclass
class Run:
    """One attempt, as the initiator reports it."""

    connected: bool
    outcome: str
    path: str | None = None
    reason: str | None = None
    attempts: int = 0
    milliseconds: float = 0.0
    round_trips: float | None = None
    own_nat: str = ""
    peer_nat: str = ""
    # What both daemons logged, when it should have connected.
    logs: list[str] = field(default_factory=list)


@dataclass
class Cell:
    """What a pair came to."""

    initiator: str
    responder: str
    possible: bool
    runs: list[Run] = field(default_factory=list)
    # Between the two routers, where nothing may be tried.
    syns: int = 0

    @property
    def successes(self) -> list[Run]:
        return [run for run in self.runs if run.connected]

    @property
    def misjudged(self) -> int:
        """Runs in which a NAT was taken for one of another kind."""
        expected = KINDS[self.initiator].mapping, KINDS[self.responder].mapping
        return sum(run.peer_nat != "" and (run.own_nat, run.peer_nat) != expected for run in self.runs)

    @property
    def failures(self) -> list[str]:
        return sorted({f"{run.outcome}: {run.reason}" for run in self.runs if not run.connected})[:5]


def punch_settings(witnesses: list[BitcoinWitness], **more) -> dict:
    return {"enabled": True, "witnesses": [witness.endpoint for witness in witnesses], "relay": False,
            "map_ports": False, **more}


class Pair:
    """Two hosts, and a rendezvous between them."""

    def __init__(self, lab: Lab, name: str, initiator: Kind, responder: Kind, hub: Site, port: int, arguments) -> None:
        half = dict(delay=arguments.delay / 2000, loss=1 - (1 - arguments.loss / 100) ** 0.5,
                    jitter=arguments.jitter / 2000)
        self.arguments, self.name = arguments, name
        self.initiator = lab.site(f"{name}b", initiator.name, **half)
        self.responder = lab.site(f"{name}a", responder.name, **half)
        self.rendezvous = Rendezvous(
            hub, list(range(port, port + RUNS_PER_LIFE)), self.responder, HIDDEN_PORT, arguments.overlay / 1000,
            arguments.overlay / 4000, name)
        self.cell = Cell(initiator.name, responder.name, connects(initiator, responder))
        self.lives = 0

    def measure(self, runs: int, witnesses: list[BitcoinWitness]) -> None:
        while len(self.cell.runs) < runs:
            self.live(min(RUNS_PER_LIFE, runs - len(self.cell.runs)), witnesses)

    def live(self, runs: int, witnesses: list[BitcoinWitness]) -> None:
        """Some runs with new daemons, so that no limit for ten minutes has a say."""
        self.lives += 1
        self.move()
        daemons: list[Daemon] = []
        settings = [
            (self.responder, punch_settings(
                witnesses, offer=RUNS_PER_LIFE, coordination=[f"direct:127.0.0.1:{HIDDEN_PORT}"])),
            (self.initiator, punch_settings(witnesses))]

        def start(site: Site, punch: dict) -> Daemon:
            daemon = Daemon(site, f"{site.name}{self.lives}", self.arguments.binaries, {"punch": punch},
                            level=self.arguments.log_level)
            daemons.append(daemon)
            daemon.check_nat()
            return daemon

        try:
            with ThreadPoolExecutor(2) as pool:
                _, asking = (future.result() for future in [pool.submit(start, *each) for each in settings])
            for number in range(runs):
                self.cell.runs.append(self.punch(asking, number, daemons))
        except (Failure, OSError) as error:
            self.cell.runs.append(Run(False, "error", reason=str(error), logs=logs(daemons)))
        finally:
            for daemon in daemons:
                daemon.stop()
            if self.arguments.verbose:
                print(*logs(daemons), sep="\n", file=sys.stderr)
            for daemon in daemons:
                daemon.forget()

    def move(self) -> None:
        """Other external addresses, rules set anew."""
        for site in [self.initiator, self.responder]:
            number = site.addresses.index(site.address) + 1
            site.use_address(site.addresses[number % len(site.addresses)])

    def punch(self, asking: Daemon, number: int, daemons: list[Daemon]) -> Run:
        try:
            report = asking.operate("punch", {"endpoint": self.rendezvous.endpoints[number]})
        except Failure as error:
            return Run(False, "error", reason=str(error), logs=logs(daemons))
        connected = report["outcome"] == "connected"
        return Run(
            connected, report["outcome"], report.get("path"), report.get("reason"), report["attempts"],
            report["milliseconds"], report.get("roundTrips"), report["ownNAT"], report["peerNAT"],
            [] if connected or not self.cell.possible else logs(daemons))


def logs(daemons: list[Daemon]) -> list[str]:
    return [line for daemon in daemons for line in [f"-- {daemon.name}", *tail(daemon.log, 60)]]


def measure(arguments) -> list[Cell]:
    """So many runs of each pair, several pairs at once."""
    kinds = arguments.kinds.split(",") if arguments.kinds else KIND_NAMES
    if unknown := [name for name in kinds if name not in KINDS]:
        raise SystemExit(f"there is no kind {unknown[0]}; there are {', '.join(KINDS)}")
    initiators = arguments.initiators.split(",") if arguments.initiators else kinds
    if unknown := [name for name in initiators if name not in KINDS]:
        raise SystemExit(f"there is no kind {unknown[0]}; there are {', '.join(KINDS)}")
    chosen = [(one, other) for one in initiators for other in kinds]
    if arguments.pairs:
        chosen = [tuple(pair.split(":")) for pair in arguments.pairs.split(",")]
    cells: list[Cell] = []
    begun, lock = time.monotonic(), threading.Lock()
    for first in range(0, len(chosen), PAIRS_PER_LAB):
        with Lab(arguments.seed) as lab:
            half = arguments.delay / 2000
            witnesses = [BitcoinWitness(lab.site(f"w{index}", "open", half), reaches_back=index < 2)
                         for index in range(WITNESSES)]
            hub = lab.site("hub", "open", half)
            pairs = [Pair(lab, f"p{index}", KINDS[one], KINDS[other], hub,
                          PUBLIC_PORT + index * RUNS_PER_LIFE, arguments)
                     for index, (one, other) in enumerate(chosen[first:first + PAIRS_PER_LAB])]

            def work(pair: Pair) -> None:
                cell = pair.cell
                pair.measure(arguments.runs if cell.possible else min(arguments.runs, arguments.impossible), witnesses)
                with lock:
                    save(arguments, cells + [each.cell for each in pairs if each.cell.runs])
                    print(json.dumps({
                        "initiator": cell.initiator, "responder": cell.responder, "possible": cell.possible,
                        "runs": len(cell.runs), "connected": len(cell.successes),
                        "others": cell.failures, "seconds": round(time.monotonic() - begun)}), flush=True)

            impossible = [pair for pair in pairs if not pair.cell.possible]
            others = [pair for pair in pairs if pair.cell.possible]
            with ThreadPoolExecutor(arguments.parallel) as pool:
                # Captured alone: all the others would make a large file.
                capture = lab.capture("impossible")
                list(pool.map(work, impossible))
                lab.capture(None)
                count_syns(impossible, capture)
                list(pool.map(work, others))
            cells += [pair.cell for pair in pairs]
            for witness in witnesses:
                witness.close()
            for pair in pairs:
                pair.rendezvous.close()
    return cells


def save(arguments, cells: list[Cell]) -> None:
    """All that was measured so far."""
    if arguments.output:
        with open(arguments.output, "w") as file:
            json.dump({"delay": arguments.delay, "loss": arguments.loss, "jitter": arguments.jitter,
                       "overlay": arguments.overlay, "cells": [asdict(cell) for cell in cells]}, file)


def count_syns(pairs: list[Pair], capture: str) -> None:
    found = [{each.source[0], each.target[0]} for each in segments(capture) if each.is_first_syn]
    for pair in pairs:
        both = set(pair.initiator.addresses), set(pair.responder.addresses)
        pair.cell.syns = sum(all(ends & side for side in both) for ends in found)


def run(arguments) -> list[dict]:
    cells = measure(arguments)
    save(arguments, cells)
    reports = []
    for cell in cells:
        good = len(cell.successes)
        first = sum(run.attempts <= 1 for run in cell.successes)
        # 99 of 100, and never fewer than all but one.
        enough = good >= 0.99 * len(cell.runs) if cell.possible else good == 0 and cell.syns == 0
        enough = enough and cell.misjudged <= 0.01 * len(cell.runs)
        reports.append({
            "check": f"punch {cell.initiator} {cell.responder}", "possible": cell.possible, "runs": len(cell.runs),
            "connected": good, "at_first_attempt": first, "paths": sorted({run.path for run in cell.successes}),
            "median_milliseconds": round(statistics.median([run.milliseconds for run in cell.successes] or [0])),
            "others": cell.failures, "syns": cell.syns, "misjudged_nats": cell.misjudged,
            "ok": enough})
    return reports
