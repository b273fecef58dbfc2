#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A lightningd that is none: it starts a plugin, replays what a real one said, or misbehaves.

  fake_lightningd.py PLUGIN CHECK [--recording FILE]

PLUGIN is echo-plugin, FILE what record_plugin.py wrote. Prints one JSON object; the exit status is 0 when the check
passed. CHECK is one of the functions below that have a decorator.
"""
import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

SECONDS = 20
PEER = "02" + "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
NODE = "02" + "c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5"
INFO = {"id": NODE, "network": "regtest", "version": "v26.06"}
CHECKS = {}


class Failure(Exception):
    """What is wrong, in one sentence."""


def check(function):
    CHECKS[function.__name__.replace("_", "-")] = function
    return function


def cut(text: str) -> str:
    return text if len(text) < 500 else f"{text[:500]}… ({len(text)} characters)"


class Lightningd:
    """Our side of the plugin's standard input and output, and the RPC socket."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.directory = tempfile.mkdtemp(prefix="altnet-fake-", dir="/tmp")
        self.start_file = f"{self.directory}/start"
        open(self.start_file, "w").close()
        self.changed = threading.Condition()
        self.messages: list[dict] = []  # from the plugin, without its log
        self.log: list[str] = []
        self.calls: list[tuple[dict, socket.socket]] = []  # requests on the RPC socket that nobody has answered
        self.methods: list[str] = []  # of all requests on the RPC socket
        self.connections = 0
        self.answers = {"getinfo": INFO, "listpeers": {"peers": []}, "listpeerchannels": {"channels": []},
                        "sendcustommsg": {"status": ""}}
        self.answer_by_itself = True
        self.next_id = 100
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(f"{self.directory}/lightning-rpc")
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()
        environment = {"LIGHTNINGD_PLUGIN": "1", "PATH": os.environ.get("PATH", "")}
        self.plugin = subprocess.Popen(
            [arguments.plugin], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=self.directory)
        threading.Thread(target=self.read, daemon=True).start()

    def close(self) -> None:
        self.plugin.kill()
        self.plugin.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    # Waiting

    def wait(self, what: str, look, seconds: float = SECONDS):
        with self.changed:
            deadline = time.monotonic() + seconds
            while not (found := look()):
                if not self.changed.wait(deadline - time.monotonic()):
                    raise Failure(f"not within {seconds} s: {what}; log: {self.log[-20:]}")
            return found

    def wait_log(self, text: str, count: int = 1, seconds: float = SECONDS) -> str:
        return self.wait(text, lambda: len(self.lines(text)) >= count and self.lines(text)[-1], seconds)

    def lines(self, text: str) -> list[str]:
        return [line for line in self.log if text in line]

    def wait_end(self, seconds: float = SECONDS) -> int:
        try:
            return self.plugin.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"the plugin did not end within {seconds} s") from None

    # The plugin's pipes

    def read(self) -> None:
        decoder, waiting = json.JSONDecoder(), ""
        while chunk := os.read(self.plugin.stdout.fileno(), 1 << 16):
            waiting += chunk.decode()
            while "\n\n" in waiting:
                text, waiting = waiting.split("\n\n", 1)
                message = decoder.decode(text)
                with self.changed:
                    if message.get("method") == "log":
                        self.log.append(f'{message["params"]["level"]}: {message["params"]["message"]}')
                    else:
                        self.messages.append(message)
                    self.changed.notify_all()
        with self.changed:
            self.changed.notify_all()

    def write(self, data: bytes) -> None:
        self.plugin.stdin.write(data)
        self.plugin.stdin.flush()

    def say(self, message: dict) -> None:
        self.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n\n")

    def notify(self, topic: str, **members) -> None:
        self.say({"method": topic, "params": {topic: members}})

    def ask(self, method: str, params) -> str:
        self.next_id += 1
        name = f"cln:{method}#{self.next_id}"
        self.say({"id": name, "method": method, "params": params})
        return name

    def take(self, name: str, seconds: float = SECONDS) -> dict:
        """The plugin's answer to a request."""
        def look():
            return next((message for message in self.messages if message.get("id") == name), None)
        message = self.wait(f"the answer to {name}", look, seconds)
        self.messages.remove(message)
        return message

    def require_continue(self, name: str, seconds: float = SECONDS) -> None:
        answer = self.take(name, seconds)
        if answer != {"jsonrpc": "2.0", "id": name, "result": {"result": "continue"}}:
            raise Failure(f"lightningd would abort on {answer}")

    def hook(self, payload: bytes, peer: str = PEER) -> str:
        return self.ask("custommsg", {"payload": payload.hex(), "peer_id": peer})

    def configuration(self) -> dict:
        return {"options": {"altnet-start-file": self.start_file}, "configuration": {
            "lightning-dir": self.directory, "rpc-file": "lightning-rpc", "startup": True, "network": "regtest",
            "feature_set": {"init": "", "node": "", "channel": "", "invoice": ""}}}

    def start(self) -> None:
        self.take(self.ask("getmanifest", {"allow-deprecated-apis": True}))
        answer = self.take(self.ask("init", self.configuration()))
        if answer["result"] != {}:
            raise Failure(f"init was answered with {answer}")

    def attach(self) -> None:
        self.start()
        # Then it listens to events.
        self.wait("the list of channels", lambda: "listpeerchannels" in self.methods)

    # The RPC socket

    def accept(self) -> None:
        while True:
            connection, _ = self.listener.accept()
            self.connections += 1
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        waiting = b""
        while chunk := self.receive(connection):
            waiting += chunk
            *objects, waiting = waiting.split(b"\n\n")
            for text in filter(None, objects):
                request = json.loads(text)
                scripted = self.answers.get(request["method"]) if self.answer_by_itself else None
                if scripted is not None:
                    self.answer(request, connection, scripted)
                with self.changed:
                    self.methods.append(request["method"])
                    if scripted is None:
                        self.calls.append((request, connection))
                    self.changed.notify_all()

    @staticmethod
    def receive(connection: socket.socket) -> bytes:
        try:
            return connection.recv(1 << 16)
        except OSError:
            return b""

    @staticmethod
    def answer(request: dict, connection: socket.socket, scripted: dict) -> None:
        member = "error" if "code" in scripted else "result"
        connection.sendall(json.dumps({"jsonrpc": "2.0", "id": request["id"], member: scripted}).encode() + b"\n\n")

    def take_call(self, matches) -> tuple[dict, socket.socket]:
        found = self.wait("a call", lambda: next((call for call in self.calls if matches(call[0])), None))
        self.calls.remove(found)
        return found


