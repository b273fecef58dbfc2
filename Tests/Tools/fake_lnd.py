#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Plays one or more LND nodes that are joined with each other, for tests.

  fake_lnd.py --directory DIRECTORY --node NAME [--node NAME …] [--network regtest]

Each node listens on a port of its own with TLS, and has `tls.cert` and `altnet.macaroon` in DIRECTORY/NAME. The program
writes one line of JSON when it is ready:

  {"nodes": {"NAME": {"id": "02…", "address": "127.0.0.1:12345", "certificate": "…", "macaroon": "…"}}}

Then it reads commands, one JSON object a line, and answers each with one line: {}, {"error": "…"} or what was asked. It
ends with its standard input. Statuses and texts are those of LND.
"""
import argparse
import datetime
import importlib
import ipaddress
import json
import os
import queue
import signal
import sys
import tempfile
import threading
import time
from concurrent import futures

import coincurve
import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FIRST_CUSTOM_TYPE = 32768


def stubs() -> tuple:
    """Makes the messages and services from our .proto files, for this process."""
    from grpc_tools import protoc

    with tempfile.TemporaryDirectory(prefix="altnet-stubs-") as made:
        for name in ["lightning", "signer"]:
            outputs = [f"--python_out={made}", f"--grpc_python_out={made}"]
            if protoc.main(["protoc", f"-I{REPOSITORY}/Protos", *outputs, f"lnd/{name}.proto"]) != 0:
                sys.exit("protoc could not make the stubs")
        sys.path.insert(0, made)
        names = ["lightning_pb2", "lightning_pb2_grpc", "signer_pb2", "signer_pb2_grpc"]
        return tuple(importlib.import_module(f"lnd.{name}") for name in names)


ln, ln_grpc, signer, signer_grpc = stubs()


def served(body):
    """What LND does before each call: delays of the test, the state of the wallet, the macaroon."""
    method = body.__name__

    def call(self, request, context):
        self.node.admit(method, context)
        return body(self, request, context)

    def stream(self, request, context):
        self.node.admit(method, context)
        yield from body(self, request, context)

    return stream if method.startswith("Subscribe") else call


class Lightning(ln_grpc.LightningServicer):
    def __init__(self, node):
        self.node = node

    @served
    def GetInfo(self, request, context):
        node = self.node
        return ln.GetInfoResponse(
            identity_pubkey=node.id, version=node.version, chains=[ln.Chain(network=node.network)], features={bit: ln.Feature() for bit in node.features})

    @served
    def ListPeers(self, request, context):
        peers = list(self.node.peers.items())
        return ln.ListPeersResponse(peers=[
            ln.Peer(pub_key=id, features={bit: ln.Feature() for bit in features}) for id, features in peers])

    @served
    def ListChannels(self, request, context):
        return ln.ListChannelsResponse(channels=[
            ln.Channel(remote_pubkey=peer, channel_point=point) for peer, point in self.node.channels])

    @served
    def GetNodeInfo(self, request, context):
        known = self.node.gossip.get(request.pub_key)
        if known is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "unable to find node")
        return ln.NodeInfo(node=ln.LightningNode(addresses=[
            ln.NodeAddress(network="tcp", addr=address) for address in known]))

    @served
    def ConnectPeer(self, request, context):
        if request.addr.pubkey in self.node.peers:
            context.abort(grpc.StatusCode.UNKNOWN, f"already connected to peer: {request.addr.pubkey}@peer")
        other = self.node.world.by_id(request.addr.pubkey)
        if other is None:
            context.abort(grpc.StatusCode.UNKNOWN, f"dial tcp {request.addr.host}: connect: connection refused")
        self.node.world.link(self.node, other)
        return ln.ConnectPeerResponse()

    @served
    def SendCustomMessage(self, request, context):
        node, peer = self.node, request.peer.hex()
        if peer not in node.peers:
            context.abort(grpc.StatusCode.NOT_FOUND, "peer is not connected")
        if request.type < FIRST_CUSTOM_TYPE and request.type not in node.custom_types:
            text = f"msg type: {request.type} not in custom range: {FIRST_CUSTOM_TYPE} and not overridden"
            context.abort(grpc.StatusCode.UNKNOWN, text)
        node.sent.append({"to": peer, "type": request.type, "data": request.data.hex()})
        other = node.world.by_id(peer)
        # An LND that does not know a type ignores it when it is odd; no peer of ours sends unknown even ones.
        if other is not None and (request.type >= FIRST_CUSTOM_TYPE or request.type in other.custom_types):
            message = ln.CustomMessage(peer=bytes.fromhex(node.id), type=request.type, data=request.data)
            other.publish("messages", message)
        return ln.SendCustomMessageResponse()

    @served
    def SendOnionMessage(self, request, context):
        peer = request.peer.hex()
        if peer not in self.node.peers:
            context.abort(grpc.StatusCode.NOT_FOUND, "peer is not connected")
        sent = {"to": peer, "type": 513, "data": request.onion.hex(), "pathKey": request.path_key.hex()}
        self.node.sent.append(sent)
        return ln.SendOnionMessageResponse()

    @served
    def SubscribePeerEvents(self, request, context):
        yield from self.node.subscribe("events", context)

    @served
    def SubscribeCustomMessages(self, request, context):
        yield from self.node.subscribe("messages", context)

    @served
    def SubscribeOnionMessages(self, request, context):
        yield from self.node.subscribe("onions", context)


class Signer(signer_grpc.SignerServicer):
    def __init__(self, node):
        self.node = node

    @served
    def DeriveSharedKey(self, request, context):
        return signer.SharedKeyResponse(shared_key=self.node.key.ecdh(request.ephemeral_pubkey))


class Node:
    def __init__(self, world, name, directory, network):
        self.world, self.name, self.network = world, name, network
        self.directory = os.path.join(directory, name)
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        self.version = "0.19.3-beta commit=v0.19.3-beta"
        self.reset_key()
        self.features, self.custom_types = {445}, set()
        self.peers, self.channels, self.sent, self.gossip = {}, [], [], {}
        self.subscriptions = {"messages": [], "events": [], "onions": []}
        self.begun = {"messages": 0, "events": 0, "onions": 0}
        self.failures, self.delays, self.denied, self.calls = {}, {}, set(), {}
        self.locked, self.server, self.port = None, None, 0
        self.lock = threading.Lock()
        self.certify(["localhost", "127.0.0.1"], 365)
        self.bake(True)
        self.start()

    def reset_key(self):
        self.key = coincurve.PrivateKey()
        self.id = self.key.public_key.format().hex()

    def path(self, name):
        return os.path.join(self.directory, name)

    def certify(self, names, days):
        """A certificate like LND's: of an authority of its own, for itself. Served from the next start on."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "lnd autogenerated cert"),
            x509.NameAttribute(NameOID.COMMON_NAME, "fake")])
        today = datetime.datetime.now(datetime.timezone.utc)
        alternatives = []
        for text in names:
            try:
                alternatives.append(x509.IPAddress(ipaddress.ip_address(text)))
            except ValueError:
                alternatives.append(x509.DNSName(text))
        usage = x509.KeyUsage(
            digital_signature=True, key_encipherment=True, key_cert_sign=True, content_commitment=False,
            data_encipherment=False, key_agreement=False, crl_sign=False, encipher_only=False, decipher_only=False)
        certificate = (
            x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(today - datetime.timedelta(days=400))
            .not_valid_after(today + datetime.timedelta(days=days)).add_extension(usage, critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .sign(key, hashes.SHA256()))
        self.certificate = certificate.public_bytes(serialization.Encoding.PEM)
        self.private_key = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        with open(self.path("tls.cert"), "wb") as file:
            file.write(self.certificate)

    def bake(self, write):
        """A new macaroon; the one before is not valid any more."""
        self.macaroon = b"\x02" + os.urandom(90)
        if write:
            descriptor = os.open(self.path("altnet.macaroon"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "wb") as file:
                file.write(self.macaroon)

    def start(self):
        pool = futures.ThreadPoolExecutor(max_workers=64)
        server = grpc.server(pool, options=[("grpc.max_receive_message_length", 64 << 20), ("grpc.so_reuseport", 0)])
        ln_grpc.add_LightningServicer_to_server(Lightning(self), server)
        signer_grpc.add_SignerServicer_to_server(Signer(self), server)
        credentials = grpc.ssl_server_credentials([(self.private_key, self.certificate)])
        self.port = server.add_secure_port(f"127.0.0.1:{self.port}", credentials)
        server.start()
        self.server = server

    def stop(self):
        self.end_streams(None)
        self.server.stop(0).wait()

    def admit(self, method, context):
        with self.lock:
            self.calls[method] = self.calls.get(method, 0) + 1
        time.sleep(self.delays.get(method, 0))
        if self.locked is not None:
            context.abort(grpc.StatusCode.UNKNOWN, self.locked)
        macaroons = [value for key, value in context.invocation_metadata() if key == "macaroon"]
        if len(macaroons) != 1:
            context.abort(grpc.StatusCode.UNKNOWN, f"expected 1 macaroon, got {len(macaroons)}")
        if bytes.fromhex(macaroons[0]) != self.macaroon:
            context.abort(
                grpc.StatusCode.UNKNOWN, "verification failed: signature mismatch after caveat verification")
        if method in self.denied:
            context.abort(grpc.StatusCode.UNKNOWN, "permission denied")
        if method in self.failures:
            code, text = self.failures[method]
            context.abort(grpc.StatusCode[code], text)

    # Subscriptions: like LND, without a bound and without headers before the first message.

    def subscribe(self, kind, context):
        mine = queue.Queue()
        with self.lock:
            self.subscriptions[kind].append(mine)
            self.begun[kind] += 1
        context.add_callback(lambda: mine.put(StopIteration))
        while True:
            item = mine.get()
            if item is StopIteration:
                break
            yield item
        with self.lock:
            if mine in self.subscriptions[kind]:
                self.subscriptions[kind].remove(mine)

    def publish(self, kind, item):
        with self.lock:
            for mine in self.subscriptions[kind]:
                mine.put(item)

    def end_streams(self, kind):
        with self.lock:
            for name, queues in self.subscriptions.items():
                if kind in (None, name):
                    for mine in queues:
                        mine.put(StopIteration)
                    queues.clear()

    def join(self, peer, features, tell=True):
        self.peers[peer] = set(features)
        if tell:
            self.publish("events", ln.PeerEvent(pub_key=peer, type=ln.PeerEvent.PEER_ONLINE))

    def part(self, peer, tell=True):
        self.peers.pop(peer, None)
        if tell:
            self.publish("events", ln.PeerEvent(pub_key=peer, type=ln.PeerEvent.PEER_OFFLINE))

    def described(self):
        return {
            "id": self.id, "address": f"127.0.0.1:{self.port}", "certificate": self.path("tls.cert"),
            "macaroon": self.path("altnet.macaroon")}


class World:
    def __init__(self, names, directory, network):
        self.nodes = {}
        for name in names:
            self.nodes[name] = Node(self, name, directory, network)

    def by_id(self, id):
        return next((node for node in self.nodes.values() if node.id == id), None)

    def link(self, first, second):
        first.join(second.id, second.features)
        second.join(first.id, first.features)

    def carry_out(self, command):
        """One command of the test; what it answers."""
        node = self.nodes[command["node"]]
        match command["do"]:
            case "link": self.link(node, self.nodes[command["other"]])
            case "unlink":
                other = self.nodes[command["other"]]
                node.part(other.id)
                other.part(node.id)
            case "join":
                # A peer that is no node of ours; `"tell": false` as if LND's news had been missed.
                id = command.get("id") or coincurve.PrivateKey().public_key.format().hex()
                node.join(id, command.get("features", []), command.get("tell", True))
                return {"id": id}
            case "part": node.part(command["id"], command.get("tell", True))
            case "announce": node.features = set(command["features"])
            case "gossip": node.gossip[command["id"]] = command["addresses"]
            case "version": node.version = command["version"]
            case "pass": node.custom_types = set(command["types"])
            case "channels": node.channels = [tuple(channel) for channel in command["channels"]]
            case "message":
                data = bytes.fromhex(command["data"]) * command.get("times", 1)
                for number in range(command.get("count", 1)):
                    body = number.to_bytes(4, "big") + data if "count" in command else data
                    node.publish("messages", ln.CustomMessage(
                        peer=bytes.fromhex(command["from"]), type=command["type"], data=body))
            case "onion":
                update = ln.OnionMessageUpdate(
                    peer=bytes.fromhex(command["peer"]), path_key=bytes.fromhex(command["pathKey"]),
                    encrypted_recipient_data=bytes.fromhex(command.get("encrypted", "")),
                    custom_records={int(k): bytes.fromhex(v) for k, v in command["fields"].items()})
                if "replyPath" in command:
                    path = command["replyPath"]
                    update.reply_path.introduction_node = bytes.fromhex(path["node"])
                    update.reply_path.blinding_point = bytes.fromhex(path["pathKey"])
                    for hop_node, data in path["hops"]:
                        update.reply_path.blinded_hops.add(
                            blinded_node=bytes.fromhex(hop_node), encrypted_data=bytes.fromhex(data))
                node.publish("onions", update)
            case "event": node.publish("events", ln.PeerEvent(pub_key=command["id"], type=command["type"]))
            case "sent": return {"sent": node.sent}
            case "calls": return {"calls": node.calls}
            case "subscribers":
                # A stream that a client gave up may be among those that stand for a moment; it counts once as begun.
                stand = {name: len(queues) for name, queues in node.subscriptions.items()}
                return {"stand": stand, "begun": node.begun}
            case "fail": node.failures[command["method"]] = (command["code"], command["text"])
            case "deny": node.denied = set(command["methods"])
            case "slow": node.delays[command["method"]] = command["seconds"]
            case "lock": node.locked = command.get("text")
            case "endStreams": node.end_streams(command.get("kind"))
            case "bake": node.bake(command.get("write", True))
            case "certify": node.certify(command.get("names", ["localhost", "127.0.0.1"]), command.get("days", 365))
            case "key": node.reset_key()
            case "stop": node.stop()
            case "start": node.start()
            case unknown: return {"error": f"there is no command {unknown}"}
        return node.described() if command["do"] in ("start", "key") else {}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--directory", required=True)
    parser.add_argument("--node", action="append", required=True)
    parser.add_argument("--network", default="regtest")
    arguments = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    world = World(arguments.node, arguments.directory, arguments.network)
    print(json.dumps({"nodes": {name: node.described() for name, node in world.nodes.items()}}), flush=True)
    for line in sys.stdin:
        try:
            answer = world.carry_out(json.loads(line))
        except Exception as error:  # The test reads what went wrong.
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)
    # Threads of calls that still wait must not keep us.
    os._exit(0)


if __name__ == "__main__":
    main()
