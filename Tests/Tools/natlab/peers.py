# SPDX-License-Identifier: MIT
"""Small peers that prove the lab itself: witnesses that say which address they see, and simultaneous opens.

They know nothing of AltNet. The moment of an open comes from the machine's one clock, which real peers do not share.
"""
import errno
import selectors
import socket
import threading
import time
from dataclasses import dataclass

from lab import Site

WITNESS_PORT = 8333
PATIENCE = 5.0
# SYNs to one address and port. After an RST the next one waits this long, so that the other side's can arrive.
SYNS = 8
PAUSE_AFTER_RESET = 0.02


def reusing(site: Site, port: int, ipv6: bool = False) -> socket.socket:
    """A TCP socket at a local port that others of this host use as well."""
    with site.host:
        endpoint = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_STREAM)
    endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    endpoint.bind(("::" if ipv6 else "0.0.0.0", port))
    return endpoint


class Witness:
    """Says to whoever connects which address it has."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.listener = reusing(site, WITNESS_PORT)
        self.listener.listen(128)
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def endpoint(self) -> tuple[str, int]:
        return self.site.address, WITNESS_PORT

    def _serve(self) -> None:
        while True:
            try:
                connection, (address, port) = self.listener.accept()
            except OSError:
                return
            connection.sendall(f"{address} {port}\n".encode())
            connection.close()

    def close(self) -> None:
        # Closing alone does not wake the thread that accepts.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def external(site: Site, port: int, witness: Witness) -> tuple[str, int]:
    """What a witness sees of a connection from this local port."""
    with reusing(site, port) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(witness.endpoint)
        address, number = connection.makefile().readline().split()
        # Reset, so that the port is free for the same destination at once.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    return address, int(number)


@dataclass
class Opened:
    """How one side's open ended."""

    connected: bool
    seconds: float
    syns: int
    resets: int
    accepted: bool = False
    connection: socket.socket | None = None


def open_at(site: Site, port: int, remote: tuple[str, int], moment: float, listens: bool,
            patience: float) -> Opened:
    """Connects from a local port at a moment of the monotonic clock, and listens there meanwhile."""
    selector = selectors.DefaultSelector()
    listener, ipv6 = None, ":" in remote[0]
    if listens:
        listener = reusing(site, port, ipv6)
        listener.listen(4)
        listener.setblocking(False)
        selector.register(listener, selectors.EVENT_READ)
    time.sleep(max(0.0, moment - time.monotonic()))
    began, dialler, syns, resets = time.monotonic(), None, 0, 0
    again = began
    try:
        while (now := time.monotonic()) < began + patience:
            if dialler is None and syns < SYNS and now >= again:
                dialler = reusing(site, port, ipv6)
                dialler.setblocking(False)
                syns += 1
                result = dialler.connect_ex(remote)
                if result not in (0, errno.EINPROGRESS):
                    dialler.close()
                    dialler, again = None, now + PAUSE_AFTER_RESET
                    continue
                selector.register(dialler, selectors.EVENT_WRITE)
            wait = began + patience - now if dialler or syns >= SYNS else max(0.0, again - now)
            for key, _ in selector.select(min(wait, began + patience - now)):
                if key.fileobj is listener:
                    connection, peer = listener.accept()
                    # Behind a NAT that uses a port for each destination the other one comes from an unforeseen port.
                    if peer[0] == remote[0]:
                        return Opened(True, time.monotonic() - began, syns, resets, True, connection)
                    connection.close()
                    continue
                selector.unregister(dialler)
                if dialler.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                    kept, dialler = dialler, None
                    return Opened(True, time.monotonic() - began, syns, resets, False, kept)
                dialler.close()
                dialler, again, resets = None, time.monotonic() + PAUSE_AFTER_RESET, resets + 1
        return Opened(False, time.monotonic() - began, syns, resets)
    finally:
        for endpoint in [dialler, listener]:
            if endpoint:
                endpoint.close()
        selector.close()


def punch(one: Site, other: Site, witnesses: list[Witness], port: int, skew: float = 0.0, listens: bool = True,
          patience: float = 3.0) -> tuple[Opened, Opened]:
    """A simultaneous open between two hosts, each towards what a witness saw of the other; `other` is late by `skew`.

    Without witnesses: over IPv6, where hosts know their addresses.
    """
    seen = [external(site, port, witnesses[0]) if witnesses else (site.ipv6, port) for site in [one, other]]
    moment = time.monotonic() + 0.05
    results: list[Opened] = [None, None]

    def side(index: int, site: Site, remote: tuple[str, int], start: float) -> None:
        results[index] = open_at(site, port, remote, start, listens, patience)

    threads = [threading.Thread(target=side, args=(0, one, seen[1], moment)),
               threading.Thread(target=side, args=(1, other, seen[0], moment + skew))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results[0], results[1]


def is_one_connection(one: Opened, other: Opened) -> bool:
    """Whether both hold the ends of the same connection: what one writes, the other reads."""
    if not (one.connected and other.connected):
        return False
    for index, (writer, reader) in enumerate([(one.connection, other.connection), (other.connection, one.connection)]):
        writer.settimeout(PATIENCE)
        reader.settimeout(PATIENCE)
        try:
            writer.sendall(b"ab"[index:index + 1] * 100)
            if reader.recv(1) != b"ab"[index:index + 1]:
                return False
        except OSError:
            return False
    return True
