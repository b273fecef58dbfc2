# SPDX-License-Identifier: MIT
"""altnetd with its drivers, and bitcoind, on hosts of the lab."""
import base64
import http.client
import json
import os
import shutil
import socket
import subprocess
import time

from lab import Site

START_SECONDS = 30.0


class Failure(Exception):
    """What is wrong, in one sentence."""


class Ended(Failure):
    """A program that should run has ended: waiting helps no more."""


def until(condition, seconds: float, what: str):
    """The first result of `condition` that is true."""
    deadline, last = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        try:
            last = condition()
            if last:
                return last
        except Ended:
            raise
        except (OSError, http.client.HTTPException, Failure) as error:
            last = error
        time.sleep(0.02)
    raise Failure(f"{what} did not happen within {seconds} s" + (f": {last}" if last else ""))


def tail(path: str, lines: int = 40) -> list[str]:
    try:
        with open(path, errors="replace") as file:
            return file.read().splitlines()[-lines:]
    except OSError:
        return []


def toml(table: dict, name: str = "") -> str:
    """Tables of plain values, as altnetd reads them."""
    plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
    text = (f"[{name}]\n" if name else "") + "".join(f"{key} = {json.dumps(value)}\n" for key, value in plain.items())
    for key, value in table.items():
        if isinstance(value, dict):
            text += toml(value, f"{name}.{key}" if name else key)
    return text


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("altnetd", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Daemon:
    """One altnetd on a host."""

    def __init__(self, site: Site, name: str, binaries: str, drivers: dict, network: str = "regtest",
                 level: str = "debug", **settings) -> None:
        self.site, self.name, self.binaries = site, name, binaries
        self.directory = f"{site.lab.directory}/{name}"
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        self.log = f"{self.directory}/altnetd.log"
        self.control = f"{self.directory}/{network}/run/control.sock"
        configuration = {"network": network, "data_directory": self.directory, "log_level": level, **settings,
                         "http": {"listen": "", **settings.get("http", {})}, "drivers": drivers}
        with open(f"{self.directory}/altnet.toml", "w") as file:
            file.write(toml(configuration))
        environment = {key: value for key, value in os.environ.items() if not key.startswith("ALTNET_")}
        self.process = site.host.start(
            f"{binaries}/altnetd", "--config", f"{self.directory}/altnet.toml", log=self.log, environment=environment,
            directory=self.directory)
        site.lab.processes.append(self.process)
        until(self._is_ready, START_SECONDS, f"the start of {name}")

    def _is_ready(self) -> bool:
        if self.process.poll() is not None:
            raise Ended(f"altnetd {self.name} ended with status {self.process.returncode}: {tail(self.log)}")
        return bool(self.get("/v1/status"))

    def request(self, method: str, path: str, body: dict | None = None, timeout: float = 130.0):
        connection = _UnixConnection(self.control, timeout)
        try:
            connection.request(
                method, path, None if body is None else json.dumps(body),
                {} if body is None else {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = json.loads(response.read() or b"{}")
        finally:
            connection.close()
        if response.status >= 300:
            raise Failure(f"{method} {path}: {response.status} {answer.get('message')}")
        return answer

    def get(self, path: str):
        return self.request("GET", path)

    def operate(self, operation: str, body: dict | None = None, driver: str = "punch", timeout: float = 130.0) -> dict:
        """An operation of a driver."""
        return self.request("POST", f"/v1/drivers/{driver}/operations/{operation}", body or {}, timeout)

    def attached(self, driver: str = "punch") -> bool:
        return any(report["name"] == driver and report["state"] == "attached" for report in self.get("/v1/drivers"))

    def check_nat(self) -> dict:
        """Waits for the driver of hole punching, and has it check the NAT."""
        until(self.attached, START_SECONDS, f"the driver of {self.name}")
        return self.operate("nat-check")

    def altnet(self, *arguments: str, timeout: float = 130.0) -> subprocess.CompletedProcess:
        """The command, as an operator gives it."""
        return subprocess.run(
            [f"{self.binaries}/altnet", *arguments, "--config", f"{self.directory}/altnet.toml"],
            capture_output=True, text=True, timeout=timeout)

    def logged(self) -> list[str]:
        return tail(self.log)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def forget(self) -> None:
        """Removes what it wrote."""
        shutil.rmtree(self.directory, ignore_errors=True)
        if self.process in self.site.lab.processes and self.process.poll() is not None:
            self.site.lab.processes.remove(self.process)


class Bitcoind:
    """One Bitcoin Core on a host, on regtest."""

    ADDRESS = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"

    def __init__(self, site: Site, name: str, program: str, *options: str) -> None:
        self.site, self.name = site, name
        self.directory = f"{site.lab.directory}/{name}"
        os.makedirs(self.directory, mode=0o700)
        self.log = f"{self.directory}/output.log"
        self.process = site.host.start(
            program, "-regtest", f"-datadir={self.directory}", "-dnsseed=0", "-fixedseeds=0", "-listenonion=0",
            "-natpmp=0", "-discover=0", "-i2pacceptincoming=0", "-debug=net", "-printtoconsole=0", "-rpcport=18443",
            *options, log=self.log)
        site.lab.processes.append(self.process)
        until(lambda: self.call("getblockcount") is not None, START_SECONDS, f"the start of {name}")

    def call(self, method: str, *parameters):
        if self.process.poll() is not None:
            raise Ended(f"bitcoind {self.name} ended with status {self.process.returncode}: {tail(self.log)}")
        with open(f"{self.directory}/regtest/.cookie") as file:
            secret = base64.b64encode(file.read().encode()).decode()
        connection = http.client.HTTPConnection("127.0.0.1", 18443, timeout=60)
        with self.site.host:
            connection.connect()
        try:
            connection.request(
                "POST", "/", json.dumps({"id": 1, "method": method, "params": parameters}),
                {"Authorization": f"Basic {secret}"})
            answer = json.loads(connection.getresponse().read() or b"{}")
        finally:
            connection.close()
        if answer.get("error"):
            raise Failure(f"bitcoind refuses {method}: {answer['error'].get('message')}")
        return answer.get("result")

    def mine(self, count: int) -> str:
        self.call("generatetoaddress", count, self.ADDRESS)
        return self.call("getbestblockhash")

    def logged(self) -> list[str]:
        return tail(f"{self.directory}/regtest/debug.log")

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
