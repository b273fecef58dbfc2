#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A SAM bridge without I2P: it connects the sessions of its own clients to each other.

Follows the SAM V3 specification (versions 3.1 and 3.2, style STREAM). Prints its port, then each command it is given
(private keys and passwords left out). Ends with its standard input.

usage: fake_sam.py [--port N] [--behaviour WORD] [--delay SECONDS] [--user NAME --password WORD]

Behaviours, each a way of being wrong or unhelpful:
  no-names           STREAM CONNECT takes destinations only, as the specification says
  garbage            answers the greeting with another protocol
  endless-line       answers the greeting with a line without end
  control-characters, twice, no-result, open-quote, many-values   broken replies to the greeting
  old-version        refuses the greeting with NOVERSION
  later-version      chooses version 9.9
  silent             reads, and never answers after the greeting
  no-session         refuses SESSION CREATE with I2P_ERROR and a message
  wrong-key          makes sessions with another key
  wrong-destination  names a stranger in NAMING LOOKUP (with no-names)
  bad-destination    names something that is no destination in NAMING LOOKUP (with no-names)
  long-certificate   accepts peers whose destination has a certificate of 64 KB
  drop-session       ends a session's socket when the session asks for a stream
  end-session        says that the session failed when it asks for a stream
  ping               asks for a PONG on each session's socket, and ends those that say something else
  accept-fails       takes STREAM ACCEPT, then says that it failed
  split              sends every answer byte by byte
  glued              sends the answer and the first bytes of a stream in one piece
