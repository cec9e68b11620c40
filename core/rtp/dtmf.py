"""Key presses as telephone-event packets, both ways (RFC 4733)."""

from struct import Struct

from core.rtp.packet import RtpError, RtpPacket
from core.rtp.sequence import timestamp_difference

KEYS = "0123456789*#ABCD"
_EVENT = Struct("!BBH")
_END = 0x80
_LONGEST_SEGMENT = 0xFFFF
# A sender may end a segment at a whole number of its packet times (120 ms at 8 kHz).
_LONG_SEGMENT = _LONGEST_SEGMENT - 960
_END_PACKETS = 3
_DEFAULT_VOLUME_DBM0 = 10
# A packet that is older than this is no late one: its source counts time anew (5 s at 8 kHz).
_OLDEST_LATE = 40_000


class DtmfReceiver:
    """Tells each key once, as soon as any of its packets arrives."""

    __slots__ = ("_ended", "_event", "_ssrc", "_timestamp")

    def __init__(self) -> None:
        self._ssrc = -1
        self._timestamp = 0
        self._event = -1
        self._ended = True

    def receive(self, packet: RtpPacket) -> str | None:
        """The key this packet is the first to tell, None where it was told, or is no key.

        Raises:
            RtpError: the payload is no event.
        """
        if len(packet.payload) < _EVENT.size:
            raise RtpError("Telephone event is shorter than four bytes")
        event, flags, _ = _EVENT.unpack_from(packet.payload)
        if packet.ssrc == self._ssrc:
            ahead = timestamp_difference(packet.timestamp, self._timestamp)
            if ahead == 0 and event == self._event:
                self._ended = self._ended or flags >= _END
                return None
            if -_OLDEST_LATE < ahead < 0:
                return None
            # An event too long for its field goes on under a new timestamp (RFC 4733 2.5.1.3).
            goes_on = event == self._event and not self._ended and _LONG_SEGMENT < ahead <= _LONGEST_SEGMENT
        else:
            goes_on = False
        self._ssrc = packet.ssrc
        self._timestamp = packet.timestamp
        self._event = event
        self._ended = flags >= _END
        return None if goes_on or event >= len(KEYS) else KEYS[event]

    @property
    def pressed(self) -> bool:
        """Whether a key is down; its end may have been lost."""
        return not self._ended


def key_payloads(
    key: str,
    duration_ms: int,
    ptime_ms: int,
    clock_rate_hz: int = 8000,
    volume_dbm0: int = _DEFAULT_VOLUME_DBM0,
) -> list[bytes]:
    """The payloads of one key press, one for each packet time; all go out under the timestamp of its start.

    The first is to carry the marker. The last three are alike and end the event (RFC 4733 2.5.1.4).

    Raises:
        ValueError: `key` is none of 0-9 * # A-D, or the press is longer than one event can last.
    """
    event = KEYS.find(key.upper()) if len(key) == 1 else -1
    if event < 0:
        raise ValueError("Not a key: only 0-9 * # A-D can be sent")
    per_packet = ptime_ms * clock_rate_hz // 1000
    packets = max(1, -(-duration_ms // ptime_ms))
    if packets * per_packet > _LONGEST_SEGMENT:
        raise ValueError(f"A key cannot be pressed for {duration_ms} ms")
    growing = [_EVENT.pack(event, volume_dbm0, count * per_packet) for count in range(1, packets)]
    return growing + [_EVENT.pack(event, _END | volume_dbm0, packets * per_packet)] * _END_PACKETS