# What a real one said

def replay_with(lightningd: Lightningd, write) -> dict:
    """Says what lightningd said, and demands what the plugin said."""
    lightningd.answer_by_itself = False
    with open(lightningd.arguments.recording) as file:
        entries = [json.loads(line) for line in file]
    numbers: dict = {}  # of the recorded calls: what they are in this run
    counts = {"lightningd": 0, "plugin": 0, "call": 0, "answer": 0}
    for entry in entries:
        who, message = entry["from"], entry["message"]
        counts[who] += 1
        if who == "lightningd":
            if message["method"] == "init":
                message["params"]["options"]["altnet-start-file"] = lightningd.start_file
                message["params"]["configuration"]["lightning-dir"] = lightningd.directory
            write(message)
        elif who == "plugin":
            answer = lightningd.take(message["id"])
            if answer != message:
                raise Failure(f"instead of {cut(json.dumps(message))} the plugin said {cut(json.dumps(answer))}")
        elif who == "call":
            def same(request: dict) -> bool:
                return {**request, "id": None} == {**message, "id": None}
            numbers[message["id"]] = lightningd.take_call(same)
        else:
            request, connection = numbers.pop(message["id"])
            connection.sendall(json.dumps({**message, "id": request["id"]}).encode() + b"\n\n")
    if lightningd.wait_end() != 0 or lightningd.messages or lightningd.calls:
        raise Failure(f"at the end there is {lightningd.messages} and {lightningd.calls}")
    hooks = [entry["message"] for entry in entries if entry["message"].get("method") == "custommsg"]
    for word, expected in (("MESSAGE", len(hooks)), (" CONNECTED", 2), ("ONION", 2), ("CHANNELS", 1)):
        if len(lightningd.lines(word)) < expected:
            raise Failure(f"{len(lightningd.lines(word))} times {word} instead of {expected}: {lightningd.log}")
    return counts