"""

import argparse
import asyncio
import base64
import hashlib
import os
import signal
import sys
import threading

ALPHABET = b"-~"
# The largest command: a key of 679 bytes in base 64 and its options, with room.
MAXIMUM_LINE = 8192


def encode(data):
    return base64.b64encode(data, ALPHABET).decode()


def decode(text):
    return base64.b64decode(text, ALPHABET, validate=True)


def make_key():
    """A destination (Ed25519, key certificate) and its private keys. Nothing is signed here, so they are noise."""
    destination = os.urandom(384) + bytes([5, 0, 4, 0, 7, 0, 0])
    return destination, destination + os.urandom(256 + 32)


def destination_of(private):
    """The destination that a private key starts with; raises ValueError."""
    if len(private) < 387 + 276:
        raise ValueError("short key")
    length = 387 + int.from_bytes(private[385:387], "big")
    if len(private) <= length + 256:
        raise ValueError("short key")
    return private[:length]


def name_of(destination):
    digest = hashlib.sha256(destination).digest()
    return base64.b32encode(digest).decode().lower().rstrip("=") + ".b32.i2p"


def parse(line):
    """The two words and the values of a line."""
    words, position = [], 0
    while position < len(line):
        if line[position] == " ":
            position += 1
            continue
        word, quoted = "", False
        while position < len(line) and (quoted or line[position] != " "):
            character = line[position]
            if quoted and character == "\\" and position + 1 < len(line):
                position += 1
                word += line[position]
            elif character == '"':
                quoted = not quoted
            else:
                word += character
            position += 1
        words.append(word)
    pairs = [word.partition("=") for word in words[2:]]
    return words[:2], {key: value for key, _, value in pairs}


class Session:
    def __init__(self, identifier, destination, writer):
        self.identifier = identifier
        self.destination = destination
        self.writer = writer
        # Streams that wait for somebody to accept them.
        self.incoming = asyncio.Queue(maxsize=64)


class Bridge:
    def __init__(self, options):
        self.options = options
        self.behaviour = set(options.behaviour.split(",")) if options.behaviour else set()
        self.sessions = {}
        self.by_name = {}
        self.known = {}

    async def say(self, writer, text):
        if self.options.delay:
            await asyncio.sleep(self.options.delay)
        data = text if isinstance(text, bytes) else text.encode() + b"\n"
        if "split" in self.behaviour:
            for byte in data:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.0005)
        else:
            writer.write(data)
            await writer.drain()

    async def client(self, reader, writer):
        session = None
        try:
            version = await self.greet(reader, writer)
            if version is None:
                return
            while True:
                line = await self.line(reader)
                if line is None:
                    return
                words, values = parse(line)
                command = " ".join(words)
                self.log(command, values)
                if "silent" in self.behaviour:
                    continue
                if command == "DEST GENERATE":
                    destination, private = make_key()
                    await self.say(writer, f"DEST REPLY PUB={encode(destination)} PRIV={encode(private)}")
                elif command == "SESSION CREATE":
                    if session is not None:
                        return await self.say(writer, 'SESSION STATUS RESULT=I2P_ERROR MESSAGE="Socket already in use"')
                    session = await self.create(writer, values)
                    if session is None:
                        return
                elif command == "NAMING LOOKUP":
                    await self.look_up(writer, values.get("NAME", ""), session)
                elif command == "STREAM CONNECT":
                    return await self.connect(reader, writer, values)
                elif command == "STREAM ACCEPT":
                    return await self.accept(reader, writer, values, has_ports=version >= (3, 2))
                elif words and words[0] == "PING":
                    await self.say(writer, "PONG" + line[4:])
                elif words and words[0] == "PONG" and "ping" in self.behaviour:
                    if line != "PONG are you there":
                        return
                else:
                    return await self.say(writer, 'SESSION STATUS RESULT=I2P_ERROR MESSAGE="Unknown command"')
        except (ConnectionError, asyncio.IncompleteReadError, UnicodeDecodeError):
            pass
        finally:
            if session is not None:
                self.sessions.pop(session.identifier, None)
                self.by_name.pop(name_of(session.destination), None)
                print("CLOSED", session.identifier, flush=True)
            writer.close()

    def log(self, command, values):
        hidden = {"DESTINATION": lambda text: text if len(text) < 700 and text.endswith(".i2p") else text[:8] + "...",
                  "PASSWORD": lambda text: "..."}
        shown = [f"{key}={hidden.get(key, str)(value)}" for key, value in values.items()]
        print(" ".join([command] + shown), flush=True)

    async def line(self, reader):
        try:
            data = await reader.readuntil(b"\n")
        except (asyncio.LimitOverrunError, asyncio.IncompleteReadError):
            return None
        return data.decode().rstrip("\r\n")

    async def greet(self, reader, writer):
        """The version that was agreed on, or None."""
        line = await self.line(reader)
        if line is None:
            return None
        words, values = parse(line)
        self.log(" ".join(words), values)
        broken = {
            "garbage": "SSH-2.0-OpenSSH_9.2",
            "control-characters": "HELLO REPLY RESULT=OK VERSION=3.1\x1b[31m",
            "twice": "HELLO REPLY RESULT=OK RESULT=OK VERSION=3.1",
            "no-result": "HELLO REPLY VERSION=3.1",
            "open-quote": 'HELLO REPLY RESULT=OK VERSION="3.1',
            "many-values": "HELLO REPLY RESULT=OK VERSION=3.1 " + " ".join(f"K{n}=1" for n in range(64)),
            "old-version": "HELLO REPLY RESULT=NOVERSION",
            "later-version": "HELLO REPLY RESULT=OK VERSION=9.9",
        }
        for behaviour, text in broken.items():
            if behaviour in self.behaviour:
                await self.say(writer, text)
                return (3, 1) if behaviour == "later-version" else None
        if "endless-line" in self.behaviour:
            while True:
                await self.say(writer, b"HELLO REPLY RESULT=OK MESSAGE=" + b"A" * 65536)
        if words != ["HELLO", "VERSION"]:
            return None
        if self.options.user is not None and (
                values.get("USER") != self.options.user or values.get("PASSWORD") != self.options.password):
            await self.say(writer, 'HELLO REPLY RESULT=I2P_ERROR MESSAGE="Authorization failed"')
            return None
        try:
            lowest = tuple(map(int, values.get("MIN", "3.0").split(".")))
            highest = tuple(map(int, values.get("MAX", "3.2").split(".")))
        except ValueError:
            await self.say(writer, 'HELLO REPLY RESULT=I2P_ERROR MESSAGE="bad version"')
            return None
        version = min(highest, (3, 2))
        if version < max(lowest, (3, 1)):
            await self.say(writer, "HELLO REPLY RESULT=NOVERSION")
            return None
        await self.say(writer, f"HELLO REPLY RESULT=OK VERSION={version[0]}.{version[1]}")
        return version

    async def create(self, writer, values):
        identifier = values.get("ID", "")
        if "no-session" in self.behaviour:
            await self.say(writer, 'SESSION STATUS RESULT=I2P_ERROR MESSAGE="no \\"tunnels\\" could be built"')
            return None
        if values.get("STYLE") != "STREAM" or not identifier:
            await self.say(writer, 'SESSION STATUS RESULT=I2P_ERROR MESSAGE="Unknown STYLE"')
            return None
        if identifier in self.sessions:
            await self.say(writer, "SESSION STATUS RESULT=DUPLICATED_ID")
            return None
        text = values.get("DESTINATION", "")
        try:
            private = make_key()[1] if text == "TRANSIENT" else decode(text)
            destination = destination_of(private)
        except ValueError:
            await self.say(writer, "SESSION STATUS RESULT=INVALID_KEY")
            return None
        name = name_of(destination)
        if name in self.by_name:
            await self.say(writer, "SESSION STATUS RESULT=DUPLICATED_DEST")
            return None
        session = Session(identifier, destination, writer)
        self.sessions[identifier] = self.by_name[name] = session
        self.known[name] = destination
        if "wrong-key" in self.behaviour:
            private = make_key()[1]
        await self.say(writer, f"SESSION STATUS RESULT=OK DESTINATION={encode(private)}")
        print("SESSION", identifier, name, flush=True)
        if "ping" in self.behaviour:
            await self.say(writer, "PING are you there")
        return session

    async def look_up(self, writer, name, session):
        if "bad-destination" in self.behaviour:
            return await self.say(writer, f"NAMING REPLY RESULT=OK NAME={name} VALUE=AAAA")
        if name == "ME" and session is not None:
            destination = session.destination
        elif "wrong-destination" in self.behaviour:
            destination = make_key()[0]
        else:
            destination = self.known.get(name)
        if destination is None:
            await self.say(writer, f"NAMING REPLY RESULT=KEY_NOT_FOUND NAME={name}")
        else:
            await self.say(writer, f"NAMING REPLY RESULT=OK NAME={name} VALUE={encode(destination)}")

    async def connect(self, reader, writer, values):
        caller = self.sessions.get(values.get("ID", ""))
        if caller is None:
            return await self.say(writer, "STREAM STATUS RESULT=INVALID_ID")
        if "drop-session" in self.behaviour:
            caller.writer.close()
        if "end-session" in self.behaviour:
            await self.say(caller.writer, 'SESSION STATUS RESULT=I2P_ERROR MESSAGE="tunnels lost"')
        text = values.get("DESTINATION", "")
        if text.endswith(".i2p"):
            if "no-names" in self.behaviour:
                return await self.say(writer, "STREAM STATUS RESULT=INVALID_KEY")
            name = text
        else:
            try:
                name = name_of(decode(text))
            except ValueError:
                return await self.say(writer, "STREAM STATUS RESULT=INVALID_KEY")
        peer = self.by_name.get(name)
        if peer is None or peer is caller:
            return await self.say(writer, 'STREAM STATUS RESULT=CANT_REACH_PEER MESSAGE="LeaseSet not found"')
        accepted = asyncio.get_running_loop().create_future()
        try:
            peer.incoming.put_nowait((caller.destination, accepted))
            # As long as i2pd keeps a stream that nobody accepts.
            other_reader, other_writer, finished = await asyncio.wait_for(accepted, 10)
        except (asyncio.QueueFull, asyncio.TimeoutError):
            return await self.say(writer, "STREAM STATUS RESULT=CANT_REACH_PEER")
        try:
            if values.get("SILENT") != "true":
                await self.say(writer, "STREAM STATUS RESULT=OK")
            await asyncio.gather(self.copy(reader, other_writer), self.copy(other_reader, writer))
        finally:
            other_writer.close()
            finished.set()

    async def accept(self, reader, writer, values, has_ports):
        session = self.sessions.get(values.get("ID", ""))
        if session is None:
            return await self.say(writer, "STREAM STATUS RESULT=INVALID_ID")
        silent = values.get("SILENT") == "true"
        if not silent:
            await self.say(writer, "STREAM STATUS RESULT=OK")
        if "accept-fails" in self.behaviour:
            return await self.say(writer, 'STREAM STATUS RESULT=I2P_ERROR MESSAGE="Session closed"')
        while True:
            # A client that has gone away must take no stream; one that sends before there is one breaks the protocol.
            waiting = asyncio.ensure_future(session.incoming.get())
            gone = asyncio.ensure_future(reader.read(1))
            await asyncio.wait([waiting, gone], return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                if waiting.done():
                    session.incoming.put_nowait(waiting.result())
                waiting.cancel()
                return
            gone.cancel()
            try:
                await gone
            except asyncio.CancelledError:
                pass
            peer, accepted = waiting.result()
            if accepted.done():
                continue
            break
        line = encode(peer)
        if "long-certificate" in self.behaviour:
            line = encode(peer[:384] + bytes([5, 255, 255]) + bytes(65535))
        if has_ports:
            line += " FROM_PORT=0 TO_PORT=0"
        if "glued" in self.behaviour:
            # The line travels with the first bytes of the stream.
            writer = Glue(writer, line.encode() + b"\n")
        elif not silent:
            await self.say(writer, line)
        finished = asyncio.Event()
        accepted.set_result((reader, writer, finished))
        await finished.wait()

    @staticmethod
    async def copy(reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            # Both directions end together, as streams over SAM do.
            writer.close()


class Glue:
    """A writer that puts a line before the first bytes."""

    def __init__(self, writer, line):
        self.writer, self.pending = writer, line

    def write(self, data):
        self.writer.write(self.pending + data)
        self.pending = b""

    async def drain(self):
        await self.writer.drain()

    def close(self):
        self.writer.close()


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--behaviour", default="")
    parser.add_argument("--delay", type=float, default=0)
    parser.add_argument("--user")
    parser.add_argument("--password")
    bridge = Bridge(parser.parse_args())
    server = await asyncio.start_server(bridge.client, "127.0.0.1", bridge.options.port, limit=MAXIMUM_LINE)
    print(server.sockets[0].getsockname()[1], flush=True)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def wait_for_end():
        while sys.stdin.buffer.read(4096):
            pass
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=wait_for_end, daemon=True).start()
    await ended.wait()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    asyncio.run(main())
