"""Callers in bulk: 20 ms RTP for many calls with their phases spread, arrivals stamped by the kernel."""

import contextlib
import os
import struct
import time
from dataclasses import dataclass, field

from core.media.datagram_socket import DatagramSocket, ReceiveBuffers, encode_address

PERIOD_S = 0.02
_HEADER = struct.Struct("!BBHII")
_FIRST_SEQUENCE_NUMBER = 65_000
_FIRST_TIMESTAMP = 2**32 - 80_000
_MARK_BYTES = 4


@dataclass
class Arrivals:
    """What came back on one call, in order of arrival."""

    at_s: list[float] = field(default_factory=list)
    sequence_numbers: list[int] = field(default_factory=list)
    timestamps: list[int] = field(default_factory=list)
    echoed: list[int] = field(default_factory=list)


class Load:
    """The generator: one thread, one socket a call; it measures its own lateness as well."""

    def __init__(self, calls: int) -> None:
        buffers = ReceiveBuffers()
        self.sockets = [DatagramSocket("127.0.0.1", 0, buffers) for _ in range(calls)]
        self.arrivals = [Arrivals() for _ in range(calls)]
        self.sent_at_s: list[list[float]] = [[] for _ in range(calls)]
        self.lateness_s: list[float] = []

    def run(self, ports: list[int], seconds: float) -> None:
        """Sends for so long, and reads what comes back meanwhile."""
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        try:
            self._run([encode_address(("127.0.0.1", port)) for port in ports], seconds)
        finally:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))

    def _run(self, destinations: list[bytes], seconds: float) -> None:
        calls = len(destinations)
        start = time.monotonic() + 0.1
        step_s = PERIOD_S / calls
        for n in range(int(seconds / PERIOD_S) * calls):
            packet, call = divmod(n, calls)
            due = start + n * step_s
            remaining = due - time.monotonic()
            if remaining > 0:
                time.sleep(remaining)
            now = time.monotonic()
            self.lateness_s.append(now - due)
            self.sent_at_s[call].append(now)
            self.sockets[call].send(_datagram(call, packet), destinations[call])
            # Another call's turn to be read, and not after each packet: arrivals carry their time.
            if packet % 8 == 7:
                self._read(call)
        for call in range(calls):
            self._read(call)

    def close(self) -> None:
        for rtp in self.sockets:
            rtp.close()

    def _read(self, call: int) -> None:
        arrivals = self.arrivals[call]
        while datagrams := self.sockets[call].receive():
            for datagram in datagrams:
                _, second, sequence_number, timestamp, _ = _HEADER.unpack_from(datagram.data)
                if second & 0x7F:
                    continue
                arrivals.at_s.append(datagram.arrived_at_s)
                arrivals.sequence_numbers.append(sequence_number)
                arrivals.timestamps.append(timestamp)
                arrivals.echoed.append(_read_mark(datagram.data))


def _datagram(call: int, packet: int) -> bytes:
    header = _HEADER.pack(
        0x80,
        0,
        (_FIRST_SEQUENCE_NUMBER + packet) & 0xFFFF,
        (_FIRST_TIMESTAMP + 160 * packet) & 0xFFFFFFFF,
        call + 1,
    )
    mark = bytes(packet >> shift & 0x3F for shift in (18, 12, 6, 0))
    return header + mark + b"\x55" * (160 - _MARK_BYTES)


def _read_mark(datagram: bytes) -> int:
    """Which packet's audio this is, or -1: µ-law bytes below 64 survive decoding and encoding."""
    mark = datagram[12 : 12 + _MARK_BYTES]
    if len(mark) < _MARK_BYTES or max(mark) > 0x3F or datagram[-1] != 0x55:
        return -1
    return mark[0] << 18 | mark[1] << 12 | mark[2] << 6 | mark[3]
