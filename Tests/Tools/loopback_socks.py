#!/usr/bin/env python3
"""A SOCKS5 proxy that leads every address to this machine, at the port that was asked for.

With it, daemons on one machine reach each other at public addresses, as they would over the Internet. Prints the port
that it listens on; ends when its standard input does.
"""
import socket
import socketserver
import struct
import sys
import threading


class Handler(socketserver.BaseRequestHandler):
    def exactly(self, count):
        data = b""
        while len(data) < count:
            part = self.request.recv(count - len(data))
            if not part:
                raise ConnectionError("the client has gone")
            data += part
        return data

    def handle(self):
        try:
            self.serve()
        except (OSError, struct.error):
            pass

    def serve(self):
        version, methods = self.exactly(2)
        self.exactly(methods)
        self.request.sendall(b"\x05\x00")
        version, command, _, kind = self.exactly(4)
        if kind == 3:
            self.exactly(self.exactly(1)[0])
        else:
            self.exactly({1: 4, 4: 16}[kind])
        (port,) = struct.unpack(">H", self.exactly(2))
        try:
            remote = socket.create_connection(("127.0.0.1", port), timeout=10)
        except OSError:
            self.request.sendall(b"\x05\x05\x00\x01" + bytes(6))
            return
        remote.settimeout(None)
        self.request.sendall(b"\x05\x00\x00\x01" + bytes(6))
        back = threading.Thread(target=self.copy, args=(remote, self.request), daemon=True)
        back.start()
        self.copy(self.request, remote)
        back.join()
        remote.close()

    @staticmethod
    def copy(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        try:
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


if __name__ == "__main__":
    with Server(("127.0.0.1", 0), Handler) as server:
        print(server.server_address[1], flush=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdin.read()
