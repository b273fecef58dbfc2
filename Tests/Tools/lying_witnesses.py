#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Bitcoin nodes that do no more than tell who connects where they see it, until standard input ends.

  Tests/Tools/lying_witnesses.py HONEST LYING

Listens on 127.0.0.1, 127.0.0.2, …, HONEST of which tell the truth and LYING of which do not; prints one JSON list of
their addresses, the honest ones first.
"""
import asyncio
import hashlib
import ipaddress
import json
import signal
import struct
import sys

MAGIC = bytes.fromhex("fabfb5da")  # regtest


def message(command: str, payload: bytes) -> bytes:
    checksum = hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
    return MAGIC + command.encode().ljust(12, b"\0") + struct.pack("<I", len(payload)) + checksum + payload


def version(host: str, port: int) -> bytes:
    mapped = ipaddress.IPv6Address(f"::ffff:{host}").packed
    return message(
        "version",
        struct.pack("<iQqQ", 70016, 0x0409, 0, 0) + mapped + struct.pack(">H", port) + bytes(26)
        + struct.pack("<Q", 7) + b"\x09/witness/" + struct.pack("<i?", 0, True))


async def main(honest: int, lying: int) -> None:
    async def answer(lies: bool, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = writer.get_extra_info("peername")
        try:
            await asyncio.wait_for(reader.readexactly(24), 10)
            writer.write(version("198.51.100.9", 9) if lies else version(host, port))
            await writer.drain()
            await asyncio.wait_for(reader.read(), 10)
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError):
            pass
        finally:
            writer.close()

    addresses = []
    for number in range(honest + lying):
        lies = number >= honest
        server = await asyncio.start_server(
            lambda reader, writer, lies=lies: answer(lies, reader, writer), f"127.0.0.{number + 1}", 0)
        addresses.append("%s:%d" % server.sockets[0].getsockname())
    print(json.dumps(addresses), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)


# A test's own process may have blocked signals that its children inherit.
signal.pthread_sigmask(signal.SIG_SETMASK, [])
asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
