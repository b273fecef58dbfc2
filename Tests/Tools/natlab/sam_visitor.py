# SPDX-License-Identifier: MIT
"""A stranger in I2P: as much of SAM 3.1 as it takes to call somebody."""
import os
import socket
import time

from daemons import Failure
from lab import Site

# Until tunnels stand; until an answer comes through them, when the destination is known.
SESSION_SECONDS, CALL_SECONDS, FIND_SECONDS = 120.0, 45.0, 120.0
TUNNELS = ("inbound.length=3 outbound.length=3 inbound.quantity=3 outbound.quantity=3 SIGNATURE_TYPE=7 "
           "i2cp.leaseSetEncType=4,0")


class SAMVisitor:
    """A session of its own, with a destination that nobody has seen."""

    def __init__(self, site: Site, port: int) -> None:
        self.site, self.port, self.name = site, port, f"visitor{os.getpid()}"
        self.control = self._hello()
        self._ask(self.control, f"SESSION CREATE STYLE=STREAM ID={self.name} DESTINATION=TRANSIENT {TUNNELS}",
                  SESSION_SECONDS)

    def _hello(self) -> socket.socket:
        with self.site.host:
            connection = socket.create_connection(("127.0.0.1", self.port), 10)
        self._ask(connection, "HELLO VERSION MIN=3.1 MAX=3.1", 10)
        return connection

    @staticmethod
    def _ask(connection: socket.socket, question: str, timeout: float) -> str:
        connection.settimeout(timeout)
        connection.sendall(question.encode() + b"\n")
        line = b""
        # Byte by byte: what follows the line belongs to somebody else.
        while not line.endswith(b"\n"):
            byte = connection.recv(1)
            if not byte:
                raise Failure(f"the SAM bridge hung up on {question.split()[0]}")
            line += byte
        answer = line.decode().strip()
        if "RESULT=OK" not in answer:
            raise Failure(f"the SAM bridge says {answer}")
        return answer

    def reach(self, name: str) -> socket.socket:
        """A connection to a name; a destination that is new may not be found at once."""
        deadline = time.monotonic() + FIND_SECONDS
        while True:
            connection = self._hello()
            try:
                self._ask(connection, f"STREAM CONNECT ID={self.name} DESTINATION={name} SILENT=false", CALL_SECONDS)
                return connection
            except (Failure, OSError):
                connection.close()
                if time.monotonic() > deadline:
                    raise

    def close(self) -> None:
        self.control.close()
