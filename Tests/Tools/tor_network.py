#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A private Tor network: directory authorities, relays and clients, none of which knows of the public one.

  tor_network.py [--clients COUNT] [--directory PATH]

Runs it on loopback until standard input ends. When all clients are ready it prints one JSON object:
{"clients": [{"socks": "127.0.0.1:PORT", "control": "127.0.0.1:PORT", "cookie": FILE}], "seconds": …}. Ready means that an
onion service of the first one answered through each of them. The exit status is 1 when that did not happen in time.

In a lab of network namespaces, `TorNetwork` is told how to start a program and which addresses relays have.
"""
import argparse
import contextlib
import itertools
import json
import os
import re
import secrets
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable

TOR = next((path for path in ["/usr/sbin/tor", "/usr/bin/tor"] if os.access(path, os.X_OK)), None)
GENCERT = shutil.which("tor-gencert", path="/usr/bin:/usr/sbin:/bin")
# Onion circuits need more relays than three.
AUTHORITIES, RELAYS = 3, 4
READY_SECONDS = 90

# Documented in tor(1). The first one sets most of what a network of our own needs; consensus comes every ten seconds.
COMMON = """
TestingTorNetwork 1
AssumeReachable 1
ExitPolicyRejectPrivate 0
TestingV3AuthInitialVotingInterval 5
TestingV3AuthInitialVoteDelay 2
TestingV3AuthInitialDistDelay 2
V3AuthVotingInterval 10
V3AuthVoteDelay 2
V3AuthDistDelay 2
TestingDirAuthVoteExit *
TestingDirAuthVoteGuard *
TestingDirAuthVoteHSDir *
MinUptimeHidServDirectoryV2 0
ContactInfo nobody
ShutdownWaitLength 0
Log notice stdout
"""

# Starts a program with its log file.
Starter = Callable[[list[str], str], subprocess.Popen]


class TorFailure(Exception):
    """What is wrong, in one sentence."""


def missing() -> str | None:
    """Why there can be no network here; one sentence."""
    return None if TOR and GENCERT else "tor is not installed; scripts/setup --tests installs it"


def start_here(command: list[str], log: str) -> subprocess.Popen:
    with open(log, "ab") as output:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)


def free_ports(address: str, count: int) -> list[int]:
    """Ports that nobody uses at the moment; Tor cannot tell others of one that it chose itself."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for probe in sockets:
            probe.bind((address, 0))
        return [probe.getsockname()[1] for probe in sockets]
    finally:
        for probe in sockets:
            probe.close()


class Control:
    """A connection to a control port, after authentication by cookie."""

    def __init__(self, address: tuple[str, int], cookie: str, connect=socket.create_connection) -> None:
        self.socket = connect(address, timeout=20)
        self.file = self.socket.makefile("r", newline="\r\n")
        with open(cookie, "rb") as file:
            self.ask(f"AUTHENTICATE {file.read().hex()}")

    def ask(self, command: str) -> list[str]:
        self.socket.sendall(f"{command}\r\n".encode())
        lines = []
        while True:
            line = self.file.readline().rstrip("\r\n")
            if not line:
                raise TorFailure(f"Tor closed the control connection after {command.split()[0]}")
            if line[0] not in "2":
                raise TorFailure(f"Tor refuses {command.split()[0]}: {line}")
            lines.append(line[4:])
            if line[3] == " ":
                return lines

    def close(self) -> None:
        self.file.close()
        self.socket.close()


