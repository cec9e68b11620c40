"""A key press as telephone events, one every 20 ms (RFC 4733 2.5.1)."""

import struct

from tools.caller.trace import PTIME_MS, SAMPLE_RATE_HZ

_EVENT = struct.Struct("!BBH")
_KEYS = "0123456789*#ABCD"
_END = 0x80
_VOLUME = 10
_PRESSED_PACKETS = 5
_END_PACKETS = 3
_STEP = SAMPLE_RATE_HZ * PTIME_MS // 1000


def key_press_packets(key: str) -> list[tuple[bytes, bool, int]]:
    """Payload, marker, and how many samples before its sending the press began: every packet has the first's timestamp.

    Raises:
        ValueError: there is no such key.
    """
    event = _KEYS.index(key)
    packets = []
    for place in range(_PRESSED_PACKETS + _END_PACKETS):
        pressed = min(place + 1, _PRESSED_PACKETS)
        flags = _VOLUME | (_END if place >= _PRESSED_PACKETS else 0)
        packets.append((_EVENT.pack(event, flags, pressed * _STEP), place == 0, place * _STEP))
    return packets
