#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Asks a server for more than it should give, with Python's standard library only.

  http_load.py silent ADDRESS TOKEN COUNT                   event streams whose clients read the headers and no more
  http_load.py flood ADDRESS TOKEN SECONDS COUNT PATH       requests as fast as they are answered, pipelined
  http_load.py drip ADDRESS COUNT                           connections that send a byte of a request each second

Prints one line of JSON when all are answered (silent), when the time is over (flood) or when all are connected (drip).
`silent` and `drip` then stay until their standard input ends.
"""
import asyncio
import collections
import json
import resource
import signal
import sys
import time

# Requests that are under way on one connection.
PIPELINED = 16

# Swift's Process starts us with signals blocked.
signal.pthread_sigmask(signal.SIG_SETMASK, [])


class Silent(asyncio.Protocol):
    """Asks for events, reads the headers of the answer, and then nothing."""

    def __init__(self, request, answered):
        self.request, self.answered, self.head = request, answered, b""

    def connection_made(self, transport):
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data):
        self.head += data
        if self.answered and b"\r\n" in self.head:
            self.answered(int(self.head.split(b" ", 2)[1]))
            self.answered = None
            self.transport.pause_reading()

    def connection_lost(self, error):
        if self.answered:
            self.answered("lost")
            self.answered = None


class Flood(asyncio.Protocol):
    """Keeps some requests under way, and counts the answers by their status."""

    def __init__(self, request, counts):
        self.request, self.counts = request, counts
        self.rest = b""

    def connection_made(self, transport):
        self.transport = transport
        transport.write(self.request * PIPELINED)

    def data_received(self, data):
        data = self.rest + data
        parts = data.split(b"HTTP/1.1 ")
        # The last one may be cut anywhere, but its status is there when three more bytes are.
        done = 0
        for part in parts[1:]:
            if len(part) < 3:
                break
            self.counts[part[:3].decode()] += 1
            done += 1
        self.rest = b"HTTP/1.1 " + parts[-1] if done < len(parts) - 1 else parts[-1][-8:]
        self.transport.write(self.request * done)

    def connection_lost(self, error):
        self.counts["lost"] += 1


async def silent(host, port, token, count):
    request = f"GET /v1/events HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    counts = collections.Counter()
    everybody = asyncio.Event()

    def answered(status):
        counts[str(status)] += 1
        if sum(counts.values()) == count:
            everybody.set()

    loop = asyncio.get_running_loop()
    connections = [loop.create_connection(lambda: Silent(request, answered), host, port) for _ in range(count)]
    transports = await asyncio.gather(*connections)
    await everybody.wait()
    print(json.dumps(counts), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    del transports


async def flood(host, port, token, seconds, count, path):
    request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    counts = collections.Counter()
    loop = asyncio.get_running_loop()
    begun = time.monotonic()
    connecting = [
        asyncio.ensure_future(loop.create_connection(lambda: Flood(request, counts), host, port))
        for _ in range(count)
    ]
    await asyncio.sleep(seconds)
    took = time.monotonic() - begun
    answers = sum(counts.values())
    print(json.dumps({"answers": counts, "seconds": took, "rate": answers / took}), flush=True)
    for connection in connecting:
        connection.cancel()


async def drip(host, port, count):
    async def one():
        _, writer = await asyncio.open_connection(host, port)
        return writer

    writers = await asyncio.gather(*[one() for _ in range(count)])
    print(json.dumps({"connected": count}), flush=True)

    async def dripping():
        while True:
            for writer in writers:
                if not writer.is_closing():
                    writer.write(b"G")
            await asyncio.sleep(1)

    task = asyncio.create_task(dripping())
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    task.cancel()


def main():
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    mode, address, *rest = sys.argv[1:]
    host, port = address.rsplit(":", 1)
    if mode == "silent":
        asyncio.run(silent(host, int(port), rest[0], int(rest[1])))
    elif mode == "flood":
        asyncio.run(flood(host, int(port), rest[0], float(rest[1]), int(rest[2]), rest[3]))
    elif mode == "drip":
        asyncio.run(drip(host, int(port), int(rest[0])))
    else:
        sys.exit(__doc__)


main()
