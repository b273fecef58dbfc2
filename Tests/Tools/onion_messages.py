# SPDX-License-Identifier: MIT
"""Builds onion messages (BOLT 4) over a path of real nodes, for tests: nothing here is constant in time."""
import hashlib
import hmac
import os

from coincurve import PrivateKey, PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

PAYLOADS = 1300


def bigsize(number: int) -> bytes:
    if number < 0xFD:
        return bytes([number])
    return b"\xfd" + number.to_bytes(2, "big") if number < 1 << 16 else b"\xfe" + number.to_bytes(4, "big")


def record(number: int, value: bytes) -> bytes:
    return bigsize(number) + bigsize(len(value)) + value


def generate(label: bytes, secret: bytes) -> bytes:
    return hmac.new(label, secret, hashlib.sha256).digest()


def shared(secret: bytes, point: bytes) -> bytes:
    return hashlib.sha256(PublicKey(point).multiply(secret).format()).digest()


def stream(key: bytes, length: int) -> bytes:
    return Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None).encryptor().update(bytes(length))


def xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right))


def next_secret(secret: bytes, factor: bytes) -> bytes:
    return PrivateKey(secret).multiply(factor).secret


def blind(nodes: list[bytes], data: list[bytes]) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """The first path key, and each hop's blinded identity and encrypted data."""
    secret = os.urandom(32)
    first = PublicKey.from_secret(secret).format()
    hops = []
    for node, plain in zip(nodes, data):
        point = PublicKey.from_secret(secret).format()
        key = shared(secret, node)
        blinded = PublicKey(node).multiply(generate(b"blinded_node_id", key)).format()
        hops.append((blinded, ChaCha20Poly1305(generate(b"rho", key)).encrypt(bytes(12), plain, b"")))
        secret = next_secret(secret, hashlib.sha256(point + key).digest())
    return first, hops


def wrap(hops: list[tuple[bytes, bytes]]) -> bytes:
    """The onion for hops of a public key and a payload without its length."""
    secret = os.urandom(32)
    ephemeral = PublicKey.from_secret(secret).format()
    keys, lengths = [], []
    for node, payload in hops:
        point = PublicKey.from_secret(secret).format()
        keys.append(shared(secret, node))
        lengths.append(len(bigsize(len(payload)) + payload) + 32)
        secret = next_secret(secret, hashlib.sha256(point + keys[-1]).digest())
    # What the hops before the last shift in behind the payloads, as the later ones see it.
    filler = b""
    for key, length in list(zip(keys, lengths))[:-1]:
        filler += bytes(length)
        filler = xor(filler, stream(generate(b"rho", key), PAYLOADS + length)[-len(filler):])
    payloads, mac = os.urandom(PAYLOADS), bytes(32)
    for index in reversed(range(len(hops))):
        payload = hops[index][1]
        payloads = (bigsize(len(payload)) + payload + mac + payloads)[:PAYLOADS]
        payloads = xor(payloads, stream(generate(b"rho", keys[index]), PAYLOADS))
        if index == len(hops) - 1 and filler:
            payloads = payloads[:-len(filler)] + filler
        mac = hmac.new(generate(b"mu", keys[index]), payloads, hashlib.sha256).digest()
    return b"\0" + ephemeral + payloads + mac


def onion_message(nodes: list[bytes], fields: list[tuple[int, bytes]], path_id: bytes = b"") -> tuple[bytes, bytes]:
    """The path key for the first of the nodes, and the onion, with these fields for the last."""
    data = [record(4, node) for node in nodes[1:]] + [record(6, path_id) if path_id else b""]
    path_key, hops = blind(nodes, data)
    last = sorted([(4, hops[-1][1])] + fields)
    payloads = [record(4, encrypted) for _, encrypted in hops[:-1]]
    payloads.append(b"".join(record(number, value) for number, value in last))
    return path_key, wrap([(node, payload) for (node, _), payload in zip(hops, payloads)])


def reply_path(nodes: list[bytes], path_id: bytes) -> bytes:
    """A blinded path to the last of the nodes, in its wire form."""
    data = [record(4, node) for node in nodes[1:]] + [record(6, path_id)]
    path_key, hops = blind(nodes, data)
    encoded = b"".join(node + len(encrypted).to_bytes(2, "big") + encrypted for node, encrypted in hops)
    return nodes[0] + path_key + bytes([len(hops)]) + encoded