@check
def replay(lightningd: Lightningd) -> dict:
    return replay_with(lightningd, lightningd.say)


@check
def replay_byte_by_byte(lightningd: Lightningd) -> dict:
    def write(message: dict) -> None:
        for byte in json.dumps(message).encode():
            lightningd.write(bytes([byte]))
    return replay_with(lightningd, write)


@check
def replay_without_line_feeds(lightningd: Lightningd) -> dict:
    return replay_with(lightningd, lambda message: lightningd.write(json.dumps(message).encode()))


# What goes wrong

@check
def silent_socket(lightningd: Lightningd) -> dict:
    """The RPC socket takes calls and answers none: hooks are answered all the same."""
    lightningd.answer_by_itself = False
    lightningd.start()
    lightningd.take_call(lambda request: request["method"] == "getinfo")
    for _ in range(100):
        lightningd.require_continue(lightningd.hook(b"\xad\x71hello"), 2)
    lightningd.notify("shutdown")
    return {"status": lightningd.wait_end(10)}


@check
def error_answers(lightningd: Lightningd) -> dict:
    """Errors of the node become sentences, without addresses and secrets."""
    lightningd.answers["listpeers"] = {"peers": [{"id": PEER, "connected": True, "features": ""}]}
    lightningd.attach()
    port = (9735).to_bytes(2, "big")
    cases = [
        ("sendcustommsg", -32600, f"No such peer: {PEER}", b"\xad\x71", f"is not connected with {PEER}"),
        ("sendcustommsg", -32600, "Peer is not connected", b"\xad\x71", f"is not connected with {PEER}"),
        ("sendcustommsg", -32600, "Cannot send messages of type 18", b"\xad\x79\x00\x12", "refused (-32600): Cannot"),
        ("connect", 401, "All addresses failed: 192.0.2.7:9735: refused", b"\xad\x77" + bytes.fromhex(NODE) + port,
         f"could not connect to {NODE}"),
        ("injectonionmessage", -32601, "Unknown command", b"\xad\x75" + bytes.fromhex(NODE) + b"x",
         "this lightningd has no injectonionmessage"),
        ("injectonionmessage", -1, "can't process onionpacket ss=00112233", b"\xad\x75" + bytes.fromhex(NODE) + b"x",
         "refused (-1): can't process onionpacket"),
    ]
    for number, (method, code, text, order, expected) in enumerate(cases):
        lightningd.answers[method] = {"code": code, "message": text}
        lightningd.require_continue(lightningd.hook(order))
        line = lightningd.wait("a failure", lambda: len(lightningd.lines("FAILED")) > number and lightningd.log[-1])
        if expected not in line or "192.0.2.7" in line or "00112233" in line:
            raise Failure(f"instead of {expected}: {line}")
    return {"cases": len(cases)}


@check
def socket_dies(lightningd: Lightningd) -> dict:
    """The RPC socket ends in the middle of an answer: the plugin connects again, hooks never wait."""
    lightningd.answers["listpeers"] = {"peers": [{"id": PEER, "connected": True, "features": ""}]}
    lightningd.answers["sendcustommsg"] = None
    lightningd.attach()
    lightningd.require_continue(lightningd.hook(b"\xad\x71one"))
    request, connection = lightningd.take_call(lambda request: request["method"] == "sendcustommsg")
    connection.sendall(f'{{"id":{request["id"]},"result":'.encode())
    connection.shutdown(socket.SHUT_RDWR)
    lightningd.wait_log("FAILED 44401: the Lightning node cannot be reached")
    lightningd.require_continue(lightningd.hook(b"\xad\x71two"))
    lightningd.wait_log("the next attempt follows")
    lightningd.wait_log("ATTACHED", 2)
    lightningd.wait_log(" CONNECTED", 2)
    return {"connections": lightningd.connections}


