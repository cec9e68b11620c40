"""Puts one source's packets in order: none waits that need not, and a gap is given up early.

A recogniser is no ear: it wants every packet at once and true time, not even spacing. So packets in order pass
through without delay; only behind a gap do packets wait, for a short while.
"""

from collections import deque
from dataclasses import dataclass

from core.rtp.packet import RtpPacket
from core.rtp.sequence import MAX_DROPOUT, MAX_MISORDER, timestamp_difference

DEFAULT_REORDER_WINDOW_MS = 60
_GIVE_UP_AFTER_PACKETS = 3
# How far back a late packet can still be told from a duplicate.
_REMEMBERED_LOSSES = 256
# A packet that moves the timestamp further ends a pause (120 ms at 8 kHz).
_LONGEST_STEP = 960


@dataclass(frozen=True, slots=True)
class Gap:
    """Packets that are given up.

    Attributes:
        packets: how many sequence numbers were missing.
        duration: the time they stood for, in timestamp units; 0 where they held no audio of their own.
    """

    packets: int
    duration: int


class JitterBuffer:
    """Reorders; `put` what arrives, `get` until it returns None, and again at `deadline_s`.

    Attributes:
        deadline_s: when `get` may return more though nothing arrived; None while nothing waits.
        packets_lost: given up; one that arrives after all counts as late, too.
        gaps: how many runs of losses there were.
        packets_late: arrived after they were given up; dropped.
        packets_duplicated: arrived again; dropped.
        packets_discarded: fell out because nobody took them, or belonged to nothing.
        resets: how often the source changed, or began to count anew.
    """

    __slots__ = (
        "_candidate",
        "_capacity",
        "_expected",
        "_last_timestamp",
        "_lost",
        "_ready",
        "_ssrc",
        "_step",
        "_stray",
        "_waiting",
        "_window_s",
        "deadline_s",
        "gaps",
        "packets_discarded",
        "packets_duplicated",
        "packets_late",
        "packets_lost",
        "resets",
    )

    def __init__(self, reorder_window_ms: float = DEFAULT_REORDER_WINDOW_MS, capacity: int = 64) -> None:
        self._window_s = reorder_window_ms / 1000
        self._capacity = capacity
        self._ready: deque[RtpPacket | Gap] = deque()
        self._waiting: dict[int, RtpPacket] = {}
        self._lost: dict[int, None] = {}
        self._stray: RtpPacket | None = None
        self._ssrc = -1
        self._expected = -1
        self._last_timestamp = 0
        self._step = 0
        self._candidate = 0
        self.deadline_s: float | None = None
        self.packets_lost = 0
        self.gaps = 0
        self.packets_late = 0
        self.packets_duplicated = 0
        self.packets_discarded = 0
        self.resets = 0

    def put(self, packet: RtpPacket, now_s: float) -> None:
        """Takes a packet that arrived at `now_s`. Never raises."""
        packet.received_at_s = now_s
        sequence_number = packet.sequence_number
        if packet.ssrc == self._ssrc and sequence_number == self._expected and not self._waiting:
            step = (packet.timestamp - self._last_timestamp) & 0xFFFFFFFF
            if step != self._step:
                self._learn_step(step)
            self._last_timestamp = packet.timestamp
            self._expected = (sequence_number + 1) & 0xFFFF
            if len(self._ready) >= self._capacity:
                self._drop_oldest()
            self._ready.append(packet)
        else:
            self._put_out_of_order(packet, now_s)

    def get(self, now_s: float) -> RtpPacket | Gap | None:
        """The next packet in order, the gap before it, or None: nothing for now."""
        if self._ready:
            return self._ready.popleft()
        if self.deadline_s is None or now_s < self.deadline_s:
            return None
        self._give_up()
        return self._ready.popleft()

    def reset(self) -> None:
        """Forgets the source, and what waits; the next packet begins a new one. Counters stay."""
        self.packets_discarded += len(self._waiting)
        self._waiting.clear()
        self._lost.clear()
        self._stray = None
        self._ssrc = self._expected = -1
        self.deadline_s = None

    def _put_out_of_order(self, packet: RtpPacket, now_s: float) -> None:
        if self._expected < 0:
            self._begin(packet)
            return
        ahead = (packet.sequence_number - self._expected) & 0xFFFF
        if packet.ssrc != self._ssrc or MAX_DROPOUT <= ahead < 0x10000 - MAX_MISORDER:
            self._put_stray(packet)
        elif ahead >= MAX_DROPOUT:
            self._drop_past(packet)
        elif packet.sequence_number in self._waiting:
            self.packets_duplicated += 1
        else:
            self._waiting[packet.sequence_number] = packet
            if ahead == 0:
                self._release()
            elif self.deadline_s is None:
                self.deadline_s = now_s + self._window_s
            if len(self._waiting) >= _GIVE_UP_AFTER_PACKETS:
                self._give_up()

    def _begin(self, packet: RtpPacket) -> None:
        self._ssrc = packet.ssrc
        self._last_timestamp = packet.timestamp
        self._step = 0
        self._deliver(packet)

    def _put_stray(self, packet: RtpPacket) -> None:
        """Another source, or a far jump: believed as soon as a second packet follows (RFC 3550 A.1)."""
        stray = self._stray
        self._stray = packet
        if stray is None:
            return
        follows = (stray.sequence_number + 1) & 0xFFFF == packet.sequence_number
        if stray.ssrc != packet.ssrc or not follows:
            self.packets_discarded += 1
            return
        self._flush()
        self.reset()
        self.resets += 1
        self._begin(stray)
        self._deliver(packet)

    def _drop_past(self, packet: RtpPacket) -> None:
        if packet.sequence_number in self._lost:
            del self._lost[packet.sequence_number]
            self.packets_late += 1
        else:
            self.packets_duplicated += 1

    def _give_up(self) -> None:
        """Declares lost what is missing before the first packet that waits, and releases that one."""
        ahead = min((number - self._expected) & 0xFFFF for number in self._waiting)
        following = (self._expected + ahead) & 0xFFFF
        for number in range(self._expected, self._expected + min(ahead, _REMEMBERED_LOSSES)):
            self._lost[number & 0xFFFF] = None
        while len(self._lost) > _REMEMBERED_LOSSES:
            del self._lost[next(iter(self._lost))]
        self.packets_lost += ahead
        self.gaps += 1
        elapsed = timestamp_difference(self._waiting[following].timestamp, self._last_timestamp)
        # Keys keep their timestamp through many packets, and a pause moves it without any.
        step = self._step or min(elapsed // (ahead + 1), _LONGEST_STEP)
        duration = max(0, min(elapsed - step, ahead * step))
        self._expected = following
        self._append(Gap(ahead, duration))
        self._release()

    def _release(self) -> None:
        """Delivers what waits up to the next gap."""
        while (packet := self._waiting.pop(self._expected, None)) is not None:
            self._deliver(packet)
        self.deadline_s = None
        if self._waiting:
            # The next gap has been open since the first packet behind it arrived.
            arrived_at_s = min(packet.received_at_s for packet in self._waiting.values())
            self.deadline_s = arrived_at_s + self._window_s

    def _deliver(self, packet: RtpPacket) -> None:
        self._learn_step((packet.timestamp - self._last_timestamp) & 0xFFFFFFFF)
        self._last_timestamp = packet.timestamp
        self._expected = (packet.sequence_number + 1) & 0xFFFF
        self._append(packet)

    def _learn_step(self, step: int) -> None:
        """What one packet stands for: a step of the timestamp that is no pause, seen twice in a row."""
        if 0 < step <= _LONGEST_STEP and (step == self._candidate or not self._step):
            self._step = step
        self._candidate = step

    def _flush(self) -> None:
        for sequence_number in sorted(self._waiting, key=lambda number: (number - self._expected) & 0xFFFF):
            self._append(self._waiting[sequence_number])
        self._waiting.clear()

    def _append(self, item: RtpPacket | Gap) -> None:
        if len(self._ready) >= self._capacity:
            self._drop_oldest()
        self._ready.append(item)

    def _drop_oldest(self) -> None:
        self._ready.popleft()
        self.packets_discarded += 1
