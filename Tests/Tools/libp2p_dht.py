#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A node of py-libp2p's Kademlia DHT for the tests: somebody else's routing, records and their verification.

Prints one JSON object a line to standard output, and reads commands, one JSON object a line, from standard input. It
ends with its input.

  {"do": "join", "address": "/ip4/127.0.0.1/tcp/4001/p2p/12D3…"}  connects, and takes the peer into the table
  {"do": "refresh"}                  looks for itself, so that others get to know it
  {"do": "find", "peer": ID}         the peer's record: found over the DHT, verified here
  {"do": "get", "peer": ID}          the value of /altnet-record/ID, verified here
  {"do": "put"}                      its own record as the value of /altnet-record/ and its id
  {"do": "provide", "key": TEXT}     announces itself as provider
  {"do": "providers", "key": TEXT}   who provides

The answer to a command has its "do", and "error" when it failed. "ready" comes first: the node's id and addresses.
"""

import argparse
import hashlib
import json
import signal
import sys
import traceback

import multiaddr
import trio
from libp2p import new_host
from libp2p.crypto import ed25519, secp256k1
from libp2p.kad_dht import peer_routing
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.kad_dht.pb.kademlia_pb2 import Message
from libp2p.peer.envelope import consume_envelope
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.peer.peerstore import env_to_send_in_RPC
from libp2p.records.validator import Validator
from libp2p.tools.anyio_service import background_trio_service

# One command may take so long, in seconds.
LIMIT = 60
NAMESPACE = "altnet-record"
DOMAIN = "libp2p-peer-record"

KEYS = {"ed25519": ed25519.create_new_key_pair, "secp256k1": secp256k1.create_new_key_pair}


def say(**fields):
    print(json.dumps(fields), flush=True)


def verified(envelope):
    """The record in an envelope; py-libp2p checks the signature, and throws when it is wrong."""
    _, record = consume_envelope(envelope, DOMAIN)
    return {
        "peer": str(record.peer_id),
        "sequence": record.seq,
        "addresses": [str(address) for address in record.addrs],
    }


class RecordValidator(Validator):
    """The rule of our namespace: the sealed record of the peer in the key, the highest sequence number first."""

    def validate(self, key, value):
        _, record = consume_envelope(value, DOMAIN)
        if key != f"/{NAMESPACE}/{record.peer_id}":
            raise ValueError("a record of another peer")

    def select(self, key, values):
        numbers = [consume_envelope(value, DOMAIN)[1].seq for value in values]
        return numbers.index(max(numbers))


# Whose records answers of other nodes had, as far as they verified: identify brings records, too, and is no proof.
told = set()
consume = peer_routing.maybe_consume_signed_record


def noting_consume(message, host, peer=None):
    is_right = consume(message, host, peer)
    if is_right and isinstance(message, Message.Peer) and message.HasField("signedRecord"):
        told.add(ID(message.id))
    return is_right


peer_routing.maybe_consume_signed_record = noting_consume


async def carry_out(host, dht, command):
    do = command["do"]
    if do == "join":
        info = info_from_p2p_addr(multiaddr.Multiaddr(command["address"]))
        await host.connect(info)
        await dht.routing_table.add_peer(info)
        return {"peer": str(info.peer_id)}
    if do == "refresh":
        closest = await dht.peer_routing.find_closest_peers_network(host.get_id().to_bytes())
        return {"peers": [str(peer) for peer in closest]}
    if do == "find":
        peer = ID.from_string(command["peer"])
        if peer not in told:
            await dht.peer_routing.find_closest_peers_network(peer.to_bytes())
        envelope = host.get_peerstore().get_peer_record(peer)
        if envelope is None:
            raise LookupError("no record")
        return {"record": verified(envelope.marshal_envelope()), "told": peer in told}
    if do == "get":
        value = await dht.get_value(f"/{NAMESPACE}/{command['peer']}")
        if value is None:
            raise LookupError("no value")
        return {"record": verified(value)}
    if do == "put":
        envelope, _ = env_to_send_in_RPC(host)
        await dht.put_value(f"/{NAMESPACE}/{host.get_id()}", envelope)
        return {"record": verified(envelope)}
    key = hashlib.sha256(command["key"].encode()).hexdigest()
    if do == "provide":
        return {"same": await dht.provide(key)}
    if do == "providers":
        return {"peers": [str(info.peer_id) for info in await dht.find_providers(key)]}
    raise ValueError(f"unknown command {do}")


async def answer(host, dht, line):
    command = json.loads(line)
    try:
        with trio.fail_after(LIMIT):
            say(**{"do": command["do"], **await carry_out(host, dht, command)})
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        say(do=command["do"], error=f"{type(error).__name__}: {error}")


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--key", choices=sorted(KEYS), default="ed25519")
    parser.add_argument("--listen", default="/ip4/127.0.0.1/tcp/0")
    arguments = parser.parse_args()
    host = new_host(key_pair=KEYS[arguments.key]())
    dht = KadDHT(host, DHTMode.SERVER)
    dht.register_validator(NAMESPACE, RecordValidator())
    async with (
        host.run(listen_addrs=[multiaddr.Multiaddr(arguments.listen)]),
        background_trio_service(dht),
        trio.open_nursery() as nursery,
    ):
        say(event="ready", peer=str(host.get_id()), addresses=[str(address) for address in host.get_addrs()])
        async with trio.wrap_file(sys.stdin) as lines:
            async for line in lines:
                await answer(host, dht, line)
        nursery.cancel_scope.cancel()


# Whoever starts this may have blocked signals.
signal.pthread_sigmask(signal.SIG_SETMASK, [])
trio.run(main)
