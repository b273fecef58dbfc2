#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Visits a coordination endpoint of regtest with bad intentions, and prints a line for each thing that came of it.

usage: hostile_visitors.py WAY HOST PORT
  late-proof   proves itself on a punched connection and breaks the protocol of coordination in the same moment, four
               times: "closed" or "open" for the punched connection
  flood        comes first and says a little, then comes 200 times without a word: "taken" or "pushed out" for the first
  crowd        comes 200 times with a version message: the reason that the oldest is refused with
"""
import hashlib
import hmac
import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "natlab"))
sys.dont_write_bytecode = True
import bitcoin
import coordination as protocol

MAGIC = bitcoin.MAGIC["regtest"]
VISITORS = 200
# Fewer than the places of those who are silent.
GROUP = 40


def visit(address: tuple[str, int]) -> socket.socket:
    return socket.create_connection(address, timeout=15)


def late_proof(address: tuple[str, int]) -> None:
    for number in range(4):
        talk = protocol.Talk(visit(address))
        talk.handshake()
        talk.send(protocol.hello())
        talk.next(protocol.HELLO)
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((f"127.0.20.{number + 1}", 0))
            listener.listen()
            listener.settimeout(10)
            now = talk.clock()
            told = protocol.endpoints(1, protocol.PUNCH, listener.getsockname())
            talk.send(told)
            answer = talk.next(protocol.ENDPOINTS)
            talk.send(protocol.go(1, protocol.PUNCH, now + 100_000))
            punched, _ = listener.accept()
        key = hashlib.sha256(b"altnet-holepunch" + answer[2:34] + told[2:34]).digest()
        punched.sendall(hmac.new(key, bytes([1, 1]), hashlib.sha256).digest())
        talk.connection.sendall(bitcoin.frame(MAGIC, protocol.COMMAND, b"\x63"))
        punched.settimeout(10)
        try:
            while punched.recv(100):
                pass
            print("closed", flush=True)
        except TimeoutError:
            print("open", flush=True)
        except OSError:
            print("closed", flush=True)
        punched.close()
        talk.close()


def flood(address: tuple[str, int]) -> None:
    first = visit(address)
    first.sendall(bitcoin.frame(MAGIC, "version", protocol.coordination_version(0)))
    bitcoin.receive(first, MAGIC)
    others = [visit(address) for _ in range(VISITORS)]
    try:
        first.sendall(bitcoin.frame(MAGIC, "verack"))
        talk = protocol.Talk(first)
        talk.send(protocol.hello())
        talk.next(protocol.HELLO)
        print("taken", flush=True)
    except OSError as error:
        print("pushed out", error, flush=True)
    for other in others:
        other.close()


def crowd(address: tuple[str, int]) -> None:
    talks = []
    # The answer is late on purpose, so that groups wait for it together: the oldest must not run out of time.
    for _ in range(0, VISITORS, GROUP):
        group = [protocol.Talk(visit(address)) for _ in range(GROUP)]
        for talk in group:
            talk.connection.sendall(bitcoin.frame(MAGIC, "version", protocol.coordination_version(0)))
        for talk in group:
            bitcoin.receive(talk.connection, MAGIC)
        talks += group
    try:
        talks[0].next(protocol.HELLO)
    except OSError as error:
        print(error, flush=True)


{"late-proof": late_proof, "flood": flood, "crowd": crowd}[sys.argv[1]]((sys.argv[2], int(sys.argv[3])))