@check
def huge_answer(lightningd: Lightningd) -> dict:
    """An answer without end ends the connection, by name, and a new one is made."""
    lightningd.answers["listpeers"] = None
    lightningd.start()
    request, connection = lightningd.take_call(lambda request: request["method"] == "listpeers")
    try:
        connection.sendall(f'{{"id":{request["id"]},"result":{{"peers":"'.encode() + bytes(b"x") * (17 << 20))
    except OSError:
        pass
    lightningd.wait_log("a JSON object is longer than 16777216 bytes")
    lightningd.wait_log("ATTACHED", 2)
    return {}


@check
def late_and_foreign_answers(lightningd: Lightningd) -> dict:
    """Answers to nothing, notifications and answers in another order do no harm."""
    lightningd.answers["listpeers"] = {"peers": [{"id": PEER, "connected": True, "features": ""}]}
    lightningd.answers["sendcustommsg"] = None
    lightningd.attach()
    lightningd.require_continue(lightningd.hook(b"\xad\x71one"))
    request, connection = lightningd.take_call(lambda request: request["method"] == "sendcustommsg")
    for foreign in ({"id": 999_999, "result": {}}, {"method": "progress", "params": {}}, {"id": None, "error": {}}):
        connection.sendall(json.dumps(foreign).encode())
    lightningd.answer(request, connection, {"status": ""})
    lightningd.answer(request, connection, {"status": "again"})
    lightningd.wait_log("DONE 44401")
    return {"connections": lightningd.connections}


@check
def huge_message(lightningd: Lightningd) -> dict:
    """A message without end on standard input: the plugin ends, and says why."""
    lightningd.attach()
    try:
        lightningd.write(b'{"method":"' + b"x" * (17 << 20))
    except OSError:
        pass
    status = lightningd.wait_end()
    lightningd.wait_log("error: a JSON object is longer than 16777216 bytes")
    return {"status": require(status, 1)}


@check
def no_json(lightningd: Lightningd) -> dict:
    lightningd.attach()
    lightningd.write(b"hello")
    status = lightningd.wait_end()
    lightningd.wait_log("error: byte 0x68 stands where a JSON object should begin")
    return {"status": require(status, 1)}


@check
def bad_hooks(lightningd: Lightningd) -> dict:
    """Whatever a hook brings, it is answered with "continue"; lightningd aborts on anything else."""
    lightningd.attach()
    onion = {"unknown_fields": []}
    cases = [
        ("custommsg", {}), ("custommsg", None), ("custommsg", []), ("custommsg", {"payload": "", "peer_id": PEER}),
        ("custommsg", {"payload": "ad7", "peer_id": PEER}), ("custommsg", {"payload": 5, "peer_id": PEER}),
        ("custommsg", {"payload": "ad71", "peer_id": "02" + 64 * "f"}),
        ("custommsg", {"payload": "ad71" + 65_535 * "00", "peer_id": PEER}),
        ("onion_message_recv", {}), ("onion_message_recv", {"onion_message": {}}),
        ("onion_message_recv", {"onion_message": {"unknown_fields": [{"number": -1, "value": ""}]}}),
        ("onion_message_recv", {"onion_message": {"unknown_fields": [{"number": 7, "value": ""}] * 2}}),
        ("onion_message_recv_secret", {"onion_message": {**onion, "reply_blindedpath": {}}}),
        ("onion_message_recv_secret", {"onion_message": {**onion, "reply_blindedpath": {
            "first_scid": "1x2x99999", "first_scid_dir": 0, "first_path_key": NODE, "hops": []}}}),
    ]
    for method, params in cases:
        lightningd.require_continue(lightningd.ask(method, params))
    # One line for each, and no event.
    lightningd.wait("a line for each", lambda: len(lightningd.lines("warn: ")) == len(cases))
    answer = lightningd.take(lightningd.ask("dance", {}))
    if answer.get("error", {}).get("code") != -32601:
        raise Failure(f"an unknown method was answered with {answer}")
    for topic in ("connect", "disconnect", "channel_state_changed", "something"):
        lightningd.say({"method": topic, "params": {"no": "sense"}})
    lightningd.wait("a line for each", lambda: len(lightningd.lines("warn: ")) == len(cases) + 5)
    if lightningd.lines("MESSAGE") or lightningd.lines("ONION"):
        raise Failure(f"an event came of nonsense: {lightningd.log}")
    return {"cases": len(cases)}


