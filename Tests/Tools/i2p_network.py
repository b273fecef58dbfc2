#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A private I2P network of i2pd routers on this machine, which reaches nothing else.

All routers run in one new network namespace of its own, each with its own address from 44.0.0.0/8 on the loopback
device, and have each other's router infos from the start. The SAM bridges of the first routers are reached by Unix
sockets, which cross namespaces, and are offered on 127.0.0.1 of the caller's namespace.

Prints one line `SAM 127.0.0.1:PORT` for each bridge, then `READY`. A session stands after 20 s at the earliest, because
i2pd looks that often whether it has tunnels; its destination can be found up to 20 s later. Sessions may have tunnels of
as many hops as there are routers without a bridge, with --hops 3 and nine routers also I2P's own three. Ends, with its
routers, when its standard input ends. Needs root.

What it takes with i2pd 2.45.1: a network id of its own; reservedrange = false; an address for each router, by which it
listens, calls and is published; router infos exchanged beforehand; every router but those with a bridge a floodfill (one
that is misreads the destinations that it stores itself); and three tunnels in each direction in a session, because two
are built at once, and a destination is not published while only those of one direction stand.

usage: i2p_network.py [--routers N] [--bridges N] [--hops N] [--directory PATH] [--log-level LEVEL]
"""

import argparse
import base64
import ctypes
import hashlib
import os
import pathlib
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

PROGRAM = "/usr/sbin/i2pd"
# Not the network id of I2P, so that nothing can ever mix.
NETWORK = 77
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1

CONFIGURATION = """\
log = file
logfile = {directory}/log
loglevel = {level}
datadir = {directory}
host = {host}
address4 = {host}
port = {port}
ipv4 = true
ipv6 = false
nat = false
netid = {network}
reservedrange = false
floodfill = {floodfill}
bandwidth = X
share = 100

[ntcp2]
enabled = true
published = true

[ssu2]
enabled = false

[http]
enabled = false

[httpproxy]
enabled = false

[socksproxy]
enabled = false

[sam]
enabled = true
address = 127.0.0.1
port = {sam}

[reseed]
urls =
yggurls =
threshold = 0

[nettime]
enabled = false

[upnp]
enabled = false

[exploratory]
inbound.length = {hops}
outbound.length = {hops}
"""


class Router:
    def __init__(self, index, options):
        self.host = f"44.{index // 256}.{index % 256}.1"
        self.directory = pathlib.Path(options.directory) / f"router{index}"
        self.directory.mkdir()
        self.sam = 7700 + index
        self.process = None
        (self.directory / "i2pd.conf").write_text(CONFIGURATION.format(
            directory=self.directory, level=options.log_level, host=self.host, port=20000 + index, network=NETWORK,
            floodfill="false" if index <= options.bridges else "true", sam=self.sam, hops=max(options.hops, 1)))

    def start(self):
        arguments = [PROGRAM, "--conf", str(self.directory / "i2pd.conf"), "--datadir", str(self.directory)]
        with open(self.directory / "out", "wb") as out:
            self.process = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=out, stderr=out, preexec_fn=die_with_parent)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    @property
    def info(self):
        return self.directory / "router.info"


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())


def identity_hash(info):
    """The SHA-256 of a router's identity, which a router info starts with."""
    length = 387 + struct.unpack(">H", info[385:387])[0]
    return hashlib.sha256(info[:length]).digest()


def introduce(routers):
    """Puts every router's info where the others look for it: netDb/r<first digit>/routerInfo-<hash>.dat."""
    for router in routers:
        info = router.info.read_bytes()
        name = base64.b64encode(identity_hash(info), b"-~").decode()
        for other in routers:
            if other is not router:
                folder = other.directory / "netDb" / f"r{name[0]}"
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"routerInfo-{name}.dat").write_bytes(info)


def wait_for(condition, what, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"i2p_network: {what} did not happen in {seconds} s")
        time.sleep(0.05)


def is_listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def serve(path, port):
    """Carries connections of a Unix socket to a port in this namespace."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(64)

    def run():
        while True:
            client, _ = server.accept()
            target = socket.create_connection(("127.0.0.1", port))
            splice(client, target)

    threading.Thread(target=run, daemon=True).start()


def offer(path):
    """Listens on loopback of the caller's namespace and carries connections to a Unix socket; the port."""
    server = socket.create_server(("127.0.0.1", 0))

    def run():
        while True:
            client, _ = server.accept()
            target = socket.socket(socket.AF_UNIX)
            target.connect(path)
            splice(client, target)

    threading.Thread(target=run, daemon=True).start()
    return server.getsockname()[1]


def splice(left, right):
    def copy(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    for pair in ((left, right), (right, left)):
        threading.Thread(target=copy, args=pair, daemon=True).start()


def inside(options, report):
    """The part that lives in the namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        sys.exit("i2p_network: no network namespace of its own can be made; it needs root")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    routers = [Router(index, options) for index in range(1, options.routers + 1)]
    for router in routers:
        subprocess.run(["ip", "address", "add", f"{router.host}/32", "dev", "lo"], check=True)
    try:
        # A first start makes keys and router infos.
        for router in routers:
            router.start()
        for router in routers:
            wait_for(lambda: router.info.exists() and is_listening(router.sam), "the first start of a router")
        for router in routers:
            router.stop()
        introduce(routers)
        for router in routers:
            router.start()
        for router in routers:
            wait_for(lambda: is_listening(router.sam), "the second start of a router")
        for router in routers[:options.bridges]:
            serve(str(router.directory / "sam"), router.sam)
        os.write(report, b"up\n")
        while select.select([sys.stdin], [], [], 1)[0] == [] or os.read(0, 4096):
            pass
    finally:
        for router in routers:
            router.process.kill()
        for router in routers:
            router.process.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--routers", type=int, default=6)
    parser.add_argument("--bridges", type=int, default=2)
    parser.add_argument("--hops", type=int, default=1)
    parser.add_argument("--directory")
    parser.add_argument("--log-level", default="warn")
    options = parser.parse_args()
    if not os.access(PROGRAM, os.X_OK):
        sys.exit("i2p_network: i2pd is not installed")
    own = options.directory is None
    if own:
        options.directory = tempfile.mkdtemp(prefix="i2p-network-")
    pathlib.Path(options.directory).mkdir(exist_ok=True)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        try:
            inside(options, writing)
        except SystemExit as end:
            print(end, file=sys.stderr)
            os._exit(1)
        os._exit(0)
    os.close(writing)
    status = 1
    try:
        with os.fdopen(reading) as words:
            if words.readline() == "up\n":
                for index in range(1, options.bridges + 1):
                    port = offer(str(pathlib.Path(options.directory) / f"router{index}" / "sam"))
                    print(f"SAM 127.0.0.1:{port}", flush=True)
                print("READY", flush=True)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        if own:
            shutil.rmtree(options.directory, ignore_errors=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