class TorClient:
    """A Tor without relay duties, with a SOCKS and a control port on its loopback."""

    def __init__(self, network: "TorNetwork", name: str, start: Starter, socks: int, control: int,
                 connect=socket.create_connection) -> None:
        self.directory = network.make_directory(name)
        self.socks, self.control, self._connect = ("127.0.0.1", socks), ("127.0.0.1", control), connect
        self.cookie = f"{self.directory}/data/control_auth_cookie"
        self.process = network.run(self.directory, f"""
SocksPort 127.0.0.1:{socks}
ControlPort 127.0.0.1:{control}
CookieAuthentication 1
UseEntryGuards 0
""", start)

    def ask(self, command: str) -> list[str]:
        connection = Control(self.control, self.cookie, self._connect)
        try:
            return connection.ask(command)
        finally:
            connection.close()

    @property
    def progress(self) -> int:
        """Per cent of the way into the network."""
        try:
            answer = "".join(self.ask("GETINFO status/bootstrap-phase"))
        except (OSError, TorFailure):
            return 0
        return int(re.search(r"PROGRESS=(\d+)", answer).group(1))

    def reach(self, host: str, port: int, timeout: float) -> socket.socket:
        """A connection through this Tor, over circuits that nothing else uses (RFC 1928, RFC 1929)."""
        connection = self._connect(self.socks, timeout=timeout)
        try:
            user = secrets.token_hex(8).encode()
            connection.sendall(b"\5\1\2")
            connection.recv(2)
            connection.sendall(bytes([1, len(user)]) + user + b"\1x")
            connection.recv(2)
            name = host.encode()
            connection.sendall(b"\5\1\0\3" + bytes([len(name)]) + name + port.to_bytes(2, "big"))
            answer = connection.recv(10)
            if answer[1:2] != b"\0":
                raise TorFailure(f"Tor does not reach {host}: SOCKS reply {answer[1:2].hex() or 'nothing'}")
            return connection
        except BaseException:
            connection.close()
            raise