@check
def slow_driver(lightningd: Lightningd) -> dict:
    """A driver that stands still delays nobody: what is too much is dropped, counted and said, and the peers are
    listed anew when news of connections were lost."""
    lightningd.answers["listpeers"] = {"peers": [{"id": PEER, "connected": True, "features": ""}]}
    hold = lightningd.start_file + ".hold"
    open(hold, "w").close()
    lightningd.attach()
    payload = b"\xad\x73" + bytes(4_000)
    began = time.monotonic()
    # The peer's share is 1,024 messages, the whole queue has 8,192 events.
    number, slowest = 1_200, 0.0
    for _ in range(number):
        sent = time.monotonic()
        lightningd.require_continue(lightningd.hook(payload), 5)
        slowest = max(slowest, time.monotonic() - sent)
    took = time.monotonic() - began
    for _ in range(8_192 - 1_024):
        lightningd.notify("channel_state_changed", peer_id=NODE)
    lightningd.answers["listpeers"] = {"peers": []}
    lightningd.notify("disconnect", id=PEER)
    lightningd.wait_log("warn: 1 events of the Lightning node were dropped: the driver is too slow")
    with open(f"/proc/{lightningd.plugin.pid}/status") as file:
        memory = next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
    os.unlink(hold)
    counted = lightningd.start_file + ".messages"
    deadline = time.monotonic() + 60
    while not os.path.exists(counted):
        if time.monotonic() > deadline:
            raise Failure(f"not within 60 s: the end of all events; log: {lightningd.log[-20:]}")
        time.sleep(0.02)
    with open(counted) as file:
        passed = int(file.read())
    if not 1_024 <= passed <= 1_025 or memory > 200_000:
        raise Failure(f"{passed} messages passed, the plugin occupied {memory} KiB")
    return {"passed": passed, "seconds": round(took, 1), "slowest": round(slowest, 3), "kibibytes": memory}


@check
def early_message(lightningd: Lightningd) -> dict:
    """A message before its peer's connect, and one of a peer that is gone already."""
    lightningd.attach()
    lightningd.answers["listpeers"] = {"peers": [{"id": PEER, "connected": True, "features": "80"}]}
    lightningd.require_continue(lightningd.hook(b"\xad\x73one"))
    lightningd.wait_log("MESSAGE")
    lightningd.notify("connect", id=PEER, direction="in", address={})
    lightningd.notify("disconnect", id=PEER)
    lightningd.answers["listpeers"] = {"peers": []}
    lightningd.require_continue(lightningd.hook(b"\xad\x73two"))
    lightningd.wait_log("its sender is not connected any more")
    events = [line.split()[1] for line in lightningd.log if PEER in line]
    if events != ["CONNECTED", "MESSAGE", "DISCONNECTED"]:
        raise Failure(f"the events were {events}")
    return {}


