# SPDX-License-Identifier: MIT
"""Machines, routers and a wire: what a run builds in its namespaces.

  with Lab(seed="7") as lab:
      lab.site("a", "preserving", delay=0.025, loss=0.005)
      witness = lab.site("w1", "open")
      with lab["a"].host: …                  # sockets and processes made in here are those of the host a

Public addresses are 45.N.7.x and 2a0b:N::/48, another N for each site: different network groups for Bitcoin Core, and
no range that is kept for documentation or private use.
"""
import json
import os
import subprocess
import sys
import threading

from namespaces import ROOT, Namespace
from nats import KINDS, Kind, rules

# External addresses per site, so that a limit per address does not stop a long measurement.
ADDRESSES_PER_SITE = 16
MAXIMUM_SITES = 240
HERE = os.path.dirname(os.path.abspath(__file__))


class Site:
    """A host and what stands between it and the network."""

    def __init__(self, lab: "Lab", number: int, name: str, kind: Kind, ipv6: bool, maps_ports: bool) -> None:
        self.lab, self.number, self.name, self.kind, self.maps_ports = lab, number, name, kind, maps_ports
        self.addresses = [f"45.{number}.7.{index}" for index in range(1, 1 + ADDRESSES_PER_SITE)]
        self.address = self.addresses[0]
        self.ipv6 = f"2a0b:{number:x}:0:1::2" if ipv6 else None
        self.routers: list[Namespace] = []
        self.host = Namespace(f"{name}-host")
        edge = self.host
        # From the host outwards: each router is the next one's only client.
        for index, layer in enumerate(kind.layers):
            router = Namespace(f"{name}-nat{index}")
            self.routers.append(router)
            inside = "wan0"
            inner, outer = self._subnet(index)
            edge.ip(f"link add {inside} type veth peer name lan0 netns {router.name}",
                    f"address add {inner}/30 dev {inside}", f"link set {inside} up", f"route add default via {outer}")
            router.ip(f"address add {outer}/30 dev lan0", "link set lan0 up")
            router.sysctl(ipv4__ip_forward=1)
            if ipv6:
                # Every hop has a /64 of its own; routers know the way to the host's.
                edge.ip(f"address add 2a0b:{number:x}:0:{index + 1}::2/64 dev {inside} nodad",
                        f"route add default via 2a0b:{number:x}:0:{index + 1}::1")
                router.ip(f"address add 2a0b:{number:x}:0:{index + 1}::1/64 dev lan0 nodad")
                router.sysctl(ipv6__conf__all__forwarding=1)
                if index:
                    router.ip(f"route add 2a0b:{number:x}:0:1::/64 via 2a0b:{number:x}:0:{index + 1}::2")
            edge = router
        self.edge = edge
        routed = [*self.addresses, *([f"2a0b:{number:x}::/48"] if ipv6 else [])]
        lab.tell(attach=name, namespace=f"{ROOT}/netns/{edge.name}", device="wan0", addresses=routed)
        edge.ip("link set wan0 up", *(f"address add {address}/32 dev wan0" for address in self.addresses),
                f"route add default dev wan0 src {self.address}")
        if ipv6:
            own = f"2a0b:{number:x}:0:ff::1" if self.routers else self.ipv6
            edge.ip(f"address add {own}/128 dev wan0 nodad", "route add ::/0 dev wan0")
        self.use_address(self.address)
        if maps_ports:
            self._start_port_mapping()

    @staticmethod
    def _subnet(layer: int) -> tuple[str, str]:
        # The innermost network is a home's, the others are a provider's (RFC 6598).
        return ("192.168.7.2", "192.168.7.1") if layer == 0 else (f"100.64.{layer}.2", f"100.64.{layer}.1")

    def _start_port_mapping(self) -> None:
        """A router that maps ports when it is asked by PCP, NAT-PMP or UPnP."""
        path = f"{self.lab.directory}/{self.name}-miniupnpd.conf"
        inside = self._subnet(len(self.routers) - 1)[1]
        with open(path, "w") as file:
            file.write(f"""ext_ifname=wan0
ext_ip={self.address}
listening_ip={inside}/30
enable_natpmp=yes
enable_upnp=yes
secure_mode=yes
system_uptime=yes
uuid=abdbd155-54a9-4b3b-a465-76b432bd12{self.number % 100:02}
upnp_table_name=filter
upnp_nat_table_name=filter
allow 1024-65535 0.0.0.0/0 1024-65535
""")
        self.lab.processes.append(self.edge.start(
            "/usr/sbin/miniupnpd", "-d", "-f", path, "-P", f"{path}.pid", log=self.log("miniupnpd")))

    def use_address(self, address: str) -> None:
        """Sets the rules anew, with this external address, and forgets all mappings."""
        self.address = address
        if not self.routers:
            self.edge.nft(rules(None, None, self.kind.unsolicited))
            self.edge.ip(f"route replace default dev wan0 src {address}")
        for index, (router, layer) in enumerate(zip(self.routers, self.kind.layers)):
            is_edge = router is self.edge
            if is_edge:
                router.nft(rules(layer, address, self.kind.unsolicited, self.maps_ports, self.kind.filtering,
                                 self._subnet(index)[0]))
            else:
                router.nft(rules(layer, self._subnet(index + 1)[0], "drop"))

    def log(self, name: str) -> str:
        return f"{self.lab.directory}/{self.name}-{name}.log"

    @property
    def processes(self) -> list[subprocess.Popen]:
        return self.lab.processes

    def start(self, *command: str, log: str, **options) -> subprocess.Popen:
        """A program on the host, which ends with the lab."""
        process = self.host.start(*command, log=self.log(log), **options)
        self.lab.processes.append(process)
        return process


