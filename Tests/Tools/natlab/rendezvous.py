# SPDX-License-Identifier: MIT
"""Bytes are moved between a listener in one namespace and a port in another one.

So a public place stands for an overlay network, with a delay of its own, and leads to what listens on the loopback of a
host behind a NAT.
"""
import asyncio
import contextlib
import random
import socket
import threading

from lab import Site
from namespaces import Namespace

PIECE = 65_536


class Forwarder:
    """Listens at one place, and connects to the other one for each connection. No namespace: the run's own."""

    def __init__(self, listen: Namespace | None, addresses: list[tuple[str, int]], target: Namespace | None,
                 target_address: tuple[str, int], delay: float = 0.0, jitter: float = 0.0, seed: str = "0") -> None:
        self.target, self.target_address = target, target_address
        self.delay, self.jitter, self.random = delay, jitter, random.Random(seed)
        self.accepted = 0
        with listen or contextlib.nullcontext():
            self.listeners = [socket.create_server(address, backlog=256) for address in addresses]
        for listener in self.listeners:
            listener.setblocking(False)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        for listener in self.listeners:
            self._loop.create_task(self._serve(listener))
        self._loop.run_forever()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _serve(self, listener: socket.socket) -> None:
        while True:
            outside, _ = await self._loop.sock_accept(listener)
            self.accepted += 1
            self._loop.create_task(self._connect(outside))

    async def _connect(self, outside: socket.socket) -> None:
        with self.target or contextlib.nullcontext():
            inside = socket.socket()
        for endpoint in [inside, outside]:
            endpoint.setblocking(False)
            endpoint.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await self._loop.sock_connect(inside, self.target_address)
            await asyncio.gather(self._move(inside, outside), self._move(outside, inside))
        except OSError:
            pass
        finally:
            inside.close()
            outside.close()

    async def _move(self, source: socket.socket, target: socket.socket) -> None:
        """Delays every piece; a slower one holds up those behind it, as in an ordered stream."""
        due, pieces = 0.0, asyncio.Queue(1_000)

        async def write() -> None:
            while True:
                moment, piece = await pieces.get()
                await asyncio.sleep(max(0.0, moment - self._loop.time()))
                if not piece:
                    target.shutdown(socket.SHUT_WR)
                    return
                await self._loop.sock_sendall(target, piece)

        writer = asyncio.ensure_future(write())
        try:
            piece = b"-"
            while piece:
                try:
                    piece = await self._loop.sock_recv(source, PIECE)
                except OSError:
                    piece = b""
                due = max(due, self._loop.time() + self.delay + self.random.random() * self.jitter)
                await pieces.put((due, piece))
            await writer
        finally:
            writer.cancel()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        for listener in self.listeners:
            listener.close()


class Rendezvous(Forwarder):
    """Public ports that all lead to the same port on the loopback of a hidden host."""

    def __init__(self, public: Site, ports: list[int], hidden: Site, target_port: int, delay: float = 0.0,
                 jitter: float = 0.0, seed: str = "0") -> None:
        super().__init__(
            public.host, [("0.0.0.0", port) for port in ports], hidden.host, ("127.0.0.1", target_port), delay, jitter,
            seed)
        self.endpoints = [f"direct:{public.address}:{port}" for port in ports]

    @property
    def endpoint(self) -> str:
        return self.endpoints[0]