class TorNetwork:
    """`start` runs a relay, `addresses` are theirs, one after the other and again from the first one."""

    def __init__(self, directory: str, start: Starter = start_here, addresses: list[str] | None = None,
                 first_port: int | None = None) -> None:
        self.directory = os.path.abspath(directory)
        self.processes: list[subprocess.Popen] = []
        self.logs: list[str] = []
        self.clients: list[TorClient] = []
        place = itertools.cycle(addresses or ["127.0.0.1"])
        count = AUTHORITIES + RELAYS
        self.ports = (range(first_port, first_port + 2 * count) if first_port else free_ports("127.0.0.1", 2 * count))
        relays = [(f"r{index}", next(place), self.ports[2 * index], self.ports[2 * index + 1]) for index in range(count)]
        self.authorities = ""
        self.authorities = "".join(self._authority(*relay) for relay in relays[:AUTHORITIES])
        for index, (name, address, onion_port, directory_port) in enumerate(relays):
            extra = "ExitPolicy accept *:*\n" if index < AUTHORITIES else "ExitPolicy reject *:*\n"
            if index < AUTHORITIES:
                extra += f"AuthoritativeDirectory 1\nV3AuthoritativeDirectory 1\nDirPort {address}:{directory_port}\n"
            self.run(f"{self.directory}/{name}", f"""
Nickname {name}
Address {address}
ORPort {address}:{onion_port} IPv4Only
SocksPort 0
ExitRelay {1 if index < AUTHORITIES else 0}
{extra}""", start)

    def make_directory(self, name: str) -> str:
        path = f"{self.directory}/{name}"
        os.makedirs(f"{path}/data/keys", mode=0o700)
        os.chmod(f"{path}/data", 0o700)
        return path

    def _authority(self, name: str, address: str, onion_port: int, directory_port: int) -> str:
        """Makes its keys; the line by which others know it."""
        path = self.make_directory(name)
        subprocess.run(
            [GENCERT, "--create-identity-key", "-m", "12", "-a", f"{address}:{directory_port}", "--passphrase-fd", "0",
             "-i", "authority_identity_key", "-s", "authority_signing_key", "-c", "authority_certificate"],
            input=b"secret\n", cwd=f"{path}/data/keys", check=True, timeout=60, capture_output=True)
        with open(f"{path}/data/keys/authority_certificate") as file:
            identity = re.search(r"^fingerprint ([0-9A-F]{40})", file.read(), re.M).group(1)
        with open(f"{path}/empty", "w"):
            pass
        listed = subprocess.run(
            [TOR, "--list-fingerprint", "--quiet", "--DataDirectory", f"{path}/data", "-f", f"{path}/empty",
             "--defaults-torrc", f"{path}/empty", "--ORPort", f"{address}:{onion_port}", "--Nickname", name,
             # Without any authority Tor would compare its settings with the public network's.
             "--DirAuthority", f"{name} {address}:{directory_port} {'0' * 40}"],
            check=True, timeout=60, capture_output=True, text=True).stdout
        fingerprint = re.search(rf"^{name} ([0-9A-F ]+)$", listed, re.M).group(1).replace(" ", "")
        return (f"DirAuthority {name} orport={onion_port} no-v2 v3ident={identity} "
                f"{address}:{directory_port} {fingerprint}\n")

    def run(self, path: str, settings: str, start: Starter) -> subprocess.Popen:
        if not os.path.isdir(path):
            self.make_directory(os.path.basename(path))
        for name, text in [("torrc", COMMON + self.authorities + settings), ("empty", "")]:
            with open(f"{path}/{name}", "w") as file:
                file.write(text)
        command = [TOR, "-f", f"{path}/torrc", "--defaults-torrc", f"{path}/empty", "--DataDirectory", f"{path}/data",
                   "--__OwningControllerProcess", str(os.getpid())]
        process = start(command, f"{path}/log")
        self.processes.append(process)
        self.logs.append(f"{path}/log")
        return process

    def client(self, name: str, start: Starter = start_here, socks: int | None = None, control: int | None = None,
               connect=socket.create_connection) -> TorClient:
        """Another client; with ports of its own choice, or with these."""
        if socks is None or control is None:
            socks, control = free_ports("127.0.0.1", 2)
        client = TorClient(self, name, start, socks, control, connect)
        self.clients.append(client)
        return client

    def wait(self, seconds: float = READY_SECONDS) -> float:
        """Until an onion service of the first client answers through all of them; how long that took."""
        began = time.monotonic()
        while any(client.progress < 100 for client in self.clients):
            self._go_on(began + seconds, "the clients are not in the network")
            time.sleep(0.1)
        # Descriptors and introduction points take another moment; an onion that never existed before is the proof.
        if self.clients:
            self._prove(began + seconds)
        return time.monotonic() - began

    def _go_on(self, deadline: float, what: str) -> None:
        for process, log in zip(self.processes, self.logs):
            if process.poll() is not None:
                raise TorFailure(f"{log} ended with status {process.returncode}: {self._tail(log)}")
        if time.monotonic() > deadline:
            raise TorFailure(f"{what}: {self._tail(self.logs[-1])}")

    def _prove(self, deadline: float) -> None:
        first = self.clients[0]
        service = Control(first.control, first.cookie, first._connect)
        try:
            # What answers is Tor's own control port, which surely is there.
            answer = service.ask(f"ADD_ONION NEW:ED25519-V3 Flags=DiscardPK Port=80,127.0.0.1:{first.control[1]}")
            onion = next(line for line in answer if line.startswith("ServiceID=")).removeprefix("ServiceID=")
            for client in self.clients:
                while True:
                    try:
                        client.reach(f"{onion}.onion", 80, 20).close()
                        break
                    except (OSError, TorFailure) as error:
                        self._go_on(deadline, f"no onion service is reached ({error})")
                    time.sleep(0.2)
        finally:
            service.close()

    @staticmethod
    def _tail(path: str) -> str:
        with open(path, errors="replace") as file:
            return " | ".join(file.read().splitlines()[-4:])

    def close(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--directory", help="where it keeps its files; otherwise in one that is removed at the end")
    arguments = parser.parse_args()
    if reason := missing():
        print(reason, file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # A test's own process may have blocked signals that its children inherit.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    with contextlib.ExitStack() as stack:
        directory = arguments.directory or stack.enter_context(tempfile.TemporaryDirectory(prefix="altnet-tor-"))
        network = TorNetwork(directory)
        try:
            for index in range(arguments.clients):
                network.client(f"c{index}")
            ended = threading.Thread(target=sys.stdin.read, daemon=True)
            ended.start()
            seconds = network.wait()
            print(json.dumps({"clients": [
                {"socks": "%s:%d" % client.socks, "control": "%s:%d" % client.control, "cookie": client.cookie}
                for client in network.clients], "seconds": round(seconds, 1)}), flush=True)
            ended.join()
        except TorFailure as error:
            print(error, file=sys.stderr)
            return 1
        finally:
            network.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
