#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Lets altnetd and an unmodified Bitcoin Core exchange headers on regtest, in both directions.

  bitcoind_sync.py --binaries DIR [--only WORD] [--v2transport default|0]

DIR holds altnetd, altnet and altnet-bitcoin; ALTNET_BITCOIND names bitcoind. Everything stays on loopback and in a
temporary directory. Prints one JSON object for each check; a failed one carries what both sides logged. The exit status
is 0 when all checks passed, 1 when one failed, 2 when none could be made.
"""
import argparse
import base64
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ADDRESS = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
BLOCKS = 2_500
HEADERS = 5_000
# How soon a new block must be known on the other side.
NEWS_SECONDS = 5
SYNC_SECONDS = 60
LOG_LINES = 60


class Failure(Exception):
    """What is wrong, in one sentence."""


def until(condition, seconds: float, what: str):
    """The first result of `condition` that is true, and how long it took."""
    began = time.monotonic()
    last = None
    while time.monotonic() - began < seconds:
        try:
            last = condition()
        except (OSError, http.client.HTTPException, Failure) as error:
            last = error
        if last and not isinstance(last, Exception):
            return last, round(time.monotonic() - began, 2)
        time.sleep(0.05)
    raise Failure(f"{what} did not happen within {seconds} s" + (f": {last}" if isinstance(last, Exception) else ""))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def tail(path: str) -> list[str]:
    try:
        with open(path, errors="replace") as file:
            return file.read().splitlines()[-LOG_LINES:]
    except OSError:
        return []


class Process:
    """A process in a directory of its own, which is ended with the test."""

    def __init__(self, arguments: list[str], log: str) -> None:
        self.log = log
        with open(log, "wb") as output:
            self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def require_running(self) -> None:
        if self.process.poll() is not None:
            raise SystemExit(f"{self.process.args[0]} ended with status {self.process.returncode}: {tail(self.log)}")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Bitcoind(Process):
    def __init__(self, program: str, directory: str, transport: str, *options: str) -> None:
        os.makedirs(directory)
        self.directory = directory
        self.port, self.rpc_port = free_port(), free_port()
        arguments = [
            program, "-regtest", f"-datadir={directory}", f"-rpcport={self.rpc_port}", "-rpcbind=127.0.0.1",
            "-rpcallowip=127.0.0.1", "-dnsseed=0", "-fixedseeds=0", "-listenonion=0", "-natpmp=0", "-discover=0",
            "-i2pacceptincoming=0", "-debug=net", "-printtoconsole=0", *options,
        ]
        if "-listen=0" not in options:
            arguments.append(f"-bind=127.0.0.1:{self.port}")
        if transport != "default":
            arguments.append(f"-v2transport={transport}")
        self.arguments = arguments
        super().__init__(arguments, f"{directory}/output.log")
        until(self.is_ready, 30, "bitcoind's start")

    def start_again(self) -> None:
        Process.__init__(self, self.arguments, f"{self.directory}/output.log")
        until(self.is_ready, 30, "bitcoind's second start")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def is_ready(self) -> bool:
        self.require_running()
        return self.call("getblockcount") is not None

    def call(self, method: str, *parameters):
        with open(f"{self.directory}/regtest/.cookie") as file:
            secret = base64.b64encode(file.read().encode()).decode()
        connection = http.client.HTTPConnection("127.0.0.1", self.rpc_port, timeout=60)
        try:
            connection.request(
                "POST", "/", json.dumps({"id": 1, "method": method, "params": parameters}),
                {"Authorization": f"Basic {secret}"})
            answer = json.loads(connection.getresponse().read() or "{}")
        finally:
            connection.close()
        if answer.get("error"):
            raise Failure(f"bitcoind refuses {method}: {answer['error'].get('message')}")
        return answer.get("result")

    def mine(self, count: int) -> str:
        while count > 0:
            piece = min(count, 250)
            self.call("generatetoaddress", piece, ADDRESS)
            count -= piece
        return self.call("getbestblockhash")

    def best_header(self) -> tuple[int, str]:
        """The longest header chain that it has heard of, whether or not it has the blocks."""
        tips = self.call("getchaintips")
        best = max(tips, key=lambda tip: tip["height"])
        return best["height"], best["hash"]

    def logged(self) -> list[str]:
        return tail(f"{self.directory}/regtest/debug.log")


class Altnet(Process):
    def __init__(self, binaries: str, directory: str, *settings: str) -> None:
        os.makedirs(directory)
        self.binaries = binaries
        self.options = ["--network", "regtest", "--data-directory", directory]
        # The daemon's own waits are longer than what is measured here.
        given = ["sync.behind_probe_seconds=1", "http.listen=127.0.0.1:0", *settings]
        arguments = [f"{binaries}/altnetd", *self.options, "--log-level", "debug"]
        super().__init__(
            arguments + [part for setting in given for part in ("--set", setting)], f"{directory}/altnetd.log")
        until(self.is_ready, 30, "altnetd's start")

    def is_ready(self) -> bool:
        self.require_running()
        return bool(self.ask("status"))

    def ask(self, *command: str):
        return self.run(*command, *self.options, "--json")

    def run(self, *command: str):
        """A command that needs no daemon."""
        result = subprocess.run(
            [f"{self.binaries}/altnet", *command], capture_output=True, text=True, timeout=60)
        if result.returncode != 0:
            raise Failure(f"altnet {' '.join(command)}: {result.stderr.strip() or result.stdout.strip()}")
        return json.loads(result.stdout)

    def tip(self) -> tuple[int, str]:
        chain = self.ask("status")["chain"]
        return chain["height"], chain["tip"]

    def listening(self) -> str:
        addresses, _ = until(
            lambda: self.ask("drivers")[0].get("listening"), 20, "the driver's listening")
        return addresses[0]

    def logged(self) -> list[str]:
        return tail(self.log)


class Bench:
    """Makes processes and ends them; runs checks and prints their results."""

    def __init__(self, bitcoind: str, binaries: str, transport: str, only: str | None) -> None:
        self.bitcoind_program, self.binaries, self.transport, self.only = bitcoind, binaries, transport, only
        # A short path: a Unix socket's has at most 107 bytes.
        self.directory = tempfile.mkdtemp(prefix="altnet-sync-", dir="/tmp")
        self.processes: list[Process] = []
        self.failed = 0

    def bitcoind(self, *options: str) -> Bitcoind:
        directory = f"{self.directory}/b{len(self.processes)}"
        return self.keep(Bitcoind(self.bitcoind_program, directory, self.transport, *options))

    def altnet(self, *settings: str) -> Altnet:
        return self.keep(Altnet(self.binaries, f"{self.directory}/a{len(self.processes)}", *settings))

    def altnet_with_headers(self, *settings: str) -> Altnet:
        """A daemon that has been given headers without blocks."""
        altnet = self.altnet(*settings)
        altnet.ask("headers", "import", self.header_file())
        if altnet.tip()[0] != HEADERS:
            raise Failure(f"the import ended at height {altnet.tip()[0]}")
        return altnet

    def header_file(self) -> str:
        path = f"{self.directory}/headers"
        if not os.path.exists(path):
            subprocess.run(
                [f"{self.binaries}/altnet", "regtest", "mine", "--count", str(HEADERS), "--output", path],
                check=True, stdout=subprocess.DEVNULL)
        return path

    def keep(self, process):
        self.processes.append(process)
        return process

    def check(self, name: str, *steps) -> None:
        """Runs steps, each of which returns details to print."""
        if self.only and self.only not in name:
            return
        report: dict = {"check": name, "v2transport": self.transport, "ok": True}
        try:
            for step in steps:
                report.update(step())
        except Failure as error:
            self.failed += 1
            report.update(ok=False, error=str(error), logs={
                os.path.basename(os.path.dirname(process.log)): process.logged() for process in self.processes})
        print(json.dumps(report), flush=True)
        self.stop()

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.stop()
        self.processes = []
        # The headers stay: they are the same in every check.
        for name in os.listdir(self.directory):
            if name != "headers":
                shutil.rmtree(f"{self.directory}/{name}")

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.directory)


# MARK: Checks


def follow(bench: Bench) -> dict:
    """altnetd connects to a node and follows it: all it has, a new block, and a reorganisation."""
    node = bench.bitcoind()
    best = node.mine(BLOCKS)
    altnet = bench.altnet(f"drivers.bitcoin.connect={node.address}")
    _, sync = until(lambda: altnet.tip() == (BLOCKS, best), SYNC_SECONDS, f"height {BLOCKS}")
    best = node.mine(1)
    _, news = until(lambda: altnet.tip() == (BLOCKS + 1, best), NEWS_SECONDS, "knowing of a new block")
    node.call("invalidateblock", node.call("getblockhash", BLOCKS - 2))
    # To somebody else: a block like the invalid one would be the invalid one.
    best = node.call("generatetodescriptor", 10, "raw(51)")[-1]
    height = node.call("getblockcount")
    _, reorganisation = until(lambda: altnet.tip() == (height, best), NEWS_SECONDS, "following a reorganisation")
    link = altnet.ask("links")[0]
    return {"syncSeconds": sync, "newBlockSeconds": news, "reorganisationSeconds": reorganisation,
            "agent": link.get("agent"), "claimedHeight": link.get("claimedHeight")}


def news(altnet: Altnet, node: Bitcoind) -> dict:
    """A header more on our side is known to the node soon."""
    altnet.ask("regtest", "mine", "--count", "1")
    tip = altnet.tip()
    _, seconds = until(lambda: node.best_header() == tip, NEWS_SECONDS, "the node's knowing of a new header")
    return {"newHeaderSeconds": seconds}


def feed(altnet: Altnet, node: Bitcoind) -> dict:
    """The node gets all our headers, and then a new one."""
    _, sync = until(lambda: node.best_header() == altnet.tip(), SYNC_SECONDS, f"the node's having {HEADERS} headers")
    shown = node.call("getblockchaininfo")["headers"]
    if shown != HEADERS:
        raise Failure(f"getblockchaininfo shows {shown} headers")
    peer = next(iter(node.call("getpeerinfo")), {})
    return {"syncSeconds": sync, **news(altnet, node), "subver": peer.get("subver"), "inbound": peer.get("inbound"),
            "transport": peer.get("transport_protocol_type")}


def feed_outbound(bench: Bench, option: str) -> dict:
    """The node connects to us."""
    altnet = bench.altnet_with_headers("drivers.bitcoin.listen=127.0.0.1:0")
    node = bench.bitcoind("-listen=0", f"-{option}={altnet.listening()}")
    return feed(altnet, node)


def feed_inbound(bench: Bench) -> dict:
    """We connect to a node that has nothing."""
    node = bench.bitcoind()
    return feed(bench.altnet_with_headers(f"drivers.bitcoin.connect={node.address}"), node)


def feed_behind(bench: Bench) -> dict:
    """We connect to a node that has a chain with less work, as one that is being eclipsed.

    Its own chain is long enough that our first headers have too little work for it: it fetches them twice.
    """
    node = bench.bitcoind()
    node.mine(BLOCKS)
    altnet = bench.altnet_with_headers(f"drivers.bitcoin.connect={node.address}")
    result = feed(altnet, node)
    link, _ = until(
        lambda: next((link for link in altnet.ask("links") if link.get("missingBlocks")), None), 10,
        "the node's being shown as behind")
    blocks = node.call("getblockcount")
    if blocks != BLOCKS:
        raise Failure(f"the node has {blocks} blocks")
    return {**result, "missingBlocks": link["missingBlocks"], "linkTipHeight": link.get("tipHeight")}


def run_checks(description: str, checks: list, transports: list[str] | None = None) -> int:
    """Reads the command line, makes the checks, and gives the exit status."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binaries", required=True, metavar="DIR")
    parser.add_argument("--only", metavar="WORD", help="make only the checks whose name holds this")
    if transports:
        parser.add_argument("--v2transport", choices=transports, help="try only this; all otherwise")
    arguments = parser.parse_args()
    bitcoind = os.environ.get("ALTNET_BITCOIND", "")
    if not os.access(bitcoind, os.X_OK):
        print("ALTNET_BITCOIND does not name a program", file=sys.stderr)
        return 2
    # What is set for tests or for another daemon must not reach those that are started here.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ALTNET_")}
    os.environ.clear()
    os.environ.update(environment)
    # So that everything we started is ended when we are.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    failed = 0
    chosen = getattr(arguments, "v2transport", None)
    for transport in [chosen] if chosen else transports or ["default"]:
        bench = Bench(bitcoind, os.path.abspath(arguments.binaries), transport, arguments.only)
        try:
            for name, check in checks:
                bench.check(name, lambda check=check: check(bench))
        finally:
            bench.close()
        failed += bench.failed
    return 1 if failed else 0


def main() -> int:
    return run_checks(__doc__, [
        ("follow", follow),
        ("feed-connect", lambda bench: feed_outbound(bench, "connect")),
        ("feed-addnode", lambda bench: feed_outbound(bench, "addnode")),
        ("feed-inbound", feed_inbound),
        ("feed-behind", feed_behind),
    ], ["default", "0"])


if __name__ == "__main__":
    sys.exit(main())
