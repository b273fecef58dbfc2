#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Builds and peels BOLT 4 onions with other people's code: pyln-proto or Electrum.

    onion_interop.py pyln|electrum FILE

FILE has one JSON object a line, and so has the output, in the same order:

    {"build": {"sessionKey": HEX, "associatedData": HEX, "hops": [[NODE, PAYLOAD], ...]}}  ->  {"onion": HEX}
    {"peel": {"onion": HEX, "associatedData": HEX, "keys": [HEX, ...]}}  ->  {"payloads": [HEX, ...], "last": BOOL}
    {"answer": {"onion": HEX, "key": HEX, "contents": HEX}}  ->  {"reply": HEX}
    {"open": {"reply": HEX, "nodes": [NODE, ...], "sessionKey": HEX}}  ->  {"hop": NUMBER, "contents": HEX}

Payloads are without their length. Peeling stops at the last hop or after the last key. What the other code refuses
becomes {"error": TEXT}. pyln-proto has no replies.

pyln-proto builds wrong onions unless all payloads are equally long; it must not be asked for others.
"""
import json
import sys


class Pyln:
    """pyln.proto.onion of pyln-proto (PyPI)."""

    def __init__(self):
        from pyln.proto import onion
        from pyln.proto.primitives import Secret
        from pyln.proto.wire import PrivateKey, PublicKey

        self.onion, self.Secret, self.PrivateKey, self.PublicKey = onion, Secret, PrivateKey, PublicKey

        # Payloads of directed messages are no TLV streams: they are taken as bytes. The original gives up at the first
        # malformed record with the reader in the middle of the payload.
        def from_bytes(reader):
            return onion.RawPayload.from_bytes(reader)

        onion.OnionPayload.from_bytes = staticmethod(from_bytes)

    def build(self, session_key, associated_data, hops):
        lengths = {len(payload) for _, payload in hops}
        assert len(lengths) == 1, "pyln-proto builds wrong onions for payloads of different lengths"
        path = []
        for node, payload in hops:
            raw = self.onion.RawPayload()
            raw.content = payload
            path.append(self.onion.SphinxHop(self.PublicKey(node), raw.to_bytes()))
        packet = self.onion.SphinxPath(path, associated_data, self.Secret(session_key)).compile()
        return packet.to_bin()

    def peel(self, packet, associated_data, key):
        packet = self.onion.RoutingOnion.from_bin(packet)
        payload, after = packet.unwrap(self.PrivateKey(key), associated_data)
        return payload.content, after.to_bin() if after is not None else None


class Electrum:
    """electrum.lnonion of Debian's python3-electrum."""

    def __init__(self):
        from electrum import lnonion

        self.lnonion = lnonion

        # Payloads of directed messages are no TLV streams: they are taken as bytes. Where they lie in the onion is
        # still what the original reads.
        def read_tlv_stream(*, fd, tlv_stream_name):
            return {"raw": fd.read()}

        lnonion.OnionWireSerializer.read_tlv_stream = read_tlv_stream

    def build(self, session_key, associated_data, hops):
        data = []
        for _, payload in hops:
            hop = self.lnonion.OnionHopsDataSingle(is_tlv_payload=True)
            hop._raw_bytes_payload = payload
            data.append(hop)
        packet = self.lnonion.new_onion_packet([node for node, _ in hops], session_key, data, associated_data)
        return packet.to_bytes()

    def peel(self, packet, associated_data, key):
        packet = self.lnonion.OnionPacket.from_bytes(packet)
        processed = self.lnonion.process_onion_packet(packet, associated_data, key)
        payload = processed.hop_data.payload["raw"]
        return payload, None if processed.are_we_final else processed.next_packet.to_bytes()

    def answer(self, packet, key, contents):
        failure = self.lnonion.OnionRoutingFailure.from_bytes(contents)
        return self.lnonion.construct_onion_error(failure, self.lnonion.OnionPacket.from_bytes(packet), key)

    def open(self, reply, nodes, session_key):
        failure, hop = self.lnonion.decode_onion_error(reply, nodes, session_key)
        return hop, failure.to_bytes()


def work(other, task):
    if "build" in task:
        job = task["build"]
        hops = [(bytes.fromhex(node), bytes.fromhex(payload)) for node, payload in job["hops"]]
        return {"onion": other.build(bytes.fromhex(job["sessionKey"]), bytes.fromhex(job["associatedData"]), hops).hex()}
    if "answer" in task:
        job = task["answer"]
        return {"reply": other.answer(*(bytes.fromhex(job[name]) for name in ("onion", "key", "contents"))).hex()}
    if "open" in task:
        job = task["open"]
        nodes = [bytes.fromhex(node) for node in job["nodes"]]
        hop, contents = other.open(bytes.fromhex(job["reply"]), nodes, bytes.fromhex(job["sessionKey"]))
        return {"hop": hop, "contents": contents.hex()}
    job = task["peel"]
    packet, payloads = bytes.fromhex(job["onion"]), []
    for key in job["keys"]:
        payload, packet = other.peel(packet, bytes.fromhex(job["associatedData"]), bytes.fromhex(key))
        payloads.append(payload.hex())
        if packet is None:
            break
    return {"payloads": payloads, "last": packet is None}


def main():
    kinds = {"pyln": Pyln, "electrum": Electrum}
    if len(sys.argv) != 3 or sys.argv[1] not in kinds:
        sys.exit(__doc__)
    other = kinds[sys.argv[1]]()
    with open(sys.argv[2], encoding="ascii") as tasks:
        for line in tasks:
            try:
                answer = work(other, json.loads(line))
            except Exception as error:  # What the other code throws at a bad onion has no common type.
                answer = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(answer))


if __name__ == "__main__":
    main()
