#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A peer of py-libp2p for the tests: somebody else's Noise, Yamux, identify, ping and records.

Prints one JSON object a line to standard output, and reads commands, one JSON object a line, from standard input. It
ends with its input.

  {"do": "connect", "address": "/ip4/127.0.0.1/tcp/4001/p2p/12D3…"}
  {"do": "identified", "peer": ID}          what identify brought about a peer, its signed record included
  {"do": "ping", "peer": ID}
  {"do": "echo", "peer": ID, "bytes": 1000} opens a stream of /altnet/echo/1.0.0 and expects the same bytes back
  {"do": "push", "peer": ID}                identify push
  {"do": "disconnect", "peer": ID}

The answer to a command has its "do", and "error" when it failed. "ready" comes first: the peer's id and addresses.
"""

import argparse
import json
import signal
import sys
import traceback

import multiaddr
import trio
from libp2p import new_host
from libp2p.crypto import ed25519, rsa, secp256k1
from libp2p.custom_types import TProtocol
from libp2p.host.ping import PingService
from libp2p.identity.identify_push.identify_push import push_identify_to_peer
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr

ECHO = TProtocol("/altnet/echo/1.0.0")
# One command may take so long, in seconds.
LIMIT = 30

KEYS = {
    "ed25519": ed25519.create_new_key_pair,
    "secp256k1": secp256k1.create_new_key_pair,
    "rsa": lambda: rsa.create_new_key_pair(2048),
}


def say(**fields):
    print(json.dumps(fields), flush=True)


async def echo(stream):
    """Sends back what comes, until the other side ends."""
    try:
        while True:
            data = await stream.read(65536)
            if not data:
                break
            await stream.write(data)
    except Exception:  # the end of a stream is an exception in py-libp2p
        pass
    try:
        await stream.close()
    except Exception:
        pass


def identified(host, peer):
    store = host.get_peerstore()
    envelope = store.get_peer_record(peer)
    fields = {
        "addresses": [str(address) for address in store.addrs(peer)],
        "protocols": list(store.get_protocols(peer)),
    }
    if envelope is not None:
        record = envelope.record()
        fields["record"] = {
            "peer": str(record.peer_id),
            "sequence": record.seq,
            "addresses": [str(address) for address in record.addrs],
        }
    return fields


async def wait_for_identify(host, peer):
    """Identify runs by itself after a connection; its end shows in the peer store."""
    while True:
        try:
            fields = identified(host, peer)
            if fields.get("record") and fields["protocols"]:
                return fields
        except Exception:
            pass
        await trio.sleep(0.05)


async def carry_out(host, command):
    if command["do"] == "connect":
        info = info_from_p2p_addr(multiaddr.Multiaddr(command["address"]))
        await host.connect(info)
        return {"peer": str(info.peer_id)}
    peer = ID.from_string(command["peer"])
    if command["do"] == "identified":
        return await wait_for_identify(host, peer)
    if command["do"] == "ping":
        return {"microseconds": await PingService(host).ping(peer, 3)}
    if command["do"] == "push":
        return {"pushed": await push_identify_to_peer(host, peer)}
    if command["do"] == "disconnect":
        await host.disconnect(peer)
        return {}
    if command["do"] == "echo":
        stream = await host.new_stream(peer, [ECHO])
        sent = bytes(index * 31 % 251 for index in range(command["bytes"]))
        received = bytearray()

        async def write():
            await stream.write(sent)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            while len(received) < len(sent):
                received += await stream.read(65536)
        await stream.close()
        return {"same": bytes(received) == sent}
    raise ValueError(f"unknown command {command['do']}")


async def answer(host, line):
    command = json.loads(line)
    try:
        with trio.fail_after(LIMIT):
            say(**{"do": command["do"], **await carry_out(host, command)})
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        say(do=command["do"], error=f"{type(error).__name__}: {error}")


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--key", choices=sorted(KEYS), default="ed25519")
    parser.add_argument("--listen", default="/ip4/127.0.0.1/tcp/0")
    arguments = parser.parse_args()
    host = new_host(key_pair=KEYS[arguments.key]())
    host.set_stream_handler(ECHO, echo)
    async with host.run(listen_addrs=[multiaddr.Multiaddr(arguments.listen)]), trio.open_nursery() as nursery:
        say(
            event="ready",
            peer=str(host.get_id()),
            addresses=[str(address) for address in host.get_addrs()],
        )
        async with trio.wrap_file(sys.stdin) as lines:
            async for line in lines:
                nursery.start_soon(answer, host, line)
        nursery.cancel_scope.cancel()


# Whoever starts this may have blocked signals.
signal.pthread_sigmask(signal.SIG_SETMASK, [])
trio.run(main)
