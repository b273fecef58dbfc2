#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What an outsider sees of a TCP port: one line of JSON for each way of knocking, all at the same time.

usage: outsider.py PORT [relay]

Prints {"knock": NAME, "bytes": N, "end": "reset" or "closed", "seconds": S}. With `relay` it first prints
{"relay": PORT}, carries one connection from there to the port, and prints what came back over it.
"""
import json, os, socket, sys, threading, time

port = int(sys.argv[1])
lock = threading.Lock()


def say(**fields):
    with lock:
        print(json.dumps(fields), flush=True)


def watch(connection, started, name, forward=None):
    """Reads to the end, and says how much came, how it ended and when."""
    received = 0
    connection.settimeout(60)
    try:
        while piece := connection.recv(65536):
            received += len(piece)
            if forward:
                forward.sendall(piece)
        end = "closed"
    except ConnectionResetError:
        end = "reset"
    say(knock=name, bytes=received, end=end, seconds=round(time.monotonic() - started, 2))


def knock(name, data, pause=0.0, half_close=False):
    started = time.monotonic()
    connection = socket.create_connection(("127.0.0.1", port))
    try:
        for start in range(0, len(data), 20000):
            connection.sendall(data[start:start + 20000])
            time.sleep(pause)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
    except (ConnectionResetError, BrokenPipeError):
        pass
    watch(connection, started, name)


def relay():
    listener = socket.create_server(("127.0.0.1", 0))
    say(relay=listener.getsockname()[1])
    near, _ = listener.accept()
    started = time.monotonic()
    far = socket.create_connection(("127.0.0.1", port))

    def forward():
        try:
            while piece := near.recv(65536):
                far.sendall(piece)
        except OSError:
            pass

    threading.Thread(target=forward, daemon=True).start()
    watch(far, started, "relay", near)


if sys.argv[2:] == ["relay"]:
    relay()
else:
    knocks = {
        "nothing": b"",
        "one byte": b"\0",
        "http": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "tls": bytes.fromhex("16030100c8010000c40303") + os.urandom(194),
        "noise": os.urandom(50),
        # Version 0 and a point of the curve, but no tag that our key could have made.
        "act one for another key": bytes.fromhex(
            "0002466d7fcae563e5cb09a0d1870bb580344804617879a14949cf22285f1bae3f27") + os.urandom(16),
        "act one of another version": b"\x01" + bytes.fromhex(
            "036360e856310ce5d294e8be33fc807077dc56ac80d95d9cd4ddbd21325eff73f7") + os.urandom(16),
    }
    threads = [threading.Thread(target=knock, args=item) for item in knocks.items()]
    for thread in threads:
        thread.start()
    # Seven stand, and there is room for one more. A ninth takes the place of the oldest.
    time.sleep(1)
    flood = threading.Thread(target=knock, args=("flood", os.urandom(3_000_000), 0.01))
    flood.start()
    time.sleep(0.5)
    knock("ninth", b"")
    for thread in threads + [flood]:
        thread.join()
    # Who ends its own side gets the same end, whatever it sent.
    for name, data in [("end of nothing", b""), ("end of noise", os.urandom(50)), ("end of http", knocks["http"])]:
        knock(name, data, half_close=True)
