#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A control port of Tor that does what its arguments say, for tests.

Prints its port, then one line for every command that it gets. Ends with its standard input.

usage: fake_tor.py COOKIE_FILE METHODS [BEHAVIOUR]
BEHAVIOUR: wrong-hash, silent, garbage, endless-line, endless-reply, lf-only, refuse-onion, drop-after-onion, unasked, twice,
refuse-first-onion, no-puzzles
"""
import base64, hashlib, hmac, os, socketserver, sys, threading

cookie_file, methods = sys.argv[1], sys.argv[2]
behaviour = sys.argv[3] if len(sys.argv) > 3 else ""
cookie = open(cookie_file, "rb").read() if os.path.exists(cookie_file) else b""
counter, refused = 0, False


def onion(number):
    """The name of a version 3 service (rend-spec-v3, section 6) whose public key is a repeated byte."""
    key = bytes([number]) * 32
    checksum = hashlib.sha3_256(b".onion checksum" + key + b"\x03").digest()[:2]
    return base64.b32encode(key + checksum + b"\x03").decode().lower()


def proof(direction, message):
    key = f"Tor safe cookie authentication {direction} hash".encode()
    return hmac.new(key, message, hashlib.sha256).digest()


class Control(socketserver.StreamRequestHandler):
    def say(self, *lines):
        text = "".join(f"250{'-' if index < len(lines) - 1 else ' '}{line}\r\n" for index, line in enumerate(lines))
        # In small pieces, so that whoever reads has to put them together.
        for start in range(0, len(text), 7):
            self.wfile.write(text[start:start + 7].encode())
            self.wfile.flush()

    def refuse(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self):
        global counter, refused
        authenticated, expected, nonces = False, None, b""
        if behaviour == "unasked":
            self.wfile.write(b"650 EVENT nobody asked for\r\n250 OK\r\n")
        while True:
            line = self.rfile.readline().decode().rstrip("\r\n")
            if not line:
                return
            print(line, flush=True)
            word, _, rest = line.partition(" ")
            if behaviour == "silent":
                continue
            if behaviour == "garbage":
                self.refuse("SSH-2.0-OpenSSH_9.2")
                continue
            if behaviour in ("endless-line", "endless-reply"):
                try:
                    while True:
                        self.wfile.write(b"x" * 1000 if behaviour == "endless-line" else b"250-more\r\n" * 100)
                except OSError:
                    return
            if behaviour == "lf-only":
                self.wfile.write(b"250 OK\n")
                continue
            if word == "PROTOCOLINFO" and behaviour == "twice":
                # In one segment: what is asked for, and a reply too many.
                self.wfile.write(b"250-PROTOCOLINFO 1\r\n250-AUTH METHODS=NULL\r\n250 OK\r\n250 OK\r\n")
            elif word == "PROTOCOLINFO":
                file = f' COOKIEFILE="{cookie_file}"' if "COOKIE" in methods else ""
                self.say("PROTOCOLINFO 1", f"AUTH METHODS={methods}{file}", 'VERSION Tor="0.4.9.11"', "OK")
            elif word == "AUTHCHALLENGE":
                client, server = bytes.fromhex(rest.split()[1]), os.urandom(32)
                nonces = client + server
                expected = proof("controller-to-server", cookie + nonces)
                ours = proof("server-to-controller", (b"x" if behaviour == "wrong-hash" else b"") + cookie + nonces)
                self.say(f"AUTHCHALLENGE SERVERHASH={ours.hex().upper()} SERVERNONCE={server.hex().upper()}")
            elif word == "AUTHENTICATE":
                given = bytes.fromhex(rest)
                right = [expected, cookie if expected is None and "SAFECOOKIE" not in methods else None, b"pass word\""]
                authenticated = given in right or methods == "NULL"
                if not authenticated:
                    self.refuse("515 Authentication failed: Wrong\x1b[31m")
                    return
                self.say("OK")
            elif not authenticated:
                self.refuse("514 Authentication required.")
                return
            elif word == "ADD_ONION":
                if behaviour == "refuse-onion":
                    self.refuse("550 Onion address collision")
                    continue
                if behaviour == "refuse-first-onion" and not refused:
                    refused = True
                    self.refuse("551 Failed to add onion")
                    continue
                if behaviour == "no-puzzles" and "PoW" in rest:
                    self.refuse('512 Bad arguments to ADD_ONION: Unrecognized keyword argument "PoWDefensesEnabled"')
                    continue
                key = rest.split()[0]
                if key.startswith("NEW"):
                    counter += 1
                    name = onion(counter)
                    self.say(f"ServiceID={name}", f"PrivateKey=ED25519-V3:key-of-{name}", "OK")
                else:
                    self.say(f"ServiceID={key.rpartition('-')[2]}", "OK")
                if behaviour == "drop-after-onion" and counter:
                    return
            elif word == "DEL_ONION":
                self.say("OK") if len(rest) == 56 else self.refuse("552 Unknown Onion Service id")
            else:
                self.refuse("510 Unrecognized command")


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


server = Server(("127.0.0.1", 0), Control)
print(server.server_address[1], flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
