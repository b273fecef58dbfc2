#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Stands between lightningd and a plugin, and writes down what they say.

  record_plugin.py PLUGIN FILE

lightningd starts it as the plugin. Each line of FILE is one JSON object: who said it ("lightningd", "plugin", "call" for
the plugin's requests on the RPC socket, "answer" for theirs) and the message. Names of directories are replaced.
"""
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading

PLUGIN, FILE = sys.argv[1:3]
LOCK = threading.Lock()
DIRECTORY = os.getcwd()


def note(who: str, message: dict) -> None:
    text = json.dumps({"from": who, "message": message}).replace(DIRECTORY, "/lightning/regtest")
    text = text.replace(os.path.dirname(os.path.dirname(DIRECTORY)), "/altnet")
    # Logs of the plugin are not part of the conversation that is replayed.
    if message.get("method") != "log":
        with LOCK, open(FILE, "a") as file:
            file.write(text + "\n")


def relay(read, write, who: str, change=lambda message: message) -> None:
    """Passes on whole objects, each noted."""
    waiting = b""
    while chunk := read(65_536):
        waiting += chunk
        *objects, waiting = waiting.split(b"\n\n")
        for text in filter(bytes.strip, objects):
            message = json.loads(text)
            note(who, message)
            write(json.dumps(change(message)).encode() + b"\n\n")


def serve(listener: socket.socket, path: str) -> None:
    while True:
        near, _ = listener.accept()
        far = socket.socket(socket.AF_UNIX)
        far.connect(path)
        for read, write, who in ((near.recv, far.sendall, "call"), (far.recv, near.sendall, "answer")):
            threading.Thread(target=relay, args=(read, write, who), daemon=True).start()


def redirect(message: dict) -> dict:
    """Makes the plugin call us instead of lightningd."""
    if message.get("method") == "init":
        listener = socket.socket(socket.AF_UNIX)
        path = tempfile.mkdtemp(prefix="altnet-record-", dir="/tmp") + "/rpc"
        listener.bind(path)
        listener.listen()
        real = message["params"]["configuration"]["rpc-file"]
        threading.Thread(target=serve, args=(listener, real), daemon=True).start()
        message["params"]["configuration"]["rpc-file"] = path
    return message


def main() -> int:
    child = subprocess.Popen([PLUGIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    output = threading.Thread(
        target=relay, args=(lambda size: os.read(child.stdout.fileno(), size), lambda b: os.write(1, b), "plugin"))
    output.start()
    relay(lambda size: os.read(0, size), lambda b: os.write(child.stdin.fileno(), b), "lightningd", redirect)
    child.stdin.close()
    output.join(10)
    return child.wait(10)


if __name__ == "__main__":
    sys.exit(main())