class Lab:
    def __init__(self, seed: str = "0") -> None:
        self.seed = seed
        self.directory = f"{ROOT}/lab"
        self.sites: dict[str, Site] = {}
        self.processes: list[subprocess.Popen] = []
        self._lock = threading.Lock()
        self._number = 9
        self._errors = open(f"{self.directory}/wire.log", "ab")
        self.wire = subprocess.Popen(
            [sys.executable, f"{HERE}/wire.py", seed], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._errors, text=True)

    def __enter__(self) -> "Lab":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __getitem__(self, name: str) -> Site:
        return self.sites[name]

    def tell(self, **order) -> dict:
        """A command for the wire; its answer."""
        with self._lock:
            self.wire.stdin.write(json.dumps(order) + "\n")
            self.wire.stdin.flush()
            answer = json.loads(self.wire.stdout.readline() or '{"error": "the wire ended"}')
        if answer.get("error"):
            raise RuntimeError(f"the wire: {answer['error']}")
        return answer

    def site(self, name: str, kind: str = "open", delay: float = 0.0, loss: float = 0.0, jitter: float = 0.0,
             ipv6: bool = False, maps_ports: bool = False) -> Site:
        """A host behind a router of this kind; delay, loss and jitter hold on the way to the network's middle."""
        if len(self.sites) >= MAXIMUM_SITES:
            raise ValueError(f"a lab has at most {MAXIMUM_SITES} sites")
        self._number += 1
        site = Site(self, self._number, name, KINDS[kind], ipv6, maps_ports)
        self.sites[name] = site
        self.tell(set=name, delay=delay, loss=loss, jitter=jitter)
        return site

    def capture(self, name: str | None) -> str | None:
        """Begins a capture of all that crosses the network, or ends it."""
        path = f"{self.directory}/{name}.pcap" if name else None
        self.tell(capture=path)
        return path

    def close(self) -> None:
        for process in reversed(self.processes):
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.wire.stdin.close()
        self.wire.wait(10)
        self._errors.close()
        for site in self.sites.values():
            for namespace in [site.host, *site.routers]:
                namespace.close()
        self.sites, self.processes = {}, []
