#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The network between the machines of a lab: delay, loss and jitter, in one process without help of the kernel.

Every machine that is attached has a TUN device, and the wire moves IP packets between them. It is started by lab.py
and reads commands, one JSON object a line, from standard input; each is answered by a line.

  {"attach": NAME, "namespace": PATH, "device": "wan0", "addresses": ["45.11.0.1", "2a0b:1::/48"]}
  {"set": NAME, "delay": SECONDS, "loss": SHARE, "jitter": SECONDS}    what a packet meets between NAME and the middle
  {"address": NAME, "addresses": […]}    replaces the addresses
  {"capture": FILE | null}               writes what enters the wire from here on, as a pcap file of raw IP packets
  {"flush": true}                        so that the file has everything
  {"counters": true}

A packet from one machine to another meets both their delays and losses. Packets between two machines keep their order.
Losses and jitter come from a seed and one generator per sender: what others send changes nothing for it.
"""
import ctypes
import fcntl
import heapq
import ipaddress
import json
import os
import random
import select
import struct
import sys
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x4004_54CA, 1, 0x1000
CLONE_NEWNET = 0x4000_0000
LINKTYPE_RAW = 101
MAXIMUM_PACKET = 65_536
# Packets under way at once. More are dropped, as a router would.
MAXIMUM_QUEUE = 50_000
# How many are read from one device before the others get their turn.
BURST = 64


class Port:
    """Where one machine is attached."""

    def __init__(self, name: str, descriptor: int, seed: str) -> None:
        self.name, self.descriptor = name, descriptor
        self.delay = self.loss = self.jitter = 0.0
        self.random = random.Random(f"{seed}:{name}")
        self.sent = self.lost = self.unroutable = self.overflowed = 0


class Wire:
    def __init__(self, seed: str) -> None:
        self.seed = seed
        self.ports: dict[str, Port] = {}
        self.by_descriptor: dict[int, Port] = {}
        self.hosts: dict[bytes, Port] = {}
        self.prefixes: dict[bytes, Port] = {}
        self.queue: list = []
        self.last_due: dict[tuple[str, str], float] = {}
        self.number = 0
        self.file = None

    # MARK: Commands

    def command(self, order: dict) -> dict:
        if "attach" in order:
            self.attach(order)
        elif "set" in order:
            port = self.ports[order["set"]]
            port.delay, port.loss, port.jitter = (order.get(key, 0.0) for key in ["delay", "loss", "jitter"])
        elif "address" in order:
            self.route(self.ports[order["address"]], order["addresses"])
        elif "capture" in order:
            self.capture(order["capture"])
        elif "flush" in order:
            if self.file:
                self.file.flush()
        elif "counters" in order:
            return {port.name: {"sent": port.sent, "lost": port.lost, "unroutable": port.unroutable,
                                "overflowed": port.overflowed} for port in self.ports.values()}
        return {}

    def attach(self, order: dict) -> None:
        here = os.open("/proc/self/ns/net", os.O_RDONLY)
        there = os.open(order["namespace"], os.O_RDONLY)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(there, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", order["device"].encode(), IFF_TUN | IFF_NO_PI))
        libc.setns(here, CLONE_NEWNET)
        os.close(here)
        os.close(there)
        port = Port(order["attach"], descriptor, self.seed)
        self.ports[port.name] = self.by_descriptor[descriptor] = port
        self.route(port, order["addresses"])

    def route(self, port: Port, addresses: list[str]) -> None:
        for table in [self.hosts, self.prefixes]:
            for key in [key for key, owner in table.items() if owner is port]:
                del table[key]
        for address in addresses:
            if "/" in address:
                network = ipaddress.ip_network(address)
                if network.prefixlen != 48:
                    raise ValueError(f"{address} is no /48")
                self.prefixes[network.network_address.packed[:6]] = port
            else:
                self.hosts[ipaddress.ip_address(address).packed] = port

    def capture(self, path: str | None) -> None:
        if self.file:
            self.file.close()
        self.file = open(path, "wb", buffering=1 << 20) if path else None
        if self.file:
            self.file.write(struct.pack("<IHHiIII", 0xA1B2_C3D4, 2, 4, 0, 0, MAXIMUM_PACKET, LINKTYPE_RAW))

    # MARK: Packets

    def receive(self, source: Port) -> None:
        for _ in range(BURST):
            try:
                packet = os.read(source.descriptor, MAXIMUM_PACKET)
            except BlockingIOError:
                return
            version = packet[0] >> 4
            target = self.hosts.get(packet[16:20]) if version == 4 else (
                self.hosts.get(packet[24:40]) or self.prefixes.get(packet[24:30]))
            # Routers' and neighbours' talk stays on its own link.
            if version == 6 and packet[24] == 0xFF:
                continue
            source.sent += 1
            if self.file:
                now = time.time()
                self.file.write(struct.pack(
                    "<IIII", int(now), int(now % 1 * 1e6), len(packet), len(packet)) + packet)
            if not target:
                source.unroutable += 1
                continue
            # Both numbers are drawn for every packet, so that a changed setting does not shift the sequence.
            chance, spread = source.random.random(), source.random.random()
            if chance < 1 - (1 - source.loss) * (1 - target.loss):
                source.lost += 1
                continue
            if len(self.queue) >= MAXIMUM_QUEUE:
                source.overflowed += 1
                continue
            pair = (source.name, target.name)
            due = time.monotonic() + source.delay + target.delay + spread * (source.jitter + target.jitter)
            due = max(due, self.last_due.get(pair, 0.0))
            self.last_due[pair] = due
            self.number += 1
            heapq.heappush(self.queue, (due, self.number, target, packet))

    def deliver(self) -> float | None:
        """Hands over what is due; how long until the next one is."""
        while self.queue:
            wait = self.queue[0][0] - time.monotonic()
            if wait > 0:
                return wait
            _, _, target, packet = heapq.heappop(self.queue)
            try:
                os.write(target.descriptor, packet)
            except OSError:
                # The device is down, or its queue is full: a lost packet.
                target.lost += 1
        return None

    def serve(self) -> None:
        buffered = b""
        os.set_blocking(0, False)
        while True:
            readable, _, _ = select.select([0, *self.by_descriptor], [], [], self.deliver())
            for descriptor in readable:
                if descriptor:
                    self.receive(self.by_descriptor[descriptor])
                    continue
                data = os.read(0, 65_536)
                if not data:
                    return
                *lines, buffered = (buffered + data).split(b"\n")
                for line in lines:
                    try:
                        answer = self.command(json.loads(line))
                    except (OSError, ValueError, KeyError) as error:
                        answer = {"error": f"{type(error).__name__}: {error}"}
                    sys.stdout.write(json.dumps(answer) + "\n")
                    sys.stdout.flush()


if __name__ == "__main__":
    Wire(sys.argv[1] if len(sys.argv) > 1 else "0").serve()
