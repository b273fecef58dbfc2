# SPDX-License-Identifier: MIT
"""Reads what the wire captured: packets, SYNs, and the bytes of TCP streams."""
import ipaddress
import struct
from dataclasses import dataclass, field

FIN, SYN, RST, ACK = 1, 2, 4, 16


@dataclass(frozen=True)
class Segment:
    """A TCP segment as it entered the wire."""

    at: float
    source: tuple[str, int]
    target: tuple[str, int]
    flags: int
    sequence: int
    payload: bytes

    @property
    def is_first_syn(self) -> bool:
        return self.flags & (SYN | ACK) == SYN


def packets(path: str) -> list[tuple[float, bytes]]:
    """All IP packets of a capture, with the time at which they entered the wire."""
    with open(path, "rb") as file:
        data = file.read()
    found, position = [], 24
    while position < len(data):
        seconds, microseconds, length, _ = struct.unpack_from("<IIII", data, position)
        found.append((seconds + microseconds / 1e6, data[position + 16:position + 16 + length]))
        position += 16 + length
    return found


def is_tcp(packet: bytes) -> bool:
    return (packet[9] if packet[0] >> 4 == 4 else packet[6]) == 6


def segments(path: str) -> list[Segment]:
    """All TCP segments of a capture."""
    found = []
    for at, packet in packets(path):
        if not is_tcp(packet):
            continue
        if packet[0] >> 4 == 4:
            start, end = 4 * (packet[0] & 15), struct.unpack_from(">H", packet, 2)[0]
            addresses = packet[12:16], packet[16:20]
        else:
            start, end = 40, 40 + struct.unpack_from(">H", packet, 4)[0]
            addresses = packet[8:24], packet[24:40]
        source_port, target_port, sequence = struct.unpack_from(">HHI", packet, start)
        offset = start + 4 * (packet[start + 12] >> 4)
        source, target = (str(ipaddress.ip_address(address)) for address in addresses)
        found.append(Segment(
            at, (source, source_port), (target, target_port), packet[start + 13], sequence, packet[offset:end]))
    return found


@dataclass
class Stream:
    """What one end of a connection sent, in order."""

    source: tuple[str, int]
    target: tuple[str, int]
    at: float
    data: bytearray = field(default_factory=bytearray)


def streams(found: list[Segment]) -> list[Stream]:
    """The bytes of each direction of each connection. Retransmissions are left out, gaps do not occur in a lab."""
    open_streams: dict[tuple, tuple[Stream, int, dict[int, bytes]]] = {}
    finished: list[Stream] = []
    for segment in found:
        key = segment.source, segment.target
        if segment.flags & SYN:
            known = open_streams.get(key)
            if known and known[1] == (segment.sequence + 1) & 0xFFFF_FFFF and not known[0].data:
                continue
            stream = Stream(*key, segment.at)
            finished.append(stream)
            open_streams[key] = stream, (segment.sequence + 1) & 0xFFFF_FFFF, {}
            continue
        if not segment.payload or key not in open_streams:
            continue
        stream, first, waiting = open_streams[key]
        waiting[(segment.sequence - first) & 0xFFFF_FFFF] = segment.payload
        while (piece := waiting.pop(len(stream.data), None)) is not None:
            stream.data += piece
        # What was sent again in other pieces overlaps.
        for offset in [offset for offset in waiting if offset < len(stream.data)]:
            piece = waiting.pop(offset)
            stream.data += piece[len(stream.data) - offset:]
    return finished


def syns(found: list[Segment], target: str) -> list[Segment]:
    """The SYNs that went to this address."""
    return [segment for segment in found if segment.is_first_syn and segment.target[0] == target]