@check
def lost_lookup(lightningd: Lightningd) -> dict:
    """A peer that cannot be looked up is found by a list, or when the plugin attaches again."""
    lightningd.attach()
    lightningd.answers["listpeerchannels"] = {"code": -1, "message": "not now"}
    lightningd.answers["listpeers"] = {"peers": [{"id": PEER, "connected": True, "features": "80"}]}
    lightningd.notify("connect", id=PEER, direction="in", address={})
    lightningd.wait_log("warn: the peers of the Lightning node are listed anew: the Lightning node refused (-1): not now")
    lightningd.wait_log("refused (-1): not now; the next attempt follows in 1 s")
    lightningd.answers["listpeerchannels"] = {"channels": []}
    lightningd.wait_log(f" CONNECTED {PEER}")
    return {"connections": lightningd.connections}


@check
def long_path(lightningd: Lightningd) -> dict:
    """A directory whose name is too long for a socket's path."""
    configuration = lightningd.configuration()
    configuration["configuration"]["lightning-dir"] = lightningd.directory + "/." * 60
    lightningd.take(lightningd.ask("getmanifest", {}))
    lightningd.take(lightningd.ask("init", configuration))
    lightningd.wait_log("ATTACHED")
    return {}


@check
def disabled(lightningd: Lightningd) -> dict:
    """Without its option, with a relative path, on an unknown network, and with the start file of another."""
    foreign = f"{lightningd.directory}/foreign"
    with open(foreign, "w") as file:
        json.dump({"network": "main"}, file)
    reasons = []
    for options, network, expected in [
        ({}, "regtest", "the option altnet-start-file is not set"),
        ({"altnet-start-file": ""}, "regtest", "the option altnet-start-file is not set"),
        ({"altnet-start-file": "start"}, "regtest", "must be an absolute path"),
        ({"altnet-start-file": "/start"}, "liquidv1", "does not know lightningd's network liquidv1"),
        ({"altnet-start-file": foreign}, "regtest", "altnetd works on main, lightningd on regtest"),
    ]:
        other = Lightningd(lightningd.arguments)
        try:
            configuration = {**other.configuration(), "options": options}
            configuration["configuration"]["network"] = network
            other.take(other.ask("getmanifest", {}))
            answer = other.take(other.ask("init", configuration))
            reason = answer["result"].get("disable", "")
            if expected not in reason or not other.lines(f"warn: disabled: {reason}"):
                raise Failure(f"instead of {expected}: {answer}, {other.log}")
            reasons.append(reason)
            other.plugin.stdin.close()
            require(other.wait_end(), 0)
        finally:
            other.close()
    return {"reasons": len(reasons)}


@check
def stops(lightningd: Lightningd) -> dict:
    """The notification and the end of standard input both end it, also while the driver stands still."""
    times = []
    for end in ("shutdown", "input"):
        for held in (False, True):
            other = Lightningd(lightningd.arguments)
            other.answers["listpeers"] = {"peers": [{"id": PEER, "connected": True, "features": ""}]}
            try:
                if held:
                    open(other.start_file + ".hold", "w").close()
                other.attach()
                began = time.monotonic()
                other.notify("shutdown") if end == "shutdown" else other.plugin.stdin.close()
                require(other.wait_end(10), 0)
                times.append(round(time.monotonic() - began, 2))
            finally:
                other.close()
    return {"seconds": times}


def require(status: int, expected: int) -> int:
    if status != expected:
        raise Failure(f"the plugin ended with status {status}")
    return status


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plugin")
    parser.add_argument("check", choices=CHECKS)
    parser.add_argument("--recording", metavar="FILE")
    arguments = parser.parse_args()
    # Whoever started us may have blocked signals, which the plugin would inherit.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    lightningd = Lightningd(arguments)
    report = {"check": arguments.check, "ok": True}
    try:
        report.update(CHECKS[arguments.check](lightningd))
    except (Failure, OSError) as error:
        report.update(ok=False, error=str(error), log=[cut(line) for line in lightningd.log[-40:]])
    finally:
        lightningd.close()
    print(json.dumps(report))
    return 0 if report["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
