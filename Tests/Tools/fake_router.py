#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A router that speaks PCP and NAT-PMP as its arguments say, for tests. Maps nothing.

Listens at port 5351 of the loopback address that it is given, prints `ready`, then one line for each request in
hexadecimal. Ends with its standard input.

usage: fake_router.py ADDRESS BEHAVIOUR [EXTERNAL_ADDRESS]
BEHAVIOUR: pcp, nat-pmp, silent, wrong-nonce-first, refuse, short-lifetime, moves (another port at each request),
           stranger (the answer comes from another address), restart (the epoch starts anew after the first request), garbage
"""
import os
import socket
import struct
import sys
import threading
import time

address, behaviour = sys.argv[1], sys.argv[2]
external = socket.inet_aton(sys.argv[3] if len(sys.argv) > 3 else "44.7.0.2")
started = time.monotonic()
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((address, 5351))
requests = 0


def answer_pcp(request):
    lifetime = struct.unpack(">I", request[4:8])[0]
    nonce, transport, inside = request[24:36], request[36], request[40:42]
    outside, result = inside, 0
    if behaviour == "refuse":
        result = 8
    if behaviour == "short-lifetime" and lifetime:
        lifetime = 1
    if behaviour == "moves":
        outside = struct.pack(">H", 40000 + requests)
    epoch = (10000 if requests == 1 else 5) if behaviour == "restart" else int(time.monotonic() - started) + 1000
    head = struct.pack(">BBBBII12x", 2, 0x81, 0, result, lifetime, epoch)
    return head + nonce + bytes([transport, 0, 0, 0]) + inside + outside + bytes(10) + b"\xff\xff" + external


def answer_nat_pmp(request):
    epoch = int(time.monotonic() - started) + 1000
    if request[0] != 0:
        return struct.pack(">BBHI", 0, 128 | request[1] & 0x7f, 1, epoch)
    if request[1] == 0:
        return struct.pack(">BBHI", 0, 128, 0, epoch) + external
    inside, outside, lifetime = struct.unpack(">HHI", request[4:12])
    return struct.pack(">BBHIHHI", 0, 130, 0, epoch, inside, outside if lifetime else 0, lifetime)


def serve():
    global requests
    while True:
        request, client = server.recvfrom(2048)
        requests += 1
        print(request.hex(), flush=True)
        if behaviour == "silent":
            continue
        if behaviour == "garbage":
            server.sendto(os.urandom(60), client)
            continue
        if behaviour == "nat-pmp":
            server.sendto(answer_nat_pmp(request), client)
            continue
        reply = answer_pcp(request)
        if behaviour == "wrong-nonce-first":
            server.sendto(reply[:24] + bytes(12) + reply[36:], client)
        if behaviour == "stranger":
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.bind(("127.0.0.1", 0))
                stranger.sendto(reply, client)
            continue
        server.sendto(reply, client)


threading.Thread(target=serve, daemon=True).start()
print("ready", flush=True)
while sys.stdin.buffer.read(4096):
    pass
