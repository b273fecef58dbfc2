#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A home's router with Debian's miniupnpd, and one machine on the internet, in network namespaces. Needs root.

This machine is the home: it gets one more interface, with the router at the other end, and one more route, both gone at
the end. Prints `gateway ADDRESS` and `outside ADDRESS`, then answers commands on its standard input:

  connect PORT   connects from the internet to the router's outside address; prints `heard TEXT` or `failed REASON`
  rules          prints `rules N`: how many ports the router's packet filter lets through
  restart        ends miniupnpd and starts it anew, with its rules gone; prints `restarted`

usage: upnp_router.py PROTOCOLS [OUTSIDE]
PROTOCOLS: pcp (and nat-pmp; miniupnpd has both behind one setting), upnp, igd1 (UPnP as version 1), or several with commas
OUTSIDE: the router's outside address; by default one that is public
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

PROGRAM = "/usr/sbin/miniupnpd"
RULES = """
table inet miniupnpd {
  chain forward {
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    iifname "lan" accept
    jump miniupnpd
  }
  chain miniupnpd { }
  chain prerouting { type nat hook prerouting priority -100; policy accept; jump prerouting_miniupnpd; }
  chain postrouting {
    type nat hook postrouting priority 100; policy accept;
    jump postrouting_miniupnpd
    oifname "ext" masquerade
  }
  chain prerouting_miniupnpd { }
  chain postrouting_miniupnpd { }
}
"""
# Run on the internet: connects, says hello, prints what it hears.
CONNECT = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5) as connection:
        connection.sendall(b"hello from the internet")
        print("heard", connection.recv(100).decode())
except OSError as error:
    print("failed", error)
"""


class Lab:
    def __init__(self, protocols, outside):
        self.protocols = protocols
        # One lab for each process: names and addresses from its number.
        self.number = os.getpid() % 250
        self.router, self.world = f"upnpr{os.getpid()}", f"upnpw{os.getpid()}"
        self.home = f"upnp{os.getpid()}"
        self.gateway, self.inside = f"10.231.{self.number}.1", f"10.231.{self.number}.2"
        self.outside = outside or f"44.231.{self.number}.2"
        self.network = self.outside.rpartition(".")[0]
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="upnp-router-"))
        self.process = None

    def ip(self, *arguments):
        subprocess.run(["ip", *arguments], check=True, stdin=subprocess.DEVNULL)

    def at(self, namespace, *arguments, **options):
        return subprocess.run(["ip", "netns", "exec", namespace, *arguments], check=True, **options)

    def build(self):
        for namespace in (self.router, self.world):
            self.ip("netns", "add", namespace)
            self.ip("-n", namespace, "link", "set", "lo", "up")
        self.ip("link", "add", self.home, "type", "veth", "peer", "name", "lan", "netns", self.router)
        self.ip("-n", self.router, "link", "add", "ext", "type", "veth", "peer", "name", "eth0", "netns", self.world)
        for namespace, device, address in ((self.router, "lan", f"{self.gateway}/30"),
                                           (self.router, "ext", f"{self.outside}/24"),
                                           (self.world, "eth0", f"{self.network}.1/24")):
            self.ip("-n", namespace, "address", "add", address, "dev", device)
            self.ip("-n", namespace, "link", "set", device, "up")
        self.ip("address", "add", f"{self.inside}/30", "dev", self.home)
        self.ip("link", "set", self.home, "up")
        self.ip("route", "add", f"{self.network}.0/24", "via", self.gateway, "dev", self.home)
        self.ip("-n", self.router, "route", "add", "default", "via", f"{self.network}.1")
        self.at(self.router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        self.start()

    def start(self):
        self.at(self.router, "sh", "-c", "nft flush ruleset")
        self.at(self.router, "nft", "-f", "-", input=RULES.encode())
        yes = {True: "yes", False: "no"}
        configuration = self.directory / "conf"
        configuration.write_text(
            "ext_ifname=ext\nlistening_ip=lan\nhttp_port=0\nipv6_disable=yes\nsystem_uptime=no\nsecure_mode=yes\n"
            f"enable_natpmp={yes['pcp' in self.protocols]}\n"
            f"enable_upnp={yes[bool({'upnp', 'igd1'} & self.protocols)]}\n"
            f"force_igd_desc_v1={yes['igd1' in self.protocols]}\n"
            "upnp_table_name=miniupnpd\nupnp_nat_table_name=miniupnpd\nupnp_forward_chain=miniupnpd\n"
            "upnp_nat_chain=prerouting_miniupnpd\nupnp_nat_postrouting_chain=postrouting_miniupnpd\n"
            "uuid=00000000-0000-4000-8000-000000000001\n"
            f"allow 1024-65535 10.231.{self.number}.0/24 1024-65535\ndeny 0-65535 0.0.0.0/0 0-65535\n")
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", self.router, PROGRAM, "-d", "-f", str(configuration), "-P",
             str(self.directory / "pid")],
            stdin=subprocess.DEVNULL, stdout=open(self.directory / "log", "ab"), stderr=subprocess.STDOUT,
            start_new_session=True)
        self.wait_until_it_listens()

    def wait_until_it_listens(self):
        wanted = {":5351"} if "pcp" in self.protocols else set()
        if {"upnp", "igd1"} & self.protocols:
            wanted.add(":1900")
        for _ in range(200):
            shown = self.at(self.router, "ss", "-lnu", capture_output=True, text=True).stdout
            if all(port in shown for port in wanted):
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        sys.exit("upnp_router: miniupnpd does not start: " + (self.directory / "log").read_text()[-2000:])

    def stop(self):
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def remove(self):
        self.stop()
        for arguments in (["link", "delete", self.home], ["netns", "delete", self.router],
                          ["netns", "delete", self.world]):
            subprocess.run(["ip", *arguments], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.directory, ignore_errors=True)

    def rules(self):
        shown = self.at(self.router, "nft", "list", "ruleset", capture_output=True, text=True).stdout
        return sum("dnat" in line for line in shown.splitlines())

    def connect(self, port):
        result = self.at(self.world, sys.executable, "-c", CONNECT, self.outside, port, capture_output=True, text=True,
                         timeout=20)
        return result.stdout.strip()


def main():
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    if not os.access(PROGRAM, os.X_OK):
        sys.exit("upnp_router: miniupnpd is not installed")
    lab = Lab(set(sys.argv[1].split(",")), sys.argv[2] if len(sys.argv) > 2 else None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        lab.build()
        print(f"gateway {lab.gateway}\noutside {lab.outside}", flush=True)
        for line in sys.stdin:
            words = line.split()
            if words[:1] == ["connect"]:
                print(lab.connect(words[1]), flush=True)
            elif words == ["rules"]:
                print(f"rules {lab.rules()}", flush=True)
            elif words == ["restart"]:
                lab.stop()
                lab.start()
                print("restarted", flush=True)
    finally:
        lab.remove()


if __name__ == "__main__":
    main()
