#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the Core Lightning plugin in unmodified lightningd: three nodes on regtest, two of them with the plugin.

  lightningd_plugin.py --binaries DIR [--only WORD] [--record FILE]

DIR holds echo-plugin, which writes what the plugin tells into lightningd's log, and altnet-lightning with altnetd and
altnet. ALTNET_LIGHTNINGD names lightningd,
ALTNET_BITCOIND bitcoind; lightning-cli and bitcoin-cli must be beside them, or lightning-cli in ../cli. Everything
stays on loopback and in a temporary directory. Prints one JSON object for each check; the exit status is 0 when all
passed, 1 when one failed, 2 when none could be made.

With --record, what the first node's lightningd and its plugin say to each other is written to a file, one JSON object
a line, which fake_lightningd.py can replay.
"""
import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from bitcoind_sync import Altnet, Bitcoind, Failure, Process, free_port, tail, until
from onion_messages import onion_message, reply_path

START_SECONDS = 60
NEWS_SECONDS = 20
ECHO, ONION, CONNECT, RAW = (number.to_bytes(2, "big") for number in (44401, 44405, 44407, 44409))


class Lightning(Process):
    """A lightningd with a directory of its own."""

    def __init__(self, program: str, directory: str, bitcoind: Bitcoind, *options: str) -> None:
        os.makedirs(directory)
        self.directory, self.port = directory, free_port()
        beside = os.path.dirname(program)
        self.cli = next(
            path for path in (f"{beside}/lightning-cli", f"{beside}/../cli/lightning-cli", shutil.which("lightning-cli"))
            if path and os.access(path, os.X_OK))
        self.start_file = f"{directory}/start.json"
        self.arguments = [
            program, "--regtest", f"--lightning-dir={directory}", f"--bind-addr=127.0.0.1:{self.port}", "--disable-dns",
            "--developer", "--dev-bitcoind-poll=1", "--dev-fast-gossip",
            f"--bitcoin-cli={os.path.dirname(bitcoind.arguments[0])}/bitcoin-cli",
            f"--bitcoin-datadir={bitcoind.directory}", "--bitcoin-rpcconnect=127.0.0.1",
            f"--bitcoin-rpcport={bitcoind.rpc_port}", "--log-level=debug", f"--log-file={directory}/node.log", *options]
        super().__init__(self.arguments, f"{directory}/output.log")
        self.identity = until(lambda: self.call("getinfo")["id"], START_SECONDS, "lightningd's start")[0]

    @property
    def key(self) -> bytes:
        return bytes.fromhex(self.identity)

    def call(self, *arguments) -> dict:
        self.require_running()
        result = subprocess.run(
            [self.cli, "--regtest", f"--lightning-dir={self.directory}", *map(str, arguments)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        if result.returncode != 0:
            raise Failure(f"{arguments[0]}: {result.stdout.strip() or result.stderr.strip()}")
        return json.loads(result.stdout or "{}")

    def logged(self) -> list[str]:
        return tail(f"{self.directory}/node.log") + tail(self.log)

    def lines(self, text: str) -> list[str]:
        with open(f"{self.directory}/node.log", errors="replace") as file:
            return [line.rstrip("\n") for line in file if text in line]

    def wait(self, text: str, count: int = 1, seconds: float = NEWS_SECONDS) -> str:
        return until(
            lambda: len(self.lines(text)) >= count and self.lines(text)[-1], seconds, f"{count} times in the log: {text}"
        )[0]

    def plugins(self) -> list[str]:
        return [os.path.basename(plugin["name"]) for plugin in self.call("plugin", "list")["plugins"]]

    def tell(self, other: "Lightning", message: bytes) -> None:
        # Not by lightning-cli: an argument of a program has at most 128 KiB.
        request = {"jsonrpc": "2.0", "id": "test", "method": "sendcustommsg",
                   "params": {"node_id": other.identity, "msg": message.hex()}}
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            connection.connect(f"{self.directory}/regtest/lightning-rpc")
            connection.sendall(json.dumps(request).encode())
            answer = b""
            while b"\n\n" not in answer:
                answer += connection.recv(65_536) or b"\n\n"
        if b'"result"' not in answer:
            raise Failure(f"sendcustommsg: {answer.decode()}")


class Bench:
    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.directory = tempfile.mkdtemp(prefix="altnet-cln-", dir="/tmp")
        self.processes: list[Process] = []
        self.failed = 0
        self.plugin = os.path.join(os.path.abspath(arguments.binaries), "echo-plugin")
        self.bitcoind = self.keep(Bitcoind(os.environ["ALTNET_BITCOIND"], f"{self.directory}/bitcoind", "default"))
        self.bitcoind.mine(1)

    def keep(self, process):
        self.processes.append(process)
        return process

    def node(self, name: str, *options: str) -> Lightning:
        node = self.keep(Lightning(
            os.environ["ALTNET_LIGHTNINGD"], f"{self.directory}/{name}", self.bitcoind, *options))
        return node

    def node_with_plugin(self, name: str, *options: str, record: str | None = None, is_there: bool = True) -> Lightning:
        start_file = f"{self.directory}/{name}.start"
        if is_there:
            open(start_file, "w").close()
        plugin = self.plugin
        if record:
            plugin = f"{self.directory}/recorded-echo-plugin"
            with open(plugin, "w") as file:
                file.write(f"#!/bin/sh\nexec {sys.executable} {os.path.dirname(os.path.abspath(__file__))}"
                           f"/record_plugin.py {self.plugin} {record}\n")
            os.chmod(plugin, 0o700)
        node = self.node(name, f"--plugin={plugin}", f"--altnet-start-file={start_file}", *options)
        node.start_file = start_file
        return node

    def named(self, name: str) -> Lightning:
        return next(process for process in self.processes if process.log.endswith(f"/{name}/output.log"))

    def check(self, name: str, step) -> None:
        if self.arguments.only and self.arguments.only not in name:
            return
        report = {"check": name, "ok": True}
        began = time.monotonic()
        try:
            report.update(step(self) or {})
        except (Failure, subprocess.TimeoutExpired) as error:
            self.failed += 1
            report.update(ok=False, error=str(error), logs={
                os.path.basename(os.path.dirname(process.log)): process.logged() for process in self.processes
                if isinstance(process, Lightning)})
        report["seconds"] = round(time.monotonic() - began, 1)
        print(json.dumps(report), flush=True)

    def close(self) -> None:
        for process in reversed(self.processes):
            process.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


def peers(bench: Bench) -> dict:
    """Everything that the plugin does for the driver, between two nodes with it and one without."""
    first = bench.node_with_plugin("first", record=bench.arguments.record)
    middle = bench.node("middle")
    second = bench.node_with_plugin("second")
    for node in (first, second):
        node.wait(f"ATTACHED {node.identity} regtest")
    second.call("connect", first.identity, "127.0.0.1", first.port)
    first.wait(f" CONNECTED {second.identity} objects []")
    second.wait(f" CONNECTED {first.identity} objects []")
    # A recording is to be read by people, too.
    sizes = (0, 5, 300) if bench.arguments.record else (0, 5, 32_000, 65_533)
    # Both directions, each begun by either side: what one node is sent, its plugin sends back.
    for one, other in ((first, second), (second, first)):
        for size in sizes:
            one.tell(other, ECHO + bytes([size % 251]) * size)
        other.wait(f"MESSAGE {one.identity} 2 ad71")
        one.wait(f"MESSAGE {other.identity} 2 ad73")
        for size in sizes:
            one.wait(f"MESSAGE {other.identity} {size + 2} ad73")
    # A directed reply has an even type, on which nodes hang up unless a plugin has named it.
    first.tell(second, bytes.fromhex("0182") + bytes(40))
    second.wait(f"MESSAGE {first.identity} 42 0182")
    # Types that are not ours are no event.
    first.tell(second, bytes.fromhex("afc9") + bytes(40))
    first.tell(second, ECHO + b"last")
    first.wait(f"MESSAGE {second.identity} 6 ad73" + b"last".hex())
    if second.lines("42 afc9"):
        raise Failure("a message of another type became an event")
    # 513 as a custom message is refused before lightningd sees it, and types of BOLT 1 by lightningd.
    first.tell(second, RAW + bytes.fromhex("0201") + bytes(10))
    second.wait("FAILED 44409: this message cannot be sent: lightningd sends onion messages only as such")
    first.tell(second, RAW + bytes.fromhex("0012") + bytes(10))
    second.wait("FAILED 44409: the Lightning node refused (-32600): Cannot send messages of type 18")
    # The plugin connects its node to a third one, which has no plugin.
    second.tell(first, CONNECT + middle.key + middle.port.to_bytes(2, "big"))
    first.wait(f" CONNECTED {middle.identity} plain []")
    first.wait("DONE 44407")
    second.call("connect", middle.identity, "127.0.0.1", middle.port)
    second.wait(f" CONNECTED {middle.identity} plain []")
    return {"plugins": first.plugins()[-1]}


def onions(bench: Bench) -> dict:
    """Onion messages from one plugin to the other, with an ordinary node as forwarder, and back over the reply path."""
    first, middle, second = bench.named("first"), bench.named("middle"), bench.named("second")
    secret = os.urandom(32)
    answer = reply_path([second.key, middle.key, first.key], secret)
    key, onion = onion_message(
        [first.key, middle.key, second.key], [(2, answer), (40001, b"question")], path_id=bytes(32))
    second.tell(first, ONION + key + onion)
    first.wait("DONE 44405")
    second.wait(f"ONION 40001={b'question'.hex()} reply={answer.hex()} secret={bytes(32).hex()}")
    # Without path_id, and to ourselves.
    for nodes in ([first.key], [first.key, second.key], [first.key, second.key, middle.key, first.key]):
        text = os.urandom(8)
        key, onion = onion_message(nodes, [(40003, text)])
        second.tell(first, ONION + key + onion)
        target = second if len(nodes) == 2 else first
        target.wait(f"ONION 40003={text.hex()} reply= secret=")
    # An onion that is not for the node itself, and one to nobody.
    key, onion = onion_message([middle.key], [(40001, b"x")])
    second.tell(first, ONION + key + onion)
    first.wait("FAILED 44405: the Lightning node refused (-1): onion_message_parse: can't process onionpacket")
    if first.lines("echo-plugin: FAILED") and " ss=" in first.lines("FAILED")[-1]:
        raise Failure("a secret of an onion is in the log")
    return {}


def channels(bench: Bench) -> dict:
    """The identity of a channel is told when it opens, and gone when it closes."""
    first, second = bench.named("first"), bench.named("second")
    # Blocks that pay the Lightning node: bitcoind may have been built without a wallet.
    address = next(iter(first.call("newaddr").values()))
    bench.bitcoind.call("generatetoaddress", 101, address)
    until(lambda: [output for output in first.call("listfunds")["outputs"] if output["status"] == "confirmed"], 60,
          "the money's arrival")
    identity = until(lambda: first.call("fundchannel", second.identity, 500_000), 60, "opening")[0]["channel_id"]
    bench.bitcoind.call("generatetoaddress", 6, address)
    for one, other in ((first, second), (second, first)):
        one.wait(f'CHANNELS {other.identity} ["{identity}"]', seconds=60)
    # A reconnect finds the channel at once.
    first.call("disconnect", second.identity, "true")
    first.wait(f"DISCONNECTED {second.identity}")
    first.wait(f' CONNECTED {second.identity} objects ["{identity}"]', seconds=60)
    return {"channel": identity[:8]}


def absent(bench: Bench) -> dict:
    """altnetd is not there: the plugin waits, and attaches when it comes. Without its option it disables itself."""
    node = bench.node_with_plugin("absent", is_there=False)
    node.wait("altnetd is not there; the next attempt follows in 1 s")
    node.wait("altnetd is not there; the next attempt follows in 2 s")
    if "echo-plugin" not in node.plugins():
        raise Failure("the plugin did not stay")
    open(node.start_file, "w").close()
    node.wait("ATTACHED", seconds=20)
    # Killed, it is missed by nobody.
    pid = subprocess.run(["pgrep", "-P", str(node.process.pid), "-x", "echo-plugin"], capture_output=True, text=True)
    os.kill(int(pid.stdout.split()[0]), signal.SIGKILL)
    until(lambda: "echo-plugin" not in node.plugins(), 10, "the end of the plugin")
    node.call("getinfo")
    idle = bench.node("idle", f"--plugin={bench.plugin}")
    idle.wait("disabled: the option altnet-start-file is not set")
    if "echo-plugin" in idle.plugins():
        raise Failure("the plugin is there without its option")
    with open(f"{bench.directory}/other.start", "w") as file:
        json.dump({"network": "main"}, file)
    judged = bench.node("judged", f"--plugin={bench.plugin}", f"--altnet-start-file={bench.directory}/other.start")
    judged.wait("disabled: altnetd works on main, lightningd on regtest")
    return {}


def stop(bench: Bench) -> dict:
    """lightningd stops soon with the plugin, and the plugin with lightningd, killed or not."""
    node = bench.node_with_plugin("stopped")
    node.wait("ATTACHED")
    began = time.monotonic()
    node.call("stop")
    status = node.process.wait(20)
    took = time.monotonic() - began
    if status != 0 or took > 10:
        raise Failure(f"lightningd ended with status {status} after {took:.1f} s")
    killed = bench.node_with_plugin("killed")
    killed.wait("ATTACHED")
    pid = int(subprocess.run(
        ["pgrep", "-P", str(killed.process.pid), "-x", "echo-plugin"], capture_output=True, text=True).stdout.split()[0])
    killed.process.kill()
    killed.process.wait()
    until(lambda: not os.path.exists(f"/proc/{pid}"), 10, "the end of the plugin without lightningd")
    return {"stopSeconds": round(took, 1)}


def headers(bench: Bench) -> dict:
    """Two altnetd, each with altnet-lightning as the plugin of a lightningd: headers flow over the connection of the
    two, also after one altnetd was killed; a text goes over an ordinary node."""
    plugin = os.path.join(os.path.dirname(bench.plugin), "altnet-lightning")
    middle = bench.node("between")
    daemons, nodes = [], []
    for name in ("left", "right"):
        daemon = bench.keep(Altnet(
            os.path.dirname(bench.plugin), f"{bench.directory}/{name}-altnet", "drivers.lightning.start=external"))
        start_file = until(lambda: daemon.ask("drivers")[0].get("startFile"), 20, "the start file")[0]
        node = bench.node(name, f"--plugin={plugin}", f"--altnet-start-file={start_file}")
        node.start_file = start_file
        until(lambda: daemon.ask("drivers")[0]["state"] == "attached", 20, "the driver's attachment")
        if daemon.ask("drivers")[0].get("identity") != node.identity:
            raise Failure("the driver has not the node's identity")
        daemons.append(daemon)
        nodes.append(node)
    (left, right), (left_node, right_node) = daemons, nodes
    file = f"{bench.directory}/chain"
    mine = [f"{left.binaries}/altnet", "regtest", "mine", "--seed", "7"]
    subprocess.run([*mine, "--count", "3000", "--output", file], check=True, stdout=subprocess.DEVNULL)
    left.ask("headers", "import", file)
    left_node.call("connect", right_node.identity, "127.0.0.1", right_node.port)
    _, took = until(lambda: right.tip()[0] == 3_000, 60, "the headers' arrival")
    # An ordinary node passes an onion message on.
    for node in nodes:
        node.call("connect", middle.identity, "127.0.0.1", middle.port)
    def send():
        path = f"{middle.identity},{right_node.identity}"
        return left.ask("message", "send", "--path", path, "--over", "onion", "--text", "hello")["milliseconds"]
    milliseconds, _ = until(send, 60, "the answer to a message over an ordinary node")
    if right.ask("message", "received")["messages"][0]["text"] != "hello":
        raise Failure("another text arrived")
    # altnetd is killed and comes back: the plugin attaches itself again.
    directory = f"{bench.directory}/right-altnet"
    right.process.kill()
    right.process.wait()
    subprocess.run([*mine, "--count", "3100", "--output", file + "2"], check=True, stdout=subprocess.DEVNULL)
    left.ask("headers", "import", file + "2")
    Process.__init__(right, right.process.args, f"{directory}/altnetd.log")
    until(right.is_ready, 30, "altnetd's second start")
    _, again = until(lambda: right.tip()[0] == 3_100, 90, "the headers' arrival after the restart")
    right_node.call("getinfo")
    return {"seconds for 3000 headers": took, "messageMilliseconds": milliseconds, "secondsAfterRestart": again}


def far(bench: Bench) -> dict:
    """Two altnetd with keys of their own, each connected with an ordinary lightningd and not with the other: headers
    flow over onion messages that the lightningd forwards."""
    binaries = os.path.dirname(bench.plugin)
    between = [bench.node("near"), bench.node("beyond")]
    between[0].call("connect", between[1].identity, "127.0.0.1", between[1].port)
    places = [f"{node.identity}@127.0.0.1:{node.port}" for node in between]
    there = bench.keep(Altnet(binaries, f"{bench.directory}/there-altnet", f"drivers.lightning.connect={places[1]}"))
    file = f"{bench.directory}/far-chain"
    subprocess.run(
        [f"{binaries}/altnet", "regtest", "mine", "--seed", "8", "--count", "2000", "--output", file],
        check=True, stdout=subprocess.DEVNULL)
    there.ask("headers", "import", file)
    identity, _ = until(lambda: there.ask("drivers")[0].get("identity"), 20, "the far driver's identity")
    until(lambda: there.ask("links")[0]["state"] == "open", 20, "the far driver's link")
    route = "/".join([between[0].identity, between[1].identity, identity])
    here = bench.keep(Altnet(
        binaries, f"{bench.directory}/here-altnet",
        f"drivers.lightning.connect={places[0]},onion:{route}"))
    _, took = until(lambda: here.tip()[0] == 2_000, 90, "the headers' arrival")
    path = route.replace("/", ",")
    sent = here.ask("message", "send", "--path", path, "--over", "onion", "--text", "hello")
    if there.ask("message", "received")["messages"][0]["text"] != "hello":
        raise Failure("another text arrived")
    return {"seconds for 2000 headers": took, "messageMilliseconds": sent["milliseconds"]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binaries", required=True, metavar="DIR")
    parser.add_argument("--only", metavar="WORD", help="make only the checks whose name holds this")
    parser.add_argument("--record", metavar="FILE")
    arguments = parser.parse_args()
    for name in ("ALTNET_BITCOIND", "ALTNET_LIGHTNINGD"):
        if not os.access(os.environ.get(name, ""), os.X_OK):
            print(f"{name} does not name a program", file=sys.stderr)
            return 2
        os.environ[name] = os.path.abspath(os.environ[name])
    # Whoever started us may have blocked signals, which what we start would inherit: it could not be stopped in order.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    bench = Bench(arguments)
    try:
        for check in (peers, onions, channels, absent, stop, headers, far):
            bench.check(check.__name__, check)
        if arguments.record:
            bench.named("first").call("stop")
    finally:
        bench.close()
    return 1 if bench.failed else 0


if __name__ == "__main__":
    sys.exit(main())
